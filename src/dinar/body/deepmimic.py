"""DeepMimic clips: the humanoid's quaternions and hinge angles -> a canonical motion."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array, check_arrays
from ..errors import DinarError
from .motion import MAX_FRAMES, Motion, from_orientations, rotation_between
from .rotation import axis_angle_to_matrix, matrix_to_quaternion, quaternion_to_matrix, slerp
from .skeleton import BODY, LEG, PARENT

_CLIP = (("right_hip", 16, 4), ("right_knee", 20, 1), ("right_ankle", 21, 4), ("right_shoulder", 25, 4),
         ("right_elbow", 29, 1), ("left_hip", 30, 4), ("left_knee", 34, 1), ("left_ankle", 35, 4),
         ("left_shoulder", 39, 4), ("left_elbow", 43, 1))  # fmt: skip
_FRAMES = Array(np.float64, ("frames", 44), -1e4, 1e4)  # the numbers of its humanoid
_CLIP_HIP_HEIGHT = 0.89  # of that skeleton: thigh 0.42, shin 0.41, foot


def read_deepmimic(path: Path, clip: Any) -> Motion:  # the content of a json
    """A DeepMimic clip: faces +x, y up, arms down at zero; hinges of knees and elbows about z."""
    if not isinstance(clip, dict) or "Frames" not in clip:
        raise DinarError(f"{path.name}: expected a DeepMimic clip (json with Frames) or a face (json of ARKit "
                         "actions), got another json; motions are read as npz, pkl, BVH too")  # fmt: skip
    rows = check_arrays(path.name, clip, {"Frames": _FRAMES})["Frames"]
    if not 0 < len(rows) <= MAX_FRAMES:
        raise DinarError(f"{path.name}: expected 1 to {MAX_FRAMES} Frames, got {len(rows)}")
    turn = torch.tensor([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]], dtype=torch.float64)  # +x to +z
    norms = np.linalg.norm(rows[:, 4:8], axis=1)  # some published clips were interpolated and not normalised
    if norms.min() < 0.7 or norms.max() > 1.3 or (rows[:, 0] < 0).any():
        raise DinarError(f"{path.name}: expected unit quaternions and durations above 0, got others")

    def rotation(column: int, width: int) -> Tensor:
        x = torch.from_numpy(rows[:, column : column + width])
        if width == 1:
            zero = torch.zeros_like(x)
            R = axis_angle_to_matrix(torch.cat([zero, zero, x], 1))
        else:
            R = quaternion_to_matrix(x)
        return turn @ R @ turn.T

    G = {"pelvis": rotation(4, 4)}
    spine = _spread(rotation(8, 4), ("spine1", "spine2", "spine3"))
    neck = _spread(rotation(12, 4), ("neck", "head"))
    local = {**spine, **neck, **{n: rotation(i, w) for n, i, w in _CLIP}}
    for n, p in PARENT.items():
        if p and p in G and n in BODY:
            G[n] = G[p] @ local[n] if n in local else G[p]
    down = np.array([0.0, -1, 0])
    for side, x in (("left", 1.0), ("right", -1.0)):
        arm = torch.from_numpy(rotation_between(down, np.array([x, 0, 0])))
        leg = torch.from_numpy(rotation_between(down, np.array(LEG[side])))
        for n in ("shoulder", "elbow"):
            G[f"{side}_{n}"] = G[f"{side}_{n}"] @ arm.T
        for n in ("hip", "knee"):
            G[f"{side}_{n}"] = G[f"{side}_{n}"] @ leg.T
        for n in ("wrist", "foot"):
            G.pop(f"{side}_{n}", None)
    t = torch.from_numpy(rows[:, 1:4]) @ turn.T
    t = t - torch.cat([t[0, :1], t.new_tensor([_CLIP_HIP_HEIGHT]), t[0, 2:]])
    moved = float((t[-1] - t[0])[[0, 2]].norm())
    durations = rows[:-1, 0] if len(rows) > 1 else np.array([1 / 30])
    step = float(np.median(durations))
    if step <= 0:
        raise DinarError(f"{path.name}: expected frame durations above 0 s, got {step:g}")
    m = from_orientations(path.stem.removeprefix("humanoid3d_"), G, t, 1 / step, _CLIP_HIP_HEIGHT,
                          layout="DeepMimic clip")  # fmt: skip
    if clip.get("Loop") == "wrap" and moved < 0.05 and len(rows) > 2:  # the last frame repeats the first
        m = dataclasses.replace(m, rotations=m.rotations[:-1], transl=m.transl[:-1], loop=True)
    return m


def _spread(R: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """One rotation shared out evenly over a chain of joints."""
    q = matrix_to_quaternion(R)
    one = torch.zeros_like(q)
    one[..., 0] = 1
    part = quaternion_to_matrix(slerp(one, q, torch.full(q.shape[:-1], 1 / len(names), dtype=q.dtype)))
    return {n: part for n in names}
