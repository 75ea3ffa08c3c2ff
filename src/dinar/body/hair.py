"""Hair as a part of a body: the grid of :mod:`.comb` with an inside, its weights and its texels.

It takes the texels of the scalp and of the neck behind the ears. The scalp is left out of the mesh, the neck is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

import numpy as np
from scipy.spatial import KDTree

from ..cores import algebra_threads
from .body import Body
from .comb import (
    CLOSED,
    COLUMNS,
    FIRST,
    HALF,
    HANGING,
    HEAD,
    LINED,
    ROWS,
    SPLIT,
    SPLIT_ROW,
    Shaped,
    Style,
    comb,
    directions,
    free_edges,
    head,
    with_inside,
)
from .regions import regions
from .skirt import Piece

# Of the texels of the cap's rows: degrees from straight up, and azimuth of their edge. Azimuth by degrees from up
# behind which texels are taken: behind the ears, and a little behind the front edge, so that there is skin under it.
TEXELS = ((0.0, 12.0, 23.0, 33.0, 41.0, 42.0, 43.5, 46.0, 54.0, 62.0),
          (0.0, 0.0, 0.0, 0.0, 0.0, 16.0, 31.0, 46.0, 72.0, 101.0))  # fmt: skip
TAKEN = ((0, 46, 50, 55, 60, 69, 180), (0, 0, 45, 63, 85, 116, 118))
LOW, LEFT_OUT = 140.0, 95.0  # degrees from straight up: end of the texels; of the faces that are left out
CUT = 12.0  # degrees from straight up, to which the island of the head is cut from behind
RINGS = 4  # of covered faces that are not left out, where one sees under the hair
MARGIN = 9.0  # degrees of azimuth between texels of skin and of hair
ON_TORSO = (0.48, 0.62)  # metres on the template between which hair goes from the torso to the head
SPINE = ("pelvis", "spine1", "spine2", "spine3")


class _Hem(Protocol):
    @property
    def hem(self) -> float: ...


def _numbers() -> np.ndarray:
    """[ROWS + LINED, COLUMNS] numbers of the vertices of outside and inside, which share free edges."""
    out = np.arange((ROWS + LINED) * COLUMNS).reshape(-1, COLUMNS)
    out[0] = 0
    out[:CLOSED, -1] = out[:CLOSED, 0]
    out[ROWS:] = np.where(free_edges()[FIRST:], out[FIRST:ROWS], out[ROWS:])
    return np.unique(out, return_inverse=True)[1].reshape(out.shape)


def _quads(numbers: np.ndarray, uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces [f, 3] of outside and inside, and the same in uv vertices [2 halves, ROWS + LINED, HALF + 1]."""
    faces, uv_faces = [], []
    for first, last, inside in ((0, ROWS, False), (ROWS, ROWS + LINED, True)):
        for c in range(COLUMNS - 1):
            half, k, step = (0, c, 1) if c < HALF else (1, COLUMNS - 1 - c, -1)
            stop = last
            if c in (SPLIT, COLUMNS - 2 - SPLIT):
                stop = SPLIT_ROW + 1 if not inside else ROWS + SPLIT_ROW - FIRST + 1
            r = np.arange(first, stop - 1)
            corners = [(r, 0), (r, 1), (r + 1, 0), (r + 1, 1)]
            a, b, d, e = (numbers[i, c + j] for i, j in corners)
            ua, ub, ud, ue = (uv[half, i, k + step * j] for i, j in corners)
            for order in ((0, 1, 2), (1, 3, 2)) if inside else ((0, 2, 3), (0, 3, 1)):
                faces.append(np.stack([(a, b, d, e)[k] for k in order], 1))
                uv_faces.append(np.stack([(ua, ub, ud, ue)[k] for k in order], 1))
    f, u = np.concatenate(faces), np.concatenate(uv_faces)
    whole = (f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 0] != f[:, 2])
    return f[whole], u[whole]


