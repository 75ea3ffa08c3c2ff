"""Inputs of the pose network without pictures: random bodies in random poses before random cameras, with the errors
that keypoints and surface network make.

What both would say without error follows from points on the body. Of people whose pictures were read (:mod:`.pose`)
both are known: each of them gives an error of all inputs, of which a simulated person takes one of somebody alike.
"""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..body.motion import Motion, retarget
from ..body.postures import posture
from ..body.readers import load_motion
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..body.skeleton import BODY, other_side
from ..body.varied_postures import varied_posture
from ..errors import DinarError
from ..fit.view import LANDMARKS
from ..nets.pose import INPUTS
from ..nets.surface import SURFACE_PARTS, vertex_surface_parts
from ..photo.pose import LITTLE, SPREAD
from .pose import mirrored

POINTS = 1500  # on the body
CELLS = 44  # of the longer side of a person's box, in which the nearest point is seen
CELL = 0.095  # of these cells: area of a cell of the surface network
ALIKE = 8  # of so many people who look most like a simulated one, one gives the errors
LARGEST = 8000  # people who give errors
STAND_IN = {1: 2, 3: 2, 4: 5, 6: 5, 21: 19, 22: 20}  # BlazePose's points that the body lacks -> the nearest it has
KNUCKLES = ("left_index1", "left_pinky1", "right_index1", "right_pinky1")

# Poses, angles and distances.
POSTURES = 9000  # random ones, two thirds of them varied; as many everyday ones; all are also mirrored
EVERYDAY = 0.5  # share of people in everyday postures
SHUFFLED = 0.35, 0.15  # share of people with another's upper body; each limb is another's in a quarter of it; everyday
LOOSE = 0.08  # radians: mean standard deviation of what is added to all joints
STEEP = 0.45, 0.05  # share of cameras from any height; the others are nearly level, as photographers are; everyday
FOCAL = (0.85, 2.6)  # of picture sides, as of generated people
SHARE = (0.74, 0.93)  # of the picture's side that a person fills
BESIDE = 0.25  # metres that a person is larger than the box of their joints

