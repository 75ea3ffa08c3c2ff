"""The rasteriser in Triton, for CUDA: what :mod:`._torch_raster` computes, bit by bit, in two kernels.

One program for each triangle walks over the pixels of its bounding box; those inside write one 64-bit key (distance
bits, face) with an atomic minimum. Then every pixel computes where in its face it is.
"""

from typing import Any

import numpy as np
import torch
import triton  # type: ignore[import-not-found]  # comes with torch's CUDA builds
import triton.language as tl  # type: ignore[import-not-found]
from torch import Tensor

from .fragments import FAR, GUARD, checked_index

EMPTY = tl.constexpr((1 << 63) - 1)
FARTHEST, OUTERMOST = tl.constexpr(FAR), tl.constexpr(GUARD)
STEP, PIXELS = 64, 256  # pixels at a time of a triangle, and of the image


@triton.jit
def _rounded(v):
    """To whole numbers, halves to even ones."""
    low = tl.floor(v)
    part = v - low
    odd = low - 2 * tl.floor(low * 0.5)
    return low.to(tl.int64) + ((part > 0.5) | ((part == 0.5) & (odd == 1.0))).to(tl.int64)


@triton.jit
def _corner(xy, depth, v, near, PERSPECTIVE: tl.constexpr):
    """1/256 pixels of vertices, pixel centres at multiples of 256; what is linear on the screen; whether to draw."""
    x, y, z = tl.load(xy + 2 * v), tl.load(xy + 2 * v + 1), tl.load(depth + v)
    good = (tl.abs(x) <= OUTERMOST) & (tl.abs(y) <= OUTERMOST) & (z > near) & (z < FARTHEST)  # false for NaN
    qx, qy = _rounded(tl.where(good, x * 256, 0.0)) - 128, _rounded(tl.where(good, y * 256, 0.0)) - 128
    z = tl.where(good, z, 1.0)
    w = tl.math.div_rn(1.0, z) if PERSPECTIVE else -z
    return qx, qy, w, good


@triton.jit
def _triangle(xy, depth, faces, f, first, near, PERSPECTIVE: tl.constexpr):
    """Corners of faces, and twice their area: y is down, so that of front faces is negative."""
    ax, ay, aw, a = _corner(xy, depth, first + tl.load(faces + 3 * f), near, PERSPECTIVE)
    bx, by, bw, b = _corner(xy, depth, first + tl.load(faces + 3 * f + 1), near, PERSPECTIVE)
    cx, cy, cw, c = _corner(xy, depth, first + tl.load(faces + 3 * f + 2), near, PERSPECTIVE)
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return ax, ay, aw, bx, by, bw, cx, cy, cw, area, a & b & c


@triton.jit
def _edge(x0, y0, x1, y1, area, px, py):
    """Twice the area between an edge and pixels, >= 0 inside, and the least that is inside (top-left rule)."""
    sign = tl.where(area > 0, 1, -1)
    dx, dy = (x1 - x0) * sign, (y1 - y0) * sign
    e = dy * (x0 - 256 * px) - dx * (y0 - 256 * py)
    return e, tl.where((dy < 0) | ((dy == 0) & (dx > 0)), 0, 1)


@triton.jit
def _blend(ea, eb, ec, aw, bw, cw, area, PERSPECTIVE: tl.constexpr):
    """Nearness (inverse depth or -depth) and barycentrics."""
    unit = tl.math.div_rn(1.0, tl.abs(area).to(tl.float32))
    if PERSPECTIVE:
        a, b, c = ea.to(tl.float32) * (unit * aw), eb.to(tl.float32) * (unit * bw), ec.to(tl.float32) * (unit * cw)
        near = (a + b) + c
        norm = tl.math.div_rn(1.0, near)
        return near, a * norm, b * norm, c * norm
    else:
        a, b, c = ea.to(tl.float32) * unit, eb.to(tl.float32) * unit, ec.to(tl.float32) * unit
        return (a * aw + b * bw) + c * cw, a, b, c


