"""The pattern of a cloth, carried to the side that no photo shows: patches of what is seen, laid side by side.

Image quilting (Efros and Freeman, SIGGRAPH 2001) on a grid of true lengths, so that a pattern keeps its size: every
patch continues its neighbours as well as one can, and is cut along the line where both differ least. A plain cloth has
no pattern: what varies on it are wrinkles (:mod:`.wrinkles`), seams and shade. Which cloths are patterned, a network
tells from the photo (:func:`dinar.photo.traits.cloth_patterns`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from ..labels import LABEL
from .surface import Surface, of_kind, parts_of

CELL = 0.004  # metres of the grid
PATCH, OVERLAP = 20, 7  # cells a side of a patch, and those that it shares with the one before
WHOLE = 0.95  # share of a patch that has to be seen
PLAIN, STRONG = 0.5, 1.5  # patches are taken up to STRONG times the strength at this quantile
FEWEST = 60  # places for patches, below which nothing is carried
HEIGHTS, HIGHER = 2, 0.02  # patches up or down from where one may come, and its cost per square of them
REACH = 0.08  # metres beyond the ends of a cloth from where its pattern is taken, too
LEVELLED = 12  # cells over which the girth of a limb is smoothed
ANGLES = 72  # around a limb, for which its form is known
THIN = 0.2  # texels of a cell, below which it takes its neighbours' as well
FINEST, FINE = 0.008, (0.65, 0.75)  # metres; share of the detail finer than that of a cloth that has no wide details
TOLD = (0.5, 0.8)  # likelihood of a pattern: up to the first a cloth is plain, from the second on it is patterned
CLIPPED, CLEARLY = 0.97, 0.1  # a channel at its end, others clearly below: light that changes the hue of a cloth
OTHER, SURE = 0.25, 0.01  # weights of what the other of sleeves and trunk is, and of what is not sure at all
SQUARE = 0.005  # metres of the squares in which shade and strength are measured
LIGHT = 0.08  # metres over which light varies on a pattern
SHADE, AROUND = 0.025, 0.03  # metres over which shade varies, and over which strength is measured
USUAL, ODD = 0.2, 1.5  # quantile of the strength that is usual for a cloth; bound of fine details, in usual strengths


def pattern_of(patterns: np.ndarray | None, cloth: int, on_arm: bool) -> float:
    """0: plain, 1: patterned, by [2, classes] of :func:`dinar.photo.traits.cloth_patterns`.

    Sleeves and the rest of a garment tell of themselves, and, where they are surer, of each other. Sleeves tell as much
    of outerwear as its front, where lapels, seams and pockets are. Outerwear that is seen on one half alone counts as
    upper clothes. A cloth of which nothing is said is plain.
    """
    if patterns is None:
        return 0.0
    told = patterns[[int(on_arm), int(not on_arm)]]
    p = told[:, cloth]
    if np.isnan(p).all() and cloth == LABEL["upper"]:
        p = told[:, LABEL["outer"]]
    weight = (np.abs(2 * p - 1) + SURE) * (1, 1 if cloth == LABEL["outer"] and not on_arm else OTHER)
    known = ~np.isnan(p)
    return _ramp(float((weight * p)[known].sum() / weight[known].sum()), TOLD) if known.any() else 0.0


def detail_of(colour: np.ndarray, place: np.ndarray, pattern: float) -> np.ndarray:
    """[M, 3] float32: the ``pattern`` of a cloth, from the colours [M, 3] of its seen texels at places [M, 3] (height
    and arc in metres, limb). Of fine patterns, single things are as strong as usual."""
    if pattern == 0:
        return np.zeros((len(colour), 3), np.float32)
    means = around(place)
    detail = colour - means(colour, LIGHT)
    size = np.linalg.norm(detail, axis=1, keepdims=True)
    usual = np.quantile(np.sqrt(means(np.square(_detail(colour, means)).sum(1, keepdims=True), AROUND)), USUAL)
    wide = 1 - _ramp(fineness(colour, place), FINE)
    return (pattern * detail * np.maximum(np.minimum(1, ODD * usual / np.maximum(size, 1e-6)), wide)).astype(np.float32)


def fineness(colour: np.ndarray, place: np.ndarray) -> float:
    """Share of a cloth's detail that is finer than FINEST; arguments as of :func:`detail_of`."""
    means = around(place)
    middle = lambda x: float(np.median(np.linalg.norm(x, axis=1)))  # noqa: E731
    return middle(colour - means(colour, FINEST)) / max(middle(_detail(colour, means)), 1e-9)


