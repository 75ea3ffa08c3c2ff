"""Widen the body to the clothes: per-vertex offsets on the rest pose (SMPL+D) from silhouettes.

From each pixel of the mesh's contour the mask's edge is searched along the contour's normal. The first half of the
iterations solves for one offset per vertex along smoothed normals: what is usual, its modes (:mod:`.thickness`), and a
rest like a membrane, coupled between left and right; the second half for free offsets on top, which are smooth like a
thin plate. Coats, skirts and hair widen the mesh; faces and hands keep their shape. Figures: docs/figures.md
(benchmarks/photos.py).
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
from ..labels import LABEL
from ..scene import Camera, rasterize, signed_distance
from ..scene.crop import crop_box, crop_to, warp_crop
from ..scene.laplacian import cotangent_laplacian, factorise, preconditioner
from .clothing import CLASS_STIFFNESS, class_stiffness, ears_under_hair, vertex_classes
from .heels import lift_heels
from .shoes import TOES, shod
from .thickness import thickness

SIZE = 512  # pixels of the crop in which contours are matched
REACH = 0.12  # metres searched on either side of the contour
ROBUST = 0.08  # metres at which a match counts half
MEMBRANE, DECAY = 0.007, 1.0  # smoothness of the offset along the normal; metres over which it dies out
PLATE = 3e-5  # smoothness of the free offsets
LOOSE = 0.5  # zero prior of the free offsets, times that of the offset along the normal
SYMMETRY = 0.3  # coupling of the left and the right half
SIDEWAYS = (0.7, 0.9)  # sine between front and camera from which a half counts as hidden, and wholly: 45 and 64 degrees
FROM_SIDE = 10.0  # times SYMMETRY, for the offset along the normal of a hidden half; 1 for the free ones, else 0
MOST_IN, MOST_OUT = 0.04, 0.15  # metres: bounds of the offset along the normal
STIFFNESS = {
    "hand": 10000.0,
    "foot": 12.0,
    "toes": 720.0,
    "face": 10000.0,
    "ears": 360.0,
    "cavity": 8e4,
    "shell": 60.0,
    "hat": 600.0,
}  # times the zero prior
NORMALS = 0.02  # metres over which the normals are smoothed
STIFF = 30.0  # stiffness from which nothing is thicker than the body
MODE = 3e-6  # metres³: the prior of a mode of the thickness, against metres of the outline times squared gaps
EVEN = 0.02  # metres over which thickness is smoothed
TOLERANCE, CG_STEPS = 1e-3, 60  # of conjugate gradients
BORDER = 3  # pixels at the crop's border in which contours are not matched
BESIDE = 13  # pixels: width of the kernel that widens what hides the person
BY_HAND = 7  # pixels: width of the kernel that widens hands, whose edge is not a skirt's
ALIGNED = 0.4  # least cosine between the normals of the contour and of the mask's edge (66 degrees)
GRADIENT = 2.0  # pixels: smoothing of a distance field before its gradient
NEVER = 10**6  # pixels: more than any ray


@dataclass
class Silhouette:
    """A person mask, and the fitted pose and camera."""

    mask: np.ndarray  # [H, W] bool in the pixels of ``camera``
    pose: Tensor  # [J, 3] axis-angle
    transl: Tensor  # [3] metres
    camera: Camera
    ignore: np.ndarray | None = None  # [H, W] bool, things in front of the person: no edge is matched there
    labels: np.ndarray | None = None  # [H, W] uint8 of labels.CLASSES: stiffness, and ears under hair


def fit_offsets(
    body: Body,
    betas: Tensor,  # [num_betas]
    silhouettes: list[Silhouette],
    iterations: int = 6,  # half along the normals, half free
    start: np.ndarray | None = None,  # [V, 3] metres, where the search starts: the form of shells
    heel: float = 0.0,  # metres that the heels of shoes are high; poses are of feet on such (:mod:`.heels`)
) -> np.ndarray:
    """Offsets [V, 3] float32 in metres, to be added to the rest pose."""
    bare, joints = (x[0].numpy().astype(np.float64) for x in body.rest(betas[None]))
    lifted = torch.from_numpy((lift_heels(body, bare, joints, heel) - bare).astype(np.float32))
    naked = bare if start is None else bare + start
    free, ears = _stiffness(body), np.zeros(len(naked), bool)
    if classes := [_classes(body, betas, lifted, s) for s in silhouettes if s.labels is not None]:
        free = free * np.exp(np.mean([np.log(class_stiffness(body, c)) for c in classes], 0))
        ears = ears_under_hair(body, classes)
        free[ears] = CLASS_STIFFNESS["hair"]
    naked = flatten(naked, body.faces, ears)  # ears under hair would be bumps
    if classes:
        naked = shod(body, naked, classes)
    naked = lift_heels(body, naked, joints, heel)
    flattening = naked - bare
    rest = bare + flattening
    laplacian, mass = cotangent_laplacian(rest, body.faces)
    M, I = sp.diags(mass), sp.eye(len(rest))
    normals = smooth_normals(rest, body.faces, laplacian, mass, NORMALS)
    prior = MEMBRANE / DECAY**2
    views = [_View(body, betas, s) for s in silhouettes]
    hidden = np.interp(min(v.side for v in views), SIDEWAYS, (0, 1))  # a half that has to be like the other
    mirror = I - sp.coo_matrix((np.ones(len(rest)), (np.arange(len(rest)), body.mirror)), shape=laplacian.shape)
    alike = SYMMETRY * (1 + FROM_SIDE * hidden) * mirror.T @ M @ mirror
    scalar_system = (alike + MEMBRANE * laplacian + prior * M @ sp.diags(free)).tocsc()
    plate = (PLATE * laplacian @ sp.diags(1 / mass) @ laplacian + LOOSE * prior * M @ sp.diags(free)).tocsc()
    plate3, plate_solve = sp.kron(plate, sp.eye(3)).tocsr(), preconditioner(plate)
    if hidden:
        for half, axes in ((mirror, (0.0, 1.0, 1.0)), (2 * I - mirror, (1.0, 0.0, 0.0))):  # x changes its sign
            plate3 = plate3 + SYMMETRY * hidden * sp.kron(half.T @ M @ half, sp.diags(axes)).tocsr()
    precondition = LinearOperator((3 * len(rest),) * 2, matvec=lambda q: plate_solve(q.reshape(-1, 3)).ravel())  # type: ignore[call-arg]

    thick = np.zeros((len(rest), 1))  # the offset along the normal where no outline tells, and in what it varies
    if classes:
        thick = np.mean([thickness(body, c) for c in classes], 0) * (free < STIFF)[:, None]
        thick = factorise(M + EVEN**2 * laplacian).solve(mass[:, None] * thick)
    usual, modes = thick[:, 0], thick[:, 1:]
    along, loose = usual, np.zeros((len(rest), 3))
    for it in range(iterations):
        offsets = flattening + along[:, None] * normals + loose
        matches = [v.match(offsets) for v in views]
        J = np.concatenate([m.jacobian for m in matches])  # [C, 3 corners, 3]
        tri, gap, weight = (np.concatenate([getattr(m, k) for m in matches]) for k in ("corners", "gap", "weight"))
        C = len(gap)
        if C == 0:
            break
        if it < iterations // 2:
            j = (J * normals[tri]).sum(-1)
            A = sp.coo_matrix((j.ravel(), (np.repeat(np.arange(C), 3), tri.ravel())), shape=(C, len(rest))).tocsr()
            # a rest x and amounts z of the modes: |A (x + modes z) - t|² W + x' S x + MODE z' z, x by z eliminated
            target = np.c_[gap + (j * (along - usual)[tri]).sum(1), A @ modes]
            x = factorise(A.T @ sp.diags(weight) @ A + scalar_system).solve(A.T @ (weight[:, None] * target))
            B = (target[:, 1:] * weight[:, None]).T @ (target - A @ x)
            z = np.linalg.solve(B[:, 1:] + MODE * np.eye(len(B)), B[:, 0])
            along = usual + x[:, 0] + (modes - x[:, 1:]) @ z
            along = np.clip(along, -MOST_IN, MOST_OUT)
        else:
            columns = tri[:, :, None] * 3 + np.arange(3)
            A = sp.coo_matrix(
                (J.ravel(), (np.repeat(np.arange(C), 9), columns.ravel())), shape=(C, 3 * len(rest))
            ).tocsr()
            target = gap + (J * loose[tri]).sum((1, 2))
            H = (A.T @ sp.diags(weight) @ A + plate3).tocsr()
            x, _ = cg(H, A.T @ (weight * target), x0=loose.ravel(), M=precondition, rtol=TOLERANCE, maxiter=CG_STEPS)
            loose = x.reshape(-1, 3)
    return (flattening + along[:, None] * normals + loose).astype(np.float32)


def _classes(body: Body, betas: Tensor, offsets: Tensor, s: Silhouette) -> np.ndarray:
    """[V] class seen at each vertex."""
    vertices = body(betas[None], s.pose[None], s.transl[None], offsets=offsets).vertices[0]
    return vertex_classes(body, vertices, s.camera, np.asarray(s.labels))


def flatten(v: np.ndarray, faces: np.ndarray, patch: np.ndarray) -> np.ndarray:
    """Vertices [V, 3] with those of the patch [V] bool moved so that it is harmonic: flat between its borders."""
    if not patch.any():
        return v
    L, _ = cotangent_laplacian(v, faces)
    out, inner = v.copy(), L[patch]
    out[patch] = factorise(inner[:, patch]).solve(-inner[:, ~patch] @ v[~patch])
    return out


@dataclass
class _Matches:
    """C contour points that found the mask's edge, as rows of a least-squares problem."""

    jacobian: np.ndarray  # [C, 3 corners, 3] derivative of the gap by the offsets
    corners: np.ndarray  # [C, 3] vertices of the triangle under the contour pixel
    gap: np.ndarray  # [C] metres from the contour outwards to the mask's edge
    weight: np.ndarray  # [C]