def build_hair(body: Body, shell: _Hem) -> Piece:
    """Hair whose ends are at this height."""
    v, V, h = body.v_template.numpy(), body.num_vertices, head(body)
    style = Style(behind=shell.hem, front=(shell.hem, shell.hem))
    b = Shaped(body, v)
    grid = with_inside(comb(b, style), b.centre)
    numbers = _numbers()
    N = numbers.max() + 1
    points = np.zeros((N, 3))
    points[numbers] = grid
    mirror = np.zeros(N, int)
    mirror[numbers] = numbers[:, ::-1]
    dirs, weights = _bound(body, points)

    hanging = np.linspace(TEXELS[0][-1], LOW, HANGING + 1)[1:]
    up = np.concatenate([TEXELS[0], hanging])[:, None]
    edge = np.concatenate([TEXELS[1], np.interp(hanging, *TAKEN) + MARGIN])[:, None]
    place = texels_of_head(body)
    left = place(up, edge + (180 - edge) * np.linspace(0, 1, HALF + 1))
    left = np.concatenate([left, left[FIRST:]])
    uv = np.stack([left, left * [-1, 1] + [1, 0]])  # [2, ROWS + LINED, HALF + 1, 2]
    index = np.arange(uv[..., 0].size).reshape(uv.shape[:3])
    uv_vertex = np.stack([numbers[:, : HALF + 1], numbers[:, : HALF - 1 : -1]])
    under = np.broadcast_to(np.arange(len(left))[:, None] >= ROWS, index.shape)
    faces, uv_faces = _quads(numbers + V, index)

    at = directions(v - v[h.centre].mean(0))
    taken = (body.vertex_part == HEAD) & (at[:, 1] >= np.interp(at[:, 0], *TAKEN)) & (at[:, 0] < LOW)
    taken &= (at[:, 0] < TAKEN[0][1]) | (at[:, 1] > 0)
    taken &= ~regions(body).ears & ~regions(body).cavity
    covered = (taken & (at[:, 0] < LEFT_OUT))[body.faces].all(1)
    shown = np.unique(body.atlas.faces[~covered])
    moved = shown[taken[body.atlas.vertex[shown]] & (at[body.atlas.vertex[shown], 0] > TAKEN[0][-2])]
    to = place(at[body.atlas.vertex[moved], 0], np.interp(at[body.atlas.vertex[moved], 0], *TAKEN))
    right = body.atlas.uv[moved, 0] > 0.5
    to[right] = to[right] * [-1, 1] + [1, 0]
    hidden = covered & ~_rim(body, covered)
    rim = np.setdiff1d(body.atlas.faces[covered & ~hidden], shown)  # these two have the texels of the hair
    around = at[body.atlas.vertex[shown]]
    beside = around[:, 1] > np.interp(around[:, 0], up[:, 0], edge[:, 0]) - MARGIN
    beside &= (around[:, 0] > TEXELS[0][CLOSED]) & (around[:, 0] < TEXELS[0][-1] + MARGIN)
    beside &= ((body.vertex_part == HEAD) & ~regions(body).auricles)[body.atlas.vertex[shown]] & ~np.isin(shown, moved)
    borrow = np.concatenate([rim, shown[beside]])
    moved, to = np.concatenate([moved, borrow]), np.concatenate([to, body.atlas.uv[borrow]])
    return Piece(
        hidden, points, dirs, weights, mirror + V, np.concatenate([body.vertex_part, np.full(N, HEAD, np.uint8)]),
        faces, uv.reshape(-1, 2), uv_vertex.ravel() + V, uv_faces, under.ravel(), (moved, to),
    )  # fmt: skip


def _rim(body: Body, covered: np.ndarray) -> np.ndarray:
    """[F] bool: of the covered faces [F] those next to others. They close the gap under the hair's front edge."""
    on = np.zeros(body.num_vertices, bool)
    on[body.faces[~covered]] = True
    for _ in range(RINGS):
        rim = covered & on[body.faces].any(1)
        on[body.faces[rim]] = True
    return rim


