"""Motion files -> :class:`~dinar.body.motion.Motion`. The content decides how a file is read, not its name.

AMASS, SMPL-X and SMPL npz, SMPLify-X results, rotation-matrix outputs (4D-Humans, WHAM), AIST++, BVH, DeepMimic clips.
Whatever cannot be a motion is refused with the reason; pickles are read by :mod:`dinar.pickles` only.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError
from ..pickles import read_pickle
from .bvh import read_bvh
from .motion import Motion, from_orientations, rotation_between
from .rotation import axis_angle_to_matrix, matrix_to_quaternion, quaternion_to_matrix, slerp
from .skeleton import BODY, HANDS, LEG, PARENT

HIP_HEIGHT = 0.93  # metres, pelvis above the sole in the mean shapes of SMPL and SMPL-X
_EYES = ("jaw", "left_eye_smplhf", "right_eye_smplhf")
# Columns of ``poses``: joints of each body model, three numbers a joint.
_LAYOUT = {
    72: (*BODY, "", ""),  # SMPL; its last two joints are the hands as a whole
    156: (*BODY, *HANDS["left"], *HANDS["right"]),  # SMPL-H
    165: (*BODY, *_EYES, *HANDS["left"], *HANDS["right"]),  # SMPL-X
    66: BODY,
}


def load_motion(
    source: str | Path,  # a file, or the name of a built-in motion
    up: str = "auto",  # "y", "z" or "-y" (camera axes) where the guess from the data is wrong
) -> Motion:
    """A motion in canonical form. Recorded ones are turned to face +z in their first frame."""
    from . import procedural

    path = Path(source).expanduser()
    if up not in ("auto", "y", "z", "-y"):
        raise DinarError(f"expected up as auto, y, z or -y, got {up!r}")
    if str(source) in procedural.MOTIONS:
        return procedural.motion(str(source))
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise DinarError(f"expected a motion file (npz, pkl, bvh, DeepMimic txt) or one of "
                         f"{', '.join(procedural.MOTIONS)}; got {str(source)!r} ({what})")  # fmt: skip
    with path.open("rb") as f:
        head = f.read(4096)
    name = path.stem
    if not head.strip():
        raise DinarError(f"{path.name}: expected a motion, got an empty file")
    if head[:4] == b"PK\x03\x04":
        return _from_arrays(name, path.name, _read_npz(path), up)
    if head[:6] == b"\x93NUMPY":
        return _from_arrays(name, path.name, {"poses": _read_npy(path)}, up)
    if head[:1] == b"\x80" or (path.suffix in (".pkl", ".pickle") and head[:1] in b"(cd]}"):
        data = read_pickle(path)
        return _from_arrays(name, path.name, _one_person(path.name, data), up)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text[:9].upper() == b"HIERARCHY":
        return _facing_front(read_bvh(path, up))
    if text[:1] == b"{":
        return _facing_front(_read_deepmimic(path))
    got = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), "something else")
    raise DinarError(f"{path.name}: expected a motion as npz, pkl, BVH or DeepMimic text, got {got}")


_FOREIGN = {
    b"Kaydara": "an FBX file; export it as BVH",
    b"glTF": "a glTF file; export the motion as BVH",
    b"\x78": "a compressed joblib pickle; save the arrays of one person with np.savez",
    b"\x1f\x8b": "a gzip file; unpack it first",
}


# --- arrays of SMPL parameters --------------------------------------------------------------------------------------


def _read_npz(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as z:
            if sum(i.file_size for i in z.infolist()) > 1 << 30:
                raise DinarError(f"{path.name}: expected a motion of at most 1 GiB when unpacked")
            if any(n.endswith("data.pkl") for n in z.namelist()):
                raise DinarError(f"{path.name}: expected numpy arrays, got a torch file; save them with np.savez")
        out = {}
        with np.load(path, allow_pickle=False) as z:
            for k in z.files:
                try:
                    out[k] = z[k]
                except ValueError as e:  # an array of objects: not read, and only missed if it is needed
                    if "pickle" not in str(e):
                        raise
        return out
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError, NotImplementedError) as e:
        raise DinarError(f"{path.name}: expected an npz file, but it is damaged or cut short ({e})") from None


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as e:
        raise DinarError(f"{path.name}: expected an array of poses, but it is damaged or pickled ({e})") from None


def _one_person(file: str, data: Any) -> dict[str, Any]:
    """The parameters of the longest track, from a dictionary of parameters or of people."""
    if isinstance(data, (list, tuple)) and data and all(isinstance(d, dict) for d in data):
        data = dict(enumerate(data))
    if not isinstance(data, dict):
        raise DinarError(f"{file}: expected a dictionary of pose parameters, got {type(data).__name__}")
    if any(str(k) in _KEYS for k in data):
        return {str(k): v for k, v in data.items()}
    people = [d for d in data.values() if isinstance(d, dict) and any(str(k) in _KEYS for k in d)]
    if not people:
        return {str(k): v for k, v in data.items()}  # _from_arrays says what is missing

    def frames(d: dict[str, Any]) -> int:
        return max((frames(d[k]) if isinstance(d[k], dict) else np.size(d[k]) for k in _KEYS if k in d), default=0)

    return _one_person(file, max(people, key=frames))


_KEYS = ("poses", "body_pose", "smpl_poses", "pose", "pose_world", "pred_smpl_params", "smpl", "smpl_params")


def _from_arrays(name: str, file: str, d: dict[str, Any], up: str) -> Motion:
    for nested in ("pred_smpl_params", "smpl", "smpl_params"):
        if isinstance(d.get(nested), dict):
            d = {str(k): v for k, v in d[nested].items()}
    for ours, theirs, shift in (("poses", "pose_world", "trans_world"), ("poses", "smpl_poses", "smpl_trans"),
                                ("poses", "pose", "trans")):  # fmt: skip
        if ours not in d and theirs in d and "body_pose" not in d:
            d = {**d, ours: d[theirs], "trans": d.get(shift, d.get("trans"))}
            if theirs == "smpl_poses" and d["trans"] is not None:  # AIST++: in units of the scaled body
                d["trans"] = np.asarray(d["trans"], float) / float(np.ravel(d.get("smpl_scaling", 1.0))[0])
                d.setdefault("fps", 60.0)
    if "poses" in d:
        joints = _split_poses(file, d["poses"])
    elif "body_pose" in d:
        joints = _joint_parameters(file, d)
    else:
        raise DinarError(f"{file}: expected pose parameters (poses, or global_orient and body_pose), "
                         f"got the entries {', '.join(sorted(d)[:8]) or 'none'}")  # fmt: skip
    T = len(joints["pelvis"])
    trans = None
    for key in ("trans", "transl", "translation", "root_trans", "cam_trans"):
        if d.get(key) is not None:
            trans = _numbers(file, key, d[key]).reshape(-1, 3) if np.size(d[key]) == 3 * T else None
            if trans is None:
                raise DinarError(f"{file}: expected {key} of shape [{T}, 3], got {list(np.shape(d[key]))}")
            break
    from_camera = "poses" not in d or any(k.startswith(("cam", "pred_cam")) for k in d)
    axis = _up_axis(joints["pelvis"], from_camera) if up == "auto" else up
    turn = torch.from_numpy(_TO_Y_UP[axis])
    joints["pelvis"] = turn @ joints["pelvis"]
    t = torch.zeros(T, 3, dtype=torch.float64) if trans is None else torch.from_numpy(trans) @ turn.T
    on_floor = axis == "z"  # mocap: the pelvis rests HIP_HEIGHT above the floor; its offset in SMPL is 3 cm along z
    t = t - t[:1] * torch.tensor([1.0, 0, 1])
    t[:, 1] += 0.028 - HIP_HEIGHT if on_floor and trans is not None else -float(t[0, 1])
    fps = next((float(np.ravel(d[k])[0]) for k in ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate")
                if k in d and np.size(d[k])), 30.0)  # fmt: skip
    names = tuple(n for n in PARENT if n in joints)
    e = d.get("expression")
    has_expression = e is not None and np.size(e) >= T and np.size(e) % T == 0
    expression = torch.from_numpy(_numbers(file, "expression", e)).reshape(T, -1) if has_expression else None
    m = Motion(
        name, names, torch.stack([joints[n] for n in names], 1).float(), t.float(), fps, HIP_HEIGHT,
        expression=None if expression is None else expression.float(),
        expression_names=() if expression is None else tuple(f"expression_{i}" for i in range(expression.shape[1])),
    )  # fmt: skip
    return m if from_camera else _facing_front(m)


def _numbers(file: str, key: str, x: Any) -> np.ndarray:
    try:
        out = np.asarray(x, np.float64)
    except (TypeError, ValueError):
        raise DinarError(f"{file}: expected numbers in {key}, got {type(x).__name__}") from None
    if not out.size:
        raise DinarError(f"{file}: expected at least one frame in {key}, got none")
    if not np.isfinite(out).all():
        raise DinarError(f"{file}: expected finite numbers in {key}, got NaN or infinity; "
                         "leave out the frames where tracking failed")  # fmt: skip
    return out


def _radians(file: str, key: str, x: np.ndarray) -> np.ndarray:
    if np.abs(x).max(initial=0) > 7.6:  # 2π with a little slack for unwrapped angles
        raise DinarError(f"{file}: expected axis-angle radians in {key}, got values up to {np.abs(x).max():.0f}, "
                         "which look like degrees; multiply by π/180")  # fmt: skip
    return x


def _split_poses(file: str, poses: Any) -> dict[str, Tensor]:
    x = _numbers(file, "poses", poses)
    if x.ndim == 4 and x.shape[2:] == (3, 3):
        x = _matrices(file, "poses", x)
        names = _LAYOUT.get(3 * x.shape[1])
        if names is None:
            raise DinarError(f"{file}: expected poses of 22, 24, 52 or 55 joints, got {x.shape[1]}")
        return {n: torch.from_numpy(x[:, j]) for j, n in enumerate(names) if n}
    if x.ndim == 3 and x.shape[2] == 3:
        x = x.reshape(len(x), -1)
    if x.ndim == 1:
        x = x[None]
    if x.ndim != 2 or x.shape[1] not in _LAYOUT:
        raise DinarError(f"{file}: expected poses [T, 72] (SMPL), [T, 156] (SMPL-H) or [T, 165] (SMPL-X), "
                         f"got {list(np.shape(poses))}")  # fmt: skip
    R = axis_angle_to_matrix(torch.from_numpy(_radians(file, "poses", x)).reshape(len(x), -1, 3))
    joints = {n: R[:, j] for j, n in enumerate(_LAYOUT[x.shape[1]]) if n}
    return _without_flat_hands(joints)


def _without_flat_hands(joints: dict[str, Tensor]) -> dict[str, Tensor]:
    """Hands and eyes that were not recorded (all zero) are left out: the body's relaxed ones look better."""
    for group in (*HANDS.values(), _EYES):
        if all(n in joints for n in group):
            R = torch.stack([joints[n] for n in group])
            if (R - torch.eye(3, dtype=R.dtype)).abs().max() < 1e-6:
                joints = {n: r for n, r in joints.items() if n not in group}
    return joints


