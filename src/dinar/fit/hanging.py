"""A loose coat hangs from the shoulder blades: its back is straight from there to where it is widest.

Its lower part is a shell (:mod:`.skirts`, :mod:`.coats`), as wide as the photo shows; above it the trunk is as narrow
as the body, because arms hide its outline.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import NearestNDInterpolator, RegularGridInterpolator
from torch import Tensor

from ..body import Body
from ..body.skirt import ROWS, TORSO, grid_of, with_lining

ARMPIT = 0.1  # metres below the shoulders' joints from where a coat hangs
LEVELS = 16  # heights between there and the shell at which the trunk is measured
ANGLES = 72  # directions around the axis
BELOW, ABOVE = 0.02, 0.03  # metres beyond these heights in which the trunk is measured, too
TALL = 2.0  # weight of heights where the nearest place of the trunk is looked for
SIDE = np.deg2rad((60, 90))  # from the front: a coat hangs from the first on in part, from the second on wholly
# Metres by which a side of the cloth is farther out than the hips, within NEAR metres below the shell's loop: up to the
# first the coat is fitted, and has a waist; from the second on it is loose (docs/measurements.md).
LOOSE, NEAR = (0.07, 0.1), 0.3


def hang_from_shoulders(body: Body, betas: Tensor, form: np.ndarray) -> np.ndarray:
    """Offsets [V, 3] of a body with a skirt or coat; if it is loose, with back and sides of trunk and cloth moved
    outwards to the straight line from the armpits to where the cloth is widest.

    Args:
        form: [V, 3] metres, of the shell as it was fitted.
    """
    rest, joints = (x[0].numpy() for x in body.rest(betas[None])[:2])
    v, rows = (rest + form).astype(np.float64), grid_of(body)[: ROWS + 1]
    level = v[rows, 1].mean(1)
    half = np.ptp(v[rows, 0], axis=1)[level > level[0] - NEAR].max() / 2 - np.ptp(rest[rows[0], 0]) / 2
    loose = float(np.interp(half, LOOSE, (0, 1)))
    centre = np.array([v[rows[0], 0].mean(), (v[rows[0], 2].min() + v[rows[0], 2].max()) / 2])
    top = min(joints[body.joint(f"{s}_shoulder"), 1] for s in ("left", "right")) - ARMPIT
    low = float(level[0])
    if loose == 0 or top <= low:
        return form
    angle = np.arctan2(v[:, 0] - centre[0], v[:, 2] - centre[1])  # 0: in front
    radius = np.hypot(v[:, 0] - centre[0], v[:, 2] - centre[1])
    trunk = np.flatnonzero((body.vertex_part == TORSO) & (v[:, 1] > low - BELOW) & (v[:, 1] < top + ABOVE))
    around = np.linspace(-np.pi, np.pi, ANGLES + 1)
    heights = np.linspace(top, low, LEVELS)
    at = lambda a, y: np.stack([np.sin(a), np.cos(a), TALL * y], -1)  # noqa: E731
    own = NearestNDInterpolator(at(angle[trunk], v[trunk, 1]), radius[trunk])
    a, y = np.meshgrid(around, heights)
    profile = own(at(a, y))  # [LEVELS, ANGLES + 1]
    cloth = np.stack([np.interp(around, *_periodic(angle[row], radius[row])) for row in rows])
    y, r = np.concatenate([heights, level[1:]]), np.concatenate([profile, cloth[1:]])
    hull = np.stack([_straight(-y, column) for column in r.T], 1)
    share = loose * np.interp(np.abs(around), SIDE, (0, 1))
    gain = RegularGridInterpolator((-y, around), (hull - r) * share)
    out, moved = form.copy(), np.concatenate([trunk[v[trunk, 1] < top], rows.ravel()])
    place = np.stack([-v[moved, 1].clip(y.min(), y.max()), angle[moved].clip(-np.pi, np.pi)], 1)
    add = gain(place) / np.maximum(radius[moved], 1e-3)
    out[moved[:, None], [0, 2]] += (v[moved][:, [0, 2]] - centre) * add[:, None]
    return with_lining(body, out)


def _periodic(angle: np.ndarray, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(angle)
    a, x = angle[order], value[order]
    return np.concatenate([a - 2 * np.pi, a, a + 2 * np.pi]), np.tile(x, 3)


def _straight(x: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The least concave curve [n] over values r at increasing x [n], from the first to the greatest; then r."""
    last, hull = int(r.argmax()), [0]
    for i in range(1, last + 1):
        while len(hull) > 1 and (r[hull[-1]] - r[hull[-2]]) * (x[i] - x[hull[-2]]) <= (r[i] - r[hull[-2]]) * (
            x[hull[-1]] - x[hull[-2]]
        ):
            hull.pop()
        hull.append(i)
    out = r.copy()
    out[: last + 1] = np.interp(x[: last + 1], x[hull], r[hull])
    return out
