"""VRM and Unity humanoid names of the joints of SMPL-X."""

from __future__ import annotations

import re

_BODY = {
    "pelvis": "hips", "spine1": "spine", "spine2": "chest", "spine3": "upperChest", "neck": "neck", "head": "head",
    "jaw": "jaw",
}  # fmt: skip
_SIDED = {
    "hip": "UpperLeg", "knee": "LowerLeg", "ankle": "Foot", "foot": "Toes",
    "collar": "Shoulder", "shoulder": "UpperArm", "elbow": "LowerArm", "wrist": "Hand",
    "eye": "Eye", "eye_smplhf": "Eye",
    "thumb1": "ThumbMetacarpal", "thumb2": "ThumbProximal", "thumb3": "ThumbDistal",
}  # fmt: skip
_FINGERS = {"index": "Index", "middle": "Middle", "ring": "Ring", "pinky": "Little"}
_PHALANGES = ("Proximal", "Intermediate", "Distal")


def bone_name(joint: str) -> str:
    """Humanoid name of a joint: ``left_hip`` -> ``leftUpperLeg``; a joint without one keeps its name."""
    if joint in _BODY:
        return _BODY[joint]
    side, _, part = joint.partition("_")
    if side in ("left", "right"):
        if part in _SIDED:
            return side + _SIDED[part]
        finger = re.fullmatch(r"([a-z]+)([123])", part)
        if finger and finger[1] in _FINGERS:
            return side + _FINGERS[finger[1]] + _PHALANGES[int(finger[2]) - 1]
    return joint


HUMANOID = frozenset(
    [*_BODY.values()]
    + [s + n for s in ("left", "right") for n in _SIDED.values()]
    + [s + f + p for s in ("left", "right") for f in _FINGERS.values() for p in _PHALANGES]
)
"""Every bone name of the VRM 1.0 humanoid."""
