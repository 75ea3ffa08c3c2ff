"""Sampling by evidence: a pixel is sampled only where mesh and surface network agree on what it shows."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from ..body import Body
from ..nets.surface import SURFACE_PARTS, vertex_surface_parts
from ..photo.surface import SurfaceMap
from ..scene import Camera, interpolate, rasterize_mesh

LEAST = 0.25  # agreement from which a pixel is sampled
LIMB = 0.12  # probability of a forearm or a hand around a pixel up to which head, trunk and thighs are sampled
"""Both leave out 12 % of the texels whose pixel shows a point within 8 cm, 70 % of those whose pixel shows nothing
within 15 cm, and 76 % of those that a forearm or a hand hides (11 generated people; benchmarks/agreement.py)."""
AROUND = 5  # cells: side of the square around a limb's pixel that is not sampled either
MOST = 4.0  # of the evidence: keeps sure pixels from covering doubtful ones beside them where the map is enlarged
_BEHIND = ("head", "torso", "left_thigh", "right_thigh")
_BEFORE = [1 + i for i, n in enumerate(SURFACE_PARTS) if n.endswith(("forearm", "hand"))]


def evidence(
    body: Body,
    surface: SurfaceMap,
    vertices: torch.Tensor,  # [V, 3] world, metres: the fitted mesh
    camera: Camera,  # of the whole photo
) -> np.ndarray:
    """[h, w] float32 in the cells of the surface map: 1 or more where a pixel shows what the mesh shows there, or where
    there is no mesh."""
    h, w = surface.probability.shape[:2]
    scale, shift = surface.M[0, 0], surface.M[:, 2]  # the crop is not turned
    x0, y0 = (0.5 - (shift + 0.5) / scale).tolist()
    f = rasterize_mesh(vertices, body.faces, camera.crop(x0, y0, float(scale), h, w))
    rest = interpolate(f, body.v_template, body.faces)[0].numpy()
    ys, xs = np.where(f.mask[0].numpy())
    part = vertex_surface_parts(body)[body.faces[f.face[0].numpy()[ys, xs], 0]]
    behind = np.isin(part, [SURFACE_PARTS.index(n) for n in _BEHIND])
    limb = cv2.dilate(surface.probability[..., _BEFORE].sum(-1), np.ones((AROUND, AROUND), np.uint8))
    limb = np.where(behind, limb[ys, xs], 0)
    out = np.full((h, w), MOST, np.float32)
    out[ys, xs] = np.minimum(surface.agreement_at(xs, ys, rest[ys, xs]) / LEAST, LIMB / np.maximum(limb, 1e-6))
    return np.minimum(out, MOST)


def agreeing(
    body: Body,
    surface: SurfaceMap,
    vertices: torch.Tensor,  # [V, 3] world, metres
    camera: Camera,  # of the whole photo
    box: tuple[float, float, float],  # x0, y0, scale of a crop
    size: int,  # pixels a side of the crop
) -> np.ndarray:
    """[size, size] bool: pixels of the crop that may be sampled."""
    x0, y0, k = box
    A = surface.M[:, :2] / k  # crop pixels (centres at integers) to cells
    M = np.c_[A, surface.M[:, 2] + surface.M[:, :2] @ (np.array([x0, y0]) + 0.5 / k - 0.5)]
    found = cv2.warpAffine(evidence(body, surface, vertices, camera), M, (size, size),
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)  # fmt: skip
    return found >= 1
