"""What stands behind and before people in training pictures, and how cameras spoil them: B pictures at once, on any
device.

Pictures are [B, 3, H, W] float32 in [0, 1]; what covers them is [B, 1, H, W] in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import DinarError
from ..pictures import read_array

LONGEST = 400  # pixels of a background's longer side
LUMA = (0.299, 0.587, 0.114)
TO = (LUMA, (-0.169, -0.331, 0.5), (0.5, -0.419, -0.081))  # brightness and colours of JPEG
BACK = ((1.0, 0.0, 1.402), (1.0, -0.344, -0.714), (1.0, 1.772, 0.0))
CPU = torch.device("cpu")
COARSEST = (0.2, 2.0)  # times the quantisation of JPEG's quality 50: about 90 to 25


@cache
def constant(values: Any, device: torch.device) -> Tensor:  # nested tuples
    """Kept on the device: a copy would wait for all that the device has to do."""
    return torch.tensor(values, device=device)


@dataclass(frozen=True)
class Draws:
    """Random numbers of B pictures; the first dimension is B."""

    count: int
    device: torch.device = CPU
    generator: torch.Generator | None = None  # of the CPU; None: torch's own

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(self.count, *shape, generator=self.generator, device=self.device)

    def normal(self, deviation: float, *shape: int) -> Tensor:
        return deviation * torch.randn(self.count, *shape, generator=self.generator, device=self.device)

    def chance(self, share: float, *shape: int) -> Tensor:
        """bool"""
        return self.uniform(0, 1, *shape) < share

    def index(self, n: int, *shape: int) -> Tensor:
        """int64 below n"""
        return torch.randint(n, (self.count, *shape), generator=self.generator, device=self.device)

    def sign(self, *shape: int) -> Tensor:
        return 2.0 * self.chance(0.5, *shape) - 1

    def one(self, low: float, high: float) -> float:
        """The same for all pictures, where a step takes one size for all."""
        return low + (high - low) * float(torch.rand((), generator=self.generator))


class Pictures:
    """N pictures of any size with C channels, kept as bytes one after the other."""

    def __init__(self, pictures: Sequence[np.ndarray]) -> None:  # [H, W, C] uint8
        self.size = torch.tensor([p.shape[:2] for p in pictures])  # [N, 2] rows and columns
        area = self.size.prod(1)
        self.start = area.cumsum(0) - area
        self.pixels = torch.from_numpy(np.concatenate([p.reshape(-1, p.shape[-1]) for p in pictures]))

    def to(self, device: torch.device) -> Pictures:
        self.size, self.start, self.pixels = (a.to(device) for a in (self.size, self.start, self.pixels))
        return self

    def nearest(self, i: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """[B, h, w, C] uint8 at columns and rows [B, h, w] of pictures i [B]; outside the edges go on."""
        height, width = self.size[i].T[..., None, None]
        x, y = x.long().clamp(min=0).minimum(width - 1), y.long().clamp(min=0).minimum(height - 1)
        return self.pixels[self.start[i][:, None, None] + y * width + x]

    def linear(self, i: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """[B, C, h, w] float32 in [0, 1], between pixels."""
        left, top = x.floor(), y.floor()
        u, v = (x - left)[..., None], (y - top)[..., None]
        row = lambda y: torch.lerp(self.nearest(i, left, y).float(), self.nearest(i, left + 1, y).float(), u)  # noqa: E731
        return torch.lerp(row(top), row(top + 1), v).movedim(-1, 1) / 255


class Backgrounds:
    """Random pictures to stand before: of a folder, or patterns made up."""

    def __init__(self, folder: Path | None = None) -> None:
        self.paths: list[Path] = []
        self.memory: Pictures | None = None
        if folder is not None:
            self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
            if not self.paths:
                raise DinarError(f"{folder}: expected pictures for backgrounds, found none")

    def __call__(self, size: tuple[int, int], d: Draws) -> Tensor:
        kind = d.uniform(0, 1, 1, 1, 1)
        plain = torch.where(d.chance(0.5, 1, 1, 1), 1.0, d.uniform(0, 1, 3, 1, 1))
        made = pattern(size, d)
        if self.paths:
            made = torch.where(kind < 0.3, made, self._photo(size, d))
        return torch.where(kind < 0.12, plain, made)

    def _photo(self, size: tuple[int, int], d: Draws) -> Tensor:
        if self.memory is None:
            self.memory = Pictures([_read(p) for p in self.paths])
        if self.memory.pixels.device != d.device:
            self.memory.to(d.device)
        i = d.index(len(self.paths))
        height, width = self.memory.size[i].T
        share = d.uniform(0.35, 1) * torch.minimum(height / size[0], width / size[1])  # background's pixels a pixel
        x, y = (d.uniform(0, 1) * (n - share * m) for n, m in ((width, size[1]), (height, size[0])))
        row, column = _grid(size, d.device)
        column = torch.where(d.chance(0.5, 1, 1), size[1] - 1 - column, column)
        at = [o[:, None, None] + share[:, None, None] * k for o, k in ((x, column), (y, row))]
        return self.memory.linear(i, *torch.broadcast_tensors(*at))


def _read(path: Path) -> np.ndarray:
    image = read_array(path, cv2.IMREAD_COLOR)
    if image is None:
        raise DinarError(f"{path}: cannot be read as a picture")
    k = LONGEST / max(image.shape[:2])
    image = cv2.resize(image, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _grid(size: tuple[int, int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows [1, H, 1] and columns [1, 1, W]."""
    return torch.arange(size[0], device=device)[None, :, None], torch.arange(size[1], device=device)[None, None]


