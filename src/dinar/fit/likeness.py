"""The head's pose and the shape of the face from the 468 landmarks of the face mesh.

The table ``body/data/face.npz`` (``scripts/build_face.py``) says where the landmarks lie on the body. First the head
turns so that they are met up to a shift; then a field moves the head's vertices: the mean of a Gaussian process given
the landmarks' places in the picture. It is the sum of the place and the size of the head, of the heads that the body
model has, and of two smooth fields, a wide and a narrow one, most of whose variance is symmetric. So the depth, and the
side that is turned away, follow from what is seen, and eyes, mouth and hair move with the skin.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from scipy.linalg import block_diag
from scipy.spatial.distance import cdist
from torch import Tensor

from ..body import Body
from ..body.regions import eyes, regions
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..photo.landmarks import Landmarks
from ..scene import vertex_normals
from .fit_file import Fit

LOOSE, BENT = 0.2, 0.15  # radians: standard deviations of the turns of head and neck
PLACE = 0.05  # of the face's width: standard deviation of the shift that the field then takes
AGREE = (
    0.2  # of the face's width over the root of the landmarks' number: their standard deviation, as they err together
)
STEPS = 4  # of Gauss and Newton, for the turns
# Of the kernels: length, standard deviation (metres), share of the variance that is the same on both sides.
KERNELS = ((0.12, 0.001, 0.5), (0.03, 0.0008, 0.85))
# Standard deviations: of the head's place (metres) and size, and of the betas that its shape has beside the body's.
SHIFT, SIZE, SHAPE = 0.02, 0.05, 0.7
NOISE = 0.003  # metres: standard deviation of a landmark, beside its spread on the body
FACING = 0.1  # least cosine between the surface and the camera of a landmark that is used
FEWEST = 100  # landmarks
APART = 0.35  # of the face's width, mean distance of the landmarks from the body's: more is not this face
SIDES = (234, 454)  # landmarks at both ends of the face's width
BROW, CHIN = 10, 152  # landmarks
TURNED = np.deg2rad(1.0)  # step of numerical derivatives


@dataclass(frozen=True)
class _Table:
    vertices: np.ndarray  # [L, 3] corners of the triangle of each landmark
    weights: np.ndarray  # [L, 3] barycentrics
    spread: np.ndarray  # [L] metres: standard deviation of the network's error, beside the modes
    modes: np.ndarray  # [L, 2, M] metres, x right and y down in an upright picture of the face: errors made together
    rows: np.ndarray  # [L] numbers of the landmarks


@lru_cache(maxsize=4)
def _table(body: Body) -> _Table:
    """The landmarks that lie on the body's mesh."""
    with resources.as_file(resources.files("dinar.body") / "data" / "face.npz") as file:
        z = np.load(file, allow_pickle=False)
        v, w, spread = z["vertices"].astype(int), z["barycentrics"].astype(float), z["spread"].astype(float)
        modes = z["modes"].astype(float)
    at = np.searchsorted(body.numbers, v).clip(max=body.num_vertices - 1)
    rows = np.flatnonzero((body.numbers[at] == v).all(1))
    return _Table(at[rows], w[rows], spread[rows], modes[rows], rows)


def has_landmarks(body: Body) -> bool:
    """Whether it is known where the landmarks lie on the body."""
    return body.name == "anny"


