"""The wrinkles of a plain cloth, carried to the side that no photo shows: they go on around a limb.

They are light and shade of a few centimetres. What is stronger than the cloth's usual wrinkles, or has another hue, is
a pocket, a print or a thing before it, and is not carried.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from .surface import searchers
from .weave import around, hue

FINE, BROAD = 0.004, 0.04  # metres: narrower than FINE is the photo's noise, broader than BROAD is shade
STRENGTH, USUAL = 0.025, 0.35  # metres over which strength is measured; quantile of it that is usual
COLOURED = 0.1  # difference of hue over brightness at which a texel counts 1/e
PRINTED = 0.3  # the same from the cloth's middle colour, as on a large print, at which wrinkles are 1/e as deep
MOST = 0.06  # bound of the logarithm of the light (looked at on 20 street photos: beyond, stains and bands show)
DARK = 0.03  # added to brightness before the logarithm
NEAR, SPARSE = 1e-3, 500.0  # metres added to distances; weight of no wrinkles: that of a texel at 4 cm


def wrinkles(
    colour: np.ndarray,  # [M, 3] in [0, 1] of the seen texels of a cloth
    place: np.ndarray,  # [M, 3] metres: theirs along and around the limb, and which limb
    here: np.ndarray,  # [n, 3] places from which texels take theirs
    there: np.ndarray,  # [n, 3] places on the other half
    share: np.ndarray,  # [n] in [0, 0.5] of ``there``
) -> np.ndarray:
    """[n] logarithm of the light on texels of the unseen side, in [-MOST, MOST]; 0: even."""
    means = around(place)
    log = np.log(colour.mean(1, keepdims=True) + DARK)
    depth = (means(log, FINE) - means(log, BROAD))[:, 0]
    strength = np.sqrt(means(np.square(depth[:, None]), STRENGTH)[:, 0])
    base = means(colour, BROAD)
    other = np.linalg.norm(hue(colour - base, base), axis=1) / (colour.mean(1) + DARK)
    middle = np.median(colour, 0, keepdims=True)
    print_ = np.linalg.norm(hue(colour - middle, middle), axis=1) / (colour.mean(1) + DARK)
    beyond = np.maximum(strength / (np.quantile(strength, USUAL) + 1e-6) - 1, 0)
    sure = np.exp(-np.square(beyond) - np.square(other / COLOURED))
    depth = MOST * np.tanh(depth / MOST) * np.exp(-np.square(print_ / PRINTED))
    wanted = np.concatenate([here, there[share > 0]])
    d, i = KDTree(place).query(wanted, k=3, workers=searchers(len(wanted)))
    w = sure[i] / np.square(d + NEAR)
    found = (depth[i] * w).sum(1) / (w.sum(1) + SPARSE)
    a, b = found[: len(here)], np.zeros(len(here))
    b[share > 0] = found[len(here) :]
    mixed = (a + share * (b - a)) / np.sqrt(np.square(share) + np.square(1 - share))  # as strong as either
    return np.clip(mixed, -MOST, MOST).astype(np.float32)
