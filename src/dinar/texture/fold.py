"""Restore the unseen side of torso, arms and legs: as cylinders, folded onto the seen side at the same height.

Next to the seen border an unseen texel takes the colour of its neighbours. Farther round, if the photo has a parse, one
class is worn at each height (:mod:`.worn`). It has the colour of the seen texels of this class at that height, without
light, shade and single details. It has the pattern of the cloth (:mod:`.weave`), if there is one; if
there is none, the wrinkles of the seen side (:mod:`.wrinkles`) from the hips down and on sleeves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from ..labels import LABEL
from .bands import bands, hem, on_print, weighted_median
from .surface import Surface, least, of_kind, parts_of, searchers
from .weave import detail_of, fineness, glaring, pattern_of, woven
from .worn import BIN, ENOUGH, SLEEVE, WAIST, alone, along, elected, not_the_coat, on_both_halves, sleeved
from .wrinkles import wrinkles

CONFIDENT = 0.35  # λ from which a texel may be a source for others
CLEAR = 0.6  # the same of a pattern, which is blurred where it is seen aslant
FEW = 64  # least texels at 512² of one class to copy from
FOLD = {"torso": 0.5, "arm": 0.3, "leg": 0.45}  # middle share of the seen angle that is not a source
PACE = 0.5  # angle walked on the seen side per angle on the unseen side
SEEN = np.deg2rad((40, 65, 90))  # of the seen border from the middle: least, where too little is seen to tell, most
EDGE = 0.95  # quantile of the seen angles that is taken as the border
ROUND = np.deg2rad(15)  # beyond the seen border, over which neighbours' colours turn into those of the class behind
SPINE = np.deg2rad(25)  # either side of the line opposite the camera over which both halves are mixed
TWIN = 0.06  # metres added to the distance of sources on the other limb
INNER = 0.2  # weight of votes from texels too far inside to be sources
LEVEL, ALONG = 8.0, 8  # hips are like the torso at their height: weight of heights; texels whose mean they take
FINE, SMOOTH = 3, 32  # texels beside the seen border whose mean is taken: of patterns; of plain cloth, without streaks
GAP = 0.008  # of the texture's side: unseen texels nearer to seen ones go on from these, so that gaps are closed
NEAR_HIPS = 0.1  # metres around the hips: heights that torso and legs have
HIPS = 0.1  # metres below the pelvis over which wrinkles begin on a skirt or coat
SHADE = 0.05  # metres over which the colour of a cloth changes with height
BELOW = 0.1  # metres below the trunk to which a long coat reaches
SIDE = np.deg2rad(15)  # inside the seen border: the sides of a trunk
# Least share of what a trunk shows of a coat that has the colour of its sleeves, for the back to be as the trunk is;
# the same if the pattern of the sleeves is finer than this: leopard, tweed (16 street photos looked at).
ALIKE_COAT, ALIKE_FINE, FINE_SLEEVES = 0.75, 0.6, 0.7
KNOWN, STRANGE = 8, 0.1  # texels of sleeves that have a colour, up to this difference: else it is not theirs
LINING = 0.25  # share of a half of a coat that is not as its sleeves, or more unlike its colour than the other half's
PATTERNED = 0.5  # strength of a pattern from which a cloth is not plain
LITTLE = 0.02  # weight of what is unlike the sides of a trunk and sleeves that are like them
GROUND = 0.16  # least share of a cloth's usual colour at a height for all else there to be a print on it
OTHER_LIMB = 0.02  # weight of the other limb's colours at a height; it is 1 where
ALIKE = 0.06  # both have the same hue: colours of sum 1 differ less
ONE_LIGHT, BALANCE = 16, 0.25  # least texels of either half to tell its light, and their share of the other half's
UNLIKE = 2.0  # times the median deviation from a plain cloth's colour: such texels are shaded, or are things on it


def shown_clearly(
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1]
    worn: np.ndarray,  # [N] uint8 classes of seen texels
    seen: np.ndarray,  # [N] bool
) -> tuple[np.ndarray, np.ndarray]:
    """Classes [N] uint8, where a coat is worn on both halves or on none, and [N] bool: texels that surely show
    theirs."""
    if not on_both_halves(s, worn, seen) and sleeved(s, colour, worn, seen) is None:
        worn = np.where(worn == LABEL["outer"], LABEL["upper"], worn)
    return worn, alone(s, worn) & ~not_the_coat(s, colour, worn, seen)


def fold(s: Surface, kind: str, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray | None, clear: np.ndarray | None,
         out: np.ndarray, behind: np.ndarray, done: np.ndarray,
         patterns: np.ndarray | None = None) -> None:  # fmt: skip
    """Restore the texels of a kind of part; nothing is done if fewer than ENOUGH of them are seen.

    Args:
        kind: "torso", "arm" or "leg".
        colour: [N, 3] float32 in [0, 1], read where ``lam`` > 0.
        lam: [N] float32 in [0, 1], 0 where not seen.
        worn, clear: of :func:`shown_clearly`; None: no parse.
        out: [N, 3] float32 in [0, 1]; written for the texels of the kind.
        behind: [N] uint8; written with the class that a texel of the unseen side was given, 0: any.
        done: [N] bool; set for the texels of the kind.
        patterns: [2, classes] of :func:`dinar.photo.traits.cloth_patterns`; None: all cloths are plain.
    """
    own_all = of_kind(s, kind)
    source = own_all & (lam > CONFIDENT)
    if source.sum() < least(s, ENOUGH):
        return
    g = _folded(s, kind, lam)
    away = np.zeros(len(lam)) if worn is None else np.clip(g.beyond / ROUND, 0, 1)
    gap = np.clip(s.texels.distance(lam > 0) / (GAP * s.texels.size), 0, 1)
    gap[g.beyond > 0] = lam[g.beyond > 0] == 0
    done[own_all] = True  # of these texels alone: another kind may be folded beside
    if worn is None:
        _neighbours(g, colour, source, own_all, out, FINE)
        return

    # the unseen side: the class that is worn there, copied from texels of this class only
    row = ((g.chart[:, 0] - g.chart[own_all, 0].min()) / BIN).astype(int).clip(0)
    weight = lam * np.where(g.outer, 1, INNER)
    assert clear is not None
    shown = source
    source = source & clear if (source & clear).sum() >= least(s, ENOUGH) else source
    voters = source.copy()
    if kind == "torso" and not s.coat.any():  # the hips, which are parts of the legs, vote for the seat at their height
        level = own_all & (np.abs(g.chart[:, 0]) < 0.05)
        height = s.x[:, 1] - np.median(s.x[level, 1] - g.chart[level, 0]) - g.chart[own_all, 0].min()
        hips = of_kind(s, "leg") & (lam > CONFIDENT) & clear & (height >= 0)
        row[hips], weight[hips], voters = height[hips] // BIN, lam[hips], voters | hips
        g.chart[hips] = 0  # far from all texels of the torso: only the mean colour of a height is used of them
    low = of_kind(s, "leg") & (lam > CONFIDENT) & (s.x[:, 1] < s.x[of_kind(s, "torso"), 1].min() - BELOW)
    long = (low & (worn == LABEL["outer"])).sum() >= least(s, ENOUGH)
    coat = sleeved(s, colour, worn, lam > CONFIDENT) if kind == "torso" else None
    waist = None if coat is None else int((WAIST - g.chart[own_all, 0].min()) / BIN)
    cloth = elected(s, kind, row, weight, worn, voters, bool(long), waist)
    guest = (worn != cloth) & ((cloth != LABEL["outer"]) | (worn == LABEL["skin"]))  # open coats show what is under
    usual = next((x for x in (source & ~guest, shown & ~guest) if x.sum() >= least(s, ENOUGH)), shown)
    rows, limb = row[own_all].max() + 1, (s.part == parts_of(kind)[-1]).astype(int)
    around = _around_hips(s, kind, row, weight, limb, rows, lam * clear)
    for c in np.unique(cloth[own_all]):
        own = own_all & (cloth == c)
        palette = source & ((worn == c) | (c == 0))
        palette = palette if palette.sum() >= least(s, FEW) else voters & (worn == c)
        sleeves = of_kind(s, "arm") & (lam > CONFIDENT) & (worn == c)
        place, origin = g.chart, None
        if c == LABEL["outer"] and coat is not None and not _shown(s, colour, palette, sleeves, coat, lam):
            palette, place, origin = sleeves, _folded(s, "arm", lam).chart, "arm"
            row[palette] = (rows - 1) * (1 - _ranks(place[palette, 0]))
            limb[palette], away[own] = limb[own].max(), gap[own]  # what is beside may be lining
        elif kind == "torso" and min(sleeves.sum(), palette.sum()) >= least(s, FEW):
            p, left = palette.copy(), g.chart[palette, 1] > 0
            palette[p] = ~on_print(colour[p], row[p], weight[p], left, rows, np.median(colour[sleeves], 0))
        pattern = pattern_of(patterns, c, kind == "arm")
        told_by = colour[sleeves] if coat else None
        closed = c != LABEL["outer"] or kind == "arm" or origin
        if not closed and _lined(colour[palette], place[palette, 1] > 0, told_by):
            pattern = 0.0
        near = own & (away < 1)
        _neighbours(g, colour, usual, near & (gap > 0), out, FINE if pattern > 0 else SMOOTH)
        close = np.flatnonzero(near & (gap < 1))  # the seen ones have their own colours: their soft border stays sharp
        apart = gap[close, None] * out[close]
        _neighbours(g, colour, shown, near & (gap < 1), out, FINE)
        out[close] = apart + (1 - gap[close, None]) * out[close]
        plain_trunk = kind == "torso" and pattern < PATTERNED and not origin
        w = weight * _like_sleeves(s, colour, worn, palette, g, lam) if plain_trunk else weight
        made = np.zeros((own.sum(), 3), np.float32)
        band = np.zeros(rows, int)
        if kind != "torso" and pattern < PATTERNED:
            band = bands(colour[palette], row[palette], limb[palette], rows, kind == "arm")
        elif kind == "torso" and not origin:
            band = hem(colour[palette], row[palette], w[palette], g.chart[palette, 1] > 0, rows)
        guests = around & (worn == c)
        told, theirs = palette | guests, weight[guests].sum()
        w = np.where(guests, w * theirs / max(theirs + weight[palette].sum(), 1e-9), w)  # more if little else is seen
        for k in range(band.max() + 1):
            here, mine = band[row[told]] == k, band[row[own]] == k
            t = np.flatnonzero(told)[here]
            shown_there = _in_one_light(colour[t], s.x[t, 0] > 0 if kind == "torso" else limb[t] > 0)
            level = _levels(shown_there, row[t], limb[t], w[t], rows, pattern)
            made[mine] = level[limb[own][mine], row[own][mine]]
        if pattern:
            seen_detail = detail_of(colour[palette], place[palette], pattern)
            for most in (CLEAR, 0.0):
                strong = lam[palette] > most
                if (detail := woven(s, kind, palette & (lam > most), seen_detail[strong], own, origin)).any():
                    break
            if not origin and not detail.any():  # too little is seen for patches: the neighbours' colours, folded
                detail = pattern * (nearest(g.chart[palette], colour[palette], g.here[own]) - made)
            made = made + detail
        below = np.clip(-s.chart[own, 0] / HIPS, 0, 1) if kind == "torso" else 1  # above, they are lapels and pockets
        if pattern < 1 and c != LABEL["skin"] and np.any(below) and not origin:
            depth = wrinkles(colour[palette], g.chart[palette], g.here[own], g.there[own], g.share[own])
            made *= np.exp((1 - pattern) * below * depth)[:, None]
        share = away[own]
        below = s.chart[own, 0] < 0 if kind == "torso" else 1  # there, hands and bags hide plain cloth, or shade it
        share = np.maximum(share, (1 - pattern) * below * gap[own] * _odd(out[own] - made))
        out[own] += share[:, None] * (made - out[own])
    far = own_all & (away > 0.5)
    behind[far] = cloth[far]
    torso = of_kind(s, "torso")
    if kind == "leg" and not s.hanging and (torso & (behind > 0)).any():  # a hem is level, not where the parts meet
        hips = np.flatnonzero(own_all & (away > 0) & (s.x[:, 1] > s.x[torso, 1].min()))
        place, like = s.x * [1, LEVEL, 1], np.flatnonzero(torso & (behind > 0))
        worn_there = behind[like[KDTree(place[like]).query(place[hips])[1]]]
        hips, worn_there = hips[worn_there != cloth[hips]], worn_there[worn_there != cloth[hips]]
        out[hips] += away[hips, None] * (nearest(place[like], out[like], place[hips], ALONG) - out[hips])
        behind[hips[far[hips]]] = worn_there[far[hips]]


def _ranks(t: np.ndarray) -> np.ndarray:
    """[M] in [0, 1], where values [M] lie between the least and the most."""
    return (t - t.min()) / max(float(np.ptp(t)), 1e-9)


def _neighbours(
    g: _Fold, colour: np.ndarray, source: np.ndarray, near: np.ndarray, out: np.ndarray, count: int
) -> None:
    """Give the texels ``near`` [N] bool the colours of the ``count`` nearest sources [N] bool; near the line opposite
    the camera of both halves."""
    if not near.any():
        return
    out[near] = nearest(g.chart[source], colour[source], g.here[near], count)
    if (both := near & (g.share > 0)).any():
        other = nearest(g.chart[source], colour[source], g.there[both], count)
        out[both] += g.share[both, None] * (other - out[both])


def _odd(step: np.ndarray) -> np.ndarray:
    """[M] in [0, 1]: how surely colours that differ by ``step`` [M, 3] from a plain cloth's are not the cloth's."""
    return np.clip(np.linalg.norm(step, axis=1) / SLEEVE - 1, 0, 1)


def _around_hips(
    s: Surface, kind: str, row: np.ndarray, weight: np.ndarray, limb: np.ndarray, rows: int, lam: np.ndarray
) -> np.ndarray:
    """[N] bool: seen texels of a torso for legs, or of legs for a torso, at the heights that it has, too: a garment has
    one colour on both. They get rows, weights and limbs."""
    out = np.zeros(len(row), bool)
    if kind == "arm" or s.hanging:
        return out
    other, own = of_kind(s, "leg" if kind == "torso" else "torso"), of_kind(s, kind)
    near = own & (np.abs(s.x[:, 1] - (s.x[other, 1].max() if kind == "torso" else s.x[other, 1].min())) < NEAR_HIPS)
    if near.sum() < 2:
        return out
    height = np.polyval(np.polyfit(s.x[near, 1], row[near], 1), s.x[:, 1]).round().astype(int)
    out = other & (lam > CONFIDENT) & (height >= 0) & (height < rows)
    row[out], weight[out] = height[out], lam[out]
    if kind == "leg":
        limb[out] = s.x[out, 0] < 0
    return out


def _shown(
    s: Surface, colour: np.ndarray, trunk: np.ndarray, sleeves: np.ndarray, share: float, lam: np.ndarray
) -> bool:
    """Whether the texels [N] bool of a coat on the ``trunk``, of which a ``share`` has the colour of its ``sleeves``
    [N] bool, show its cloth: not lapels, lining and bags."""
    fine = fineness(colour[sleeves], _folded(s, "arm", lam).chart[sleeves]) > FINE_SLEEVES
    return share > (ALIKE_FINE if fine else ALIKE_COAT) and trunk.sum() >= least(s, ENOUGH)


def _like_sleeves(
    s: Surface, colour: np.ndarray, worn: np.ndarray, palette: np.ndarray, g: _Fold, lam: np.ndarray
) -> np.ndarray:
    """[N] weight of the texels of a torso: where the sleeves are as its sides, what is unlike them is a print."""
    cloth = np.bincount(worn[palette]).argmax()
    sides = palette & (g.beyond > -SIDE)
    sleeves = of_kind(s, "arm") & (lam > CONFIDENT) & (worn == cloth)
    if min(sides.sum(), sleeves.sum()) >= least(s, FEW):
        a, b = np.median(colour[sides], 0), np.median(colour[sleeves], 0)
        if np.linalg.norm(a - b) < SLEEVE:
            return LITTLE + np.exp(-np.square((colour - (a + b) / 2) / SLEEVE).sum(1) / 2)
    return np.ones(len(colour))


def _lined(colour: np.ndarray, left: np.ndarray, sleeves: np.ndarray | None) -> bool:
    """Whether a half of a coat's texels [M, 3] shows its lining: it has colours that the ``sleeves`` [K, 3] don't have.
    If these are not known: both halves differ. What varies is no pattern then."""
    halves = [colour[half] for half in (left, ~left) if half.any()]
    if sleeves is not None:
        there = KDTree(sleeves)
        apart = (there.query(half, min(KNOWN, len(sleeves)))[0].reshape(len(half), -1)[:, -1] for half in halves)
        return any(float((d > STRANGE).mean()) > LINING for d in apart)
    middles = [np.median(half, 0) for half in halves]
    if len(halves) < 2 or np.linalg.norm(middles[0] - middles[1]) > SLEEVE:
        return len(halves) == 2
    plain = min(middles, key=lambda m: float(np.linalg.norm(colour - m, axis=1).sum()))
    lining = [float((np.linalg.norm(half - plain, axis=1) > SLEEVE).mean()) for half in halves]
    return abs(lining[0] - lining[1]) > LINING


def _in_one_light(colour: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Colours [M, 3] of a cloth with both halves as bright as their geometric mean, if they have the same hue: what is
    not seen is lit neither like the half in the sun nor like the one in the shade."""
    out = colour.copy()
    few, many = sorted((left.sum(), (~left).sum()))
    if few >= max(ONE_LIGHT, BALANCE * many):
        middles = np.array([np.median(colour[half], 0) for half in (left, ~left)]) + 1e-3
        bright = middles.sum(1)
        if np.abs(np.diff(middles / bright[:, None], axis=0)).max() < ALIKE:
            for half, b in zip((left, ~left), bright, strict=True):
                out[half] *= np.sqrt(bright.prod()) / b
    return out


