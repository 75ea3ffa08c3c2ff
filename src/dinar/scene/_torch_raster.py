"""The rasteriser in plain torch, for any device; the reference of the compiled ones
(:mod:`._numba`, :mod:`._triton_raster`).

Every triangle lists the pixels of its bounding box; those inside write one 64-bit key (distance bits, face) to the
image with an atomic minimum. Arithmetic is the kernel's, operation by operation, so results are equal bit by bit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .fragments import FAR, GUARD, checked_index

EMPTY = (1 << 63) - 1
CHUNK = 1 << 22  # candidate pixels at a time: about 0.5 GB


def rasterize_torch(
    xy: Tensor,  # [B, V, 2] float32
    depth: Tensor,  # [B, V] float32
    faces: np.ndarray | Tensor,
    height: int,
    width: int,
    perspective: bool,
    cull: bool,
    near: float,
    behind: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Face, barycentrics and depth as in :class:`~dinar.scene.Fragments`."""
    B, V = depth.shape
    tri = checked_index(faces, V, xy.device)
    near_, far = (depth.new_tensor(v) for v in (near, FAR))  # compared in float32, as in the kernel
    good = (xy.abs() <= GUARD).all(2) & (depth > near_) & (depth < far)  # false for NaN
    # 1/256 pixels, pixel centres at multiples of 256
    q = torch.where(good[..., None], torch.round(xy * 256), 0).to(torch.int32) - 128
    z = torch.where(good, depth, 1)
    w = 1 / z if perspective else -z  # linear on the screen

    corner = tri[None] + (torch.arange(B, device=xy.device) * V)[:, None, None]  # [B, F, 3] into B * V
    x, y = (k.reshape(-1).index_select(0, corner.reshape(-1)).view(corner.shape) for k in q.unbind(-1))
    x0 = ((x.amin(-1) + 255) >> 8).clamp(min=0)
    x1 = (x.amax(-1) >> 8).clamp(max=width - 1)
    y0 = ((y.amin(-1) + 255) >> 8).clamp(min=0)
    y1 = (y.amax(-1) >> 8).clamp(max=height - 1)
    X, Y = x.long(), y.long()
    area = (X[..., 1] - X[..., 0]) * (Y[..., 2] - Y[..., 0]) - (Y[..., 1] - Y[..., 0]) * (X[..., 2] - X[..., 0])
    # y is down: triangles that are counter-clockwise to the viewer have a negative area
    keep = (x1 >= x0) & (y1 >= y0) & good[:, tri].all(-1) & ((area < 0) if cull else (area != 0))
    batch, face = keep.nonzero(as_tuple=True)
    pick = (batch, face)
    setup = _Edges(X[pick], Y[pick], area[pick], w.reshape(-1)[corner[pick]], perspective)

    left, top = x0[pick].long(), y0[pick].long()
    wide = x1[pick].long() - left + 1
    end = (wide * (y1[pick] - top + 1)).cumsum(0)
    box = torch.stack([torch.cat([end[:1] * 0, end[:-1]]), wide, left, top, batch * (height * width)], 1)
    key = torch.full((B * height * width,), EMPTY, dtype=torch.int64, device=xy.device)
    total = int(end[-1]) if len(end) else 0
    for start in range(0, total, CHUNK):
        i = torch.arange(start, min(start + CHUNK, total), device=xy.device)
        t = torch.searchsorted(end, i, right=True)
        first, columns, px, py, image = box.index_select(0, t).unbind(1)
        row = torch.div(i - first, columns, rounding_mode="floor")
        px, py = px + (i - first - row * columns), py + row
        e = setup.at(t, px, py)
        inside = (e >= setup.least.index_select(0, t)).all(1).nonzero()[:, 0]
        place, t = (image + py * width + px)[inside], t[inside]
        nearness, _ = setup.blend(t, e.index_select(0, inside))
        if behind is not None:
            wall = behind.reshape(-1)[place]
            far = nearness * wall < near_.new_tensor(1 - 1e-6) if perspective else -nearness > wall + 1e-6
            place, t, nearness = place[far], t[far], nearness[far]
        # Bits of positive floats sort as integers. The nearest pixel has the largest inverse depth, or the least depth.
        bits = (nearness if perspective else -nearness).view(torch.int32).long()
        bits = 0x7FFFFFFF - bits if perspective else bits
        # the triangle's row, not the face: it sorts alike within an image and leads back to the setup
        key.scatter_reduce_(0, place, (bits << 32) | t, "amin")

    pixel = (key != EMPTY).nonzero()[:, 0]
    t, place = key[pixel] & 0xFFFFFFFF, pixel % (height * width)
    nearness, b = setup.blend(t, setup.at(t, place % width, place // width))
    out_face = torch.full_like(key, -1, dtype=torch.int32)
    out_face[pixel] = face[t].int()
    bary = xy.new_zeros(len(key), 3)
    bary[pixel] = b
    out_depth = xy.new_full((len(key),), torch.inf)
    out_depth[pixel] = 1 / nearness if perspective else -nearness
    shape = B, height, width
    return out_face.view(shape), bary.view(*shape, 3), out_depth.view(shape)


class _Edges:
    """Edge functions of N triangles; edge i is opposite to corner i, its value >= 0 inside."""

    def __init__(self, x: Tensor, y: Tensor, area: Tensor, w: Tensor, perspective: bool):
        a, b = [1, 2, 0], [2, 0, 1]
        sign = area.sign()[:, None]
        dx, dy = (x[:, b] - x[:, a]) * sign, (y[:, b] - y[:, a]) * sign
        # value at pixel (0, 0), and its change with each pixel to the right and down
        self.plane = torch.cat([dy * x[:, a] - dx * y[:, a], -256 * dy, 256 * dx], 1)
        self.least = (~((dy < 0) | ((dy == 0) & (dx > 0)))).long()  # top-left rule: pixels on the other edges are out
        inverse = (1 / area.abs().float())[:, None]
        self.scale = inverse * w if perspective else inverse.expand(-1, 3)
        self.w, self.perspective = w, perspective

    def at(self, t: Tensor, px: Tensor, py: Tensor) -> Tensor:
        """[n, 3] int64 values of triangles t at pixels."""
        e, right, down = self.plane.index_select(0, t).split(3, 1)
        return e + right * px[:, None] + down * py[:, None]

    def blend(self, t: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Nearness [n] (inverse depth or -depth) and barycentrics [n, 3] where triangles t have edge values e."""
        p = e.float() * self.scale.index_select(0, t)
        if self.perspective:
            k = (p[:, 0] + p[:, 1]) + p[:, 2]
            return k, p * (1 / k)[:, None]
        pw = p * self.w.index_select(0, t)
        return (pw[:, 0] + pw[:, 1]) + pw[:, 2], p