@lru_cache(maxsize=4)
def texels_of_head(body: Body) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Function: angles from straight up and azimuths -> uv [..., 2] of the left half of the head's island."""
    a, v, h = body.atlas, body.v_template.numpy(), head(body)
    own = a.faces[a.island == a.island_names.index("head")]
    own = np.unique(own)
    bad = regions(body).ears | regions(body).cavity
    own = own[(a.uv[own, 0] < 0.5 + 1e-6) & ~bad[a.vertex[own]]]
    d = directions(v[a.vertex[own]] - v[h.centre].mean(0))
    flat = lambda up, az: np.stack([up * np.sin(np.deg2rad(az)), up * np.cos(np.deg2rad(az))], -1)  # noqa: E731
    at, uv = flat(d[:, 0], d[:, 1]), a.uv[own]
    front = (d[:, 0] > CUT) & (d[:, 1] < 90)  # both halves meet there: the middle is no edge
    at, uv = np.concatenate([at, at[front] * [-1, 1]]), np.concatenate([uv, [1, 0] + uv[front] * [-1, 1]])
    from scipy.interpolate import LinearNDInterpolator  # takes a tenth of dinar's start to import

    inner, outer = LinearNDInterpolator(at, uv), KDTree(at)

    def place(up: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
        up, azimuth = np.broadcast_arrays(up, azimuth)
        q = flat(up, azimuth)
        with algebra_threads():
            found = inner(q)
        lost = np.isnan(found[..., 0])
        found[lost] = uv[outer.query(q[lost])[1]]
        return found

    return place


def _bound(body: Body, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape directions [N, 3, K] and skin weights [N, J] of points of the hair."""
    v, h = body.v_template.numpy(), head(body)
    near = np.concatenate([h.scalp, h.torso])
    d, k = KDTree(v[near]).query(points, k=16)
    w = np.exp((d[:, :1] ** 2 - d**2) / (2 * 0.04**2))
    w /= w.sum(1, keepdims=True)
    dirs = np.einsum("nk,nkcd->ncd", w, body.shapedirs.numpy()[near[k]])
    dirs[..., body.num_betas :] = 0
    return dirs, weights_at(body, points[:, 1])


def weights_at(body: Body, y: np.ndarray) -> np.ndarray:
    """Skin weights [n, J] of hair at heights [n] on the template."""
    level, mean = _spine(body)
    u = (y - ON_TORSO[0]) / (ON_TORSO[1] - ON_TORSO[0])
    smooth = lambda t: (c := np.clip(t, 0, 1)) * c * (3 - 2 * c)  # noqa: E731
    on_head, on_torso = smooth((u - 0.3) / 0.7), 1 - smooth(u / 0.7)
    weights = np.zeros((len(y), body.num_joints))
    for name, share in zip(SPINE, mean.T, strict=True):
        weights[:, body.joint(name)] = on_torso * np.interp(y, level, share)
    weights[:, body.joint("head")] = on_head
    weights[:, body.joint("neck")] = 1 - on_head - on_torso
    return weights


@lru_cache(maxsize=4)
def _spine(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Heights [n] and the shares [n, SPINE] of the spine's joints in the middle of the torso there."""
    v, middle = body.v_template.numpy(), head(body).torso
    middle = middle[np.abs(v[middle, 0]) < 0.06]
    level = np.linspace(0, ON_TORSO[1], 40)
    g = np.exp(-((level[:, None] - v[middle, 1]) ** 2) / (2 * 0.03**2)) + 1e-12
    mean = g @ body.weights.numpy()[middle][:, [body.joint(n) for n in SPINE]]
    return level, mean / mean.sum(1, keepdims=True)


@lru_cache(maxsize=1)
def faces_of_hair() -> np.ndarray:
    """Faces [f, 3] in the flat grid of :func:`with_inside`."""
    numbers = np.arange((ROWS + LINED) * COLUMNS).reshape(-1, COLUMNS)
    return _quads(numbers, np.zeros((2, ROWS + LINED, HALF + 1), int))[0].astype(np.int32)


def combed(body: Body) -> np.ndarray:
    """[V, 2] of vertices of a body's hair: metres from the crown down its column on the template, and the column,
    -π at the person's left edge, π at the right one; of others 0."""
    grid, v = hair_grid(body), body.v_template.numpy()
    down = np.linalg.norm(np.diff(v[grid[:ROWS]], axis=0), axis=2).cumsum(0)
    down = np.concatenate([np.zeros((1, COLUMNS)), down])
    out = np.zeros((len(v), 2))
    way = np.broadcast_to(np.pi * (np.arange(COLUMNS) - HALF) / HALF, down.shape)
    for k, value in ((0, down), (1, way)):
        out[grid, k] = np.concatenate([value, value[FIRST:]])
    return out


def hair_grid(body: Body) -> np.ndarray:
    """[ROWS + LINED, COLUMNS] vertices of a body's hair: rows from the crown to the ends, then the inside."""
    own = np.unique(body.faces[body.of_segment("hair")])
    return own[_numbers()]
