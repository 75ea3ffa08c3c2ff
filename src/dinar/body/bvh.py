"""BVH motion capture files -> canonical motions, whatever the skeleton is called and however it rests.

Joints are found by name (:mod:`dinar.body.joint_names`); others are folded into their
nearest ancestor. A file's zero pose may be a T-pose, an A-pose or nonsense (LaFAN1: every bone along x), so each bone
is turned into its direction in SMPL's T-pose; where that leaves the twist open, the hinges of knees and elbows as they
bend in the recording decide it.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch

from ..errors import DinarError
from .bvh_file import Bvh, parse_bvh, read_text
from .joint_names import joint_roles
from .motion import Motion, from_orientations, rotation_between
from .skeleton import LEG


def read_bvh(path: Path, up: str = "auto") -> Motion:
    """A BVH file as a canonical motion, not yet turned to the front."""
    bvh = parse_bvh(read_text(path), path.name)
    role = joint_roles(bvh.names, bvh.parents)
    need = ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_shoulder", "right_shoulder")
    missing = [n for n in need if n not in role]
    if missing:
        raise DinarError(f"{path.name}: expected a person's skeleton, but found no {missing[0].replace('_', ' ')} "
                         f"among the joints {', '.join(n[:30] for n in bvh.names[:6])}, ...; rename the joints as "
                         "Mixamo does")  # fmt: skip
    rest = _zero_pose(bvh)
    if min(np.linalg.norm(rest[role[a]] - rest[role[b]]) for a, b in _BONES) < 1e-9 * np.abs(rest).max():
        raise DinarError(f"{path.name}: expected a skeleton with thighs and hips, got bones of zero length; "
                         "export the BVH file again")  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):  # bones without length in single frames
        G, P = _kinematics(bvh)
        to_canonical = _alignments(rest, G, P, role)
        world = _world(P, role, up)
    scale = _scale(rest, role)
    orientations = {
        n: torch.from_numpy(world @ G[:, j] @ to_canonical[n].T) for n, j in role.items() if n in to_canonical
    }
    pelvis = P[:, role["pelvis"]] @ world.T * scale
    hip = scale * _hip_height(rest, role)
    floor = float((P @ world.T)[..., 1].min()) * scale
    t = pelvis - np.array([pelvis[0, 0], 0, pelvis[0, 2]])
    t[:, 1] -= hip + (floor - 0.02 if abs(floor) > 0.3 * hip else 0)  # floors far from y = 0 are not floors
    lost = [n.replace("_", " ") for n in _LIMBS if n not in role]
    if lost:
        warnings.warn(f"{path.name}: no joint is named as {', '.join(lost)}; these do not move", stacklevel=4)
    others = len(bvh.names) - len(role)
    layout = f"BVH, {len(role)} joints by name" + (f", {others} others folded into their parents" if others else "")
    return from_orientations(path.stem, orientations, torch.from_numpy(t), 1 / bvh.frame_time, hip, layout=layout)


_LIMBS = ("head", "left_elbow", "right_elbow", "left_ankle", "right_ankle")
_BONES = (("left_hip", "left_knee"), ("right_hip", "right_knee"), ("left_hip", "right_hip"))


def _axis_rotation(axis: str, degrees: np.ndarray) -> np.ndarray:
    a = np.radians(degrees)
    c, s, o, i = np.cos(a), np.sin(a), np.zeros_like(a), np.ones_like(a)
    rows = {"X": (i, o, o, o, c, -s, o, s, c), "Y": (c, o, s, o, i, o, -s, o, c), "Z": (c, -s, o, s, c, o, o, o, i)}
    return np.stack(rows[axis], -1).reshape(*a.shape, 3, 3)


def _kinematics(bvh: Bvh) -> tuple[np.ndarray, np.ndarray]:
    """Global rotations [T, J, 3, 3] and positions [T, J, 3]. Position channels replace the offset."""
    T, J = len(bvh.values), len(bvh.names)
    G, P = np.zeros((T, J, 3, 3)), np.zeros((T, J, 3))
    column = 0
    for j in range(J):
        R, offset = np.broadcast_to(np.eye(3), (T, 3, 3)), np.repeat(np.array([bvh.offsets[j]]), T, 0)
        for c in bvh.channels[j]:
            x = bvh.values[:, column]
            column += 1
            if c.endswith("position"):
                offset[:, "XYZ".index(c[0])] = x
            else:
                R = R @ _axis_rotation(c[0], x)
        p = bvh.parents[j]
        G[:, j] = R if p < 0 else G[:, p] @ R
        P[:, j] = offset if p < 0 else P[:, p] + (G[:, p] @ offset[..., None])[..., 0]
    return G, P


def _zero_pose(bvh: Bvh) -> np.ndarray:
    out = np.zeros((len(bvh.names), 3))
    for j, p in enumerate(bvh.parents):
        out[j] = (out[p] if p >= 0 else 0) + np.array(bvh.offsets[j])
    return out


_NEXT = {"hip": "knee", "knee": "ankle", "ankle": "foot", "shoulder": "elbow", "elbow": "wrist", "wrist": "middle1"}


def _frame(primary: np.ndarray, secondary: np.ndarray) -> np.ndarray:
    """Axes [3, 3] in columns: the primary direction, and the secondary made perpendicular to it."""
    a = primary / np.linalg.norm(primary)
    b = secondary - a * (a @ secondary)
    b = b / np.linalg.norm(b)
    return np.stack([a, b, np.cross(a, b)], 1)


def _alignments(rest: np.ndarray, G: np.ndarray, P: np.ndarray, role: dict[str, int]) -> dict[str, np.ndarray]:
    """Per joint the rotation [3, 3] that takes the file's zero pose to SMPL's T-pose."""
    at = {n: rest[j] for n, j in role.items()}
    top = next(n for n in ("neck", "spine3", "spine2", "left_shoulder") if n in at)
    up, across = at[top] - at["pelvis"], at["left_hip"] - at["right_hip"]
    if np.linalg.norm(np.cross(up, across)) < 1e-6 * np.linalg.norm(across):
        up = at["pelvis"] - (at["left_knee"] + at["right_knee"]) / 2
    canonical = _frame(np.array([0.0, 1, 0]), np.array([1.0, 0, 0]))
    root = canonical @ _frame(up, across).T
    root = _snapped(root)
    out = {n: root for n in role}
    for side, x in (("left", 1.0), ("right", -1.0)):
        knee, elbow = np.array([1.0, 0, 0]), np.array([0.0, -x, 0])  # axes of bending in the T-pose
        for joints, aim, hinge in (
            (("hip", "knee"), np.array(LEG[side]), knee),
            (("shoulder", "elbow"), np.array([x, 0, 0]), elbow),
        ):
            turned = _limb(at, G, P, role, side, joints, root, aim, hinge)
            for n in joints:
                if f"{side}_{n}" in role:
                    out[f"{side}_{n}"] = turned[n]
            _extremity(at, role, side, joints[1], turned, root, out)
    return out


def _snapped(R: np.ndarray) -> np.ndarray:
    """The nearest turn by quarter turns if R is within 25 degrees of it: spines lean in most zero poses."""
    i = np.abs(R).argmax(1)
    if sorted(i) != [0, 1, 2]:
        return R
    Q = np.zeros((3, 3))
    Q[np.arange(3), i] = np.sign(R[np.arange(3), i])
    return Q if np.trace(Q.T @ R) > 1 + 2 * np.cos(np.radians(25)) else R


def _limb(
    at: dict[str, np.ndarray], G: np.ndarray, P: np.ndarray, role: dict[str, int],
    side: str, joints: tuple[str, str], root: np.ndarray, aim: np.ndarray, hinge: np.ndarray,
) -> dict[str, np.ndarray]:  # fmt: skip
    upper, lower = (f"{side}_{n}" for n in joints)
    end = f"{side}_{_NEXT[joints[1]]}"
    out = {}
    bones = {joints[0]: (upper, lower), joints[1]: (lower, end)}
    axis = None
    if lower in role and end in role:
        axis = _bending_axis(P[:, role[upper]], P[:, role[lower]], P[:, role[end]], G[:, role[lower]])
    for n, (a, b) in bones.items():
        if a not in at or b not in at or np.linalg.norm(at[b] - at[a]) < 1e-9:
            out[n] = out.get(joints[0], root)
            continue
        d = at[b] - at[a]
        now = root @ d / np.linalg.norm(d)
        if now @ (aim / np.linalg.norm(aim)) > np.cos(np.radians(110)):
            out[n] = rotation_between(now, aim) @ root
        else:  # folded the other way: a direction alone leaves the twist open
            s = axis if axis is not None else root.T @ np.array([1.0, 0, 0])
            out[n] = _frame(aim, hinge) @ _frame(d, s).T
    return out


def _bending_axis(a: np.ndarray, b: np.ndarray, c: np.ndarray, lower: np.ndarray) -> np.ndarray | None:
    """Mean axis in the lower bone's zero-pose axes about which the limb a-b-c bends, or None if it stays straight."""
    u, v = b - a, c - b
    u, v = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9) for x in (u, v))
    n = np.cross(u, v)  # grows with the bend
    local = np.einsum("tji,tj->ti", lower, n)
    mean = local.mean(0)
    strength = np.linalg.norm(n, axis=1).mean()
    return mean if strength > 0.03 and np.linalg.norm(mean) > 0.5 * strength else None