def pattern(size: tuple[int, int], d: Draws) -> Tensor:
    """Noise of several scales, a floor, some boxes."""
    out = d.uniform(0.12, 0.88, 3, 1, 1)
    for cells in (2, 5, 12, 40):
        noise = d.normal(1, 3, cells, cells)
        noise = torch.where(d.chance(0.6, 1, 1, 1), noise[:, :1], noise) * d.uniform(0, 0.086, 1, 1, 1)
        out = out + F.interpolate(noise, size, mode="bicubic")
    for _ in range(6):
        over = shape(size, d, 0.5) * d.chance(0.5, 1, 1, 1)
        out = torch.lerp(out, d.uniform(0, 1, 3, 1, 1), over)
    floor = _grid(size, d.device)[0] > d.uniform(0.55, 1.3, 1, 1) * size[0]
    return (out + floor[:, None] * d.normal(0.157, 3, 1, 1)).clamp(0, 1)


def shape(size: tuple[int, int], d: Draws, largest: float) -> Tensor:  # largest: half side, of the longer side
    """Turned boxes and ellipses."""
    long = max(size)
    half = d.uniform(0.02, largest, 2, 1, 1) * long + 1
    u, v = _local(size, d, d.uniform(0, size[1], 1, 1), d.uniform(0, size[0], 1, 1), 12)
    box = torch.maximum(u.abs() - half[:, 0], v.abs() - half[:, 1])
    ellipse = (((u / half[:, 0]) ** 2 + (v / half[:, 1]) ** 2).sqrt() - 1) * half.amin(1)
    return (0.5 - torch.where(d.chance(0.4, 1, 1), ellipse, box)).clamp(0, 1)[:, None]


def _local(size: tuple[int, int], d: Draws, x: Tensor, y: Tensor, degrees: float) -> tuple[Tensor, Tensor]:
    """Coordinates along the axes of something at x, y [B, 1, 1] that is turned a little."""
    row, column = _grid(size, d.device)
    angle = d.normal(math.radians(degrees), 1, 1)
    c, s = angle.cos(), angle.sin()
    return c * (column - x) + s * (row - y), c * (row - y) - s * (column - x)


def bag(size: tuple[int, int], d: Draws) -> Tensor:
    """A box on a strap."""
    h, w = size
    x, y, r = d.uniform(0.1, 0.9, 1, 1) * w, d.uniform(0.2, 0.85, 1, 1) * h, d.uniform(0.04, 0.13, 1, 1) * h
    u, v = _local(size, d, x, y, 10)
    over = torch.maximum(u.abs() - r, v.abs() - r * d.uniform(0.6, 1.2, 1, 1))
    row, column = _grid(size, d.device)
    top, high = x + d.normal(0.15, 1, 1) * w, y - d.uniform(1, 5, 1, 1) * r
    width = d.uniform(0.5, 1.5, 1, 1)
    for side in (-0.8, 0.8):
        over = torch.minimum(over, to_segment(column, row, x + side * r, y, top, high) - width)
    return (0.5 - over).clamp(0, 1)[:, None]


def to_segment(x: Tensor, y: Tensor, ax: Tensor, ay: Tensor, bx: Tensor, by: Tensor) -> Tensor:
    """Distance of points from segments a to b."""
    dx, dy = bx - ax, by - ay
    t = (((x - ax) * dx + (y - ay) * dy) / (dx**2 + dy**2).clamp(min=1e-6)).clamp(0, 1)
    return ((x - ax - t * dx) ** 2 + (y - ay - t * dy) ** 2).sqrt()