def _matrices(file: str, key: str, x: np.ndarray) -> np.ndarray:
    off = np.abs(x @ np.swapaxes(x, -1, -2) - np.eye(3)).max()
    if off > 0.02 or (np.linalg.det(x) < 0).any():
        raise DinarError(f"{file}: expected rotation matrices in {key}, got matrices off by {off:.2g}")
    return x


def _joint_parameters(file: str, d: dict[str, Any]) -> dict[str, Tensor]:
    """``global_orient``, ``body_pose`` and so on, as axis-angle or as matrices."""
    body = _numbers(file, "body_pose", d["body_pose"])
    if body.shape[-1] == 32 and body.ndim <= 2:
        raise DinarError(f"{file}: expected 63 axis-angle numbers in body_pose, got 32, a VPoser embedding; "
                         "decode it with VPoser first and store the 63 numbers")  # fmt: skip
    width = 9 if body.shape[-2:] == (3, 3) else 3  # numbers a joint
    fits = lambda n: body.shape[-3:] == (n, 3, 3) or body.shape[-2:] == (n, 3) or body.shape[-1] == 3 * n  # noqa: E731
    n = next((n for n in (21, 23) if fits(n)), 0)
    if not n:
        raise DinarError(f"{file}: expected body_pose [T, 63] (SMPL-X), [T, 69] (SMPL) or matrices [T, 21 or 23, "
                         f"3, 3], got {list(body.shape)}")  # fmt: skip
    per_frame = body.size // (n * width)
    out = _named(file, "body_pose", body, BODY[1:], per_frame, n)
    if "global_orient" in d:
        root = _numbers(file, "global_orient", d["global_orient"])
        out |= _named(file, "global_orient", root, ("pelvis",), per_frame)
    else:
        out["pelvis"] = torch.eye(3, dtype=torch.float64).repeat(per_frame, 1, 1)
    for key, names in (("jaw_pose", _EYES[:1]), ("leye_pose", _EYES[1:2]), ("reye_pose", _EYES[2:]),
                       ("left_hand_pose", HANDS["left"]), ("right_hand_pose", HANDS["right"])):  # fmt: skip
        if d.get(key) is None or not np.size(d[key]):
            continue
        x = _numbers(file, key, d[key])
        if key.endswith("hand_pose") and x.size < per_frame * 45:
            continue  # PCA coefficients need the hand model of SMPL-X: the hands stay relaxed
        out |= _named(file, key, x, names, per_frame)
    return _without_flat_hands(out)


