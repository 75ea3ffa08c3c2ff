"""What is worn where no photo shows it: one class for each height of the unseen side of torso, arms and legs, for which
the seen texels of that height vote; and which seen texels show what they are said to show.

The regressor's classes (``nets/regressor.py``) in place of these votes were tried (docs/measurements.md).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from ..labels import CLASSES, LABEL
from .outliers import skin_colour, unlike
from .surface import Surface, least, of_kind, parts_of

ENOUGH = 200  # least texels at 512² of a class
# Votes of a seen texel for its class behind, at the same height; other classes have none.
VOTE = {"skin": 0.5, "accessory": 0.5, "upper": 1.0, "outer": 1.0, "lower": 1.0, "skirt": 1.0, "legwear": 1.0,
        "shoes": 1.0}  # fmt: skip
OPEN = 3.0  # vote of "outer": a coat that is open in front is closed behind
BOTH = 0.1  # share of what either half of a torso wears, from which "outer" is such a coat, and no "upper"
# Share of each arm from which it is a coat's sleeve; difference of colours up to which a trunk is like sleeves, and
# least share of what it shows of the coat; metres above the pelvis that the coat reaches (94 street photos looked at).
SLEEVES, SLEEVE, ALIKE, WAIST = 0.6, 0.2, 0.65, 0.1
# If the trunk shows another colour: least share of sleeves that has not the colour of skin, or least mean deviation.
CLOTH, EVEN = 0.3, 0.15
OTHER_CLOTH = 0.05  # share up to which a trunk has nothing of its sleeves: they are of another cloth, or of a shirt
SPREAD = 2.0  # times SLEEVE, and times the median deviation within sleeves, up to which a trunk is like them: tweed
CHANGE = 2.5  # cost of a change of class from one height to the next; a sure height has votes of sum 1
OTHER = 0.5  # weight of votes from the other limb of a pair
BIN, HEM, FAR = 0.01, 0.015, 0.15  # metres: height of a row, smoothing of votes, and smoothing where few are seen
WIDE, WIDE_WEIGHT, FAR_WEIGHT, TRUNCATE = 4, 0.2, 1e-3, 12.0  # sums along heights: wider kernel, weights, cut in sigmas
PURE = 0.01  # of a texture's side, around a source, within which no other class may be seen
# At the border of an open coat it is wrong by more: of a texture's side, around a texel, where another class is seen;
# and its colour distance from another class over the one from the coat, up to which it is no coat (looked at on 0797).
# It has such colours itself if they are more than a share of its texels far from borders.
BESIDE, FOREIGN, ITS_OWN = 0.05, 0.5, 0.1


def elected(
    s: Surface, kind: str, row: np.ndarray, weight: np.ndarray, worn: np.ndarray, voters: np.ndarray, long: bool,
    waist: int | None = None,
) -> np.ndarray:  # fmt: skip
    """[N] uint8 class that is worn behind at each texel's height; 0 if there are no votes.

    Args:
        kind: "torso", "arm" or "leg".
        row: [N] int, height of each texel in BIN metres.
        weight: [N] float, of the votes.
        worn: [N] uint8 classes of seen texels.
        voters: [N] bool, texels that vote.
        long: whether a coat is worn that reaches over the legs.
        waist: height down to which a coat is worn in whose sleeves both arms are; None: no such coat.
    """
    names = [n for n in VOTE if (voters & (worn == LABEL[n])).sum() >= least(s, ENOUGH)]
    if not names:
        return np.zeros(len(row), np.uint8)
    sides, rows = parts_of(kind), row[of_kind(s, kind)].max() + 1
    number, out = np.array([LABEL[n] for n in names], np.uint8), np.zeros(len(row), np.uint8)
    chosen = number[_by_votes(s, kind, row, weight, worn, voters, names, rows)]
    if waist is not None:  # however little is seen of it
        chosen[:, waist:] = LABEL["outer"]
    _under_coats(chosen, kind, long)
    for k, part in enumerate(sides):
        own = s.part == part
        out[own] = chosen[k][row[own]]
    return out


def _by_votes(
    s: Surface, kind: str, row: np.ndarray, weight: np.ndarray, worn: np.ndarray, voters: np.ndarray, names: list[str],
    rows: int,
) -> np.ndarray:  # fmt: skip
    """[sides, rows] int: which of the names is elected by what is seen at each height."""
    sides = parts_of(kind)
    seen = np.zeros((len(sides), rows, len(names)))
    for k, part in enumerate(sides):
        for j, name in enumerate(names):
            own = voters & ((s.part == part) | (len(sides) == 1)) & (worn == LABEL[name])
            seen[k, :, j] = np.bincount(row[own], weight[own], rows)
    seen = along(seen + OTHER * seen[::-1] * (len(sides) > 1), HEM)
    total = seen.sum(2)
    sure = np.minimum(1, total / np.maximum(np.median(total, 1, keepdims=True), 1e-12))
    votes = seen * [OPEN if n == "outer" else VOTE[n] for n in names]
    votes *= (sure / np.maximum(votes.sum(2), 1e-30))[..., None]
    return np.stack([few_changes(v, CHANGE) for v in votes])


def _under_coats(chosen: np.ndarray, kind: str, long: bool) -> None:
    """A coat among the classes [sides, rows] of a kind of part covers all that is under it."""
    coat = np.flatnonzero((chosen == LABEL["outer"]).any(0))  # its hem is level behind: that of the longer side
    if coat.size and kind == "torso":  # rows count up; a coat reaches from its hem to the neck, and covers shirts
        chosen[:, 0 if long else coat[0] :] = LABEL["outer"]
        chosen[np.isin(chosen, [LABEL["upper"], LABEL["accessory"]])] = LABEL["outer"]
    if coat.size and kind == "leg":  # rows count down
        chosen[:, : coat[-1] + 1] = LABEL["outer"]


def sleeved(s: Surface, colour: np.ndarray, worn: np.ndarray, seen: np.ndarray) -> float | None:
    """Of what the torso shows of a coat in whose sleeves both arms are, the share that has their colour; the rest may
    be lapels and lining. None: it shows nothing of such a coat, which covers the back, however little of it is seen,
    or has sleeves of another cloth. Hair before an arm says nothing; bare arms are taken for sleeves now and then."""
    coat, others = seen & (worn == LABEL["outer"]), seen & (worn != LABEL["hair"])
    for arm in (s.part == part for part in parts_of("arm")):
        if (coat & arm).sum() < max(SLEEVES * (others & arm).sum(), least(s, ENOUGH)):
            return None
    trunk, sleeves = coat & of_kind(s, "torso") & alone(s, worn), coat & of_kind(s, "arm")
    if not trunk.any():
        return None
    middle = np.median(colour[sleeves], 0)
    away = np.linalg.norm(colour - middle, axis=1)
    alike = away < np.clip(SPREAD * np.median(away[sleeves]), SLEEVE, SPREAD * SLEEVE)
    halves = [alike[half].mean() for half in (trunk & (s.x[:, 0] > 0), trunk & (s.x[:, 0] <= 0)) if half.any()]
    shown, skin = float(np.mean(halves)), skin_colour(s, colour, seen, worn)
    if shown < OTHER_CLOTH:
        return None
    even = away[sleeves].mean() < EVEN
    if shown < ALIKE and even and skin is not None and unlike(colour[sleeves], skin).mean() < CLOTH:
        return None
    return shown


def on_both_halves(s: Surface, worn: np.ndarray, seen: np.ndarray) -> bool:
    """Whether "outer" is worn on every half of the torso that is seen."""
    for half in (s.x[:, 0] < 0, s.x[:, 0] > 0):
        shown = seen & half & of_kind(s, "torso") & np.isin(worn, [LABEL["upper"], LABEL["outer"]])
        if shown.sum() >= least(s, ENOUGH) and (worn[shown] == LABEL["outer"]).mean() < BOTH:
            return False
    return True


def alone(s: Surface, worn: np.ndarray, reach: float = PURE) -> np.ndarray:
    """[N] bool: texels with only their own class around, up to ``reach``, because a parse is wrong by a pixel or two at
    borders."""
    size, k = s.texels.size, np.ones((3 + 2 * round(reach * s.texels.size),) * 2, np.uint8)
    grid = np.zeros((2, size * size), np.uint8)
    grid[0, s.texels.index] = worn
    grid[1, s.texels.index] = np.where(worn > 0, 255 - worn, 0)
    most, least = (cv2.dilate(g.reshape(size, size), k).reshape(-1)[s.texels.index] for g in grid)
    return (worn > 0) & (most == worn) & (least == 255 - worn)


def not_the_coat(s: Surface, colour: np.ndarray, worn: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[N] bool: seen texels of class "outer" near another class that have a colour of another class rather than the
    coat's: of an open coat, little more than its borders may be seen.

    The colour of a class [N] uint8 is the median of all that is seen of it; ``colour`` is [N, 3] in [0, 1]."""
    out, coat = np.zeros(len(worn), bool), np.flatnonzero(seen & (worn == LABEL["outer"]))
    number = np.bincount(worn[seen], minlength=len(CLASSES))
    if number[LABEL["outer"]] < least(s, ENOUGH):
        return out
    apart = {c: np.linalg.norm(colour[coat] - np.median(colour[seen & (worn == c)], 0), axis=1)
             for c in range(1, len(CLASSES)) if number[c] >= least(s, ENOUGH)}  # fmt: skip
    own = apart.pop(LABEL["outer"])
    unlike = np.min([*apart.values(), np.full(len(coat), np.inf)], 0) < FOREIGN * own
    inside = alone(s, worn * seen, BESIDE)[coat]
    if (unlike & inside).sum() <= ITS_OWN * inside.sum():
        out[coat] = unlike & ~inside
    return out


def along(x: Any, width: float) -> np.ndarray:
    """Sums [n, rows, ...] per height, smoothed over ``width`` metres; where there are few, over up to FAR."""
    near, wide, far = (gaussian_filter1d(x, d / BIN, axis=1, truncate=TRUNCATE) for d in (width, WIDE * width, FAR))
    return near + WIDE_WEIGHT * wide + FAR_WEIGHT * far


def few_changes(score: np.ndarray, cost: float) -> np.ndarray:
    """[R] int: the choice of each row that maximises the sum of score [R, C] less ``cost`` a change (Viterbi)."""
    best, back = score[0], np.zeros(score.shape, int)
    stay = np.arange(score.shape[1])
    for i, now in enumerate(score[1:], 1):
        back[i] = np.where(best >= best.max() - cost, stay, best.argmax())
        best = np.maximum(best, best.max() - cost) + now
    path = [int(best.argmax())]
    for step in back[:0:-1]:
        path.append(int(step[path[-1]]))
    return np.array(path[::-1])
