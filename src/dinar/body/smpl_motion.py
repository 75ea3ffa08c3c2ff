"""SMPL's parameters, recognised by :mod:`.layouts`, as a canonical motion."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from .layouts import Parameters
from .motion import Motion
from .rotation import axis_angle_to_matrix
from .skeleton import BODY, HANDS, PARENT

HIP_HEIGHT = 0.93  # metres, pelvis above the sole in the mean shapes of SMPL and SMPL-X
MAX_EXPRESSIONS = 512
MAX_ANGLE = 7.6  # radians: 2π with a little slack for unwrapped angles
_EYES = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
# Columns of ``poses``: joints of each body model, three numbers a joint.
_LAYOUT = {
    66: BODY,
    72: (*BODY, "", ""),  # SMPL; its last two joints are the hands as a whole
    156: (*BODY, *HANDS["left"], *HANDS["right"]),  # SMPL-H
    165: (*BODY, *_EYES, *HANDS["left"], *HANDS["right"]),  # SMPL-X
}
_PARTS = (("jaw_pose", _EYES[:1]), ("leye_pose", _EYES[1:2]), ("reye_pose", _EYES[2:]),
          ("left_hand_pose", HANDS["left"]), ("right_hand_pose", HANDS["right"]))  # fmt: skip


def smpl_motion(
    name: str,
    file: str,
    p: Parameters,
    up: str,  # auto, y, z or -y
    fps: float,
) -> Motion:
    """The motion with y up; not yet turned to the front."""
    a = p.arrays
    joints = _split_poses(file, a["poses"]) if "poses" in a else _joint_parameters(file, a)
    T = len(joints["pelvis"])
    trans = a.get("trans")
    if trans is not None and trans.size != 3 * T:
        raise DinarError(f"{file}: expected trans of shape [{T}, 3], got {list(trans.shape)}")
    axis = _up_axis(joints["pelvis"].double(), p.from_camera) if up == "auto" else up
    turn = torch.from_numpy(_TO_Y_UP[axis])
    joints["pelvis"] = (turn @ joints["pelvis"].double()).float()
    t = torch.zeros(T, 3, dtype=torch.float64) if trans is None else torch.from_numpy(trans.reshape(T, 3)) @ turn.T
    on_floor = axis == "z"  # mocap: the pelvis rests HIP_HEIGHT above the floor; its offset in SMPL is 3 cm along z
    t = t - t[:1] * torch.tensor([1.0, 0, 1])
    t[:, 1] += 0.028 - HIP_HEIGHT if on_floor and trans is not None else -float(t[0, 1])
    names = tuple(n for n in PARENT if n in joints)
    e = a.get("expression")
    if e is not None and (e.size % T or not 0 < e.size // T <= MAX_EXPRESSIONS):
        e = None
    expression = None if e is None else torch.from_numpy(e.reshape(T, -1)).float()
    return Motion(
        name, names, torch.stack([joints[n] for n in names], 1), t.float(), fps, HIP_HEIGHT, expression=expression,
        expression_names=() if expression is None else tuple(f"expression_{i}" for i in range(expression.shape[1])),
        layout=f"{p.layout}, {len(names)} joints, {axis} up, {'with' if trans is not None else 'no'} translation",
    )  # fmt: skip


def _rotations(file: str, key: str, x: np.ndarray, names: tuple[str, ...]) -> dict[str, Tensor]:
    """Axis-angle [T, J, 3] or matrices [T, J, 3, 3] as matrices by name; unnamed joints are left out."""
    if x.ndim == 4:
        off = max(float(np.abs(x[:, j] @ np.swapaxes(x[:, j], -1, -2) - np.eye(3)).max()) for j in range(x.shape[1]))
        if off > 0.02 or any((np.linalg.det(x[:, j]) < 0).any() for j in range(x.shape[1])):
            raise DinarError(f"{file}: expected rotation matrices in {key}, got matrices off by {off:.2g}")
        return {n: torch.from_numpy(x[:, j]).float() for j, n in enumerate(names) if n}
    if np.abs(x).max() > MAX_ANGLE:
        raise DinarError(f"{file}: expected axis-angle radians in {key}, got values up to {np.abs(x).max():.0f}, "
                         "which look like degrees; multiply by π/180")  # fmt: skip
    return {n: axis_angle_to_matrix(torch.from_numpy(x[:, j])).float() for j, n in enumerate(names) if n}


_OTHERS: dict[float, str] = {
    4: "which look like quaternions",
    6: "which look like 6D rotations",
}  # of a joint: several conventions


def _split_poses(file: str, x: np.ndarray) -> dict[str, Tensor]:
    if x.ndim == 4 and x.shape[2:] == (3, 3):
        names = _LAYOUT.get(3 * x.shape[1])
        if names is None:
            raise DinarError(f"{file}: expected poses of 22, 24, 52 or 55 joints, got {x.shape[1]}")
        return _rotations(file, "poses", x, names)
    flat = x[None] if x.ndim == 1 else x.reshape(len(x), -1) if x.ndim == 3 and x.shape[2] == 3 else x
    numbers = x.shape[2] if x.ndim == 3 else flat.shape[-1] / 24  # of a joint
    if other := _OTHERS.get(numbers):
        raise DinarError(f"{file}: expected axis-angle radians in poses, got {list(x.shape)}, {other}; "
                         "convert them to axis-angle, [T, 72] or more")  # fmt: skip
    if flat.ndim != 2 or flat.shape[1] not in _LAYOUT:
        raise DinarError(f"{file}: expected poses [T, 72] (SMPL), [T, 156] (SMPL-H) or [T, 165] (SMPL-X), "
                         f"got {list(x.shape)}")  # fmt: skip
    return _without_flat_hands(_rotations(file, "poses", flat.reshape(len(flat), -1, 3), _LAYOUT[flat.shape[1]]))


def _without_flat_hands(joints: dict[str, Tensor]) -> dict[str, Tensor]:
    """Hands and eyes that were not recorded (all zero) are left out: the body's relaxed ones look better."""
    for group in (*HANDS.values(), _EYES):
        if all(n in joints and (joints[n] - torch.eye(3)).abs().max() < 1e-6 for n in group):
            joints = {n: r for n, r in joints.items() if n not in group}
    return joints


