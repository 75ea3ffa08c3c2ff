"""What each program expects of a file: bone names, rest pose, bone axes, units and the up axis.

Names are those of the joints of SMPL-X, translated. Sources: Unity's ``HumanBodyBones``, Unreal's mannequin, Mixamo's
X Bot, Rigify's human, the VRM 1.0 specification; the browser player TalkingHead, which takes X Bot's names without the
prefix.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import DinarError

Pose = Literal["rest", "t"]
Program = Literal["blender", "unity", "unreal", "mixamo", "talkinghead", "three", "vrm"]

_VRM = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upperChest", "neck": "neck", "head": "head",
    "jaw": "jaw",
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand", "eye": "Eye",
    "thumb1": "ThumbMetacarpal", "thumb2": "ThumbProximal", "thumb3": "ThumbDistal",
}  # fmt: skip
for _f, _name in {"index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Little"}.items():
    _VRM |= {f"{_f}{k}": _name + part for k, part in enumerate(("Proximal", "Intermediate", "Distal"), 1)}
_UNITY = {n: b[0].upper() + b[1:] for n, b in _VRM.items()} | {
    "thumb1": "ThumbProximal", "thumb2": "ThumbIntermediate",
}  # fmt: skip
_FINGERS = [f"{f}{k}" for f in ("thumb", "index", "middle", "ring", "pinky") for k in (1, 2, 3)]
_UNREAL = {
    "pelvis": "pelvis", "spine1": "spine_01", "spine2": "spine_02", "spine3": "spine_03", "neck": "neck_01",
    "head": "head", "jaw": "jaw", "eye": "eye", "collar": "clavicle", "shoulder": "upperarm", "elbow": "lowerarm",
    "wrist": "hand", "hip": "thigh", "knee": "calf", "ankle": "foot", "foot": "ball",
} | {f: f"{f[:-1]}_0{f[-1]}" for f in _FINGERS}  # fmt: skip
_MIXAMO = {
    "pelvis": "Hips", "spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck", "head": "Head",
    "jaw": "Jaw", "eye": "Eye", "collar": "Shoulder", "shoulder": "Arm", "elbow": "ForeArm", "wrist": "Hand",
    "hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase",
    "head_end": "HeadTop_End", "foot_end": "Toe_End",
} | {f: f"Hand{f.capitalize()}" for f in _FINGERS} | {
    f"{f[:-1]}3_end": f"Hand{f[:-1].capitalize()}4" for f in _FINGERS
}  # fmt: skip
_BLENDER = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upper_chest", "neck": "neck", "head": "head",
    "jaw": "jaw", "eye": "eye", "collar": "shoulder", "shoulder": "upper_arm", "elbow": "forearm", "wrist": "hand",
    "hip": "thigh", "knee": "shin", "ankle": "foot", "foot": "toe",
} | {f: f"{'' if 'thumb' in f else 'f_'}{f[:-1]}.0{f[-1]}" for f in _FINGERS}  # fmt: skip


def _named(names: dict[str, str], sided: Callable[[str, str], str]) -> Callable[[str], str]:
    def name(joint: str) -> str:
        side, _, part = joint.replace("_smplhf", "").partition("_")
        if side in ("left", "right") and part in names:
            return sided(side, names[part])
        return names.get(joint, joint)

    return name


@dataclass(frozen=True)
class Profile:
    """What one program expects."""

    bone: Callable[[str], str]  # bone name of a joint of SMPL-X; a joint without one keeps its name
    suffixes: tuple[str, ...]  # of the files it reads
    pose: Pose  # rest pose: the body's own (arms down), or the T-pose
    axes: Literal["world", "along", "mixamo"] = "world"  # of bones at rest: the world's, y along the bone, or X Bot's
    root: str = ""  # name of a bone on the ground above the hips
    ends: bool = False  # bones without weights at the ends of head, toes and fingers
    scale: float = 100.0  # units to a metre in FBX
    glb_scale: float = 1.0  # units to a metre of bones in GLB; the mesh and the scene are in metres always
    z_up: bool = False  # in FBX; GLB is y up always
    inside: bool = False  # the mesh is in the armature, where glTF advises a root beside it


PROFILES: dict[str, Profile] = {
    "blender": Profile(_named(_BLENDER, lambda s, n: f"{n}.{s[0].upper()}"), (".glb", ".fbx"), "rest", "along",
                       scale=1.0, z_up=True),
    "unity": Profile(_named(_UNITY, lambda s, n: s.capitalize() + n), (".fbx", ".glb"), "t"),
    "unreal": Profile(_named(_UNREAL, lambda s, n: f"{n}_{s[0]}"), (".fbx", ".glb"), "t", root="root", z_up=True),
    "mixamo": Profile(_named({n: f"mixamorig:{b}" for n, b in _MIXAMO.items()},
                             lambda s, n: n.replace(":", f":{s.capitalize()}")),
                      (".fbx", ".glb"), "t", "mixamo", ends=True, glb_scale=100.0),
    "talkinghead": Profile(_named(_MIXAMO, lambda s, n: s.capitalize() + n), (".glb",), "t", "mixamo", ends=True,
                           inside=True),
    "three": Profile(_named(_VRM, lambda s, n: s + n), (".glb",), "rest"),
    "vrm": Profile(_named(_VRM, lambda s, n: s + n), (".vrm",), "t"),
}  # fmt: skip
DEFAULTS: dict[str, Program] = {".glb": "three", ".vrm": "vrm", ".fbx": "unity", ".usdz": "three"}
"""Profile of a file whose program nobody named."""

SUFFIXES = tuple(DEFAULTS)

HUMANOID = frozenset(
    [b for n, b in _VRM.items() if b[0].islower()]
    + [side + b for b in _VRM.values() for side in ("left", "right") if not b[0].islower()]
)
"""Every bone name of the VRM 1.0 humanoid."""


def suffixes_for(program: str | None) -> tuple[str, ...]:
    """Suffixes of the files that a program reads; None: of all files that are written."""
    return SUFFIXES if program is None else profile(program).suffixes


def profile(program: str) -> Profile:
    """The profile of a program."""
    if program not in PROFILES:
        raise DinarError(f"expected a program out of {', '.join(PROFILES)}, got {program!r}")
    return PROFILES[program]


def is_finger(joint: str) -> bool:
    return bool(re.fullmatch(r"(left|right)_(index|middle|ring|pinky)[123]", joint))
