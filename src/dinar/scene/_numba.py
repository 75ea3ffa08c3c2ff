"""CPU kernels of the rasteriser, compiled by numba. No atomics: each thread owns a band of rows.

Threads are Python's, as many as torch has: numba's threading layers fail if two Python threads call them or if a
process forks after a call, and data loaders do both.
"""

from __future__ import annotations

import itertools
import math
import os
import weakref
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from .fragments import FAR, GUARD


def compiled(function: Callable) -> Any:
    # Numba caches beside this file, in the user's cache folder if that is read-only, or fails if both are.
    options = {"nogil": True, "error_model": "numpy"}  # no fastmath: the torch implementation rounds alike
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:
        return numba.njit(**options)(function)


@compiled
def _raster_band(  # pragma: no cover
    xy, depth, faces, behind, perspective, cull, near, guard, far, r0, r1, face, bary, out
):
    """Rows r0..r1 of one image. ``out`` holds the key k first (inverse depth or -depth: larger is nearer), the
    depth at the end. ``behind`` [H, W] hides what is not farther; it may be empty. False if a face has an index
    that is no vertex."""
    peel = behind.shape[0] > 0
    V, F, W = xy.shape[0], faces.shape[0], face.shape[1]
    face[r0:r1] = -1
    bary[r0:r1] = 0
    out[r0:r1] = 0 if perspective else -np.inf

    closer = np.float32(1 - 1e-6)  # relative: a layer does not hide itself
    q = np.empty((V, 2), np.int32)  # 1/256 pixels, pixel centres at multiples of 256
    w = np.empty(V, np.float32)  # linear on the screen; 0 marks a vertex whose triangles are dropped
    for v in range(V):
        x, y, z = xy[v, 0], xy[v, 1], depth[v]
        q[v, 0], q[v, 1], w[v] = 0, 0, 0
        if abs(x) <= guard and abs(y) <= guard and z > near and z < far:  # false for NaN
            q[v, 0] = np.int32(np.rint(x * np.float32(256))) - 128
            q[v, 1] = np.int32(np.rint(y * np.float32(256))) - 128
            w[v] = np.float32(1) / z if perspective else -z

    for f in range(F):
        i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
        if i0 < 0 or i1 < 0 or i2 < 0 or i0 >= V or i1 >= V or i2 >= V:
            return False
        ay, by, cy = q[i0, 1], q[i1, 1], q[i2, 1]
        y0 = max((min(ay, by, cy) + 255) >> 8, r0)
        y1 = min(max(ay, by, cy) >> 8, r1 - 1)
        if y1 < y0:
            continue
        ax, bx, cx = np.int64(q[i0, 0]), np.int64(q[i1, 0]), np.int64(q[i2, 0])
        # y is down: triangles that are counter-clockwise to the viewer have a negative area
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0 or (cull and area > 0):
            continue
        x0 = max((min(ax, bx, cx) + 255) >> 8, 0)
        x1 = min(max(ax, bx, cx) >> 8, W - 1)
        w0, w1, w2 = w[i0], w[i1], w[i2]
        if x1 < x0 or w0 == 0 or w1 == 0 or w2 == 0:
            continue
        s = 1 if area > 0 else -1
        inv = np.float32(1) / np.float32(area * s)
        c0 = inv * w0 if perspective else inv
        c1 = inv * w1 if perspective else inv
        c2 = inv * w2 if perspective else inv
        # edge i is opposite to corner i; e_i is twice the area it spans with the pixel, >= 0 inside
        d0x, d0y = (cx - bx) * s, (cy - by) * s
        d1x, d1y = (ax - cx) * s, (ay - cy) * s
        d2x, d2y = (bx - ax) * s, (by - ay) * s
        px, py = np.int64(x0) * 256, np.int64(y0) * 256
        # top-left rule: pixels on the other edges are out, so those edges are moved by one unit
        t0 = 0 if d0y < 0 or (d0y == 0 and d0x > 0) else 1
        t1 = 0 if d1y < 0 or (d1y == 0 and d1x > 0) else 1
        t2 = 0 if d2y < 0 or (d2y == 0 and d2x > 0) else 1
        e0 = d0y * (bx - px) - d0x * (by - py) - t0
        e1 = d1y * (cx - px) - d1x * (cy - py) - t1
        e2 = d2y * (ax - px) - d2x * (ay - py) - t2
        for y in range(y0, y1 + 1):
            a0, a1, a2 = e0, e1, e2
            for x in range(x0, x1 + 1):
                if (a0 | a1 | a2) >= 0:
                    p0 = np.float32(a0 + t0) * c0
                    p1 = np.float32(a1 + t1) * c1
                    p2 = np.float32(a2 + t2) * c2
                    k = p0 + p1 + p2 if perspective else p0 * w0 + p1 * w1 + p2 * w2
                    farther = True
                    if peel:
                        wall = behind[y, x]
                        farther = k * wall < closer if perspective else -k > wall + np.float32(1e-6)
                    if farther and k > out[y, x]:
                        norm = np.float32(1) / k if perspective else np.float32(1)
                        out[y, x] = k
                        face[y, x] = f
                        bary[y, x, 0] = p0 * norm
                        bary[y, x, 1] = p1 * norm
                        bary[y, x, 2] = p2 * norm
                a0 -= d0y * 256
                a1 -= d1y * 256
                a2 -= d2y * 256
            e0 += d0x * 256
            e1 += d1x * 256
            e2 += d2x * 256
    for y in range(r0, r1):
        for x in range(W):
            out[y, x] = np.float32(1) / out[y, x] if perspective else -out[y, x]  # background: inf
    return True


