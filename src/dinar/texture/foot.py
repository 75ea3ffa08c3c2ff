"""Restore feet: what is worn at each height, in the colours of its frontal texels."""

from __future__ import annotations

import numpy as np

from ..labels import LABEL
from .face import SOURCES
from .hair import FRONTAL, blend, usual
from .surface import Surface, of_kind

ODD = 0.15  # difference from the median colour of a kind at which a texel counts half: reflections and sunny spots
PLACE = np.array([1, 3, 0.4])  # metres across, up and along a foot count this much: shoes end at one height
# Share of shoes in what is seen of feet, or their last TIP metres, from which heels are covered up to COUNTER metres.
# Pumps show little else than skin (151 street photos: tips of pumps .63 and more, of straps .31 and less).
SHOD, TIPS, TIP, COUNTER = 0.3, 0.5, 0.05, 0.05
SOLE = 0.016  # metres above the ground of bare feet that soles and heels cover


def feet(
    s: Surface,
    mirrored: np.ndarray,  # [N, 3] metres, both feet in one: x from the middle
    colour: np.ndarray,  # [N, 3]
    lam: np.ndarray,  # [N]
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
    out: np.ndarray,  # [N, 3] restored colours, changed in place
    heels: bool = False,  # shoes have heels: soles and heels are no skin, even where straps hardly cover the foot
) -> np.ndarray:
    """Give feet a smooth mean of their frontal texels of the kind, shoe, skin or cloth, that is seen at their height.
    The nearest texel alone is at the rim, and would give the ground's light to the heel. Returns [N] bool: restored."""
    foot = of_kind(s, "foot")
    source = np.flatnonzero(foot & seen)
    if len(source) < SOURCES:
        return np.zeros(len(seen), bool)
    place, weight = mirrored * PLACE, lam**FRONTAL
    kind = np.zeros(len(source), int)
    if worn is not None:
        kind = np.select([worn[source] == LABEL["shoes"], worn[source] == LABEL["skin"]], [0, 1], 2)
    target = np.flatnonzero(foot)
    share = blend(place[source], np.eye(3)[kind], place[target], weight[source])
    tips = mirrored[source, 2] > mirrored[target, 2].max() - TIP
    shod = (kind == 0).mean() > SHOD or (tips.any() and (kind[tips] == 0).mean() > TIPS)
    if shod or (heels and (kind == 0).any()):
        height = mirrored[target, 1] - mirrored[target, 1].min()
        share[height < (COUNTER if shod else SOLE), 0] = 1
    for k in np.unique(kind):
        own, there = source[kind == k], target[share.argmax(1) == k]
        out[there] = blend(place[own], colour[own], place[there], weight[own] * usual(colour[own], ODD))
    return foot