def _joint_parameters(file: str, a: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """``global_orient``, ``body_pose`` and so on, as axis-angle or as matrices."""
    body = a["body_pose"]
    if body.shape[-1:] == (32,) and body.ndim <= 2:
        raise DinarError(f"{file}: expected 63 axis-angle numbers in body_pose, got 32, a VPoser embedding; "
                         "decode it with VPoser first and store the 63 numbers")  # fmt: skip
    width = 9 if body.shape[-2:] == (3, 3) else 3  # numbers a joint
    shape = body.shape
    n = next((n for n in (21, 23) if shape[-3:] == (n, 3, 3) or shape[-2:] == (n, 3) or shape[-1:] == (3 * n,)), 0)
    if not n:
        raise DinarError(f"{file}: expected body_pose [T, 63] (SMPL-X), [T, 69] (SMPL) or matrices [T, 21 or 23, "
                         f"3, 3], got {list(shape)}")  # fmt: skip
    T = body.size // (n * width)
    out = _part(file, "body_pose", body, (*BODY[1:], "", "")[:n], T)
    if "global_orient" in a:
        out |= _part(file, "global_orient", a["global_orient"], ("pelvis",), T)
    else:
        out["pelvis"] = torch.eye(3).repeat(T, 1, 1)
    for key, names in _PARTS:
        if key in a and not (key.endswith("hand_pose") and a[key].size < T * 45):
            out |= _part(file, key, a[key], names, T)  # fewer are PCA coefficients: the hands stay relaxed
    return _without_flat_hands(out)


def _part(file: str, key: str, x: np.ndarray, names: tuple[str, ...], frames: int) -> dict[str, Tensor]:
    n = len(names)
    if x.size not in (frames * n * 3, frames * n * 9):
        raise DinarError(f"{file}: expected {key} with {3 * n} numbers in each of {frames} frames, got {list(x.shape)}")
    return _rotations(file, key, x.reshape((frames, n, 3, 3) if x.size == frames * n * 9 else (frames, n, 3)), names)


_TO_Y_UP = {
    "y": np.eye(3),
    "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]),
    "-y": np.diag([1.0, -1, -1]),  # camera axes: x right, y down, z forward
}


def _up_axis(root: Tensor, from_camera: bool) -> str:
    """Which way is up: people are upright for most of a recording."""
    up = root[:, :, 1].mean(0)  # the body's up in the file's world
    if from_camera:
        return "y" if up[1] > 0.5 else "-y"
    if up[1] < -0.6 and abs(up[2]) < 0.5:
        return "-y"
    return "y" if up[1] > 0.6 and abs(up[2]) < 0.5 else "z"
