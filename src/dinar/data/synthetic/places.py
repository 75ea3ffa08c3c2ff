"""Where synthetic people stand: tiles of floors and walls, and painted streets, rooms and parks all around.

Pictures are sRGB bytes made with cv2 and numpy, once per place; :mod:`.background` looks at them through a camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .noise import SIZE, band

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


def _grey(rng: np.random.Generator, low: float, high: float, tint: float = 0.02) -> Srgb:
    """Nearly grey; tints lean to warm or cold, as light and paint do, hardly ever to green or purple."""
    v, warm, green = rng.uniform(low, high), 1.6 * rng.normal(0.3 * tint, tint), 0.3 * rng.normal(0, tint)
    return (float(np.clip(v + warm, 0.04, 0.96)), float(np.clip(v + green, 0.04, 0.96)), float(np.clip(v - warm, 0.04, 0.96)))


def _sign(rng: np.random.Generator) -> Srgb:
    """Painted things: mostly grey, sometimes of a colour."""
    if rng.random() < 0.5:
        return _grey(rng, 0.1, 0.9)
    r, g, b = (np.array(_grey(rng, 0.2, 0.6)) * 0.5 + 0.5 * rng.uniform(0.1, 0.8, 3)).tolist()
    return r, g, b


def plaster(rng: np.random.Generator) -> Material:
    base = _grey(rng, 0.35, 0.92, 0.05)
    return Material(_tint(base, 0.03 * noise(rng, 0), 0.025 * noise(rng, 1), 0.012 * noise(rng, 2)), rng.uniform(2, 4))


def concrete(rng: np.random.Generator) -> Material:
    im = _tint(_grey(rng, 0.35, 0.72, 0.015), 0.05 * noise(rng, 0), 0.05 * noise(rng, 1), 0.025 * noise(rng, 2))
    if rng.random() < 0.5:
        im[:3] = im[:3] * 0.75
        im[:, :3] = im[:, :3] * 0.75
    return Material(im, rng.uniform(1.5, 3))


def asphalt(rng: np.random.Generator) -> Material:
    return Material(_tint(_grey(rng, 0.25, 0.55, 0.012), 0.05 * noise(rng, 1), 0.10 * noise(rng, 2)), rng.uniform(1, 1.8))


def grass(rng: np.random.Generator) -> Material:
    base = np.array((0.42, 0.47, 0.28)) * rng.uniform(0.7, 1.15) + (rng.uniform(-0.03, 0.1), 0, 0)
    return Material(_tint(base, 0.10 * noise(rng, 0), 0.16 * noise(rng, 5), 0.12 * noise(rng, 2)), rng.uniform(1, 2))


def sand(rng: np.random.Generator) -> Material:
    base = np.array((0.72, 0.64, 0.52)) * rng.uniform(0.7, 1.15)
    return Material(_tint(base, 0.04 * noise(rng, 0), 0.05 * noise(rng, 1), 0.05 * noise(rng, 2)), rng.uniform(1, 2))


def carpet(rng: np.random.Generator) -> Material:
    base = _grey(rng, 0.2, 0.7, 0.08)
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
    base = np.array([(0.52, 0.29, 0.23), (0.6, 0.45, 0.36), (0.82, 0.8, 0.77), (0.4, 0.36, 0.34)][rng.choice(4, p=[0.5, 0.2, 0.2, 0.1])])
    shade, seam = _bond(rng, 14, 4, 0.006, 0.5, 0.1)
    return Material(_joined(rng, base * rng.uniform(0.8, 1.1), _grey(rng, 0.45, 0.75), shade, seam, 0.06), rng.uniform(0.9, 1.2))


def tiles(rng: np.random.Generator) -> Material:
    n = int(rng.choice([2, 3, 4, 6]))
    shade, seam = _bond(rng, n, n, 0.004, 0, rng.uniform(0.01, 0.05))
    if rng.random() < 0.15:
        shade = shade - 0.45 * (np.add.outer(np.arange(SIZE) * n // SIZE, np.arange(SIZE) * n // SIZE) % 2)
    base = _grey(rng, 0.35, 0.9, 0.04)
    return Material(_joined(rng, base, _grey(rng, 0.3, 0.8), shade, seam, 0.03), n * rng.uniform(0.2, 0.6))


def planks(rng: np.random.Generator) -> Material:
    base = np.array([(0.62, 0.46, 0.31), (0.74, 0.61, 0.45), (0.36, 0.25, 0.18), (0.6, 0.57, 0.53)][rng.choice(4)])
    shade, seam = _bond(rng, 8, 1, 0.003, rng.uniform(0.2, 0.8), 0.08)
    return Material(_joined(rng, base * rng.uniform(0.8, 1.1), (0.15, 0.11, 0.08), shade + 0.09 * noise(rng, 3), seam * 0.7, 0.03), rng.uniform(0.9, 1.5))


def paving(rng: np.random.Generator) -> Material:
    rows = int(rng.choice([2, 3, 4, 8]))
    shade, seam = _bond(rng, rows, rows // 2 if rows > 2 and rng.random() < 0.5 else rows, 0.005, float(rng.choice([0, 0.5])), 0.06)
    base = np.array(_grey(rng, 0.42, 0.75, 0.02)) * (1.03, 1.0, 0.96)
    return Material(_joined(rng, base, _grey(rng, 0.2, 0.4), shade, seam, 0.06), rows * rng.uniform(0.2, 0.5))


def cobbles(rng: np.random.Generator) -> Material:
    shade, seam = _bond(rng, 10, 8, 0.008, 0.5, 0.12, 0.012)
    return Material(_joined(rng, _grey(rng, 0.35, 0.6, 0.02), _grey(rng, 0.15, 0.3), shade, seam, 0.08), rng.uniform(1, 1.5))


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


# --- panoramas --------------------------------------------------------------------------------------------------------

WIDE, TALL = 2048, 512  # pixels once around, and from the ground up


def _bgrless(c: np.ndarray | Srgb, gain: float = 1.0) -> list[float]:
    return (np.clip(np.asarray(c) * gain, 0, 1) * 255).tolist()


def _rect(im: np.ndarray, x0: float, x1: float, low: float, high: float, colour: np.ndarray | Srgb, gain: float = 1.0) -> None:
    """A rectangle from ``low`` to ``high`` pixels above the ground."""
    cv2.rectangle(im, (int(x0), TALL - int(high)), (int(x1), TALL - 1 - int(low)), _bgrless(colour, gain), -1)


def _house(im: np.ndarray, rng: np.random.Generator, x0: int, x1: int, top: int, metre: float) -> None:
    wall = np.array([(0.62, 0.56, 0.5), (0.5, 0.32, 0.26), (0.75, 0.73, 0.7), (0.4, 0.4, 0.42), (0.68, 0.6, 0.48), (0.3, 0.3, 0.33)][rng.choice(6)])
    wall = wall * rng.uniform(0.6, 1.1)
    _rect(im, x0, x1, 0, top, wall)
    storey, pitch = metre * rng.uniform(2.8, 3.6), metre * rng.uniform(1.4, 2.8)
    glass, frame = _grey(rng, 0.12, 0.55, 0.05), _grey(rng, 0.2, 0.9)
    w, h = pitch * rng.uniform(0.35, 0.75), storey * rng.uniform(0.4, 0.7)
    for low in np.arange(storey * 1.25, top - h, storey):
        for x in np.arange(x0 + 0.3 * pitch, x1 - w, pitch):
            _rect(im, x - 2, x + w + 2, low - 2, low + h + 2, frame)
            _rect(im, x, x + w, low, low + h, glass, rng.uniform(0.5, 1.4))
    if rng.random() < 0.6:  # shop
        _rect(im, x0 + 4, x1 - 4, 0.4 * metre, 2.6 * metre, _grey(rng, 0.1, 0.5), 1)
        for x in np.arange(x0 + 8, x1 - 20, 2.2 * metre):
            _rect(im, x, x + 1.9 * metre, 0.6 * metre, 2.4 * metre, _grey(rng, 0.15, 0.8, 0.08))
        _rect(im, x0 + 4, x1 - 4, 2.6 * metre, 3.2 * metre, _sign(rng))
    else:
        x = rng.uniform(x0, max(x0 + 1, x1 - metre))
        _rect(im, x, x + metre, 0, 2.2 * metre, _grey(rng, 0.1, 0.5, 0.1))
    _rect(im, x1 - 3, x1, 0, top, wall, 0.6)


def _tree(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    tall, crown = metre * rng.uniform(3, 8), metre * rng.uniform(1.2, 3)
    _rect(im, x - 0.15 * metre, x + 0.15 * metre, 0, tall, (0.22, 0.18, 0.14), rng.uniform(0.6, 1.4))
    leaf = np.array((0.29, 0.35, 0.19)) * rng.uniform(0.5, 1.3) + (rng.uniform(0, 0.12), 0, 0)
    for _ in range(45):
        a, r = rng.uniform(0, 6.3), crown * np.sqrt(rng.random())
        cv2.circle(im, (int(x + r * np.cos(a)), int(TALL - tall - 0.7 * r * np.sin(a))), int(crown * rng.uniform(0.1, 0.35)) + 1,
                   _bgrless(leaf, rng.uniform(0.55, 1.45) * (1 + 0.3 * np.sin(a))), -1)  # fmt: skip


def _car(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    paint = rng.choice(np.array([(0.85, 0.85, 0.85), (0.1, 0.1, 0.11), (0.45, 0.46, 0.48), (0.55, 0.1, 0.1), (0.15, 0.22, 0.4), (0.3, 0.3, 0.3)]))
    m, sign = metre, rng.choice([-1, 1])
    roof = np.array([(0.9, 0.85), (1.5, 1.42), (2.9, 1.42), (3.7, 0.85)])
    body = np.array([(0.05, 0.3), (0.05, 0.75), (0.9, 0.9), (3.7, 0.9), (4.25, 0.75), (4.3, 0.3)])
    for shape, gain in ((roof, 0.35), (roof * (1, 1.02) + (0, 0.02), 0), (body, 1.0)):
        if gain:
            p = np.stack([x + sign * m * shape[:, 0], TALL - m * shape[:, 1]], -1)
            cv2.fillPoly(im, [p.astype(np.int32)], _bgrless(paint if gain == 1 else (0.2, 0.22, 0.25), 1), cv2.LINE_AA)
    for w in (0.9, 3.4):
        cv2.circle(im, (int(x + sign * m * w), int(TALL - 0.32 * m)), int(0.33 * m), _bgrless((0.06, 0.06, 0.06)), -1, cv2.LINE_AA)


def _passer(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    """A distractor: somebody far away."""
    m = metre * rng.uniform(0.9, 1.05)
    skin = np.array((0.82, 0.62, 0.5)) * rng.uniform(0.35, 1.05)
    top, legs = _grey(rng, 0.08, 0.85, 0.1), _grey(rng, 0.08, 0.5, 0.05)
    stride = rng.uniform(0.02, 0.2)
    for s in (-1, 1):
        p = np.array([(0.02 * s, 0.9), (0.17 * s, 0.9), (0.12 * s + stride * s, 0.03), (stride * s, 0.03)])
        cv2.fillPoly(im, [(np.array([x, TALL]) + p * (m, -m)).astype(np.int32)], _bgrless(legs), cv2.LINE_AA)
        arm = np.array([(0.17 * s, 1.42), (0.25 * s, 1.38), (0.29 * s, 0.85), (0.21 * s, 0.85)])
        cv2.fillPoly(im, [(np.array([x, TALL]) + arm * (m, -m)).astype(np.int32)], _bgrless(top, 0.85), cv2.LINE_AA)
    p = np.array([(-0.19, 1.44), (0.19, 1.44), (0.19, 0.8), (-0.19, 0.8)])
    cv2.fillPoly(im, [(np.array([x, TALL]) + p * (m, -m)).astype(np.int32)], _bgrless(top), cv2.LINE_AA)
    head = (int(x), int(TALL - 1.6 * m))
    cv2.ellipse(im, head, (int(0.1 * m), int(0.14 * m)), 0, 0, 360, _bgrless(_grey(rng, 0.06, 0.3, 0.05)), -1, cv2.LINE_AA)
    cv2.ellipse(im, (head[0], head[1] + int(0.03 * m)), (int(0.08 * m), int(0.11 * m)), 0, 0, 360, _bgrless(skin), -1, cv2.LINE_AA)


def _sky(rng: np.random.Generator) -> np.ndarray:
    up = np.linspace(1, 0, TALL)[:, None, None]
    low, high = np.array(_grey(rng, 0.72, 0.95, 0.02)), np.array([(0.45, 0.6, 0.82), (0.7, 0.73, 0.77), (0.88, 0.88, 0.88)][rng.choice(3)])
    clouds = cv2.resize(np.ascontiguousarray(noise(rng, 1), np.float32), (WIDE, TALL))[..., None]
    return (np.clip(low * (1 - up) + high * up + 0.03 * clouds, 0, 1) * 255).astype(np.uint8)


def street(rng: np.random.Generator, radius: float) -> Material:
    """Houses, trees, cars and passers-by around a square or along a street."""
    metre = WIDE / (2 * np.pi * radius)
    im = _sky(rng)
    x, gaps = 0, rng.uniform(0, 0.35)
    while x < WIDE:
        w = int(metre * rng.uniform(4, 14))
        if rng.random() > gaps:
            _house(im, rng, x, min(WIDE, x + w), int(min(TALL, metre * rng.uniform(5, 18))), metre)
        x += w
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _tree(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 7)):
        _car(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 10)):
        _passer(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _rect(im, x, x + 0.12 * metre, 0, metre * rng.uniform(2.5, 6), _grey(rng, 0.1, 0.5))
    return Material(im, 0)


def park(rng: np.random.Generator, radius: float) -> Material:
    metre = WIDE / (2 * np.pi * radius)
    im = _sky(rng)
    hedge = np.array((0.27, 0.32, 0.19)) * rng.uniform(0.5, 1.3)
    leaves = np.tile(noise(rng, 4), (TALL // SIZE, WIDE // SIZE))
    high = metre * (1.5 + rng.uniform(0, 3) * (1 + 0.5 * leaves[0]))
    cover = (TALL - np.arange(TALL)[:, None]) < high
    im[cover] = np.clip(hedge * (1 + 0.35 * leaves[cover, None]) * 255, 0, 255)
    for x in rng.uniform(0, WIDE, rng.integers(8, 30)):
        _tree(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 7)):
        _passer(im, rng, x, metre)
    return Material(im, 0)


def hall(rng: np.random.Generator, radius: float) -> Material:
    """An interior far away: pillars, windows, lamps, furniture."""
    metre = WIDE / (2 * np.pi * radius)
    im = np.empty((TALL, WIDE, 3), np.uint8)
    im[:] = _bgrless(_grey(rng, 0.25, 0.8, 0.04))
    pitch = metre * rng.uniform(2, 5)
    bright = rng.uniform(0.5, 1)
    for x in np.arange(0, WIDE, pitch):
        if rng.random() < 0.7:
            _rect(im, x, x + 0.6 * pitch, metre * 0.9, metre * rng.uniform(2.2, 3), (0.9, 0.92, 0.95), bright)
        _rect(im, x + 0.75 * pitch, x + 0.85 * pitch, 0, TALL, _grey(rng, 0.2, 0.7))
    _rect(im, 0, WIDE, metre * 3.4, TALL, _grey(rng, 0.5, 0.9))
    for x in rng.uniform(0, WIDE, 18):
        _rect(im, x, x + metre * rng.uniform(0.4, 2.5), 0, metre * rng.uniform(0.4, 1.8), _grey(rng, 0.1, 0.7, 0.08))
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _passer(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, 25):
        cv2.circle(im, (int(x), int(TALL - metre * rng.uniform(2.6, 4))), int(metre * rng.uniform(0.06, 0.16)) + 1, _bgrless((1, 0.93, 0.78)), -1, cv2.LINE_AA)
    return Material(im, 0)


PANORAMAS: dict[str, Callable[[np.random.Generator, float], Material]] = {"street": street, "park": park, "hall": hall}
