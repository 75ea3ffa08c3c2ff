"""Shared parts of :mod:`.uppers` and :mod:`.lowers`: colours of buttons, curves, pockets, armholes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..base.colours import Colour
from .panels import Points, Sheet

BRASS: Colour = (0.36, 0.25, 0.10)
STEEL: Colour = (0.35, 0.35, 0.36)
HORN: Colour = (0.05, 0.035, 0.025)
PEARL: Colour = (0.62, 0.6, 0.56)

Tailor = Callable[[Sheet, np.random.Generator, Colour, Colour], None]  # sheet, rng, cloth colour, accent colour


def arc(*points: tuple[float, float], n: int = 16) -> Points:
    """A smooth curve with these Bézier control points."""
    t = np.linspace(0, 1, n)[:, None]
    p = np.repeat(np.array(points, float)[:, None], n, 1)  # [control points, n, 2]
    while len(p) > 1:
        p = p[:-1] * (1 - t) + p[1:] * t
    return [(float(x), float(y)) for x, y in p[0]]


def both(points: Points) -> tuple[Points, Points]:
    return points, [(-x, y) for x, y in points]


def box(x: float, y: float, w: float, h: float, point: float = 0.0) -> Points:
    """Corners of a pocket with its upper edge's middle at (x, y), pointed below by ``point``."""
    return [(x - w / 2, y), (x + w / 2, y), (x + w / 2, y - h), (x, y - h - point), (x - w / 2, y - h)]


def armholes(s: Sheet, thread: Colour | None = None) -> None:
    for back in (False, True):
        for side in both(arc((0.165, 0.53), (0.135, 0.44), (0.14, 0.36), (0.185, 0.31))):
            s.seam(side, back, thread, 0.35)


def shade_of(cloth: Colour, factor: float) -> Colour:
    r, g, b = (np.array(cloth) * factor).clip(0.004, 0.85).tolist()
    return r, g, b
