"""The back of the neck: skin above, the collar below, both as they are in front."""

from __future__ import annotations

import numpy as np

from ..labels import LABEL
from .surface import Surface

BEHIND = np.deg2rad(75)  # from the front: what is farther round is the nape
HEIGHTS = 16  # at which the collar may end
LEAST = 40  # seen texels at 512² of skin or cloth, to tell


def nape(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray, neck: np.ndarray) -> np.ndarray | None:
    """Colours of the nape [N, 3], NaN elsewhere: at each height the median of skin or of cloth, as it is in front at
    this height. Hair and what hangs on the neck do not count. None: too little is seen."""
    own = seen & neck
    skin = own & np.isin(worn, [LABEL["skin"], LABEL["face"]])
    cloth = own & np.isin(worn, [LABEL["upper"], LABEL["outer"], LABEL["skirt"]])
    least = LEAST * (s.texels.size / 512) ** 2
    kinds = [k for k in (skin, cloth) if k.sum() >= least]
    if not kinds:
        return None
    y = s.x[:, 1]
    level = y[neck].min() if kinds[0] is skin else np.inf
    if len(kinds) == 2:  # fewest of either kind on the other's side
        levels = np.linspace(y[own].min(), y[own].max(), HEIGHTS)
        level = levels[((y[skin, None] < levels).mean(0) + (y[cloth, None] > levels).mean(0)).argmin()]
    out = np.full_like(colour, np.nan)
    behind = neck & (np.abs(s.chart[:, 1]) > BEHIND)
    for kind, where in ((skin, y >= level), (cloth, y < level)):
        if kind.sum() >= least:
            out[behind & where] = np.median(colour[kind], 0)
    return out
