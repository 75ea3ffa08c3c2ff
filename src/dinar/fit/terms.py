"""The terms of the body fit (§4.1) and their gradients: SMPLify's and a silhouette term, of one photo.

Lengths in the picture are divided by the person's height there, so that all photos count alike.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..scene._numba import compiled
from .posing import posed, pulled

HINGE = 1.0  # radians: standard deviation of knees and elbows about their hinge
LIMIT = 10.0  # weight of knees and elbows beyond their limits
UPRIGHT = 6.0  # weight of the upright and knee priors of standing people (docs/fit.md)
KNEES = 0.15  # share of it for bent knees: squared radians, where the upright prior has squared slopes
# Weights of a guess of the pose network (docs/fit.md): the squared distance of the pelvis' rotations; squared radians
# of the camera's pitch.
ORIENT, PITCH = 2.0, 8.0
# Weight of the squared error of the build where that of the betas is 1. Among men and among women its deviation is .1,
# which would be 100 (scripts/build_body.py); photos tell it with less certainty.
BUILD = 90.0
COVER, COVER_SIGMA = 4000.0, 0.1  # weight of vertices outside the mask; person heights at which one counts half
CONTOUR, CONTOUR_SIGMA = 1500.0, 0.04  # the same of contour points without a vertex nearby
MIN_Z = 0.1  # metres; depths are clamped to it before the projection divides by them
MIN_LEG, MIN_TORSO = 0.3, 0.2  # metres; heights are clamped to these before slopes divide by them


class Weights(NamedTuple):
    """Weights of the terms in one stage."""

    sigma: float  # person heights at which a 2D error counts half (Geman-McClure)
    limbs: float  # directions of the limbs in space
    pose: float  # pose prior
    shape: float  # shape prior
    depth: float = 0.0  # the same along the camera's axis alone, towards a guess of the pose network
    upright: float = 1.0  # times UPRIGHT
    silhouette: float = 0.0  # times the weights of the silhouette's terms


class Joints(NamedTuple):
    """What the terms know of the body: landmarks are rows of its K keypoints."""

    start: np.ndarray  # [L] int64 landmarks at which limbs start
    end: np.ndarray  # [L]
    pairs: np.ndarray  # [6] shoulders, hips, ankles
    precision: np.ndarray  # [J, 3] of the pose prior, 1 / radians²; zeros where a hinge or the root is
    hinge: np.ndarray  # [4] int64 joints: knee, elbow, knee, elbow
    axis: np.ndarray  # [4, 3] of flexion in the rest frame
    limits: np.ndarray  # [4, 2] radians
    across: np.ndarray  # [4] radians: deviation across the axis
    build: np.ndarray  # [n] betas to build


class Targets(NamedTuple):
    """What one photo says; float64."""

    x2: np.ndarray  # [K, 2] pixels: the landmarks
    weight: np.ndarray  # [K] of their errors
    limb_target: np.ndarray  # [L, 3] directions
    limb_weight: np.ndarray  # [L]
    pose: np.ndarray  # [J, 3] axis-angles that the pose prior is about
    root: np.ndarray  # [3, 3] the guess's orientation
    betas: np.ndarray  # [n] that the shape prior is about
    field: np.ndarray  # [n, n] distance outside of the mask, person heights
    contour: np.ndarray  # [P, 2] pixels: points of the outline
    trust: np.ndarray  # [P] their weights
    size: np.ndarray  # [2] pixels: width, height
    camera: np.ndarray  # [3] pixels: focal length, and where the axis meets the picture
    height: float  # pixels: the person's
    close: float  # weight of errors of landmarks, in squared person heights
    guessed: float  # 1: a guess of the pose network is known
    pitch: float  # radians: the guess's
    standing: float  # in [0, 1]
    build: float  # nan: unknown


@compiled
def terms(b, j, t, w, betas, pose, transl, pitch, nearest, g_betas, g_pose, g_transl, g_pitch):  # pragma: no cover
    """The loss; its gradients are added to the last four ([n], [J, 3], [3], [1]). ``nearest`` [P] int64 has the vertex
    of each contour point; if it is empty, the silhouette does not count."""
    p = posed(b, betas, pose, transl)
    g_points, g_vertices, g_root = np.zeros(p.points.shape), np.zeros(p.vertices.shape), np.zeros((3, 3))
    own = np.arange(len(p.points))
    loss = _apart(t.x2, t.weight, own, t.camera, t.height, t.close, w.sigma, p.points, g_points)
    loss += _limbs(j.start, j.end, t.limb_target, t.limb_weight, w.limbs, w.depth * t.guessed, p.points, g_points)
    upright = UPRIGHT * w.upright * t.standing
    loss += _pose(j.precision, t.pose, w.pose, pose, g_pose)
    loss += _hinges(j.hinge, j.axis, j.limits, j.across, t.pose, w.pose, KNEES * upright, pose, g_pose)
    loss += _shape(j.build, t.betas, t.build, w.shape, betas, g_betas)
    loss += _lean(j.pairs, upright, pitch[0], p.points, g_points, g_pitch)
    if t.guessed == 0:  # the pitch stays
        g_pitch[0] = 0.0
    for r in range(3):
        for k in range(3):
            off = p.turn[0, r, k] - t.root[r, k]
            loss += t.guessed * ORIENT * off * off / 2
            g_root[r, k] = t.guessed * ORIENT * off
    loss += t.guessed * PITCH * (pitch[0] - t.pitch) ** 2
    g_pitch[0] += 2 * t.guessed * PITCH * (pitch[0] - t.pitch)
    if len(nearest):
        scale = w.silhouette * COVER / len(p.vertices)
        loss += _cover(t.field, t.size, t.camera, scale, p.vertices, g_vertices)
        scale = w.silhouette * CONTOUR
        loss += _apart(t.contour, t.trust, nearest, t.camera, t.height, scale, CONTOUR_SIGMA, p.vertices, g_vertices)
    pulled(b, p, pose, g_points, g_vertices, g_root, g_betas, g_pose, g_transl)
    return loss


@compiled
def project(camera, x, out):  # pragma: no cover
    """World points [N, 3] to pixels [N, 2]: y is up in the world and down in the picture."""
    for i in range(len(x)):
        z = max(-x[i, 2], MIN_Z)
        out[i, 0] = x[i, 0] / z * camera[0] + camera[1]
        out[i, 1] = -x[i, 1] / z * camera[0] + camera[2]


@compiled
def _project_pulled(camera, x, i, gu, gv, g):  # pragma: no cover
    """Adds to row ``i`` of ``g`` [N, 3] the gradient to a point, of those to its pixel."""
    z = max(-x[i, 2], MIN_Z)
    g[i, 0] += gu * camera[0] / z
    g[i, 1] -= gv * camera[0] / z
    if -x[i, 2] > MIN_Z:
        g[i, 2] += (gu * x[i, 0] - gv * x[i, 1]) * camera[0] / (z * z)


@compiled
def _robust(r2, sigma):  # pragma: no cover
    """Geman-McClure and its slope."""
    s2 = sigma * sigma
    return s2 * r2 / (s2 + r2), (s2 / (s2 + r2)) ** 2


@compiled
def _apart(target, weights, which, camera, height, weight, sigma, points, g):  # pragma: no cover
    """Points of the photo [M, 2] far from those of the body, rows ``which`` [M] of ``points``."""
    xy, loss = np.empty((len(points), 2)), 0.0
    project(camera, points, xy)
    for i in range(len(which)):
        n = which[i]
        u, v = xy[n, 0] - target[i, 0], xy[n, 1] - target[i, 1]
        value, slope = _robust((u * u + v * v) / (height * height), sigma)
        loss += weight * weights[i] * value
        scale = 2 * weight * weights[i] * slope / (height * height)
        _project_pulled(camera, points, n, scale * u, scale * v, g)
    return loss


@compiled
def _limbs(start, end, target, weights, whole, depth, points, g):  # pragma: no cover
    loss, along, pull = 0.0, np.empty(3), np.empty(3)
    for i in range(len(start)):
        s, e = start[i], end[i]
        length = 0.0
        for k in range(3):
            along[k] = points[e, k] - points[s, k]
            length += along[k] * along[k]
        length = max(np.sqrt(length), 1e-12)
        radial = 0.0
        for k in range(3):
            along[k] /= length
            off = along[k] - target[i, k]
            weight = weights[i] * (whole + (depth if k == 2 else 0.0))
            loss += weight * off * off / 2
            pull[k] = weight * off
            radial += pull[k] * along[k]
        for k in range(3):
            change = (pull[k] - radial * along[k]) / length
            g[e, k] += change
            g[s, k] -= change
    return loss


@compiled
def _pose(precision, usual, weight, pose, g):  # pragma: no cover
    loss = 0.0
    for i in range(len(pose)):
        for k in range(3):
            off = pose[i, k] - usual[i, k]
            loss += weight * precision[i, k] * off * off
            g[i, k] += 2 * weight * precision[i, k] * off
    return loss


@compiled
def _hinges(hinge, axis, limits, across, usual, weight, straight, pose, g):  # pragma: no cover
    """Pose prior and limits of knees and elbows, and bent knees of standing people."""
    loss = 0.0
    for h in range(len(hinge)):
        i, bend, whole, expected = hinge[h], 0.0, 0.0, 0.0
        for k in range(3):
            bend += pose[i, k] * axis[h, k]
            whole += pose[i, k] * pose[i, k]
            expected += usual[i, k] * axis[h, k]
        aside = weight / (across[h] * across[h])
        low, high = max(limits[h, 0] - bend, 0.0), max(bend - limits[h, 1], 0.0)
        knee = straight if h % 2 == 0 else 0.0
        loss += weight * (bend - expected) ** 2 / HINGE**2 + aside * (whole - bend * bend)
        loss += LIMIT * (low * low + high * high) + knee * bend * bend
        slope = 2 * (weight * (bend - expected) / HINGE**2 - aside * bend + LIMIT * (high - low) + knee * bend)
        for k in range(3):
            g[i, k] += slope * axis[h, k] + 2 * aside * pose[i, k]
    return loss


@compiled
def _shape(build, usual, told, weight, betas, g):  # pragma: no cover
    loss, off = 0.0, 0.0
    if not np.isnan(told):
        for i in range(len(betas)):
            off += betas[i] * build[i]
        off -= told
        loss += weight * BUILD * off * off
    for i in range(len(betas)):
        d = betas[i] - usual[i]
        loss += weight * d * d
        g[i] += 2 * weight * (d + BUILD * off * build[i])
    return loss


@compiled
def _lean(pairs, weight, pitch, points, g, g_pitch):  # pragma: no cover
    """Squared slopes of legs and torso, out of the vertical plane across the picture."""
    s, c = np.sin(pitch), np.cos(pitch)
    loss, d = 0.0, np.empty(3)
    for part in range(2):  # legs: from ankles to hips; torso: from hips to shoulders
        top, below, least = (2, 4, MIN_LEG) if part == 0 else (0, 2, MIN_TORSO)
        for k in range(3):
            d[k] = 0.0
            for i in range(2):
                d[k] += (points[pairs[top + i], k] - points[pairs[below + i], k]) / 2
        out, up = d[2] * c - d[1] * s, d[1] * c + d[2] * s
        long = max(up, least)
        slope = out / long
        loss += weight * slope * slope
        g_out, g_up = weight * slope / long, (-weight * slope * slope / long if up > least else 0.0)
        for i in range(2):
            above, under = pairs[top + i], pairs[below + i]
            g[above, 1] += g_up * c - g_out * s
            g[above, 2] += g_out * c + g_up * s
            g[under, 1] -= g_up * c - g_out * s
            g[under, 2] -= g_out * c + g_up * s
        g_pitch[0] += 2 * (g_up * out - g_out * up)
    return loss


@compiled
def look_up(field, x, y):  # pragma: no cover
    """A field [n, n] bilinearly at x, y in [-1, 1], its border's value outside, and its gradient."""
    n = len(field)
    u, v = (x + 1) * n / 2 - 0.5, (y + 1) * n / 2 - 0.5
    du, dv = (n / 2 if 0 < u < n - 1 else 0.0), (n / 2 if 0 < v < n - 1 else 0.0)
    u, v = min(u, n - 1.0) if u > 0 else 0.0, min(v, n - 1.0) if v > 0 else 0.0  # also where they are no numbers
    i, k = min(int(u), n - 2), min(int(v), n - 2)
    u, v = u - i, v - k
    top, bottom = field[k, i] * (1 - u) + field[k, i + 1] * u, field[k + 1, i] * (1 - u) + field[k + 1, i + 1] * u
    right = (field[k, i + 1] - field[k, i]) * (1 - v) + (field[k + 1, i + 1] - field[k + 1, i]) * v
    return top * (1 - v) + bottom * v, right * du, (bottom - top) * dv


@compiled
def _cover(field, size, camera, weight, vertices, g):  # pragma: no cover
    """Vertices outside of the mask."""
    xy, loss = np.empty((len(vertices), 2)), 0.0
    project(camera, vertices, xy)
    for i in range(len(vertices)):
        d, du, dv = look_up(field, 2 * xy[i, 0] / size[0] - 1, 2 * xy[i, 1] / size[1] - 1)
        value, slope = _robust(d * d, COVER_SIGMA)
        loss += weight * value
        scale = 4 * weight * slope * d
        _project_pulled(camera, vertices, i, scale * du / size[0], scale * dv / size[1], g)
    return loss


@compiled
def matched(contour, camera, vertices):  # pragma: no cover
    """[P] int64: the vertex [V, 3] nearest to each contour point in the picture."""
    xy, out = np.empty((len(vertices), 2)), np.zeros(len(contour), np.int64)
    project(camera, vertices, xy)
    for i in range(len(out)):
        least = np.inf
        for k in range(len(xy)):
            u, v = xy[k, 0] - contour[i, 0], xy[k, 1] - contour[i, 1]
            d = u * u + v * v
            if d < least:
                least, out[i] = d, k
    return out
