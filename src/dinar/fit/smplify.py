"""Fit the body to photos: SMPLify with a segmentation term (§4.1), one shape for all photos of a person.

Minimises keypoint reprojection, limb directions of BlazePose's 3D landmarks, pose and shape priors, joint limits and
the distance between mesh and person mask, in four Adam stages (rigid, pose, pose + shape, silhouette). Several photos
of one person are optimised as one batch that shares ``betas``.

The camera sits at the world's origin and looks along -z (``T_cam_world`` = diag(1, -1, -1)), horizontal, with a fixed
focal length of 1.3 times the longer image side; the hidden depth is the weak direction of one photo, so standing
people get an upright prior, a knee prior and a correction of BlazePose's habitual lean (see ``docs/fit.md``).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..body.hands import relaxed_hands
from ..body.rotation import kabsch, matrix_to_axis_angle
from ..errors import DinarError
from ..files import check_output, replacing
from ..scene import Camera

FOCAL = 1.3  # times the longer image side; a phone held at 3-4 m

# BlazePose landmark -> (keypoint of the body, weight of its 2D error)
LANDMARKS: dict[int, tuple[str, float]] = {
    0: ("nose", 0.6), 2: ("left_eye", 0.4), 5: ("right_eye", 0.4), 7: ("left_ear", 0.6), 8: ("right_ear", 0.6),
    9: ("mouth_left", 0.4), 10: ("mouth_right", 0.4), 11: ("left_shoulder", 1), 12: ("right_shoulder", 1),
    13: ("left_elbow", 1), 14: ("right_elbow", 1), 15: ("left_wrist", 1), 16: ("right_wrist", 1),
    23: ("left_hip", 0.6), 24: ("right_hip", 0.6),
    25: ("left_knee", 1), 26: ("right_knee", 1), 27: ("left_ankle", 1), 28: ("right_ankle", 1),
    29: ("left_heel", 0.5), 30: ("right_heel", 0.5), 31: ("left_big_toe", 0.5), 32: ("right_big_toe", 0.5),
    17: ("left_pinky1", 0.3), 18: ("right_pinky1", 0.3), 19: ("left_index1", 0.3), 20: ("right_index1", 0.3),
}  # fmt: skip
LIMBS = ((11, 13), (13, 15), (12, 14), (14, 16), (23, 25), (25, 27), (24, 26), (26, 28), (11, 12), (23, 24),
         (11, 23), (12, 24), (27, 31), (28, 32), (15, 19), (16, 20), (0, 7), (0, 8))  # fmt: skip
MAIN = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # the twelve large joints that errors are reported on

# Standard deviations of the pose prior, radians.
SIGMA = {"spine": 0.15, "neck": 0.2, "head": 0.3, "collar": 0.15, "shoulder": 0.9, "elbow": 0.25, "wrist": 0.35,
         "hip": 0.9, "knee": 0.15, "ankle": 0.3}  # fmt: skip
HINGE = 1.0  # ... and of knees and elbows about their hinge
KEYPOINTS = 400.0  # weight of the 2D errors, in squared person heights, against the limbs' directions
LIMIT = 10.0  # weight of knees and elbows beyond their limits
UPRIGHT = 8.0  # weight of the upright and knee priors of standing people (docs/fit.md)
KNEES = 0.3  # share of it for bent knees, radians against slopes
LEAN = 0.17  # depth over height by which BlazePose's standing people lean (docs/fit.md)
COVER, COVER_SIGMA = 4000.0, 0.1  # weight of vertices outside the mask; person heights at which one counts half
CONTOUR, CONTOUR_SIGMA = 1500.0, 0.04  # likewise of contour points without a vertex nearby
REMATCH = 4  # steps between searches for the vertex nearest to each contour point
JOINTS = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "neck", "left_collar", "right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_index1", "left_pinky1", "right_index1", "right_pinky1",
)  # fmt: skip


@dataclass
class View:
    """What is known of one photo."""

    keypoints: np.ndarray  # [33, 4] BlazePose x, y in pixels, z, visibility in [0, 1]
    world: np.ndarray | None  # [33, 3] metres, x right, y down, z away from the camera; None: unknown
    mask: np.ndarray | None  # [H, W] bool, the person
    height: int
    width: int
    trust: np.ndarray | None = None  # [H, W] float32 in [0, 1]: how much the mask's outline is the body's; None: all
    front: np.ndarray | None = None  # [H, W] bool, what hides parts of the person: bags


@dataclass
class Fit:
    """The body in one photo."""

    betas: Tensor  # [num_betas]
    pose: Tensor  # [J, 3] axis-angle, pose[0] is the global orientation
    transl: Tensor  # [3] metres
    camera: Camera
    keypoint_error: float  # mean over the visible large joints, per cent of the person's height in the photo

    def save(self, path: str | Path) -> None:
        """Write an npz that ``--fit`` takes."""
        check_output(path, suffixes=(".npz",))
        arrays = {"betas": self.betas, "pose": self.pose, "transl": self.transl, "K": self.camera.K,
                  "T_cam_world": self.camera.T_cam_world}  # fmt: skip
        with replacing(path) as temporary:
            size = np.array([self.camera.height, self.camera.width])
            np.savez(temporary, **{k: v.numpy() for k, v in arrays.items()}, size=size)  # type: ignore[arg-type]


def load_fit(path: str | Path, body: Body, view: View) -> Fit:
    """A fit written by :meth:`Fit.save`, for the photo of ``view``; other files are refused with the reason."""
    expected = {"betas": (body.num_betas,), "pose": (body.num_joints, 3), "transl": (3,), "K": (3, 3),
                "T_cam_world": (4, 4), "size": (2,)}  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as z:
            a = {k: z[k] for k in expected}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise DinarError(f"{path} is not a fit: expected an npz with {', '.join(expected)} ({e})") from e
    for k, shape in expected.items():
        if a[k].shape != shape or not np.isfinite(a[k].astype(float)).all():
            raise DinarError(f"{path}: expected {k} of shape {list(shape)} for the {body.name} body, got "
                             f"{list(a[k].shape)}")  # fmt: skip
    t = {k: torch.from_numpy(v.astype(np.float32)) for k, v in a.items()}
    camera = Camera(t["K"], t["T_cam_world"], int(a["size"][0]), int(a["size"][1])).resized(view.height, view.width)
    return Fit(t["betas"], t["pose"], t["transl"], camera, float("nan"))


def photo_camera(height: int, width: int, focal: float | None = None) -> Camera:
    """The camera that photos are fitted with: at the origin, looking along -z; ``focal`` in pixels."""
    f = focal or FOCAL * max(height, width)
    K = torch.tensor([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1.0]])
    return Camera(K, torch.diag(torch.tensor([1.0, -1, -1, 1])), height, width)


def is_standing(keypoints: np.ndarray) -> bool:
    """Both legs stretched downwards in the picture and the shoulders above the hips; [33, 4]."""
    y = keypoints[:, 1]
    h = np.ptp(y)
    legs = all(y[k] - y[h_] > 0.17 * h and y[a] - y[k] > 0.15 * h for h_, k, a in ((23, 25, 27), (24, 26, 28)))
    return bool(legs and min(y[11:13]) < min(y[23:25]) - 0.15 * h)


def fit_body(
    body: Body,
    views: list[View],
    *,
    betas: Tensor | None = None,  # [num_betas] a known shape, kept
    shared_shape: bool = True,
    focal: float | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Fit]:
    """Fit the body to all views at once, with one shape (or one each, ``shared_shape=False``, for many people).

    Deterministic. About 2.5 s for one photo on two cores (``benchmarks/photos.py``).
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: a second thread only waits, and costs tenfold on a busy machine
    try:
        return _Problem(body, views, betas, shared_shape, focal).solve(progress)
    finally:
        torch.set_num_threads(threads)