@compiled
def _interpolate_band(face, bary, faces, attributes, r0, r1, out):  # pragma: no cover
    """Rows r0..r1 of one image: attributes [V, C] blended into out [H, W, C]."""
    W, C, F, V = face.shape[1], out.shape[2], faces.shape[0], attributes.shape[0]
    for y in range(r0, r1):
        for x in range(W):
            f = face[y, x]
            if f < 0:
                for c in range(C):
                    out[y, x, c] = 0
                continue
            if f >= F:
                return False
            i0, i1, i2 = faces[f, 0], faces[f, 1], faces[f, 2]
            if i0 < 0 or i1 < 0 or i2 < 0 or i0 >= V or i1 >= V or i2 >= V:
                return False
            b0, b1, b2 = bary[y, x, 0], bary[y, x, 1], bary[y, x, 2]
            for c in range(C):
                out[y, x, c] = b0 * attributes[i0, c] + b1 * attributes[i1, c] + b2 * attributes[i2, c]
    return True


@compiled
def _shade_band(face, bary, places, uv_faces, texture, samples, r0, r1, out):  # pragma: no cover
    """Rows r0..r1 of a picture [H, W, 4], straight alpha: samples² fine pixels each, texture looked up bilinearly.
    ``places`` are texels."""
    S, n = texture.shape[0], np.float32(1) / (samples * samples)
    last, one = np.float32(S - 1), np.float32(1)
    for y in range(r0, r1):
        for x in range(out.shape[1]):
            r = g = b = a = np.float32(0)
            for fy in range(y * samples, (y + 1) * samples):
                for fx in range(x * samples, (x + 1) * samples):
                    f = face[fy, fx]
                    if f < 0:
                        continue
                    i0, i1, i2 = uv_faces[f, 0], uv_faces[f, 1], uv_faces[f, 2]
                    b0, b1, b2 = bary[fy, fx, 0], bary[fy, fx, 1], bary[fy, fx, 2]
                    u = b0 * places[i0, 0] + b1 * places[i1, 0] + b2 * places[i2, 0]
                    v = b0 * places[i0, 1] + b1 * places[i1, 1] + b2 * places[i2, 1]
                    u, v = min(max(u, np.float32(0)), last), min(max(v, np.float32(0)), last)
                    x0, y0 = int(u), int(v)
                    x1, y1 = min(x0 + 1, S - 1), min(y0 + 1, S - 1)
                    u, v = u - np.float32(x0), v - np.float32(y0)
                    w00, w01, w10, w11 = (one - u) * (one - v), u * (one - v), (one - u) * v, u * v
                    r += (
                        w00 * texture[y0, x0, 0]
                        + w01 * texture[y0, x1, 0]
                        + w10 * texture[y1, x0, 0]
                        + w11 * texture[y1, x1, 0]
                    )
                    g += (
                        w00 * texture[y0, x0, 1]
                        + w01 * texture[y0, x1, 1]
                        + w10 * texture[y1, x0, 1]
                        + w11 * texture[y1, x1, 1]
                    )
                    b += (
                        w00 * texture[y0, x0, 2]
                        + w01 * texture[y0, x1, 2]
                        + w10 * texture[y1, x0, 2]
                        + w11 * texture[y1, x1, 2]
                    )
                    a += one
            if a > 0:
                k = one / (a * np.float32(255))
                out[y, x, 0], out[y, x, 1], out[y, x, 2], out[y, x, 3] = r * k, g * k, b * k, a * n
            else:
                out[y, x, 0] = out[y, x, 1] = out[y, x, 2] = out[y, x, 3] = np.float32(0)
    return True


_pool: tuple[int, int, ThreadPoolExecutor] | None = None  # process, threads, pool: forks start their own


