"""The skirt: a ring-shaped grid that hangs from the hips over both legs; also dresses, and long shirts and coats.

Its first row is the edge loop of the body at the hips, so that cloth above and below it is one surface. It takes the
texels of the legs that it covers: its left half those of the left leg from the inner line in front round to the inner
line again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import scipy.sparse as sp
import torch
from scipy.spatial import KDTree

from ..errors import DinarError
from ..scene import vertex_normals
from ..scene.edges import face_edges, unique_edges
from .body import PARTS, Body
from .chains import Chain
from .skirt_chains import skirt_chains

TOP = -0.06  # metres on the template: height of the loop, under the widest place of the hips
ROWS, LINING = 18, 16  # rows below the loop, and those that have an inside, seen from below
INSET = 0.004  # metres of the lining from the outside
GAP = 0.018  # metres off the legs, at least
CLEAR = 0.006  # the same when all is fitted
TAPER = 0.2  # metres that a skirt gets narrower per metre down, at most: it hangs from what stands out above
UNDER = 0.06  # metres that legs keep their texels under the hem, since hems swing
INSIDE = 0.25  # metres that legs reach up under the hem: without texels above UNDER, in the colours there
MARGIN = 0.01  # metres of the legs between their own texels and those of the cloth
CROTCH, KNEE = -0.14, -0.53  # metres: heights that they reach at most; under a hem below the knee, not up to its bend
# Metres by which legs are thinner under a skirt, so that no pose brings them out of it; and from the hem upwards, over
# which they become so. Nobody sees it.
TUCK, TUCKED = 0.025, 0.1
BY_COAT = (0.03, 0.07)  # metres from an open coat up to which legs are as thin as under a skirt, and as they are
SHORT = 0.3  # metres of a skirt below the loop from which they reach up so far; less on shorter ones
SLICE = 0.02  # metres: half the thickness of the slice of a leg that a row has to clear
TEXELS_TOP = -0.085  # metres: height of the legs from where their texels are whole around
SPREAD = 0.04  # metres: distance over which a row is shaped and weighted as the legs nearby
TURN = 0.12  # metres below the loop over which weights change from those of the hips to those of the legs
TORSO = PARTS.index("torso")
FEET = tuple(i for i, p in enumerate(PARTS) if p.endswith("foot"))
AROUND_LEGS = ("skirt", "coat")  # kinds of shells
NEAREST = 16  # vertices of the legs that shape a vertex
MIDDLE = 0.75  # share of the way from the middle to a leg's centre over which weights go from one leg to both


class _Hem(Protocol):
    @property
    def hem(self) -> float: ...


@dataclass(frozen=True)
class Piece:
    """A shell on the template. Indices of vertices below the body's number of vertices are the body's own."""

    hidden: np.ndarray  # [F] bool faces of the body that are left out
    vertices: np.ndarray  # [N, 3] metres
    dirs: np.ndarray  # [N, 3, betas + expression]
    weights: np.ndarray  # [N, J]
    mirror: np.ndarray  # [N] index of the vertex on the other side
    parts: np.ndarray  # [V + N] uint8 index into PARTS, of the body's vertices too
    faces: np.ndarray  # [f, 3]
    uv: np.ndarray  # [T, 2]
    uv_vertex: np.ndarray  # [T] index of the vertex
    uv_faces: np.ndarray  # [f, 3] into uv
    under: np.ndarray  # [T] bool: of the inside, which has the outside's texels
    moved: tuple[np.ndarray, np.ndarray]  # indices [m] into the uv of the body's atlas, and their new places [m, 2]
    chains: tuple[Chain, ...] = ()  # of joints in files
    rig: np.ndarray | None = None  # [N, J + K] skin weights in files, if there are chains


@dataclass(frozen=True)
class Hips:
    """Where a skirt hangs from."""

    loop: np.ndarray  # [C] vertices of the body, from the front middle round by the person's left
    below: np.ndarray  # [F] bool faces of the body below the loop: legs and feet
    angle: np.ndarray  # [C] radians from the front
    centre: float  # z of the axis, metres


@lru_cache(maxsize=4)
def hips(body: Body) -> Hips:
    """The loop of a body (cached)."""
    v = body.v_template.numpy()
    arms = np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith(("arm", "hand"))])
    below = np.asarray(((v[:, 1] < TOP) & ~arms)[body.faces].any(1))
    edges, _, count = unique_edges(body.faces[below])
    loop = np.unique(edges[count == 1])
    centre = float(v[loop, 2].min() + v[loop, 2].max()) / 2
    angle = np.arctan2(v[loop, 0], v[loop, 2] - centre) % (2 * np.pi)
    angle[np.abs(v[loop, 0]) < 1e-5] = np.where(v[loop, 2] > centre, 0, np.pi)[np.abs(v[loop, 0]) < 1e-5]
    order = np.argsort(angle)
    return Hips(loop[order], below, angle[order], centre)


def rows_of(body: Body, hem: float) -> np.ndarray:
    """[ROWS + 1, C] heights on the template of the loop and of the rows down to the hem."""
    top = body.v_template.numpy()[hips(body).loop, 1]
    return top + (hem - top) * (np.arange(ROWS + 1) / ROWS)[:, None]


def hang(body: Body, vertices: np.ndarray, heights: np.ndarray, feet: bool = True) -> np.ndarray:
    """[ROWS + 1, C, 3] a skirt that hangs straight down over the legs of a body at rest.

    Args:
        vertices: [V, 3] of the body in some shape, at rest.
        heights: [ROWS + 1, C] of the rows, of which the first is the loop.
        feet: whether it goes around the feet, too, with corners at the toes, as the template does, from which saved
            avatars have their offsets. Else they come out under it.
    """
    h = hips(body)
    own = np.unique(body.faces[h.below])
    legs = vertices[own if feet else own[~np.isin(body.vertex_part[own], FEET)]]
    loop = vertices[h.loop]
    centre = (loop[:, 2].min() + loop[:, 2].max()) / 2
    angle = np.arctan2(loop[:, 0], loop[:, 2] - centre)

    def hull(points: np.ndarray) -> np.ndarray:
        return _hull(points[:, [0, 2]] - [0, centre], angle)

    out = np.empty((*heights.shape, 3))
    radius = hull(loop)
    for r, y in enumerate(heights):
        if r:
            near = legs[np.abs(legs[:, 1] - y.mean()) < SLICE]
            least = radius - TAPER * np.abs(y - heights[r - 1]).mean()
            radius = np.maximum(hull(near) + GAP * min(1, r / 4), least)
        out[r] = np.stack([np.sin(angle) * radius, y, np.cos(angle) * radius + centre], 1)
    out[0] = loop
    return out


def _hull(points: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """[C] radius in the directions ``angle`` [C] from z to x of the convex hull of points [n, 2] (x, z) and 0."""
    away = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    reach = (points @ np.stack([np.sin(away), np.cos(away)])).max(0, initial=0)
    facing = np.cos(angle[:, None] - away)
    return np.where(facing > 0.2, reach / np.maximum(facing, 0.2), np.inf).min(1)


def build_skirt(body: Body, shell: _Hem) -> Piece:
    """The skirt with this hem."""
    h, v, under = hips(body), body.v_template.numpy(), under_hem(shell.hem)
    grid = hang(body, v, rows_of(body, shell.hem))
    grid[:, [0, len(h.loop) // 2], 0] = 0
    hidden = h.below & ~(v[:, 1] < legs_end(shell.hem))[body.faces].all(1)
    return piece_of(body, shell.hem, grid, hidden, _inside(body, shell.hem + under - MARGIN))


def piece_of(
    body: Body,
    hem: float,
    grid: np.ndarray,  # [ROWS + 1, C, 3] on the template: the loop and the rows
    hidden: np.ndarray,  # [F] bool
    moved: tuple[np.ndarray, np.ndarray],
    first: int = 0,
    shares: tuple[float, float] = (0.0, 1.0),
) -> Piece:
    """A grid around the legs as a shell: with an inside, weights and texels.

    Args:
        hidden, moved: as of :class:`Piece`.
        first: columns on either side of the front middle that are left out, with it.
        shares: of the legs' width around that its texels have.
    """
    h, v, V = hips(body), body.v_template.numpy(), body.num_vertices
    C = len(h.loop)
    out = grid[1:].reshape(-1, 3)
    dirs, weights, left = _from_legs(body, out, grid)
    inside = slice(-1 - LINING, -1)  # rows of the lining, from the hem up
    turned = grid[inside][::-1].copy()
    axis = turned - [0, 0, h.centre]
    axis[..., 1] = 0
    turned -= INSET * axis / np.linalg.norm(axis, axis=2, keepdims=True)
    as_grid = lambda x: x.reshape(ROWS, C, *x.shape[1:])  # noqa: E731
    back = lambda x: as_grid(x)[inside][::-1].reshape(-1, *x.shape[1:])  # noqa: E731

    number = np.concatenate([h.loop[None], V + np.arange((ROWS + LINING) * C).reshape(-1, C)])
    column = np.concatenate([[0], np.arange(C - 1, 0, -1)])  # on the other side
    uv, uv_vertex, uv_faces, under = _texels(body, hem, number, first, shares)
    chains, rig = skirt_chains(body, grid, number[: ROWS + 1], left, weights, first)
    faces = _triangles(*(x[:, first : C - first] for x in _quads(number)))
    part = body.vertex_part.copy()  # hips and skirt are one cylinder with the torso
    part[(v[:, 1] > TOP) & np.isin(part, [i for i, p in enumerate(PARTS) if p.endswith("leg")])] = TORSO
    return Piece(
        hidden, np.concatenate([out, turned.reshape(-1, 3)]), np.concatenate([dirs, back(dirs)]),
        np.concatenate([weights, back(weights)]), number[1:][:, column].ravel(),
        np.concatenate([part, np.full((ROWS + LINING) * C, TORSO, np.uint8)]), faces, uv, uv_vertex, uv_faces, under,
        moved, chains, np.concatenate([rig, back(rig)]),
    )  # fmt: skip


def kind_around_legs(body: Body) -> str | None:
    """Which of its shells is around the legs."""
    return next((k for k in AROUND_LEGS if k in body.segment_names), None)


def grid_of(body: Body) -> np.ndarray:
    """[ROWS + LINING + 1, C] vertices of a body's skirt or coat: from the loop to the hem, and up on the inside."""
    kind = kind_around_legs(body)
    assert kind is not None
    own = body.faces[body.of_segment(kind)]
    C = len(own) // (2 * (ROWS + LINING))
    upper, lower = np.concatenate([x.reshape(2, -1, C, 3) for x in np.split(own, [2 * ROWS * C])], 1)
    grid = np.concatenate([upper[..., 0], upper[-1:, :, 1]])
    if kind == "coat":
        grid = np.concatenate([grid, np.append(lower[:, -1, 2], lower[-1, -1, 1])[:, None]], 1)
    return grid


