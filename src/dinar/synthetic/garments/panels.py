"""Draw sewn, printed and buttoned details of a garment on flat sheets, one for the front and one for the back.

Front and back differ (openings, buttons, prints; yokes, vents, hoods, back pockets), so that the inpainting model does
not learn mirrored fronts. Sheets lie in the x-y plane of the standard body of :mod:`.fabric`; x is the person's left,
on the right side of the front sheet as seen by a viewer.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..base.colours import Colour, to_srgb

TEXEL = 0.002  # metres
DEEP = 0.003  # metres of relief at full scale; 128 is level
WORDS = (
    "NORTH", "COAST", "ATHLETIC", "STUDIO", "1984", "RIVER", "CLUB", "ORIGINAL", "SUMMER", "OSLO", "HARBOR", "WILD",
    "TOKYO", "RADIO", "MOTOR", "BLUE", "UNION", "CAMP", "SURF", "NEON", "CITY", "LOVE", "DAILY", "MOUNTAIN", "VOLT",
    "FIELD", "GOODS", "STATE", "NOVA", "PALM", "1972", "88", "ECHO", "BERLIN", "PEAK", "ROAD", "FOX", "ATLAS", "KIND",
)  # fmt: skip
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX,
         cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_SIMPLEX)  # fmt: skip
SHIFT = 4
BLACK: Colour = (0.004, 0.004, 0.004)

Points = list[tuple[float, float]]


class Sheet:
    """Premultiplied sRGB, alpha and relief of a garment's front and back, drawn in metres."""

    def __init__(self, half: float, low: float, high: float) -> None:
        self.half, self.low, self.high = half, low, high
        h, w = round((high - low) / TEXEL), round(2 * half / TEXEL)
        self.rgba = np.zeros((2, h, w, 4), np.uint8)
        self.relief = np.full((2, h, w), 128, np.uint8)

    def pixels(self, points: Points | np.ndarray) -> np.ndarray:
        p = np.asarray(points, float)
        return np.rint(np.stack([p[:, 0] + self.half, self.high - p[:, 1]], -1) / TEXEL * 2**SHIFT).astype(np.int32)

    def line(self, points: Points, width: float, colour: Colour, alpha: float = 1.0, back: bool = False,
             closed: bool = False) -> None:  # fmt: skip
        """A stroke; ``alpha`` < 1 tints (the tint replaces what was drawn below it)."""
        ink = (*(to_srgb(np.array(colour)) * 255 * alpha).tolist(), 255 * alpha)
        cv2.polylines(
            self.rgba[int(back)], [self.pixels(points)], closed, ink, max(1, round(width / TEXEL)), cv2.LINE_AA, SHIFT
        )

    def fill(self, points: Points | np.ndarray, colour: Colour, alpha: float = 1.0, back: bool = False) -> None:
        ink = (*(to_srgb(np.array(colour)) * 255 * alpha).tolist(), 255 * alpha)
        cv2.fillPoly(self.rgba[int(back)], [self.pixels(points)], ink, cv2.LINE_AA, SHIFT)

    def emboss(self, points: Points | np.ndarray, depth: float, width: float = 0.0, back: bool = False) -> None:
        """Sets the relief, metres (negative: a groove), along a stroke or, without a width, inside the outline."""
        level = float(np.clip(128 + depth / DEEP * 127, 0, 255))
        if width:
            cv2.polylines(
                self.relief[int(back)],
                [self.pixels(points)],
                False,
                level,
                max(1, round(width / TEXEL)),
                cv2.LINE_AA,
                SHIFT,
            )
        else:
            cv2.fillPoly(self.relief[int(back)], [self.pixels(points)], level, cv2.LINE_AA, SHIFT)

    def seam(self, points: Points, back: bool = False, thread: Colour | None = None, strength: float = 0.45,
             depth: float = 0.0012) -> None:  # fmt: skip
        """A sewn line: a groove, darker, with a row of stitches beside it where a thread colour is given."""
        self.emboss(points, -depth, 0.0045, back)
        self.line(points, 0.003, BLACK, strength, back)
        if thread is not None:
            p = np.array(points)
            d = np.gradient(p, axis=0)
            n = np.stack([-d[:, 1], d[:, 0]], -1) / np.maximum(np.linalg.norm(d, axis=1, keepdims=True), 1e-9)
            self.line([(float(x), float(y)) for x, y in p + 0.006 * n], 0.0018, thread, 0.75, back)

    def patch(self, points: Points, back: bool = False, thread: Colour | None = None, strength: float = 0.4) -> None:
        """A piece sewn onto the cloth: raised, outlined, shaded below."""
        self.emboss(points, 0.0012, back=back)
        self.line([*points, points[0]], 0.003, BLACK, strength, back)
        if thread is not None:
            c = np.mean(points, 0)
            inner = [(float(x), float(y)) for x, y in c + (np.array(points) - c) * 0.9]
            self.line([*inner, inner[0]], 0.0018, thread, 0.75, back)

    def button(self, x: float, y: float, radius: float, colour: Colour, back: bool = False) -> None:
        t = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack([np.cos(t), np.sin(t)], -1)
        self.fill((x, y) + (radius + 0.0018) * ring + (0, -0.001), BLACK, 0.55, back)
        self.fill((x, y) + radius * ring, colour, 1, back)
        self.fill((x, y) + 0.3 * radius * ring, tuple(0.55 * v for v in colour), 1, back)  # type: ignore[arg-type]
        self.emboss((x, y) + radius * ring, 0.002, back=back)

    def zip(self, points: Points, teeth: Colour, width: float = 0.007, back: bool = False) -> None:
        """Tape, teeth and slider."""
        self.line(points, 2.4 * width, BLACK, 0.45, back)
        self.line(points, width, teeth, 1, back)
        self.emboss(points, 0.0015, width, back)
        x, y = points[0]
        self.fill([(x - 0.005, y), (x + 0.005, y), (x + 0.003, y - 0.028), (x - 0.003, y - 0.028)], teeth, 1, back)

    def text(self, words: list[str], centre: tuple[float, float], width: float, colour: Colour, font: int, weight: int,
             back: bool = False, outline: Colour | None = None) -> None:  # fmt: skip
        """Lines of text as wide as ``width`` metres, readable from outside."""
        ink = (*(to_srgb(np.array(colour)) * 255).tolist(), 255.0)
        y = centre[1]
        for word in words:
            (w, h), _ = cv2.getTextSize(word, font, 1.0, weight)
            size = min(width / TEXEL / w, 0.13 / len(words) ** 0.8 / TEXEL / h)
            thick = max(1, round(weight * size))
            (w, h), base = cv2.getTextSize(word, font, size, thick)
            tile = np.zeros((h + base + 2 * thick, w + 2 * thick, 4), np.uint8)
            spot = (thick, h + thick)
            if outline is not None:
                rim = (*(to_srgb(np.array(outline)) * 255).tolist(), 255.0)
                cv2.putText(tile, word, spot, font, size, rim, 2 * thick + 2, cv2.LINE_AA)
            cv2.putText(tile, word, spot, font, size, ink, thick, cv2.LINE_AA)
            # Front sheets have the person's left at +x, which a viewer sees at the right, as in the drawing; the back
            # sheet is seen with +x at the left.
            self.paste(tile[:, ::-1] if back else tile, (centre[0], y), back)
            y -= tile.shape[0] * TEXEL * 1.15

    def paste(self, tile: np.ndarray, centre: tuple[float, float], back: bool = False) -> None:
        """A premultiplied [h, w, 4] picture over the sheet, cut at its borders."""
        sheet = self.rgba[int(back)]
        h, w = tile.shape[:2]
        i = round((self.high - centre[1]) / TEXEL - h / 2)
        j = round((centre[0] + self.half) / TEXEL - w / 2)
        a, b = max(0, -i), max(0, -j)
        c, d = min(h, sheet.shape[0] - i), min(w, sheet.shape[1] - j)
        if c <= a or d <= b:
            return
        part, under = tile[a:c, b:d].astype(np.float32), sheet[i + a : i + c, j + b : j + d]
        under[:] = np.rint(part + under * (1 - part[..., 3:] / 255)).clip(0, 255)


