"""Motions in one canonical form, and the way between it and a body's pose parameters.

Canonical: rotations in the joint hierarchy of SMPL-X relative to SMPL's T-pose (arms along x, palms down), y up,
facing +z. Whatever skeleton a motion comes from, it is brought into this form once (:mod:`dinar.body.readers`), and
:func:`retarget` takes it to any body whose ``t_pose`` is known: per joint, global orientations agree.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from .body import PARTS, Body
from .hands import relaxed_hands
from .rotation import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quaternion, quaternion_to_matrix, slerp
from .skeleton import LEG, PARENT, SMPLX

MIN_FPS, MAX_FPS = 0.1, 1000.0
MAX_FRAMES = 100_000  # 55 minutes at 30 a second
MAX_DISTANCE = 10_000  # metres from where the motion begins; beyond it units are not metres


@dataclass(frozen=True, eq=False)
class Motion:
    """Frames of a canonical skeleton; a static pose is a motion of one frame."""

    name: str
    joint_names: tuple[str, ...]  # of SMPL-X, parents first; those of the source only
    rotations: Tensor  # [T, J, 3, 3] local: relative to the nearest ancestor, in the axes of the T-pose
    transl: Tensor  # [T, 3] metres of the pelvis relative to its rest, y up, first frame at x = z = 0
    fps: float
    hip_height: float  # metres from the sole to the pelvis of the source when it stands
    loop: bool = False  # the frame after the last is the first
    expression: Tensor | None = None  # [T, E]
    expression_names: tuple[str, ...] = field(default=())
    layout: str = ""  # what the reader took the file for

    def __post_init__(self) -> None:
        T, J = self.rotations.shape[:2]
        unknown = [n for n in self.joint_names if n not in PARENT]
        if unknown:
            raise DinarError(f"motion {self.name}: expected joint names of SMPL-X, got {unknown[0]!r}")
        if self.rotations.shape != (T, len(self.joint_names), 3, 3) or self.transl.shape != (T, 3) or not T or not J:
            raise DinarError(f"motion {self.name}: expected rotations [T, {len(self.joint_names)}, 3, 3] and transl "
                             f"[T, 3], got {list(self.rotations.shape)} and {list(self.transl.shape)}")  # fmt: skip
        if not (torch.isfinite(self.rotations).all() and torch.isfinite(self.transl).all()):
            raise DinarError(f"motion {self.name}: expected finite numbers, got NaN or infinity; "
                             "leave out the frames where tracking failed")  # fmt: skip
        if not (MIN_FPS <= self.fps <= MAX_FPS and self.hip_height > 0):
            raise DinarError(f"motion {self.name}: expected {MIN_FPS:g} to {MAX_FPS:g} frames per second and a hip "
                             f"height above 0, got {self.fps:g} and {self.hip_height:g}; say the frame rate with "
                             "--motion-fps")  # fmt: skip
        if T > MAX_FRAMES or float(self.transl.abs().max()) > MAX_DISTANCE:
            raise DinarError(f"motion {self.name}: expected at most {MAX_FRAMES} frames within {MAX_DISTANCE} m, got "
                             f"{T} frames, up to {float(self.transl.abs().max()):.3g} m away; cut the motion, and "
                             "check its unit")  # fmt: skip

    def __len__(self) -> int:
        return len(self.rotations)

    @property
    def duration(self) -> float:
        """Seconds; a loop includes the way from the last frame to the first."""
        return (len(self) if self.loop else len(self) - 1) / self.fps

    def resampled(self, fps: float) -> Motion:
        """The motion at another frame rate: slerp of rotations, linear translation. A loop stays closed."""
        if not MIN_FPS <= fps <= MAX_FPS:
            raise DinarError(f"expected {MIN_FPS:g} to {MAX_FPS:g} frames per second, got {fps:g}")
        if len(self) == 1 or fps == self.fps:
            return dataclasses.replace(self, fps=fps)
        n = max(1, round(self.duration * fps)) if self.loop else int(self.duration * fps + 1e-6) + 1
        if not n <= MAX_FRAMES:
            raise DinarError(f"motion {self.name}: expected at most {MAX_FRAMES} frames, but {self.duration:.0f} s at "
                             f"{fps:g} frames per second are {n}; cut the motion, or check its frame rate")  # fmt: skip
        t = torch.arange(n, dtype=torch.float64) * (len(self) / n if self.loop else self.fps / fps)
        return dataclasses.replace(self._at(t), fps=fps)

    def sliced(self, start: float = 0.0, stop: float | None = None) -> Motion:
        """The frames between two times in seconds, no longer a loop."""
        a, b = round(start * self.fps), len(self) if stop is None else round(stop * self.fps)
        if not 0 <= a < min(b, len(self)):
            raise DinarError(f"motion {self.name}: expected a time span inside {self.duration:.2f} s, "
                             f"got {start:g} to {stop if stop is not None else self.duration:g} s")  # fmt: skip
        part = slice(a, min(b, len(self)))
        shift = self.transl[a] * self.transl.new_tensor([1, 0, 1])
        e = self.expression
        return dataclasses.replace(self, rotations=self.rotations[part], transl=self.transl[part] - shift, loop=False,
                                   expression=None if e is None else e[part])  # fmt: skip

    def _at(self, t: Tensor) -> Motion:
        """Frames at fractional indices t [N]."""
        T = len(self)
        i = t.floor().long().clamp(max=T - 1)
        k = (i + 1) % T if self.loop else (i + 1).clamp(max=T - 1)
        f = (t - i).to(self.rotations.dtype)
        q = matrix_to_quaternion(self.rotations)
        R = quaternion_to_matrix(slerp(q[i], q[k], f[:, None].expand(-1, q.shape[1])))
        mix = lambda x: x[i] + (x[k] - x[i]) * f[:, None]  # noqa: E731
        return dataclasses.replace(self, rotations=R, transl=mix(self.transl),
                                   expression=None if self.expression is None else mix(self.expression))  # fmt: skip

    def orientations(self) -> dict[str, Tensor]:
        """Global rotation [T, 3, 3] of every joint of SMPL-X; joints without data turn with their parent."""
        G: dict[str, Tensor] = {"": torch.eye(3, dtype=self.rotations.dtype, device=self.rotations.device)}
        at = {n: j for j, n in enumerate(self.joint_names)}
        for n, parent in PARENT.items():
            G[n] = G[parent] @ self.rotations[:, at[n]] if n in at else G[parent]
        G.pop("")
        return {n: g.expand(len(self), 3, 3) for n, g in G.items()}


def expression_of(motion: Motion, body: Body) -> Tensor | None:
    """[T, num_expression] of the body's expressions that the motion has by name; None: it has none of them."""
    have = {n: i for i, n in enumerate(motion.expression_names)}
    if motion.expression is None or not any(n in have for n in body.expression_names):
        return None
    zeros = motion.expression.new_zeros(len(motion))
    return torch.stack([motion.expression[:, have[n]] if n in have else zeros for n in body.expression_names], 1)