def _named(
    file: str, key: str, x: np.ndarray, names: tuple[str, ...], frames: int, n: int | None = None
) -> dict[str, Tensor]:
    n = n or len(names)
    if x.size == frames * n * 9:
        R = torch.from_numpy(_matrices(file, key, x.reshape(frames, n, 3, 3)))
    elif x.size == frames * n * 3:
        R = axis_angle_to_matrix(torch.from_numpy(_radians(file, key, x)).reshape(frames, n, 3))
    else:
        raise DinarError(f"{file}: expected {key} with {3 * n} numbers in each of {frames} frames, got {list(x.shape)}")
    return {name: R[:, j] for j, name in enumerate(names)}


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


def _facing_front(m: Motion) -> Motion:
    """Turn the whole motion about the vertical so that its first frame faces +z."""
    forward = m.rotations[0, m.joint_names.index("pelvis"), :, 2]
    if float(forward[[0, 2]].norm()) < 0.3:  # lying: no heading
        return m
    a = -torch.atan2(forward[0], forward[2])
    R = axis_angle_to_matrix(torch.stack([a * 0, a, a * 0]))
    rotations = m.rotations.clone()
    rotations[:, 0] = R @ rotations[:, 0]
    return Motion(m.name, m.joint_names, rotations, m.transl @ R.T, m.fps, m.hip_height, m.loop,
                  m.expression, m.expression_names)  # fmt: skip


