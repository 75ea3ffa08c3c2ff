"""Draw the details of each kind of garment on its sheet."""

from __future__ import annotations

import numpy as np

from ..base.colours import Colour
from . import lowers, uppers
from .panels import Sheet
from .sewing import Tailor

TAILORS: dict[str, tuple[Tailor, ...]] = {
    "tee": (uppers.tee, uppers.tee, uppers.tee, uppers.tee, uppers.polo),
    "shirt": (uppers.shirt,),
    "sweater": (uppers.sweater,),
    "jacket": (uppers.blazer, uppers.blazer, uppers.zipped, uppers.zipped, uppers.trucker, uppers.parka),
    "coat": (uppers.coat, uppers.coat, uppers.parka),
    "trousers": (lowers.trousers,),
    "shorts": (lowers.trousers, lowers.jeans),
    "jeans": (lowers.jeans,),
    "skirt": (lowers.skirt,),
    "dress": (lowers.dress,),
    "hat": (lowers.hat,),
}
BOXES = {  # half width, lowest and highest y of the sheet: what the garment can cover, metres
    "tee": (0.30, -0.25, 0.62), "shirt": (0.30, -0.35, 0.62), "sweater": (0.30, -0.30, 0.62),
    "jacket": (0.32, -0.45, 0.64), "coat": (0.36, -0.95, 0.64), "trousers": (0.32, -0.96, 0.16),
    "shorts": (0.30, -0.60, 0.16), "jeans": (0.32, -0.96, 0.16), "skirt": (0.36, -0.95, 0.18),
    "dress": (0.36, -0.95, 0.62), "hat": (0.16, 0.66, 0.98),
}  # fmt: skip


def tailor(use: str, rng: np.random.Generator, cloth: Colour, accent: Colour) -> tuple[Sheet | None, str]:
    """The drawn sheet of a garment (None: nothing to draw) and the name of its cut."""
    if use not in TAILORS:
        return None, use
    half, low, high = BOXES[use]
    sheet = Sheet(half, low, high)
    cut = TAILORS[use][int(rng.integers(len(TAILORS[use])))]
    cut(sheet, rng, cloth, accent)
    return sheet, cut.__name__
