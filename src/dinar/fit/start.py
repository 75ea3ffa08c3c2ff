"""First guesses at the body in a photo: from BlazePose's landmarks in space, and the pose network's hypotheses.

A guess starts the fit and stays in it as a prior. Its frame is the fit's: y up in the picture, z towards the camera.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.rotation import kabsch, matrix_to_axis_angle
from ..body.skeleton import BODY
from ..photo.pose import BodyGuess
from .view import LANDMARKS, View, is_standing

TORSO = (11, 12, 23, 24)  # shoulders and hips
LEAN = 0.17  # depth over height by which BlazePose's standing people lean (docs/fit.md)
# Degrees that hips and knees of a guess bend on average, from where the priors of standing people fade, to where they
# end. The legs of people who crouch may be as long in the picture; knees tell less, because skirts hide them.
HIPS, KNEES = (30.0, 60.0), (50.0, 100.0)
LEVEL = 0.8  # share of a guess's pitch: photographers hold cameras level more often than the network's data does
AXES = (1.0, -1.0, -1.0)  # from x right, y down, z away
FOCALS = (0.7, 5.0)  # longer sides of the picture: predicted focal lengths are clamped to these


@dataclass
class Start:
    """A guess at one body."""

    landmarks: Tensor  # [33, 3] metres, BlazePose's in space; zeros where unknown
    known: float  # 1: the landmarks are known
    root: Tensor  # [3] axis-angle
    pose: Tensor | None  # [J - 1, 3] of all joints of the body; None: unknown
    betas: Tensor  # [num_betas]
    pitch: float  # radians by which the camera looks down
    standing: float  # in [0, 1]: on stretched legs
    focal: float  # pixels
    sigma: Tensor | None = None  # [33] metres: mean errors of the landmarks


def from_landmarks(body: Body, v: View, focal: float | None = None) -> Start:
    """Orientation from the torso in space; without landmarks in space from which shoulder is on the left."""
    world = torch.from_numpy(_unlean(v) * AXES).float()
    rest = body.keypoints(body(torch.zeros(1, body.num_betas)))[0]
    root = torch.zeros(3)
    if v.world is not None:
        torso = torch.stack([rest[body.keypoint_index(LANDMARKS[i][0])] for i in TORSO])
        seen = world[list(TORSO)]
        root = matrix_to_axis_angle(kabsch(torso - torso.mean(0), seen - seen.mean(0)))
    elif v.keypoints[11, 0] < v.keypoints[12, 0]:  # the left shoulder is on the left: seen from behind
        root = torch.tensor([0, torch.pi * 0.999, 0])
    standing = float(is_standing(v.keypoints))
    zeros, f = torch.zeros(body.num_betas), float(v.camera(focal).K[0, 0])
    return Start(world, float(v.world is not None), root, None, zeros, 0.0, standing, f)


def from_guess(body: Body, v: View, m: int, focal: float | None = None) -> Start:
    """Hypothesis ``m`` of the pose network."""
    g = v.guess
    assert g is not None
    pose, betas = torch.zeros(body.num_joints, 3), torch.from_numpy(g.betas[m])
    pose[[body.joint(n) for n in BODY[1:]]] = torch.from_numpy(g.pose[m])
    posed = body(betas[None], pose[None])
    points = body.keypoints(posed)[0, [body.keypoint_index(name) for name, _ in LANDMARKS.values()]]
    points = points - posed.joints[0, 0]
    focal = focal or v.focal or predicted_focal(g, m, v, points)
    K = v.camera(focal).K.numpy()
    axes = np.array(AXES)
    root = torch.from_numpy(axes[:, None] * g.root_in(K)[m]).float()
    up = axes * g.up_in(K)[m]
    landmarks, sigma = torch.zeros(33, 3), torch.ones(33)
    landmarks[list(LANDMARKS)] = points @ root.T
    for i, (name, _) in LANDMARKS.items():
        sigma[i] = float(g.sigma[m, BODY.index(_nearest(name))])
    standing = is_standing(v.keypoints) * _stretched(landmarks)
    pitch = LEVEL * math.atan2(up[2], up[1])
    return Start(landmarks, 1.0, matrix_to_axis_angle(root), pose[1:], betas, pitch, standing, focal, sigma)


def predicted_focal(g: BodyGuess, m: int, v: View, points: Tensor) -> float:
    """Pixels: the focal length at which hypothesis ``m`` is as large in the picture as the keypoints are; ``points``
    are those of LANDMARKS [K, 3] about the pelvis, which is not turned."""
    x = (points.numpy() @ g.root[m].T)[:, :2]
    y = v.keypoints[list(LANDMARKS)]
    w = (y[:, 3] * [weight for _, weight in LANDMARKS.values()])[:, None]
    x, y = (a - (a * w).sum(0) / w.sum() for a in (x, y[:, :2]))
    scale = (w * x * y).sum() / (w * x * x).sum()  # pixels per metre
    least, most = (f * max(v.width, v.height) for f in FOCALS)
    return min(max(float(scale * g.distance[m]), least), most)


def _stretched(landmarks: Tensor) -> float:  # [33, 3]
    """How surely the legs are stretched, in [0, 1]."""
    between = lambda a, b: float(torch.rad2deg(torch.cosine_similarity(a, b, -1).clamp(-1, 1).acos()).mean())  # noqa: E731
    trunk = landmarks[11] + landmarks[12] - landmarks[23] - landmarks[24]
    thighs = torch.stack([landmarks[23] - landmarks[25], landmarks[24] - landmarks[26]])
    shins = torch.stack([landmarks[25] - landmarks[27], landmarks[26] - landmarks[28]])
    share = lambda degrees, low, high: min(1.0, max(0.0, (high - degrees) / (high - low)))  # noqa: E731
    return share(between(thighs, trunk[None]), *HIPS) * share(between(thighs, shins), *KNEES)


def _nearest(keypoint: str) -> str:
    """The joint of BODY whose error a keypoint shares."""
    if keypoint in BODY:
        return keypoint
    side = keypoint.split("_")[0]
    if "toe" in keypoint or "heel" in keypoint:
        return f"{side}_foot"
    return f"{side}_wrist" if keypoint.endswith("1") else "head"


def _unlean(v: View) -> np.ndarray:
    """World landmarks [33, 3] of a standing person without BlazePose's lean (docs/fit.md): depth is sheared along the
    height, in proportion to how frontal the person is. Zeros if unknown."""
    if v.world is None:
        return np.zeros((33, 3), np.float32)
    w = v.world.copy()
    if is_standing(v.keypoints):
        yaw = np.arctan2(w[11, 2] - w[12, 2], w[11, 0] - w[12, 0])
        w[:, 2] -= LEAN * max(0.0, np.cos(yaw)) * (w[:, 1] - (w[23, 1] + w[24, 1]) / 2)
    return w