class _View:
    """One silhouette, cropped, and the body posed in it."""

    def __init__(self, body: Body, betas: Tensor, s: Silhouette) -> None:
        self.body = body
        self.camera, self.mask = crop_to(s.camera, s.mask, SIZE)
        self.ignore = np.zeros_like(self.mask)
        if s.ignore is not None and s.ignore.any():
            hidden = warp_crop(s.ignore.astype(np.float32), crop_box(s.mask, SIZE), SIZE, 0.0) > 0.5
            self.ignore = cv2.dilate(hidden.astype(np.uint8), np.ones((BESIDE, BESIDE), np.uint8)) > 0
        self.hands = np.zeros_like(self.mask)  # bare skin, which no skirt's or coat's edge is drawn to
        self.cloth = body.of_segment("skirt", "coat")
        if s.labels is not None and self.cloth.any():
            skin = (np.asarray(s.labels) == LABEL["skin"]).astype(np.float32)
            self.hands = warp_crop(skin, crop_box(s.mask, SIZE), SIZE, 0.0) > 0.5
            self.hands = cv2.dilate(self.hands.astype(np.uint8), np.ones((BY_HAND, BY_HAND), np.uint8)) > 0
        self.outwards = _gradient(signed_distance(self.mask))
        posed: Posed = body(betas[None], s.pose[None], s.transl[None])
        to_camera = self.camera.T_cam_world[:3, :3]
        self.base = self.camera.to_camera(posed.vertices[0]).numpy().astype(np.float64)
        turn = (body.weights @ posed.skinning[0, :, :3, :3].flatten(1)).unflatten(1, (3, 3))
        across = to_camera @ (posed.joints[0, body.joint("left_hip")] - posed.joints[0, body.joint("right_hip")])
        self.side = float((across[2] / across.norm()).abs())  # 0: seen from the front or behind, 1: from the side
        self.turn = (to_camera @ turn).numpy().astype(np.float64)  # rest offset -> camera offset, per vertex
        self.metre = float(np.mean(self.base[:, 2])) / float(self.camera.K[0, 0])  # metres a pixel

    def vertices(self, offsets: np.ndarray) -> np.ndarray:
        """[V, 3] metres in the camera's frame."""
        return self.base + np.einsum("nij,nj->ni", self.turn, offsets)

    def match(self, offsets: np.ndarray) -> _Matches:
        """Search the mask's edge from the contour of the body with these offsets [V, 3]."""
        V = self.vertices(offsets)
        K = self.camera.K.numpy()
        xy = V[:, :2] / V[:, 2:] * [K[0, 0], K[1, 1]] + K[:2, 2]
        f = rasterize(
            torch.from_numpy(xy[None].astype(np.float32)),
            torch.from_numpy(V[None, :, 2].astype(np.float32)),
            self.body.faces, SIZE, SIZE,
        )  # fmt: skip
        face = f.face[0].numpy()
        y, x, n, r = _edge_search(face >= 0, self.mask, self.outwards, int(REACH / self.metre))
        bary = f.barycentrics[0].numpy()[y, x].astype(np.float64)
        tri = self.body.faces[face[y, x]]
        J = np.einsum("ci,ckij->ckj", n, self.turn[tri][:, :, :2]) * bary[:, :, None]
        gap = r * self.metre
        end = np.rint(np.stack([x, y], 1) + n * r[:, None]).astype(int).clip(0, SIZE - 1)
        kept = ~self.ignore[end[:, 1], end[:, 0]] & ~self.ignore[y, x]
        kept &= ~(self.hands[end[:, 1], end[:, 0]] & self.cloth[face[y, x]])
        return _Matches(J, tri, gap, self.metre * kept / (1 + (gap / ROBUST) ** 2))


