"""Restore what the photo does not show, without a network: the baseline that the diffusion model has to beat.

Every unseen texel borrows its colour from a seen one of the same kind. Torso, arms and legs are cylinders: the unseen
side is folded onto the outer part of the seen side at the same height (so that open coats, ties and crossed hands stay
in front, and the texture keeps its grain), and a limb that is hidden takes its twin's. Where the photo is parsed, the
seen texels of a height vote for what is worn behind them, and only that is folded there: a jacket's back comes from
the jacket, not from the hair or the bag in front of it. Hair comes from hair, faces from faces, hands from skin. The
step between seen and borrowed colours at their border is then spread over the unseen surface by a membrane on the
mesh, which takes the light of the one side over to the other without a seam.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial import KDTree

from ..body import Body
from ..body.body import PARTS
from ..body.regions import regions
from ..errors import DinarError
from ..fit.labels import LABEL
from .fill import push_pull
from .membrane import membrane
from .texels import Texels, texels

SIZE = 512  # texture size at which sources are looked up
CONFIDENT = 0.35  # λ from which a texel may be a source for others
FOLD = {"torso": 0.5, "arm": 0.3, "leg": 0.45}  # the far side borrows from the seen angle beyond this share of it
PACE = 0.5  # angle walked over the seen side per unseen angle: to and fro within the share above
ROUND = np.deg2rad(15)  # beyond the seen angles, over which the seen turns into what is worn behind
SPINE = np.deg2rad(25)  # either side of the line opposite the camera over which both halves are mixed
TWIN = 0.06  # metres: how much farther a source on the other limb counts
LIGHT = 0.2  # colour step that light and shade explain
FADE = 0.10  # metres over which a colour step dies out on the unseen side
SLANTED = 0.82  # λ under which a texel at the border of the seen may show the background
BORDER, STRAY = 0.03, 0.3  # width of the border in textures; colour difference from further in that is too much
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
_SKIN, _HAIR = [LABEL["skin"], LABEL["face"]], [LABEL["hair"], LABEL["hat"]]
SKIN_CHROMA, SKIN_DARK = 18.0, 60.0  # Lab distances from the face beyond which a hand texel is not skin


@dataclass(frozen=True)
class _Surface:
    """Per-texel facts about the body's rest pose at one texture size; N texels."""

    texels: Texels
    x: np.ndarray  # [N, 3] rest position of the template, metres
    part: np.ndarray  # [N] index into PARTS
    face: np.ndarray  # [N] bool
    face_centre: np.ndarray
    crown: np.ndarray
    skull: np.ndarray
    cavity: np.ndarray
    chart: np.ndarray  # [N, 3] along a limb's axis (m), angle about it (rad), radius (m): see _cylinders
    vertex_texel: np.ndarray  # [V] row of the texel nearest each vertex in the atlas


def restore(
    body: Body,
    rgb: np.ndarray,  # [S, S, 3] float32 in [0, 1], valid where lam > 0
    lam: np.ndarray,  # [S, S] float32 in [0, 1], 0 = not seen
    classes: np.ndarray | None = None,  # [S, S] uint8 of fit.labels.CLASSES where seen; None: guessed from colours
) -> np.ndarray:
    """The complete texture [S, S, 3] float32: seen texels as they are, the others restored, gutters filled."""
    size = rgb.shape[0]
    s = _surface(body, min(SIZE, size))
    small = rgb if size == s.texels.size else cv2.resize(rgb, (s.texels.size,) * 2, interpolation=cv2.INTER_AREA)
    # a small texel is seen if all of it is: area-averaged colours must not contain unseen zeros
    seen_small = cv2.resize((lam > 0).astype(np.float32), (s.texels.size,) * 2, interpolation=cv2.INTER_AREA) > 0.999
    colour = small.reshape(-1, 3)[s.texels.index].astype(np.float32)
    seen = seen_small.reshape(-1)[s.texels.index]
    if not seen.any():
        raise DinarError("the fitted body lies outside the person's mask: check the --mask, --keypoints or --fit given")
    lam_small = cv2.resize(lam, (s.texels.size,) * 2, interpolation=cv2.INTER_AREA).reshape(-1)[s.texels.index]
    worn = None
    if classes is not None:
        worn = cv2.resize(classes, (s.texels.size,) * 2, interpolation=cv2.INTER_NEAREST).reshape(-1)[s.texels.index]
    seen = seen & ~_not_skin(s, colour, seen, worn) & ~_stray(s, colour, seen, lam_small)
    guess, behind = _borrow(s, colour, seen, np.where(seen, lam_small, 0), worn)
    alike = seen if worn is None else seen & ((behind == 0) | (behind == worn))  # the same thing on both sides
    guess = np.clip(guess + _membrane(body, s, colour, seen, alike, guess), 0, 1)

    full = np.zeros((s.texels.size**2, 3), np.float32)
    full[s.texels.index] = guess
    inside = s.texels.inside
    filled = push_pull(full.reshape(s.texels.size, s.texels.size, 3), inside)
    if size != s.texels.size:
        filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_CUBIC)
    weight = _soft_border(lam > 0, texels(body.atlas, size).inside)[..., None]
    rejected = np.zeros(s.texels.size**2, np.uint8)
    rejected[s.texels.index] = (seen_small.reshape(-1)[s.texels.index] & ~seen).astype(np.uint8)
    weight = weight * (1 - cv2.resize(rejected.reshape((s.texels.size,) * 2), (size, size))[..., None])
    return np.clip(rgb * weight + filled * (1 - weight), 0, 1).astype(np.float32)


