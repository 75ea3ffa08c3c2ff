"""Decide from a parse whether a hat with a brim is worn, and fit its form: analysis by synthesis.

The form whose rendered hat covers the parse's hat and nothing else is searched, one value at a time. Caps without a
brim stay paint on the head, which the offsets widen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.comb import HEAD, head
from ..body.hat import LINE_ROW, Form, faces_of_hat, hat_grid, seat, shape_hat, with_inside
from ..body.shells import Shell, carried, wear
from ..labels import LABEL
from ..scene import rasterize_mesh
from .hair_view import look_around
from .offsets import Silhouette

SIZE = 96  # pixels of the crop in which forms are compared
AROUND = 0.3  # metres around the head that are looked at
LEAST = 0.008  # square metres of hat
# Cost of a pixel where a hat is rendered and this class is seen; 1 for others. Bags and hands may be before it.
WRONG = {"face": 1.5, "glasses": 1.5, "bag": 0.0, "skin": 0.5}
STARTS = (Form(top=0.11, brim=0.06), Form(line=0.055, pitch=22, brim=0.07), Form(top=0.14, brim=0.03),
          Form(pitch=8, top=0.09, brim=0.1))  # fmt: skip
TRIED = 3  # of them that are fitted
# Steps of the search, coarse and fine, and bounds of each value.
STEPS = {
    "line": (0.02, 0.005, (0.03, 0.09)), "across": (0.01, 0.004, (-0.03, 0.03)), "pitch": (8, 3, (-15, 35)),
    "roll": (6, 2, (-20, 20)), "top": (0.02, 0.006, (0.06, 0.24)), "loose": (0.01, 0.004, (0.004, 0.05)),
    "brim": (0.02, 0.006, (0.0, 0.18)), "droop": (10, 4, (-35, 40)), "taper": (0.1, 0.05, (0.6, 1.15)),
}  # fmt: skip
ROUNDS = 3  # of each step, at most
PRIOR = {"pitch": (0, 40), "roll": (0, 40), "droop": (10, 60), "line": (0.06, 0.06), "loose": (0.01, 0.05)}
BRIM, NARROW = 0.02, 0.01  # metres: least brim, and the brim to which it is compared
# Least share by which the brim lowers the cost (docs/measurements.md: .30 to .77 with one, up to .17 without, but for a
# beret and fur hats); or height of the crown and IoU of a top hat, whose brim is narrow.
GAIN, TALL, SURE = 0.29, 0.125, 0.85
# Metres above the middle between the ears of the line in front and behind, at most: above there is no scalp.
FRONT, BEHIND = 0.112, 0.068
FUR = 0.06  # metres that the top of a crown is wider than the head on either side, from which it is fur and no brim
AGREE = 0.62  # least IoU of rendered and seen hat
INSIDE, BELOW = 0.004, 0.012  # metres between the crown and what is in it, down to this far below the line


class View:
    """A photo around the head: what is seen, and the body without hat."""

    def __init__(self, body: Body, betas: Tensor, s: Silhouette) -> None:
        posed = body(betas[None], s.pose[None], s.transl[None])
        v = posed.vertices[0]
        self.turn = posed.skinning[0, body.joint("head"), :3].numpy()
        xy, z = (x[head(body).scalp].numpy() for x in s.camera.project(v))
        metre = float(s.camera.K[0, 0]) / float(z.mean())  # pixels
        around = look_around(s, xy, AROUND * metre, SIZE)
        self.camera = around.camera
        self.hat = (around.labels == LABEL["hat"]) & around.inside
        self.wrong = around.costs(WRONG) * ~self.hat
        self.depth = rasterize_mesh(v, body.faces, self.camera).depth[0].numpy()
        self.area = float(self.hat.sum()) / (metre * around.scale) ** 2  # square metres

    def rendered(self, grid: np.ndarray) -> np.ndarray:
        """[SIZE, SIZE] bool: where a hat [ROWS, RING, 3] at rest is seen."""
        points = grid.reshape(-1, 3) @ self.turn[:, :3].T + self.turn[:, 3]
        f = rasterize_mesh(torch.from_numpy(points.astype(np.float32)), faces_of_hat(), self.camera)
        return (f.face[0].numpy() >= 0) & (f.depth[0].numpy() < self.depth)


class _Search:
    def __init__(self, body: Body, betas: Tensor, views: Sequence[View]) -> None:
        self.seat, self.views = seat(body, body.rest(betas[None])[0][0].numpy()), views
        self.pixels = sum(int(v.hat.sum()) for v in views)

    def cost(self, f: Form) -> float:
        lifted = self.seat.radii[1] * np.sin(np.deg2rad(f.pitch))
        if f.line + lifted > FRONT or f.line - lifted > BEHIND:
            return np.inf
        grid, c = shape_hat(self.seat, f), 0.0
        for v in self.views:
            m = v.rendered(grid)
            c += v.wrong[m].sum() + (v.hat & ~m).sum()
        away = sum(((getattr(f, n) - mean) / scale) ** 2 for n, (mean, scale) in PRIOR.items())
        return c / self.pixels + 0.02 * away

    def fitted(self, f: Form) -> tuple[float, Form]:
        cost = self.cost(f)
        for fine in (0, 1):
            for _ in range(ROUNDS):
                before = cost
                for name, (*steps, (low, high)) in STEPS.items():
                    for way in (steps[fine], -steps[fine]):
                        while True:
                            new = replace(f, **{name: float(np.clip(getattr(f, name) + way, low, high))})
                            c = self.cost(new)
                            if c > cost - 1e-4:
                                break
                            cost, f = c, new
                if cost > before - 1e-3:
                    break
        return cost, f

    def iou(self, f: Form) -> float:
        grid = shape_hat(self.seat, f)
        pairs = [(v.rendered(grid) & ((v.wrong > 0) | v.hat), v.hat) for v in self.views]
        return float(np.mean([(a & b).sum() / max(1, (a | b).sum()) for a, b in pairs]))


@dataclass(frozen=True)
class Found:
    """What looks most like the hat of a parse, and how much it does."""

    form: Form
    gain: float  # share by which its brim lowers the cost
    agree: float  # IoU of rendered and seen hat
    wider: float  # metres that the top of its crown is wider than the head on either side

    @property
    def shaped(self) -> bool:
        """Whether it is a hat with a brim, and no cap or fur hat."""
        brim = self.form.brim >= BRIM and (self.gain > GAIN or (self.form.top >= TALL and self.agree >= SURE))
        return brim and self.wider < FUR and self.agree >= AGREE


def fit_hat(body: Body, betas: Tensor, silhouettes: Sequence[Silhouette]) -> Found | None:
    """The hat of the photos; None: too little of one is seen."""
    shown = [s for s in silhouettes if (np.asarray(s.labels) == LABEL["hat"]).any()]
    views = [v for v in (View(body, betas, s) for s in shown) if v.hat.any()]
    if not views or np.median([v.area for v in views]) < LEAST:
        return None
    search = _Search(body, betas, views)
    starts = sorted(STARTS, key=search.cost)[:TRIED]
    cost, form = min((search.fitted(f) for f in starts), key=lambda x: x[0])
    gain, across = 1 - cost / search.cost(replace(form, brim=NARROW)), search.seat.radii[0]
    return Found(form, float(gain), search.iou(form), (across + form.loose) * form.taper - across)


def find_hat(body: Body, betas: Tensor, silhouettes: Sequence[Silhouette]) -> Form | None:
    """The form of a hat with a brim; None: none is worn, or it does not look like one."""
    found = fit_hat(body, betas, silhouettes)
    return found.form if found is not None and found.shaped else None


def add_hat(
    body: Body, dressed: Body, form: np.ndarray, betas: Tensor, silhouettes: Sequence[Silhouette]
) -> tuple[Body, np.ndarray]:
    """The dressed body with a hat, if one is seen, and the offsets [V, 3] of the shells."""
    found = find_hat(body, betas, silhouettes)
    if found is None:
        return dressed, form
    level = float(body.v_template[head(body).centre, 1].mean()) + found.line
    worn = wear(body, (*dressed.shells, Shell("hat", round(level, 2))))
    out = carried(form, dressed, worn)
    rest = body.rest(betas[None])[0][0].numpy()
    grid = hat_grid(worn)
    out[grid] = shape_hat(seat(body, rest), found) - worn.rest(betas[None])[0][0].numpy()[grid]
    return worn, out


def clear_hat(body: Body, betas: Tensor, form: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets [V, 3] with the inside of the hat like its outside, and with head and hair inside the crown."""
    grid, rest = hat_grid(body), body.rest(betas[None])[0][0].numpy()
    v = rest + offsets
    v[grid] = with_inside(v[grid], (rest + form)[grid])
    line, pole = v[grid[LINE_ROW]], v[grid[0, 0]]
    centre = line.mean(0)
    up = (pole - centre) / np.linalg.norm(pole - centre)
    ahead = line[0] - centre
    ahead = ahead - (ahead @ up) * up
    ahead /= np.linalg.norm(ahead)
    left = np.cross(up, ahead)
    turn = np.stack([left, up, ahead])
    hat = np.zeros(len(v), bool)
    hat[grid] = True
    inner = np.flatnonzero((body.vertex_part == HEAD) & ~hat)
    local = (v[inner] - centre) @ turn.T
    crown = (v[grid[: LINE_ROW + 1]] - centre) @ turn.T  # [rows, RING, 3]
    above = local[:, 1] > -BELOW
    q = local[above]
    # the crown's radius in the direction and at the height of each vertex
    around = lambda x: np.arctan2(x[..., 0], x[..., 2])  # noqa: E731
    heights, radii = (
        np.stack([np.interp(around(q), around(row), x, period=2 * np.pi) for row, x in zip(crown[1:], of, strict=True)])
        for of in (crown[1:, :, 1], np.hypot(crown[1:, :, 0], crown[1:, :, 2]))
    )  # [rows, n]
    low = np.array([np.interp(y, h[::-1], r[::-1]) for y, h, r in zip(q[:, 1], heights.T, radii.T, strict=True)])
    flat = np.hypot(q[:, 0], q[:, 2])
    scale = np.minimum(1, (low - INSIDE) / np.maximum(flat, 1e-6))
    q[:, [0, 2]] *= scale[:, None]
    q[:, 1] = np.minimum(q[:, 1], heights[0] - INSIDE)
    local[above] = q
    v[inner] = local @ turn + centre
    return (v - rest).astype(np.float32)
