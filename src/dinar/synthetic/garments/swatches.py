"""Cloth patterns as small tileable pictures: stripes, checks, dots, flowers, camouflage, knit, corduroy, quilting.

A swatch is made once for a garment and read once for each pixel, so all patterns are equally fast.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..base.colours import Colour, any_colour, contrasting, to_srgb
from ..base.noise import band


@dataclass(frozen=True, eq=False)
class Swatch:
    """One period of a pattern."""

    rgb: np.ndarray  # [n, n, 3] uint8 sRGB, n a power of two; columns run around the limb, rows along it
    size: float  # metres a side
    height: np.ndarray | None = None  # [n, n] float32 metres


Colours = tuple[Colour, Colour, Colour]  # base, second, accent
Maker = Callable[[np.random.Generator, Colours], Swatch]


def _bytes(colour: Colour) -> np.ndarray:
    return np.rint(to_srgb(np.array(colour)) * 255).astype(np.uint8)


def _indexed(index: np.ndarray, colours: tuple[Colour, ...]) -> np.ndarray:
    """[n, n] indices to [n, n, 3] sRGB bytes."""
    return np.stack([_bytes(c) for c in colours])[index]


def _threads(widths: list[float], which: list[int], n: int = 256) -> tuple[np.ndarray, float]:
    """[n] colour index of each thread of a repeat whose stripes have these widths in metres, and its length."""
    total = float(sum(widths))
    ends = np.cumsum(widths) / total
    return np.array(which)[np.searchsorted(ends, (np.arange(n) + 0.5) / n).clip(0, len(which) - 1)], total


def _weave(warp: np.ndarray, weft: np.ndarray, colours: tuple[Colour, ...]) -> np.ndarray:
    """Half of each thread system shows: the mean colour in linear light, as in tartan and gingham."""
    c = np.array(colours)
    mean = (c[warp][None] + c[weft][:, None]) / 2
    return np.rint(to_srgb(mean) * 255).astype(np.uint8)


def stripes(rng: np.random.Generator, c: Colours) -> Swatch:
    """Horizontal stripes: regular, Breton (thin on wide), or irregular."""
    kind = rng.choice(["breton", "regular", "double", "irregular"], p=[0.45, 0.25, 0.15, 0.15])
    if kind == "breton":
        a = rng.uniform(0.012, 0.026)
        widths, which = [a, a * rng.uniform(0.3, 0.7)], [0, 1]
    elif kind == "regular":
        a = rng.uniform(0.015, 0.06)
        widths, which = [a, a], [0, 1]
    elif kind == "double":
        a = rng.uniform(0.02, 0.05)
        widths, which = [a, 0.006, 0.006, 0.006], [0, 1, 0, 2]
    else:
        k = int(rng.integers(4, 8))
        widths, which = list(rng.uniform(0.01, 0.06, k)), [int(i) for i in rng.integers(0, 3, k)]
    index, size = _threads(widths, which)
    return Swatch(_indexed(np.repeat(index[:, None], 256, 1), c), size)


def pinstripes(rng: np.random.Generator, c: Colours) -> Swatch:
    """Vertical stripes of shirts (narrow, close) and of suits (hairlines)."""
    if rng.random() < 0.5:
        a = rng.uniform(0.008, 0.02)
        index, size = _threads([a, a * rng.uniform(0.35, 1)], [0, 1])
    else:
        index, size = _threads([rng.uniform(0.015, 0.03), 0.0025], [0, 1])
    return Swatch(_indexed(np.repeat(index[None], 256, 0), c), size)


def check(rng: np.random.Generator, c: Colours) -> Swatch:
    """Gingham, windowpane, tartan or buffalo plaid."""
    kind = rng.choice(["gingham", "windowpane", "tartan", "buffalo"], p=[0.2, 0.2, 0.45, 0.15])
    if kind == "gingham":
        a = rng.uniform(0.008, 0.02)
        widths, which = [a, a], [0, 1]
    elif kind == "windowpane":
        widths, which = [rng.uniform(0.03, 0.07), 0.004], [0, 1]
    elif kind == "buffalo":
        a = rng.uniform(0.035, 0.06)
        widths, which = [a, a], [0, 1]
    else:
        k = int(rng.integers(3, 6))
        wide = rng.choice([0.004, 0.008, 0.02, 0.035], k)
        half = [(float(w), int(i)) for w, i in zip(wide, rng.integers(0, 3, k), strict=True)]
        half[0] = (0.04, 0)
        half[1] = (half[1][0], 1)
        sett = half + half[-2:0:-1]  # a tartan's sett reads the same from both ends
        widths, which = [w for w, _ in sett], [i for _, i in sett]
    index, size = _threads(widths, which)
    return Swatch(_weave(index, index, c), size)


def herringbone(rng: np.random.Generator, c: Colours) -> Swatch:
    """Tweed: fine zigzag of two near colours."""
    n, y, x = 64, *np.mgrid[:64, :64]
    zig = np.where(x < n // 2, x, n - x)
    near = (c[0], tuple(np.array(c[0]) * 0.55 + np.array(c[1]) * 0.25), c[2])
    return Swatch(_indexed((((y + zig) // 4) % 2).astype(int), near), rng.uniform(0.03, 0.06))  # type: ignore[arg-type]


def houndstooth(rng: np.random.Generator, c: Colours) -> Swatch:
    y, x = np.mgrid[:64, :64]
    warp, weft = x // 16 % 4 < 2, y // 16 % 4 < 2
    return Swatch(_indexed(np.where((x + y) // 8 % 4 < 2, warp, weft).astype(int), c), rng.uniform(0.02, 0.07))


def _scatter(rng: np.random.Generator, n: int, least: float, tries: int = 220) -> list[tuple[float, float]]:
    """Points on the torus [0, n)² no nearer to each other than ``least``."""
    points = np.empty((0, 2))
    for p in rng.uniform(0, n, (tries, 2)):
        gap = np.abs((points - p + n / 2) % n - n / 2)
        if not len(points) or (gap**2).sum(1).min() > least**2:
            points = np.concatenate([points, p[None]])
    return [(float(x), float(y)) for x, y in points]


def _stamp(image: np.ndarray, x: float, y: float, draw: Callable[[np.ndarray, float, float], None]) -> None:
    """Draws at (x, y) and at its copies across the tile's borders."""
    n = image.shape[0]
    for dx in (-n, 0, n):
        for dy in (-n, 0, n):
            if -40 < x + dx < n + 40 and -40 < y + dy < n + 40:
                draw(image, x + dx, y + dy)


