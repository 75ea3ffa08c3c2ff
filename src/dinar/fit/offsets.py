"""Geometry that wears the clothes: per-vertex offsets on the rest pose (SMPL+D), from the silhouette.

A body in its underwear covers .82 of a clothed person's mask; with offsets .94 (``benchmarks/photos.py``). Per pixel
of the mesh's contour the mask's edge is searched along the contour's normal; first a scalar offset along smoothed
normals is solved for (a membrane, coupled left to right), then free offsets on top (a thin plate). Coats, skirts and
hair widen the mesh; face and hands keep their shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import LinearOperator, cg
from torch import Tensor

from ..body import Body, Posed
from ..body.body import PARTS
from ..body.regions import regions
from ..scene import Camera, rasterize, signed_distance
from ..scene.crop import crop_box, crop_to, warp_crop
from ..scene.laplacian import cotangent_laplacian, factorise
from .clothing import HOLD, ears_under_hair, hold, vertex_classes

SIZE = 512  # pixels of the crop in which contours are matched
REACH = 0.12  # metres searched on either side of the contour
ROBUST = 0.08  # metres at which a match counts half
MEMBRANE, DECAY = 0.02, 0.3  # smoothness of the scalar offset; length in metres over which it dies out
PLATE = 3e-5  # smoothness of the free offsets
SYMMETRY = 0.3  # coupling of the left and the right half
MOST_IN, MOST_OUT = 0.04, 0.15  # metres that the scalar offset may go
STIFFNESS = {"hand": 300.0, "foot": 4.0, "face": 300.0, "ears": 30.0, "cavity": 1e4}  # times the zero prior


@dataclass
class Silhouette:
    """A person mask, and the pose and camera that should explain it."""

    mask: np.ndarray  # [H, W] bool in the pixels of ``camera``
    pose: Tensor  # [J, 3]
    transl: Tensor  # [3]
    camera: Camera
    ignore: np.ndarray | None = None  # [H, W] bool: what hides the person there; the mask's edge beside it is none
    labels: np.ndarray | None = None  # [H, W] uint8 classes of a parse: skin is the body, hair hides ears


def fit_offsets(
    body: Body,
    betas: Tensor,  # [num_betas]
    silhouettes: list[Silhouette],
    iterations: int = 6,
) -> np.ndarray:
    """Offsets [V, 3] float32 in metres, to be added to the rest pose; 1.5 s for a photo (benchmarks/create.py)."""
    naked = body.rest(betas[None])[0][0].numpy().astype(np.float64)
    free, ears = _stiffness(body), np.zeros(len(naked), bool)
    if worn := [_worn(body, betas, s) for s in silhouettes if s.labels is not None]:
        free = free * np.exp(np.mean([np.log(hold(body, w)) for w in worn], 0))
        ears = ears_under_hair(body, worn)
        free[ears] = HOLD["hair"]
    sunk = flatten(naked, body.faces, ears) - naked  # under hair ears are bumps
    rest = naked + sunk
    laplacian, mass = cotangent_laplacian(rest, body.faces)
    M, I = sp.diags(mass), sp.eye(len(rest))
    normals = _smooth_normals(rest, body.faces, laplacian, mass, 0.02)
    prior = MEMBRANE / DECAY**2
    mirror = I - sp.coo_matrix((np.ones(len(rest)), (np.arange(len(rest)), body.mirror)), shape=laplacian.shape)
    scalar_system = (SYMMETRY * mirror.T @ M @ mirror + MEMBRANE * laplacian + prior * M @ sp.diags(free)).tocsc()
    scalar_precondition = LinearOperator(scalar_system.shape, matvec=factorise(scalar_system).solve)  # type: ignore[call-arg]
    plate = (PLATE * laplacian @ sp.diags(1 / mass) @ laplacian + 0.5 * prior * M @ sp.diags(free)).tocsc()
    plate3, plate_solve = sp.kron(plate, sp.eye(3)).tocsr(), factorise(plate).solve
    precondition = LinearOperator((3 * len(rest),) * 2, matvec=lambda q: plate_solve(q.reshape(-1, 3)).ravel())  # type: ignore[call-arg]

    views = [_View(body, betas, s) for s in silhouettes]
    along, loose = np.zeros(len(rest)), np.zeros((len(rest), 3))
    for it in range(iterations):
        offsets = sunk + along[:, None] * normals + loose
        matches = [v.match(offsets) for v in views]
        J = np.concatenate([m.jacobian for m in matches])  # [C, 3 corners, 3]
        tri, gap, weight = (np.concatenate([getattr(m, k) for m in matches]) for k in ("corners", "gap", "weight"))
        C = len(gap)
        if C == 0:
            break
        if it < iterations // 2:
            j = (J * normals[tri]).sum(-1)
            A = sp.coo_matrix((j.ravel(), (np.repeat(np.arange(C), 3), tri.ravel())), shape=(C, len(rest))).tocsr()
            target = gap + (j * along[tri]).sum(1)
            H = (A.T @ sp.diags(weight) @ A + scalar_system).tocsr()
            along, _ = cg(H, A.T @ (weight * target), x0=along, M=scalar_precondition, rtol=1e-3, maxiter=60)
            along = np.clip(along, -MOST_IN, MOST_OUT)
        else:
            columns = tri[:, :, None] * 3 + np.arange(3)
            A = sp.coo_matrix(
                (J.ravel(), (np.repeat(np.arange(C), 9), columns.ravel())), shape=(C, 3 * len(rest))
            ).tocsr()
            target = gap + (J * loose[tri]).sum((1, 2))
            H = (A.T @ sp.diags(weight) @ A + plate3).tocsr()
            x, _ = cg(H, A.T @ (weight * target), x0=loose.ravel(), M=precondition, rtol=1e-3, maxiter=60)
            loose = x.reshape(-1, 3)
    return (sunk + along[:, None] * normals + loose).astype(np.float32)


def _worn(body: Body, betas: Tensor, s: Silhouette) -> np.ndarray:
    vertices = body(betas[None], s.pose[None], s.transl[None]).vertices[0]
    return vertex_classes(body, vertices, s.camera, np.asarray(s.labels))


def flatten(v: np.ndarray, faces: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Vertices [V, 3] with the patch [V] bool as flat as what is around it allows (harmonic)."""
    if not patch.any():
        return v
    L, _ = cotangent_laplacian(v, faces)
    out, inner = v.copy(), L[patch]
    out[patch] = factorise(inner[:, patch]).solve(-inner[:, ~patch] @ v[~patch])
    return out


