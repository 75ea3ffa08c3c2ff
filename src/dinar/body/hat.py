"""A hat with a brim as a part of a body: its form, its weights and its texels.

The outside runs in rows from the middle of the crown's top down to the line where the hat sits on the head, and over
the brim to its edge; the inside runs from there back under the brim and a little up into the hat. Columns run round the
head from the middle in front by the person's left. The hat takes the texels of the top of the scalp. The scalp itself
stays in the mesh, since one sees under a brim.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial import KDTree

from .body import Body
from .comb import HEAD, directions, head, ways
from .hair import texels_of_head
from .regions import regions
from .skirt import Piece

HALF = 16  # columns of a half, less one of the middles
RING = 2 * HALF
# Rows of the outside: share of the crown's radius, and of its height above the line; then of the brim's width.
CROWN = ((0.0, 1.0), (0.55, 1.0), (0.88, 0.985), (1.0, 0.9), (1.0, 0.6), (1.0, 0.3), (1.0, 0.0))
BRIM = (1 / 3, 2 / 3, 1.0)
INSIDE = (2 / 3, 1 / 3, 0.0)  # of the brim's width: rows of the inside after the edge, and one in the hat
LINE_ROW, EDGE_ROW = len(CROWN) - 1, len(CROWN) + len(BRIM) - 1
OUTSIDE, ROWS = EDGE_ROW + 1, EDGE_ROW + 2 + len(INSIDE)
THICK, OFF = 0.003, 0.005  # metres: of the brim; of the inside from the outside
CEILING = (0.6, 0.045)  # of the inside's last row: share of the crown's radius, metres above the line
# Degrees from an axis that leans backwards, as hats are lifted in front: of the rows' texels, and down to which the
# scalp borrows them. The front has those behind the axis, where the atlas has more.
UP = (0.0, 6.5, 11.0, 12.5, 17.5, 23.0, 28.0, 31.3, 34.7, 38.0)
AXIS, TAKEN = 12.0, 40.0
MIDLINE = 1.0  # degrees of azimuth that texels keep from the edge of their half
LEVEL = 0.06  # metres above the middle between the ears, on the template: where hats sit
SCALP = 0.03  # metres above and below the line: the slice of the head that the hat goes round


@dataclass(frozen=True)
class Form:
    """The form of a hat. Metres and degrees."""

    line: float = LEVEL  # of the line above the middle between the ears
    across: float = 0.0  # to the person's left
    pitch: float = 0.0  # backwards: the brim is lifted in front
    roll: float = 0.0  # to the person's left
    loose: float = 0.01  # of the crown off the head
    top: float = 0.11  # height of the crown
    taper: float = 0.9  # radius of its top, of that of the line
    brim: float = 0.06  # width
    droop: float = 10.0  # of the brim, downwards


@dataclass(frozen=True)
class Seat:
    """The head that wears the hat, in some shape at rest: an ellipse around it, metres."""

    centre: np.ndarray  # [3] middle between the ears
    middle: float  # z of the ellipse
    radii: tuple[float, float]  # across, and from back to front


def seat(body: Body, vertices: np.ndarray) -> Seat:  # [V, 3] of the plain body at rest
    """Where a hat sits on a head in this shape."""
    h, v = head(body), body.v_template.numpy()
    centre = vertices[h.centre].mean(0) * [0, 1, 1]
    at = v[h.scalp, 1] - v[h.centre, 1].mean()
    around = vertices[h.scalp[np.abs(at - LEVEL) < SCALP]]
    low, high = around.min(0), around.max(0)
    return Seat(centre, float(low[2] + high[2]) / 2, (float(high[0] - low[0]) / 2, float(high[2] - low[2]) / 2))


def shape_hat(s: Seat, f: Form) -> np.ndarray:
    """[ROWS, RING, 3] the hat on a head at rest."""
    angle = np.pi * np.arange(RING) / HALF
    ring = np.stack([(s.radii[0] + f.loose) * np.sin(angle), (s.radii[1] + f.loose) * np.cos(angle)], 1)  # x, z
    away = ring / np.linalg.norm(ring, axis=1, keepdims=True)
    droop = np.deg2rad(f.droop)

    def at(share: float, height: float, out: float = 0.0, lower: float = 0.0) -> np.ndarray:  # [RING, 3]
        flat = ring * share + away * (out * np.cos(droop) - lower)
        y = np.full((RING, 1), height - out * np.sin(droop) - (THICK if lower else 0))
        return np.concatenate([flat[:, :1], y, flat[:, 1:]], 1)

    narrow = lambda h: 1 + (f.taper - 1) * h  # noqa: E731
    rows = [at(r * narrow(h), h * f.top) for r, h in CROWN]
    rows += [at(1, 0, x * f.brim) for x in BRIM]
    rows += [at(1, 0, x * f.brim, OFF) for x in INSIDE]
    rows.append(at(CEILING[0], CEILING[1], 0, OFF))
    grid = np.stack(rows)
    p, r = np.deg2rad(f.pitch), np.deg2rad(f.roll)
    back = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    aside = np.array([[np.cos(r), np.sin(r), 0], [-np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return grid @ (aside @ back).T + [f.across, s.centre[1] + f.line, s.middle]


def with_inside(grid: np.ndarray, shaped: np.ndarray) -> np.ndarray:
    """The grid [ROWS, RING, 3] with its inside moved as the outside has been from the grid ``shaped``."""
    out, moved = grid.copy(), grid - shaped
    for i, x in enumerate(INSIDE):
        out[EDGE_ROW + 1 + i] = shaped[EDGE_ROW + 1 + i] + moved[LINE_ROW + round(x * len(BRIM))]
    out[-1] = shaped[-1] + moved[LINE_ROW]
    return out


def numbers() -> np.ndarray:
    """[ROWS, RING] numbers of the vertices; the first row is one."""
    out = np.arange(ROWS * RING).reshape(ROWS, RING)
    out[0] = 0
    return np.unique(out, return_inverse=True)[1].reshape(out.shape)


def hat_grid(body: Body) -> np.ndarray:
    """[ROWS, RING] vertices of a body's hat."""
    own = np.unique(body.faces[body.of_segment("hat")])
    return own[numbers()]


