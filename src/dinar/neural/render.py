"""Render a neural texture on a posed body at any image size (§3.1, eq. 3)."""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..device import half
from ..nets.channels import SIZES
from ..nets.renderer import FastRenderer, push_pull
from ..scene import Camera, coverage, interpolate, rasterize
from .avatar import Neural
from .encode import MARGIN
from .texture import MIN_KNOWN, rasterize_colours, rasterize_texture

HAZE = 0.02  # residual background alpha of the sigmoid; subtracted
# Difference between the network's alpha and the mesh's coverage, both blurred, from which on the outline is the
# network's instead of the mesh's (benchmarks/neural.py, docs/measurements.md).
MOVED = 0.3
BLUR = 1.0  # pixels of the network's picture, standard deviation
SLOPE = 2.0  # of the enlarged alpha at .5: the slope that the blur has taken away
SUPERSAMPLING = 2  # samples a pixel and axis of the photo's colours and the mesh's outline
SIDE_MULTIPLE = 64  # pixels, so that push-pull has enough levels
MIN_ALPHA = 1e-3  # floor of the alpha by which premultiplied colours are divided


@torch.no_grad()
def render(
    neural: Neural,
    body: Body,
    vertices: Tensor,  # [V, 3] metres, world, of the body with offsets to the clothes
    camera: Camera,
) -> np.ndarray:
    """[H, W, 4] float32 in [0, 1], straight alpha.

    The renderer renders the square around the body at its own size, or, if it was trained on windows, the visible
    rectangle around it: in the image's pixels while the body has up to ``largest`` of them. The result is resampled
    into the camera's image.
    The sampled colours of :class:`FastRenderer` are rasterised at the image's resolution, four times a pixel. Where the
    image's is higher than the network's, its own colours, gate and alpha are enlarged, and the outline of the body is
    rasterised, too, where the network has not moved it. Thus the image has the photo's resolution. Where all colours
    are known, the network changes their brightness alone: along outlines of sides and backs its own hue is wrong.
    """
    picture = np.zeros((camera.height, camera.width, 4), np.float32)
    device = neural.texture.device
    if device.type == "cuda":  # the mesh is rasterised there, too
        vertices, camera = vertices.to(device), camera.to(device)
    xy, depth = camera.project(vertices)
    front = xy[depth > 0]
    if not len(front):
        return picture
    low, high = front.amin(0), front.amax(0)
    extent = float((high - low).max())
    windowed = neural.size < min(neural.largest, extent * (1 + 2 * MARGIN))
    reach = extent * MARGIN * (1 if windowed else 2)  # for clothes and hair outside of the body
    left, top = (low - reach).clamp(min=0).int().tolist()
    right, bottom = (high + reach + 1).minimum(xy.new_tensor([camera.width, camera.height])).int().tolist()
    h, w = bottom - top, right - left
    if h <= 0 or w <= 0:
        return picture
    side, coarse = extent + 2 * reach, neural.coarse
    k, columns, rows = neural.size / side, neural.size, neural.size
    if windowed:
        k = min(1.0, neural.largest / side)
        columns, rows = (-(-math.ceil(s * k) // SIDE_MULTIPLE) * SIDE_MULTIPLE for s in (w, h))
        coarse = neural.finest(min(math.ceil(side * k), neural.largest))
        x0, y0 = left, top
    else:
        x0, y0 = ((low + high - side) / 2).tolist()
    part = _Raster(neural, body, vertices, camera.crop(x0, y0, k, rows, columns))
    raster = rasterize_texture(neural.texture, part.uv, part.body_mask, coarse)
    inputs = raster, part.uv, part.cover()
    A = np.array([[1 / k, 0, x0 - left + 0.5 / k - 0.5], [0, 1 / k, y0 - top + 0.5 / k - 0.5]])

    def place(*layers: Tensor) -> np.ndarray:  # [1, c, n, n] -> [h, w, all channels]
        image = torch.cat(layers, 1)[0].float().permute(1, 2, 0).cpu().numpy()
        flags = cv2.INTER_CUBIC if k < 1 else cv2.INTER_LINEAR
        parts = [cv2.warpAffine(image[..., i : i + 4], A, (w, h), flags=flags) for i in range(0, image.shape[-1], 4)]
        return np.concatenate([p if p.ndim == 3 else p[..., None] for p in parts], -1).clip(0, 1)

    renderer = neural.folded_renderer
    if not isinstance(renderer, FastRenderer) or (k >= 1 and not windowed):
        with half(device):
            rgb, alpha = renderer(*inputs)
        out = place(rgb * alpha, alpha)
        colour, alpha = out[..., :3] / out[..., 3:].clip(MIN_ALPHA), _subtract_haze(out[..., 3:])
    else:
        with half(device):
            own, alpha, gate, _ = (x.float() for x in renderer.layers(*inputs))
        if k < 1:
            moved = _blur((_blur(alpha - inputs[2]).abs() / MOVED).clamp(max=1))
        weight = (alpha + HAZE) / (1 + HAZE)  # of colours: positive, so that they are defined where alpha is 0
        out = place(own * weight, weight, gate * weight, *((_blur(alpha), moved) if k < 1 else (alpha,)))
        total = out[..., 3:4].clip(MIN_ALPHA)
        own, gate = out[..., :3] / total, (out[..., 4:5] / total).clip(0, 1)
        m = SUPERSAMPLING
        tall, wide = (-(-x // SIDE_MULTIPLE) * SIDE_MULTIPLE for x in (h, w))
        sharp = _Raster(neural, body, vertices, camera.crop(left, top, m, m * tall, m * wide))
        rgb, _, known = rasterize_colours(neural.texture, sharp.uv, sharp.body_mask, neural.fine).split(SIZES, 1)
        rgb, known, outline = (F.avg_pool2d(x, m) for x in (rgb * known, known, sharp.body_mask))
        seen = (known > MIN_KNOWN).to(rgb.dtype)
        filled = push_pull(rgb / known.clamp(min=MIN_KNOWN), seen)[0, :, :h, :w].permute(1, 2, 0).cpu().numpy()
        if k == 1 and neural.known:
            own = filled + (own - filled).mean(-1, keepdims=True)
        colour = gate * filled + (1 - gate) * own
        if k < 1:
            outline = outline[0, 0, :h, :w, None].cpu().numpy()
            alpha = out[..., 6:] * _steepen(out[..., 5:6]) + (1 - out[..., 6:]) * outline
        else:
            alpha = _subtract_haze(out[..., 5:])
    picture[top:bottom, left:right] = np.concatenate([colour.clip(0, 1), alpha], -1)
    return picture


def _subtract_haze(alpha: np.ndarray) -> np.ndarray:
    return ((alpha - HAZE) / (1 - 2 * HAZE)).clip(0, 1)


def _steepen(alpha: np.ndarray) -> np.ndarray:
    """A blurred alpha with the slope that it had. Without blur, an enlarged outline of the network is ragged."""
    return ((alpha - 0.5) * SLOPE + 0.5).clip(0, 1)


def _blur(x: Tensor) -> Tensor:  # [1, 1, n, n]
    return torch.from_numpy(cv2.GaussianBlur(x[0, 0].float().cpu().numpy(), (0, 0), BLUR))[None, None].to(x.device)


class _Raster:
    """UV render ``uv`` [1, 2, H, W] and ``body_mask`` [1, 1, H, W] {0, 1} of the body in a camera."""

    def __init__(self, neural: Neural, body: Body, vertices: Tensor, camera: Camera) -> None:
        xy, depth = camera.project(vertices)
        self.mesh = (xy[None], depth[None], body.faces, camera.height, camera.width)
        self.device = neural.texture.device
        f = rasterize(*self.mesh)
        uv = interpolate(f, torch.from_numpy(body.atlas.uv).to(vertices.device), body.atlas.faces)
        self.uv = uv.permute(0, 3, 1, 2).to(self.device)
        self.body_mask = f.mask[:, None].float().to(self.device)

    def cover(self) -> Tensor:
        """[1, 1, H, W] in [0, 1]: the share of each pixel that the body covers."""
        return coverage(*self.mesh)[:, None].to(self.device)