def turn_head(body: Body, fit: Fit, face: Landmarks | None, expression: Tensor, offsets: Tensor) -> Fit:
    """The fit with neck and head turned to meet the landmarks."""
    if not has_landmarks(body) or face is None:
        return fit
    t, head = _table(body), body.joint("head")
    target, pose = face.points[t.rows, :2].astype(float), fit.pose.clone()
    small = body.reduced(np.unique(t.vertices))
    corner = np.searchsorted(np.unique(t.vertices), t.vertices)
    D = offsets[np.unique(t.vertices)]
    span = _width(face)

    def seen(poses: Tensor) -> np.ndarray:  # [B, J, 3] -> [B, L, 2]
        n = len(poses)
        posed = small(fit.betas.expand(n, -1), poses, fit.transl.expand(n, -1), expression.expand(n, -1), D)
        points = (posed.vertices[:, corner] * torch.from_numpy(t.weights).float()[:, :, None]).sum(2)
        return np.stack([fit.camera.project(p)[0].numpy() for p in points]).astype(float)

    used = _facing(body, fit, expression, offsets)
    if used.sum() < FEWEST or np.hypot(*(seen(pose[None])[0] - target)[used].T).mean() > APART * span:
        return fit
    x = start = pose[head].double().numpy()
    scale = AGREE * span / np.sqrt(used.sum())
    for _ in range(STEPS):
        poses = pose.repeat(4, 1, 1)
        poses[:, head] = torch.from_numpy(np.vstack([x, x + TURNED * np.eye(3)])).float()
        at = seen(poses)[:, used]
        away = at[0] - target[used]
        J = (at[1:] - at[0]) / TURNED
        # a shift is the neck's matter, and the field's
        J, r = ((x - x.mean(-2, keepdims=True)).reshape(*x.shape[:-2], -1) / scale for x in (J, away))
        x = x + np.linalg.solve(J @ J.T + np.eye(3) / LOOSE**2, -J @ r - (x - start) / LOOSE**2)
    pose[head] = torch.from_numpy(x).float()
    neck, turn = body.joint("neck"), axis_angle_to_matrix(pose)
    both, x = turn[neck] @ turn[head], np.zeros(3)

    def bent(y: np.ndarray) -> Tensor:  # [B, 3] -> [B, J, 3], the head turned as before
        R = turn[neck] @ axis_angle_to_matrix(torch.from_numpy(y).float())
        poses = pose.repeat(len(y), 1, 1)
        poses[:, neck], poses[:, head] = matrix_to_axis_angle(R), matrix_to_axis_angle(R.mT @ both)
        return poses

    for _ in range(STEPS):
        at = (seen(bent(np.vstack([x, x + TURNED * np.eye(3)]))) - target)[:, used].mean(1) / (PLACE * span)
        J, r = (at[1:] - at[0]).T / TURNED, at[0]
        x = x + np.linalg.solve(J.T @ J + np.eye(3) / BENT**2, -J.T @ r - x / BENT**2)
    pose = bent(x[None])[0]
    return dataclasses.replace(fit, pose=pose)


def fit_likeness(
    body: Body,
    fits: list[Fit],
    faces: list[Landmarks | None],
    expressions: list[Tensor],
    offsets: Tensor,  # [V, 3] metres
) -> np.ndarray:
    """Offsets [V, 3] float32 metres, to be added to the given ones, by which the head has the face's shape."""
    out = np.zeros((body.num_vertices, 3), np.float32)
    if not has_landmarks(body):
        return out
    t = _table(body)
    rest = body.rest(fits[0].betas[None], offsets=offsets)[0][0].double().numpy()
    places = (rest[t.vertices] * t.weights[:, :, None]).sum(1)
    rows, jacobians, gaps, noises, together = [], [], [], [], []
    for fit, face, expression in zip(fits, faces, expressions, strict=True):
        if face is None:
            continue
        used = _facing(body, fit, expression, offsets)
        J, at = _projected(body, fit, expression, offsets)
        gap = face.points[t.rows, :2] - at
        if used.sum() < FEWEST or np.hypot(*gap[used].T).mean() > APART * _width(face):
            continue
        metre = np.sqrt((J**2).sum((1, 2)) / 2)  # pixels a metre
        rows.append(np.flatnonzero(used))
        jacobians.append(J[used])
        gaps.append(gap[used])
        noises.append((metre * np.hypot(NOISE, t.spread))[used])
        together.append((metre[:, None, None] * _upright(face) @ t.modes)[used].reshape(2 * used.sum(), -1))
    if not rows:
        return out
    row, J, gap, noise = (np.concatenate(x) for x in (rows, jacobians, gaps, noises))
    at = places[row]
    heads = _heads(body, rest, J)
    own = np.einsum("ljck,lj->lck", heads[t.vertices], t.weights)[row]
    K, G = _covariance(at, at), np.einsum("iac,ick->iak", J, own).reshape(2 * len(row), -1)
    both = zip(J.transpose(2, 0, 1), K, strict=True)
    A = G @ G.T + sum(np.outer(j, j) * k.repeat(2, 0).repeat(2, 1) for j, k in both)
    E = block_diag(*together)
    A += np.diag(np.repeat(noise**2, 2)) + E @ E.T
    solved = np.linalg.solve(A, gap.ravel())
    pull = np.einsum("jdc,jd->jc", J, solved.reshape(-1, 2))  # [n, 3]
    window = body.weights[:, body.joint("head")].double().numpy()
    moved = np.flatnonzero(window > 1e-3)
    field = np.stack([k @ pull[:, c] for c, k in enumerate(_covariance(rest[moved], at))], 1)
    out[moved] = (field + heads[moved] @ (G.T @ solved)) * window[moved, None]
    return seat_eyes(body, out)