def retarget(
    motion: Motion,
    body: Body,
    betas: Tensor | None = None,  # [<= num_betas] shape of the person, for the length of the legs; None: mean
    ground: bool = True,  # stand on the floor y = 0, never in it; False: relative to the pelvis of the rest pose
    offsets: Tensor | None = None,  # [V, 3] metres in the rest pose: soles and heels of shoes; None: bare feet
) -> tuple[Tensor, Tensor]:
    """Pose [T, J, 3] axis-angle and transl [T, 3] metres of ``body`` for every frame.

    Fingers that the motion lacks are relaxed, other joints keep the body's rest pose. Steps scale with the legs.
    """
    device = body.v_template.device
    G = {n: g.to(device, torch.float32) for n, g in motion.orientations().items()}
    aligned = to_t_pose(body)
    relaxed = axis_angle_to_matrix(relaxed_hands(body).to(device))
    out: list[Tensor] = []
    for j, n in enumerate(body.joint_names):
        known = n in motion.joint_names or j == 0
        out.append(G[n] @ aligned[j] if known else out[body.parents[j]] @ relaxed[j])
    local = [out[0]] + [out[p].mT @ out[j] for j, p in enumerate(body.parents) if p >= 0]
    pose = matrix_to_axis_angle(torch.stack(local, 1))
    b = torch.zeros(1, 1, device=device) if betas is None else betas.to(device).reshape(1, -1)
    v, joints = body.rest(b)
    transl = motion.transl.to(device, torch.float32) * float((joints[0, 0, 1] - v[0, :, 1].min()) / motion.hip_height)
    if ground:
        low = lowest(body, b, pose, transl, offsets)
        transl = transl + transl.new_tensor([0, 1, 0]) * (_lift(low, motion) - low.quantile(0.3))[:, None]
    return pose, transl