_has = lambda *words: [j for j, n in enumerate(BODY) if any(w in n for w in words)]  # noqa: E731
UPPER = _has("spine", "neck", "head", "collar", "shoulder", "elbow", "wrist")
LIMBS = [[j for j in _has(*chain) if BODY[j].startswith(side)] for side in ("left", "right")
         for chain in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle", "foot"))]  # fmt: skip


class Simulator:
    """Simulated people in the frames of :class:`dinar.photo.pose.BodyGuess`."""

    def __init__(self, body: Body, poses: Tensor, everyday: Tensor) -> None:  # [N, 22, 3, 3] of :func:`random_poses`
        self.poses, self.everyday = poses, everyday
        area = _areas(body)
        some = np.sort(np.random.default_rng(0).choice(body.num_vertices, POINTS, False, area / area.sum()))
        keep = np.unique(np.r_[body.keypoint_support, some])
        self.body = b = body.reduced(keep, (*BODY, *KNUCKLES))
        self.row = torch.from_numpy(np.searchsorted(keep, some))
        self.part = torch.from_numpy(vertex_surface_parts(body)[some].astype(np.int64))
        self.rest = body.v_template[some]
        self.landmarks = torch.tensor([b.keypoint_index(LANDMARKS[STAND_IN.get(i, i)][0]) for i in range(33)])

    def people(self, rng: np.random.Generator, n: int) -> dict[str, Tensor]:
        """What :func:`dinar.data.pose.truth` says of ``n`` random people."""
        random = torch.Generator().manual_seed(int(rng.integers(2**62)))
        u = lambda *shape: torch.rand(*shape, generator=random)  # noqa: E731
        g = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
        everyday = u(n) < EVERYDAY
        of = lambda shares: torch.where(everyday, shares[1], shares[0])  # noqa: E731
        pick = lambda poses: poses[torch.randint(len(poses), (n,), generator=random)]  # noqa: E731
        drawn = lambda: torch.where(everyday[:, None, None, None], pick(self.everyday), pick(self.poses))  # noqa: E731
        R = drawn()
        for joints, share in ((UPPER, 1.0), *((limb, 0.25) for limb in LIMBS)):
            other = (u(n) < share * of(SHUFFLED))[:, None, None, None]
            R[:, joints] = torch.where(other, drawn()[:, joints], R[:, joints])
        pose = matrix_to_axis_angle(R[:, 1:]) + 2 * LOOSE * u(n, 1, 1) * g(n, len(BODY) - 1, 3)
        betas = self._shapes(u(n) < 0.5, (0.85 * g(8 * n, self.body.num_betas)).clamp(-2.2, 2.2))
        up = torch.where(u(n) < of(STEEP), -30 + 75 * u(n), (2 + 7 * g(n)).clamp(-18, 32)).deg2rad()
        front = R[:, 0, :, 2]
        azimuth = torch.where(u(n) < 0.25, 0.45 * g(n), math.pi * (2 * u(n) - 1))
        C = _cameras(up, azimuth + torch.atan2(front[:, 0], front[:, 2]), (1.2 * g(n)).deg2rad())
        angles = torch.cat([matrix_to_axis_angle(R[:, :1]), pose], 1)
        J = self.body.skinning(self.body.rest_joints(self.body.coefficients(betas)), _with_hands(angles))[1]
        box = (J @ C.mT)[..., :2]
        extent = (box.amax(1) - box.amin(1)).amax(1) + BESIDE
        focal = torch.exp(math.log(FOCAL[0]) + math.log(FOCAL[1] / FOCAL[0]) * u(n))
        distance = focal * extent / (SHARE[0] + (SHARE[1] - SHARE[0]) * u(n)) + BESIDE / 2
        return {"true_root": C @ R[:, 0], "true_pose": pose, "true_betas": betas, "true_up": C[:, :, 1],
                "true_distance": distance}  # fmt: skip

    def _shapes(self, male: Tensor, draws: Tensor) -> Tensor:
        """As :func:`dinar.synthetic.people.people.sample_betas`: of eight draws the broadest shoulders or hips."""
        n = len(male)
        rest = self.body.rest_joints(self.body.coefficients(draws))[..., 0]
        broad = (rest[:, BODY.index("left_shoulder")] / rest[:, BODY.index("left_hip")]).view(n, 8)
        return draws.view(n, 8, -1)[torch.arange(n), torch.where(male, broad.argmax(1), broad.argmin(1))]

    def inputs(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inputs of these people without errors; nothing is said of visibility and doubt."""
        pose = torch.cat([matrix_to_axis_angle(x["true_root"])[:, None], x["true_pose"]], 1)
        posed = self.body(x["true_betas"], _with_hands(pose))
        V, far = posed.vertices[:, self.row] - posed.joints[:, :1], x["true_distance"]
        place = F.pad(far[:, None], (2, 0))  # of the pelvis
        for _ in range(3):  # the camera looks at the middle of the person's box
            place[:, :2] -= _box(_projected(V + place[:, None]))[0] * place[:, 2:]
            place = place * (far / place.norm(dim=1))[:, None]
        z, xy = (V + place[:, None])[..., 2].clamp(min=0.1), _projected(V + place[:, None])
        middle, side = (b[:, None] for b in _box(xy))
        at = (((xy - middle) / side + 0.5) * CELLS).long().clamp(0, CELLS - 1)
        cell = at[..., 1] * CELLS + at[..., 0]
        nearest = torch.full((len(z), CELLS**2), 1e9).scatter_reduce(1, cell, z, "amin")
        seen = (z <= nearest.gather(1, cell)).float()  # [n, POINTS]
        share = (seen / seen.sum(1, keepdim=True))[..., None]
        size = ((xy - (xy * share).sum(1, keepdim=True)).square() * share).sum((1, 2)).sqrt()[:, None, None]
        points = self.body.keypoints(posed)[:, self.landmarks] - posed.joints[:, :1] + place[:, None]
        world = points - points[:, 23:25].mean(1, keepdim=True)
        depth = world[..., 2] / points[:, 23:25, 2].mean(1, keepdim=True) / size[..., 0]
        flat = torch.cat([(_projected(points) - middle) / size, depth[..., None], 0 * depth[..., None]], 2)
        turn = torch.stack([x["true_up"], x["true_root"][:, :, 1], x["true_root"][:, :, 2]], 1)
        area = (side / CELLS / size)[:, 0] ** 2
        return {"keypoints": flat, "world": world, "turn": turn, **self._moments(seen, (xy - middle) / size, area)}

    def _moments(self, seen: Tensor, at: Tensor, area: Tensor) -> dict[str, Tensor]:
        """As :func:`dinar.photo.pose.part_moments`, of points ``at`` [n, POINTS, 2], ``seen`` or not, each of the
        ``area`` [n, 1] of a cell."""
        weight = F.one_hot(self.part, len(SURFACE_PARTS)).float().T * seen[:, None]  # [n, K, POINTS]
        mass = weight.sum(2)
        little = LITTLE * CELL
        both = torch.cat([at, self.rest.expand(len(at), -1, -1)], 2)
        one = weight @ both / (mass + little)[..., None]  # [n, K, 5]
        two = weight @ (both[..., None] * both[..., None, :]).flatten(2) / (mass + little)[..., None]
        known = (mass / (mass + little)).clamp(min=1e-6)[..., None, None]
        two = two.unflatten(2, (5, 5)) - one[..., None] * one[..., None, :] / known
        own = two[..., 2:, 2:] + SPREAD**2 * torch.eye(3)
        return {"mass": (mass * area).sqrt(), "mean": one[..., :2], "rest": one[..., 2:], "spread": two[..., :2, :2],
                "affine": two[..., :2, 2:] @ torch.linalg.inv(own), "doubt": torch.zeros_like(mass)}  # fmt: skip


class Errors:
    """Errors of the inputs of people whose pictures were read, and of their mirror images."""

    def __init__(self, simulator: Simulator, people: dict[str, Tensor]) -> None:
        some = {k: v[:: 1 + len(v) // LARGEST] for k, v in people.items()}
        both = {k: torch.cat([v, other]) for (k, v), other in zip(some.items(), mirrored(some).values(), strict=True)}
        chunks = (range(i, min(i + 256, len(both["turn"]))) for i in range(0, len(both["turn"]), 256))
        parts = [simulator.inputs({k: v[c.start : c.stop] for k, v in both.items()}) for c in chunks]
        ideal = {k: torch.cat([p[k] for p in parts]) for k in INPUTS}
        self.error = {k: both[k] - ideal[k] for k in INPUTS}
        self.visible = both["keypoints"][..., 3:]
        self.world = both["world"].flatten(1).any(1).float()[:, None, None]  # whether they are known
        self.look = _look(ideal)

    def alike(self, x: dict[str, Tensor]) -> Tensor:
        """[B, ALIKE] rows of those who look most like the people of these inputs."""
        return torch.cdist(_look(x), self.look).topk(min(ALIKE, len(self.look)), largest=False).indices

    def add(self, x: dict[str, Tensor], i: Tensor) -> dict[str, Tensor]:
        """``x`` with the inputs as they would be found, by the errors of rows ``i`` [B]."""
        out = {**x, **{k: x[k] + self.error[k][i] for k in INPUTS}}
        out["keypoints"][..., 3:] = self.visible[i]
        out["keypoints"] = out["keypoints"] * (self.visible[i] > 0)
        out["world"] = out["world"] * (self.visible[i] > 0) * self.world[i]
        return out | {"turn": F.normalize(out["turn"], dim=-1), "mass": out["mass"].clamp(min=0)}


def _look(x: dict[str, Tensor]) -> Tensor:
    """[B, n] what tells who looks alike."""
    return torch.cat([x["keypoints"][..., :2].flatten(1), 2 * x["turn"].flatten(1), 3 * x["mass"]], 1)


def _projected(p: Tensor) -> Tensor:
    return p[..., :2] / p[..., 2:].clamp(min=0.1)


def _box(xy: Tensor) -> tuple[Tensor, Tensor]:
    """[n, P, 2] -> the middles of their boxes [n, 2] and the longer sides [n, 1]."""
    low, high = xy.amin(1), xy.amax(1)
    return (low + high) / 2, (high - low).amax(1, keepdim=True) * 1.001


def _with_hands(pose: Tensor) -> Tensor:
    """Straight knuckles behind the joints of BODY."""
    return F.pad(pose, (0, 0, 0, len(KNUCKLES)))


def _cameras(up: Tensor, azimuth: Tensor, roll: Tensor) -> Tensor:
    """[n, 3, 3] from the world (y up) to x right, y down, z away, of cameras at these heights (radians)."""
    z = -torch.stack([azimuth.sin() * up.cos(), up.sin(), azimuth.cos() * up.cos()], 1)
    x = F.normalize(torch.linalg.cross(z, torch.tensor([0.0, 1, 0]).expand_as(z)), dim=1)
    y = torch.linalg.cross(z, x)
    c, s = roll.cos()[:, None], roll.sin()[:, None]
    return torch.stack([x * c + y * s, y * c - x * s, z], 1)


def random_poses(
    body: Body, rng: np.random.Generator, motions: Path | None, count: int = POSTURES, everyday: bool = False
) -> Tensor:
    """[N, 22, 3, 3] of skeleton.BODY, the pelvis' in a world whose y is up: ``count`` postures, the frames of all clips
    of a folder, and both mirrored."""
    found = [posture(rng) if everyday or k % 3 == 0 else varied_posture(rng) for k in range(count)]
    for path in sorted(motions.iterdir()) if motions else ():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of missing rates: only poses are taken
                found.append(load_motion(path))
        except DinarError:  # licences lie among the clips
            continue
    groups: dict[tuple[str, ...], list[Tensor]] = {}
    for m in found:
        groups.setdefault(m.joint_names, []).append(m.rotations.float())
    own, out = [body.joint(n) for n in BODY], []
    for names, rotations in groups.items():
        for part in torch.cat(rotations).split(256):
            m = Motion("poses", names, part, torch.zeros(len(part), 3), 30.0, 1.0)
            out.append(axis_angle_to_matrix(retarget(m, body, ground=False)[0][:, own]))
    R, M = torch.cat(out), torch.diag(torch.tensor([-1.0, 1, 1]))
    return torch.cat([R, M @ R[:, [BODY.index(other_side(n)) for n in BODY]] @ M])


def simulate(
    body: Body,
    read: dict[str, Tensor],  # inputs and truth of people whose pictures were read
    count: int,
    motions: Path | None,
    seed: int,
    chunk: int = 256,
) -> dict[str, np.ndarray]:
    """Inputs without errors and truth of ``count`` people, and the rows of :class:`Errors` that look alike."""
    rng = np.random.default_rng(seed)
    poses = (random_poses(body, rng, motions, min(POSTURES, count), everyday) for everyday in (False, True))
    simulator = Simulator(body, *poses)
    errors, parts = Errors(simulator, read), []
    for i in range(0, count, chunk):
        x = simulator.people(rng, min(chunk, count - i))
        ideal = simulator.inputs(x)
        parts.append({**ideal, **x, "alike": errors.alike(ideal).int()})
    return {k: torch.cat([p[k] for p in parts]).numpy() for k in parts[0]}


def _areas(body: Body) -> np.ndarray:
    """[V] square metres of the skin around each vertex."""
    faces = body.faces[body.of_segment("skin")].astype(np.int64)
    a, b, c = body.v_template.numpy()[faces.T]
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return np.bincount(faces.T.reshape(-1), np.tile(area, 3), body.num_vertices)
