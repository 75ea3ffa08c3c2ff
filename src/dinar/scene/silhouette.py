"""Silhouettes: coverage with gradients to the vertices, and distances to a mask (§4.1)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from .fragments import GUARD, Fragments, face_index


def soft_silhouette(
    fragments: Fragments,
    xy: Tensor,  # [B, V, 2] pixels: those that the fragments were rasterised from
    faces: np.ndarray | Tensor,  # [F, 3] int
) -> Tensor:
    """Coverage [B, H, W] in [0, 1], differentiable in ``xy``; 0 or 1 except at outlines.

    Analytic antialiasing as in Laine et al., *Modular Primitives for High-Performance Differentiable Rendering* (2020),
    §3.6, but from the edges of the mesh's outline (a front face on one side only), so that faces may be smaller than
    pixels. Where the line between the centres of a covered and an empty neighbour meets such an edge, the pixel of the
    meeting point gets the share that the edge cuts off.

    By the divergence theorem the area grows by ∮ δx dy − ∮ δy dx when the border moves by δ. So pairs of neighbours in
    a row carry the gradient to x, pairs in a column the gradient to y, and nothing is counted twice. The value of a
    piece of border is divided between the two by its squared direction cosines.

    Needs fragments with back faces culled. Parts too thin to cover a pixel centre have neither value nor gradient.
    """
    B, H, W = fragments.face.shape
    if xy.ndim != 3 or len(xy) != B or xy.shape[2] != 2:
        raise DinarError(f"expected xy [{B}, V, 2], got {list(xy.shape)}")
    mask = fragments.mask.reshape(-1)
    tail, head, image = _outline(xy.detach(), faces)
    points, fixed = xy.reshape(-1, 2), _snapped(xy.detach()).reshape(-1, 2)
    coverage = mask.to(xy.dtype)
    for along, across, step, stride, lines, length, low in (
        (0, 1, 1, W, H, W, -1),  # pairs in a row: the inside is on the low side (left) of edges that go up
        (1, 0, W, 1, W, H, 1),  # pairs in a column: on the low side (above) of edges that go right
    ):
        # every crossing of an edge with a line through pixel centres
        w0, w1 = fixed[tail, across], fixed[head, across]
        first = (torch.minimum(w0, w1) - 0.5).ceil().clamp(0, lines).long()
        count = (torch.maximum(w0, w1) - 0.5).ceil().clamp(0, lines).long() - first
        edge = torch.repeat_interleave(count)
        line = torch.arange(len(edge), device=xy.device) - (count.cumsum(0) - count - first)[edge]
        a, b, dw = tail[edge], head[edge], (w1 - w0)[edge]
        t = (line + 0.5 - w0[edge]) / dw
        u = fixed[a, along] + t * (fixed[b, along] - fixed[a, along])
        before = (u - 0.5).floor()
        # keep crossings between a covered and an empty centre; on a centre, the rasteriser's tie rule decides the side
        inside_low = dw * low > 0
        row = image[edge] * (H * W) + line * stride
        tied = (u - 0.5 == before) & (mask[row + before.clamp(0, length - 1).long() * step] != inside_low)
        before = torch.where(tied, before - 1, before)
        ok = (before >= 0) & (before < length - 1)
        pixel = row + torch.where(ok, before, 0).long() * step
        after = torch.where(ok, pixel + step, pixel)
        ok &= (mask[pixel] == inside_low) & (mask[after] != inside_low)
        reach = u - 0.5 - before
        reach = torch.where(inside_low, reach, 1 - reach)  # from the covered centre, in [0, 1]
        k = _outermost(pixel, reach, ok)

        a, b, t, reach, inside_low = a[k], b[k], t[k], reach[k], inside_low[k]
        place = torch.where((reach > 0.5) == inside_low, after[k], pixel[k])
        du = fixed[b, along] - fixed[a, along]
        share = dw[k] ** 2 / (dw[k] ** 2 + du**2)
        moving = (1 - t) * points[a, along] + t * points[b, along]
        moving = (moving - moving.detach()) * torch.where(inside_low, 1, -1)
        coverage = coverage.index_add(0, place, share * (reach - 0.5) + moving)
    coverage = coverage + (coverage.clamp(0, 1) - coverage).detach()  # gradients pass where two borders share a pixel
    return coverage.view(B, H, W)


def _outermost(pair: Tensor, reach: Tensor, ok: Tensor) -> Tensor:
    """Indices of the farthest crossing of each pair of pixels, among those that are ok."""
    k = ok.nonzero()[:, 0]
    k = k[reach[k].argsort()]
    k = k[pair[k].argsort(stable=True)]
    last = torch.ones_like(k, dtype=torch.bool)
    last[:-1] = pair[k[1:]] != pair[k[:-1]]
    return k[last]


def _snapped(xy: Tensor) -> Tensor:
    """Snap to the rasteriser's grid, so that both agree which centres are covered."""
    return (torch.nan_to_num(xy).clamp(-GUARD, GUARD) * 256).round() / 256


