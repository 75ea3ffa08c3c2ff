"""Silhouettes for fitting (§3.4): coverage with gradients to the vertices, and distances to a mask."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from .interpolate import face_index
from .raster import Fragments

# A neighbour in x is 1 pixel further, in y one row: (axis along the pair, axis across it).
HORIZONTAL, VERTICAL = (0, 1), (1, 0)


def soft_silhouette(
    fragments: Fragments,
    xy: Tensor,  # [B, V, 2] pixels, what the fragments were rasterised from
    faces: np.ndarray | Tensor,  # [F, 3] int
) -> Tensor:
    """Coverage [B, H, W] in [0, 1], differentiable in ``xy``; 0 and 1 except at the mesh's border.

    Analytic antialiasing after Laine et al., *Modular Primitives for High-Performance Differentiable Rendering* (2020),
    §3.6. Wherever a pixel that shows a face lies beside one that shows nothing, the edge of that face is intersected
    with the line between the two centres, and the pixel in which the crossing lies gets the share it cuts off. Each
    piece of border is seen by horizontal or by vertical pairs, whichever it is closer to perpendicular to; counted by
    both, diagonal borders would pull 1.5 times too hard.
    """
    B, H, W = fragments.face.shape
    if xy.ndim != 3 or len(xy) != B or xy.shape[2] != 2:
        raise DinarError(f"expected xy [{B}, V, 2], got {list(xy.shape)}")
    tri = face_index(faces, xy.device)
    mask = fragments.mask
    pixel = torch.arange(B * H * W, device=xy.device).view(B, H, W)
    target, change = [], []
    for axes, step, here, there in (
        (HORIZONTAL, 1, np.s_[:, :, :-1], np.s_[:, :, 1:]),
        (VERTICAL, W, np.s_[:, :-1], np.s_[:, 1:]),
    ):
        for inside, outside, sign in ((here, there, 1), (there, here, -1)):
            source = pixel[inside][mask[inside] & ~mask[outside]]
            corner = tri[fragments.face.reshape(-1)[source].long()] + (source // (H * W) * xy.shape[1])[:, None]
            place = source % (H * W)
            centre = torch.stack([place % W, place // W], -1).to(xy.dtype) + 0.5
            p = xy.reshape(-1, 2)[corner] - centre[:, None]
            x, good = _exit(p[..., axes[0]] * sign, p[..., axes[1]], ties=axes == HORIZONTAL)
            x, source = x[good].clamp(0, 1), source[good]
            # the source pixel counts as covered up to .5 and its neighbour as empty from there
            target.append(torch.where(x.detach() > 0.5, source + sign * step, source))
            change.append(x - 0.5)
    coverage = mask.to(xy.dtype).reshape(-1).index_add(0, torch.cat(target), torch.cat(change))
    return coverage.view(B, H, W).clamp(0, 1)


def _exit(u: Tensor, w: Tensor, ties: bool) -> tuple[Tensor, Tensor]:
    """Where the positive u axis leaves triangles with corners (u, w) [N, 3] around the origin: u [N], and [N] bool
    whether it leaves through an edge that this axis has to count."""
    du, dw = u.roll(-1, 1) - u, w.roll(-1, 1) - w
    crosses = ((w > 0) != (w.roll(-1, 1) > 0)).detach()
    at = u - w * du / torch.where(crosses, dw, torch.ones_like(dw))
    x, edge = torch.where(crosses, at, -torch.inf).max(1)
    steep, flat = (d.detach().gather(1, edge[:, None])[:, 0].abs() for d in (dw, du))
    return x, crosses.any(1) & ((steep >= flat) if ties else (steep > flat))


def signed_distance(
    mask: np.ndarray | Tensor,  # [H, W] bool, or anything that is true in the mask
) -> np.ndarray:
    """[H, W] float32 Euclidean distance in pixels to the mask's border, negative inside, exact at pixel centres.

    The border runs between pixels, so its neighbours have ±.5. A mask without border gives ± the image's diagonal.
    """
    m = np.ascontiguousarray(np.asarray(mask) > 0, np.uint8)
    if m.ndim != 2:
        raise DinarError(f"expected a mask [H, W], got {list(m.shape)}")
    if m.all() or not m.any():
        return np.full(m.shape, np.hypot(*m.shape) * (-1 if m.any() else 1), np.float32)
    outside, inside = (cv2.distanceTransform(k, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for k in (1 - m, m))
    return np.where(m, 0.5 - inside, outside - 0.5).astype(np.float32)
