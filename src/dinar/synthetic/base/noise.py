"""Tileable noise textures for folds of cloth and stains of walls, read at several scales.

The noise is made once by filtering in the Fourier domain, which makes it tileable, and then read by index; octaves of
noise computed for each point would be slower.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

SIZE = 256  # texels along a tile's side


def band(
    rng: np.random.Generator, low: float, high: float, size: int = SIZE, tilt: float = 0.0, length: float = 1.0
) -> np.ndarray:
    """[size, size] float32 tileable Gaussian noise of unit variance, frequencies low..high cycles a tile, f^-tilt.

    ``length`` > 1 draws it out along the columns.
    """
    f = np.hypot(np.fft.fftfreq(size)[:, None] / length**0.5, np.fft.rfftfreq(size)[None] * length**0.5) * size
    gain = np.exp(-((np.maximum(low - f, 0) / (0.3 * low)) ** 2) - (np.maximum(f - high, 0) / (0.3 * high)) ** 2)
    gain = gain * np.maximum(f, 1) ** -tilt
    gain[0, 0] = 0
    n = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size, size))) * gain, s=(size, size))
    return (n / n.std()).astype(np.float32)


def slopes(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences (d/dcolumn, d/drow) of a tile [..., H, W], per texel."""
    gx = (np.roll(height, -1, -1) - np.roll(height, 1, -1)) / 2
    gy = (np.roll(height, -1, -2) - np.roll(height, 1, -2)) / 2
    return gx, gy


def _folds(rng: np.random.Generator) -> np.ndarray:
    """[size, size] height of cloth: rounded ridges along the zero lines of noise, mostly along x.

    Zero lines give long, thin ridges of one width, as folds of cloth have.
    """
    h = 0.22 * band(rng, 1, 4, tilt=0.5, length=2)
    for low, high, width, weight, share in ((1.5, 2.5, 0.75, 1.0, 0.4), (3, 5, 0.7, 0.5, 0.35), (6, 9, 0.7, 0.17, 0.2)):
        line = band(rng, low, high, length=2.6)
        gate = np.clip(0.6 * band(rng, 1.5, 3.5, length=1.5) + share, 0, 1)
        h += weight * gate * np.exp(-((line / width) ** 2))
    return h


@lru_cache(maxsize=4)
def fold_table(device: torch.device) -> Tensor:
    """[SIZE * SIZE, 4] float32: slopes along columns and rows (unit variance together), height, stains (unit)."""
    rng = np.random.default_rng(11)
    h = _folds(rng)
    gx, gy = slopes(h)
    scale = np.sqrt((gx**2 + gy**2).mean())
    stack = np.stack([gx / scale, gy / scale, (h - h.mean()) / h.std(), band(rng, 1, 100, tilt=1.0)], -1)
    return torch.from_numpy(np.ascontiguousarray(stack.reshape(-1, 4))).to(device)


@lru_cache(maxsize=4)
def fine_table(device: torch.device) -> Tensor:
    """[SIZE * SIZE, 2] float32 unit variance: nearly white noise, and noise with a little more of the low."""
    rng = np.random.default_rng(12)
    stack = np.stack([band(rng, 8, 128, tilt=0.3), band(rng, 3, 64, tilt=0.7)], -1)
    return torch.from_numpy(np.ascontiguousarray(stack.reshape(-1, 2))).to(device)


def lookup(
    table: Tensor,  # [size * size, C]
    x: Tensor,  # [N] in tiles (1 = once around), along columns; above -64
    y: Tensor,  # [N] in tiles, along rows; above -64
    size: int = SIZE,  # a power of two
) -> Tensor:  # [C, N]
    """The nearest texel. Tiles are finer than pixels, and bilinear reading would cost four times as much."""
    i = torch.add(64 * size, x, alpha=size).int() & (size - 1)  # positive, where truncation rounds down
    j = torch.add(64 * size, y, alpha=size).int() & (size - 1)
    return table.index_select(0, j * size + i).T.contiguous()