def emblem(rng: np.random.Generator, size: float, colours: list[Colour]) -> np.ndarray:
    """A premultiplied [n, n, 4] sRGB picture for a chest: badge, sun over hills, star, bars, animal, strokes."""
    n = max(24, round(size / TEXEL))
    im = np.zeros((n, n, 4), np.uint8)
    ink = [(*(to_srgb(np.array(c)) * 255).tolist(), 255.0) for c in colours]
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)

    def poly(x: np.ndarray, y: np.ndarray, k: int) -> None:
        p = np.rint(np.stack([x, y], -1) * n * 16).astype(np.int32)
        cv2.fillPoly(im, [p], ink[k % len(ink)], cv2.LINE_AA, 4)

    kind = rng.integers(6)
    if kind == 0:  # badge
        for k, r in enumerate((0.48, 0.42, 0.38)):
            poly(0.5 + r * np.cos(t), 0.5 + r * np.sin(t), k)
        m = int(rng.integers(3, 8))
        r = 0.2 + 0.1 * np.cos(m * t)
        poly(0.5 + r * np.cos(t), 0.5 + r * np.sin(t), 1)
    elif kind == 1:  # sun over hills, or a photo-like square
        poly(np.array([0.05, 0.95, 0.95, 0.05]), np.array([0.1, 0.1, 0.9, 0.9]), 0)
        poly(rng.uniform(0.3, 0.7) + 0.16 * np.cos(t), 0.38 + 0.16 * np.sin(t), 1)
        for k in range(3):
            x = np.linspace(0.05, 0.95, 24)
            y = 0.55 + 0.11 * k + 0.06 * np.sin(x * rng.uniform(5, 14) + rng.uniform(0, 6))
            poly(np.r_[x, 0.95, 0.05], np.r_[y, 0.9, 0.9], 2 + k)
    elif kind == 2:  # star or flower
        m = int(rng.integers(4, 9))
        r = 0.34 + 0.13 * np.cos(m * t)
        poly(0.5 + r * np.cos(t), 0.5 + r * np.sin(t), 0)
        poly(0.5 + 0.5 * r * np.cos(t), 0.5 + 0.5 * r * np.sin(t), 1)
    elif kind == 3:  # bars
        k = int(rng.integers(3, 7))
        for i in range(k):
            y = 0.1 + 0.8 * i / k
            x0, x1 = (0.05, 0.95) if rng.random() < 0.6 else sorted(rng.uniform(0.05, 0.95, 2))
            poly(np.array([x0, x1, x1, x0]), np.array([y, y, y + 0.5 / k, y + 0.5 / k]), i)
    elif kind == 4:  # head of an animal
        poly(0.5 + 0.3 * np.cos(t), 0.55 + 0.3 * np.sin(t), 0)
        for s in (-1, 1):
            poly(0.5 + s * np.array([0.28, 0.1, 0.3]), np.array([0.45, 0.28, 0.08]), 0)
            poly(0.5 + s * 0.12 + 0.05 * np.cos(t), 0.5 + 0.06 * np.sin(t), 1)
        poly(0.5 + 0.08 * np.cos(t), 0.66 + 0.05 * np.sin(t), 1)
    else:  # abstract strokes
        for i in range(int(rng.integers(4, 9))):
            a, r0 = rng.uniform(0, 6.3), rng.uniform(0.08, 0.3)
            x, y = rng.uniform(0.3, 0.7, 2)
            poly(x + r0 * np.cos(t) * np.cos(a) - 0.4 * r0 * np.sin(t) * np.sin(a),
                 y + r0 * np.cos(t) * np.sin(a) + 0.4 * r0 * np.sin(t) * np.cos(a), i)  # fmt: skip
    return im


