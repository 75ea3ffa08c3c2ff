"""Decide from a parse whether hair hangs down, and fit its form: analysis by synthesis.

The style whose rendered hair covers the parse's hair and nothing else is searched, one value at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_filter1d, maximum_filter
from scipy.spatial import KDTree
from torch import Tensor

from ..body import Body
from ..body.body import PARTS
from ..body.comb import CAP, COLUMNS, EDGE_OFF, GAP, ROWS, SPLIT, THICK, Shaped, Style, comb, free_share, with_inside
from ..body.hair import hair_grid, weights_at
from ..body.regions import regions
from ..body.shells import Shell, carried, wear
from ..scene import vertex_normals
from .hair_view import IN, ON_FACE, OUT, View
from .offsets import Silhouette, flatten

TRIED = 2  # starts that are fitted
LEAST_HANGING = 0.0025  # square metres of hair below the chin, at least
AGREE, AGREE_BELOW = 0.6, 0.45  # least IoU of rendered and seen hair, and of that below the chin
# Heights on the template below which the ends have to be. Shorter hair is tidier on the widened head; of eleven photos
# looked at, four with ends between .35 and .42 look better as shells from all sides (docs/measurements.md).
CHEST, LOWEST = 0.42, 1.0
REST = 0.4  # height on the template of ends that are hidden behind the shoulders
SHORT = 0.55  # ends higher than this are those of a bob, which is as long behind
PRIOR = 0.05  # least fall of the cost, as a share of the hair's pixels, for a metre that ends are moved
VOLUME = (0.003, 0.09)  # metres: bounds of the volume
WIDE = 0.085  # metres beside the head from which it is a brim or a fur hat
UNEVEN = 0.01  # metres that either side differs from the mean, at most: heads are fitted a little beside the true one
LENGTHS = (0.05, 0.025)  # metres: steps of the search for ends
ENDS = (0.04, 0.68)  # heights on the template: bounds of the ends
EAR_SEEN = 0.5  # share of skin on an ear for hair to be behind it
BEHIND_EAR = 45.0  # degrees that the edge of the hair is then farther back
SMOOTH = 1.5  # rows


class _Search:
    """Styles and their cost in some photos of one body."""

    def __init__(self, body: Body, betas: Tensor, views: Sequence[View]) -> None:
        self.body, self.views = body, views
        self.shaped = Shaped(body, body.rest(betas[None])[0][0].numpy())
        self.pixels = sum(v.missed.sum() for v in views)

    def posed(self, style: Style) -> list[np.ndarray]:
        """The grid [n, 3] in each photo."""
        grid = with_inside(comb(self.shaped, style), self.shaped.centre).reshape(-1, 3)
        weights = weights_at(self.body, self.shaped.on_template(grid[:, 1]))
        return [v.posed(grid, weights) for v in self.views]

    def cost(self, style: Style) -> float:
        c = 0.0
        for v, p in zip(self.views, self.posed(style), strict=True):
            m = v.rendered(p)
            c += v.wrong[m].sum() + v.missed[~m].sum()
        return c / self.pixels

    def fitted(self, style: Style) -> tuple[float, Style]:
        """The style with ends, volumes and widths as in the photos, and its cost."""
        cost = self.cost(style)
        for step in LENGTHS:
            style = self.volumes(style)
            style = self.widths(style)
            cost, style = self.ends(style, self.cost(style), step)
        return cost, style

    def ends(self, style: Style, cost: float, step: float) -> tuple[float, Style]:
        """Move the ends while that lowers the cost."""
        for s in (0, 1):
            for way in (step, -step):
                while True:
                    ends = list(style.front)
                    ends[s] = float(np.clip(ends[s] + way, *ENDS))
                    new = replace(style, front=(ends[0], ends[1]))
                    new = replace(new, behind=expected(new))
                    c = self.cost(new)
                    if c > cost - PRIOR * step:
                        break
                    cost, style = c, new
        for way in (step, -step):
            while True:
                new = replace(style, behind=float(np.clip(style.behind + way, *ENDS)))
                c = self.cost(new)
                if c > cost - PRIOR * step:
                    break
                cost, style = c, new
        return cost, style

    def volumes(self, style: Style) -> Style:
        """The cap as thick as its outline in the photos says."""
        found = np.array([v.outline(v.rendered(p)) for v, p in zip(self.views, self.posed(style), strict=True)])
        with np.errstate(all="ignore"):
            left, right, top = (np.nanmean(f) if np.isfinite(f).any() else 0.0 for f in found.T)
        bound = lambda x: float(np.clip(x, *VOLUME))  # noqa: E731
        left, right = style.side[0] + left, style.side[1] + right
        mean, uneven = (left + right) / 2, np.clip((left - right) / 4, -UNEVEN, UNEVEN)
        sides = bound(mean + uneven), bound(mean - uneven)
        return replace(style, top=bound(style.top + top), side=sides, back=max(sum(sides) / 2, 0.015))

    def widths(self, style: Style) -> Style:
        """Edges and widths of the hanging rows as in the photos."""
        rows = [v.rows(p) for v, p in zip(self.views, self.posed(style), strict=True)]
        moves = []
        for now, add, bounds in ((style.inner, 0, IN), (style.outer, 1, OUT)):
            found = np.array([r[add] for r in rows])  # [views, 2, HANGING]
            known = np.isfinite(found).any(0)
            with np.errstate(all="ignore"):
                mean = np.where(known, np.nan_to_num(found).sum(0) / np.isfinite(found).sum(0), 0)
            weight = known.astype(float) + 1e-3
            total = gaussian_filter1d(mean * weight, SMOOTH, axis=1, mode="nearest", truncate=14)
            total /= gaussian_filter1d(weight, SMOOTH, axis=1, mode="nearest", truncate=14)
            moves.append((now + total).clip(*bounds))
        return replace(style, inner=moves[0], outer=moves[1])


def expected(style: Style) -> float:
    """Height of ends behind that are not seen."""
    before = [f for f, b in zip(style.front, style.before, strict=True) if b]
    if before:
        return float(np.mean(before))
    mean = float(np.mean(style.front))
    return mean if mean > SHORT else min(mean, REST)


def find_style(body: Body, betas: Tensor, silhouettes: Sequence[Silhouette], hat: bool = False) -> Style | None:
    """The style of hair that hangs below the chin; None: there is none, or it does not look like hair.

    Args:
        hat: whether a hat with a shape of its own is worn: hats are no hair then.
    """
    views = [View(body, betas, s, 0.15, hat) for s in silhouettes]
    views = [v for v in views if v.hair.any()]
    if not views or np.median([v.hangs for v in views]) < LEAST_HANGING:
        return None
    search = _Search(body, betas, views)
    style = best_style(search)
    return style if agreement(search, style)[2] and min(style.side) < WIDE else None


def best_style(search: _Search) -> Style:
    """The style that looks most like the photos."""
    ears = np.mean([v.ears for v in search.views], 0) > EAR_SEEN
    behind_ear = (BEHIND_EAR * float(ears[0]), BEHIND_EAR * float(ears[1]))
    starts = [Style(behind=e, front=(e, e), open=behind_ear) for e in (0.62, 0.56)]
    for before in ((False, False), (True, True), (True, False), (False, True)):
        for e in (0.45, 0.3) if any(before) else (0.45,):
            ends = (e if before[0] else 0.48, e if before[1] else 0.48)
            s = Style(front=ends, before=before, open=behind_ear)
            starts.append(replace(s, behind=expected(s)))
    starts.sort(key=search.cost)
    return min((search.fitted(s) for s in starts[:TRIED]), key=lambda x: x[0])[1]


def agreement(search: _Search, style: Style) -> tuple[float, float, bool]:
    """IoU of rendered and seen hair, the same below the chin, and whether both are enough."""
    iou = []
    for v, p in zip(search.views, search.posed(style), strict=True):
        m = v.rendered(p)
        told = v.hair | (v.wrong > 0)
        m = m & told & (v.missed != ON_FACE)
        hair = v.hair & (v.missed != ON_FACE)
        iou.append([(m & hair & k).sum() / max(1, ((m | hair) & k).sum()) for k in (np.ones_like(m), v.below)])
    whole, below = np.mean(iou, 0)
    return float(whole), float(below), bool(whole > AGREE and below > AGREE_BELOW)


def add_hair(
    body: Body, dressed: Body, form: np.ndarray, betas: Tensor, silhouettes: Sequence[Silhouette], ends: float = LOWEST
) -> tuple[Body, np.ndarray]:
    """The dressed body with hair if its ends hang below the height ``ends`` in the photos, and the offsets [V, 3] of
    the shells."""
    style = find_style(body, betas, silhouettes, "hat" in dressed.segment_names)
    if style is None or (hem := round(min(style.behind, *style.front), 2)) > ends:
        return dressed, form
    worn = wear(body, (*dressed.shells, Shell("hair", hem)))
    out = carried(form, dressed, worn)
    grid = hair_grid(worn)
    shaped = Shaped(body, body.rest(betas[None])[0][0].numpy())
    rest = worn.rest(betas[None])[0][0].numpy()
    out[grid] = with_inside(comb(shaped, style), shaped.centre) - rest[grid]
    return worn, out


def _over(points: np.ndarray, surface: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heights [n] of points [n, 3] over a surface of vertices [m, 3] with normals [m, 3], and its normals [n, 3]."""
    d, k = KDTree(surface).query(points, k=4)
    w = 1 / (d + 0.005) ** 2
    w = (w / w.sum(1, keepdims=True))[..., None]
    near, normal = (surface[k] * w).sum(1), (normals[k] * w).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    return ((points - near) * normal).sum(1), normal