@dataclass
class _Matches:
    """Contour points that found the mask's edge, as rows of a least-squares problem."""

    jacobian: np.ndarray  # [C, 3, 3] change of the signed gap with the offset of each corner
    corners: np.ndarray  # [C, 3] vertices of the triangle under the contour pixel
    gap: np.ndarray  # [C] metres from the contour outwards to the mask's edge
    weight: np.ndarray  # [C]


class _View:
    def __init__(self, body: Body, betas: Tensor, s: Silhouette) -> None:
        self.body = body
        self.camera, self.mask = crop_to(s.camera, s.mask, SIZE)
        self.ignore = np.zeros_like(self.mask)
        if s.ignore is not None and s.ignore.any():
            hidden = warp_crop(s.ignore.astype(np.float32), crop_box(s.mask, SIZE), SIZE, 0.0) > 0.5
            self.ignore = cv2.dilate(hidden.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
        self.inside_of = signed_distance(self.mask)
        posed: Posed = body(betas[None], s.pose[None], s.transl[None])
        to_camera = self.camera.T_cam_world[:3, :3]
        self.base = self.camera.to_camera(posed.vertices[0]).numpy().astype(np.float64)
        turn = (body.weights @ posed.skinning[0, :, :3, :3].flatten(1)).unflatten(1, (3, 3))
        self.turn = (to_camera @ turn).numpy().astype(np.float64)  # rest offset -> camera offset, per vertex
        self.metre = float(np.mean(self.base[:, 2])) / float(self.camera.K[0, 0])  # metres a pixel

    def vertices(self, offsets: np.ndarray) -> np.ndarray:
        return self.base + np.einsum("nij,nj->ni", self.turn, offsets)

    def match(self, offsets: np.ndarray) -> _Matches:
        V = self.vertices(offsets)
        K = self.camera.K.numpy()
        xy = V[:, :2] / V[:, 2:] * [K[0, 0], K[1, 1]] + K[:2, 2]
        f = rasterize(
            torch.from_numpy(xy[None].astype(np.float32)),
            torch.from_numpy(V[None, :, 2].astype(np.float32)),
            self.body.faces, SIZE, SIZE,
        )  # fmt: skip
        face = f.face[0].numpy()
        y, x, n, r = _edge_search(face >= 0, self.mask, self.inside_of, int(REACH / self.metre))
        bary = f.barycentrics[0].numpy()[y, x].astype(np.float64)
        tri = self.body.faces[face[y, x]]
        J = np.einsum("ci,ckij->ckj", n, self.turn[tri][:, :, :2]) * bary[:, :, None]
        gap = r * self.metre
        end = np.rint(np.stack([x, y], 1) + n * r[:, None]).astype(int).clip(0, SIZE - 1)
        kept = ~self.ignore[end[:, 1], end[:, 0]] & ~self.ignore[y, x]
        return _Matches(J, tri, gap, self.metre * kept / (1 + (gap / ROBUST) ** 2))


def _edge_search(
    mesh: np.ndarray, mask: np.ndarray, mask_distance: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For contour pixels of the mesh: y, x, outward normal [C, 2] and pixels to the mask's edge along it [C].

    A match needs the edge's own normal within 66 degrees. Where the outward ray stays inside the mask until it meets
    the mesh again (coat between legs, hair beside the neck) the gap is closed half way from either side.
    """
    border = mesh & (cv2.erode(mesh.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) == 0)
    border[:3], border[-3:], border[:, :3], border[:, -3:] = False, False, False, False
    y, x = np.nonzero(border)
    n, e = _gradient(signed_distance(mesh)), _gradient(mask_distance)
    n = n[y, x]
    t = np.arange(-reach, reach + 1)
    px = np.clip(np.round(x[:, None] + n[:, :1] * t), 0, mesh.shape[1] - 1).astype(int)
    py = np.clip(np.round(y[:, None] + n[:, 1:] * t), 0, mesh.shape[0] - 1).astype(int)
    m = mask[py, px]
    leaves = m[:, :-1] & ~m[:, 1:]
    nearest = np.where(leaves, np.abs(t[:-1]), 10**6).argmin(1)
    row = np.arange(len(x))
    found = leaves[row, nearest]
    r = t[nearest].astype(float)
    found &= (e[py[row, nearest], px[row, nearest]] * n).sum(1) > 0.4
    again = mesh[py, px][:, reach + 2 :]
    first = np.where(again.any(1), again.argmax(1), 10**6)
    covered = np.logical_and.accumulate(m[:, reach + 2 :], 1)
    within = covered[row, np.clip(first - 1, 0, covered.shape[1] - 1)] & (first > 0)
    close = (first < 10**6) & within & (first + 2 < np.where(found & (r > 0), r, 10**6))
    r = np.where(close, (first + 2) / 2, r)
    found |= close
    return y[found], x[found], n[found], r[found]


def _gradient(distance: np.ndarray) -> np.ndarray:
    """[H, W, 2] unit gradient of a smoothed distance field."""
    d = cv2.GaussianBlur(distance.astype(np.float32), (0, 0), 2)
    g = np.stack([cv2.Sobel(d, cv2.CV_32F, 1, 0), cv2.Sobel(d, cv2.CV_32F, 0, 1)], -1)
    return g / (np.linalg.norm(g, axis=-1, keepdims=True) + 1e-9)












def _smooth_normals(v: np.ndarray, faces: np.ndarray, L: sp.csc_matrix, mass: np.ndarray, length: float) -> np.ndarray:
    """Vertex normals [V, 3], smoothed implicitly over ``length`` metres."""
    f = np.cross(v[faces[:, 1]] - v[faces[:, 0]], v[faces[:, 2]] - v[faces[:, 0]])
    n = np.zeros_like(v)
    for a in range(3):
        np.add.at(n, faces[:, a], f)
    n /= np.linalg.norm(n, axis=1, keepdims=True) + 1e-12
    n = factorise(sp.diags(mass) + length**2 * L).solve(mass[:, None] * n)
    return n / (np.linalg.norm(n, axis=1, keepdims=True) + 1e-12)


@lru_cache(maxsize=4)
def _stiffness(body: Body) -> np.ndarray:
    """[V] how strongly each vertex is held to the body."""
    k = np.ones(body.num_vertices)
    for i, part in enumerate(PARTS):
        for key in ("hand", "foot"):
            if key in part:
                k[body.vertex_part == i] = STIFFNESS[key]
    r = regions(body)
    k[r.face] = STIFFNESS["face"]
    k[r.ears] = np.maximum(k[r.ears], STIFFNESS["ears"])
    k[r.cavity] = STIFFNESS["cavity"]
    return k