def _levels(
    colour: np.ndarray, row: np.ndarray, limb: np.ndarray, weight: np.ndarray, rows: int, pattern: float
) -> np.ndarray:
    """[2, rows, 3] colour of each height of each limb, of texels [M, ...] of one class: their mean where the cloth has
    a ``pattern`` (1); where it is plain (0), that of the texels that are like most, the bright ones above the dark."""

    hue = [(weight * colour.T)[:, limb == k].sum(1) for k in (0, 1)]
    hue = [h / max(h.sum(), 1e-9) for h in hue]
    other = 1.0 if np.abs(hue[0] - hue[1]).max() < ALIKE else OTHER_LIMB

    def mean(w: np.ndarray, width: float) -> np.ndarray:
        sums = np.zeros((2, 4, rows))
        for k in (0, 1):
            sums[k] = [np.bincount(row[limb == k], x[limb == k], rows) for x in (*(w * colour.T), w)]
        sums = np.stack([along(x, width) for x in sums + other * sums[::-1]])
        return np.moveaxis(sums[:, :3] / np.maximum(sums[:, 3:], 1e-30), 1, 2)

    w = weight * np.sqrt(colour.sum(1)) * np.where(glaring(colour), LITTLE, 1)
    for on in (limb == k for k in np.unique(limb)):  # a large print counts little
        usual = np.linalg.norm(colour[on] - weighted_median(colour[on], w[on]), axis=1) < SLEEVE
        shown, total = (np.bincount(row[on], w[on] * x, rows)[row[on]] for x in (usual, np.ones(len(usual))))
        w[on] *= np.where(usual | (shown <= GROUND * total), 1, LITTLE)
    for width in (6 * SHADE, 3 * SHADE, 3 * SHADE, SHADE):  # the scale falls with what is still taken for the cloth
        plain = mean(w, width)
        away = np.linalg.norm(colour - plain[limb, row], axis=1)
        order = np.argsort(away)
        middle = away[order[min(np.searchsorted(w[order].cumsum(), w.sum() / 2), len(w) - 1)]]
        w = w * np.exp(-np.square(away / (UNLIKE * middle + 1e-6)))
    return (plain + pattern * (mean(weight, SHADE) - plain)).astype(np.float32)


