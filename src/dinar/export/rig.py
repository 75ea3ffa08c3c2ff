"""The skeleton of an exported file: bones at rest, and their movement in a clip.

A bone moves rigidly with its joint. Its axes at rest are the profile's: a program applies rotations of a clip by name
only if the axes agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.motion import rotation_between, to_t_pose
from ..body.rotation import matrix_to_axis_angle
from .chains import follow, points_of
from .profiles import PROFILES, Pose, Profile, is_finger

GROUNDING_FRAMES = 240  # largest number of frames in which the lowest point of a clip is searched

# Rest pose of Mixamo's X Bot. Middle bones and feet: angle about x between the bone and world y, degrees; shoulders:
# direction of the left one. Its other bones point along the limb.
_XBOT_TILT = {"pelvis": 0.74, "spine1": -8.46, "spine2": -8.46, "spine3": -6.98, "neck": -6.98, "head": -6.98,
              "jaw": -6.98, "eye": -6.98, "ankle": 129.18, "foot": 90.0}  # fmt: skip
_XBOT_SHOULDER = np.array([0.9774, -0.0484, -0.2060])


@dataclass
class Rig:
    """One person's mesh and joints in the body's rest pose, with the bones of a profile."""

    body: Body
    v: Tensor  # [V, 3] metres
    joints: Tensor  # [J, 3] metres
    weights: np.ndarray  # [V, J + K] that the file will have: of the body's joints and those of its chains
    profile: Profile
    pose: Pose

    @cached_property
    def stance(self) -> np.ndarray:
        """Transforms [J + K, 4, 4] of the joints from the body's rest pose to the file's, which stands on y = 0."""
        J = self.body.num_joints
        G = np.tile(np.eye(3), (J, 1, 1)) if self.pose == "rest" else self._straight_t_pose()
        A = self._skinning(matrix_to_axis_angle(_local(torch.from_numpy(G), self.body))[None], torch.zeros(1, 3))
        A = A[0].numpy()
        A[:, 1, 3] -= self.moved(A)[:, 1].min()
        return A

    def _straight_t_pose(self) -> np.ndarray:
        """Global rotations [J, 3, 3] to the T-pose: arms and fingers along x, palms down."""
        G = to_t_pose(self.body).double().numpy().copy()
        for j, n in enumerate(self.body.joint_names):
            if is_finger(n):
                x = 1.0 if n.startswith("left") else -1.0
                G[j] = rotation_between(G[j] @ (self.tips[j] - self.joints[j].numpy()), np.array([x, 0, 0])) @ G[j]
        return G

    @cached_property
    def tips(self) -> np.ndarray:
        """[J, 3] where the bone of each joint ends, in the body's rest pose."""
        v, joints = self.v.double().numpy(), self.joints.double().numpy()
        children: dict[int, list[int]] = {}
        for j, p in enumerate(self.body.parents):
            children.setdefault(p, []).append(j)
        ends = joints + [0, 0.05, 0]
        for j, n in enumerate(self.body.joint_names):
            main = [c for c in children.get(j, []) if _part(self.body.joint_names[c]) in _MAIN]
            if main:
                ends[j] = joints[main[0]]
                continue
            own = v[self.weights.argmax(1) == j]
            if n == "head" and len(own):
                ends[j] = [joints[j, 0], own[:, 1].max(), joints[j, 2]]
            elif n.endswith("foot") and len(own):
                ends[j, 1:] = joints[j, 1], own[:, 2].max()
            elif _part(n) in ("jaw", "eye"):
                ends[j] = joints[j] + [0, 0, 0.05]
            elif len(own):
                ends[j] = own[np.linalg.norm(own - joints[j], axis=1).argmax()]
        return ends

    @cached_property
    def bones(self) -> list[tuple[str, int, int]]:
        """Name, parent and joint of each bone. The bones of the joints are first, in the body's order, then those of
        the chains; parents of all are bones of this list; the joint of the root is -1."""
        J, names = self.body.num_joints, self.body.joint_names
        bones = [(self.profile.bone(n), p, j) for j, (n, p) in enumerate(zip(names, self.body.parents, strict=True))]
        for chain in self.body.chains:
            for k, n in enumerate(chain.joint_names):
                bones.append((n, len(bones) - 1 if k else self.body.joint(chain.parent), len(bones)))
        if self.profile is PROFILES["vrm"]:  # the end of the last spring bone
            first = J
            for chain in self.body.chains:
                first += len(chain.joint_names)
                bones.append((f"{chain.name}_end", first - 1, first - 1))
        if self.profile.ends:
            last = [j for j in range(J) if _part(names[j]) in _LAST]
            bones += [(self.profile.bone(f"{names[j]}_end"), j, j) for j in last]
        if self.profile.root:
            bones[0] = (bones[0][0], len(bones), 0)
            bones.append((self.profile.root, -1, -1))
        return bones

    @cached_property
    def rest(self) -> np.ndarray:
        """[B, 4, 4] of the bones in the file's rest pose."""
        A = self.stance
        start, end = [self.joints.double().numpy()], [self.tips]
        for chain in self.body.chains:
            p = points_of(self.body, chain, self.v[None].double(), self.joints[None].double())[0].numpy()
            start, end = [*start, p[:-1]], [*end, p[1:]]
        at, tip = (np.einsum("jab,jb->ja", A[:, :3, :3], np.concatenate(p)) + A[:, :3, 3] for p in (start, end))
        rest = np.tile(np.eye(4), (len(self.bones), 1, 1))
        for b, (_, _, j) in enumerate(self.bones):
            if j >= 0:
                rest[b, :3, 3] = at[j] if b < len(A) else tip[j]
                rest[b, :3, :3] = self._axes(j, tip[j] - at[j])
        return rest

    def _axes(self, j: int, direction: np.ndarray) -> np.ndarray:
        """Axes [3, 3] of the bone of a joint in the columns: y along the bone, as X Bot's are turned about it."""
        if self.profile.axes == "world":
            return np.eye(3)
        if j >= self.body.num_joints:  # of a chain
            return rotation_between(np.array([0, 1.0, 0]), direction)
        name, part = self.body.joint_names[j], _part(self.body.joint_names[j])
        sign = 1 if name.startswith("left") else -1
        xbot = self.profile.axes == "mixamo"
        limb = part in ("hip", "knee", "ankle", "foot")
        if xbot and part in _XBOT_TILT:
            a = np.radians(_XBOT_TILT[part])
            direction = np.array([0, np.cos(a), np.sin(a)])
        elif xbot and part == "collar":
            direction = _XBOT_SHOULDER * [sign, 1, 1]
        elif xbot and limb:
            direction = direction * [0, 1, 1]
        y = direction / np.linalg.norm(direction)
        if part != name and not limb and part != "eye":  # arms: z down, across the bone and the world's z
            z = np.array([y[1], -y[0], 0]) * sign
            z /= max(np.linalg.norm(z), 1e-9)
            return np.stack([np.cross(y, z), y, z], 1)
        x = np.array([-1.0 if limb else 1.0, 0, 0])
        x -= y * (x @ y)
        x /= np.linalg.norm(x)
        return np.stack([x, y, np.cross(x, y)], 1)

    def moved(self, A: np.ndarray) -> np.ndarray:  # [J, 4, 4] from the body's rest pose
        """The mesh [V, 3] in the pose to which ``A`` leads from the file's rest pose, and there from the body's."""
        back = (self.weights @ np.linalg.inv(A).reshape(len(A), 16)).reshape(-1, 4, 4)
        v = np.concatenate([self.v.double().numpy(), np.ones((len(self.v), 1))], 1)
        return np.linalg.solve(back, v[..., None])[:, :3, 0]

    def local(self, world: np.ndarray) -> np.ndarray:  # [..., B, 4, 4]
        """Transforms of the bones in their parents' axes."""
        parents = [p for _, p, _ in self.bones]
        up = np.where(np.array(parents)[:, None, None] < 0, np.eye(4), world[..., parents, :, :])
        return np.linalg.inv(up) @ world

    def motion(
        self,
        pose: Tensor,  # [T, J, 3] axis-angle
        transl: Tensor,  # [T, 3]
    ) -> tuple[np.ndarray, float]:
        """Transforms [T, B, 4, 4] of the bones in their parents' axes, and the metres by which the clip was lifted: its
        lowest point is on y = 0."""
        lift = -self._lowest(pose, transl)
        A = self._skinning(pose, transl + transl.new_tensor([0, lift, 0]))
        follow = A.numpy() @ np.linalg.inv(self.stance)
        world = np.tile(self.rest, (len(pose), 1, 1, 1))
        for b, (_, _, j) in enumerate(self.bones):
            if j >= 0:
                world[:, b] = follow[:, j] @ self.rest[b]
        return self.local(world), lift

    def _skinning(self, pose: Tensor, transl: Tensor) -> Tensor:  # [T, J + K, 4, 4] from the body's rest pose
        joints = self.joints.double()
        A, P = self.body.skinning(joints.expand(len(pose), -1, -1), pose.double(), transl.double())
        if not self.body.chains:
            return A
        return torch.cat([A, follow(self.body, self.v, self.joints, A.float(), P.float()).double()], 1)

    def _lowest(self, pose: Tensor, transl: Tensor) -> float:
        """Height of the lowest vertex over a sample of the frames."""
        step = -(-len(pose) // GROUNDING_FRAMES)
        low = float("inf")
        for p, t in zip(pose[::step].split(16), transl[::step].split(16), strict=True):
            A = self._skinning(p, t).float()
            row = torch.as_tensor(self.weights, dtype=torch.float32) @ A[:, :, 1]  # [B, V, 4]: y alone
            low = min(low, float(((row[..., :3] * self.v).sum(-1) + row[..., 3]).min()))
        return low


_MAIN = {"knee", "ankle", "foot", "elbow", "wrist", "shoulder", "middle1", "spine1", "spine2", "spine3", "neck", "head",
         *(f"{f}{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in (2, 3))}  # fmt: skip
_LAST = {"head", "foot", *(f"{f}3" for f in ("thumb", "index", "middle", "ring", "pinky"))}


def _part(joint: str) -> str:
    """Name of a joint without its side."""
    return joint.removeprefix("left_").removeprefix("right_").removesuffix("_smplhf")


def _local(G: Tensor, body: Body) -> Tensor:  # [J, 3, 3] global -> local
    return torch.stack([G[j] if p < 0 else G[p].mT @ G[j] for j, p in enumerate(body.parents)])


def quaternions(R: np.ndarray) -> np.ndarray:
    """[T, B, 3, 3] -> [T, B, 4] float32 unit (x, y, z, w), with the sign nearer to the previous frame."""
    from scipy.spatial.transform import Rotation

    q = Rotation.from_matrix(R.reshape(-1, 3, 3)).as_quat(canonical=True).reshape(*R.shape[:2], 4)
    flip = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1, 1)
    q[1:] *= np.cumprod(flip, 0)[..., None]
    return q.astype(np.float32)
