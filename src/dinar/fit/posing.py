"""A reduced body for the fit: keypoints and vertices of a pose, and what their gradients are to shape and pose.

Both are compiled loops in float64. Torch needs some 400 operations for a step of the fit, each of which takes longer to
start than to compute (docs/speed.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..body import Body
from ..scene._numba import compiled

SMALL = 1e-2  # radians² below which a series is more exact


class Sums(NamedTuple):
    """A sparse matrix: row r has the columns and weights from ``first[r]`` to ``first[r + 1]``."""

    first: np.ndarray  # [rows + 1] int64
    column: np.ndarray  # [N] int64
    weight: np.ndarray  # [N] float64


class Skeleton(NamedTuple):
    """The arrays of a body, float64; V vertices, J joints, n betas."""

    template: np.ndarray  # [3 V] metres
    dirs: np.ndarray  # [n, 3 V]
    joints: np.ndarray  # [J, 3] metres
    joint_dirs: np.ndarray  # [n, 3 J]
    parents: np.ndarray  # [J] int64, ascending; the root's is -1
    correctives: np.ndarray  # [9 (J - 1), 3 V] of the rotations less the identity; [0, 0]: none
    skin: Sums  # vertices as sums of joints
    points: Sums  # keypoints as sums of vertices and, behind them, joints


class Posing(NamedTuple):
    """A posed body, and what :func:`pulled` needs of it."""

    turn: np.ndarray  # [J, 3, 3] of each joint to its parent
    world: np.ndarray  # [J, 3, 3]
    rest: np.ndarray  # [J, 3] joints at rest
    shape: np.ndarray  # [V, 3] vertices at rest
    joints: np.ndarray  # [J, 3]
    vertices: np.ndarray  # [V, 3]
    points: np.ndarray  # [K, 3]


def skeleton(
    body: Body,  # reduced, without expressions
    rows: list[int],  # K rows of :meth:`Body.keypoints`
) -> Skeleton:
    """The arrays of a body."""
    array = lambda x: np.ascontiguousarray(x.detach().cpu().numpy(), np.float64)  # noqa: E731
    V, J = body.num_vertices, body.num_joints
    points = np.zeros((len(body.keypoint_names) + J, V + J))
    points[:-J, :V], points[-J:, V:] = array(body.keypoint_weights), np.eye(J)
    return Skeleton(
        array(body.v_template).reshape(-1),
        np.ascontiguousarray(array(body.shapedirs).reshape(3 * V, -1).T),
        array(body.j_template),
        np.ascontiguousarray(array(body.j_dirs).reshape(3 * J, -1).T),
        np.array(body.parents),
        np.zeros((0, 0)) if body.posedirs is None else array(body.posedirs),
        _sums(array(body.weights)),
        _sums(points[rows]),
    )


def _sums(dense: np.ndarray) -> Sums:
    row, column = np.nonzero(dense)
    return Sums(np.searchsorted(row, np.arange(len(dense) + 1)), column, dense[row, column])


@compiled
def rotation(a, R):  # pragma: no cover
    """R [3, 3] = cos t I + s [a] + c a aᵀ of an axis-angle, with s = sin t / t and c = (1 - cos t) / t²."""
    t2 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    s, c = _sine_cosine(t2)
    x, y, z, k = s * a[0], s * a[1], s * a[2], 1 - c * t2
    R[0, 0], R[0, 1], R[0, 2] = k, -z, y
    R[1, 0], R[1, 1], R[1, 2] = z, k, -x
    R[2, 0], R[2, 1], R[2, 2] = -y, x, k
    for i in range(3):
        for j in range(3):
            R[i, j] += c * a[i] * a[j]


@compiled
def _sine_cosine(t2):  # pragma: no cover
    if t2 < SMALL:
        return 1 - t2 / 6 + t2 * t2 / 120, 0.5 - t2 / 24 + t2 * t2 / 720
    t = np.sqrt(t2)
    return np.sin(t) / t, 2 * (np.sin(t / 2) / t) ** 2


@compiled
def rotation_pulled(a, g, out):  # pragma: no cover
    """Adds to ``out`` [3] the gradient to an axis-angle, of that to its matrix ``g`` [3, 3]."""
    t2 = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    s, c = _sine_cosine(t2)
    if t2 < SMALL:  # ds / da = ds a
        ds, dc = -1 / 3 + t2 / 30 - t2 * t2 / 840, -1 / 12 + t2 / 180 - t2 * t2 / 6720
    else:
        ds, dc = (1 - c * t2 - s) / t2, (s - 2 * c) / t2
    twist, both, along, bent = np.empty(3), np.empty(3), 0.0, 0.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        twist[i] = g[k, j] - g[j, k]
        both[i] = 0.0
        for m in range(3):
            both[i] += (g[i, m] + g[m, i]) * a[m]
        along, bent = along + twist[i] * a[i], bent + both[i] * a[i]
    scale = ds * along + dc * bent / 2 - s * (g[0, 0] + g[1, 1] + g[2, 2])
    for i in range(3):
        out[i] += s * twist[i] + c * both[i] + scale * a[i]


@compiled
def posed(b, betas, pose, transl):  # pragma: no cover
    """The :class:`Posing` of betas [n], axis-angles [J, 3] and a translation [3]."""
    J, V = len(b.parents), len(b.template) // 3
    rest, flat = b.joints.copy(), b.template.copy()  # loops over numbers: numba compiles sums of rows for seconds
    for i in range(len(betas)):
        for j in range(J):
            for k in range(3):
                rest[j, k] += betas[i] * b.joint_dirs[i, 3 * j + k]
        for k in range(3 * V):
            flat[k] += betas[i] * b.dirs[i, k]
    turn, world, joints = np.empty((J, 3, 3)), np.empty((J, 3, 3)), np.empty((J, 3))
    for j in range(J):
        rotation(pose[j], turn[j])
        p = b.parents[j]
        for r in range(3):
            joints[j, r] = joints[p, r] if p >= 0 else rest[j, r] + transl[r]
            for k in range(3):
                world[j, r, k] = 0.0 if p >= 0 else turn[j, r, k]
                if p >= 0:
                    joints[j, r] += world[p, r, k] * (rest[j, k] - rest[p, k])
                    for m in range(3):
                        world[j, r, k] += world[p, r, m] * turn[j, m, k]
    for i in range(b.correctives.shape[0]):
        j, r, c = i // 9 + 1, i % 9 // 3, i % 3
        amount = turn[j, r, c] - (1.0 if r == c else 0.0)
        for k in range(3 * V):
            flat[k] += amount * b.correctives[i, k]
    shape, vertices, shift = flat.reshape(V, 3), np.zeros((V, 3)), np.empty((J, 3))
    for j in range(J):
        for r in range(3):
            shift[j, r] = joints[j, r]
            for k in range(3):
                shift[j, r] -= world[j, r, k] * rest[j, k]
    for v in range(V):
        for i in range(b.skin.first[v], b.skin.first[v + 1]):
            j, w = b.skin.column[i], b.skin.weight[i]
            for r in range(3):
                vertices[v, r] += w * (world[j, r, 0] * shape[v, 0] + world[j, r, 1] * shape[v, 1]
                                       + world[j, r, 2] * shape[v, 2] + shift[j, r])  # fmt: skip
    K = len(b.points.first) - 1
    points = np.zeros((K, 3))
    for k in range(K):
        for i in range(b.points.first[k], b.points.first[k + 1]):
            c, w = b.points.column[i], b.points.weight[i]
            for r in range(3):
                points[k, r] += w * (vertices[c, r] if c < V else joints[c - V, r])
    return Posing(turn, world, rest, shape, joints, vertices, points)


@compiled
def pulled(b, p, pose, g_points, g_vertices, g_root, g_betas, g_pose, g_transl):  # pragma: no cover
    """Adds gradients to betas [n], pose [J, 3] and translation [3], of those to points [K, 3], vertices [V, 3], which
    are changed, and the root's matrix [3, 3]."""
    J, V = len(b.parents), len(b.template) // 3
    g_joints, g_rest, g_world = np.zeros((J, 3)), np.zeros((J, 3)), np.zeros((J, 3, 3))
    for k in range(len(g_points)):
        for i in range(b.points.first[k], b.points.first[k + 1]):
            c, w = b.points.column[i], b.points.weight[i]
            for r in range(3):
                if c < V:
                    g_vertices[c, r] += w * g_points[k, r]
                else:
                    g_joints[c - V, r] += w * g_points[k, r]
    g_shape, force = np.zeros((V, 3)), np.zeros((J, 3))
    for v in range(V):
        for i in range(b.skin.first[v], b.skin.first[v + 1]):
            j, w = b.skin.column[i], b.skin.weight[i]
            for r in range(3):
                g = w * g_vertices[v, r]
                force[j, r] += g
                for k in range(3):
                    g_world[j, r, k] += g * p.shape[v, k]
                    g_shape[v, k] += g * p.world[j, r, k]
    for j in range(J):
        for r in range(3):
            g_joints[j, r] += force[j, r]
            for k in range(3):
                g_world[j, r, k] -= force[j, r] * p.rest[j, k]
                g_rest[j, k] -= force[j, r] * p.world[j, r, k]
    g_turn = np.zeros((J, 3, 3))
    for j in range(J - 1, 0, -1):
        up = b.parents[j]
        for r in range(3):
            g_joints[up, r] += g_joints[j, r]
            for k in range(3):
                g_world[up, r, k] += g_joints[j, r] * (p.rest[j, k] - p.rest[up, k])
                along = p.world[up, r, k] * g_joints[j, r]
                g_rest[j, k] += along
                g_rest[up, k] -= along
                for m in range(3):
                    g_world[up, r, k] += g_world[j, r, m] * p.turn[j, k, m]
                    g_turn[j, k, m] += p.world[up, r, k] * g_world[j, r, m]
    for r in range(3):
        g_rest[0, r] += g_joints[0, r]
        g_transl[r] += g_joints[0, r]
        for k in range(3):
            g_turn[0, r, k] += g_world[0, r, k] + g_root[r, k]
    flat = g_shape.reshape(-1)
    for i in range(b.correctives.shape[0]):
        g_turn[i // 9 + 1, i % 9 // 3, i % 3] += np.dot(b.correctives[i], flat)
    for j in range(J):
        rotation_pulled(pose[j], g_turn[j], g_pose[j])
    for i in range(len(g_betas)):
        g_betas[i] += np.dot(b.dirs[i], flat) + np.dot(b.joint_dirs[i], g_rest.reshape(-1))