def _lift(low: Tensor, motion: Motion) -> Tensor:
    """[T] metres that keep every frame out of the floor, which is where it lies for three frames in ten.

    Limbs of other proportions sink in for moments (hands in a cartwheel); the lift fades in and out over 0.2 s.
    """
    need = (low.quantile(0.3) - low).clamp(min=0)
    r = min(round(0.1 * motion.fps), (len(low) - 1) // 2)
    if r < 1 or float(need.max()) < 1e-4:
        return need
    pad = torch.nn.functional.pad
    mode = "circular" if motion.loop else "replicate"
    wide = torch.nn.functional.max_pool1d(pad(need[None, None], (r, r), mode), 2 * r + 1, 1)
    return torch.nn.functional.avg_pool1d(pad(wide, (r, r), mode), 2 * r + 1, 1)[0, 0]


def canonical_pose(
    body: Body,
    pose: Tensor,  # [T, J, 3] or [J, 3] axis-angle of this body
    transl: Tensor | None = None,  # [T, 3] or [3] metres
    fps: float = 30.0,
    name: str = "pose",
) -> Motion:
    """The inverse of :func:`retarget`: a fitted pose as a motion that any body can take."""
    pose = pose.reshape(-1, body.num_joints, 3)
    R = axis_angle_to_matrix(pose.to(body.t_pose))
    G: list[Tensor] = []
    for j, p in enumerate(body.parents):
        G.append(R[:, j] if p < 0 else G[p] @ R[:, j])
    canonical = {n: G[j] @ to_t_pose(body)[j].T for j, n in enumerate(body.joint_names)}
    names = tuple(n for n in SMPLX if n in canonical)
    t = pose.new_zeros(len(pose), 3) if transl is None else transl.reshape(-1, 3)
    hip = float(body.j_template[0, 1] - body.v_template[:, 1].min())
    return from_orientations(name, {n: canonical[n] for n in names}, t - t[:1] * t.new_tensor([1, 0, 1]), fps, hip)


def from_orientations(
    name: str,
    orientations: dict[str, Tensor],  # global [T, 3, 3] of the joints that the source has, relative to the T-pose
    transl: Tensor,  # [T, 3]
    fps: float,
    hip_height: float,
    layout: str = "",
) -> Motion:
    """A motion from global orientations; joints between two given ones stay straight."""
    names = tuple(n for n in SMPLX if n in orientations)
    local = []
    for n in names:
        p = PARENT[n]
        while p and p not in orientations:
            p = PARENT[p]
        g = orientations[n]
        local.append(orientations[p].mT @ g if p else g)
    return Motion(name, names, torch.stack(local, 1).float(), transl.float(), fps, hip_height, layout=layout)


@lru_cache(maxsize=8)
def to_t_pose(body: Body) -> Tensor:
    """Global rotations [J, 3, 3] from the rest pose to SMPL's T-pose: ``body.t_pose``, and legs as SMPL has them.

    Other bodies rest with their legs apart; turned as a whole, hip to ankle, the stance of a motion keeps its width.
    """
    A = body.t_pose.clone()
    if body.name == "smplx":
        return A
    for side in ("left", "right"):
        hip, knee, ankle = (body.joint(f"{side}_{n}") for n in ("hip", "knee", "ankle"))
        leg = (body.j_template[ankle] - body.j_template[hip]).cpu().double().numpy()
        R = A.new_tensor(rotation_between((A[hip].cpu().double().numpy() @ leg), np.array(LEG[side])))
        A[hip], A[knee] = R @ A[hip], R @ A[knee]
    return A


def rotation_between(
    a: np.ndarray,  # [3] any length
    b: np.ndarray,  # [3]
) -> np.ndarray:
    """Smallest rotation [3, 3] that turns direction a into direction b; opposite ones turn about x or z."""
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    c = a @ b
    if c < -0.9999:
        axis = np.cross(a, [1, 0, 0] if abs(a[0]) < 0.9 else [0, 0, 1])
        axis /= np.linalg.norm(axis)
        return 2 * np.outer(axis, axis) - np.eye(3)
    v = np.cross(a, b)
    k = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return np.eye(3) + k + k @ k / (1 + c)


@torch.no_grad()
def lowest(
    body: Body,
    betas: Tensor,  # [1, <= num_betas]
    pose: Tensor,  # [T, J, 3]
    transl: Tensor,  # [T, 3]
    offsets: Tensor | None = None,  # [V, 3] metres: of them, those of feet count, not those of clothes
) -> Tensor:
    """Height [T] of the lowest point of every frame, from the soles and a sixth of the other vertices."""
    small, keep, feet = _sampled(body)
    shoes = None if offsets is None else (offsets.to(feet) * feet[:, None])[keep]
    low = [
        small(betas, p, t, offsets=shoes).vertices[..., 1].amin(1)
        for p, t in zip(pose.split(64), transl.split(64), strict=True)
    ]  # fmt: skip
    return torch.cat(low)


@lru_cache(maxsize=8)
def _sampled(body: Body) -> tuple[Body, Tensor, Tensor]:
    """The reduced body, its vertices of the whole one, and which of all [V] are of feet."""
    keep = np.zeros(body.num_vertices, bool)
    keep[::6] = True
    v = body.v_template.cpu().numpy()
    keep |= v[:, 1] < v[:, 1].min() + 0.03
    feet = torch.as_tensor(np.isin(body.vertex_part, [PARTS.index(f"{s}_foot") for s in ("left", "right")]))
    kept = np.flatnonzero(keep)
    return body.reduced(kept), torch.from_numpy(kept), feet.to(body.v_template)
