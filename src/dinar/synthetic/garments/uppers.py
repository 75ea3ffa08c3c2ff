"""Draw details of tees, shirts, sweaters, jackets and coats: plackets, lapels, zips, pockets, hoods, yokes, vents."""

from __future__ import annotations

import numpy as np

from ..base.colours import Colour, contrasting, luminance
from .panels import BLACK, Points, Sheet, chest_print
from .sewing import BRASS, HORN, PEARL, STEEL, arc, armholes, both, box, shade_of


def tee(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    r = rng.random()
    if r < 0.42:
        chest_print(s, rng, accent, contrasting(rng, accent, 0.5))
    elif r < 0.5:
        s.patch(box(0.085, 0.34, 0.095, 0.10, 0.015))
    elif r < 0.56:  # a band across the chest
        y, h = rng.uniform(0.2, 0.32), rng.uniform(0.03, 0.1)
        for back in (False, True):
            s.fill([(-0.4, y), (0.4, y), (0.4, y - h), (-0.4, y - h)], accent, 1, back)
    if rng.random() < 0.16:
        chest_print(s, rng, accent, cloth, back=True)


def polo(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    s.patch([(-0.016, 0.55), (0.016, 0.55), (0.016, 0.36), (-0.016, 0.36)])
    for y in (0.46, 0.41, 0.375):
        s.button(0, y, 0.005, PEARL)
    _collar(s, accent if rng.random() < 0.3 else None)


def _collar(s: Sheet, colour: Colour | None) -> None:
    for leaf in both([(0.004, 0.505), (0.055, 0.445), (0.095, 0.505), (0.075, 0.57), (0.03, 0.575)]):
        if colour is not None:
            s.fill(leaf, colour)
        s.patch(leaf, strength=0.5)
    s.seam(arc((-0.09, 0.535), (0, 0.505), (0.09, 0.535)), True, None, 0.4)


def shirt(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    w = rng.uniform(0.013, 0.018)
    s.patch([(-w, 0.6), (w, 0.6), (w, -0.35), (-w, -0.35)], strength=0.5)
    dark = luminance(cloth) < 0.15
    button = PEARL if rng.random() < (0.45 if dark else 0.8) else HORN
    step = rng.uniform(0.08, 0.095)
    for y in np.arange(0.485, -0.34, -step):
        s.button(0, float(y), 0.0058, button)
    for x in ((0.09,), (0.09, -0.09), ())[rng.choice(3, p=[0.45, 0.25, 0.3])]:
        s.patch(box(x, 0.335, 0.1, 0.11, rng.uniform(0, 0.02)), strength=0.45)
        if rng.random() < 0.4:
            s.patch(box(x, 0.345, 0.104, 0.035, 0.015), strength=0.45)
            s.button(x, 0.31, 0.005, button)
    _collar(s, (0.75, 0.75, 0.74) if rng.random() < 0.05 else None)
    s.seam([(-0.3, 0.43), (0.3, 0.43)], True)
    if rng.random() < 0.6:
        for x in (-0.014, 0.014):
            s.seam([(x, 0.43), (x, -0.3)], True, None, 0.22, 0.0008)
    if rng.random() < 0.12:  # tie
        tie = accent
        s.fill([(-0.022, 0.5), (0.022, 0.5), (0.014, 0.46), (-0.014, 0.46)], shade_of(tie, 0.8))
        blade: Points = [(-0.014, 0.46), (0.014, 0.46), (0.04, 0.06), (0, 0.02), (-0.04, 0.06)]
        s.fill(blade, tie)
        s.patch(blade, strength=0.0)
        if rng.random() < 0.5:
            for y in np.arange(0.07, 0.46, 0.045):
                s.line([(-0.026, float(y) - 0.02), (0.026, float(y) + 0.02)], 0.007, contrasting(rng, tie))


def sweater(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    kind = rng.choice(["crew", "hoodie", "cardigan", "zip hoodie"], p=[0.42, 0.26, 0.2, 0.12])
    if rng.random() < 0.4:  # raglan
        for back in (False, True):
            for side in both(arc((0.085, 0.56), (0.12, 0.45), (0.185, 0.32))):
                s.seam(side, back, None, 0.35)
    else:
        armholes(s)
    if "hoodie" in kind:
        pocket: Points = [(-0.085, 0.17), (0.085, 0.17), (0.155, 0.07), (0.155, -0.02), (-0.155, -0.02), (-0.155, 0.07)]
        s.patch(pocket, strength=0.5)
        cord = accent if rng.random() < 0.4 else PEARL if luminance(cloth) < 0.3 else shade_of(cloth, 0.5)
        for x, low in ((0.032, rng.uniform(0.28, 0.36)), (-0.032, rng.uniform(0.28, 0.36))):
            s.line([(x, 0.52), (1.15 * x, low)], 0.008, BLACK, 0.35)
            s.line([(x, 0.52), (1.1 * x, low)], 0.0055, cord)
            s.emboss([(x, 0.52), (1.1 * x, low)], 0.003, 0.006)
        hood = arc((-0.15, 0.56), (-0.17, 0.24), (0.17, 0.24), (0.15, 0.56))
        s.emboss(hood, 0.003, back=True)
        s.line(hood, 0.006, BLACK, 0.5, True)
        s.line([(x, y - 0.006) for x, y in hood], 0.008, BLACK, 0.25, True)
        s.seam([(0, 0.56), (0, 0.33)], True)
        for x in (-0.075, 0.075):
            s.line(arc((0.3 * x, 0.46), (1.3 * x, 0.5), (1.5 * x, 0.56)), 0.006, BLACK, 0.45)
    if kind == "zip hoodie":
        s.zip([(0, 0.53), (0, -0.2)], STEEL)
    elif kind == "cardigan":
        v = rng.uniform(0.2, 0.4)
        for side in both([(0.015, -0.35), (0.015, v), (0.075, 0.56)]):
            s.seam(side, False, None, 0.5)
        for y in np.arange(v - 0.02, -0.34, -rng.uniform(0.08, 0.11)):
            s.button(0, float(y), 0.0085, HORN if rng.random() < 0.5 else shade_of(cloth, 0.5))
        for x in (-0.11, 0.11):
            s.patch(box(x, 0.1, 0.11, 0.11), strength=0.35)
    if kind == "crew" and rng.random() < 0.3:
        r = rng.random()
        if r < 0.5:
            chest_print(s, rng, accent, contrasting(rng, accent, 0.5))
        else:  # bands across the chest
            y = rng.uniform(0.2, 0.3)
            for k, c in enumerate((accent, contrasting(rng, cloth), accent)[: int(rng.integers(1, 4))]):
                for back in (False, True):
                    s.fill(
                        [
                            (-0.4, y - 0.05 * k),
                            (0.4, y - 0.05 * k),
                            (0.4, y - 0.05 * k - 0.04),
                            (-0.4, y - 0.05 * k - 0.04),
                        ],
                        c,
                        1,
                        back,
                    )


def _lapels(s: Sheet, rng: np.random.Generator, cloth: Colour, stop: float) -> None:
    width, satin = rng.uniform(0.07, 0.1), shade_of(cloth, rng.uniform(0.75, 1.0))
    for sign in (1, -1):
        notch = [
            (0.045, 0.57),
            (0.095, 0.53),
            (width + 0.012, 0.435),
            (width - 0.012, 0.445),
            (width + 0.02, 0.41),
            (0.012, stop),
        ]
        leaf = [(sign * x, y) for x, y in [*notch, (-0.004, stop + 0.02), (0.02, 0.42)]]
        s.emboss(leaf, 0.0022)
        s.fill(leaf, satin, 0.25 if satin != cloth else 0)
        s.line([(sign * x, y) for x, y in notch], 0.004, BLACK, 0.6)
        s.line([(sign * x, y - 0.005) for x, y in notch[3:]], 0.006, BLACK, 0.3)
        s.line([(sign * 0.058, 0.465), (sign * (width - 0.012), 0.445)], 0.003, BLACK, 0.5)
    s.seam(arc((-0.08, 0.53), (0, 0.5), (0.08, 0.53)), True)


def _flaps(s: Sheet, y: float, width: float = 0.14, x: float = 0.125) -> None:
    for p in both(
        [(x - width / 2, y), (x + width / 2, y + 0.01), (x + width / 2, y - 0.04), (x - width / 2, y - 0.05)]
    ):
        s.patch(p, strength=0.55)


def blazer(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    stop = rng.uniform(0.1, 0.2)
    double = rng.random() < 0.2
    if rng.random() < 0.6:  # a shirt shows between the lapels
        shirt_colour = (0.7, 0.7, 0.69) if rng.random() < 0.5 else contrasting(rng, cloth, 0.7)
        s.fill([(-0.06, 0.6), (0.06, 0.6), (0, stop)], shirt_colour)
        if rng.random() < 0.4:
            s.fill([(-0.02, 0.52), (0.02, 0.52), (0.022, 0.3), (0, stop), (-0.022, 0.3)], accent)
    _lapels(s, rng, cloth, stop)
    edge = 0.055 if double else 0.012
    s.seam([(edge * 0.2, stop), (edge, stop - 0.04), (edge, -0.12), (edge - 0.04, -0.4)], False, None, 0.6)
    button = HORN if rng.random() < 0.7 else BRASS
    for k in range(int(rng.integers(1, 4))):
        for x in (-0.06, 0.04) if double else (0.0,):
            s.button(x, stop - 0.03 - 0.1 * k, 0.0095, button)
    _flaps(s, rng.uniform(0.02, 0.06))
    s.patch([(0.06, 0.32), (0.15, 0.335), (0.15, 0.31), (0.06, 0.295)], strength=0.5)
    for x in (-0.1, 0.1):
        s.seam([(x, 0.25), (1.05 * x, 0.03)], False, None, 0.25, 0.0008)
        s.seam(arc((1.5 * x, 0.36), (0.9 * x, 0.2), (1.1 * x, -0.3)), True, None, 0.3)
    s.seam([(0, 0.53), (0, -0.02)], True, None, 0.35)
    s.line([(0, -0.02), (0, -0.5)], 0.006, BLACK, 0.6, True)


def zipped(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    """Bombers, bikers, track tops, wind breakers."""
    armholes(s)
    metal = (STEEL, BRASS, shade_of(cloth, 0.4))[rng.choice(3, p=[0.5, 0.2, 0.3])]
    lean = rng.choice([0, 0.09], p=[0.75, 0.25])
    s.zip([(lean, 0.52), (lean * 0.2, -0.3)], metal)
    if lean:
        for side in (1, -1):
            leaf: Points = [(0.02 * side, 0.57), (0.12 * side, 0.5), (0.14 * side, 0.4), (0.05 * side, 0.33)]
            s.patch(leaf, strength=0.6)
    a = rng.uniform(0.0, 0.05)
    for p in both([(0.085, 0.16), (0.085 + a + 0.02, 0.02)]):
        s.zip(p, metal, 0.005) if rng.random() < 0.5 else s.patch(
            [p[0], (p[0][0] * 1.2, p[0][1]), (p[1][0] * 1.2, p[1][1]), p[1]]
        )
    if rng.random() < 0.35:
        s.zip([(0.06, 0.33), (0.15, 0.345)], metal, 0.005)
    if rng.random() < 0.35:
        for back in (False, True):
            s.seam(
                [(-0.4, 0.38), (-0.1, 0.35), (0.1, 0.35), (0.4, 0.38)] if not back else [(-0.4, 0.38), (0.4, 0.38)],
                back,
                None,
                0.4,
            )
    if rng.random() < 0.2:
        for back in (False, True):
            y = rng.uniform(0.2, 0.38)
            s.fill([(-0.45, y), (0.45, y), (0.45, 0.62), (-0.45, 0.62)], accent, 1, back)
        s.zip([(lean, 0.52), (lean * 0.2, -0.3)], metal)
    if rng.random() < 0.3:
        chest_print(s, rng, contrasting(rng, cloth), accent, back=True)
    elif rng.random() < 0.5:
        s.seam([(-0.4, 0.4), (0.4, 0.4)], True)
    if rng.random() < 0.25:
        s.text(["".join(rng.choice(list("ACDEKLMNRSTV"), 4))], (0.1, 0.34), 0.06, contrasting(rng, cloth), 1, 3)


def trucker(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    """Denim and cord jackets: yoke, chest pockets with flaps, converging seams, a button band."""
    thread = (0.42, 0.24, 0.07) if rng.random() < 0.6 else shade_of(cloth, 1.7)
    armholes(s, thread)
    for x in (-0.02, 0.02):
        s.seam([(x, 0.55), (x, -0.3)], False, thread, 0.4)
    for y in np.arange(0.48, -0.2, -0.085):
        s.button(0, float(y), 0.008, BRASS if rng.random() < 0.5 else STEEL)
    for back in (False, True):
        s.seam([(-0.3, 0.34), (0, 0.33), (0.3, 0.34)], back, thread, 0.5)
        for side in both([(0.13 if not back else 0.12, 0.33), (0.075, -0.05)]):
            s.seam(side, back, thread, 0.4)
    for x in (-0.105, 0.105):
        s.patch(box(x, 0.345, 0.11, 0.045, 0.02), False, thread, 0.5)
        s.button(x, 0.298, 0.007, BRASS)
        s.seam([(x * 1.25, 0.13), (x * 1.5, 0.0)], False, thread, 0.5)
    _collar(s, None)


def parka(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    s.zip([(0, 0.54), (0, -0.45)], shade_of(cloth, 0.4))
    if rng.random() < 0.6:
        s.patch([(-0.005, 0.54), (0.045, 0.54), (0.045, -0.45), (-0.005, -0.45)], strength=0.5)
        for y in np.arange(0.47, -0.4, -0.14):
            s.button(0.02, float(y), 0.008, STEEL if rng.random() < 0.5 else HORN)
    for x in (-0.13, 0.13):
        s.patch(box(x, 0.06, 0.15, 0.17), strength=0.45)
        s.patch(box(x, 0.07, 0.155, 0.05), strength=0.5)
        if rng.random() < 0.5:
            s.patch(box(x * 0.85, 0.33, 0.11, 0.13), strength=0.4)
    for back in (False, True):
        s.seam([(-0.4, 0.12), (0.4, 0.12)], back, None, 0.35)
    if rng.random() < 0.6:
        hood = arc((-0.16, 0.57), (-0.19, 0.22), (0.19, 0.22), (0.16, 0.57))
        s.emboss(hood, 0.003, back=True)
        s.line(hood, 0.006, BLACK, 0.5, True)
        fur = shade_of((0.3, 0.24, 0.17), rng.uniform(0.4, 1.5))
        if rng.random() < 0.4:
            s.line(hood[3:-3], 0.045, fur, 1, True)
            for p in both(arc((0.02, 0.47), (0.09, 0.5), (0.11, 0.58))):
                s.line(p, 0.04, fur)
    else:
        s.seam([(-0.35, 0.41), (0.35, 0.41)], True)


def coat(s: Sheet, rng: np.random.Generator, cloth: Colour, accent: Colour) -> None:
    armholes(s)
    double = rng.random() < 0.45
    stop = rng.uniform(0.18, 0.36)
    if rng.random() < 0.5:
        s.fill([(-0.055, 0.6), (0.055, 0.6), (0, stop)], contrasting(rng, cloth, 0.75))
    _lapels(s, rng, cloth, stop)
    edge = 0.07 if double else 0.015
    s.seam([(0, stop), (edge, stop - 0.05), (edge, -0.9)], False, None, 0.6)
    for y in np.arange(stop - 0.05, -0.25, -rng.uniform(0.11, 0.15)):
        for x in (-0.055, 0.055) if double else (0.0,):
            s.button(x, float(y), 0.012, HORN)
    _flaps(s, rng.uniform(-0.02, 0.03), 0.15)
    if rng.random() < 0.35:  # belt
        for back in (False, True):
            strap: Points = [(-0.45, 0.135), (0.45, 0.135), (0.45, 0.095), (-0.45, 0.095)]
            s.fill(strap, shade_of(cloth, 0.92), 1, back)
            s.patch(strap, back, None, 0.55)
        s.patch([(-0.03, 0.14), (0.03, 0.14), (0.05, -0.12), (0.02, -0.13)], strength=0.5)
    elif rng.random() < 0.5:
        s.patch([(-0.1, 0.12), (0.1, 0.12), (0.1, 0.075), (-0.1, 0.075)], True)
        for x in (-0.08, 0.08):
            s.button(x, 0.097, 0.011, HORN, True)
    s.seam([(0, 0.53), (0, -0.1)], True, None, 0.35)
    s.line([(0, -0.1), (0, -0.95)], 0.006, BLACK, 0.6, True)
