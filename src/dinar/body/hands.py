"""Relaxed hands: bent and gathered fingers. In the rest poses of both bodies the fingers are straight and spread."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from .body import Body

CURL = {"1": 0.3, "2": 0.4, "3": 0.25}  # radians at the three joints of a finger
THUMB = 0.4  # of that, for the thumb
# radians sideways, towards the middle finger
GATHER = {"index": 0.14, "middle": 0.02, "ring": -0.1, "pinky": -0.2, "thumb": 0.5}


def relaxed_hands(body: Body) -> Tensor:
    """Pose [J, 3] float32 axis-angle of relaxed fingers, on the CPU; 0 for all other joints."""
    return _relaxed(body).clone()


@lru_cache(maxsize=8)
def _relaxed(body: Body) -> Tensor:
    pose = torch.zeros(body.num_joints, 3)
    for j, name in enumerate(body.joint_names):
        side, _, rest = name.partition("_")
        finger, k = rest[:-1], rest[-1:]
        if finger not in GATHER or k not in CURL:
            continue
        x = 1.0 if side == "left" else -1.0
        # in the T-pose, palm down, a finger along ±x bends towards -y: about z
        axis = torch.tensor([0, 0, -x])
        angle = CURL[k] * (THUMB if finger == "thumb" else 1)
        sideways = torch.tensor([0, x, 0]) * (GATHER[finger] if k == "1" else 0)
        wrist = body.t_pose[body.joint(f"{side}_wrist")].cpu()
        pose[j] = wrist.T @ (axis * angle + sideways)
    return pose
