"""The objective of the body fit (§4.1): what several photos say of one person, or each of another.

The fit's frame is the camera's: y up in the picture, z towards the camera. The camera's pitch is free where a guess
tells it, and people stand along the gravity that follows from it.
"""

from __future__ import annotations

import numpy as np
import torch

from ..body import Body
from ..body.rotation import axis_angle_to_matrix
from .posing import Posing, posed, skeleton
from .silhouette import outline
from .start import Start
from .terms import Joints, Targets, Weights, look_up, matched, project, terms
from .view import LANDMARKS, View

LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 12), (23, 24),
         (11, 23), (12, 24), (27, 31), (28, 32), (15, 19), (16, 20), (0, 7), (0, 8))  # fmt: skip
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_index1", "left_pinky1", "right_index1", "right_pinky1",
)  # fmt: skip

# Standard deviations of the pose prior, radians; of joints not named, RIGID.
SIGMA = {"spine": 0.08, "neck": 0.2, "head": 0.3, "collar": 0.08, "shoulder": 0.9, "elbow": 0.25, "wrist": 0.35,
         "hip": 0.9, "knee": 0.15, "ankle": 0.3}  # fmt: skip
RIGID = 0.01
KNEE_LIMITS, ELBOW_LIMITS = (-0.05, 2.4), (-0.5, 2.2)  # radians of flexion
KEYPOINTS = 400.0  # weight of the 2D errors, in squared person heights, against the limbs' directions
CLOSER = 1.5  # times KEYPOINTS where a guess holds the limbs' depth (docs/fit.md)
GUESS = 7.0  # weight of the limbs' directions of the pose network's guess (docs/fit.md), where BlazePose's have 1
SURE = 0.1  # metres of error at which a limb of the guess counts half
DISTRUST = 3.0  # expected errors from the guess at which a keypoint counts half (docs/fit.md)
# Person heights outside of the mask at which a keypoint counts half: it may be a passer-by's (docs/fit.md).
BESIDE = 0.02
SHAPED = 0.5  # share of the guess's betas that the shape prior is about: one photo hardly tells the height

EVERY = 8  # every 8th vertex is compared with the mask: trades accuracy for time
REMATCH = 4  # steps between searches for the vertex nearest to each contour point
FAINT = 0.05  # least weight of a landmark that is in the picture; fainter ones are not used for the person's height
LEAST_LANDMARKS = 8  # with no more landmarks than these above FAINT, the height is measured over all
NOWHERE = np.zeros(0, np.int64)


