"""Surface tools of the atlas: edges and mirror image of a mesh, minimum cuts, paths, and splitting along seams.

Metres, y up, the body faces +z, its left is +x."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse import csgraph
from scipy.spatial import cKDTree


@dataclass
class Mesh:
    """A triangle mesh with its edges and its mirror image."""

    v: np.ndarray  # [V, 3] metres
    f: np.ndarray  # [F, 3]
    n: np.ndarray  # [V, 3] unit vertex normals
    fn: np.ndarray  # [F, 3] unit face normals
    edges: np.ndarray  # [E, 2] sorted vertex pairs
    edge_faces: np.ndarray  # [E, 2], -1 at an open border
    mirror: np.ndarray  # [V] vertex at (-x, y, z)
    face_mirror: np.ndarray | None  # [F] mirrored face; None where the mesh is not exactly mirrored

    @property
    def centre(self) -> np.ndarray:
        return self.v[self.f].mean(1)


def make_mesh(v: np.ndarray, f: np.ndarray) -> Mesh:
    cross = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    n = np.zeros_like(v)
    for k in range(3):
        np.add.at(n, f[:, k], cross)
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-20)
    fn = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-20)
    edges, index = np.unique(np.sort(f[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0, return_inverse=True)
    index = index.ravel()
    order = np.argsort(index, kind="stable")
    first = np.searchsorted(index[order], np.arange(len(edges)))
    edge_faces = np.full((len(edges), 2), -1)
    edge_faces[:, 0] = order[first] // 3
    two = np.bincount(index) == 2
    edge_faces[two, 1] = order[first[two] + 1] // 3
    mirror = cKDTree(v).query(v * [-1, 1, 1])[1]
    face_mirror = None
    if (mirror[mirror] == np.arange(len(v))).all():
        row = {tuple(t): i for i, t in enumerate(np.sort(f, 1).tolist())}
        image = [row.get(tuple(t), -1) for t in np.sort(mirror[f], 1).tolist()]
        face_mirror = np.array(image) if min(image) >= 0 else None
    return Mesh(v, f, n, fn, edges, edge_faces, mirror, face_mirror)


def smooth(m: Mesh, x: np.ndarray, times: int) -> np.ndarray:
    """Averages a vertex field over the neighbours, `times` half steps."""
    i, j = m.edges.T
    a = sp.coo_matrix((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(len(m.v),) * 2).tocsr()
    a = sp.diags(1 / np.maximum(np.asarray(a.sum(1)).ravel(), 1)) @ a
    for _ in range(times):
        x = 0.5 * x + 0.5 * (a @ x)
    return x


def components(m: Mesh, faces: np.ndarray) -> np.ndarray:
    """Connected component of each face of the mask `faces`, -1 elsewhere."""
    a, b = m.edge_faces[(m.edge_faces >= 0).all(1)].T
    keep = faces[a] & faces[b]
    graph = sp.coo_matrix((np.ones(keep.sum()), (a[keep], b[keep])), shape=(len(faces),) * 2)
    label = csgraph.connected_components(graph, directed=False)[1]
    out = np.full(len(faces), -1)
    out[faces] = np.unique(label[faces], return_inverse=True)[1].ravel()
    return out


def min_cut(m: Mesh, faces: np.ndarray, score: np.ndarray, lo: float, hi: float) -> np.ndarray:
    """The faces of `faces` above the shortest border between score < lo and score > hi. -> bool [F].

    score: [F]; edges far from the middle of the band count longer, so the border keeps near it."""
    mid, half = (lo + hi) / 2, (hi - lo) / 2
    node = np.where(score > hi, 0, np.where(score < lo, 1, -1))
    band = faces & (node < 0)
    node[band] = 2 + np.arange(band.sum())
    a, b = m.edge_faces.T
    ok = (b >= 0) & faces[a] & faces[np.maximum(b, 0)]
    length = np.linalg.norm(m.v[m.edges[:, 0]] - m.v[m.edges[:, 1]], axis=1)
    away = np.clip(np.abs((score[a] + score[b]) / 2 - mid) / half, 0, 1)
    cap = np.maximum(length * (1 + 1.5 * away**2) * 1e6, 1)
    i, j, c = node[a[ok]], node[b[ok]], cap[ok]
    n = 2 + int(band.sum())
    graph = sp.coo_matrix((np.r_[c, c], (np.r_[i, j], np.r_[j, i])), shape=(n, n)).tocsr().astype(np.int32)
    graph.setdiag(0)
    graph.eliminate_zeros()
    flow = csgraph.maximum_flow(graph, 0, 1).flow
    rest = (graph - flow).tocsr()
    rest.data[rest.data < 0] = 0
    rest.eliminate_zeros()
    above = np.zeros(n, bool)
    above[csgraph.breadth_first_order(rest, 0, return_predecessors=False)] = True
    return faces & above[node]


def straightest_cut(m: Mesh, faces: np.ndarray, scores: list[np.ndarray], lo: float, hi: float) -> np.ndarray:
    """`min_cut` at many levels between lo and hi: the one whose border bends the least. -> bool [F]"""
    best, least = min_cut(m, faces, scores[0], lo, hi), np.inf
    for score in scores:
        for mid in np.linspace(lo, hi, 9):
            for half in (0.05, 0.12, 0.2):
                above = min_cut(m, faces, score, mid - half, mid + half)
                if not above.any() or (bend := bending(m, faces, above)) >= least:
                    continue
                best, least = above, bend
    return best


def bending(m: Mesh, faces: np.ndarray, above: np.ndarray) -> float:
    """Sum of the squared turns (in quarter turns) along the border between `above` and the rest of `faces`."""
    a, b = m.edge_faces.T
    edge = m.edges[(b >= 0) & faces[a] & faces[b] & (above[a] != above[b])]
    ends = np.full((len(m.v), 2), -1)
    if not len(edge):
        return np.inf
    for i, j in edge.tolist() + edge[:, ::-1].tolist():
        if ends[i, 1] >= 0:
            return np.inf  # the border branches
        ends[i, 0 if ends[i, 0] < 0 else 1] = j
    at = np.flatnonzero(ends[:, 1] >= 0)
    p, q = m.v[ends[at, 0]] - m.v[at], m.v[ends[at, 1]] - m.v[at]
    cos = -(p * q).sum(1) / np.maximum(np.linalg.norm(p, axis=1) * np.linalg.norm(q, axis=1), 1e-12)
    return float(((np.arccos(np.clip(cos, -1, 1)) / (np.pi / 2)) ** 2).sum())


def loops(f: np.ndarray) -> list[np.ndarray]:
    """Border loops of a triangle mesh as vertex lists, in the direction of the faces."""
    half = f[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()
    have = set(map(tuple, half))
    after: dict[int, list[int]] = {}
    for i, j in half:
        if (j, i) not in have:
            after.setdefault(i, []).append(j)  # two where loops touch
    out = []
    for start in sorted(after):
        while after[start]:
            loop = [start]
            while (vertex := after[loop[-1]].pop()) != start:
                loop.append(vertex)
            out.append(np.array(loop))
    return out


def shortest_path(m: Mesh, faces: np.ndarray, src, dst, cost: np.ndarray, along: np.ndarray | None = None):
    """Vertex path of least cost within the faces, off their border; edges across `along` (unit vector) count more."""
    inside = np.zeros(len(m.edges), int)
    for k in range(2):
        inside += (m.edge_faces[:, k] >= 0) & faces[m.edge_faces[:, k]]
    cost = cost.copy()
    cost[np.unique(m.edges[inside == 1])] += 500
    e = m.edges[inside > 0]
    d = m.v[e[:, 0]] - m.v[e[:, 1]]
    length = np.linalg.norm(d, axis=1)
    w = length * cost[e].mean(1)
    if along is not None:
        w *= 1 + 8 * (1 - (d @ along / np.maximum(length, 1e-12)) ** 2)
    graph = sp.coo_matrix((w, e.T), shape=(len(m.v),) * 2).tocsr()
    dist, before, _ = csgraph.dijkstra(graph, False, np.atleast_1d(src), return_predecessors=True, min_only=True)
    dst = np.atleast_1d(dst)
    path = [int(dst[dist[dst].argmin()])]
    while before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return path


def split_vertices(m: Mesh, seam: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Splits vertices along the seams. -> uv_faces [F, 3], vertex of each uv vertex [T], mirror of each uv vertex."""
    same = (m.edge_faces >= 0).all(1) & ~seam
    a, b = m.edge_faces[same].T
    rows, cols = [], []
    for end in m.edges[same].T:
        rows.append(3 * a + (m.f[a] == end[:, None]).argmax(1))
        cols.append(3 * b + (m.f[b] == end[:, None]).argmax(1))
    n = m.f.size
    graph = sp.coo_matrix((np.ones(2 * len(a)), (np.concatenate(rows), np.concatenate(cols))), shape=(n, n))
    count, label = csgraph.connected_components(graph, directed=False)
    vertex = np.zeros(count, int)
    vertex[label] = m.f.ravel()
    uv_faces = label.reshape(-1, 3)
    mirror = None
    if m.face_mirror is not None:
        image, target = m.face_mirror, np.zeros(count, int)
        for k in range(3):
            corner = (m.f[image] == m.mirror[m.f[:, k]][:, None]).argmax(1)
            target[uv_faces[:, k]] = uv_faces[image, corner]
        mirror = target if (target[target] == np.arange(count)).all() else None
    return uv_faces, vertex, mirror
