"""Torso, arms and legs as cylinders: their unseen side is folded onto what is seen at the same height.

In front of the seen border a hole has the colours of its neighbours. Behind it, where the photo is parsed, the seen
texels of a height vote for what is worn there, and only that cloth is folded, to and fro over the outer part of the
seen side, without the light on it and without what lies on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import KDTree

from ..labels import LABEL
from .surface import Surface, of_kind, parts_of

CONFIDENT = 0.35  # λ from which a texel may be a source for others
FOLD = {"torso": 0.5, "arm": 0.3, "leg": 0.45}  # share of the seen angle that nothing is borrowed from
PACE = 0.5  # angle walked over the seen side per unseen angle: to and fro within the share above
ROUND = np.deg2rad(15)  # beyond the seen angles, over which the seen turns into what is worn behind
SPINE = np.deg2rad(25)  # either side of the line opposite the camera over which both halves are mixed
TWIN = 0.06  # metres: how much farther a source on the other limb counts
# How much a seen texel of a class says about what is worn behind it at its height; classes not named say nothing.
VOTE = {"skin": 0.5, "accessory": 0.5, "upper": 1.0, "outer": 1.0, "lower": 1.0, "skirt": 1.0, "legwear": 1.0,
        "shoes": 1.0}  # fmt: skip
OPEN = 3.0  # the vote of what is worn over the rest, on the torso: open in front, it is closed behind
CHANGE = 2.5  # sure heights that a change of cloth has to be worth: what is seen once is not all around
INNER = 0.2  # weight of what is seen so far inside that it is not folded
BIN, HEM, FAR = 0.01, 0.015, 0.15  # metres: heights are told apart, votes are smoothed, and reach where nothing is seen
CLOSE = 0.03  # metres to the nearest source beyond which a cloth has the mean colour of its height
PURE = 0.01  # of a texture around a source, in which nothing else is seen
SHADE, KEPT = 0.05, 0.3  # metres over which light changes on a cloth, and the share of it that is folded with it
ODD = 1.5  # details that differ from what is around by more than this many times the usual of a height are drawn in


def fold(s: Surface, kind: str, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray | None,
         out: np.ndarray, behind: np.ndarray, done: np.ndarray) -> None:  # fmt: skip
    """What the texels of a kind of part borrow, written into ``out`` [N, 3]; of which class, into ``behind`` [N]; and
    that they do, into ``done`` [N]. With fewer than 200 seen texels of the kind nothing is written."""
    own_all = of_kind(s, kind)
    source = own_all & (lam > CONFIDENT)
    if source.sum() < 200:
        return
    g = _folded(s, kind, lam)
    away = np.zeros(len(lam)) if worn is None else np.clip(g.beyond / ROUND, 0, 1)
    near = own_all & (away < 1)  # where a seen neighbour is as good as any
    out[near] = nearest(g.chart[source], colour[source], g.here[near])[0]
    if (both := near & (g.share > 0)).any():
        other = nearest(g.chart[source], colour[source], g.there[both])[0]
        out[both] += g.share[both, None] * (other - out[both])
    done |= own_all
    if worn is None:
        return

    # the far side: what is worn there, and only of that
    row = ((g.chart[:, 0] - g.chart[own_all, 0].min()) / BIN).astype(int).clip(0)
    weight = lam * np.where(g.outer, 1, INNER)
    pure = _pure(s, worn)
    source = source & pure if (source & pure).sum() >= 200 else source
    voters = source.copy()
    if kind == "torso":  # the hips are the legs': they say what the seat wears at their height
        level = own_all & (np.abs(g.chart[:, 0]) < 0.05)
        height = s.x[:, 1] - np.median(s.x[level, 1] - g.chart[level, 0]) - g.chart[own_all, 0].min()
        hips = of_kind(s, "leg") & (lam > CONFIDENT) & pure & (height >= 0)
        row[hips], weight[hips], voters = height[hips] // BIN, lam[hips], voters | hips
        g.chart[hips] = 0  # nearest to nothing behind: of their colours only the mean of a height is used
    cloth = _worn_behind(s, kind, row, weight, worn, voters)
    for c in np.unique(cloth[own_all]):
        own = own_all & (cloth == c) & (away > 0)
        palette = source & (worn == c) if c else source
        palette = palette if palette.sum() >= 64 else voters & (worn == c)
        even, level = _even(colour[palette], g.chart[palette], row[palette], weight[palette], row[own_all].max() + 1)
        # where the one half is hidden the other has to do, and where both are, the mean of the height
        first, close = nearest(g.chart[palette], even, g.here[own])
        first, rest = level[row[own]] + close * (first - level[row[own]]), 1 - (1 - g.share[own, None]) * close
        more = rest[:, 0] > 1e-3
        second, close = nearest(g.chart[palette], even, g.there[own][more])
        first[more] += close * rest[more] * (second - first[more])
        out[own] += away[own, None] * (first - out[own])
    far = own_all & (away > 0.5)
    behind[far] = cloth[far]


@dataclass(frozen=True)
class _Fold:
    """Of every texel of the surface; of use on one kind of part only. Places are [N, 3] metres: along the axis, around
    it from the middle of what is seen, and TWIN where it is the second of two limbs."""

    chart: np.ndarray  # its place
    here: np.ndarray  # the place that it borrows from,
    there: np.ndarray  # and the same on the other side of the middle
    share: np.ndarray  # [N] of the latter: the two halves meet opposite the camera and are mixed there
    beyond: np.ndarray  # [N] radians past the seen border, negative before it
    outer: np.ndarray  # [N] bool: where places to borrow from are


def _folded(s: Surface, kind: str, lam: np.ndarray) -> _Fold:
    sides = parts_of(kind)
    t, phi, radius = s.chart.T
    angle = np.zeros(len(phi))  # relative to the middle of what is seen
    limit = np.full(len(phi), np.deg2rad(65))
    centre = {}
    for part in sides:  # where does the camera look at this limb?
        w = np.where(s.part == part, lam, 0)
        if (w > CONFIDENT).sum() >= 200:
            centre[part] = np.arctan2((w * np.sin(phi)).sum(), (w * np.cos(phi)).sum())
    for part in sides:
        own = s.part == part
        c = centre.get(part, next(iter(centre.values()), 0.0))
        angle[own] = (phi[own] - c + np.pi) % (2 * np.pi) - np.pi
        sure = own & (lam > CONFIDENT)
        if sure.sum() >= 200:
            limit[own] = np.clip(np.quantile(np.abs(angle[sure]), 0.95), np.deg2rad(40), np.deg2rad(90))
    a = np.abs(angle)
    reach = (1 - FOLD[kind]) * limit  # how far inwards from the seen border sources are taken
    walked = np.maximum(a - limit, 0) * PACE
    folded = np.where(a > limit, limit - (reach - np.abs(walked % (2 * reach) - reach)), a)
    r, twin = float(radius[of_kind(s, kind)].mean()), np.where(s.part == sides[-1], TWIN, 0.0)
    place = lambda x: np.stack([t, x * r, twin], 1)  # noqa: E731
    share = np.where(limit < np.pi - SPINE, 0.5 * np.clip(1 - (np.pi - a) / SPINE, 0, 1), 0)
    return _Fold(place(angle), place(np.sign(angle) * folded), place(-np.sign(angle) * folded), share, a - limit,
                 a > limit - reach)  # fmt: skip


def nearest(source: np.ndarray, colour: np.ndarray, query: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inverse-distance mean of the k nearest sources [Q, 3], and how close they are [Q, 1]: 1 here, 0 beyond CLOSE."""
    d, i = KDTree(source).query(query, k=k, workers=2)
    w = 1 / (d + 1e-4) ** 2
    close = np.exp(-np.square(d[:, :1] / CLOSE)).astype(np.float32)
    return (colour[i] * (w / w.sum(1, keepdims=True))[..., None]).sum(1), close