def _detail(colour: np.ndarray, means: Callable[[np.ndarray, float], np.ndarray]) -> np.ndarray:
    return colour - means(colour, SHADE)


def glaring(colour: np.ndarray) -> np.ndarray:
    """[M] bool: colours [M, 3] of which the light took the hue."""
    return (colour.max(1) > CLIPPED) & (np.ptp(colour, axis=1) > CLEARLY)


def around(place: np.ndarray) -> Callable[[np.ndarray, float], np.ndarray]:
    """For texels of a cloth at places [M, 3] (height and arc in metres, limb): the function that takes values [M, C]
    and a width in metres to their means [M, C] around each texel, by a Gaussian, in squares of SQUARE."""
    at = ((place - place.min(0)) / [SQUARE, SQUARE, 1e-6 + np.ptp(place[:, 2])]).round().astype(int)
    shape = tuple(at[:, (2, 0, 1)].max(0) + 1)
    cell = np.ravel_multi_index(tuple(at[:, (2, 0, 1)].T), shape)

    def means(x: np.ndarray, width: float) -> np.ndarray:
        sums = np.stack([np.bincount(cell, w, np.prod(shape)).reshape(shape) for w in (*x.T, np.ones(len(x)))])
        sums = gaussian_filter(sums, (0, 0, width / SQUARE, width / SQUARE))
        return (sums[:-1] / np.maximum(sums[-1], 1e-9)).reshape(x.shape[1], -1)[:, cell].T

    return means


def hue(detail: np.ndarray, base: np.ndarray) -> np.ndarray:
    """What of a detail [M, 3] is not light and shade on the base [M, 3]."""
    return detail - (detail * base).sum(1, keepdims=True) / np.square(base).sum(1, keepdims=True).clip(1e-6) * base


def _ramp(x: float, ends: tuple[float, float]) -> float:
    """0 at the first end or below, 1 at the second or above."""
    return float(np.clip((x - ends[0]) / (ends[1] - ends[0]), 0, 1))


def woven(
    s: Surface, kind: str, source: np.ndarray, detail: np.ndarray, own: np.ndarray, origin: str | None = None
) -> np.ndarray:
    """Carry the detail of a cloth to its unseen texels.

    Args:
        kind: "torso", "arm" or "leg".
        source: [N] bool, seen texels of the cloth; those of another kind of part than ``origin`` are not used.
        detail: [M, 3] float32, of the source texels.
        own: [N] bool, texels of the kind to carry it to.
        origin: the kind of part that it comes from; None: the same, at the same heights.

    Returns:
        [n, 3] float32 of the texels ``own``; 0 where too little is seen for a patch.
    """
    to = _Net(s, kind, own)
    net = _Net(s, origin, source & of_kind(s, origin)) if origin else to
    use = net.near[source]
    at, detail = np.flatnonzero(source)[use], detail[use]
    parts = parts_of(origin or kind)
    other = 2 * net.half * (s.part[at] == parts[-1]) * (len(parts) > 1)
    place = np.stack([net.row[at] - 0.5, net.column(at) + net.half + other])
    mean, known = _splat(place, detail, (net.rows, 2 * net.half * len(parts)))
    some = known.any(0)

    out, of = np.zeros((int(own.sum()), 3), np.float32), np.flatnonzero(own)
    for part in parts_of(kind):
        mine = s.part[of] == part
        i = of[mine]
        row, end = to.row[i], to.arc[to.row[i].astype(int), np.where(s.chart[i, 1] > 0, -1, 0)]
        c = to.column(i) - end + to.half  # from the line behind
        wanted = np.zeros((to.rows, 2 * to.half), bool)
        wanted[row.astype(int), c.round().astype(int)] = True
        made = quilt(mean[:, some], known[:, some], wanted)
        cells = np.stack([row - 0.5, c])
        out[mine] = np.stack([map_coordinates(x, cells, order=1, mode="nearest") for x in made.transpose(2, 0, 1)], 1)
    return out