def _fill(image: np.ndarray, points: np.ndarray, colour: Colour) -> None:
    """A filled smooth polygon [K, 2] in pixels."""
    cv2.fillPoly(image, [np.rint(points * 16).astype(np.int32)], _bytes(colour).tolist(), cv2.LINE_AA, 4)


def _blob(x: float, y: float, radius: float, angle: float, squeeze: float = 1.0, lobes: int = 0) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    r = radius * (1 + 0.32 * np.cos(lobes * t) if lobes else 1)
    px, py = r * np.cos(t), r * squeeze * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([x + c * px - s * py, y + s * px + c * py], -1)


def dots(rng: np.random.Generator, c: Colours) -> Swatch:
    n = 128
    image = np.full((n, n, 3), _bytes(c[0]), np.uint8)
    r = rng.uniform(0.1, 0.24) * n / 2
    for x, y in ((0, 0), (n / 2, n / 2)):
        _stamp(image, x, y, lambda im, a, b: _fill(im, _blob(a, b, r, 0), c[1]))
    return Swatch(image, float(rng.choice([0.016, 0.03, 0.05])) * rng.uniform(0.9, 1.3))


def floral(rng: np.random.Generator, c: Colours) -> Swatch:
    """Flowers and leaves strewn over the ground colour, small (ditsy) to large."""
    n = 256
    image = np.full((n, n, 3), _bytes(c[0]), np.uint8)
    radius = rng.uniform(11, 26)
    leaf, heart = contrasting(rng, c[0], 0.1, 0.12), any_colour(rng, 0.3, 0.2)
    petals, bloom = int(rng.integers(4, 8)), (c[1], c[2])
    for x, y in _scatter(rng, n, radius * rng.uniform(1.7, 2.6)):
        a, size = rng.uniform(0, 6.3), radius * rng.uniform(0.6, 1.1)
        for k in range(int(rng.integers(0, 4))):
            b = a + k * 2.1 + 0.5
            _stamp(image, x + 1.2 * size * np.cos(b), y + 1.2 * size * np.sin(b),
                   lambda im, p, q, b=b, s=size: _fill(im, _blob(p, q, s * 0.75, b, 0.35), leaf))  # fmt: skip
        colour = bloom[int(rng.random() < 0.35)]
        shade = tuple(0.7 * v for v in colour)
        _stamp(image, x, y, lambda im, p, q, s=size, h=shade, a=a: _fill(im, _blob(p, q, s, a, 1, petals), h))  # type: ignore[arg-type]
        _stamp(image, x, y, lambda im, p, q, s=size, h=colour, a=a: _fill(im, _blob(p, q, s * 0.86, a, 1, petals), h))
        _stamp(image, x, y, lambda im, p, q, s=size: _fill(im, _blob(p, q, s * 0.24, 0), heart))
    return Swatch(image, rng.uniform(0.12, 0.34))


