"""The back of the neck: skin above, the collar below, both as they are in front."""

from __future__ import annotations

import numpy as np

from ..labels import LABEL
from .surface import Surface, least

BEHIND = np.deg2rad(75)  # from the front: what is farther round is the nape
HEIGHTS = 16  # at which the collar may end
LEAST = 40  # seen texels at 512² of skin or cloth, to tell


def nape(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray, neck: np.ndarray) -> np.ndarray | None:
    """Colours of the nape [N, 3], NaN elsewhere: at each height the median of skin or of cloth, as it is in front at
    this height. Hair and what hangs on the neck do not count. None: too little is seen."""
    own = seen & neck
    skin = own & np.isin(worn, [LABEL["skin"], LABEL["face"]])
    cloth = own & np.isin(worn, [LABEL["upper"], LABEL["outer"], LABEL["skirt"]])
    told = [k.sum() >= least(s, LEAST) for k in (skin, cloth)]
    if not any(told):
        return None
    y = s.x[:, 1]
    level = -np.inf if told[0] else np.inf
    if all(told):  # fewest of either kind on the other's side
        levels = np.linspace(y[own].min(), y[own].max(), HEIGHTS)
        level = levels[((y[skin, None] < levels).mean(0) + (y[cloth, None] > levels).mean(0)).argmin()]
    out = np.full_like(colour, np.nan)
    behind = neck & (np.abs(s.chart[:, 1]) > BEHIND)
    for kind, where in ((skin, y >= level), (cloth, y < level)):
        if (behind & where).any():
            out[behind & where] = np.median(colour[kind], 0)
    return out