class _Net:
    """The grid of CELL metres over parts of a kind, at the heights of the texels ``cloth`` [N] bool and REACH beyond:
    rows, and columns from the line in front."""

    def __init__(self, s: Surface, kind: str, cloth: np.ndarray) -> None:
        t, self.phi, radius = s.chart.T
        self.row = (t - t[cloth].min() + REACH) / CELL  # [N]
        self.rows = int(self.row[cloth].max() + REACH / CELL) + 1
        self.near = of_kind(s, kind) & (self.row >= 0) & (self.row < self.rows)  # [N] bool
        self.arc = _arcs(self.row[self.near], self.phi[self.near], radius[self.near], self.rows)
        self.half = int(np.abs(self.arc).max()) + 2

    def column(self, i: np.ndarray) -> np.ndarray:
        """Columns [M] of the texels ``i`` [M]."""
        place = np.stack([self.row[i] - 0.5, (self.phi[i] / (2 * np.pi) + 0.5) * ANGLES])
        return map_coordinates(self.arc, place, order=1, mode="nearest")


def _arcs(row: np.ndarray, phi: np.ndarray, radius: np.ndarray, rows: int) -> np.ndarray:
    """[rows, ANGLES + 1] lengths, in cells, of the way around a limb from the front to angles from -pi to pi, from its
    texels [M]."""
    cell = row.astype(int) * ANGLES + ((phi / (2 * np.pi) + 0.5) * ANGLES).astype(int) % ANGLES
    sums = np.stack([np.bincount(cell, w, rows * ANGLES).reshape(rows, ANGLES) for w in (radius, np.ones(len(row)))])
    sums = gaussian_filter(sums, (0, LEVELLED, 0), mode="nearest")
    sums = gaussian_filter(sums, (0, 0, 1), mode="wrap")
    sums += 1e-3 * sums.mean(2, keepdims=True)  # where there are no texels
    step = (sums[0] / np.maximum(sums[1], 1e-9)).clip(CELL) / CELL * 2 * np.pi / ANGLES
    arc = np.concatenate([np.zeros((rows, 1)), step.cumsum(1)], 1)
    return arc - arc[:, ANGLES // 2, None]


def _splat(place: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Values [M, 3] at places [2, M] of a grid [R, C]: their mean [R, C, 3] float32 in each cell, of its neighbours
    where a cell has none, and whether it is known [R, C]."""
    low = np.floor(place).astype(int)
    part = place - low
    sums = np.zeros((4, shape[0] * shape[1]))
    for r, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
        weight = np.abs(1 - r - part[0]) * np.abs(1 - c - part[1])
        cell = np.ravel_multi_index((low + [[r], [c]]).clip(0, np.array(shape)[:, None] - 1), shape)
        sums += [np.bincount(cell, w, sums.shape[1]) for w in (*(values.T * weight), weight)]
    grid = sums.reshape(4, *shape).transpose(1, 2, 0).astype(np.float32)
    around = cv2.blur(grid, (3, 3))  # the grid is finer than the texels
    grid = np.where(grid[..., 3:] > THIN, grid, around)
    return grid[..., :3] / np.maximum(grid[..., 3:], 1e-9), around[..., 3] > THIN / 9


def quilt(seen: np.ndarray, valid: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Lay patches of a detail over a region of the same heights.

    Args:
        seen: [R, C, 3] float32.
        valid: [R, C] bool, where it is known.
        wanted: [R, D] bool.

    Returns:
        [R, D, 3] float32; 0 outside of the patches that cover ``wanted``, and everywhere if too few can be taken.
    """
    usable = _usable(seen, valid)
    room = np.zeros((wanted.shape[0] + PATCH, wanted.shape[1] + PATCH, 3), np.float32)
    if usable.sum() >= FEWEST:
        filled = np.zeros(room.shape[:2], bool)
        source = np.where(valid[..., None], seen, 0).astype(np.float32)
        spread = 3 * float(np.square(source[valid]).mean()) + 1e-12
        for r in range(0, wanted.shape[0], PATCH - OVERLAP):
            band = _band(usable, r)
            height = HIGHER * np.square((np.arange(band.start, band.stop) - r) / PATCH)[:, None]
            cost = np.where(usable[band], height, np.inf)
            near = source[band.start : band.stop + PATCH - 1]
            energy = _Energy(near)
            for c in range(0, wanted.shape[1], PATCH - OVERLAP):
                there = slice(r, r + PATCH), slice(c, c + PATCH)
                if wanted[there].any():
                    _lay(room[there], filled[there], near, energy, cost, spread)
    return room[: wanted.shape[0], : wanted.shape[1]]


class _Energy:
    """Sums of the squares of a source [R, C, 3] over the cells that patches share with what is known: most share the
    same ones."""

    def __init__(self, source: np.ndarray) -> None:
        self.squares, self.found = np.square(source).sum(2), dict[bytes, np.ndarray]()

    def over(self, known: np.ndarray) -> np.ndarray:  # [P, P] bool -> [R - P + 1, C - P + 1]
        key = known.tobytes()
        if key not in self.found:
            self.found[key] = cv2.matchTemplate(self.squares, known.astype(np.float32), cv2.TM_CCORR)
        return self.found[key]


def _lay(
    here: np.ndarray, known: np.ndarray, source: np.ndarray, energy: _Energy, cost: np.ndarray, spread: float
) -> None:
    """Fill a patch ``here`` [P, P, 3], 0 where not ``known`` [P, P] bool, with the one of the source that fits best."""
    if known.any():
        error = energy.over(known) - 2 * cv2.matchTemplate(source, here, cv2.TM_CCORR) + np.square(here).sum()
        cost = cost + error / (known.sum() * spread)
    i, j = np.unravel_index(int(cost.argmin()), cost.shape)
    patch = source[i : i + PATCH, j : j + PATCH]
    take = _beyond_cut(np.square(here - patch).sum(2), known)
    here[take] = patch[take]
    known[...] = True


def _band(usable: np.ndarray, row: int) -> slice:
    """Rows where a patch for this row may begin: near it, or anywhere if there are none."""
    low = max(0, min(row, len(usable) - 1) - HEIGHTS * PATCH)
    near = slice(low, min(len(usable), row + HEIGHTS * PATCH + 1))
    return near if usable[near].any() else slice(0, len(usable))


def _usable(seen: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """[R - P + 1, C - P + 1] bool: corners of patches that are seen and not much stronger than the plainer ones."""
    if min(valid.shape) < PATCH:
        return np.zeros((1, 1), bool)
    mean = lambda x: cv2.boxFilter(x, -1, (PATCH, PATCH), anchor=(0, 0))[: 1 - PATCH, : 1 - PATCH]  # noqa: E731
    whole = mean(valid.astype(np.float32)) >= WHOLE
    strength = mean((np.square(seen).sum(2) * valid).astype(np.float32))
    if not whole.any():
        return whole
    return whole & (strength <= STRONG * np.quantile(strength[whole], PLAIN))


def _beyond_cut(error: np.ndarray, known: np.ndarray) -> np.ndarray:
    """[P, P] bool: cells of a new patch beyond the cuts through what is ``known`` to the left of it and above."""
    take = np.ones(known.shape, bool)
    if known[-1, 0]:
        width = int(known[-1].sum())
        take[:, :width] &= np.arange(width) >= _cut(error[:, :width])[:, None]
    if known[0, -1]:
        depth = int(known[:, -1].sum())
        take[:depth] &= np.arange(depth)[:, None] >= _cut(error[:depth].T)
    return take | ~known


def _cut(error: np.ndarray) -> np.ndarray:
    """[R] int column of the path from top to bottom of least error [R, C], that moves by a column a row at most."""
    best = np.full((error.shape[0], error.shape[1] + 2), np.inf)
    best[:, 1:-1] = error
    for above, here in pairwise(best):
        here[1:-1] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    best = best[:, 1:-1]
    path = [int(best[-1].argmin())]
    for i in range(len(best) - 2, -1, -1):
        low = max(path[-1] - 1, 0)
        path.append(low + int(best[i, low : path[-1] + 2].argmin()))
    return np.array(path[::-1])
