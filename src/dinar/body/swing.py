"""The movement of cloth around the legs."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def swing(joint_names: tuple[str, ...], joints: Tensor, posed: Tensor, skinning: Tensor) -> Tensor:
    """Skinning transforms [B, J, 4, 4] of cloth around the legs: it follows where thighs and shins point, but does not
    turn about them.

    Args:
        joints, posed: [B, J, 3] at rest and in the pose.
        skinning: [B, J, 4, 4] of the body.
    """
    out = skinning.clone()
    pelvis = skinning[:, joint_names.index("pelvis"), :3, :3]
    for side in ("left", "right"):
        for name, end in (("hip", "knee"), ("knee", "ankle")):
            j, k = joint_names.index(f"{side}_{name}"), joint_names.index(f"{side}_{end}")
            to = (pelvis.mT @ (posed[:, k] - posed[:, j])[..., None])[..., 0]
            R = pelvis @ turn(joints[:, k] - joints[:, j], to)
            out[:, j, :3, :3] = R
            out[:, j, :3, 3] = posed[:, j] - (R @ joints[:, j, :, None])[..., 0]
    return out


def turn(a: Tensor, b: Tensor) -> Tensor:
    """The smallest rotations [B, 3, 3] that take directions a to b [B, 3]; at most 154 degrees."""
    a, b = F.normalize(a, dim=1), F.normalize(b, dim=1)
    v, c = torch.linalg.cross(a, b), (a * b).sum(1).clamp(min=-0.9)
    K = a.new_zeros(len(a), 3, 3)
    K[:, 0, 1], K[:, 0, 2], K[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    K = K - K.mT
    return torch.eye(3, dtype=K.dtype, device=K.device) + K + K @ K / (1 + c[:, None, None])