def chest_print(s: Sheet, rng: np.random.Generator, ink: Colour, other: Colour, back: bool = False) -> None:
    """Text, an emblem, or both, where prints sit; a faded print is common."""
    font, weight = FONTS[int(rng.integers(len(FONTS)))], int(rng.integers(2, 6))
    words = [str(w) for w in rng.choice(WORDS, int(rng.integers(1, 4)), replace=False)]
    rim = other if rng.random() < 0.25 else None
    kind = rng.choice(["text", "emblem", "both", "small"], p=[0.33, 0.27, 0.22, 0.18])
    if back:
        if kind == "small":
            s.text([str(rng.integers(1, 100))], (0, rng.uniform(0.22, 0.28)), 0.2, ink, FONTS[3], 7, True, rim)
        else:
            s.text(words, (0, rng.uniform(0.3, 0.38)), rng.uniform(0.18, 0.3), ink, font, weight, True, rim)
        return
    if kind == "small":
        s.paste(emblem(rng, rng.uniform(0.035, 0.06), [ink, other]), (rng.uniform(0.07, 0.1), 0.33))
        return
    y = rng.uniform(0.29, 0.35)
    if kind in ("emblem", "both"):
        size = rng.uniform(0.14, 0.26)
        s.paste(emblem(rng, size, [ink, other]), (0, y - 0.03))
        y -= 0.03 + size / 2 + 0.03
    if kind in ("text", "both"):
        s.text(words if kind == "text" else words[:1], (0, y), rng.uniform(0.14, 0.27), ink, font, weight, False, rim)