def with_lining(body: Body, offsets: np.ndarray) -> np.ndarray:  # [V, 3]
    """Offsets with the inside of the skirt moved as its outside."""
    grid, out = grid_of(body), offsets.copy()
    out[grid[ROWS + 1 :]] = offsets[grid[ROWS - LINING : ROWS][::-1]]
    return out


def clear_legs(body: Body, naked: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets [V, 3] with the skirt moved outwards where a leg under it reaches through at rest, and its lining.

    Args:
        naked: [V, 3] the shaped body at rest without offsets.
    """
    out, v, closed = offsets.copy(), naked + offsets, kind_around_legs(body) == "skirt"
    legs = v[np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith("leg")])]
    for row in grid_of(body)[1 : ROWS + 1]:
        near = legs[np.abs(legs[:, 1] - v[row, 1].mean()) < SLICE][:, [0, 2]]
        if not len(near):  # above the legs, or below the feet
            continue
        centre = v[row][:, [0, 2]].mean(0) if closed else (near.min(0) + near.max(0)) / 2
        way, near = v[row][:, [0, 2]] - centre, near - centre
        radius = np.linalg.norm(way, axis=1)
        least = _hull(near, np.arctan2(*way.T)) + CLEAR
        out[row[:, None], [0, 2]] += way * (np.maximum(least / radius, 1) - 1)[:, None]
    return with_lining(body, out)


def tuck_legs(body: Body, naked: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Offsets [V, 3] with legs that are bare under a skirt, and TUCK thinner; under a coat, which is open, near its
    cloth. Arguments as of :func:`clear_legs`."""
    out, v, grid = offsets.copy(), naked + offsets, grid_of(body)[: ROWS + 1]
    legs, hem = (
        np.flatnonzero(np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith("leg")])),
        grid[-1],
    )
    above = v[legs, 1] - v[hem, 1][KDTree(v[hem][:, [0, 2]]).query(v[legs][:, [0, 2]])[1]]
    share = np.clip(above / TUCKED, 0, 1)
    if kind_around_legs(body) == "coat":
        share *= np.interp(KDTree(v[grid.ravel()]).query(v[legs])[0], BY_COAT, (1, 0))
    normal = vertex_normals(torch.from_numpy(naked[None]), body.faces)[0].numpy()
    out[legs] -= share[:, None] * (offsets[legs] + TUCK * normal[legs])
    return out