class _Problem:
    """Targets as tensors, parameters, and the loss; all photos are one batch."""

    def __init__(self, body: Body, views: list[View], betas: Tensor | None, shared: bool, focal: float | None) -> None:
        self.full, self.views = body, views
        self.joints_only = body.reduced(body.keypoint_support, JOINTS)
        self.surface = body.reduced(np.unique(np.r_[body.keypoint_support, np.arange(0, body.num_vertices, 8)]), JOINTS)
        self.body = b = self.joints_only
        self.step, self.near = 0, torch.zeros(0)
        B = len(views)
        known = {*b.keypoint_names, *b.joint_names}
        lm = [i for i, (name, _) in LANDMARKS.items() if name in known]  # SMPL-X has no mouth corners
        row = {i: k for k, i in enumerate(lm)}
        self.rows = torch.tensor([b.keypoint_index(LANDMARKS[i][0]) for i in lm])
        self.main = torch.tensor([row[i] for i in MAIN])
        self.a, self.b = (torch.tensor([row[limb[e]] for limb in LIMBS]) for e in (0, 1))
        self.row = row
        kp = torch.tensor(np.stack([v.keypoints for v in views])[:, lm], dtype=torch.float32)
        size = torch.tensor([[v.width, v.height] for v in views], dtype=torch.float32)
        self.x2, self.visible = kp[..., :2], kp[..., 3].clamp(0, 1)
        inside = ((self.x2 > 0) & (self.x2 < size[:, None])).all(-1)
        weight = torch.tensor([LANDMARKS[i][1] for i in lm])
        self.weight = weight * torch.where(self.visible > 0, self.visible.clamp(min=0.05), 0) * inside
        self.height = torch.tensor([_person_height(v) for v in views])  # [B] pixels
        self.focal = torch.tensor([focal or FOCAL * max(v.height, v.width) for v in views])
        self.centre = size / 2
        self.standing = torch.tensor([float(is_standing(v.keypoints)) for v in views])
        world = np.stack([_unlean(v) for v in views])[:, lm]
        self.known3d = torch.tensor([float(v.world is not None) for v in views])
        self.x3 = torch.tensor(world * [1, -1, -1], dtype=torch.float32)  # into y up, z towards the camera
        self.limb_target = F.normalize(self.x3[:, self.b] - self.x3[:, self.a], dim=-1, eps=1e-6)
        self.limb_weight = torch.minimum(self.visible[:, self.a], self.visible[:, self.b]) * self.known3d[:, None]
        self._silhouette_targets()
        self._prior()
        n = 1 if shared else B
        self.betas = (torch.zeros(n, body.num_betas) if betas is None else betas.reshape(1, -1)).clone()
        self.fixed_shape = betas is not None
        self.pose = torch.zeros(B, b.num_joints - 1, 3)
        self.root = torch.zeros(B, 3)
        self.transl = torch.zeros(B, 3)

    def _silhouette_targets(self) -> None:
        """Distance outside the mask (in person heights) on a 256 px grid, and up to 250 contour points a photo."""
        fields, contours, counts, worths = [], [], [], []
        for v, h in zip(self.views, self.height.tolist(), strict=True):
            k = 256 / max(v.height, v.width)
            hw = max(2, round(v.height * k)), max(2, round(v.width * k))
            field, pts = np.zeros((256, 256), np.float32), np.zeros((250, 2), np.float32)
            worth, count = np.zeros(250, np.float32), 0
            if v.mask is not None and v.mask.any():
                m = cv2.resize(v.mask.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_AREA)
                full = m
                if v.front is not None:
                    front = cv2.resize(v.front.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST)
                    full = np.maximum(m, front)
                d = cv2.distanceTransform(1 - full, cv2.DIST_L2, 5) / (h * k)
                field = cv2.resize(d, (256, 256), interpolation=cv2.INTER_LINEAR)
                found, _ = cv2.findContours(m, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
                if found:
                    c = max(found, key=cv2.contourArea)[:, 0].astype(np.float32)
                    edge = (c > 1).all(1) & (c[:, 0] < hw[1] - 2) & (c[:, 1] < hw[0] - 2)
                    c = (c[edge] + 0.5) / k
                    c = c[np.linspace(0, len(c) - 1, min(250, len(c))).astype(int)] if len(c) else c
                    count = len(c)
                    pts[:count] = c
                    i, j = c[:, 1].astype(int).clip(0, v.height - 1), c[:, 0].astype(int).clip(0, v.width - 1)
                    worth[:count] = 1.0 if v.trust is None else v.trust[i, j]
                    if v.front is not None:  # where a bag begins the body does not end
                        near = cv2.dilate(v.front.astype(np.uint8), np.ones((9, 9), np.uint8))
                        worth[:count] *= near[i, j] == 0
            fields.append(field)
            contours.append(pts)
            counts.append(count)
            worths.append(worth)
        self.field = torch.from_numpy(np.stack(fields))[:, None]
        self.contour = torch.from_numpy(np.stack(contours))
        self.contour_weight = torch.from_numpy(np.stack(worths)) / torch.tensor(counts)[:, None].clamp(min=1)
        self.has_mask = (torch.tensor(counts) > 0).float()

    def _prior(self) -> None:
        """Precision of each joint's three angles, and the hinge axes of knees and elbows in the rest frame."""
        names = self.body.joint_names[1:]
        sd = torch.full((len(names), 3), 0.01)
        for j, n in enumerate(names):
            for key, s in SIGMA.items():
                if key in n:
                    sd[j] = s
        self.precision = 1 / sd**2
        self.hinges = []  # joint, axis of flexion, lower and upper limit
        for side, sign in (("left", -1.0), ("right", 1.0)):
            self.hinges.append((names.index(f"{side}_knee"), torch.tensor([1.0, 0, 0]), -0.05, 2.4))
            up = self.body.t_pose[self.body.joint(f"{side}_shoulder")]
            self.hinges.append((names.index(f"{side}_elbow"), up.T @ torch.tensor([0, sign, 0.0]), -0.5, 2.2))
        for j, axis, *_ in self.hinges:  # free about the hinge, stiff across it
            self.precision[j] = 0
            del axis

    def pose_cost(self) -> tuple[Tensor, Tensor, Tensor]:
        """Pose prior, joint limits, and knee bending of standing people; each [B]."""
        prior = (self.pose.square() * self.precision).sum((1, 2))
        limit, knees = torch.zeros(len(self.pose)), torch.zeros(len(self.pose))
        for k, (j, axis, lo, hi) in enumerate(self.hinges):
            bend = self.pose[:, j] @ axis
            across = self.pose[:, j].square().sum(1) - bend.square()
            sigma = SIGMA["knee" if k % 2 == 0 else "elbow"]
            prior = prior + bend.square() / HINGE**2 + across / sigma**2
            limit = limit + F.relu(lo - bend).square() + F.relu(bend - hi).square()
            if k % 2 == 0:
                knees = knees + bend.square()
        return prior, limit, knees * self.standing

    def posed(self):
        pose = torch.cat([self.root[:, None], self.pose], 1)
        return self.body(self.betas.expand(len(self.views), -1), pose, self.transl)

    def project(self, p: Tensor) -> Tensor:
        """World points [B, N, 3] -> pixels [B, N, 2]."""
        z = (-p[..., 2:]).clamp(min=0.1)
        return p[..., :2] * p.new_tensor([1, -1]) / z * self.focal[:, None, None] + self.centre[:, None]

    def initialise(self) -> None:
        """Orientation from the torso's 3D landmarks, depth from the person's height in pixels."""
        torso = torch.tensor([self.row[i] for i in (11, 12, 23, 24)])
        J = self.body.keypoints(self.posed())[:, self.rows]
        for i in range(len(self.views)):
            a, c = J[i, torso] - J[i, torso].mean(0), self.x3[i, torso] - self.x3[i, torso].mean(0)
            if self.known3d[i]:
                self.root[i] = matrix_to_axis_angle(kabsch(a, c))
            elif self.x2[i, self.row[11], 0] < self.x2[i, self.row[12], 0]:  # left shoulder on the left: from behind
                self.root[i] = torch.tensor([0, torch.pi * 0.999, 0])
        J = self.body.keypoints(self.posed())[:, self.rows]
        for i in range(len(self.views)):
            p, q, w = J[i, :, :2] * torch.tensor([1.0, -1]), self.x2[i], self.weight[i, :, None]
            p0, q0 = (p * w).sum(0) / w.sum(), (q * w).sum(0) / w.sum()
            s = ((p - p0) * (q - q0) * w).sum() / ((p - p0).square() * w).sum()  # pixels per metre
            s = s.clamp(min=0.7 * float(self.height[i]) / 1.55)
            t = (q[torso].mean(0) - self.centre[i]) / s - p[torso].mean(0)
            self.transl[i] = torch.stack([t[0], -t[1], -self.focal[i] / s - J[i, torso, 2].mean()])

    def loss(self, w: dict[str, float]) -> Tensor:
        posed = self.posed()
        J = self.body.keypoints(posed)[:, self.rows]
        h = self.height[:, None]
        r2 = (self.project(J) - self.x2).square().sum(-1) / h**2
        total = KEYPOINTS * (self.weight * _geman_mcclure(r2, w["sigma"])).sum()
        limbs = F.normalize(J[:, self.b] - J[:, self.a], dim=-1)
        total = total + w["limbs"] * (self.limb_weight * (1 - (limbs * self.limb_target).sum(-1))).sum()
        prior, limit, knees = self.pose_cost()
        total = total + (w["pose"] * prior + LIMIT * limit + w["upright"] * KNEES * knees).sum()
        total = total + w["shape"] * self.betas.square().sum() * len(self.views) / len(self.betas)
        total = total + w["upright"] * (self.standing * self._lean(J)).sum()
        if w["silhouette"]:
            x = self.project(posed.vertices)
            grid = x / self.centre[:, None] - 1
            d = F.grid_sample(self.field, grid[:, None], align_corners=False, padding_mode="border")[:, 0, 0]
            total = total + w["silhouette"] * COVER * _geman_mcclure(d.square(), COVER_SIGMA).mean(1).sum()
            # nearest vertex by index, now and then, and a differentiable distance to it
            if self.step % REMATCH == 0:
                with torch.no_grad():
                    self.near = torch.cdist(self.contour, x).argmin(2)
            near = self.near
            gap = (x.gather(1, near[..., None].expand(-1, -1, 2)) - self.contour).square().sum(-1) / h**2
            cost = (_geman_mcclure(gap, CONTOUR_SIGMA) * self.contour_weight).sum(1) * self.has_mask
            total = total + w["silhouette"] * CONTOUR * cost.sum()
        return total

    def _lean(self, J: Tensor) -> Tensor:
        """[B] squared slope of legs and torso along the hidden depth, where both are seen."""
        mid = lambda a, b: (J[:, self.row[a]] + J[:, self.row[b]]) / 2  # noqa: E731
        shoulders, hips, ankles = mid(11, 12), mid(23, 24), mid(27, 28)
        legs = (ankles[:, 2] - hips[:, 2]) / (hips[:, 1] - ankles[:, 1]).clamp(min=0.3)
        torso = (shoulders[:, 2] - hips[:, 2]) / (shoulders[:, 1] - hips[:, 1]).clamp(min=0.2)
        return legs.square() + torso.square()

    def stage(self, steps: int, lr: float, rates: dict[str, float], **weights: float) -> None:
        """Adam with cosine decay to a tenth; ``rates`` are multiples of ``lr`` for root, transl, pose, betas."""
        params = {k: getattr(self, k).requires_grad_(True) for k in rates if not (k == "betas" and self.fixed_shape)}
        opt = torch.optim.Adam([{"params": [p], "lr": lr * rates[k]} for k, p in params.items()], betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps, eta_min=lr * 0.1)
        self.body = self.surface if weights["silhouette"] else self.joints_only
        for self.step in range(steps):
            opt.zero_grad()
            self.loss(weights).backward()
            opt.step()
            schedule.step()
        for k in params:
            getattr(self, k).requires_grad_(False)

    def solve(self, progress: Callable[[str], None]) -> list[Fit]:
        for name in self.stages():
            progress(name)
        return self.results()

    def stages(self) -> Iterator[str]:
        """Yields after each stage; what stands then is :meth:`results`."""
        up = UPRIGHT
        with torch.no_grad():
            self.initialise()
        yield "start"
        self.stage(30, 0.06, dict(root=1, transl=2), sigma=1.0, limbs=1, pose=0.05, shape=1, upright=0, silhouette=0)
        self.stage(80, 0.058, dict(root=1, transl=1, pose=1),
                   sigma=0.3, limbs=2, pose=0.02, shape=1, upright=up, silhouette=0)  # fmt: skip
        yield "pose"
        self.stage(65, 0.035, dict(root=0.5, transl=1, pose=0.6, betas=3),
                   sigma=0.1, limbs=0.5, pose=0.01, shape=0.03, upright=up, silhouette=0)  # fmt: skip
        yield "shape"
        if self.has_mask.any():
            self.stage(80, 0.023, dict(root=0.5, transl=1, pose=0.5, betas=3),
                       sigma=0.1, limbs=0.3, pose=0.012, shape=0.03, upright=up, silhouette=1)  # fmt: skip
        yield "silhouette"

    @torch.no_grad()
    def results(self) -> list[Fit]:
        x = self.project(self.body.keypoints(self.posed())[:, self.rows])
        error = (x - self.x2).norm(dim=-1)[:, self.main] / self.height[:, None]
        seen = (self.visible[:, self.main] > 0.5).float()
        error = (error * seen).sum(1) / seen.sum(1).clamp(min=1) * 100
        index = [self.full.joint(n) for n in self.body.joint_names]
        fits = []
        for i, v in enumerate(self.views):
            pose = relaxed_hands(self.full)
            body_joints = torch.cat([self.root[i][None], self.pose[i]])
            for j, name, a in zip(index, self.body.joint_names, body_joints, strict=True):
                if not name.endswith("1") or name.startswith("spine"):  # the knuckles are only seen, not bent
                    pose[j] = a
            camera = photo_camera(v.height, v.width, float(self.focal[i]))
            b = self.betas[min(i, len(self.betas) - 1)].clone()
            fits.append(Fit(b, pose, self.transl[i].clone(), camera, float(error[i])))
        return fits


def _geman_mcclure(r2: Tensor, sigma: float) -> Tensor:
    return sigma**2 * r2 / (sigma**2 + r2)


def _person_height(v: View) -> float:
    """Pixels from the highest to the lowest visible landmark."""
    y = v.keypoints[v.keypoints[:, 3] > 0.05, 1] if (v.keypoints[:, 3] > 0.05).sum() > 8 else v.keypoints[:, 1]
    return float(max(np.ptp(y), 1.0))


def _unlean(v: View) -> np.ndarray:
    """World landmarks [33, 3] of a standing person with BlazePose's lean taken out: a shear of depth with height,
    in proportion to how frontal the person is (measured: FINDINGS in ``docs/fit.md``). Zeros if unknown."""
    if v.world is None:
        return np.zeros((33, 3), np.float32)
    w = v.world.copy()
    if is_standing(v.keypoints):
        yaw = np.arctan2(w[11, 2] - w[12, 2], w[11, 0] - w[12, 0])
        w[:, 2] -= LEAN * max(0.0, np.cos(yaw)) * (w[:, 1] - (w[23, 1] + w[24, 1]) / 2)
    return w