# --- the camera -----------------------------------------------------------------------------------------------------


def blurred(x: Tensor, sigma: float) -> Tensor:
    """[B, C, H, W] by a Gaussian; edges go on."""
    r = max(1, math.ceil(2.5 * sigma))
    k = torch.exp(-0.5 * (torch.arange(-r, r + 1, device=x.device) / sigma) ** 2)
    k = (k / k.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(F.pad(x, (r, r, 0, 0), mode="replicate"), k, groups=x.shape[1])
    return F.conv2d(F.pad(x, (0, 0, r, r), mode="replicate"), k.mT, groups=x.shape[1])


def colours(rgb: Tensor, d: Draws) -> Tensor:
    """Random gamma, contrast, brightness, white balance, saturation and hue."""
    one = (1, 1, 1)
    x = rgb.clamp(1e-4, 1) ** d.normal(0.2, *one).exp()
    x = (x - 0.5) * d.normal(0.15, *one).exp() + 0.5 + d.normal(0.06, *one)
    x = (x * d.normal(0.06, 3, 1, 1).exp()).clamp(0, 1)
    saturation = torch.where(d.chance(0.03, 1, 1), 0.0, d.normal(0.25, 1, 1).exp())
    eye, luma = torch.eye(3, device=d.device), constant(LUMA, d.device)
    K = torch.linalg.cross(eye, torch.full((1, 3), 3**-0.5, device=d.device))  # hue: turn about grey
    angle = d.normal(0.12, 1, 1)
    mix = (eye + angle.sin() * K + (1 - angle.cos()) * (K @ K)) @ (eye * saturation + (1 - saturation) * luma)
    return torch.einsum("bij,bjhw->bihw", mix, x).clamp(0, 1)


def camera(rgb: Tensor, d: Draws) -> Tensor:
    """Random low resolution, blur, noise and JPEG compression."""
    h, w = rgb.shape[2:]
    k, kind = d.one(0.35, 0.8), d.uniform(0, 1, 1, 1, 1)
    coarse = F.interpolate(F.interpolate(rgb, (int(h * k), int(w * k)), mode="area"), (h, w), mode="bilinear")
    rgb = torch.where(kind < 0.15, coarse, torch.where(kind > 0.87, blurred(rgb, d.one(0.4, 1.6)), rgb))
    fine, grain = d.normal(1, 3, h, w), F.interpolate(d.normal(1, 3, h // 2, w // 2), (h, w), mode="bilinear")
    noise = torch.where(d.chance(0.5, 1, 1, 1), fine, grain) * d.uniform(0.008, 0.047, 1, 1, 1)
    rgb = (rgb + noise * d.chance(0.2, 1, 1, 1)).clamp(0, 1)
    strength = COARSEST[0] * (COARSEST[1] / COARSEST[0]) ** d.uniform(0, 1, 1, 1, 1)
    return torch.where(d.chance(0.25, 1, 1, 1), compressed(rgb, strength), rgb)


def compressed(rgb: Tensor, strength: Tensor) -> Tensor:  # [B, 1, 1, 1], 1: quality 50
    """With JPEG's errors: coefficients of the cosine transform of blocks of 8 x 8 are rounded, high ones coarsely."""
    h, w = rgb.shape[2:]
    x = F.pad(rgb, (0, -w % 8, 0, -h % 8), mode="replicate") - 0.5
    to, back = (constant(m, rgb.device) for m in (TO, BACK))
    k = torch.arange(8, device=rgb.device)
    D = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    D[0] /= 2**0.5
    x = torch.einsum("ij,bjhw->bihw", to, x).unflatten(3, (-1, 8)).unflatten(2, (-1, 8))  # [B, 3, H/8, 8, W/8, 8]
    x = torch.einsum("uy,bciyjx,vx->bciujv", D, x, D)
    steps = torch.stack([16 + 6 * (k + k[:, None]), *[17 + 12 * (k + k[:, None])] * 2]) / 255
    steps = strength[..., None, None] * steps[:, None, :, None]
    x = torch.einsum("uy,bciujv,vx->bciyjx", D, (x / steps).round() * steps, D).flatten(4).flatten(2, 3)
    return (torch.einsum("ij,bjhw->bihw", back, x)[..., :h, :w] + 0.5).clamp(0, 1)
