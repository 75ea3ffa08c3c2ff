"""The joints of SMPL-X by name: the skeleton of all bodies and motions."""

from __future__ import annotations

_FINGERS = ("index", "middle", "pinky", "ring", "thumb")

# joint -> parent, in the order of SMPL-X; parents come first.
PARENT: dict[str, str] = {
    "pelvis": "",
    "left_hip": "pelvis", "right_hip": "pelvis", "spine1": "pelvis",
    "left_knee": "left_hip", "right_knee": "right_hip", "spine2": "spine1",
    "left_ankle": "left_knee", "right_ankle": "right_knee", "spine3": "spine2",
    "left_foot": "left_ankle", "right_foot": "right_ankle", "neck": "spine3",
    "left_collar": "spine3", "right_collar": "spine3", "head": "neck",
    "left_shoulder": "left_collar", "right_shoulder": "right_collar",
    "left_elbow": "left_shoulder", "right_elbow": "right_shoulder",
    "left_wrist": "left_elbow", "right_wrist": "right_elbow",
    "jaw": "head", "left_eye_smplhf": "head", "right_eye_smplhf": "head",
}  # fmt: skip
BODY = tuple(PARENT)[:22]  # pelvis and the 21 joints of ``body_pose``
for _side in ("left", "right"):
    for _f in _FINGERS:
        for _k in (1, 2, 3):
            PARENT[f"{_side}_{_f}{_k}"] = f"{_side}_wrist" if _k == 1 else f"{_side}_{_f}{_k - 1}"
SMPLX = tuple(PARENT)
HANDS = {s: tuple(f"{s}_{f}{k}" for f in _FINGERS for k in (1, 2, 3)) for s in ("left", "right")}

# Direction from hip to ankle in SMPL's T-pose (mean shapes of SMPL and SMPL-X: 3 degrees back, 1 outwards); arms
# lie along x. Skeletons whose rest pose differs are turned into these directions before they share rotations.
LEG = {"left": (0.015, -0.78, -0.042), "right": (-0.015, -0.78, -0.042)}


def other_side(name: str) -> str:
    """The name of the other side: left_hip -> right_hip, eyeBlinkLeft -> eyeBlinkRight; others are unchanged."""
    for a, b in (("left", "right"), ("Left", "Right")):
        for x, y in ((a, b), (b, a)):
            if x in name:
                return name.replace(x, y)
    return name
