"""Colours of street clothes: a weighted table, and palettes with matching colours for an outfit.

Dark neutrals, white, navy, denim and earth colours are frequent, as in street photos; saturated colours are rare.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # linear RGB albedo

DARKEST, LIGHTEST = 0.012, 0.85  # albedo of black wool and of bleached cotton

# sRGB and weight. Weights are relative within a row.
NEUTRAL = {
    "black": (0x1A1A1C, 24), "off black": (0x26262A, 10), "charcoal": (0x3A3B40, 10), "grey": (0x77787A, 8),
    "light grey": (0xB4B4B2, 7), "white": (0xEDEDEA, 16), "off white": (0xE4DFD2, 9), "beige": (0xC6B498, 6),
    "stone": (0xA79E8E, 4), "taupe": (0x75695D, 4), "navy": (0x1F2A44, 13), "dark navy": (0x171D2C, 8),
}  # fmt: skip
MUTED = {
    "camel": (0xA8804F, 8), "brown": (0x5A4032, 8), "dark brown": (0x3A2B25, 6), "olive": (0x55563A, 8),
    "khaki": (0x8F8560, 7), "forest": (0x2C4435, 5), "sage": (0x93A08A, 4), "burgundy": (0x55222C, 7),
    "rust": (0x92482F, 4), "brick": (0x84413A, 4), "dusty rose": (0xBD9391, 5), "blush": (0xDFC4BA, 4),
    "mustard": (0xB3862F, 3), "slate blue": (0x54657A, 8), "pale blue": (0xB2C3D3, 9), "steel": (0x7B8B9A, 6),
    "teal": (0x2D5557, 3), "plum": (0x4A3146, 3), "lilac": (0xB0A3BB, 2), "cream": (0xE8DDBF, 5),
    "indigo": (0x2D3C63, 6),
}  # fmt: skip
LOUD = {
    "red": (0xB02528, 8), "royal": (0x24489A, 5), "cobalt": (0x2F66B5, 3), "coral": (0xDB6E5C, 3),
    "orange": (0xD4702A, 2), "yellow": (0xE2BE3C, 3), "emerald": (0x1F7A55, 2), "pink": (0xD77C9C, 3),
    "turquoise": (0x3A9AA5, 2), "purple": (0x5D3A82, 1),
}  # fmt: skip
DENIM = {"raw": (0x232C41, 5), "dark": (0x303E58, 7), "mid": (0x4E648A, 6), "light": (0x86A0BE, 4),
         "bleached": (0xB4C3D2, 1), "black": (0x232427, 5), "grey": (0x5D6167, 2), "ecru": (0xDDD6C6, 1)}  # fmt: skip
LEATHER = {"black": (0x1B1A1A, 12), "dark brown": (0x38261E, 6), "brown": (0x5F3D27, 5), "cognac": (0x8E5A33, 4),
           "tan": (0xB08A60, 3), "burgundy": (0x4A1E22, 2), "grey": (0x5E5C5A, 1), "white": (0xDAD7D0, 3)}  # fmt: skip


@dataclass(frozen=True)
class Palette:
    """One outfit's colours, linear RGB."""

    top: Colour
    outer: Colour
    bottom: Colour
    denim: Colour
    accent: Colour  # prints, trims, scarf, hat
    second: Colour  # the other colour of stripes and checks
    leather: Colour  # shoes, belt and bag agree
    shoes: Colour


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light, any shape."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def to_srgb(colour: Colour | np.ndarray) -> np.ndarray:
    """Linear light to sRGB in [0, 1], any shape."""
    c = np.clip(np.asarray(colour, float), 0, 1)
    return np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)


def triple(values: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def luminance(colour: Colour) -> float:
    return float(np.dot(colour, (0.2126, 0.7152, 0.0722)))


def clamp(colour: np.ndarray) -> Colour:
    r, g, b = np.clip(colour, DARKEST, LIGHTEST).tolist()
    return r, g, b


def draw(rng: np.random.Generator, table: dict[str, tuple[int, int]], spread: float = 1.0) -> Colour:
    """A random colour of the table with small random changes."""
    rows = list(table.values())
    weight = np.array([w for _, w in rows], float)
    code = rows[rng.choice(len(rows), p=weight / weight.sum())][0]
    srgb = np.array([code >> 16, code >> 8 & 255, code & 255]) / 255
    srgb = srgb * rng.uniform(1 - 0.12 * spread, 1 + 0.1 * spread) + rng.normal(0, 0.012 * spread, 3)
    return clamp(linear(np.clip(srgb, 0, 1)))


def any_colour(rng: np.random.Generator, neutral: float = 0.58, loud: float = 0.07) -> Colour:
    """A random colour: neutral with the first probability, saturated with the second, else muted."""
    r = rng.random()
    return draw(rng, NEUTRAL if r < neutral else LOUD if r > 1 - loud else MUTED)


def contrasting(rng: np.random.Generator, to: Colour, neutral: float = 0.6, least: float = 0.25) -> Colour:
    """A random colour whose lightness (sRGB) differs from that of ``to`` by the minimum, for prints and stripes."""
    light = to_srgb(np.array([luminance(to)]))[0]
    best = to
    for _ in range(12):
        best = any_colour(rng, neutral)
        if abs(to_srgb(np.array([luminance(best)]))[0] - light) >= least:
            return best
    return clamp(np.full(3, 0.7 if light < 0.5 else 0.02))


def sample_palette(rng: np.random.Generator) -> Palette:
    """Random colours for an outfit: at most one saturated piece, mostly darker bottoms, one colour of leather."""
    star = rng.choice(["top", "outer", "bottom", "accent"], p=[0.4, 0.2, 0.15, 0.25])
    pick = {n: any_colour(rng, 0.75 if n != star else 0.3, 0.0 if n != star else 0.14) for n in ("top", "outer")}
    bottom = any_colour(rng, 0.8 if star != "bottom" else 0.35, 0.0 if star != "bottom" else 0.08)
    if luminance(bottom) > 0.3 and rng.random() < 0.6:
        bottom = draw(rng, NEUTRAL)
    if rng.random() < 0.15:  # tone in tone
        pick["outer"] = clamp(np.array(pick["top"]) * rng.uniform(0.35, 0.8))
    if rng.random() < 0.06:  # all in one colour
        bottom = clamp(np.array(pick["top"]) * rng.uniform(0.7, 1.1))
    leather = draw(rng, LEATHER)
    shoes = leather if rng.random() < 0.5 else draw(rng, LEATHER if rng.random() < 0.5 else NEUTRAL)
    accent = any_colour(rng, 0.35, 0.25 if star == "accent" else 0.08)
    return Palette(pick["top"], pick["outer"], bottom, draw(rng, DENIM), accent,
                   contrasting(rng, pick["top"]), leather, shoes)  # fmt: skip
