"""Render a textured mesh without a network: the mesh renderer. One picture by numba's kernels, or many by a GPU."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ._numba import shade_numba
from .camera import Camera
from .fragments import GUARD, Fragments, face_index
from .raster import rasterize


def render_textured(
    vertices: Tensor,  # [V, 3] world, metres, on the CPU
    faces: np.ndarray | Tensor,  # [F, 3]
    uv: np.ndarray | Tensor,  # [T, 2] in [0, 1], v down
    uv_faces: np.ndarray | Tensor,  # [F, 3]
    texture: np.ndarray | Tensor,  # [S, S, 3] uint8 sRGB
    camera: Camera,
    samples: int = 2,  # subpixels a side of a pixel
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha; colours are the texture's, without lighting."""
    h, w = camera.height, camera.width
    fine = camera.resized(h * samples, w * samples)
    xy, depth = fine.project(vertices)
    x0, y0, x1, y1 = _frame(xy / samples, w, h)
    f = rasterize((xy - samples * xy.new_tensor([x0, y0]))[None], depth[None], faces, samples * (y1 - y0),
                  samples * (x1 - x0), perspective=not fine.orthographic)  # fmt: skip
    as_array = lambda x: x.numpy() if isinstance(x, Tensor) else x  # noqa: E731
    out = np.zeros((h, w, 4), np.float32)
    shade_numba(f.face[0], f.barycentrics[0], as_array(uv), as_array(uv_faces), as_array(texture), samples,
                out[y0:y1, x0:x1])  # fmt: skip
    return out


def _frame(xy: Tensor, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of a picture in which vertices [V, 2] lie, at least a pixel: left, upper, right and lower end. All of it
    if some are farther out than the rasteriser reaches."""
    low, high = xy.amin(0).tolist(), xy.amax(0).tolist()
    if not (min(low) > -GUARD / 4 and max(high) < GUARD / 4):  # false for NaN, too
        return 0, 0, width, height
    x0, y0 = (min(max(int(a), 0), n - 1) for a, n in zip(low, (width, height), strict=True))
    x1, y1 = (min(max(int(b), a) + 1, n) for a, b, n in zip((x0, y0), high, (width, height), strict=True))
    return x0, y0, x1, y1


def render_together(
    vertices: Tensor,  # [B, V, 3] world, metres
    faces: Tensor,  # [F, 3]
    uv: Tensor,  # [T, 2]
    uv_faces: Tensor,  # [F, 3]
    texture: Tensor,  # [S, S, 3] uint8 sRGB
    cameras: Sequence[Camera],  # B of one size, all perspective or all orthographic
    samples: int = 2,
) -> Tensor:
    """:func:`render_textured` of B poses, [B, H, W, 4] on their device: what a GPU is given to do at once."""
    h, w = cameras[0].height * samples, cameras[0].width * samples
    seen = [c.resized(h, w).to(v.device).project(v) for c, v in zip(cameras, vertices, strict=True)]
    xy, depth = (torch.stack(x) for x in zip(*seen, strict=True))
    f = rasterize(xy, depth, faces, h, w, perspective=not cameras[0].orthographic)
    return shade_torch(f, uv, uv_faces, texture, samples)


def shade_torch(
    f: Fragments,  # of B meshes, in fine pixels
    uv: Tensor,  # [T, 2]
    uv_faces: Tensor,  # [F, 3]
    texture: Tensor,  # [S, S, 3] uint8
    samples: int,
) -> Tensor:
    """[B, H, W, 4] on the fragments' device: what :func:`shade_numba` computes, every fine pixel at once."""
    face, size = f.face, texture.shape[0]
    on = (face >= 0)[..., None].float()
    corner = face_index(uv_faces, face.device)[face.clamp(min=0).long()]  # [B, H, W, 3]
    at = (f.barycentrics[..., None] * uv[corner]).sum(3) * size - 0.5
    at = at.clamp(0, size - 1)
    low = at.long()
    high = (low + 1).clamp(max=size - 1)
    (u, v), (x0, y0), (x1, y1) = (at - low).unsqueeze(-2).unbind(-1), low.unbind(-1), high.unbind(-1)
    look = lambda y, x: texture[y, x].float()  # noqa: E731
    above = look(y0, x0) * (1 - u) + look(y0, x1) * u
    below = look(y1, x0) * (1 - u) + look(y1, x1) * u
    colour = (above * (1 - v) + below * v) * on / 255
    h, w = face.shape[1] // samples, face.shape[2] // samples
    total = torch.cat([colour, on], -1).view(-1, h, samples, w, samples, 4).sum((2, 4))
    count = total[..., 3:]
    return torch.cat([total[..., :3] / count.clamp(min=1), count / samples**2], -1)


def over(rgba: np.ndarray, background: float | np.ndarray = 1.0) -> np.ndarray:
    """Composite [H, W, 4] in [0, 1], straight alpha, over a grey or an image [H, W, 3]: [H, W, 3] float32."""
    a = rgba[..., 3:]
    return rgba[..., :3] * a + background * (1 - a)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8, rounded and clipped."""
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)
