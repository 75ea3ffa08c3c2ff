"""Tileable textures of floors and walls: plaster, concrete, asphalt, grass, bricks, planks, paving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..base.noise import SIZE, band

Srgb = tuple[float, float, float]  # in [0, 1]


@dataclass(frozen=True, eq=False)
class Material:
    """A tile that repeats, or (size 0) a panorama once around."""

    rgb: np.ndarray  # [h, w, 3] uint8 sRGB
    size: float  # metres a side


@lru_cache(maxsize=1)
def _stock() -> np.ndarray:
    """[6, SIZE, SIZE] noises of unit variance: soft clouds, stains, speckle, grain along x, blotches, leaves."""
    rng = np.random.default_rng(21)
    return np.stack([
        band(rng, 1, 6, tilt=1), band(rng, 1, 90, tilt=0.9), band(rng, 30, 128), band(rng, 3, 60, tilt=0.6, length=30),
        band(rng, 4, 20, tilt=0.5), band(rng, 10, 60, tilt=0.3),
    ])  # fmt: skip


def noise(rng: np.random.Generator, which: int) -> np.ndarray:
    """One of the stock noises, shifted and mirrored at random: filtering afresh would cost 4 ms each."""
    n = np.roll(_stock()[which], rng.integers(0, SIZE, 2), (0, 1))
    return n[:: 1 if rng.random() < 0.5 else -1]


def _tint(base: Srgb | np.ndarray, *layers: np.ndarray) -> np.ndarray:
    """Base colour times 1 + the sum of the layers, [SIZE, SIZE, 3] bytes."""
    total = 1 + sum(layers)
    return np.clip(np.asarray(base) * np.asarray(total)[..., None] * 255, 0, 255).astype(np.uint8)


def grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.02) -> Srgb:
    """Nearly grey; tints lean to warm or cold, as light and paint do, hardly ever to green or purple."""
    v, warm, green = rng.uniform(low, high), 1.6 * rng.normal(0.3 * tint, tint), 0.3 * rng.normal(0, tint)
    return (
        float(np.clip(v + warm, 0.04, 0.96)),
        float(np.clip(v + green, 0.04, 0.96)),
        float(np.clip(v - warm, 0.04, 0.96)),
    )


def sign(rng: np.random.Generator) -> Srgb:
    """Painted things: mostly grey, sometimes of a colour."""
    if rng.random() < 0.5:
        return grey(rng, 0.1, 0.9)
    r, g, b = (np.array(grey(rng, 0.2, 0.6)) * 0.5 + 0.5 * rng.uniform(0.1, 0.8, 3)).tolist()
    return r, g, b


def plaster(rng: np.random.Generator) -> Material:
    base = grey(rng, 0.35, 0.92, 0.05)
    return Material(_tint(base, 0.03 * noise(rng, 0), 0.025 * noise(rng, 1), 0.012 * noise(rng, 2)), rng.uniform(2, 4))


def concrete(rng: np.random.Generator) -> Material:
    im = _tint(grey(rng, 0.35, 0.72, 0.015), 0.05 * noise(rng, 0), 0.05 * noise(rng, 1), 0.025 * noise(rng, 2))
    if rng.random() < 0.5:
        im[:3] = im[:3] * 0.75
        im[:, :3] = im[:, :3] * 0.75
    return Material(im, rng.uniform(1.5, 3))


def asphalt(rng: np.random.Generator) -> Material:
    return Material(
        _tint(grey(rng, 0.25, 0.55, 0.012), 0.05 * noise(rng, 1), 0.10 * noise(rng, 2)), rng.uniform(1, 1.8)
    )


def grass(rng: np.random.Generator) -> Material:
    base = np.array((0.42, 0.47, 0.28)) * rng.uniform(0.7, 1.15) + (rng.uniform(-0.03, 0.1), 0, 0)
    return Material(_tint(base, 0.10 * noise(rng, 0), 0.16 * noise(rng, 5), 0.12 * noise(rng, 2)), rng.uniform(1, 2))


def sand(rng: np.random.Generator) -> Material:
    base = np.array((0.72, 0.64, 0.52)) * rng.uniform(0.7, 1.15)
    return Material(_tint(base, 0.04 * noise(rng, 0), 0.05 * noise(rng, 1), 0.05 * noise(rng, 2)), rng.uniform(1, 2))


def carpet(rng: np.random.Generator) -> Material:
    base = grey(rng, 0.2, 0.7, 0.08)
    return Material(_tint(base, 0.02 * noise(rng, 0), 0.07 * noise(rng, 2)), rng.uniform(0.8, 1.5))


def _bond(rng: np.random.Generator, rows: int, columns: int, gap: float, shift: float, spread: float, jitter: float = 0
          ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Relative shade [SIZE, SIZE] of each brick of a bond, and 1 in the joints."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    if jitter:
        x, y = x + jitter * noise(rng, 0), y + jitter * noise(rng, 0)
    r = np.floor(y * rows).astype(int)
    xs = x * columns + shift * (r % 2 if shift != 0.33 else r % 3)
    c = np.floor(xs).astype(int)
    shade = rng.normal(0, spread, (rows, columns))[r % rows, c % columns]
    fx, fy = xs - c, y * rows - r
    edge = np.minimum(np.minimum(fx, 1 - fx) / columns, np.minimum(fy, 1 - fy) / rows)
    return shade, np.clip(1.5 - edge / gap, 0, 1)


def _joined(rng: np.random.Generator, base: Srgb | np.ndarray, joint: Srgb, shade: np.ndarray, seam: np.ndarray,
            rough: float) -> np.ndarray:  # fmt: skip
    body = _tint(base, shade, rough * noise(rng, 1), 0.5 * rough * noise(rng, 2)).astype(np.float32)
    line = _tint(joint, 0.05 * noise(rng, 1)).astype(np.float32)
    return (body * (1 - seam[..., None]) + line * seam[..., None]).astype(np.uint8)


def brick(rng: np.random.Generator) -> Material:
    base = np.array(
        [(0.52, 0.29, 0.23), (0.6, 0.45, 0.36), (0.82, 0.8, 0.77), (0.4, 0.36, 0.34)][
            rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])
        ]
    )
    shade, seam = _bond(rng, 14, 4, 0.006, 0.5, 0.1)
    return Material(
        _joined(rng, base * rng.uniform(0.8, 1.1), grey(rng, 0.45, 0.75), shade, seam, 0.06), rng.uniform(0.9, 1.2)
    )


def tiles(rng: np.random.Generator) -> Material:
    n = int(rng.choice([2, 3, 4, 6]))
    shade, seam = _bond(rng, n, n, 0.004, 0, rng.uniform(0.01, 0.05))
    if rng.random() < 0.15:
        shade = shade - 0.45 * (np.add.outer(np.arange(SIZE) * n // SIZE, np.arange(SIZE) * n // SIZE) % 2)
    base = grey(rng, 0.35, 0.9, 0.04)
    return Material(_joined(rng, base, grey(rng, 0.3, 0.8), shade, seam, 0.03), n * rng.uniform(0.2, 0.6))


def planks(rng: np.random.Generator) -> Material:
    base = np.array([(0.62, 0.46, 0.31), (0.74, 0.61, 0.45), (0.36, 0.25, 0.18), (0.6, 0.57, 0.53)][rng.choice(4)])
    shade, seam = _bond(rng, 8, 1, 0.003, rng.uniform(0.2, 0.8), 0.05)
    return Material(
        _joined(rng, base * rng.uniform(0.8, 1.1), (0.15, 0.11, 0.08), shade + 0.09 * noise(rng, 3), seam * 0.7, 0.03),
        rng.uniform(0.9, 1.5),
    )


def paving(rng: np.random.Generator) -> Material:
    rows = int(rng.choice([2, 3, 4, 8]))
    shade, seam = _bond(
        rng, rows, rows // 2 if rows > 2 and rng.random() < 0.5 else rows, 0.005, float(rng.choice([0, 0.5])), 0.06
    )
    base = np.array(grey(rng, 0.42, 0.75, 0.02)) * (1.03, 1.0, 0.96)
    return Material(_joined(rng, base, grey(rng, 0.2, 0.4), shade, seam, 0.06), rows * rng.uniform(0.2, 0.5))


def cobbles(rng: np.random.Generator) -> Material:
    shade, seam = _bond(rng, 10, 8, 0.008, 0.5, 0.12, 0.012)
    return Material(
        _joined(rng, grey(rng, 0.35, 0.6, 0.02), grey(rng, 0.15, 0.3), shade, seam, 0.08), rng.uniform(1, 1.5)
    )


FLOORS: dict[str, tuple[Callable[[np.random.Generator], Material], ...]] = {
    "studio": (plaster,),
    "room": (planks, planks, tiles, carpet, concrete, plaster),
    "wall": (concrete, paving, asphalt, paving, cobbles, sand),
    "street": (asphalt, paving, concrete, cobbles, paving),
    "park": (grass, grass, sand, asphalt, paving),
}
WALLS: dict[str, tuple[Callable[[np.random.Generator], Material], ...]] = {
    "room": (plaster, plaster, plaster, brick, planks, tiles, concrete),
    "wall": (brick, concrete, plaster, brick, planks, tiles),
}
