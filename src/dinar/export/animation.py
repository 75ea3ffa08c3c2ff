"""The skeleton as glTF nodes, and motions as glTF animations.

In the bind pose (the body's rest pose) the axes of all bones are the world's. Therefore the body's axis-angles are the
rotations of the nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.motion import to_t_pose
from ..body.rotation import matrix_to_axis_angle
from ..errors import DinarError
from .glb import Glb
from .humanoid import bone_name

GROUNDING_FRAMES = 240  # largest number of frames in which the lowest point of a clip is searched
STILL = 1e-6  # smallest movement, in quaternion components or metres


@dataclass
class Clip:
    """A named motion. It is shifted so that its lowest point is on y = 0."""

    name: str
    pose: np.ndarray | Tensor  # [T, J, 3] axis-angle, the body's joints; pose[:, 0] is the global orientation
    transl: np.ndarray | Tensor  # [T, 3] metres
    fps: float
    expression: np.ndarray | Tensor | None = None  # [T, <= num_expression]


@dataclass
class Rig:
    """One person's mesh and joints in the rest pose, standing on y = 0."""

    body: Body
    v: Tensor  # [V, 3] metres
    joints: Tensor  # [J, 3] metres
    t_pose: bool  # pose of the nodes without a clip: T-pose (required by VRM), or the body's rest pose

    @cached_property
    def still(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotations [J, 4] and the hips' translation [3] of the nodes without a clip."""
        J = self.body.num_joints
        hips = self.joints[0].numpy().copy()
        if not self.t_pose:
            return np.tile(np.array([0, 0, 0, 1], np.float32), (J, 1)), hips
        G = to_t_pose(self.body)
        local = torch.stack([G[j] if p < 0 else G[p].T @ G[j] for j, p in enumerate(self.body.parents)])
        pose = matrix_to_axis_angle(local)[None]
        hips[1] -= self.lowest(pose, torch.zeros(1, 3))
        return quaternions(pose.numpy())[0], hips

    def lowest(
        self,
        pose: Tensor,  # [T, J, 3]
        transl: Tensor,  # [T, 3]
    ) -> float:
        """Height of the lowest vertex over a sample of the frames."""
        step = -(-len(pose) // GROUNDING_FRAMES)
        low = float("inf")
        for p, t in zip(pose[::step].split(16), transl[::step].split(16), strict=True):
            A, _ = self.body.skinning(self.joints.expand(len(p), -1, -1), p, t)
            row = self.body.weights @ A[:, :, 1]  # [B, V, 4]: y alone
            low = min(low, float(((row[..., :3] * self.v).sum(-1) + row[..., 3]).min()))
        return low


def joint_nodes(rig: Rig) -> list[dict[str, Any]]:
    """A node for each joint, in the body's order."""
    parents, rotation, hips = rig.body.parents, *rig.still
    nodes: list[dict[str, Any]] = []
    for j, p in enumerate(parents):
        t = hips if p < 0 else (rig.joints[j] - rig.joints[p]).numpy()
        node = {"name": bone_name(rig.body.joint_names[j]), "translation": t.tolist()}
        if np.abs(rotation[j, :3]).max() > STILL:
            node["rotation"] = rotation[j].tolist()
        if children := [c for c, q in enumerate(parents) if q == j]:
            node["children"] = children
        nodes.append(node)
    return nodes


def animation(
    glb: Glb,
    rig: Rig,
    clip: Clip,
    targets: list[int],  # expression index of each morph target of the mesh
) -> dict[str, Any]:
    """A glTF animation: rotations of moving joints, translation of the hips, weights of the morph targets."""
    body, where = rig.body, f"of clip {clip.name!r}"
    pose = floats(clip.pose, f"a pose {where}", ("T", body.num_joints, 3))
    T = len(pose)
    transl = floats(clip.transl, f"a transl {where}", (T, 3))
    if not T or not clip.fps > 0:
        raise DinarError(f"expected one frame or more and a frame rate above 0 {where}, got {T} and {clip.fps}")
    lift = -rig.lowest(pose, transl)
    seconds = (np.arange(T) / clip.fps).astype(np.float32)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    inputs: dict[bool, int] = {}

    def channel(node: int, path: str, values: np.ndarray) -> None:  # [T, C] float32
        still = T > 2 and bool(np.abs(values - values[0]).max(initial=0) < STILL)
        keys = slice(None, None, T - 1) if still else slice(None)  # two equal keys hold a value
        if still not in inputs:
            inputs[still] = glb.accessor(seconds[keys], bounds=True)
        rows = values[keys].reshape(-1) if path == "weights" else values[keys]
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": inputs[still], "output": glb.accessor(rows), "interpolation": "LINEAR"})

    rotation, (still_rotation, still_hips) = quaternions(pose.numpy()), rig.still
    for j in range(body.num_joints):
        if np.abs(rotation[:, j] - still_rotation[j]).max() > STILL:
            channel(j, "rotation", rotation[:, j])
    hips = (rig.joints[0] + transl).numpy() + np.array([0, lift, 0], np.float32)
    if np.abs(hips - still_hips).max() > STILL or not channels:
        channel(0, "translation", hips)
    if clip.expression is not None and targets:
        given = floats(clip.expression, f"an expression {where}", (T, "E")).numpy()
        if given.shape[1] > body.num_expression:
            raise DinarError(f"expected at most {body.num_expression} expression values {where}, got {given.shape[1]}")
        weights = np.pad(given, ((0, 0), (0, body.num_expression - given.shape[1])))[:, targets]
        channel(body.num_joints + 1, "weights", weights)
    return {"name": clip.name, "samplers": samplers, "channels": channels, "extras": {"lift": lift}}


def quaternions(pose: np.ndarray) -> np.ndarray:
    """[T, J, 3] axis-angle -> [T, J, 4] float32 unit (x, y, z, w), with the sign nearer to the previous frame."""
    pose = pose.astype(np.float64)
    angle = np.linalg.norm(pose, axis=-1, keepdims=True)
    q = np.concatenate([pose * np.sinc(angle / 2 / np.pi) / 2, np.cos(angle / 2)], -1)
    flip = np.where((q[1:] * q[:-1]).sum(-1) < 0, -1, 1)
    q[1:] *= np.cumprod(flip, 0)[..., None]
    return q.astype(np.float32)


def floats(x: np.ndarray | Tensor, what: str, shape: tuple[int | str, ...]) -> Tensor:
    """A finite float32 CPU tensor of the shape; a str stands for any length."""
    t = torch.as_tensor(x).detach().to("cpu", torch.float32)
    if t.ndim != len(shape) or any(isinstance(n, int) and n != m for n, m in zip(shape, t.shape, strict=True)):
        raise DinarError(f"expected {what} of shape [{', '.join(map(str, shape))}], got {list(t.shape)}")
    if not torch.isfinite(t).all():
        raise DinarError(f"expected finite {what}, got NaN or infinity")
    return t