def clear_body(body: Body, plain: Body, betas: Tensor, form: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets [V, 3] with hair moved off the clothes that it lies on, its edge on the skin, and its inside.

    Args:
        plain: the body without shells.
        form: [V, 3] offsets before they were fitted to the silhouette.
    """
    out = offsets.copy()
    grid = hair_grid(body)
    moved = gaussian_filter(out[grid[:ROWS]] - form[grid[:ROWS]], (1, 1, 0))
    rest = body.rest(betas[None])[0][0].numpy()
    share = free_share(plain)
    hair = np.zeros(len(rest), bool)
    hair[grid] = True
    skin = np.flatnonzero((body.vertex_part == PARTS.index("head")) & ~hair)
    with_skin = offsets[skin[KDTree(rest[skin]).query((rest + form)[grid[:ROWS]])[1]]]
    out[grid[:ROWS]] = form[grid[:ROWS]] + moved * share[..., None] + with_skin * (1 - share[..., None])
    v = rest + out
    r = regions(body)
    for sign in (1, -1):  # ears under it would come through
        ear = r.ears & (np.sign(body.v_template[:, 0].numpy()) == sign)
        edge = v[grid[len(CAP) : ROWS, 0 if sign > 0 else -1]]
        if np.interp(-v[ear, 1].mean(), -edge[:, 1], edge[:, 2]) > v[ear, 2].mean():
            v = flatten(v, body.faces, ear)
    n = vertex_normals(torch.from_numpy(v[None]), body.faces)[0].numpy()
    cap = grid[: len(CAP)]
    over, normal = _over(v[cap].reshape(-1, 3), v[skin], n[skin])
    v[cap] -= (((over - EDGE_OFF) * (1 - share[: len(CAP)].ravel()))[:, None] * normal).reshape(*cap.shape, 3)
    torso = np.flatnonzero((body.vertex_part == PARTS.index("torso")) & ~hair)
    low = grid[len(CAP) : ROWS]
    over, normal = _over(v[low].reshape(-1, 3), v[torso], n[torso])
    near = KDTree(v[torso]).query(v[low].reshape(-1, 3))[0] < 0.12
    push = np.where(near, np.clip(GAP + THICK - over, 0, 0.1), 0).reshape(low.shape)
    push = np.maximum(push, gaussian_filter(maximum_filter(push, (3, 3)), (1, 1)))
    v[low] += push[..., None] * normal.reshape(*low.shape, 3)
    for c in (SPLIT, COLUMNS - 2 - SPLIT):  # a gap that is closed stays closed
        a, b = grid[:ROWS, c], grid[:ROWS, c + 1]
        same = np.linalg.norm((rest + form)[a] - (rest + form)[b], axis=1) < 1e-4
        v[a[same]] = v[b[same]] = (v[a[same]] + v[b[same]]) / 2
    v[grid] = with_inside(v[grid[:ROWS]], Shaped(plain, plain.rest(betas[None])[0][0].numpy()).centre)
    return (v - rest).astype(np.float32)
