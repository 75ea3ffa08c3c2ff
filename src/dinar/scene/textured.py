"""Render a textured mesh without a network: the mesh renderer."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ._numba import shade_numba
from .camera import Camera
from .raster import rasterize_mesh


def render_textured(
    vertices: Tensor,  # [V, 3] world, metres
    faces: np.ndarray,  # [F, 3]
    uv: np.ndarray,  # [T, 2] in [0, 1], v down
    uv_faces: np.ndarray,  # [F, 3]
    texture: np.ndarray,  # [S, S, 3] uint8 sRGB
    camera: Camera,
    samples: int = 2,  # subpixels a side of a pixel
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha; colours are the texture's, without lighting."""
    h, w = camera.height, camera.width
    fine = camera.resized(h * samples, w * samples)
    f = rasterize_mesh(vertices, faces, fine)
    return shade_numba(f.face[0], f.barycentrics[0], uv, uv_faces, texture, samples)


def over(rgba: np.ndarray, background: float | np.ndarray = 1.0) -> np.ndarray:
    """Composite [H, W, 4] in [0, 1], straight alpha, over a grey or an image [H, W, 3]: [H, W, 3] float32."""
    a = rgba[..., 3:]
    return rgba[..., :3] * a + background * (1 - a)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to uint8, rounded and clipped."""
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)