def shapes(rng: np.random.Generator, c: Colours) -> Swatch:
    """Small motifs: triangles, dashes, crosses, drops."""
    n = 256
    image = np.full((n, n, 3), _bytes(c[0]), np.uint8)
    corners, squeeze, r = int(rng.choice([3, 4, 5, 24])), rng.uniform(0.3, 1), rng.uniform(6, 13)
    t = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    for x, y in _scatter(rng, n, 2.6 * r):
        a = rng.uniform(0, 6.3)
        p, q = r * np.cos(t), r * squeeze * np.sin(t)
        shape = np.stack([np.cos(a) * p - np.sin(a) * q, np.sin(a) * p + np.cos(a) * q], -1)
        ink = c[1 + int(rng.random() < 0.3)]
        _stamp(image, x, y, lambda im, u, v, s=shape, h=ink: _fill(im, s + (u, v), h))
    return Swatch(image, rng.uniform(0.12, 0.25))


def camouflage(rng: np.random.Generator, c: Colours) -> Swatch:
    """Thresholded noise in four shades of one of three families."""
    families = ((0.14, 0.13, 0.07), (0.22, 0.19, 0.13), (0.12, 0.12, 0.13))
    base = np.array(families[int(rng.choice(3, p=[0.6, 0.2, 0.2]))])
    tint = [tuple(base * s + np.array(t)) for s, t in ((1.0, (0, 0, 0)), (0.45, (0, 0.005, 0)), (0.18, (0.003, 0, 0)),
                                                      (1.9, (0.02, 0.02, 0)))]  # fmt: skip
    index = np.zeros((128, 128), int)
    for k in (1, 2, 3):
        index[band(rng, 3, 7, 128) > rng.uniform(0.5, 0.9)] = k
    return Swatch(_indexed(index, tuple(tint)), rng.uniform(0.35, 0.6))  # type: ignore[arg-type]


def animal(rng: np.random.Generator, c: Colours) -> Swatch:
    """Leopard rosettes, or zebra-like bands."""
    sand = tuple(np.array((0.42, 0.26, 0.12)) * rng.uniform(0.7, 1.3))
    dark, brown = (0.015, 0.012, 0.01), (0.16, 0.08, 0.035)
    if rng.random() < 0.25:
        return Swatch(_indexed((np.sin(4.0 * band(rng, 2, 4, 128)) > 0.1).astype(int), (c[0], dark)), 0.3)
    n = 256
    image = np.full((n, n, 3), _bytes(sand), np.uint8)  # type: ignore[arg-type]
    for x, y in _scatter(rng, n, 25):
        r, a = rng.uniform(7, 11), rng.uniform(0, 6.3)
        _stamp(image, x, y, lambda im, p, q, r=r, a=a: _fill(im, _blob(p, q, r, a, 0.8, 3), dark))
        _stamp(image, x, y, lambda im, p, q, r=r, a=a: _fill(im, _blob(p + 2, q + 1, r * 0.6, a, 0.8), brown))
    return Swatch(image, rng.uniform(0.25, 0.4))


def marble(rng: np.random.Generator, c: Colours) -> Swatch:
    """Tie-dye and watercolour: soft clouds of three colours."""
    a, b = (np.clip(0.5 + 0.5 * band(rng, 1, 4, 128, 0.7), 0, 1)[..., None] for _ in range(2))
    near = [np.array(k) * 0.6 + np.array(c[0]) * 0.4 for k in (c[1], c[2])]
    mix = np.array(c[0]) * (1 - a) + near[0] * a
    return Swatch(
        np.rint(to_srgb(mix * (1 - 0.5 * b) + near[1] * 0.5 * b) * 255).astype(np.uint8), rng.uniform(0.5, 0.8)
    )


def lace(rng: np.random.Generator, c: Colours) -> Swatch:
    """Fine openwork over a darker lining."""
    n = 128
    image = np.full((n, n, 3), _bytes(tuple(0.45 * v for v in c[0])), np.uint8)  # type: ignore[arg-type]
    for x, y in ((0, 0), (64, 64)):
        for k in range(6):
            a = k * np.pi / 3
            _stamp(
                image,
                x + 26 * np.cos(a),
                y + 26 * np.sin(a),
                lambda im, p, q, a=a: _fill(im, _blob(p, q, 15, a, 0.55), c[0]),
            )
        _stamp(image, x, y, lambda im, p, q: _fill(im, _blob(p, q, 12, 0), c[0]))
    return Swatch(image, rng.uniform(0.03, 0.06))


