"""Draw a textured mesh: the classical renderer, and the picture that baselines are judged by."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from .camera import Camera
from .interpolate import interpolate
from .raster import rasterize


def render_textured(
    vertices: Tensor,  # [V, 3] world, metres
    faces: np.ndarray,  # [F, 3]
    uv: np.ndarray,  # [T, 2] in [0, 1], v down
    uv_faces: np.ndarray,  # [F, 3]
    texture: np.ndarray,  # [S, S, 3] uint8 sRGB
    camera: Camera,
    samples: int = 2,  # per axis and pixel
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha; the colour is the texture's, without light."""
    h, w = camera.height, camera.width
    fine = camera.resized(h * samples, w * samples)
    xy, depth = fine.project(vertices)
    f = rasterize(xy[None], depth[None], faces, fine.height, fine.width)
    on = f.face[0].numpy() >= 0
    place = interpolate(f, torch.from_numpy(uv), uv_faces)[0].numpy() * texture.shape[0] - 0.5
    colour = cv2.remap(texture, place[..., 0], place[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    premultiplied = np.dstack([colour * on[..., None], on.astype(np.uint8) * 255]).astype(np.float32) / 255
    out = cv2.resize(premultiplied, (w, h), interpolation=cv2.INTER_AREA) if samples > 1 else premultiplied
    return np.dstack([out[..., :3] / np.maximum(out[..., 3:], 1e-6), out[..., 3]]).clip(0, 1)


def over(rgba: np.ndarray, background: float | np.ndarray = 1.0) -> np.ndarray:
    """Composite [H, W, 4] over a background (a grey or a picture): [H, W, 3] float32."""
    a = rgba[..., 3:]
    return rgba[..., :3] * a + background * (1 - a)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Float in [0, 1] to rounded 8 bit."""
    return (image * 255 + 0.5).clip(0, 255).astype(np.uint8)