class Objective:
    """Targets, the parameters (float64 arrays), and the loss with its gradients, of B photos."""

    def __init__(
        self,
        body: Body,
        views: list[View],  # B
        betas: torch.Tensor | None,  # [num_betas] a known shape; None: zeros
        shared_shape: bool,
        starts: list[Start],  # B
    ) -> None:
        self.full, self.views = body, views
        support = body.keypoint_support
        small = body.reduced(support, JOINTS).neutral()
        large = body.reduced(np.unique(np.r_[support, np.arange(0, body.num_vertices, EVERY)]), JOINTS).neutral()
        known = {*small.keypoint_names, *small.joint_names}
        used = [i for i, (name, _) in LANDMARKS.items() if name in known]  # SMPL-X has no mouth corners
        self.row = {i: k for k, i in enumerate(used)}  # of a landmark
        self.joint_names = small.joint_names
        rows = [small.keypoint_index(LANDMARKS[i][0]) for i in used]
        self.skeleton, self.surface = skeleton(small, rows), skeleton(large, rows)
        self.joints = _joints(small, body, self.row)
        own = [body.joint(n) for n in small.joint_names]
        self.targets = [self._targets(v, s, own, used) for v, s in zip(views, starts, strict=True)]
        self.expected = [np.full(len(used), np.inf) if s.sigma is None else s.sigma[used].double().numpy()
                         for s in starts]  # fmt: skip
        self.has_mask = any(t.field.any() or t.trust.any() for t in self.targets)
        if shared_shape:
            told = [t.build for t in self.targets if not np.isnan(t.build)]
            build = float(np.mean(told)) if told else np.nan
            shape = np.mean([t.betas for t in self.targets], 0)
            self.targets = [t._replace(betas=shape, build=build) for t in self.targets]
        self.targets = [t._replace(betas=_of_build(t.betas, t.build, self.joints.build)) for t in self.targets]
        shapes = 1 if shared_shape else len(views)
        self.betas = np.stack([t.betas for t in self.targets[:shapes]])  # [1 or B, n]
        self.fixed_shape = betas is not None
        if betas is not None:
            self.betas = np.repeat(betas.double().numpy().reshape(1, -1), shapes, 0)
        self.pose = np.stack([np.r_[s.root.double().numpy()[None], t.pose[1:]]
                              for s, t in zip(starts, self.targets, strict=True)])  # fmt: skip
        self.transl = np.zeros((len(views), 3))
        self.pitch = np.array([[t.pitch] for t in self.targets])
        self.nearest = [NOWHERE for _ in views]

    def _targets(self, v: View, s: Start, own: list[int], used: list[int]) -> Targets:
        kp, size = v.keypoints[used].astype(np.float64), np.array([v.width, v.height], np.float64)
        visible = kp[:, 3].clip(0, 1)
        inside = ((kp[:, :2] > 0) & (kp[:, :2] < size)).all(1)
        height, K = person_height(v), v.camera(s.focal).K.double().numpy()
        weight = np.array([LANDMARKS[i][1] for i in used]) * np.where(visible > 0, visible.clip(min=FAINT), 0) * inside
        start, end = self.joints.start, self.joints.end
        points = s.landmarks[used].double().numpy()
        limbs = points[end] - points[start]
        limbs = limbs / np.linalg.norm(limbs, axis=1, keepdims=True).clip(min=1e-6)
        if s.sigma is None:
            sure = np.minimum(visible[start], visible[end]) * s.known
        else:
            error = s.sigma[used].double().numpy()
            sure = GUESS / (1 + (np.maximum(error[start], error[end]) / SURE) ** 2)
        pose = np.zeros((len(own), 3))
        if s.pose is not None:
            pose[1:] = s.pose[[j - 1 for j in own[1:]]].double().numpy()
        field, contour, trust = outline(v, height)
        build = v.build if v.build is not None and self.full.build is not None else np.nan
        return Targets(
            np.ascontiguousarray(kp[:, :2]), weight, limbs, sure, pose,
            axis_angle_to_matrix(s.root.double()).numpy(), SHAPED * s.betas.double().numpy(), field, contour, trust,
            size, np.array([K[0, 0], K[0, 2], K[1, 2]]), height, KEYPOINTS * (1.0 if s.pose is None else CLOSER),
            float(s.pose is not None), float(s.pitch), float(s.standing), float(build),
        )  # fmt: skip

    def parameters(self) -> dict[str, np.ndarray]:
        """What the optimiser changes in place."""
        return _named(self.betas, self.pose, self.transl, self.pitch)

    def of(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Betas [n], pose [J, 3] and translation [3] of photo ``i``."""
        return self.betas[min(i, len(self.betas) - 1)], self.pose[i], self.transl[i]

    def posed(self, i: int) -> Posing:
        """The keypoints of photo ``i``, in the order of the landmarks used."""
        return posed(self.skeleton, *self.of(i))

    def off(self, i: int) -> np.ndarray:
        """[K] pixels by which the body's keypoints of photo ``i`` miss the landmarks."""
        t, points = self.targets[i], self.posed(i).points
        xy = np.empty((len(points), 2))
        project(t.camera, points, xy)
        return np.linalg.norm(xy - t.x2, axis=1)

    def distrust(self) -> None:
        """Keypoints count less that lie outside of the mask, or far from where the guess has them, for its expected
        errors."""
        for i, (t, expected) in enumerate(zip(self.targets, self.expected, strict=True)):
            off = self.off(i) * -self.posed(i).points[:, 2] / t.camera[0]  # metres
            trust = 1 / (1 + (off / (DISTRUST * expected)) ** 2) / (1 + (self.beside(i) / BESIDE) ** 2)
            self.targets[i] = t._replace(weight=t.weight * trust)

    def beside(self, i: int) -> np.ndarray:
        """[K] person heights by which the landmarks lie outside of the mask and of things before the person."""
        t = self.targets[i]
        return np.array([look_up(t.field, *(2 * x / t.size - 1))[0] for x in t.x2])

    def loss(self, w: Weights, step: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """[B] the sum of all terms at a step of the optimiser, and the gradients of their sum to the parameters."""
        betas, pose, transl, pitch = (np.zeros_like(x) for x in (self.betas, self.pose, self.transl, self.pitch))
        body, losses, w = self.surface if w.silhouette else self.skeleton, [], Weights(*map(float, w))
        for i, t in enumerate(self.targets):
            shape = min(i, len(self.betas) - 1)
            if not w.silhouette:
                self.nearest[i] = NOWHERE
            elif step % REMATCH == 0:
                self.nearest[i] = matched(t.contour, t.camera, posed(body, *self.of(i)).vertices)
            losses.append(terms(body, self.joints, t, w, *self.of(i), self.pitch[i], self.nearest[i],
                                betas[shape], pose[i], transl[i], pitch[i]))  # fmt: skip
        return np.array(losses), _named(betas, pose, transl, pitch)


def _named(betas: np.ndarray, pose: np.ndarray, transl: np.ndarray, pitch: np.ndarray) -> dict[str, np.ndarray]:
    return {"betas": betas, "root": pose[:, 0], "pose": pose[:, 1:], "transl": transl, "pitch": pitch}


def _joints(small: Body, full: Body, row: dict[int, int]) -> Joints:
    """Precision of each joint's three angles, and the hinges of knees and elbows."""
    names = small.joint_names
    sd = np.full((len(names), 3), RIGID)
    for j, n in enumerate(names):
        for key, s in SIGMA.items():
            if key in n:
                sd[j] = s
    precision = 1 / sd**2
    hinges = []  # joint, axis of flexion in the rest frame, limits, deviation across it
    for side, sign in (("left", -1.0), ("right", 1.0)):
        hinges.append((names.index(f"{side}_knee"), [1.0, 0, 0], KNEE_LIMITS, SIGMA["knee"]))
        up = small.t_pose[small.joint(f"{side}_shoulder")].double().numpy()
        hinges.append((names.index(f"{side}_elbow"), up.T @ [0, sign, 0], ELBOW_LIMITS, SIGMA["elbow"]))
    hinge, axis, limits, across = (np.array(x) for x in zip(*hinges, strict=True))
    precision[[0, *hinge]] = 0  # the root is free, hinges have their own prior
    start, end = (np.array([row[limb[e]] for limb in LIMBS]) for e in (0, 1))
    build = np.zeros(full.num_betas) if full.build is None else full.build.double().numpy()
    pairs = np.array([row[i] for i in (11, 12, 23, 24, 27, 28)])
    return Joints(start, end, pairs, precision, hinge, np.ascontiguousarray(axis), limits, across, build)


def _of_build(betas: np.ndarray, told: float, build: np.ndarray) -> np.ndarray:  # [n]
    """The nearest betas of the known build; nan: unknown."""
    off = 0.0 if np.isnan(told) else told - betas @ build
    return betas + off * build / max(float(build @ build), 1e-6)


def person_height(v: View) -> float:
    """Pixels from the highest to the lowest visible landmark."""
    visible = v.keypoints[:, 3] > FAINT
    y = v.keypoints[visible, 1] if visible.sum() > LEAST_LANDMARKS else v.keypoints[:, 1]
    return float(max(np.ptp(y), 1.0))
