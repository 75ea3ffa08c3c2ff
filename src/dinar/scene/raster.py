"""Triangle rasteriser: which face, where in it, and how far, for every pixel (the R of §3.1).

Three implementations have the same result on every pixel: one compiled by numba for the CPU (:mod:`._numba`), one in
plain torch for any device (:mod:`._torch_raster`), one in Triton for CUDA (:mod:`._triton_raster`). Not differentiable;
gradients come from :mod:`.interpolate` and :mod:`.silhouette`.

Coverage is exact. Vertices are snapped to 1/256 pixel and edge functions are 64-bit integers with a top-left rule, so
a pixel centre on an edge between two triangles belongs to exactly one of them. Barycentrics are those of the snapped
triangle, never negative. The nearest face wins, at equal depth the one with the lower index. Triangles are dropped,
not clipped, if a vertex is nearer than ``near``, farther than :data:`FAR`, more than :data:`GUARD` pixels from the
image's origin, or not finite; so are triangles without area.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DinarError
from .camera import Camera
from .fragments import GUARD, Fragments


def rasterize(
    xy: Tensor,  # [B, V, 2] pixels, from Camera.project
    depth: Tensor,  # [B, V] camera z, metres
    faces: np.ndarray | Tensor,  # [F, 3] int, counter-clockwise seen from outside; int32 numpy is fastest on the CPU
    height: int,
    width: int,
    *,
    perspective: bool = True,  # False for orthographic cameras
    cull: Literal["back", "none"] = "back",
    near: float = 1e-3,  # metres, > 0
    behind: Tensor | None = None,  # [B, H, W] metres: only faces farther than this are visible; depth peeling
    backend: Literal["auto", "numba", "torch", "triton"] = "auto",  # auto: triton or torch on CUDA, else numba
) -> Fragments:
    """Visible face, barycentrics and depth of B meshes with the same faces, on the device of ``xy``.

    With the depth of one call as ``behind`` of the next, the second finds the next layer of faces.

    Raises:
        DinarError: a shape, size or option is wrong, or a face has an index that is no vertex.
    """
    if xy.ndim != 3 or xy.shape[2] != 2 or depth.shape != xy.shape[:2]:
        raise DinarError(f"expected xy [B, V, 2] and depth [B, V], got {list(xy.shape)} and {list(depth.shape)}")
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise DinarError(f"expected faces [F, 3], got {list(faces.shape)}")
    if not (0 < height <= GUARD and 0 < width <= GUARD):
        raise DinarError(f"expected an image of 1 to {GUARD:.0f} pixels a side, got {height} x {width}")
    if not near > 0 or cull not in ("back", "none") or backend not in ("auto", "numba", "torch", "triton"):
        raise DinarError(f"expected near > 0, cull back or none, backend auto, numba, torch or triton; got {near=} "
                         f"{cull=} {backend=}")  # fmt: skip
    if behind is not None and behind.shape != (len(xy), height, width):
        raise DinarError(f"expected behind [{len(xy)}, {height}, {width}], got {list(behind.shape)}")
    device = xy.device
    xy, depth = xy.detach(), depth.detach()
    on_gpu = device.type == "cuda" and backend != "numba"
    if not on_gpu and device.type != "cpu":  # MPS has no 64-bit scatter
        xy, depth = xy.cpu(), depth.cpu()
        behind = None if behind is None else behind.cpu()
    if backend == "numba" or (backend == "auto" and not on_gpu):
        from ._numba import rasterize_numba as run
    elif backend == "triton":
        from ._triton_raster import rasterize_triton as run
    elif backend == "auto":
        run = _for_cuda(device)
    else:
        from ._torch_raster import rasterize_torch as run
    wall = None if behind is None else behind.detach().float()
    face, bary, d = run(xy.float(), depth.float(), faces, height, width, perspective, cull == "back", near, wall)
    if face.device != device:
        face, bary, d = face.to(device), bary.to(device), d.to(device)
    return Fragments(face, bary, d)


@cache
def _for_cuda(device: torch.device) -> Callable:
    """Triton's kernels if a triangle can be drawn with them (they need a C compiler once), else torch's."""
    from ._torch_raster import rasterize_torch

    triangle = torch.tensor([[[0.0, 0], [0, 4], [4, 0]]], device=device), torch.ones(1, 3, device=device)
    try:
        from ._triton_raster import rasterize_triton

        face = rasterize_triton(*triangle, np.array([[0, 1, 2]]), 2, 2, True, True, 1e-3, None)[0]
        if face.any():  # face 0 is everywhere
            raise DinarError(f"expected face 0, got {face.tolist()}")
        return rasterize_triton
    except Exception as e:
        warnings.warn(f"Triton fails here, so torch draws, which takes longer: {e}", stacklevel=2)
        return rasterize_torch


def rasterize_mesh(
    vertices: Tensor,  # [V, 3] world, metres
    faces: np.ndarray | Tensor,  # [F, 3] int
    camera: Camera,
    cull: Literal["back", "none"] = "back",
) -> Fragments:
    """:func:`rasterize` of one mesh in the image of a camera: B is 1."""
    xy, depth = camera.project(vertices)
    return rasterize(xy[None], depth[None], faces, camera.height, camera.width,
                     perspective=not camera.orthographic, cull=cull)  # fmt: skip


def coverage(
    xy: Tensor,  # [B, V, 2] pixels
    depth: Tensor,  # [B, V] camera z, metres
    faces: np.ndarray | Tensor,  # [F, 3]
    height: int,
    width: int,
    samples: int = 2,  # subpixels a side of a pixel
) -> Tensor:
    """[B, H, W] float32 in [0, 1]: the share of each pixel that the meshes cover; antialiased."""
    f = rasterize(xy * samples, depth, faces, height * samples, width * samples)
    return F.avg_pool2d(f.mask[:, None].float(), samples)[:, 0]