def legs_end(hem: float) -> float:
    """Height above which legs under this hem are left out."""
    return max(min(hem + INSIDE, KNEE if hem < KNEE else CROTCH), hem + under_hem(hem))


def under_hem(hem: float) -> float:
    """Metres above a hem up to which legs keep their texels."""
    return UNDER * min(1.0, max(0.0, (TOP - hem) / SHORT))


def _quads(number: np.ndarray) -> tuple[np.ndarray, ...]:
    """Corners of the quads of a closed grid [R, C]: upper this and next column, lower this and next column."""
    right = np.roll(number, -1, 1)
    return number[:-1], right[:-1], number[1:], right[1:]


def _triangles(a: np.ndarray, b: np.ndarray, d: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Faces [n, 3] of quads with corners [R, C], in the order of :func:`_quads`: of the outside, then of the lining,
    which has the same texels; the faces that come first own them."""
    halves = [np.stack(x, 2)[rows].reshape(-1, 3) for rows in (slice(ROWS), slice(ROWS, None))
              for x in ((a, d, e), (a, e, b))]  # fmt: skip
    return np.concatenate(halves)


def _from_legs(body: Body, out: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, ...]:
    """Shape directions [N, 3, K] and skin weights [N, J] of the rows below the loop, from the legs below them, and the
    left leg's share of the movement with the legs [N].

    Weights are of both legs, by height and by the distance from the middle, so the cloth between them neither splits
    nor collapses.
    """
    h, v, W = hips(body), body.v_template.numpy(), body.weights.numpy()
    legs = np.unique(body.faces[h.below])
    d, k = KDTree(v[legs]).query(out, k=NEAREST)
    near = np.exp((d[:, :1] ** 2 - d**2) / (2 * SPREAD**2))
    near = sp.csr_matrix((near.ravel(), k.ravel(), np.arange(len(out) + 1) * NEAREST), (len(out), len(legs)))
    near = sp.diags(1 / np.asarray(near.sum(1)).ravel()) @ near
    dirs = (near @ body.shapedirs.numpy()[legs].reshape(len(legs), -1)).reshape(len(out), 3, -1)
    left, right = legs[v[legs, 0] > 0], legs[v[legs, 0] < 0]
    level, by_height = np.arange(grid[1:, :, 1].min(), grid[1:, :, 1].max() + SPREAD, SPREAD / 4), []
    row = np.searchsorted(level, out[:, 1])
    for side in (left, right):
        k = np.exp(-((level[:, None] - v[side, 1]) ** 2) / (2 * SPREAD**2)) + 1e-12
        mean = k @ W[side] / k.sum(1, keepdims=True)
        for name, feet in (("left_knee", ("left_ankle", "left_foot")), ("right_knee", ("right_ankle", "right_foot"))):
            for j in map(body.joint, feet):  # hems do not turn with feet
                mean[:, body.joint(name)] += mean[:, j]
                mean[:, j] = 0
        by_height.append(mean[row])
    k = np.exp(-((level[:, None] - v[left, 1]) ** 2) / (2 * SPREAD**2)) + 1e-12
    centre = (k @ v[left, 0] / k.sum(1))[row]  # x of the left leg
    share = 0.5 + 0.5 * np.sin(np.pi / 2 * np.clip(out[:, 0] / (MIDDLE * centre), -1, 1))[:, None]
    weights = share * by_height[0] + (1 - share) * by_height[1]
    at_loop = np.tile(W[h.loop], (len(grid) - 1, 1))
    t = np.clip((grid[0, :, 1] - grid[1:, :, 1]).reshape(-1, 1) / TURN, 0, 1)
    t = t * t * (3 - 2 * t)
    weights /= weights.sum(1, keepdims=True)
    return dirs, (1 - t) * at_loop + t * weights, share[:, 0]


def _texels(
    body: Body, hem: float, number: np.ndarray, begin: int, shares: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """UV [T, 2], their vertices [T] of ``number`` [R, C] less ``begin`` columns on either side of the front middle, the
    faces in them, and whether they are of the inside [T]."""
    C = number.shape[1]
    half = C // 2 + 1
    loop, n = body.v_template.numpy()[hips(body).loop][begin:], half - begin
    walk = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(loop[:n, [0, 2]], axis=0), axis=1))])
    walk = shares[0] + (shares[1] - shares[0]) * walk / walk[-1]
    heights = np.linspace(TEXELS_TOP, hem + under_hem(hem), ROWS + 1)
    heights = np.concatenate([heights, heights[-2 : -2 - LINING : -1]])
    left = np.stack([across(body, y, walk) for y in heights])  # [R, n, 2]
    uv = np.concatenate([left, left * [-1, 1] + [1, 0]], 1)  # [R, 2 n, 2]: left and right half
    mirrored = np.concatenate([[0], np.arange(C - 1, C // 2 - 1, -1)])
    vertex = np.concatenate([number[:, begin:half], number[:, mirrored[begin:]]], 1)
    index = np.arange(uv.shape[0] * uv.shape[1]).reshape(uv.shape[:2])
    # the corners of each quad: columns of the left half go forwards, those of the right half backwards
    this = np.concatenate([np.arange(n - 1), n + np.arange(n - 1, 0, -1)])
    following = np.concatenate([np.arange(1, n), n + np.arange(n - 2, -1, -1)])
    faces = _triangles(*(index[rows][:, c] for rows in (slice(None, -1), slice(1, None)) for c in (this, following)))
    under = np.repeat(np.arange(len(uv)) > ROWS, uv.shape[1])
    return uv.reshape(-1, 2), vertex.ravel(), faces, under


def _inside(body: Body, top: float) -> tuple[np.ndarray, np.ndarray]:
    """UV vertices of the legs above a height, and their places [m, 2] at this height on the same line down the leg."""
    a, places, index = body.atlas, [], []
    height = body.v_template.numpy()[a.vertex, 1]
    level = np.linspace(top, TEXELS_TOP, ROWS)
    left, right = np.stack([across(body, y, np.array([0.0, 1])) for y in level])[..., 0].T
    for name, side in (("leg_left", 0), ("leg_right", 1)):
        own = np.unique(a.faces[a.island == a.island_names.index(name)])
        own = own[(height[own] > top) & (height[own] < TEXELS_TOP)]
        low, high = (np.interp(height[own], level, x) for x in (left, right))
        share = (np.abs(a.uv[own, 0] - side) - low) / (high - low)
        place = across(body, top, share.clip(0, 1))
        places.append(np.stack([np.abs(side - place[:, 0]), place[:, 1]], 1))
        index.append(own)
    return np.concatenate(index), np.concatenate(places)


def across(body: Body, y: float, share: np.ndarray) -> np.ndarray:
    """UV [n, 2] on the left leg's island where the leg is at height y, at shares of its width."""
    a = body.atlas
    island = a.faces[a.island == a.island_names.index("leg_left")]
    edges = face_edges(island).reshape(-1, 2)
    height = body.v_template.numpy()[a.vertex, 1][edges] - y
    edges, height = edges[height.prod(1) < 0], height[height.prod(1) < 0]
    if not len(edges):
        raise DinarError(f"expected a skirt whose hem is at the height of the legs, got one that reaches {y:.3g} m")
    t = (height[:, 0] / (height[:, 0] - height[:, 1]))[:, None]
    line = a.uv[edges[:, 0]] * (1 - t) + a.uv[edges[:, 1]] * t
    line = line[np.argsort(line[:, 0])]
    u = line[0, 0] + share * (line[-1, 0] - line[0, 0])
    return np.stack([u, np.interp(u, line[:, 0], line[:, 1])], 1)
