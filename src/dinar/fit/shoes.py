"""The shape of shoes on feet that the parse shows as shod: closed toes, a convex outline and a sole.

Bare feet in the colours of shoes look like socks. What stands out is the same on most shoes: toes are one, the sides
fall straight to a sole, and the arch is closed. :mod:`.heels` lifts heels.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import ConvexHull

from ..body import Body
from ..body.body import PARTS
from ..labels import LABEL
from ..scene import vertex_normals
from .clothing import UNSEEN

TOES = 0.3  # share of the toes' joint in vertices of toes
TIPS, SHOD = 0.66, 0.5  # share of toes behind their tips; least share of shoes on seen tips: pumps cover no more
LEATHER, ANKLE = 0.005, (0.06, 0.10)  # metres that shoes are thicker than feet; heights over which that ends
SOLE, SOLED = 0.008, (0.008, 0.035)  # metres that soles are thick; heights above the ground over which feet sink by it
WALL = (0.012, 0.045)  # metres: heights over which sides lean in
RIM = (0.5, 0.85)  # share of the way from the middle of a foot to the outline: sides that are moved out to it
HEEL, TIP = 0.03, 0.05  # metres from the ends of a foot where its middle line ends
SUNK = 0.002  # metres that sides of toes stay below their hull
STEEP = 5.0  # times the height above the middle of toes, in half thicknesses: how much of the way up to their hull
SECTIONS = 14  # along a foot, for its middle line


def shod(body: Body, v: np.ndarray, classes: list[np.ndarray]) -> np.ndarray:
    """Vertices [V, 3] of the rest pose with feet in the shape of shoes, where ``classes``, each [V] uint8 of one photo
    (:func:`.clothing.vertex_classes`), show shoes on the tips of toes."""
    out = v.copy()
    for side in ("left", "right"):
        toes = body.weights[:, body.joint(f"{side}_foot")].cpu().numpy().astype(np.float64)
        tips = (toes > 0.5) & (v[:, 2] > np.quantile(v[toes > 0.5, 2], TIPS))
        seen = [c[tips][c[tips] != UNSEEN] for c in classes]
        if np.mean([(c == LABEL["shoes"]).mean() if len(c) else 0 for c in seen]) >= SHOD:
            own = body.vertex_part == PARTS.index(f"{side}_foot")
            out[own] = _shoe(v, body.faces, own, toes[own])
    return out


def _shoe(v: np.ndarray, faces: np.ndarray, own: np.ndarray, toes: np.ndarray) -> np.ndarray:
    """[n, 3] vertices of the foot ``own`` [V] bool as a shoe; toes [n] share of the toes' joint."""
    bare = v[own]
    normal = vertex_normals(torch.from_numpy(v[None]).float(), faces)[0].numpy()[own].astype(np.float64)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    ground = bare[:, 1].min()
    x = bare + LEATHER * (1 - ramp(bare[:, 1] - ground, ANKLE))[:, None] * normal
    _under_hull(x, toes, np.abs(normal[:, 1]))
    height = x[:, 1] - ground
    _out_to_the_outline(x, height)
    x[:, 1] -= SOLE * (1 - ramp(height, SOLED))
    bare_height = bare[:, 1] - ground
    under = (normal[:, 1] < -0.2) & (bare_height < SOLED[1] / 2) | (bare_height < SOLED[0])
    x[under, 1] = ground - SOLE
    x[:, 1] = np.maximum(x[:, 1], ground - SOLE)
    return x


def _under_hull(x: np.ndarray, toes: np.ndarray, level: np.ndarray) -> None:
    """Move toes of x [n, 3] up and down to their convex hull: what is between them, too. Their sides, which are little
    ``level`` [n] in [0, 1], stay below it, inside of their neighbours."""
    hull = ConvexHull(x[toes > TOES]).equations
    own = toes > 0
    at = x[own][:, [0, 2]]
    top, bottom = (
        (-(at @ h[:, [0, 2]].T + h[:, 3]) / h[:, 1] * up).min(1) * up
        for up in (1, -1)
        for h in (hull[hull[:, 1] * up > 1e-3],)
    )
    from_middle = (x[own, 1] - (top + bottom) / 2) / np.maximum((top - bottom) / 2, 1e-4)
    share = np.clip(toes[own] / (2 * TOES), 0, 1) * np.clip(STEEP * np.abs(from_middle), 0, 1) * (top > bottom)
    below = SUNK * (1 - level[own])
    x[own, 1] += share * (np.where(from_middle > 0, top - below, bottom + below) - x[own, 1])


def _out_to_the_outline(x: np.ndarray, height: np.ndarray) -> None:
    """Move the lower sides of x [n, 3] out to the convex outline that the foot has from above."""
    low = x[height < WALL[1]][:, [0, 2]]
    outline = ConvexHull(low).equations
    ends = np.linspace(low[:, 1].min(), low[:, 1].max(), SECTIONS)
    section = np.digitize(low[:, 1], ends[1:-1])
    middle = [np.ptp(low[section == k, 0]) / 2 + low[section == k, 0].min() if (section == k).any() else np.nan
              for k in range(SECTIONS - 1)]  # fmt: skip
    there = np.isfinite(middle)
    z = np.clip(x[:, 2], ends[0] + HEEL, ends[-1] - TIP)
    core = np.stack([np.interp(z, ((ends[1:] + ends[:-1]) / 2)[there], np.array(middle)[there]), z], 1)
    away = x[:, [0, 2]] - core
    length = np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    towards = away / length[:, None] @ outline[:, :2].T
    reach = np.where(towards > 1e-3, -(core @ outline[:, :2].T + outline[:, 2]) / np.maximum(towards, 1e-3), 1).min(1)
    share = (1 - ramp(height, WALL)) * ramp(length / reach, RIM)
    x[:, [0, 2]] = core + away * (1 + share * (reach / length - 1))[:, None]


def ramp(x: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Of the shape of x: 0 up to the first end, smoothly to 1 at the second."""
    t = np.clip((x - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return t * t * (3 - 2 * t)
