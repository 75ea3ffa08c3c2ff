"""Draw details of trousers, jeans, skirts, dresses and hats: flies, pockets, yokes, creases, buttons, belts."""

from __future__ import annotations

import numpy as np

from ..base.colours import LEATHER, Colour, draw, luminance
from .panels import Points, Sheet
from .sewing import BRASS, HORN, PEARL, STEEL, arc, armholes, both, box, shade_of


def _fly(s: Sheet, thread: Colour | None, button: Colour) -> None:
    s.seam([(0, 0.11), (0, -0.09)], False, None, 0.5)
    s.seam(arc((0.038, 0.11), (0.04, -0.02), (0.03, -0.05), (0.0, -0.07)), False, thread, 0.4)
    s.button(0, 0.075, 0.008, button)


def _legs(s: Sheet, thread: Colour | None, crease: bool) -> None:
    """Crotch and back seams; pressed creases of suit trousers."""
    s.seam([(0, 0.11), (0, -0.1)], True, thread, 0.5)
    if crease:
        for back in (False, True):
            for p in both([(0.11, 0.0), (0.145, -0.45), (0.185, -0.9)]):
                s.emboss(p, 0.0025, 0.006, back)
                s.line(p, 0.002, (0.9, 0.9, 0.9), 0.05, back)