def _soft_border(seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Weight [S, S] of the seen texture: 0 where unseen, rising to 1 over 1 % of the texture."""
    k = max(2.0, 0.008 * seen.shape[0])
    unseen = (inside & ~seen).astype(np.uint8)
    d = cv2.distanceTransform(1 - unseen, cv2.DIST_L2, 3)
    return np.where(seen, np.clip(d / k, 0, 1), 0).astype(np.float32)


def _not_skin(s: _Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray:
    """Hand texels that are not skin, or have not the colour of the face: bags, pockets, sleeves painted on hands."""
    skin = _skin_colour(s, colour, seen, worn)
    if worn is not None:
        return _of(s, "hand") & seen & ~np.isin(worn, _SKIN)
    return np.zeros(len(seen), bool) if skin is None else _of(s, "hand") & seen & _unlike(colour, skin)


def _stray(s: _Surface, colour: np.ndarray, seen: np.ndarray, lam: np.ndarray) -> np.ndarray:
    """Slanted texels at the border of the unseen that look nothing like the seen surface further in: background that
    shows between arm and torso, a bag's edge. Losing a true one costs little, it is borrowed from its neighbour."""
    size = s.texels.size
    grid = np.zeros(size * size, np.uint8)
    grid[s.texels.index[seen]] = 1
    # the gutters are not a border: only unseen texels of an island are
    hidden = np.zeros(size * size, np.uint8)
    hidden[s.texels.index[~seen]] = 1
    depth = cv2.distanceTransform(1 - hidden.reshape(size, size), cv2.DIST_L2, 5).reshape(-1)[s.texels.index]
    limbs = np.isin(s.part, [i for i, p in enumerate(PARTS) if p.endswith(("torso", "arm", "leg"))])
    edge = seen & limbs & (depth < BORDER * size) & (lam < SLANTED)
    inner = seen & limbs & (depth >= BORDER * size)
    stray = np.zeros(len(seen), bool)
    for part in np.unique(s.part[edge]):
        e, i = edge & (s.part == part), inner & (s.part == part)
        if i.sum() > 500:
            d, k = KDTree(s.x[i]).query(s.x[e], k=8)
            reference = np.median(colour[i][k], 1)
            odd = (np.abs(colour[e] - reference).max(1) > STRAY) & (d[:, 0] < 0.08)
            other = colour[inner & (s.part != part)][::7]  # an open jacket has the colour of its sleeves: keep it
            if odd.any() and len(other):
                odd[odd] = KDTree(other).query(colour[e][odd])[0] > 0.06
            stray[e] = odd
    return stray


def _unlike(colour: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[N] colours too far from a skin colour to be the same person's skin in other light."""
    d = cv2.cvtColor(colour[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0] - _lab(skin)
    return (np.hypot(d[:, 1], d[:, 2]) > SKIN_CHROMA) | (d[:, 0] < -SKIN_DARK)


def _skin_colour(s: _Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray | None:
    face = s.face_centre & seen
    if worn is not None and (face & np.isin(worn, _SKIN)).sum() > 30:
        face &= np.isin(worn, _SKIN)
    if face.sum() <= 30:
        return None
    light = colour[face].sum(1)  # the lighter half: not the shade of glasses, hats and hair
    return np.median(colour[face][light >= np.median(light)], 0)


def _lab(c: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(c[None, None].astype(np.float32), cv2.COLOR_RGB2LAB)[0, 0]


def _borrow(
    s: _Surface, colour: np.ndarray, seen: np.ndarray, lam: np.ndarray, worn: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """What every texel would borrow, also the seen ones (the membrane needs their step): colours [N, 3], and classes
    [N], 0 where any would do."""
    out, behind = np.zeros_like(colour), np.zeros(len(colour), np.uint8)
    done = np.zeros(len(colour), bool)
    default = np.median(colour[seen], 0)

    def take(
        target: np.ndarray,
        source: np.ndarray,
        q: np.ndarray,
    ) -> None:
        """Colours of the nearest sources in the coordinates q [N, 3]; a no-op with too few of them."""
        target = target & ~done
        if source.sum() < 64 or not target.any():
            return
        out[target] = _nearest(q[source], colour[source], q[target])[0]
        done[target] = True

    head = s.part == PARTS.index("head")
    # Faces from faces (the other half first), skulls from hair, necks from necks.
    mirrored = s.x * [1, 1, 1]
    mirrored[:, 0] = np.abs(mirrored[:, 0])
    hair = _hair(s, colour, seen & (lam > CONFIDENT), worn)
    take(s.face, seen & s.face & ~hair, mirrored)
    take(s.face | s.cavity & head, seen & s.face, mirrored)
    for source in (hair, seen & head & ~s.face):
        scalp = head & s.skull & ~s.face & ~done
        if source.sum() >= 64 and scalp.any():
            out[scalp] = _blend(mirrored[source], colour[source], mirrored[scalp])
            done |= scalp
    neck = head & ~s.skull & ~s.face & ~s.cavity
    take(neck, seen & neck, s.x * [1, 1, 0.15])
    take(neck, seen & s.face & (s.x[:, 1] < np.median(s.x[s.face, 1])), s.x * [1, 1, 0.15])
    take(head, seen & head, s.x * [1, 1, 0.3])
    for kind in ("torso", "arm", "leg"):
        _fold(s, kind, colour, lam, worn, out, behind, done)
    for kind in ("hand", "foot"):
        own = _of(s, kind)
        take(own, seen & own, mirrored)
    skin, hands = _skin_colour(s, colour, seen, worn), _of(s, "hand")
    if (seen & hands).sum() < 0.1 * hands.sum():  # hidden in pockets: as the wrists are if they are bare, or the face
        wrist = (
            _of(s, "arm") & (s.chart[:, 0] > np.quantile(s.chart[_of(s, "arm"), 0], 0.85)) & seen & (lam > CONFIDENT)
        )
        bare = wrist & ~_unlike(colour, skin) if skin is not None else wrist
        if bare.sum() > 100:
            skin = np.median(colour[bare], 0)
        if skin is not None:
            out[hands] = skin
            done |= hands
    take(~head, seen & ~head, s.x)
    out[~done] = default
    return out, behind


def _of(s: _Surface, kind: str) -> np.ndarray:
    """[N] texels of a kind of part, both sides."""
    return np.isin(s.part, [i for i, p in enumerate(PARTS) if p.endswith(kind)])


def _nearest(source: np.ndarray, colour: np.ndarray, query: np.ndarray, k: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inverse-distance mean of the k nearest sources [Q, 3], and how close they are [Q, 1]: 1 here, 0 beyond CLOSE."""
    d, i = KDTree(source).query(query, k=k, workers=2)
    w = 1 / (d + 1e-4) ** 2
    close = np.exp(-np.square(d[:, :1] / CLOSE)).astype(np.float32)
    return (colour[i] * (w / w.sum(1, keepdims=True))[..., None]).sum(1), close


def _blend(source: np.ndarray, colour: np.ndarray, query: np.ndarray, reach: float = 0.04) -> np.ndarray:
    """Smooth mean of sources all around, [Q, 3]: from the nearest alone, single hairs would grow into patches."""
    step = max(1, len(source) // 500)
    source, colour = source[::step], colour[::step]
    out = np.empty((len(query), 3), np.float32)
    for i in range(0, len(query), 4096):
        d2 = ((query[i : i + 4096, None] - source) ** 2).sum(2)
        w = 1 / (d2 + reach**2) ** 2
        out[i : i + 4096] = (w / w.sum(1, keepdims=True)) @ colour
    return out


def _fold(s: _Surface, kind: str, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray | None,
          out: np.ndarray, behind: np.ndarray, done: np.ndarray) -> None:  # fmt: skip
    """Torso or limbs: the unseen angles are folded onto the seen ones, in the cylinder's chart; writes the last 3."""
    sides = [i for i, p in enumerate(PARTS) if p.endswith(kind)]
    t, phi, radius = s.chart.T
    own_all = _of(s, kind)
    r = float(radius[own_all].mean())
    angle = np.zeros(len(phi))  # relative to the middle of what is seen
    limit = np.full(len(phi), np.deg2rad(65))
    centre = {}
    for part in sides:  # where does the camera look at this limb?
        own = s.part == part
        w = np.where(own, lam, 0)
        if (w > CONFIDENT).sum() >= 200:
            centre[part] = np.arctan2((w * np.sin(phi)).sum(), (w * np.cos(phi)).sum())
    for part in sides:
        own = s.part == part
        c = centre.get(part, next(iter(centre.values()), 0.0))
        angle[own] = (phi[own] - c + np.pi) % (2 * np.pi) - np.pi
        sure = own & (lam > CONFIDENT)
        if sure.sum() >= 200:
            limit[own] = np.clip(np.quantile(np.abs(angle[sure]), 0.95), np.deg2rad(40), np.deg2rad(90))
    source = own_all & (lam > CONFIDENT)
    if source.sum() < 200:
        return
    a = np.abs(angle)
    reach = (1 - FOLD[kind]) * limit  # how far inwards from the seen border sources are taken
    beyond = np.maximum(a - limit, 0) * PACE
    folded = np.where(a > limit, limit - (reach - np.abs(beyond % (2 * reach) - reach)), a)
    twin = np.where(s.part == sides[-1], TWIN, 0.0)
    place = lambda x: np.stack([t, x * r, twin], 1)  # noqa: E731
    chart, here, there = place(angle), place(np.sign(angle) * folded), place(-np.sign(angle) * folded)
    # opposite the camera the two halves meet: mix them
    share = np.where(limit < np.pi - SPINE, 0.5 * np.clip(1 - (np.pi - a) / SPINE, 0, 1), 0)
    away = np.zeros(len(a)) if worn is None else np.clip((a - limit) / ROUND, 0, 1)

    near = own_all & (away < 1)  # where a seen neighbour is as good as any
    out[near] = _nearest(chart[source], colour[source], here[near])[0]
    if (both := near & (share > 0)).any():
        other = _nearest(chart[source], colour[source], there[both])[0]
        out[both] += share[both, None] * (other - out[both])
    done |= own_all
    if worn is None:
        return

    # the far side: what is worn there, and only of that
    row = ((t - t[own_all].min()) / BIN).astype(int).clip(0)
    weight = lam * np.where(a > limit - reach, 1, INNER)
    source = pure if (pure := source & _pure(s, worn)).sum() >= 200 else source
    cloth = _worn_behind(s, sides, row, weight, worn, source)
    for c in np.unique(cloth[own_all]):
        own = own_all & (cloth == c) & (away > 0)
        palette = source & (worn == c) if c else source
        even, level = _even(colour[palette], chart[palette], row[palette], weight[palette], row[own_all].max() + 1)
        # where the one half is hidden the other has to do, and where both are, the mean of the height
        first, close = _nearest(chart[palette], even, here[own])
        first, rest = level[row[own]] + close * (first - level[row[own]]), 1 - (1 - share[own, None]) * close
        more = rest[:, 0] > 1e-3
        second, close = _nearest(chart[palette], even, there[own][more])
        first[more] += close * rest[more] * (second - first[more])
        out[own] += away[own, None] * (first - out[own])
    behind[own_all & (away > 0.5)] = cloth[own_all & (away > 0.5)]


def _pure(s: _Surface, worn: np.ndarray) -> np.ndarray:
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
    heights = (heights[:4] / np.maximum(heights[4], 1e-12)).T
    level, usual = heights[:, :3], heights[:, 3]
    detail *= np.minimum(1, ODD * usual[row] / np.maximum(size, 1e-6))[:, None]
    return (level[row] + KEPT * (here - level[row]) + detail).astype(np.float32), level.astype(np.float32)


def _along(x: Any, width: float) -> np.ndarray:
    """[..., rows, ...] sums per height, smoothed over ``width`` metres, and over FAR where there are few."""
    axis = 1
    return sum(w * gaussian_filter1d(x, d / BIN, axis=axis) for d, w in ((width, 1), (4 * width, 0.2), (FAR, 1e-3)))


def _worn_behind(
    s: _Surface, sides: list[int], row: np.ndarray, weight: np.ndarray, worn: np.ndarray, source: np.ndarray
) -> np.ndarray:
    """[N] the class that the seen texels of a part vote for at a texel's height; 0 where they say nothing."""
    names = [n for n in VOTE if (source & (worn == LABEL[n])).sum() >= 200]
    if not names:
        return np.zeros(len(row), np.uint8)
    rows = row[np.isin(s.part, sides)].max() + 1
    seen = np.zeros((len(sides), rows, len(names)))
    for k, part in enumerate(sides):
        for j, name in enumerate(names):
            own = source & (s.part == part) & (worn == LABEL[name])
            seen[k, :, j] = np.bincount(row[own], weight[own], rows)
    seen = _along(seen + 0.5 * seen[::-1] * (len(sides) > 1), HEM)  # a limb's twin is dressed alike
    sure = np.minimum(1, seen.sum(2) / np.median(seen.sum(2), 1, keepdims=True))
    votes = seen * [OPEN if n == "outer" and len(sides) == 1 else VOTE[n] for n in names]
    votes *= (sure / votes.sum(2))[..., None]
    number, out = np.array([LABEL[n] for n in names], np.uint8), np.zeros(len(row), np.uint8)
    for k, part in enumerate(sides):
        chosen = number[_few_changes(votes[k], CHANGE)]
        if len(sides) == 1 and (coat := np.flatnonzero(chosen == LABEL["outer"])).size:
            chosen[coat[0] :] = LABEL["outer"]  # from its hem to the neck,
            chosen[np.isin(chosen, [LABEL["upper"], LABEL["accessory"]])] = LABEL["outer"]  # and shirts are under it
        own = s.part == part
        out[own] = chosen[row[own]]
    return out


def _few_changes(score: np.ndarray, cost: float) -> np.ndarray:
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


def _hair(s: _Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray:
    """Seen texels of the skull that are hair (or hat), or without a parse look more like the crown than the face."""
    if worn is not None and (hair := seen & s.skull & np.isin(worn, _HAIR)).sum() >= 64:
        return hair
    crown, skin = s.crown & seen, _skin_colour(s, colour, seen, worn)
    around = seen & s.skull & ~s.face
    if skin is None or crown.sum() < 30:
        return around
    hair = np.median(colour[crown], 0)
    like = np.linalg.norm(colour - hair, axis=1) < 0.6 * np.linalg.norm(colour - skin, axis=1)
    return seen & s.skull & like & (~s.face_centre)


def _membrane(
    body: Body, s: _Surface, colour: np.ndarray, seen: np.ndarray, alike: np.ndarray, guess: np.ndarray
) -> np.ndarray:
    """[N, 3] smooth correction that makes the borrowed colours meet the seen ones that are ``alike``, dying out over
    FADE metres."""
    step = (colour - guess)[s.vertex_texel]
    # a large step is another material or a stray pixel, not light: it must not be spread
    limit = np.where(regions(body).face, 2 * LIGHT, LIGHT)  # a face is skin on both sides of a step
    known = alike[s.vertex_texel] & (np.abs(step).max(1) < limit)
    # where two parts meet, or seen and unseen, with colours borrowed elsewhere, the correction has the opposite step
    edges, kind, g = _edges(body), _kinds(body), guess[s.vertex_texel].astype(np.float64)
    d = g[edges[:, 1]] - g[edges[:, 0]]
    hair = regions(body).skull & ~regions(body).face
    kind = kind + 1024 * seen[s.vertex_texel]
    differ = lambda x: x[edges[:, 0]] != x[edges[:, 1]]  # noqa: E731
    meet = differ(kind) & ~differ(hair) & (np.abs(d).max(1) < 1.5 * LIGHT)
    r = membrane(body, known, step, FADE, (edges[meet], d[meet]))
    corner = body.faces[s.texels.face]
    mine = corner[np.arange(len(corner)), s.texels.barycentrics.argmax(1)]
    same = kind[corner] % 1024 == kind[mine][:, None] % 1024
    both = same & (kind[corner] // 1024 == seen[:, None])
    w = s.texels.barycentrics * np.where(both.any(1, keepdims=True), both, same)  # from its own side only
    w /= np.maximum(w.sum(1, keepdims=True), 1e-6)
    return np.einsum("nk,nkc->nc", w, r[corner]).astype(np.float32)


def _kinds(body: Body) -> np.ndarray:
    """[V] what borrows from the same sources: the parts, the head divided into face, skull, cavities and neck."""
    r = regions(body)
    return body.vertex_part + 16 * (r.face + 2 * (r.skull & ~r.face) + 4 * r.cavity).astype(int)


@lru_cache(maxsize=4)
def _edges(body: Body) -> np.ndarray:
    """[E, 2] every edge of the mesh once."""
    f = body.faces
    return np.unique(np.sort(np.concatenate([f[:, [0, 1]], f[:, [1, 2]], f[:, [2, 0]]]), 1), axis=0)


@lru_cache(maxsize=4)
def _surface(body: Body, size: int) -> _Surface:
    t = texels(body.atlas, size)
    v = body.v_template.cpu().numpy()
    x = t.sample(v, body.faces)
    r = regions(body)
    corner = t.barycentrics.argmax(1)
    vertex = body.faces[t.face, corner]
    part = body.vertex_part[vertex]
    return _Surface(
        t, x, part, r.face[vertex], r.face_centre[vertex], r.crown[vertex], r.skull[vertex], r.cavity[vertex],
        _cylinders(body, x, part), _vertex_texels(body, t, x),
    )  # fmt: skip


def _vertex_texels(body: Body, t: Texels, x: np.ndarray) -> np.ndarray:
    """[V] the texel in which a vertex has most weight, so that both are of one part; else the nearest texel."""
    v = body.v_template.cpu().numpy()
    out = np.asarray(KDTree(x).query(v)[1])
    corner = t.barycentrics.argmax(1)
    weight = t.barycentrics[np.arange(len(x)), corner]
    order = np.argsort(weight, kind="stable")
    out[body.faces[t.face[order], corner[order]]] = order  # the heaviest comes last and stays
    return out


def _cylinders(body: Body, x: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[N, 3] charts of torso and limbs: metres along the axis, angle about it from the front, radius in metres.

    The right limbs are mirrored to the left, so that twins share a chart; the torso's angle is signed.
    """
    joints = body.j_template.cpu().numpy().astype(np.float64)
    out = np.zeros((len(x), 3), np.float32)
    for kind, chain in (
        ("torso", ("pelvis", "spine2", "spine3", "neck")),
        ("arm", ("left_shoulder", "left_elbow", "left_wrist")),
        ("leg", ("left_hip", "left_knee", "left_ankle")),
    ):
        own = np.isin(part, [i for i, p in enumerate(PARTS) if p.endswith(kind)])
        q = x[own].astype(np.float64)
        if kind != "torso":
            q[:, 0] = np.abs(q[:, 0])
        line = np.stack([joints[body.joint(n)] for n in chain])
        start, d = line[:-1], np.diff(line, axis=0)
        length = np.linalg.norm(d, axis=1)
        d /= length[:, None]
        along = ((q[:, None] - start) * d).sum(2)  # [n, segments]
        low, high = np.zeros(len(length)), length.copy()
        low[0], high[-1] = -1, 1  # the ends go on
        foot = start + np.clip(along, low, high)[..., None] * d
        k = np.linalg.norm(q[:, None] - foot, axis=2).argmin(1)
        row = np.arange(len(q))
        away = q - foot[row, k]
        front = np.array([0, 0, 1.0]) - d[:, 2:] * d
        front /= np.linalg.norm(front, axis=1, keepdims=True)
        side = np.cross(d, front) * (-1 if kind != "torso" else 1)
        phi = np.arctan2((away * side[k]).sum(1), (away * front[k]).sum(1))
        t = (np.concatenate([[0], np.cumsum(length)[:-1]]))[k] + np.clip(along, low, high)[row, k]
        out[own] = np.stack([t, phi, np.linalg.norm(away, axis=1)], 1)
    return out
