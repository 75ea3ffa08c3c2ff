"""Restore faces: the light of both halves, cheeks that neither shows, and the hairline."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from .hair import FRONTAL, blend
from .surface import Surface, searchers

SOURCES = 64  # least texels to take colours from
DARK = 0.1  # added to both brightnesses (sums of RGB)
MOST_SIDE = 0.7  # bound of the logarithm of the ratio of the lights of both halves of a head
BESIDE = 0.035  # metres from the middle: eyes and lips are no cheeks
SLANTED, FADE = 0.75, 0.2  # λ under which a place of a cheek tells less, and below it over which it ends to tell
HAIRLINE = 0.012  # metres on either side of the border of face and scalp
SPOT, MIDDLE = 0.005, 0.03  # metres: from a spot of a face to its mirror image; on either side, where the lights mix


def cheeks(
    place: np.ndarray,  # [N, 3] metres, both halves in one: x from the middle
    colour: np.ndarray,  # [N, 3]
    lam: np.ndarray,  # [N]
    seen: np.ndarray,  # [N] bool: where the face is seen
    skin: np.ndarray,  # [N] bool: where its skin is
    face: np.ndarray,  # [N] bool: what is restored
    out: np.ndarray,  # [N, 3] restored colours, changed in place
) -> None:
    """Give cheeks that are farther than SPOT from all that is seen of the face, or whose nearest seen place is SLANTED,
    the smooth mean of its skin, frontal texels first, where skin is nearest. Slanted texels have the light behind the
    person in them, and would be seen as a patch or a line."""
    q = np.flatnonzero(face & ~seen & (place[:, 0] > BESIDE))
    if not len(q):
        return
    away, near = KDTree(place[seen]).query(place[q], workers=searchers(len(q)))
    slanted = np.clip((SLANTED - lam[seen][near]) / FADE, 0, 1)
    share = np.maximum(np.clip(away / SPOT, 0, 1), slanted) * skin[seen][near]
    share *= np.clip((place[q, 0] - BESIDE) / SPOT, 0, 1)
    q, share = q[share > 0], share[share > 0]
    smooth = blend(place[skin], colour[skin], place[q], lam[skin] ** FRONTAL)
    out[q] += share[:, None] * (smooth - out[q])


def soft_hairline(s: Surface, out: np.ndarray, done: np.ndarray) -> None:
    """Mix the colours [N, 3] of face and scalp over HAIRLINE on either side of where they meet."""
    face, scalp = done & s.face, done & s.skull & ~s.face & ~s.auricles & ~s.hat & ~s.shell
    old = out.copy()
    for own, other in ((face, scalp), (scalp, face)):
        own, other = np.flatnonzero(own), np.flatnonzero(other)
        if len(other) >= SOURCES:
            tree = KDTree(s.x[other])
            d, i = map(np.asarray, tree.query(s.x[own], distance_upper_bound=HAIRLINE, workers=searchers(len(own))))
            own, there, d = (x[np.isfinite(d)] for x in (own, i, d))
            out[own] += ((1 - d / HAIRLINE) / 2)[:, None] * (old[other[there]] - old[own])


def both_lights(
    mirrored: np.ndarray, x: np.ndarray, colour: np.ndarray, sure: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [N, 3] of a head in the light between those of its halves, and the factor [N, 3] that brings each half's
    light back. Their ratio is that of spots which both halves show, at the same ``mirrored`` place [N, 3]; 1 if there
    are few."""
    a, b = np.flatnonzero(sure & (x > 0)), np.flatnonzero(sure & (x <= 0))
    if min(len(a), len(b)) >= SOURCES:
        apart, twin = map(np.asarray, KDTree(mirrored[b]).query(mirrored[a], distance_upper_bound=SPOT))
        a, b = a[np.isfinite(apart)], b[twin[np.isfinite(apart)]]
    if min(len(a), len(b)) < SOURCES:
        return colour, np.ones_like(colour)
    ratio = np.median(np.log((colour[a] + DARK / 3) / (colour[b] + DARK / 3)), 0).clip(-MOST_SIDE, MOST_SIDE)
    side = np.exp(np.clip(x / MIDDLE, -1, 1)[:, None] / 2 * ratio).astype(np.float32)
    return (colour / side).astype(np.float32), side