@lru_cache(maxsize=1)
def faces_of_hat() -> np.ndarray:
    """Faces [f, 3] in the flat grid of :func:`shape_hat`."""
    return _quads(np.arange(ROWS * RING).reshape(ROWS, RING), np.zeros((2, ROWS + 1, HALF + 1), int))[0].astype(
        np.int32
    )


def build_hat(body: Body, shell: object) -> Piece:
    """A hat on the template; its form is that of the offsets, whatever the shell says."""
    v, V = body.v_template.numpy(), body.num_vertices
    number, grid = numbers(), shape_hat(seat(body, v), Form())
    N = number.max() + 1
    points, mirror = np.zeros((N, 3)), np.zeros(N, int)
    points[number] = grid
    mirror[number] = number[:, -np.arange(RING) % RING]
    h = head(body)
    d, k = KDTree(v[h.scalp]).query(points, k=16)
    w = np.exp((d[:, :1] ** 2 - d**2) / (2 * 0.04**2))
    dirs = np.einsum("nk,nkcd->ncd", w / w.sum(1, keepdims=True), body.shapedirs.numpy()[h.scalp[k]])
    dirs[..., body.num_betas :] = 0
    weights = np.zeros((N, body.num_joints))
    weights[:, body.joint("head")] = 1

    inside = [UP[EDGE_ROW], *(UP[LINE_ROW + round(x * len(BRIM))] for x in INSIDE), UP[LINE_ROW - 1]]
    up = np.array([*UP, *inside])  # the edge twice: faces of the inside borrow the outside's texels
    place = directions(_turned(ways(up[:, None], np.linspace(180 - MIDLINE, MIDLINE, HALF + 1)), -AXIS).reshape(-1, 3))
    left = texels_of_head(body)(*place.reshape(len(up), HALF + 1, 2).transpose(2, 0, 1))
    uv = np.stack([left, left * [-1, 1] + [1, 0]])  # [2, ROWS + 1, HALF + 1, 2]
    index = np.arange(uv[..., 0].size).reshape(uv.shape[:3])
    rows = np.insert(number, OUTSIDE, number[EDGE_ROW], 0)
    uv_vertex = np.stack([rows[:, : HALF + 1], rows[:, -np.arange(HALF + 1) % RING]])
    under = np.broadcast_to(np.arange(ROWS + 1)[:, None] >= OUTSIDE, index.shape)
    faces, uv_faces = _quads(number + V, index)

    covered = (body.vertex_part == HEAD) & (from_axis(v - v[h.centre].mean(0)) < TAKEN)
    covered &= ~regions(body).cavity & ~regions(body).ears
    scalp = np.flatnonzero(covered[body.atlas.vertex])  # it stays, and borrows the texels of the hat
    return Piece(
        np.zeros(len(body.faces), bool), points, dirs, weights, mirror + V,
        np.concatenate([body.vertex_part, np.full(N, HEAD, np.uint8)]),
        faces, uv.reshape(-1, 2), uv_vertex.ravel() + V, uv_faces, under.ravel(), (scalp, body.atlas.uv[scalp]),
    )  # fmt: skip


