"""The objective of the body fit (§4.1): SMPLify's terms and a silhouette term, for several photos as one batch.

The fit's frame is the camera's: y up in the picture, z towards the camera. The camera's pitch is free where a guess
tells it, and people stand along the gravity that follows from it.

Lengths in the picture are divided by the person's height there, so that all photos count alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body, Posed
from ..body.rotation import axis_angle_to_matrix
from .silhouette import MaskTerm, geman_mcclure, look_up
from .start import Start
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
HINGE = 1.0  # the same, of knees and elbows about their hinge
KNEE_LIMITS, ELBOW_LIMITS = (-0.05, 2.4), (-0.5, 2.2)  # radians of flexion
KEYPOINTS = 400.0  # weight of the 2D errors, in squared person heights, against the limbs' directions
CLOSER = 1.5  # times KEYPOINTS where a guess holds the limbs' depth (docs/fit.md)
LIMIT = 10.0  # weight of knees and elbows beyond their limits
UPRIGHT = 6.0  # weight of the upright and knee priors of standing people (docs/fit.md)
KNEES = 0.15  # share of it for bent knees: squared radians, where the upright prior has squared slopes
# Weights of a guess of the pose network (docs/fit.md): its limbs' directions, where BlazePose's have 1; the squared
# distance of the pelvis' rotations; squared radians of the camera's pitch.
GUESS, ORIENT, PITCH = 7.0, 2.0, 8.0
SURE = 0.1  # metres of error at which a limb of the guess counts half
DISTRUST = 3.0  # expected errors from the guess at which a keypoint counts half (docs/fit.md)
# Person heights outside of the mask at which a keypoint counts half: it may be a passer-by's (docs/fit.md).
BESIDE = 0.02
# Weight of the squared error of the build where that of the betas is 1. Among men and among women its deviation is .1,
# which would be 100 (scripts/build_body.py); photos tell it with less certainty.
BUILD = 90.0
SHAPED = 0.5  # share of the guess's betas that the shape prior is about: one photo hardly tells the height

EVERY = 8  # every 8th vertex is compared with the mask: trades accuracy for time
FAINT = 0.05  # least weight of a landmark that is in the picture; fainter ones are not used for the person's height
LEAST_LANDMARKS = 8  # with no more landmarks than these above FAINT, the height is measured over all
MIN_Z = 0.1  # metres; depths are clamped to it before the projection divides by them
MIN_LEG, MIN_TORSO = 0.3, 0.2  # metres; heights are clamped to these before slopes divide by them


@dataclass(frozen=True)
class Weights:
    """Weights of the terms in one stage."""

    sigma: float  # person heights at which a 2D error counts half (Geman-McClure)
    limbs: float  # directions of the limbs in space
    pose: float  # pose prior
    shape: float  # shape prior
    depth: float = 0  # the same along the camera's axis alone, towards a guess of the pose network
    upright: float = 1  # times UPRIGHT
    silhouette: float = 0  # times the weights of MaskTerm


class Objective:
    """Targets as tensors, the parameters, and the loss; all photos are one batch of B."""

    def __init__(
        self,
        body: Body,
        views: list[View],  # B
        betas: Tensor | None,  # [num_betas] a known shape; None: zeros
        shared_shape: bool,
        starts: list[Start],  # B
        device: torch.device | str = "cpu",
    ) -> None:
        self.full, self.views = body, views
        self.skeleton = body.reduced(body.keypoint_support, JOINTS).neutral()
        some = np.unique(np.r_[body.keypoint_support, np.arange(0, body.num_vertices, EVERY)])
        self.surface = body.reduced(some, JOINTS).neutral()
        self.body = b = self.skeleton  # what `posed` and `loss` use
        known = {*b.keypoint_names, *b.joint_names}
        used = [i for i, (name, _) in LANDMARKS.items() if name in known]  # SMPL-X has no mouth corners
        self.row = {i: k for k, i in enumerate(used)}  # of a landmark
        self.keypoints = torch.tensor([b.keypoint_index(LANDMARKS[i][0]) for i in used])
        self.pairs = torch.tensor([self.row[i] for i in (11, 12, 23, 24, 27, 28)])  # shoulders, hips, ankles
        self.start, self.end = (torch.tensor([self.row[limb[e]] for limb in LIMBS]) for e in (0, 1))
        kp = torch.tensor(np.stack([v.keypoints for v in views])[:, used], dtype=torch.float32)
        size = torch.tensor([[v.width, v.height] for v in views], dtype=torch.float32)
        self.x2, self.visible = kp[..., :2], kp[..., 3].clamp(0, 1)  # [B, K, 2] pixels, [B, K]
        inside = ((self.x2 > 0) & (self.x2 < size[:, None])).all(-1)
        weight = torch.tensor([LANDMARKS[i][1] for i in used])
        self.weight = weight * torch.where(self.visible > 0, self.visible.clamp(min=FAINT), 0) * inside
        self.height = torch.tensor([person_height(v) for v in views])  # [B] pixels
        K = torch.stack([v.camera(s.focal).K for v, s in zip(views, starts, strict=True)])
        self.focal, self.centre = K[:, 0, 0], K[:, :2, 2]  # [B], [B, 2] pixels
        self.standing = torch.tensor([float(s.standing) for s in starts])
        self.limb_target, self.limb_weight = self._limbs(starts, used)
        self.mask_term = MaskTerm(views, self.height)
        self._prior()
        shapes = SHAPED * torch.stack([s.betas for s in starts])
        self.shape_prior = shapes.mean(0, keepdim=True) if shared_shape else shapes
        told = torch.tensor([v.build if v.build is not None and body.build is not None else torch.nan for v in views
                            ], dtype=torch.float32)  # fmt: skip
        self.build = body.build if body.build is not None else torch.zeros(body.num_betas)
        self.build_prior = told.nanmean()[None] if shared_shape else told
        self.shape_prior = self._of_build(self.shape_prior)
        self.betas = (self.shape_prior if betas is None else betas.reshape(1, -1)).clone()
        self.fixed_shape = betas is not None
        own = torch.tensor([body.joint(n) - 1 for n in b.joint_names[1:]])
        zeros = torch.zeros(body.num_joints - 1, 3)
        self.guessed = torch.tensor([float(s.pose is not None) for s in starts])
        self.close = KEYPOINTS * torch.where(self.guessed > 0, CLOSER, 1.0)
        self.pose = torch.stack([zeros if s.pose is None else s.pose for s in starts])[:, own]
        self.root = torch.stack([s.root for s in starts])
        self.pitch = torch.tensor([s.pitch for s in starts])
        self.pose_prior, self.root_prior = self.pose.clone(), axis_angle_to_matrix(self.root)
        self.pitch_prior = self.pitch.clone()
        self.expected = torch.stack([torch.full((len(used),), torch.inf) if s.sigma is None else s.sigma[used]
                                     for s in starts])  # fmt: skip
        self.transl = torch.zeros(len(views), 3)
        self.flip = torch.tensor([1.0, -1.0])  # y is down in pictures
        for moved in (self, self.mask_term):
            for name, x in vars(moved).items():
                if isinstance(x, Tensor):
                    setattr(moved, name, x.to(device))
        self.skeleton, self.surface = self.skeleton.to(device), self.surface.to(device)
        self.body = self.skeleton

    def _of_build(self, betas: Tensor) -> Tensor:  # [B or 1, num_betas]
        """The nearest betas of the known builds."""
        off = (self.build_prior - betas @ self.build).nan_to_num()
        return betas + off[:, None] * self.build / self.build.square().sum().clamp(min=1e-6)

    def _limbs(self, starts: list[Start], used: list[int]) -> tuple[Tensor, Tensor]:
        """Directions of LIMBS [B, L, 3] in the first guesses and their weights [B, L]."""
        points = torch.stack([s.landmarks[used] for s in starts])
        target = F.normalize(points[:, self.end] - points[:, self.start], dim=-1, eps=1e-6)
        seen = torch.minimum(self.visible[:, self.start], self.visible[:, self.end])
        weight = []
        for s, visible in zip(starts, seen, strict=True):
            if s.sigma is None:
                weight.append(visible * s.known)
            else:
                e = torch.maximum(s.sigma[used][self.start], s.sigma[used][self.end])
                weight.append(GUESS / (1 + (e / SURE) ** 2))
        return target, torch.stack(weight)

    def _prior(self) -> None:
        """Precision of each joint's three angles, and the hinges of knees and elbows."""
        names = self.body.joint_names[1:]
        sd = torch.full((len(names), 3), RIGID)
        for j, n in enumerate(names):
            for key, s in SIGMA.items():
                if key in n:
                    sd[j] = s
        self.precision = 1 / sd**2
        hinges = []  # knee, elbow, knee, elbow: joint, axis of flexion in the rest frame, limits, deviation across it
        for side, sign in (("left", -1.0), ("right", 1.0)):
            hinges.append((names.index(f"{side}_knee"), torch.tensor([1.0, 0, 0]), *KNEE_LIMITS, SIGMA["knee"]))
            up = self.body.t_pose[self.body.joint(f"{side}_shoulder")]
            axis = up.T @ torch.tensor([0, sign, 0.0])
            hinges.append((names.index(f"{side}_elbow"), axis, *ELBOW_LIMITS, SIGMA["elbow"]))
        joint, axes, *numbers = zip(*hinges, strict=True)
        self.hinge, self.axis = torch.tensor(joint), torch.stack(axes)  # [4], [4, 3]
        self.low, self.high, self.across = (torch.tensor(x) for x in numbers)  # [4] each
        self.precision[self.hinge] = 0  # `_pose_terms` has their prior

    def posed(self) -> Posed:
        pose = torch.cat([self.root[:, None], self.pose], 1)
        return self.body(self.betas.expand(len(self.views), -1), pose, self.transl)

    def points(self) -> Tensor:
        """[B, K, 3] metres: the body's keypoints, in the order of the landmarks used."""
        return self._points(self.posed())

    def _points(self, posed: Posed) -> Tensor:
        return self.body.keypoints(posed).index_select(1, self.keypoints)

    def project(self, p: Tensor) -> Tensor:
        """World points [B, N, 3] to pixels [B, N, 2]."""
        z = (-p[..., 2:]).clamp(min=MIN_Z)
        return p[..., :2] * self.flip / z * self.focal[:, None, None] + self.centre[:, None]

    def distrust(self) -> None:
        """Keypoints count less that lie outside of the mask, or far from where the guess has them, for its expected
        errors."""
        J = self.points()
        off = (self.project(J) - self.x2).norm(dim=-1) * -J[..., 2] / self.focal[:, None]  # metres
        self.weight = self.weight / (1 + (off / (DISTRUST * self.expected)).square())
        self.weight = self.weight / (1 + (self.beside() / BESIDE).square())

    def beside(self) -> Tensor:
        """[B, K] person heights by which the landmarks lie outside of the mask and of things before the person."""
        return look_up(self.mask_term.field, self.x2 / self.mask_term.centre[:, None] - 1)

    def loss(self, w: Weights, step: int = 0) -> Tensor:
        """[B] the sum of all terms, at a step of the optimiser."""
        posed = self.posed()
        J = self._points(posed)
        r2 = (self.project(J) - self.x2).square().sum(-1) / self.height[:, None] ** 2
        total = self.close * (self.weight * geman_mcclure(r2, w.sigma)).sum(1)
        off = F.normalize(J.index_select(1, self.end) - J.index_select(1, self.start), dim=-1) - self.limb_target
        away = off.square()
        depth = w.depth * self.guessed[:, None] * away[..., 2]
        total = total + (self.limb_weight * (w.limbs * away.sum(-1) + depth)).sum(1) / 2
        prior, limit, knees = self._pose_terms()
        upright = UPRIGHT * w.upright
        total = total + w.pose * prior + LIMIT * limit + upright * KNEES * knees
        build = (self.betas @ self.build - self.build_prior).nan_to_num().square()
        total = total + w.shape * ((self.betas - self.shape_prior).square().sum(1) + BUILD * build)
        total = total + upright * self.standing * self._lean(J)
        turned = (posed.skinning[:, 0, :3, :3] - self.root_prior).square().sum((1, 2)) / 2
        tilted = (self.pitch - self.pitch_prior).square()
        total = total + self.guessed * (ORIENT * turned + PITCH * tilted)
        if w.silhouette:
            total = total + w.silhouette * self.mask_term(self.project(posed.vertices), step)
        return total

    def _pose_terms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pose prior, joint limits, and knee bending of standing people; each [B]."""
        prior = ((self.pose - self.pose_prior).square() * self.precision).sum((1, 2))
        turn = self.pose.index_select(1, self.hinge)
        bend, usual = ((x * self.axis).sum(2) for x in (turn, self.pose_prior.index_select(1, self.hinge)))
        across = turn.square().sum(2) - bend.square()
        prior = prior + ((bend - usual).square() / HINGE**2 + across / self.across**2).sum(1)
        limit = F.relu(self.low - bend).square() + F.relu(bend - self.high).square()
        return prior, limit.sum(1), bend[:, ::2].square().sum(1) * self.standing

    def _lean(self, J: Tensor) -> Tensor:
        """[B] squared slopes of legs and torso, out of the vertical plane across the picture."""
        shoulders, hips, ankles = J.index_select(1, self.pairs).unflatten(1, (3, 2)).mean(2).unbind(1)
        pitch = torch.where(self.guessed > 0, self.pitch, self.pitch_prior)  # without a guess it stays
        s, c = pitch.sin(), pitch.cos()
        slope = lambda d, least: (d[:, 2] * c - d[:, 1] * s) / (d[:, 1] * c + d[:, 2] * s).clamp(min=least)  # noqa: E731
        return slope(hips - ankles, MIN_LEG).square() + slope(shoulders - hips, MIN_TORSO).square()


def person_height(v: View) -> float:
    """Pixels from the highest to the lowest visible landmark."""
    visible = v.keypoints[:, 3] > FAINT
    y = v.keypoints[visible, 1] if visible.sum() > LEAST_LANDMARKS else v.keypoints[:, 1]
    return float(max(np.ptp(y), 1.0))
