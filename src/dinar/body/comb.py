"""The form of hair: a style, and the open grid that it makes of a head, neck and shoulders in some shape.

Rows run from the crown to the ends, columns from the left edge of the face round by the back to the right edge. The
first rows are the cap: they lie on the scalp, and above the hairline they are closed in front. The rows below hang
down: a column falls before a shoulder or behind it.

Directions are seen from the middle between the ears: an angle from straight up, and the azimuth from the front.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.sparse as sp
from scipy.ndimage import maximum_filter
from scipy.spatial import KDTree

from .body import PARTS, Body
from .regions import regions

CAP = (0.0, 14.0, 27.0, 40.0, 52.0, 53.0, 54.5, 57.0, 62.0, 66.0)  # degrees from straight up: rows of the cap
EDGE = (0.0, 0.0, 0.0, 0.0, 0.0, 16.0, 31.0, 45.0, 60.0, 68.0)  # azimuth of the front edge of these rows
OPEN = (0.0, 0.0, 0.0, 0.0, 0.0, 40.0, 50.0, 65.0, 89.0, 103.0)  # the same at most: behind it there is no scalp
CLOSED = 5  # rows from the crown that are closed in front
HANGING = 14  # rows below the cap
HALF = 15  # columns of a half, less that of the middle behind
ROWS, COLUMNS = len(CAP) + HANGING, 2 * HALF + 1
NEAREST = 6  # vertices of the scalp in a direction
HEIGHTS = (0.84, 0.715, 0.58, 0.46, 0.3, 0.02)  # metres on the template, of the slices that scale heights to a shape
SLICE = 0.012  # metres: half their thickness
SPLIT = 6  # columns from the face that may hang before the shoulder
SPLIT_ROW = len(CAP) + 3  # first row with a gap there
CHIN, SHOULDER = 0.64, 0.53  # metres on the template between which falling hair spreads
BEFORE = (0.055, 0.135)  # metres from the middle, inner and outer line of hair before a shoulder
UNEVEN, ROUND = 0.006, 0.03  # metres: waves of the ends; how much the sides of hair before a shoulder are shorter
ON_TRUNK, WIDER = 0.16, 0.05  # metres from the middle that hair on the trunk reaches; more at the chin: arms move
BEHIND = 0.13  # metres from the middle of the outermost hair behind
GROW = 3  # rows below the cap over which it gets its width
OPENS = 0.9  # share of the way from chin to shoulder where hair before it parts from that behind
CELL, CELLS = 0.01, (24, 80)  # metres of a cell of the ground; across and down
SLOPE = 1.2  # metres backwards a metre down, at most, of hair that slides over a shoulder
EAR, EAR_LONG = 0.004, 0.05  # metres of hair from the ears, and to their front and back where it is
GAP, THICK = 0.006, 0.014  # metres between body and hair; of the hair on the torso
INSIDE = 0.012  # metres of the inside from the outside
EDGE_OFF, TAPER = 0.001, 0.05  # metres off the skin of the cap's edge, and over which it gets its thickness
FIRST = len(CAP) - 1  # row from which hair has an inside
LINED = ROWS - FIRST
ROOF, IN_HEAD = (0.0, 0.03), 0.035  # metres above the ears over which the inside goes into the head, and how far
HEAD = PARTS.index("head")


@dataclass(frozen=True, eq=False)
class Style:
    """Form of hair. Metres; two values are of the person's left and right."""

    top: float = 0.02  # thickness of the cap
    side: tuple[float, float] = (0.015, 0.015)
    back: float = 0.02
    behind: float = 0.35  # height of the ends behind, on the template
    front: tuple[float, float] = (0.35, 0.35)  # the same of the columns beside the face
    before: tuple[bool, bool] = (False, False)  # whether these hang before the shoulder
    open: tuple[float, float] = (0.0, 0.0)  # degrees that the edges are farther back
    inner: np.ndarray = field(default_factory=lambda: np.zeros((2, HANGING)))  # outwards, of the rows' edge
    outer: np.ndarray = field(default_factory=lambda: np.zeros((2, HANGING)))  # the same of their farthest column


@dataclass(frozen=True)
class Head:
    """The head and its slices on the template, for a body."""

    centre: np.ndarray  # [n] vertices around the middle between the ears
    scalp: np.ndarray  # [S] vertices
    direction: np.ndarray  # [S, 2] angle from straight up and azimuth, degrees
    slices: tuple[np.ndarray, ...]  # vertices near HEIGHTS
    torso: np.ndarray  # vertices that hair lies on


