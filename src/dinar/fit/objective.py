"""The objective of the body fit (§4.1): SMPLify's terms and a silhouette term, for several photos as one batch.

Lengths in the picture are divided by the person's height there, so that all photos count alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body, Posed
from .view import FOCAL, LANDMARKS, View, is_standing

LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 12), (23, 24),
         (11, 23), (12, 24), (27, 31), (28, 32), (15, 19), (16, 20), (0, 7), (0, 8))  # fmt: skip
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_index1", "left_pinky1", "right_index1", "right_pinky1",
)  # fmt: skip

# Standard deviations of the pose prior, radians; of joints not named, RIGID.
SIGMA = {"spine": 0.15, "neck": 0.2, "head": 0.3, "collar": 0.15, "shoulder": 0.9, "elbow": 0.25, "wrist": 0.35,
         "hip": 0.9, "knee": 0.15, "ankle": 0.3}  # fmt: skip
RIGID = 0.01
HINGE = 1.0  # the same, of knees and elbows about their hinge
KNEE_LIMITS, ELBOW_LIMITS = (-0.05, 2.4), (-0.5, 2.2)  # radians of flexion
KEYPOINTS = 400.0  # weight of the 2D errors, in squared person heights, against the limbs' directions
LIMIT = 10.0  # weight of knees and elbows beyond their limits
UPRIGHT = 8.0  # weight of the upright and knee priors of standing people (docs/fit.md)
KNEES = 0.3  # share of it for bent knees: squared radians, where the upright prior has squared slopes
LEAN = 0.17  # depth over height by which BlazePose's standing people lean (docs/fit.md)
COVER, COVER_SIGMA = 4000.0, 0.1  # weight of vertices outside the mask; person heights at which one counts half
CONTOUR, CONTOUR_SIGMA = 1500.0, 0.04  # the same of contour points without a vertex nearby
REMATCH = 4  # steps between searches for the vertex nearest to each contour point

# Sizes that trade accuracy for time.
FIELD = 256  # pixels a side of the mask's distance field
POINTS = 250  # contour points of a photo
EVERY = 8  # every 8th vertex is compared with the mask

FAINT = 0.05  # least weight of a landmark that is in the picture; fainter ones are not used for the person's height
LEAST_LANDMARKS = 8  # with no more landmarks than these above FAINT, the height is measured over all
MIN_Z = 0.1  # metres; depths are clamped to it before the projection divides by them
MIN_LEG, MIN_TORSO = 0.3, 0.2  # metres; heights are clamped to these before slopes divide by them


@dataclass(frozen=True)
class Weights:
    """Weights of the terms in one stage."""

    sigma: float  # person heights at which a 2D error counts half (Geman-McClure)
    limbs: float  # directions of BlazePose's 3D limbs
    pose: float  # pose prior
    shape: float  # shape prior
    upright: float = 1  # times UPRIGHT
    silhouette: float = 0  # times COVER and CONTOUR


class Objective:
    """Targets as tensors, the parameters, and the loss; all photos are one batch of B."""

    def __init__(
        self,
        body: Body,
        views: list[View],  # B
        betas: Tensor | None,  # [num_betas] a known shape; None: zeros
        shared_shape: bool,
        focal: float | None,  # pixels; None: FOCAL of each photo's longer side
    ) -> None:
        self.full, self.views = body, views
        self.skeleton = body.reduced(body.keypoint_support, JOINTS)
        some = np.unique(np.r_[body.keypoint_support, np.arange(0, body.num_vertices, EVERY)])
        self.surface = body.reduced(some, JOINTS)
        self.body = b = self.skeleton  # what `posed` and `loss` use
        self.step, self.nearest = 0, torch.zeros(0)
        B = len(views)
        known = {*b.keypoint_names, *b.joint_names}
        used = [i for i, (name, _) in LANDMARKS.items() if name in known]  # SMPL-X has no mouth corners
        self.row = {i: k for k, i in enumerate(used)}  # of a landmark
        self.keypoints = torch.tensor([b.keypoint_index(LANDMARKS[i][0]) for i in used])
        self.start, self.end = (torch.tensor([self.row[limb[e]] for limb in LIMBS]) for e in (0, 1))
        kp = torch.tensor(np.stack([v.keypoints for v in views])[:, used], dtype=torch.float32)
        size = torch.tensor([[v.width, v.height] for v in views], dtype=torch.float32)
        self.x2, self.visible = kp[..., :2], kp[..., 3].clamp(0, 1)  # [B, K, 2] pixels, [B, K]
        inside = ((self.x2 > 0) & (self.x2 < size[:, None])).all(-1)
        weight = torch.tensor([LANDMARKS[i][1] for i in used])
        self.weight = weight * torch.where(self.visible > 0, self.visible.clamp(min=FAINT), 0) * inside
        self.height = torch.tensor([_person_height(v) for v in views])  # [B] pixels
        self.focal = torch.tensor([focal or FOCAL * max(v.height, v.width) for v in views])
        self.centre = size / 2
        self.standing = torch.tensor([float(is_standing(v.keypoints)) for v in views])
        world = np.stack([_unlean(v) for v in views])[:, used]
        self.known3d = torch.tensor([float(v.world is not None) for v in views])
        self.x3 = torch.tensor(world * [1, -1, -1], dtype=torch.float32)  # into y up, z towards the camera
        self.limb_target = F.normalize(self.x3[:, self.end] - self.x3[:, self.start], dim=-1, eps=1e-6)
        seen = torch.minimum(self.visible[:, self.start], self.visible[:, self.end])
        self.limb_weight = seen * self.known3d[:, None]
        self._silhouette_targets()
        self._prior()
        n = 1 if shared_shape else B
        self.betas = (torch.zeros(n, body.num_betas) if betas is None else betas.reshape(1, -1)).clone()
        self.fixed_shape = betas is not None
        self.pose = torch.zeros(B, b.num_joints - 1, 3)
        self.root = torch.zeros(B, 3)
        self.transl = torch.zeros(B, 3)

    def _silhouette_targets(self) -> None:
        """Distance outside the mask in person heights [B, 1, FIELD, FIELD], contour points [B, POINTS, 2] in pixels
        and their weights, of sum 1 a photo where all are trusted."""
        fields, contours, counts, trusts = [], [], [], []
        for v, h in zip(self.views, self.height.tolist(), strict=True):
            field, points, trust, count = _mask_targets(v, h)
            fields.append(field)
            contours.append(points)
            counts.append(count)
            trusts.append(trust)
        self.field = torch.from_numpy(np.stack(fields))[:, None]
        self.contour = torch.from_numpy(np.stack(contours))
        self.contour_weight = torch.from_numpy(np.stack(trusts)) / torch.tensor(counts)[:, None].clamp(min=1)
        self.has_mask = (torch.tensor(counts) > 0).float()

    def _prior(self) -> None:
        """Precision of each joint's three angles, and the hinges of knees and elbows."""
        names = self.body.joint_names[1:]
        sd = torch.full((len(names), 3), RIGID)
        for j, n in enumerate(names):
            for key, s in SIGMA.items():
                if key in n:
                    sd[j] = s
        self.precision = 1 / sd**2
        self.hinges = []  # knee, elbow, knee, elbow: joint, axis of flexion in the rest frame, limits
        for side, sign in (("left", -1.0), ("right", 1.0)):
            self.hinges.append((names.index(f"{side}_knee"), torch.tensor([1.0, 0, 0]), *KNEE_LIMITS))
            up = self.body.t_pose[self.body.joint(f"{side}_shoulder")]
            self.hinges.append((names.index(f"{side}_elbow"), up.T @ torch.tensor([0, sign, 0.0]), *ELBOW_LIMITS))
        for j, *_ in self.hinges:
            self.precision[j] = 0  # `_pose_terms` has their prior

    def posed(self) -> Posed:
        pose = torch.cat([self.root[:, None], self.pose], 1)
        return self.body(self.betas.expand(len(self.views), -1), pose, self.transl)

    def points(self) -> Tensor:
        """[B, K, 3] metres: the body's keypoints, in the order of the landmarks used."""
        return self._points(self.posed())

    def _points(self, posed: Posed) -> Tensor:
        return self.body.keypoints(posed)[:, self.keypoints]

    def project(self, p: Tensor) -> Tensor:
        """World points [B, N, 3] to pixels [B, N, 2]."""
        z = (-p[..., 2:]).clamp(min=MIN_Z)
        return p[..., :2] * p.new_tensor([1, -1]) / z * self.focal[:, None, None] + self.centre[:, None]

    def loss(self, w: Weights) -> Tensor:
        """The sum of all terms over all photos."""
        posed = self.posed()
        J = self._points(posed)
        r2 = (self.project(J) - self.x2).square().sum(-1) / self.height[:, None] ** 2
        total = KEYPOINTS * (self.weight * _geman_mcclure(r2, w.sigma)).sum()
        limbs = F.normalize(J[:, self.end] - J[:, self.start], dim=-1)
        total = total + w.limbs * (self.limb_weight * (1 - (limbs * self.limb_target).sum(-1))).sum()
        prior, limit, knees = self._pose_terms()
        upright = UPRIGHT * w.upright
        total = total + (w.pose * prior + LIMIT * limit + upright * KNEES * knees).sum()
        total = total + w.shape * self.betas.square().sum() * len(self.views) / len(self.betas)
        total = total + upright * (self.standing * self._lean(J)).sum()
        if w.silhouette:
            cover, contour = self._silhouette_terms(posed)
            total = total + w.silhouette * COVER * cover
            total = total + w.silhouette * CONTOUR * contour
        return total

    def _pose_terms(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pose prior, joint limits, and knee bending of standing people; each [B]."""
        prior = (self.pose.square() * self.precision).sum((1, 2))
        limit, knees = torch.zeros(len(self.pose)), torch.zeros(len(self.pose))
        for k, (j, axis, low, high) in enumerate(self.hinges):
            bend = self.pose[:, j] @ axis
            across = self.pose[:, j].square().sum(1) - bend.square()
            sigma = SIGMA["knee" if k % 2 == 0 else "elbow"]
            prior = prior + bend.square() / HINGE**2 + across / sigma**2
            limit = limit + F.relu(low - bend).square() + F.relu(bend - high).square()
            if k % 2 == 0:
                knees = knees + bend.square()
        return prior, limit, knees * self.standing

    def _lean(self, J: Tensor) -> Tensor:
        """[B] squared slopes of legs and torso along the depth."""
        mid = lambda a, b: (J[:, self.row[a]] + J[:, self.row[b]]) / 2  # noqa: E731
        shoulders, hips, ankles = mid(11, 12), mid(23, 24), mid(27, 28)
        legs = (ankles[:, 2] - hips[:, 2]) / (hips[:, 1] - ankles[:, 1]).clamp(min=MIN_LEG)
        torso = (shoulders[:, 2] - hips[:, 2]) / (shoulders[:, 1] - hips[:, 1]).clamp(min=MIN_TORSO)
        return legs.square() + torso.square()

    def _silhouette_terms(self, posed: Posed) -> tuple[Tensor, Tensor]:
        """Vertices outside the mask, and contour points far from the nearest vertex; each a sum over the photos."""
        x = self.project(posed.vertices)
        grid = x / self.centre[:, None] - 1
        d = F.grid_sample(self.field, grid[:, None], align_corners=False, padding_mode="border")[:, 0, 0]
        cover = _geman_mcclure(d.square(), COVER_SIGMA).mean(1).sum()
        if self.step % REMATCH == 0:
            with torch.no_grad():
                self.nearest = torch.cdist(self.contour, x).argmin(2)
        near = x.gather(1, self.nearest[..., None].expand(-1, -1, 2))
        gap = (near - self.contour).square().sum(-1) / self.height[:, None] ** 2
        cost = (_geman_mcclure(gap, CONTOUR_SIGMA) * self.contour_weight).sum(1) * self.has_mask
        return cover, cost.sum()


def _geman_mcclure(r2: Tensor, sigma: float) -> Tensor:
    return sigma**2 * r2 / (sigma**2 + r2)


def _mask_targets(v: View, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Distance field [FIELD, FIELD], contour points [POINTS, 2] and their trust [POINTS] for a person of ``h`` pixels;
    the first rows are used, as many as the last value says."""
    field, points = np.zeros((FIELD, FIELD), np.float32), np.zeros((POINTS, 2), np.float32)
    trust, count = np.zeros(POINTS, np.float32), 0
    if v.mask is None or not v.mask.any():
        return field, points, trust, count
    k = FIELD / max(v.height, v.width)
    hw = max(2, round(v.height * k)), max(2, round(v.width * k))
    mask = cv2.resize(v.mask.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_AREA)
    covered = mask
    if v.front is not None:  # the body may be behind a bag
        front = cv2.resize(v.front.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST)
        covered = np.maximum(mask, front)
    d = np.asarray(cv2.distanceTransform(1 - covered, cv2.DIST_L2, 5) / (h * k), np.float32)
    field = cv2.resize(d, (FIELD, FIELD), interpolation=cv2.INTER_LINEAR)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if found:
        c = max(found, key=cv2.contourArea)[:, 0].astype(np.float32)
        inner = (c > 1).all(1) & (c[:, 0] < hw[1] - 2) & (c[:, 1] < hw[0] - 2)  # not where the picture ends
        c = (c[inner] + 0.5) / k
        c = c[np.linspace(0, len(c) - 1, min(POINTS, len(c))).astype(int)] if len(c) else c
        count = len(c)
        points[:count] = c
        i, j = c[:, 1].astype(int).clip(0, v.height - 1), c[:, 0].astype(int).clip(0, v.width - 1)
        trust[:count] = 1.0 if v.trust is None else v.trust[i, j]
        if v.front is not None:  # the mask's edge at a bag is not the body's
            near = cv2.dilate(v.front.astype(np.uint8), np.ones((9, 9), np.uint8))
            trust[:count] *= near[i, j] == 0
    return field, points, trust, count


def _person_height(v: View) -> float:
    """Pixels from the highest to the lowest visible landmark."""
    visible = v.keypoints[:, 3] > FAINT
    y = v.keypoints[visible, 1] if visible.sum() > LEAST_LANDMARKS else v.keypoints[:, 1]
    return float(max(np.ptp(y), 1.0))


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