# --- DeepMimic ------------------------------------------------------------------------------------------------------

_CLIP = (("right_hip", 16, 4), ("right_knee", 20, 1), ("right_ankle", 21, 4), ("right_shoulder", 25, 4),
         ("right_elbow", 29, 1), ("left_hip", 30, 4), ("left_knee", 34, 1), ("left_ankle", 35, 4),
         ("left_shoulder", 39, 4), ("left_elbow", 43, 1))  # fmt: skip
_CLIP_HIP_HEIGHT = 0.89  # of that skeleton: thigh 0.42, shin 0.41, foot


def _read_deepmimic(path: Path) -> Motion:
    """A DeepMimic clip: faces +x, y up, arms down at zero; hinges of knees and elbows about z."""
    try:
        clip = json.loads(path.read_text("utf-8-sig"))
        rows = np.array(clip["Frames"], np.float64)
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as e:
        raise DinarError(f"{path.name}: expected a DeepMimic clip (json with Frames), but it is damaged or another "
                         f"json ({type(e).__name__}: {e})") from None  # fmt: skip
    if rows.ndim != 2 or rows.shape[1] != 44:
        raise DinarError(f"{path.name}: expected Frames of 44 numbers (the humanoid of DeepMimic), "
                         f"got {list(rows.shape)}")  # fmt: skip
    rows = _numbers(path.name, "Frames", rows)
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
    m = from_orientations(path.stem.removeprefix("humanoid3d_"), G, t, 1 / step, _CLIP_HIP_HEIGHT)
    if clip.get("Loop") == "wrap" and moved < 0.05 and len(rows) > 2:  # the last frame repeats the first
        m = Motion(m.name, m.joint_names, m.rotations[:-1], m.transl[:-1], m.fps, m.hip_height, loop=True)
    return m


def _spread(R: Tensor, names: tuple[str, ...]) -> dict[str, Tensor]:
    """One rotation shared out evenly over a chain of joints."""
    q = matrix_to_quaternion(R)
    one = torch.zeros_like(q)
    one[..., 0] = 1
    part = quaternion_to_matrix(slerp(one, q, torch.full(q.shape[:-1], 1 / len(names), dtype=q.dtype)))
    return {n: part for n in names}