@dataclass(frozen=True)
class _Fold:
    """Where the texels of one kind of part lie and copy from; defined for all N texels.

    Places are [N, 3] in metres: along the axis, around it from the middle of the seen side, TWIN on the second limb.
    """

    chart: np.ndarray  # the texel's own place
    here: np.ndarray  # the place that it copies from
    there: np.ndarray  # the place on the other half: mirrored at the middle of the seen side
    share: np.ndarray  # [N] in [0, 0.5], weight of `there`: above 0 only near the line opposite the camera
    beyond: np.ndarray  # [N] radians past the seen border, negative on the seen side
    outer: np.ndarray  # [N] bool: farther out than the middle share FOLD


def _folded(s: Surface, kind: str, lam: np.ndarray) -> _Fold:
    sides = parts_of(kind)
    t, phi, radius = s.chart.T
    angle = np.zeros(len(phi))  # relative to the middle of the seen side
    limit = np.full(len(phi), SEEN[1])
    centre = {}  # angle of the middle of the seen side, by limb
    for part in sides:
        w = np.where(s.part == part, lam, 0)
        if (w > CONFIDENT).sum() >= least(s, ENOUGH):
            centre[part] = np.arctan2((w * np.sin(phi)).sum(), (w * np.cos(phi)).sum())
    for part in sides:
        own = s.part == part
        c = centre.get(part, next(iter(centre.values()), 0.0))
        angle[own] = (phi[own] - c + np.pi) % (2 * np.pi) - np.pi
        sure = own & (lam > CONFIDENT)
        if sure.sum() >= least(s, ENOUGH):
            limit[own] = np.clip(np.quantile(np.abs(angle[sure]), EDGE), SEEN[0], SEEN[2])
    a = np.abs(angle)
    reach = (1 - FOLD[kind]) * limit  # from the seen border inwards, where sources are
    walked = np.maximum(a - limit, 0) * PACE
    folded = np.where(a > limit, limit - (reach - np.abs(walked % (2 * reach) - reach)), a)
    r, twin = float(radius[of_kind(s, kind)].mean()), np.where(s.part == sides[-1], TWIN, 0.0)
    place = lambda x: np.stack([t, x * r, twin], 1)  # noqa: E731
    share = np.where(limit < np.pi - SPINE, 0.5 * np.clip(1 - (np.pi - a) / SPINE, 0, 1), 0)
    return _Fold(place(angle), place(np.sign(angle) * folded), place(-np.sign(angle) * folded), share, a - limit,
                 a > limit - reach)  # fmt: skip


def nearest(source: np.ndarray, colour: np.ndarray, query: np.ndarray, k: int = 3) -> np.ndarray:
    """Mean colours [Q, 3] of the k nearest sources, or of all if they are fewer, weighted by 1 / distance²."""
    k = min(k, len(source))
    d, i = (np.asarray(x).reshape(len(query), k) for x in KDTree(source).query(query, k, workers=searchers(len(query))))
    w = 1 / (d + 1e-4) ** 2
    return (colour[i] * (w / w.sum(1, keepdims=True))[..., None]).sum(1)
