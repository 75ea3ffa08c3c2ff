"""Fewer triangles and a smaller texture: quadric edge collapse onto existing vertices.

Garland and Heckbert 1997. A vertex is removed by moving it onto a neighbour, so everything of a remaining vertex stays
as it is: texture coordinates, skin weights, morph targets, normals. Vertices on a seam of the texture move along the
seam only, on both sides at once. (fast-simplification and pyfqmr move vertices and know no seams; meshoptimizer has no
wheels.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import scipy.sparse
from PIL import Image

from .model import Model

Size = Literal["small", "medium", "full"]

SIZES: dict[Size, tuple[int | None, int]] = {"small": (5_000, 512), "medium": (15_000, 1024), "full": (None, 2048)}
"""Largest number of triangles (None: all) and side of the texture in pixels."""

LIMB = 0.02  # metres: a change of a skin weight by 1 costs as much as a shift by this
FACE = 4.0  # times: weight of the movement by expressions against shape
SEAM = 3.0  # times: weight of seams and borders against surfaces
TURN = 0.3  # least cosine between a triangle's normals before and after a collapse
TRAITS = 32  # principal components of weights and expressions that are compared
SHARE = 0.3  # of the possible collapses, the cheapest, that one round considers


def simplified(model: Model, size: Size) -> Model:
    """The model with at most the triangles and texels of a size; as it is where it has no more."""
    triangles, side = SIZES[size]
    texture = model.texture
    if max(texture.shape[:2]) > side:
        texture = np.asarray(Image.fromarray(texture).resize((side, side), Image.Resampling.BOX))
    if triangles is None or len(model.faces) <= triangles:
        return replace(model, texture=texture)
    dense = np.zeros((len(model.v), len(model.bones)))
    np.add.at(dense, (np.arange(len(dense))[:, None], model.joints), model.weights)
    traits = np.concatenate([LIMB * dense, *(FACE * d for d in model.targets.values())], 1)
    traits = traits @ np.linalg.eigh(traits.T @ traits)[1][:, -TRAITS:]
    faces = collapse(model.v.astype(np.float64), traits, model.faces, model.vertex, model.uv, triangles)
    corners, faces = np.unique(faces, return_inverse=True)
    rows, vertex = np.unique(model.vertex[corners], return_inverse=True)
    return replace(
        model, v=model.v[rows], normals=model.normals[rows], joints=model.joints[rows], weights=model.weights[rows],
        targets={n: d[rows] for n, d in model.targets.items()}, vertex=vertex, uv=model.uv[corners],
        faces=faces.reshape(-1, 3), texture=texture,
    )  # fmt: skip


def collapse(
    v: np.ndarray,  # [V, 3] metres
    traits: np.ndarray,  # [V, C] what else should change little along an edge, in metres
    faces: np.ndarray,  # [F, 3] corners
    vertex: np.ndarray,  # [N] vertex of each corner
    uv: np.ndarray,  # [N, 2]
    triangles: int,
) -> np.ndarray:
    """Faces [F', 3] of corners: as few as asked for, or the fewest that keep topology, seams and orientation."""
    quadric, area = _quadrics(v, faces, vertex)
    while (excess := len(faces) - triangles) > 0:
        edges = _half_edges(faces, vertex, len(v))
        u, w = edges.u, edges.w
        cost = _error(quadric[u] + quadric[w], v[w]) + area[u] * ((traits[u] - traits[w]) ** 2).sum(1)
        order = np.argsort(cost, kind="stable")[: max(int(SHARE * len(cost)), 64)]
        order = order[_keeps_orientation(edges, order, v, uv, faces, vertex)]
        chosen = order[_apart(u[order], vertex[faces], len(v))][: -(-excess // 2)]
        if not len(chosen):
            break
        moved = np.arange(len(vertex))
        gone = np.isin(edges.row_edge, chosen)
        moved[edges.row_from[gone]] = edges.row_to[gone]
        faces = moved[faces]
        a, b, c = vertex[faces].T
        faces = faces[(a != b) & (b != c) & (c != a)]
        quadric[w[chosen]] += quadric[u[chosen]]
        area[w[chosen]] += area[u[chosen]]
    return faces


@dataclass
class _HalfEdges:
    """Moves of a vertex u onto a neighbour w that keep topology and seams, and where they take corners."""

    u: np.ndarray  # [E]
    w: np.ndarray  # [E]
    row_edge: np.ndarray  # [R] sorted
    row_from: np.ndarray  # [R] corner of u, sorted within an edge
    row_to: np.ndarray  # [R] corner of w


def _half_edges(faces: np.ndarray, vertex: np.ndarray, V: int) -> _HalfEdges:
    i, j = np.array([(0, 1), (1, 0), (1, 2), (2, 1), (2, 0), (0, 2)]).T
    from_, to = faces[:, i].ravel(), faces[:, j].ravel()
    key, edge, count = np.unique(vertex[from_] * V + vertex[to], return_inverse=True, return_counts=True)
    u, w = key // V, key % V
    rows = np.unique(np.stack([edge, from_, to], 1), axis=0)  # the move of each corner of u
    one = np.append(True, (np.diff(rows[:, :2], axis=0) != 0).any(1))  # a corner of u has one corner of w
    corners = np.bincount(vertex[np.unique(faces)], minlength=V)
    mapped = np.bincount(rows[one, 0], minlength=len(key))
    sound = (mapped == corners[u]) & (np.bincount(rows[:, 0], minlength=len(key)) == mapped)
    border, many = np.zeros(V, bool), np.zeros(V, bool)
    border[u[count == 1]] = True
    many[u[count > 2]] = True
    near = scipy.sparse.csr_matrix((np.ones(len(key), np.int32), (u, w)), (V, V))
    shared = np.asarray((near @ near)[u, w]).ravel()  # neighbours of both
    valence = np.bincount(u, minlength=V)
    sound &= (shared == count) & ~many[u] & ((count == 1) | ~border[u]) & (valence[w] > 3)
    number = np.cumsum(sound) - 1
    rows = rows[sound[rows[:, 0]]]
    return _HalfEdges(u[sound], w[sound], number[rows[:, 0]], rows[:, 1], rows[:, 2])


def _around(u: np.ndarray, fv: np.ndarray, V: int) -> tuple[np.ndarray, np.ndarray]:
    """The faces around each of the vertices u: index into u, and face."""
    by_vertex = np.argsort(fv.ravel(), kind="stable") // 3
    count = np.bincount(fv.ravel(), minlength=V)
    first = np.cumsum(count) - count
    which = np.repeat(np.arange(len(u)), count[u])
    step = np.arange(len(which)) - np.repeat(np.cumsum(count[u]) - count[u], count[u])
    return which, by_vertex[first[u][which] + step]


def _keeps_orientation(
    edges: _HalfEdges, some: np.ndarray, v: np.ndarray, uv: np.ndarray, faces: np.ndarray, vertex: np.ndarray
) -> np.ndarray:
    """Whether each of some moves turns no triangle over, in space and in the texture."""
    u, w = edges.u[some], edges.w[some]
    fv = vertex[faces]
    which, face = _around(u, fv, len(v))
    stays = (fv[face] != w[which, None]).all(1)
    which, face = which[stays], face[stays]
    before = faces[face]
    N = len(vertex)
    at = np.searchsorted(edges.row_edge * N + edges.row_from, some[which, None] * N + before)
    after = np.where(fv[face] == u[which, None], edges.row_to[np.minimum(at, len(edges.row_to) - 1)], before)
    normal = [_cross(v[vertex[c]]) for c in (before, after)]
    length = [np.linalg.norm(n, axis=1) for n in normal]
    turned = (normal[0] * normal[1]).sum(1) < TURN * length[0] * length[1]
    flat = [_cross(np.pad(uv[c].astype(np.float64), ((0, 0), (0, 0), (0, 1))))[:, 2] for c in (before, after)]
    turned |= (flat[0] * flat[1] <= 0) & (flat[0] != 0)
    turned |= length[1] < 1e-3 * length[0]
    return np.bincount(which[turned], minlength=len(some)) == 0


def _apart(u: np.ndarray, fv: np.ndarray, V: int) -> np.ndarray:
    """Indices, in order, of vertices whose surrounding faces share no vertex; earlier ones go first."""
    which, face = _around(u, fv, V)
    ring = fv[face]
    taken, chosen = np.zeros(V, bool), np.zeros(len(u), bool)
    for _ in range(4):  # most that fit are found
        open_ = np.bincount(which[taken[ring].any(1)], minlength=len(u)) == 0
        rows = open_[which]
        claim = np.full(V, len(u))
        np.minimum.at(claim, ring[rows], which[rows, None])
        lost = np.bincount(which[rows], (claim[ring[rows]] != which[rows, None]).any(1), minlength=len(u)) > 0
        new = open_ & ~lost
        chosen |= new
        taken[ring[new[which]]] = True
    return np.flatnonzero(chosen)


def _quadrics(v: np.ndarray, faces: np.ndarray, vertex: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Squared distances to the planes around each vertex [V, 4, 4], by area, and areas [V]."""
    fv = vertex[faces]
    n = _cross(v[fv])
    double = np.linalg.norm(n, axis=1)
    n /= np.maximum(double, 1e-15)[:, None]
    Q, area = np.zeros((len(v), 4, 4)), np.zeros(len(v))
    for k in range(3):
        _add_planes(Q, fv[:, k], n, v[fv[:, k]], double / 6)
        np.add.at(area, fv[:, k], double / 6)
    start, end = faces.ravel(), np.roll(faces, -1, 1).ravel()
    a, b = vertex[start], vertex[end]
    pair = np.minimum(start, end) * len(vertex) + np.maximum(start, end)
    _, inverse, count = np.unique(pair, return_inverse=True, return_counts=True)
    seam = count[inverse] == 1  # borders and both sides of seams
    along = v[b] - v[a]
    m = np.cross(along, n.repeat(3, 0))[seam]
    m /= np.maximum(np.linalg.norm(m, axis=1, keepdims=True), 1e-15)
    weight = SEAM * (along[seam] ** 2).sum(1)
    for end_ in (a[seam], b[seam]):
        _add_planes(Q, end_, m, v[end_], weight)
    return Q, area


def _add_planes(Q: np.ndarray, rows: np.ndarray, n: np.ndarray, point: np.ndarray, weight: np.ndarray) -> None:
    plane = np.concatenate([n, -(n * point).sum(1, keepdims=True)], 1)
    np.add.at(Q, rows, weight[:, None, None] * plane[:, :, None] * plane[:, None, :])


def _error(Q: np.ndarray, p: np.ndarray) -> np.ndarray:
    h = np.concatenate([p, np.ones((len(p), 1))], 1)
    return np.einsum("ni,nij,nj->n", h, Q, h)


def _cross(p: np.ndarray) -> np.ndarray:  # [F, 3, 3] corners -> normal times twice the area
    return np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