def _extremity(
    at: dict[str, np.ndarray], role: dict[str, int], side: str, above: str,
    turned: dict[str, np.ndarray], root: np.ndarray, out: dict[str, np.ndarray],
) -> None:  # fmt: skip
    """Hands follow the forearm's turn. Feet rest flat: only their heading is corrected, unless they were folded."""
    if above == "elbow":
        for n in role:
            if n.startswith(side) and (n == f"{side}_wrist" or n[-1] in "123"):
                out[n] = turned["elbow"]
        wrist, middle = f"{side}_wrist", f"{side}_middle1"
        if wrist in at and middle in at:
            along = turned["elbow"] @ (at[middle] - at[wrist])
            R = rotation_between(along, np.array([1.0 if side == "left" else -1.0, 0, 0])) @ turned["elbow"]
            for n in role:
                if n.startswith(side) and (n == wrist or n[-1] in "123"):
                    out[n] = R
        return
    ankle, toes = f"{side}_ankle", f"{side}_foot"
    if ankle not in role:
        return
    out[ankle] = turned["knee"] if np.trace(turned["knee"].T @ root) < 1 else root
    if toes in at and np.linalg.norm(at[toes] - at[ankle]) > 1e-9:
        d = out[ankle] @ (at[toes] - at[ankle])
        d = d / np.linalg.norm(d)
        if d[2] < 0.5:  # pointing down the shin, or up
            out[ankle] = rotation_between(d, np.array([0, -0.45, 0.9])) @ out[ankle]
    if toes in role:
        out[toes] = out[ankle]


