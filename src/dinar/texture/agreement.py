"""Sampling by evidence: pixels that show a forearm or a hand where the mesh has the body behind it are not sampled.

Three witnesses: keypoints say where forearms and hands are, the surface network and the human parser what a pixel there
shows. What looks unlike its surroundings would leave a visible print: little evidence is enough. A sleeve before a coat
of the same cloth leaves hardly any, and taking it out would cost colours of the coat: it needs more.

The same network confirms most of the pixels along the outlines of limbs (:mod:`.occlusion`): they are sampled.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..body import Body
from ..labels import LABEL
from ..nets.surface import SURFACE_PARTS, vertex_surface_parts
from ..photo.blazepose import KEYPOINTS
from ..photo.parser_input import SEEN, warp
from ..photo.surface import HANDS, SurfaceMap
from ..scene import Camera, interpolate, rasterize_mesh
from ..subject import Subject

# Cells of the surface map are about a centimetre. Measured by benchmarks/agreement.py.
REACH = 8  # cells beside the lines through a forearm's and a hand's keypoints
LIMB, ALIKE = 0.01, 0.1  # least evidence for a limb of pixels that look unlike their surroundings, and of others
AROUND = 6.0  # cells: radius of the surroundings
COLOUR = 0.2  # difference from the mean colour around from which a pixel looks unlike it
SURE = 0.7  # least likelihood that a pixel on an outline shows what the mesh has there, for it to be sampled
SHARE = 0.2  # of the surroundings that have a pixel's class, under which it looks unlike them
_BARE = [LABEL[n] for n in ("skin", "face", "accessory", "bag", "glasses")]  # what a hand may look like
_BEHIND = [SURFACE_PARTS.index(n) for n in ("head", "torso", "left_thigh", "right_thigh")]
_FOREARMS = [i for i, n in enumerate(SURFACE_PARTS) if n.endswith("forearm")]
_LINES = (("elbow", "wrist"), ("wrist", "index"), ("wrist", "pinky"), ("wrist", "thumb"))


@dataclass(frozen=True)
class Evidence:
    """What the cells of a surface map say about the mesh over them, [h, w] bool."""

    before: np.ndarray  # a forearm or a hand, where the mesh has head, trunk or thigh
    sure: np.ndarray  # what the mesh has; never where a forearm would leave a print


def evidence_of(
    body: Body,
    s: Subject,  # with a surface map
    vertices: torch.Tensor,  # [V, 3] world, metres: the fitted mesh
    camera: Camera,  # of the whole photo
) -> Evidence:
    """Compare the photo with the fitted mesh."""
    surface = s.view.surface
    assert surface is not None
    h, w = surface.probability.shape[:2]
    scale, shift = surface.M[0, 0], surface.M[:, 2]  # the crop is not turned
    x0, y0 = (0.5 - (shift + 0.5) / scale).tolist()
    f = rasterize_mesh(vertices, body.faces, camera.crop(x0, y0, float(scale), h, w))
    rest = interpolate(f, body.v_template, body.faces)[0].numpy()
    ys, xs = np.where(f.mask[0].numpy())
    part = np.full((h, w), 255, np.uint8)
    part[ys, xs] = vertex_surface_parts(body)[body.faces[f.face[0].numpy()[ys, xs], 0]]
    against = np.ones((h, w), np.float32)
    against[ys, xs] = 1 - surface.agreement_at(xs, ys, rest[ys, xs])
    forearm, hand = (surface.probability[..., [1 + i for i in some]].sum(-1) for some in (_FOREARMS, HANDS))
    worn, bare = None, np.zeros((h, w), bool)
    if s.labels is not None:  # the network takes coats beside hanging hands for hands
        worn = cv2.warpAffine(s.labels, surface.M, (w, h), flags=cv2.INTER_NEAREST)
        hand = hand * cv2.dilate(np.isin(worn, _BARE).astype(np.uint8), np.ones((3, 3), np.uint8))
        bare = (worn == LABEL["skin"]) & (part == SURFACE_PARTS.index("torso"))
    behind = np.isin(part, _BEHIND)
    evidence = np.where(behind, (forearm + hand) * against, 0)
    colour = warp(s.rgb, surface.M, (h, w)).astype(np.float32) / 255
    least = np.where(unlike(colour, worn, behind & (evidence < LIMB)), LIMB, ALIKE)
    near = near_arms(surface, s.view.keypoints)
    limb = near & ((evidence > least) | bare)
    rim = lambda cells: cv2.dilate(cells.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0  # noqa: E731
    # with their rim: else the unseen texels beside them take the limb's colours
    return Evidence(behind & rim(limb), (against < 1 - SURE) & ~rim(behind & near))


def near_arms(surface: SurfaceMap, keypoints: np.ndarray) -> np.ndarray:  # [33, 4] photo pixels, visibility
    """[h, w] bool: cells within REACH of forearms and hands."""
    h, w = surface.probability.shape[:2]
    column, row = surface.cells(keypoints[:, :2])
    out = np.zeros((h, w), np.uint8)
    for side in ("left", "right"):
        for a, b in ((KEYPOINTS.index(f"{side}_{n}") for n in line) for line in _LINES):
            if keypoints[a, 3] > SEEN and keypoints[b, 3] > SEEN:
                cv2.line(out, (int(column[a]), int(row[a])), (int(column[b]), int(row[b])), 1, 2 * REACH + 1)
    return out > 0


def unlike(
    colour: np.ndarray,  # [h, w, 3] float32 in [0, 1]
    worn: np.ndarray | None,  # [h, w] uint8 classes
    around: np.ndarray,  # [h, w] bool: pixels of the surroundings
) -> np.ndarray:
    """[h, w] bool: pixels whose colour or class is not that of the surroundings."""

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x.astype(np.float32), (0, 0), AROUND)

    weight = blur(around) + 1e-4
    mean = blur(colour * around[..., None]) / weight[..., None]
    out = np.abs(colour - mean).max(-1) > COLOUR
    for k in np.unique(worn) if worn is not None else ():
        out |= (worn == k) & (blur(around & (worn == k)) < SHARE * weight)
    return out


def in_crop(
    surface: SurfaceMap,
    cells: np.ndarray,  # [h, w] bool
    box: tuple[float, float, float],  # x0, y0, scale of a crop
    size: int,  # pixels a side of the crop
) -> np.ndarray:
    """[size, size] bool: pixels of the crop that lie in such cells."""
    x0, y0, k = box
    A = surface.M[:, :2] / k  # crop pixels (centres at integers) to cells
    M = np.c_[A, surface.M[:, 2] + surface.M[:, :2] @ (np.array([x0, y0]) + 0.5 / k - 0.5)]
    found = cv2.warpAffine(cells.astype(np.float32), M, (size, size),
                           flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)  # fmt: skip
    return found >= 0.5