def trousers(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    kind = rng.choice(["chino", "suit", "jogger", "cargo"], p=[0.4, 0.28, 0.2, 0.12])
    if kind == "jogger":
        cord = PEARL if luminance(cloth) < 0.3 else shade_of(cloth, 0.4)
        for x in (-0.02, 0.024):
            s.line([(x, 0.06), (1.6 * x, -0.06)], 0.006, cord)
        for p in both(arc((0.1, 0.09), (0.15, 0.06), (0.19, -0.04))):
            s.seam(p, False, None, 0.5)
        s.patch(box(-0.1, 0.02, 0.11, 0.13), True)
    else:
        _fly(s, None, HORN)
        for p in both([(0.105, 0.09), (0.165, -0.05)]):
            s.seam(p, False, None, 0.55)
        for x in (-0.095, 0.095):
            s.seam([(x - 0.055, 0.015), (x + 0.055, 0.015)], True, None, 0.65)
            s.button(x, -0.0, 0.005, HORN, True)
    if kind == "cargo":
        for back in (False, True):
            for x in (-0.19, 0.19):
                s.patch(box(x, -0.22, 0.11, 0.17), back, None, 0.5)
                s.patch(box(x, -0.21, 0.115, 0.05), back, None, 0.5)
    _legs(s, None, kind == "suit")


def jeans(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    thread = (0.42, 0.23, 0.06) if rng.random() < 0.7 else shade_of(cloth, 1.8)
    _fly(s, thread, BRASS if rng.random() < 0.6 else STEEL)
    for p in both(arc((0.09, 0.095), (0.095, 0.035), (0.14, 0.02), (0.2, 0.025))):
        s.seam(p, False, thread, 0.6)
    s.seam([(-0.1, 0.055), (-0.165, 0.05)], False, thread, 0.4)
    for x, y in ((0.093, 0.085), (0.185, 0.025), (-0.093, 0.085), (-0.185, 0.025)):
        s.button(x, y, 0.004, BRASS)
    s.seam([(-0.22, 0.065), (0, 0.025), (0.22, 0.065)], True, thread, 0.5)
    bow = rng.uniform(-0.03, 0.03)
    for sign in (1, -1):
        x = 0.098 * sign
        s.fill(box(x, 0.01, 0.125, 0.11, 0.025), shade_of(cloth, rng.uniform(0.85, 1.25)), 0.35, True)
        s.patch(box(x, 0.01, 0.125, 0.11, 0.025), True, thread, 0.5)
        for d in (0, 0.012):  # the bow of stitches
            wing = [(0.058, -0.05 + d), (0.02, -0.05 + d + bow), (0.0, -0.075 + d)]
            for side in (-1, 1):
                s.line(arc(*((x + side * a, b) for a, b in wing), n=8), 0.002, thread, 0.8, True)
    s.fill([(-0.13, 0.098), (-0.06, 0.098), (-0.06, 0.062), (-0.13, 0.062)], draw(rng, LEATHER), 1, True)
    if rng.random() < 0.12:  # torn knees
        for sign in (1, -1):
            if rng.random() < 0.7:
                x, y = 0.145 * sign + rng.normal(0, 0.01), -0.44 + rng.normal(0, 0.03)
                hole = [
                    (x - 0.05, y),
                    (x, y + 0.018),
                    (x + 0.05, y + 0.004),
                    (x + 0.02, y - 0.02),
                    (x - 0.03, y - 0.016),
                ]
                s.fill(hole, shade_of(cloth, 0.35))
                for k in range(7):
                    yy = y - 0.014 + 0.0045 * k
                    s.line([(x - 0.045, yy), (x + 0.045, yy + rng.normal(0, 0.003))], 0.002, (0.6, 0.6, 0.6), 0.8)
    _legs(s, thread, False)


def skirt(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    kind = rng.choice(["plain", "buttons", "wrap", "pockets"], p=[0.45, 0.2, 0.15, 0.2])
    if kind == "buttons":
        s.patch([(-0.018, 0.15), (0.018, 0.15), (0.018, -0.95), (-0.018, -0.95)])
        for y in np.arange(0.07, -0.9, -0.075):
            s.button(0, float(y), 0.008, HORN if rng.random() < 0.5 else BRASS)
    elif kind == "wrap":
        s.seam(arc((-0.08, 0.12), (0.06, -0.1), (0.1, -0.95)), False, None, 0.6)
    elif kind == "pockets":
        for x in (-0.12, 0.12):
            s.patch(box(x, 0.02, 0.12, 0.12))
    s.zip([(0, 0.11), (0, -0.07)], shade_of(cloth, 0.6), 0.003, True)
    for x in (-0.09, 0.09):
        s.seam([(x, 0.11), (1.05 * x, 0.0)], True, None, 0.3)


def dress(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    for back in (False, True):
        s.seam([(-0.3, 0.125), (0.3, 0.125)], back, None, 0.45)
        for side in both(arc((0.12, 0.34), (0.08, 0.25), (0.085, 0.13))):
            s.seam(side, back, None, 0.22, 0.0008)
    r = rng.random()
    if r < 0.3:
        s.patch([(-0.015, 0.6), (0.015, 0.6), (0.015, -0.95), (-0.015, -0.95)], strength=0.4)
        for y in np.arange(0.42, -0.9, -0.08):
            s.button(0, float(y), 0.006, PEARL if rng.random() < 0.6 else HORN)
    elif r < 0.5:  # wrapped
        s.seam([(0.1, 0.56), (-0.12, 0.13)], False, None, 0.6)
        s.seam([(-0.1, 0.56), (0.02, 0.34)], False, None, 0.5)
    if rng.random() < 0.35:
        belt = accent if rng.random() < 0.5 else draw(rng, LEATHER)
        h = rng.uniform(0.012, 0.025)
        for back in (False, True):
            strap: Points = [(-0.3, 0.125 + h), (0.3, 0.125 + h), (0.3, 0.125 - h), (-0.3, 0.125 - h)]
            s.fill(strap, belt, 1, back)
            s.patch(strap, back)
        s.button(0, 0.125, 0.013, BRASS)
    s.zip([(0, 0.5), (0, 0.05)], shade_of(cloth, 0.6), 0.003, True)


def hat(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    if rng.random() < 0.4:
        chest = [str(w) for w in rng.choice(["NY", "LA", "A", "77", "SF", "K", "OK"], 1)]
        s.text(chest, (0, 0.8), 0.05, accent, 3, 4)
    s.seam([(0, 0.95), (0, 0.7)], False, None, 0.3)
    s.seam([(0, 0.95), (0, 0.7)], True, None, 0.3)