def from_axis(at: np.ndarray) -> np.ndarray:
    """[n] degrees from the axis of the texels, of places [n, 3] about the middle between the ears."""
    return directions(_turned(at, AXIS))[:, 0]


def _turned(at: np.ndarray, degrees: float) -> np.ndarray:
    """Points [..., 3] turned about the person's left: what is behind goes up."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return at @ np.array([[1, 0, 0], [0, c, s], [0, -s, c]])


def _quads(number: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces [f, 3] of the grid, outwards, and the same in uv vertices [2 halves, ROWS + 1, HALF + 1]."""
    faces, uv_faces = [], []
    r = np.arange(ROWS - 1)
    t = r + (r >= EDGE_ROW)  # rows of uv
    for half in (0, 1):
        for k in range(HALF):
            j, n = (k, k + 1) if half == 0 else (-k % RING, -(k + 1) % RING)
            corners = number[r, j], number[r, n], number[r + 1, j], number[r + 1, n]
            uvs = uv[half, t, k], uv[half, t, k + 1], uv[half, t + 1, k], uv[half, t + 1, k + 1]
            for order in ((0, 2, 3), (0, 3, 1)) if half == 0 else ((0, 3, 2), (0, 1, 3)):
                faces.append(np.stack([corners[i] for i in order], 1))
                uv_faces.append(np.stack([uvs[i] for i in order], 1))
    f, u = np.concatenate(faces), np.concatenate(uv_faces)
    whole = (f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 0] != f[:, 2])
    return f[whole], u[whole]


def profile(body: Body) -> np.ndarray:
    """[V, 3] of the vertices of a body's hat: metres from the middle of the crown's top down the outside, on the
    template, and sine and cosine of the angle round the head; of others 0."""
    grid, v = hat_grid(body), body.v_template.numpy()
    down = np.linalg.norm(np.diff(v[grid[:OUTSIDE, 0]], axis=0), axis=1).cumsum()
    down = np.concatenate([[0], down])
    inside = [down[LINE_ROW + round(x * len(BRIM))] for x in INSIDE]
    down = np.concatenate([down, inside, [down[LINE_ROW - 1]]])
    angle = np.pi * np.arange(RING) / HALF
    out = np.zeros((len(v), 3))
    for i in range(ROWS):
        out[grid[i]] = np.stack([np.full(RING, down[i]), np.sin(angle), np.cos(angle)], 1)
    return out