def _edge_search(
    mesh: np.ndarray,  # [H, W] bool
    mask: np.ndarray,  # [H, W] bool
    outwards: np.ndarray,  # [H, W, 2] :func:`_gradient` of the mask's signed distance
    reach: int,  # pixels
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Contour pixels of the mesh that find the mask's edge: y [C], x [C], outward normal [C, 2] and pixels along it to
    the edge [C].

    The normals of contour and edge have to agree (ALIGNED). If the outward ray stays inside the mask until it meets the
    mesh again (a coat between legs, hair beside the neck), the gap is closed half way from either side.
    """
    border = mesh & (cv2.erode(mesh.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))) == 0)
    border[:BORDER], border[-BORDER:], border[:, :BORDER], border[:, -BORDER:] = False, False, False, False
    y, x = np.nonzero(border)
    n = _unit(_gradient(signed_distance(mesh))[y, x])
    t = np.arange(-reach, reach + 1)
    px = np.clip(np.round(x[:, None] + n[:, :1] * t), 0, mesh.shape[1] - 1).astype(int)
    py = np.clip(np.round(y[:, None] + n[:, 1:] * t), 0, mesh.shape[0] - 1).astype(int)
    m = mask[py, px]
    leaves = m[:, :-1] & ~m[:, 1:]
    nearest = np.where(leaves, np.abs(t[:-1]), NEVER).argmin(1)
    row = np.arange(len(x))
    found = leaves[row, nearest]
    r = t[nearest].astype(float)
    found &= (_unit(outwards[py[row, nearest], px[row, nearest]]) * n).sum(1) > ALIGNED
    again = mesh[py, px][:, reach + 2 :]
    first = np.where(again.any(1), again.argmax(1), NEVER)
    covered = np.logical_and.accumulate(m[:, reach + 2 :], 1)
    within = covered[row, np.clip(first - 1, 0, covered.shape[1] - 1)] & (first > 0)
    close = (first < NEVER) & within & (first + 2 < np.where(found & (r > 0), r, NEVER))
    r = np.where(close, (first + 2) / 2, r)
    found |= close
    return y[found], x[found], n[found], r[found]


def _gradient(distance: np.ndarray) -> np.ndarray:
    """[H, W, 2] gradient of a smoothed distance field, of any length."""
    d = cv2.GaussianBlur(distance.astype(np.float32), (0, 0), GRADIENT)
    return np.stack([cv2.Sobel(d, cv2.CV_32F, 1, 0), cv2.Sobel(d, cv2.CV_32F, 0, 1)], -1)


def _unit(g: np.ndarray) -> np.ndarray:  # [C, 2]
    return g / (np.linalg.norm(g, axis=-1, keepdims=True) + 1e-9)


def smooth_normals(v: np.ndarray, faces: np.ndarray, L: sp.csc_matrix, mass: np.ndarray, length: float) -> np.ndarray:
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
    """[V] factors of the zero prior by body part."""
    k = np.ones(body.num_vertices)
    for i, part in enumerate(PARTS):
        for key in ("hand", "foot"):
            if key in part:
                k[body.vertex_part == i] = STIFFNESS[key]
    for side in ("left", "right"):  # one by one they would become balls
        toes = body.weights[:, body.joint(f"{side}_foot")].cpu().numpy()
        k = k * np.interp(toes, (0, 2 * TOES), (1, STIFFNESS["toes"] / STIFFNESS["foot"]))
    r = regions(body)
    k[r.face] = STIFFNESS["face"]
    k[r.ears] = np.maximum(k[r.ears], STIFFNESS["ears"])
    k[r.cavity] = STIFFNESS["cavity"]
    shell = body.segment >= len(body.segment_names) - len(body.shells)
    k[np.unique(body.faces[shell])] = STIFFNESS["shell"]
    k[np.unique(body.faces[body.of_segment("hat")])] = STIFFNESS["hat"]
    return k