def _outline(xy: Tensor, faces: np.ndarray | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Edges with a front face on exactly one side: tail and head [N] into B * V, in the order of that face, and the
    image [N]."""
    tri = face_index(faces, xy.device)
    across = torch.from_numpy(_faces_across(tri.cpu().numpy().tobytes())).to(xy.device)
    p = _snapped(xy)[:, tri.reshape(-1)].unflatten(1, (-1, 3))
    ab, ac = p[:, :, 1] - p[:, :, 0], p[:, :, 2] - p[:, :, 0]
    front = ab[..., 0] * ac[..., 1] < ab[..., 1] * ac[..., 0]  # y is down
    beyond = torch.nn.functional.pad(front, (0, 1))[:, across]  # index -1: nothing there
    image, face, i = (front[..., None] & ~beyond).nonzero(as_tuple=True)
    start = image * xy.shape[1]
    return tri[face, i] + start, tri[face, (i + 1) % 3] + start, image


@lru_cache(maxsize=8)
def _faces_across(faces: bytes) -> np.ndarray:
    """[F, 3] int64 face on the other side of the edge from corner i to i + 1, -1 at borders. Takes the bytes of
    int64 faces, because arrays are not hashable."""
    tri = np.frombuffer(faces, np.int64).reshape(-1, 3)
    ends = np.stack([tri, np.roll(tri, -1, 1)], -1).reshape(-1, 2)
    order = np.lexsort(np.sort(ends, 1).T)
    s = np.sort(ends, 1)[order]
    pair = (s[1:] == s[:-1]).all(1)
    pair[1:] &= ~pair[:-1]  # edges of more than two faces: the first two belong together
    a, b = order[:-1][pair], order[1:][pair]
    other = np.full(len(ends), -1)
    other[a], other[b] = b // 3, a // 3
    return other.reshape(-1, 3)


def signed_distance(
    mask: np.ndarray | Tensor,  # [H, W] bool, or numbers above 0 in the mask
) -> np.ndarray:
    """[H, W] float32 Euclidean distance in pixels to the mask's border, negative inside, exact at pixel centres.

    The border runs between pixels, so pixels at it have ±0.5. A mask without border gives ± the image's diagonal.
    """
    m = np.ascontiguousarray(np.asarray(mask) > 0, np.uint8)
    if m.ndim != 2:
        raise DinarError(f"expected a mask [H, W], got {list(m.shape)}")
    if m.all() or not m.any():
        return np.full(m.shape, np.hypot(*m.shape) * (-1 if m.any() else 1), np.float32)
    d = np.where(m, *(cv2.distanceTransform(k, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for k in (m, 1 - m)))
    # Squared distances are whole numbers. OpenCV's roots of them differ in their last bits from call to call where it
    # has one thread (setNumThreads(1), as our workers have), and with them everything that is fitted to a mask.
    d = np.sqrt(np.rint(d * d))
    return np.where(m, np.float32(0.5) - d, d - np.float32(0.5))