def _pure(s: Surface, worn: np.ndarray) -> np.ndarray:
    """[N] texels with nothing but their own class around: at borders a parse is wrong by a pixel or two."""
    size = s.texels.size
    grid = np.zeros((2, size * size), np.uint8)
    grid[0, s.texels.index] = worn
    grid[1, s.texels.index] = np.where(worn > 0, 255 - worn, 0)
    k = np.ones((3 + 2 * round(PURE * size),) * 2, np.uint8)
    most, least = (cv2.dilate(g.reshape(size, size), k).reshape(-1)[s.texels.index] for g in grid)
    return (worn > 0) & (most == worn) & (least == 255 - worn)


def _even(
    colour: np.ndarray, place: np.ndarray, row: np.ndarray, weight: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """The colours [M, 3] of one cloth at places [M, 3], to be shown elsewhere: without most of the light that falls on
    their own place, and without what is odd (deep folds, what lies on the cloth or is next to it). Checks and small
    prints stay: in them every colour is usual. And the cloth's mean colour at every height, [rows, 3]."""
    _, column, twin = ((place - place.min(0)) / [1, BIN, TWIN]).round().astype(int).T
    shape = (twin.max() + 1, rows, column.max() + 1)
    cell = np.ravel_multi_index((twin, row, column), shape)
    sums = np.stack([np.bincount(cell, w, np.prod(shape)).reshape(shape) for w in (*colour.T, np.ones(len(row)))])
    around = gaussian_filter(sums, (0, 0, SHADE / BIN, SHADE / BIN))  # within a twin
    here = (around[:3] / np.maximum(around[3], 1e-9)).reshape(3, -1)[:, cell].T
    detail = colour - here
    size = np.linalg.norm(detail, axis=1)
    # all around a height, on both twins
    heights = _along([np.bincount(row, weight * w, rows) for w in (*colour.T, size, np.ones(len(row)))], SHADE)
    heights = (heights[:4] / np.maximum(heights[4], 1e-30)).T
    level, usual = heights[:, :3], heights[:, 3]
    detail *= np.minimum(1, ODD * usual[row] / np.maximum(size, 1e-6))[:, None]
    return (level[row] + KEPT * (here - level[row]) + detail).astype(np.float32), level.astype(np.float32)


def _along(x: Any, width: float) -> np.ndarray:
    """[..., rows, ...] sums per height, smoothed over ``width`` metres, and over FAR where there are few."""
    near, wide, far = (gaussian_filter1d(x, d / BIN, axis=1, truncate=12.0) for d in (width, 4 * width, FAR))
    return near + 0.2 * wide + 1e-3 * far


def _worn_behind(
    s: Surface, kind: str, row: np.ndarray, weight: np.ndarray, worn: np.ndarray, voters: np.ndarray
) -> np.ndarray:
    """[N] the class that the voters [N] bool vote for at a texel's height; 0 where they say nothing."""
    names = [n for n in VOTE if (voters & (worn == LABEL[n])).sum() >= 200]
    if not names:
        return np.zeros(len(row), np.uint8)
    sides, rows = parts_of(kind), row[of_kind(s, kind)].max() + 1
    seen = np.zeros((len(sides), rows, len(names)))
    for k, part in enumerate(sides):
        for j, name in enumerate(names):
            own = voters & ((s.part == part) | (len(sides) == 1)) & (worn == LABEL[name])
            seen[k, :, j] = np.bincount(row[own], weight[own], rows)
    seen = _along(seen + 0.5 * seen[::-1] * (len(sides) > 1), HEM)  # a limb's twin is dressed alike
    total = seen.sum(2)
    sure = np.minimum(1, total / np.maximum(np.median(total, 1, keepdims=True), 1e-12))
    votes = seen * [OPEN if n == "outer" and len(sides) == 1 else VOTE[n] for n in names]
    votes *= (sure / np.maximum(votes.sum(2), 1e-30))[..., None]
    number, out = np.array([LABEL[n] for n in names], np.uint8), np.zeros(len(row), np.uint8)
    for k, part in enumerate(sides):
        chosen = number[few_changes(votes[k], CHANGE)]
        if len(sides) == 1 and (coat := np.flatnonzero(chosen == LABEL["outer"])).size:
            chosen[coat[0] :] = LABEL["outer"]  # from its hem to the neck,
            chosen[np.isin(chosen, [LABEL["upper"], LABEL["accessory"]])] = LABEL["outer"]  # and shirts are under it
        own = s.part == part
        out[own] = chosen[row[own]]
    return out


def few_changes(score: np.ndarray, cost: float) -> np.ndarray:
    """[R] the choices with the largest sum of score [R, C] less the cost of every change (Viterbi)."""
    best, back = score[0], np.zeros(score.shape, int)
    stay = np.arange(score.shape[1])
    for i, now in enumerate(score[1:], 1):
        back[i] = np.where(best >= best.max() - cost, stay, best.argmax())
        best = np.maximum(best, best.max() - cost) + now
    path = [int(best.argmax())]
    for step in back[:0:-1]:
        path.append(int(step[path[-1]]))
    return np.array(path[::-1])