def _heads(body: Body, rest: np.ndarray, J: np.ndarray) -> np.ndarray:  # [V, 3], [n, 2, 3] -> [V, 3, k]
    """Movements of one standard deviation: the head's place, as far as the pictures show it, and its size, and those of
    the body's betas, which leave the place of the face."""
    face = regions(body).face
    size = SIZE * (rest - rest[face].mean(0))
    shapes = SHAPE * body.shapedirs[:, :, : body.num_betas].double().numpy()
    _, seen, axes = np.linalg.svd(J.reshape(-1, 3), full_matrices=False)
    place = np.broadcast_to(SHIFT * (axes.T * seen / seen[0]), (len(rest), 3, 3))  # not towards the only camera
    return np.concatenate([place, size[:, :, None], shapes - shapes[face].mean(0)], 2)


def seat_eyes(body: Body, offsets: np.ndarray) -> np.ndarray:  # [V, 3] metres
    """The offsets with each eyeball where its socket is: it stays round."""
    out = offsets.copy()
    for ball, socket in eyes(body):
        out[ball] = offsets[socket].mean(0)
    return out


def _covariance(a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """[n, m] for each axis, of the field at two sets of places: the same there and, mirrored, at mirror images."""
    own, mirrored = np.zeros((2, len(a), len(b)))
    near, far = (cdist(a, b * m, "sqeuclidean") for m in (1, [-1, 1, 1]))
    for length, deviation, alike in KERNELS:
        own += deviation**2 * np.exp(-near / (2 * length**2))
        mirrored += (2 * alike - 1) * deviation**2 * np.exp(-far / (2 * length**2))
    return [own - mirrored, own + mirrored, own + mirrored]


def _projected(body: Body, fit: Fit, expression: Tensor, offsets: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives [L, 2, 3] of the landmarks' pixels by their offsets, and the pixels [L, 2]."""
    t = _table(body)
    posed = body(fit.betas[None], fit.pose[None], fit.transl[None], expression[None], offsets)
    points = (posed.vertices[0].double().numpy()[t.vertices] * t.weights[:, :, None]).sum(1)
    T = fit.camera.T_cam_world.double().numpy()
    turn = (body.weights[t.vertices[:, 0]] @ posed.skinning[0, :, :3, :3].flatten(1)).reshape(-1, 3, 3).double().numpy()
    c = points @ T[:3, :3].T + T[:3, 3]
    K = fit.camera.K.double().numpy()
    z = np.zeros(len(c))
    P = np.stack([np.stack([K[0, 0] / c[:, 2], z, -K[0, 0] * c[:, 0] / c[:, 2] ** 2], 1),
                  np.stack([z, K[1, 1] / c[:, 2], -K[1, 1] * c[:, 1] / c[:, 2] ** 2], 1)], 1)  # fmt: skip
    at = c[:, :2] / c[:, 2:] * [K[0, 0], K[1, 1]] + K[:2, 2]
    return P @ T[:3, :3] @ turn, at


def _facing(body: Body, fit: Fit, expression: Tensor, offsets: Tensor) -> np.ndarray:
    """[L] bool: landmarks on the side of the head that the camera sees."""
    t = _table(body)
    v = body(fit.betas[None], fit.pose[None], fit.transl[None], expression[None], offsets).vertices[0]
    normals = vertex_normals(v[None], body.faces)[0]
    cosine = torch.nn.functional.cosine_similarity(normals, fit.camera.position - v, dim=1).numpy()
    return cosine[t.vertices].mean(1) > FACING


def _upright(face: Landmarks) -> np.ndarray:
    """[2, 2] from an upright picture of the face to the photo."""
    up = (face.points[BROW] - face.points[CHIN])[:2].astype(float)
    x, y = up / np.hypot(*up)
    return np.array([[-y, -x], [x, -y]])


def _width(face: Landmarks) -> float:
    """Pixels across the face, however it is turned."""
    return float(np.linalg.norm(face.points[SIDES[1]] - face.points[SIDES[0]]))