@lru_cache(maxsize=4)
def head(body: Body) -> Head:
    """Of a body (cached)."""
    v, r = body.v_template.numpy(), regions(body)
    own = (body.vertex_part == HEAD) & ~r.cavity
    scalp = np.flatnonzero(own & ~r.ears)
    trunk = (body.vertex_part == HEAD) | (body.vertex_part == PARTS.index("torso"))
    slices = tuple(np.flatnonzero(trunk & (np.abs(v[:, 1] - y) < SLICE)) for y in HEIGHTS)
    centre = np.flatnonzero(r.ears)
    torso = np.flatnonzero((body.vertex_part == PARTS.index("torso")) & (np.abs(v[:, 0]) < 0.2))
    return Head(centre, scalp, directions(v[scalp] - v[centre].mean(0)), slices, torso)


def directions(way: np.ndarray) -> np.ndarray:
    """[n, 2] degrees from straight up, and azimuth from the front in [0, 180] on either side, of ways [n, 3]."""
    up = np.arctan2(np.hypot(way[:, 0], way[:, 2]), way[:, 1])
    return np.rad2deg(np.stack([up, np.arctan2(np.abs(way[:, 0]), way[:, 2])], 1))


def ways(up: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """[..., 3] unit ways of the left side; inverse of :func:`directions`."""
    up, azimuth = np.broadcast_arrays(np.deg2rad(up), np.deg2rad(azimuth))
    return np.stack([np.sin(up) * np.sin(azimuth), np.cos(up), np.sin(up) * np.cos(azimuth)], -1)


@lru_cache(maxsize=64)
def _on_scalp(body: Body, open_: float) -> tuple[np.ndarray, np.ndarray, sp.csr_matrix, np.ndarray]:
    """Of the left half of the cap [R, HALF + 1]: azimuths, ways, radii from the scalp's distances, and the share of its
    thickness."""
    h, v = head(body), body.v_template.numpy()
    up = np.array(CAP)[:, None]
    edge = np.array(EDGE)[:, None]
    edge = np.minimum(edge + open_ * (edge / EDGE[-1]) ** 2, np.array(OPEN)[:, None])
    azimuth = edge + (180 - edge) * np.linspace(0, 1, HALF + 1)
    way = ways(up, azimuth)
    whole = v[h.scalp] - v[h.centre].mean(0)
    d, k = KDTree(whole / np.linalg.norm(whole, axis=1, keepdims=True)).query(way.reshape(-1, 3), k=NEAREST)
    w = 1 / (d + 0.02) ** 2
    n = len(w)
    radius = sp.csr_matrix((w.ravel(), k.ravel(), np.arange(n + 1) * NEAREST), (n, len(h.scalp)))
    radius = sp.diags(1 / w.sum(1)) @ radius
    at = way * (radius @ np.linalg.norm(whole, axis=1)).reshape(*azimuth.shape, 1)
    line = np.concatenate([at[CLOSED - 1 : -1, 0], at[CLOSED - 1 : -1, 0] * [-1, 1, 1]])
    line = (line[:-1, None] + (line[1:] - line[:-1])[:, None] * np.linspace(0, 1, 9)[:, None]).reshape(-1, 3)
    line = line[line[:, 1] > line[:, 1].min() - 1e-9]
    share = np.clip(KDTree(line).query(at.reshape(-1, 3))[0].reshape(azimuth.shape) / TAPER, 0, 1)
    return azimuth, way, radius, share * share * (3 - 2 * share)


class Shaped:
    """What hair has to know of a body at rest in some shape."""

    def __init__(self, body: Body, vertices: np.ndarray) -> None:  # [V, 3]
        h = head(body)
        self.body = body
        self.levels = np.array([vertices[s, 1].mean() for s in h.slices])
        self.centre = vertices[h.centre].mean(0) * [0, 1, 1]  # the middle between the ears
        self.ears = float(vertices[h.centre, 2].mean()), float(np.abs(vertices[h.centre, 0]).max())
        self.scalp = np.linalg.norm(vertices[h.scalp] - vertices[h.centre].mean(0), axis=1)
        self.top = float(self.height(CHIN))
        self.back, self.front = _ground(vertices[h.torso], self.top)

    def height(self, y: float | np.ndarray) -> np.ndarray:
        """Heights on the shape from those on the template."""
        return np.interp(-np.asarray(y), -np.array(HEIGHTS), self.levels)

    def on_template(self, y: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`height`."""
        return np.interp(y, self.levels[::-1], HEIGHTS[::-1])


def comb(b: Shaped, style: Style) -> np.ndarray:
    """[ROWS, COLUMNS, 3] the outside of hair on a body at rest."""
    left, right = (_half(b, style, s) for s in (0, 1))
    out = np.concatenate([left, right[:, -2::-1] * [-1, 1, 1]], 1)
    out[:, HALF, 0] = 0
    out[:CLOSED, [0, -1], 0] = 0
    return out


def _half(b: Shaped, style: Style, s: int) -> np.ndarray:
    """[ROWS, HALF + 1, 3] one side, as if it were the left one."""
    azimuth, way, radius, share = _on_scalp(b.body, float(style.open[s]))
    flat = np.sin(np.deg2rad(np.array(CAP)))[:, None] ** 2
    a = np.cos(np.deg2rad(azimuth))
    behind, before = np.clip(-a, 0, 1) ** 2, np.clip(a, 0, 1) ** 2
    around = style.side[s] * (1 - behind - before) + style.back * behind + 0.5 * (style.top + style.side[s]) * before
    thick = style.top * (1 - flat) + around * flat
    thick = EDGE_OFF + (thick - EDGE_OFF) * share
    cap = b.centre + way * ((radius @ b.scalp).reshape(azimuth.shape) + thick)[..., None]

    # below: where each column ends, and its line from the cap to there
    column = np.arange(HALF + 1)
    front = np.clip((SPLIT + 0.5 - column) / 3 + 0.5, 0, 1)
    if style.before[s]:
        front = (column <= SPLIT).astype(float)
    ends = b.height(style.behind + (style.front[s] - style.behind) * front)
    ends = ends + UNEVEN * np.sin(2.3 * column) + UNEVEN * np.sin(5.1 * column)
    if style.before[s]:
        ends = ends + ROUND * front * (2 * column / SPLIT - 1) ** 2
    t = (np.arange(1, HANGING + 1) / HANGING)[:, None]
    start = cap[-1]
    y = start[:, 1] + (ends - start[:, 1]) * t  # [HANGING, HALF + 1]
    low = np.clip((b.top - y) / (b.top - b.height(SHOULDER)), 0, 1)
    low = low * low * (3 - 2 * low)
    # clear of the ears
    beside = np.exp(-(((start[:, 2] - b.ears[0]) / EAR_LONG) ** 2))
    clear = np.maximum(b.ears[1] + EAR - start[:, 0], 0) * beside
    x = (start[:, 0] + clear * np.minimum(t * HANGING / 2, 1)) * np.ones_like(y)
    z = start[:, 2] * np.ones_like(y)
    part = column / HALF
    aim = BEHIND * (1 - part) ** 0.8 * np.ones_like(y)
    if style.before[s]:
        inner, outer = BEFORE
        own = column <= SPLIT
        aim[:, own] = (inner + (outer - inner) * column / SPLIT)[own]
        aim[:, ~own] = (BEHIND * (1 - (column - SPLIT - 1) / (HALF - SPLIT - 1)) ** 0.9)[~own]
    x = x + (aim - x) * low
    grow = np.minimum(1, np.arange(1, HANGING + 1) / GROW)
    x = _moved(x, style.inner[s] * grow, style.outer[s] * grow)
    x = np.where(low > 0, np.minimum(x, ON_TRUNK + (1 - low) * WIDER), x)
    to_front = (column <= SPLIT) & style.before[s]
    thick_low = GAP + THICK
    back = -_limit(x, b.top - y, b.back) - thick_low
    fore = _limit(x, b.top - y, b.front) + thick_low
    z = np.where(to_front, np.maximum(z, fore), np.minimum(z, back))
    # cloth of hair hangs straight from where it stands out most
    z = np.where(to_front, np.maximum.accumulate(z, 0), np.minimum.accumulate(z, 0))
    closed = np.arange(HANGING)[:, None] >= SPLIT_ROW - len(CAP)  # rows with a gap, where it is closed
    if style.before[s]:
        closed = closed & (low[:, SPLIT : SPLIT + 1] < OPENS)
    for q in (x, y, z):
        pair = q[:, SPLIT : SPLIT + 2]
        q[:, SPLIT : SPLIT + 2] = np.where(closed, pair.mean(1, keepdims=True), pair)
    return np.concatenate([cap, np.stack([x, y, z], -1)])


def _moved(x: np.ndarray, inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """[HANGING, HALF + 1] x with the edge of each row and its farthest column moved outwards."""
    far = x.argmax(1)[:, None]
    edge, most = x[:, :1], np.take_along_axis(x, far, 1)
    share = (x - edge) / np.maximum(most - edge, 1e-3)
    share = np.where(np.arange(x.shape[1]) <= far, share.clip(0, 1), 1)
    to = (1 - share) * inner[:, None] + share * outer[:, None]
    return x + to * np.where(np.arange(x.shape[1]) <= far, 1, x / np.maximum(most, 1e-3))


def _ground(torso: np.ndarray, top: float) -> tuple[np.ndarray, np.ndarray]:
    """How far the torso stands out backwards and to the front, metres [x, y] in cells from the middle and from ``top``
    down; with slopes above, on which hair slides over the shoulders."""
    ix = np.clip(np.abs(torso[:, 0]) / CELL, 0, CELLS[0] - 1).astype(int)
    iy = np.clip((top - torso[:, 1]) / CELL, 0, CELLS[1] - 1).astype(int)
    out = []
    for sign in (-1, 1):
        g = np.full(CELLS, -1.0)
        np.maximum.at(g, (ix, iy), sign * torso[:, 2])
        g = maximum_filter(g, 3)
        down = SLOPE * CELL * np.arange(CELLS[1])
        g = np.maximum.accumulate((g - down)[:, ::-1], 1)[:, ::-1] + down
        out.append(g)
    return out[0], out[1]


def _limit(x: np.ndarray, down: np.ndarray, ground: np.ndarray) -> np.ndarray:
    """The ground at metres x from the middle and ``down`` from its top."""
    i, j = np.clip(np.abs(x) / CELL - 0.5, 0, CELLS[0] - 1.001), np.clip(down / CELL - 0.5, 0, CELLS[1] - 1.001)
    a, b = i % 1, j % 1
    i, j = i.astype(int), j.astype(int)
    g = (ground[i, j] * (1 - a) + ground[i + 1, j] * a) * (1 - b)
    g += (ground[i, j + 1] * (1 - a) + ground[i + 1, j + 1] * a) * b
    return g + np.minimum(down - CELL / 2, 0) * SLOPE


def with_inside(outside: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """[ROWS + LINED, COLUMNS, 3] the outside [ROWS, COLUMNS, 3] and the inside of the rows from FIRST on, which has the
    outside's free edges and ends inside the head, whose centre is given."""
    grid = outside[FIRST:]
    across, down = np.gradient(grid, axis=1), np.gradient(grid, axis=0)
    normal = np.cross(down, across)
    normal /= np.linalg.norm(normal, axis=2, keepdims=True) + 1e-9
    scale = np.interp(grid[..., 1] - centre[1], ROOF, (0, 1))[..., None]
    way = (centre - grid) * [1, 0, 1]
    distance = np.linalg.norm(way, axis=2, keepdims=True)
    inner = grid - INSIDE * normal + scale * way / distance * np.minimum(IN_HEAD, distance / 2)
    inner = np.where(free_edges()[FIRST:, :, None], grid, inner)
    return np.concatenate([outside, inner])


def free_edges() -> np.ndarray:
    """[ROWS, COLUMNS] bool: vertices at free edges of the hanging rows."""
    free = np.zeros((ROWS, COLUMNS), bool)
    free[FIRST:, [0, -1]] = free[-1] = True
    free[SPLIT_ROW:, [SPLIT, SPLIT + 1, -2 - SPLIT, -1 - SPLIT]] = True
    return free


def free_share(body: Body) -> np.ndarray:
    """[ROWS, COLUMNS] how far vertices of the outside are from the cap's edge on the skin: 0 there, 1 on most."""
    share = np.ones((ROWS, COLUMNS))
    half = _on_scalp(body, 0.0)[3]
    share[: len(CAP), : HALF + 1] = half
    share[: len(CAP), HALF:] = half[:, ::-1]
    return share