@triton.jit(do_not_specialize=["V", "height", "width"])
def _draw(key, xy, depth, faces, behind, V, height, width, near, PERSPECTIVE: tl.constexpr, CULL: tl.constexpr,
          PEEL: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    f, image = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    ax, ay, aw, bx, by, bw, cx, cy, cw, area, good = _triangle(xy, depth, faces, f, image * V, near, PERSPECTIVE)
    if CULL:
        good &= area < 0
    else:
        good &= area != 0
    x0 = tl.maximum((tl.minimum(tl.minimum(ax, bx), cx) + 255) >> 8, 0).to(tl.int32)
    y0 = tl.maximum((tl.minimum(tl.minimum(ay, by), cy) + 255) >> 8, 0).to(tl.int32)
    wide = tl.minimum(tl.maximum(tl.maximum(ax, bx), cx) >> 8, width - 1).to(tl.int32) - x0 + 1
    high = tl.minimum(tl.maximum(tl.maximum(ay, by), cy) >> 8, height - 1).to(tl.int32) - y0 + 1
    count = tl.where(good & (wide > 0) & (high > 0), wide * high, 0)
    for start in range(0, count, BLOCK):
        i = start + tl.arange(0, BLOCK)
        px, py = (x0 + i % wide).to(tl.int64), (y0 + i // wide).to(tl.int64)
        ea, la = _edge(bx, by, cx, cy, area, px, py)
        eb, lb = _edge(cx, cy, ax, ay, area, px, py)
        ec, lc = _edge(ax, ay, bx, by, area, px, py)
        inside = (i < count) & (ea >= la) & (eb >= lb) & (ec >= lc)
        near_, _, _, _ = _blend(ea, eb, ec, aw, bw, cw, area, PERSPECTIVE)
        place = (image * height + py) * width + px
        if PEEL:
            wall = tl.load(behind + place, mask=inside, other=0.0)
            if PERSPECTIVE:
                inside &= near_ * wall < 1 - 1e-6  # relative: a layer does not hide itself
            else:
                inside &= -near_ > wall + 1e-6
        # Bits of positive floats sort as integers. The nearest has the largest inverse depth, or the least depth.
        bits = (near_ if PERSPECTIVE else -near_).to(tl.int32, bitcast=True)
        bits = 0x7FFFFFFF - bits if PERSPECTIVE else bits
        tl.atomic_min(key + place, (bits.to(tl.int64) << 32) | f, mask=inside, sem="relaxed")


@triton.jit(do_not_specialize=["V", "height", "width"])
def _resolve(key, xy, depth, faces, face, bary, out, V, height, width, near, PERSPECTIVE: tl.constexpr,
             BLOCK: tl.constexpr):  # fmt: skip
    image, i = tl.program_id(1).to(tl.int64), tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    on = i < height * width
    place = image * height * width + i
    k = tl.load(key + place, mask=on, other=EMPTY)
    hit = k != EMPTY
    f = tl.where(hit, k & 0x7FFFFFFF, 0)
    ax, ay, aw, bx, by, bw, cx, cy, cw, area, _ = _triangle(xy, depth, faces, f, image * V, near, PERSPECTIVE)
    px, py = (i % width).to(tl.int64), (i // width).to(tl.int64)
    area = tl.where(hit, area, 1)
    ea, _ = _edge(bx, by, cx, cy, area, px, py)
    eb, _ = _edge(cx, cy, ax, ay, area, px, py)
    ec, _ = _edge(ax, ay, bx, by, area, px, py)
    near_, a, b, c = _blend(ea, eb, ec, aw, bw, cw, area, PERSPECTIVE)
    z = tl.math.div_rn(1.0, near_) if PERSPECTIVE else -near_
    tl.store(face + place, tl.where(hit, f, -1).to(tl.int32), mask=on)
    tl.store(bary + 3 * place, tl.where(hit, a, 0.0), mask=on)
    tl.store(bary + 3 * place + 1, tl.where(hit, b, 0.0), mask=on)
    tl.store(bary + 3 * place + 2, tl.where(hit, c, 0.0), mask=on)
    tl.store(out + place, tl.where(hit, z, float("inf")), mask=on)


_draw_kernel: Any = _draw  # pyright does not see what the decorator makes of it
_resolve_kernel: Any = _resolve


def rasterize_triton(
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
    tri = checked_index(faces, V, xy.device).contiguous()
    face = xy.new_full((B, height, width), -1, dtype=torch.int32)
    bary, out = xy.new_zeros(B, height, width, 3), xy.new_full((B, height, width), torch.inf)
    if not len(tri) or not B:
        return face, bary, out
    key = xy.new_full((B, height, width), EMPTY.value, dtype=torch.int64)
    mesh = xy.contiguous(), depth.contiguous(), tri
    wall = out if behind is None else behind.contiguous()
    size = V, height, width, float(near)
    options = {"PERSPECTIVE": perspective, "enable_fp_fusion": False}  # products and sums are rounded as torch's
    with torch.cuda.device_of(xy):
        draw, resolve = _draw_kernel[(len(tri), B)], _resolve_kernel[(triton.cdiv(height * width, PIXELS), B)]
        draw(key, *mesh, wall, *size, CULL=cull, PEEL=behind is not None, BLOCK=STEP, num_warps=1, **options)
        resolve(key, *mesh, face, bary, out, *size, BLOCK=PIXELS, **options)
    return face, bary, out