def _in_bands(kernel: Callable[[int, int, int], bool], batch: int, height: int, y: np.ndarray | None = None) -> None:
    """Run ``kernel(image, r0, r1)`` over all rows of all images on torch's number of threads.

    With ``y`` [B, V], the vertices' rows in each image, bands have about equal shares of the faces and the rows.
    """
    global _pool
    threads = torch.get_num_threads()
    bands = min(height, -(-threads // batch)) if batch else 1
    jobs = []
    for b in range(batch):
        cuts = [height * i // bands for i in range(bands + 1)]
        if bands > 1 and y is not None:
            # faces and pixels take about half the time each: half the sample is vertices, half is rows
            some = y[b, :: max(1, y.shape[1] // 256)]
            rows = np.linspace(0, height, len(some))
            mixed = np.sort(np.concatenate([rows, some[(some > 0) & (some < height)]]))
            cuts[1:-1] = [int(mixed[len(mixed) * i // bands]) for i in range(1, bands)]
        jobs += [(b, r0, r1) for r0, r1 in itertools.pairwise(cuts) if r1 > r0]
    if threads == 1 or len(jobs) < 2:
        good = [kernel(*job) for job in jobs]
    else:
        if _pool is None or _pool[:2] != (os.getpid(), threads):
            _pool = (os.getpid(), threads, ThreadPoolExecutor(threads - 1, "dinar-raster"))
        pending = [_pool[2].submit(kernel, *job) for job in jobs[1:]]
        good = [kernel(*jobs[0])]
        # the calling thread takes jobs that no worker has begun, from the end
        for job, future in zip(jobs[:0:-1], reversed(pending), strict=True):
            good.append(kernel(*job) if future.cancel() else future.result())
    if not all(good):
        raise DinarError("faces index vertices that do not exist; pass the faces that belong to these vertices")


# Memory of dropped results, reused because fresh pages take 0.9 of the 2.3 ms of a 512² image (benchmarks/raster.py).
_spare: deque[np.ndarray] = deque(maxlen=6)
SPARE_BYTES = 1 << 18, 1 << 25  # sizes that are kept: at most 6 times 32 MB


def _uninitialised(*shape: int, dtype: type = np.float32) -> np.ndarray:
    """Like np.empty for 4-byte types, but reuses the memory of results without references."""
    size = 4 * math.prod(shape)
    if not SPARE_BYTES[0] <= size <= SPARE_BYTES[1]:
        return np.empty(shape, dtype)
    memory = None
    for _ in range(len(_spare)):
        try:
            candidate = _spare.popleft()
        except IndexError:  # another thread was faster
            break
        if candidate.nbytes == size:
            memory = candidate
            break
        _spare.append(candidate)
    memory = np.empty(size, np.uint8) if memory is None else memory
    array = memory.view(dtype).reshape(shape)
    weakref.finalize(array, _spare.append, memory).atexit = False  # torch.from_numpy keeps `array` itself alive
    return array


def face_array(faces: np.ndarray | Tensor) -> np.ndarray:
    """Faces [F, 3] as C-contiguous int32; a copy only if needed."""
    array = faces.detach().cpu().numpy() if isinstance(faces, Tensor) else faces
    return np.require(array, np.int32, ["C", "W"])  # one type only, so that numba compiles once


def rasterize_numba(
    xy: Tensor,  # [B, V, 2] float32 on the CPU
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
    B = len(xy)
    hidden = np.empty((B, 0, 0), np.float32) if behind is None else behind.contiguous().numpy()
    face = _uninitialised(B, height, width, dtype=np.int32)
    bary, out = _uninitialised(B, height, width, 3), _uninitialised(B, height, width)
    p, z, tri = xy.contiguous().numpy(), depth.contiguous().numpy(), face_array(faces)
    limits = np.float32(near), np.float32(GUARD), np.float32(FAR)

    def kernel(i: int, r0: int, r1: int) -> bool:
        return _raster_band(p[i], z[i], tri, hidden[i], perspective, cull, *limits, r0, r1, face[i], bary[i], out[i])

    _in_bands(kernel, B, height, xy.numpy()[..., 1])
    return torch.from_numpy(face), torch.from_numpy(bary), torch.from_numpy(out)


def interpolate_numba(face: Tensor, bary: Tensor, faces: np.ndarray | Tensor, attributes: Tensor) -> Tensor:
    """[B, H, W, C] float32 from float32 attributes [1 or B, V, C]; no gradients."""
    B, H, W = face.shape
    out = _uninitialised(B, H, W, attributes.shape[2])
    f, b = face.contiguous().numpy(), bary.detach().contiguous().numpy()
    a, tri = attributes.detach().contiguous().numpy(), face_array(faces)

    def kernel(i: int, r0: int, r1: int) -> bool:
        return _interpolate_band(f[i], b[i], tri, a[i % len(a)], r0, r1, out[i])

    _in_bands(kernel, B, H)
    return torch.from_numpy(out)


def shade_numba(
    face: Tensor,  # [H samples, W samples] int32
    bary: Tensor,  # [H samples, W samples, 3]
    uv: np.ndarray,  # [T, 2] float32
    uv_faces: np.ndarray,  # [F, 3]
    texture: np.ndarray,  # [S, S, 3] uint8
    samples: int,
    out: np.ndarray | None = None,  # written, if given
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha."""
    f, b = face.numpy(), bary.numpy()
    H, W = f.shape[0] // samples, f.shape[1] // samples
    out = np.empty((H, W, 4), np.float32) if out is None else out
    corners = face_array(uv_faces)
    places = np.require(uv, np.float32, ["C", "W"]) * np.float32(texture.shape[0]) - np.float32(0.5)
    colours = np.require(texture, np.uint8, ["C", "W"])
    _in_bands(lambda _, r0, r1: _shade_band(f, b, places, corners, colours, samples, r0, r1, out), 1, H)
    return out