def _world(P: np.ndarray, role: dict[str, int], up: str) -> np.ndarray:
    """Rotation [3, 3] from the file's world to y up. BVH is y up by custom; the upright body tells otherwise."""
    if up == "auto":
        high = [n for n in ("head", "neck", "spine3", "left_shoulder", "right_shoulder") if n in role]
        low = [n for n in ("left_knee", "right_knee") if n in role]
        d = np.mean([P[:, role[n]] for n in high], 0) - np.mean([P[:, role[n]] for n in low], 0)
        d = (d / np.linalg.norm(d, axis=1, keepdims=True)).mean(0)
        up = "z" if abs(d[2]) > 0.75 and abs(d[1]) < 0.4 and d[2] > 0 else "-y" if d[1] < -0.75 else "y"
    return {"y": np.eye(3), "z": np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]]), "-y": np.diag([1.0, -1, -1])}[up]


def _hip_height(rest: np.ndarray, role: dict[str, int]) -> float:
    """Sole to pelvis in file units, measured along the bones: a zero pose need not stand."""
    length = lambda a, b: float(np.linalg.norm(rest[role[a]] - rest[role[b]]))  # noqa: E731
    leg = length("left_hip", "left_knee")
    leg += length("left_knee", "left_ankle") if "left_ankle" in role else leg
    return leg * 1.09  # the hips lie at the pelvis' height, the ankle 9 % of the leg above the sole


_UNITS = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)  # m, cm, mm, inch, and the CMU conversion's


def _scale(rest: np.ndarray, role: dict[str, int]) -> float:
    """Metres per file unit: the usual unit that makes a person of 1.2 to 2.4 m, else 1.7 m."""
    tall = _hip_height(rest, role) / 0.53
    best = min(_UNITS, key=lambda s: abs(np.log(tall * s / 1.7)))
    return best if 1.2 < tall * best < 2.4 else 1.7 / tall