def _plain(c: Colours, height: np.ndarray, size: float, shade: float = 0.25) -> Swatch:
    """One colour, with relief; the low parts are darker, as little light gets there."""
    low = (height.max() - height) / max(float(height.max() - height.min()), 1e-9)
    linear = np.array(c[0]) * (1 - shade * low[..., None] ** 1.5)
    return Swatch(np.rint(to_srgb(linear) * 255).astype(np.uint8), size, height.astype(np.float32))


def rib(rng: np.random.Generator, c: Colours) -> Swatch:
    x = np.broadcast_to(np.arange(64) / 64, (64, 64))
    wide = rng.uniform(0.007, 0.013)
    return _plain(c, 0.1 * wide * np.abs(np.sin(np.pi * x)) ** 0.7, wide, 0.4)


def corduroy(rng: np.random.Generator, c: Colours) -> Swatch:
    x = np.broadcast_to(np.arange(64) / 64, (64, 64))
    wale = rng.uniform(0.004, 0.008)
    return _plain(c, 0.12 * wale * np.abs(np.sin(np.pi * x)) ** 0.5, wale, 0.5)


def cable(rng: np.random.Generator, c: Colours) -> Swatch:
    """Two strands that cross, columns of rib between them, rows of stitches."""
    n = 128
    y, x = np.mgrid[:n, :n] / n
    h = np.zeros((n, n))
    for phase in (0.0, 0.5):
        centre = 0.32 + 0.10 * np.sin(2 * np.pi * (y + phase))
        over = 0.7 + 0.3 * np.cos(2 * np.pi * (y + phase))
        h = np.maximum(h, over * np.sqrt(np.clip(1 - ((x - centre) / 0.10) ** 2, 0, 1)))
    ribs = 0.5 * np.abs(np.sin(8 * np.pi * x)) * ((x > 0.58) & (x < 0.96))
    h = np.maximum(h, ribs) + 0.10 * np.abs(np.sin(np.pi * (10 * y + 1.5 * np.abs(x - 0.32))))
    return _plain(
        c, 0.004 * cv2.GaussianBlur(h, (0, 0), 1.2, borderType=cv2.BORDER_REFLECT), rng.uniform(0.07, 0.11), 0.45
    )


def waffle(rng: np.random.Generator, c: Colours) -> Swatch:
    """Chunky stitches: moss, honeycomb."""
    y, x = np.mgrid[:64, :64] / 64
    return _plain(
        c, 0.0012 * np.abs(np.sin(2 * np.pi * x) * np.sin(2 * np.pi * y)) ** 0.6, rng.uniform(0.014, 0.028), 0.45
    )


def puffer(rng: np.random.Generator, c: Colours) -> Swatch:
    """Horizontal baffles, pinched along the seams."""
    n = 128
    y, x = np.mgrid[:n, :n] / n
    pinch = (
        0.25 * np.exp(-(((y % 1) * (1 - y % 1)) / 0.12)) * np.sin(2 * np.pi * (7 * x + 0.3 * np.sin(2 * np.pi * 2 * x)))
    )
    h = np.clip(4 * y * (1 - y), 0, 1) ** 0.55 + 0.5 * pinch * (4 * y * (1 - y)) ** 0.25
    size = rng.uniform(0.055, 0.11)
    return _plain(c, 0.17 * size * h, size, 0.35)


def quilt(rng: np.random.Generator, c: Colours) -> Swatch:
    """Diamonds stitched together."""
    y, x = np.mgrid[:128, :128] / 128
    h = np.abs(np.sin(np.pi * (x + y)) * np.sin(np.pi * (x - y))) ** 0.45
    size = rng.uniform(0.05, 0.08)
    return _plain(c, 0.05 * size * h, size, 0.25)


MAKERS: dict[str, Maker] = {
    "stripes": stripes, "pinstripes": pinstripes, "check": check, "herringbone": herringbone,
    "houndstooth": houndstooth, "dots": dots, "floral": floral, "shapes": shapes, "camouflage": camouflage,
    "animal": animal, "marble": marble, "lace": lace, "rib": rib, "corduroy": corduroy, "cable": cable,
    "waffle": waffle, "puffer": puffer, "quilt": quilt,
}  # fmt: skip
