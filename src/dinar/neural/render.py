"""Pictures of a neural texture on a posed body, of any size (§3.1)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..nets.renderer import FastRenderer, push_pull
from ..scene import Camera, coverage, interpolate, rasterize
from .avatar import Neural
from .encode import MARGIN
from .texture import colours, rasterise

HAZE = 0.02  # alpha that a sigmoid never quite loses: without, pictures stand in a faint grey square
# Change of alpha, smoothed over a pixel of the network's, from which on the outline is the network's and no longer the
# mesh's. With .3, 24 photos have PSNR 25.1, LPIPS .048, IoU .944; with the mesh's outline alone (1e9) 24.4, .052, .936,
# as the classical avatar (benchmarks/learned.py).
MOVED = 0.3


@torch.no_grad()
def draw(
    neural: Neural,
    body: Body,
    vertices: Tensor,  # [V, 3] world, of the dressed body
    camera: Camera,
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha.

    The renderer sees the square around the body at the size it knows, and its picture is put in its place in the
    camera's. Where that is larger, the fast layout's own colours, gate and alpha are enlarged, but the photo's colours
    are rasterised at the camera's resolution, and so is the body's outline where the network has not moved it: a
    picture is as sharp as the photo, whatever the network's size.
    """
    picture = np.zeros((camera.height, camera.width, 4), np.float32)
    xy, depth = camera.project(vertices)
    front = xy[depth > 0]
    if not len(front):
        return picture
    low, high = front.amin(0), front.amax(0)
    reach = float((high - low).max()) * 2 * MARGIN  # of clothes and hair beyond the body
    left, top = (low - reach).clamp(min=0).int().tolist()
    right, bottom = (high + reach + 1).minimum(xy.new_tensor([camera.width, camera.height])).int().tolist()
    h, w = bottom - top, right - left
    if h <= 0 or w <= 0:
        return picture
    side = float((high - low).max()) + 2 * reach
    x0, y0 = ((low + high) / 2 - side / 2).tolist()
    n = neural.size
    k = n / side
    square = _Raster(neural, body, vertices, camera.crop(x0, y0, k, n, n))
    inputs = rasterise(neural.texture, square.uv, square.on, neural.coarse), square.uv, square.cover()
    A = np.array([[1 / k, 0, x0 - left + 0.5 / k - 0.5], [0, 1 / k, y0 - top + 0.5 / k - 0.5]])

    def place(*layers: Tensor) -> np.ndarray:  # [1, c, n, n] -> [h, w, all channels]
        image = torch.cat(layers, 1)[0].float().permute(1, 2, 0).cpu().numpy()
        flags = cv2.INTER_CUBIC if k < 1 else cv2.INTER_LINEAR
        parts = [cv2.warpAffine(image[..., i : i + 4], A, (w, h), flags=flags) for i in range(0, image.shape[-1], 4)]
        return np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], -1).clip(0, 1)

    renderer = neural.ready
    if k >= 1 or not isinstance(renderer, FastRenderer):
        rgb, alpha = renderer(*inputs)
        out = place(rgb * alpha, alpha)
        colour, alpha = out[..., :3] / out[..., 3:].clip(1e-3), _clear(out[..., 3:])
    else:
        own, alpha, gate, _ = renderer.layers(*inputs)
        moved = _smooth((_smooth(alpha - inputs[2]).abs() / MOVED).clamp(max=1))
        weight = (alpha + HAZE) / (1 + HAZE)  # of colours: where alpha is 0, they still are something
        out = place(own * weight, weight, gate * weight, _smooth(alpha), moved)
        own, gate = out[..., :3] / out[..., 3:4].clip(1e-3), (out[..., 4:5] / out[..., 3:4].clip(1e-3)).clip(0, 1)
        tall, wide = (-(-x // 64) * 64 for x in (h, w))  # so that push-pull has levels enough
        sharp = _Raster(neural, body, vertices, camera.crop(left, top, 2, 2 * tall, 2 * wide))  # four samples a pixel
        rgb, _, known = colours(neural.texture, sharp.uv, sharp.on, neural.fine).split([3, 1, 1], 1)
        rgb, known, outline = (F.avg_pool2d(x, 2) for x in (rgb * known, known, sharp.on))
        seen = (known > 0.05).to(rgb.dtype)
        filled = push_pull(rgb / known.clamp(min=0.05), seen)[0, :, :h, :w].permute(1, 2, 0).cpu().numpy()
        colour = gate * filled + (1 - gate) * own
        outline = outline[0, 0, :h, :w, None].cpu().numpy()
        alpha = out[..., 6:] * _firm(out[..., 5:6]) + (1 - out[..., 6:]) * outline
    picture[top:bottom, left:right] = np.concatenate([colour.clip(0, 1), alpha], -1)
    return picture


def _clear(alpha: np.ndarray) -> np.ndarray:
    return ((alpha - HAZE) / (1 - 2 * HAZE)).clip(0, 1)


def _firm(alpha: np.ndarray) -> np.ndarray:
    """A smoothed alpha with the slope that it had: enlarged as it is, the network's outline is ragged."""
    return ((alpha - 0.5) * 2 + 0.5).clip(0, 1)


def _smooth(x: Tensor) -> Tensor:  # [1, 1, n, n]
    return torch.from_numpy(cv2.GaussianBlur(x[0, 0].float().cpu().numpy(), (0, 0), 1.0))[None, None].to(x.device)


class _Raster:
    """UV [1, 2, H, W] and where the body is, ``on`` [1, 1, H, W] {0, 1}."""

    def __init__(self, neural: Neural, body: Body, vertices: Tensor, camera: Camera) -> None:
        xy, depth = camera.project(vertices)
        self.mesh = (xy[None], depth[None], body.faces, camera.height, camera.width)
        self.device = neural.texture.device
        f = rasterize(*self.mesh)
        uv = interpolate(f, torch.from_numpy(body.atlas.uv), body.atlas.faces)
        self.uv, self.on = uv.permute(0, 3, 1, 2).to(self.device), f.mask[:, None].float().to(self.device)

    def cover(self) -> Tensor:
        """[1, 1, H, W], its share of each pixel."""
        return coverage(*self.mesh)[:, None].to(self.device)
