"""The VRM 1.0 extension: bones of the humanoid, preset expressions, and the terms of use."""

from __future__ import annotations

from typing import Any

from ..errors import DinarError
from .animation import Rig
from .humanoid import HUMANOID, bone_name

# VRM's preset expressions as weights of the body's facial actions; x at the end of a name: Left and Right.
PRESETS: dict[str, dict[str, float]] = {
    "happy": {"mouthSmilex": 0.9, "cheekSquintx": 0.6, "eyeSquintx": 0.3},
    "angry": {"browDownx": 1.0, "noseSneerx": 0.5, "mouthPressx": 0.5, "mouthFrownx": 0.4},
    "sad": {"browInnerUp": 1.0, "mouthFrownx": 0.8, "mouthShrugLower": 0.3},
    "relaxed": {"mouthSmilex": 0.4, "eyeSquintx": 0.3},
    "surprised": {"browInnerUp": 0.7, "browOuterUpx": 0.8, "eyeWidex": 0.8, "jawOpen": 0.35},
    "aa": {"jawOpen": 0.6},
    "ih": {"jawOpen": 0.2, "mouthStretchx": 0.5},
    "ou": {"mouthPucker": 0.7, "mouthFunnel": 0.4, "jawOpen": 0.15},
    "ee": {"mouthSmilex": 0.3, "mouthStretchx": 0.5, "jawOpen": 0.15},
    "oh": {"mouthFunnel": 0.7, "jawOpen": 0.35},
    "blink": {"eyeBlinkx": 1.0},
    "blinkLeft": {"eyeBlinkLeft": 1.0},
    "blinkRight": {"eyeBlinkRight": 1.0},
}

# The strictest terms; ``vrm_meta`` of write_glb replaces them.
META: dict[str, Any] = {
    "version": "1",
    "authors": ["made with dinar"],
    "licenseUrl": "https://vrm.dev/licenses/1.0/",
    "avatarPermission": "onlyAuthor",
    "allowExcessivelyViolentUsage": False,
    "allowExcessivelySexualUsage": False,
    "commercialUsage": "personalNonProfit",
    "allowPoliticalOrReligiousUsage": False,
    "allowAntisocialOrHateUsage": False,
    "creditNotation": "required",
    "allowRedistribution": False,
    "modification": "prohibited",
}

_REQUIRED = {"hips", "spine", "head"} | {
    side + part
    for side in ("left", "right")
    for part in ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
}


def vrm_extension(
    rig: Rig, targets: list[str], mesh_node: int, name: str, meta: dict[str, Any] | None
) -> dict[str, Any]:
    """The ``VRMC_vrm`` object; nodes are the joints in the body's order."""
    bones = {b: {"node": j} for j, n in enumerate(rig.body.joint_names) if (b := bone_name(n)) in HUMANOID}
    if missing := sorted(_REQUIRED - bones.keys()):
        raise DinarError(f"the {rig.body.name} body lacks bones that VRM requires: {', '.join(missing)}")

    def expression(weights: dict[str, float]) -> dict[str, Any] | None:
        sides = {n[:-1] + s if n.endswith("x") else n: w for n, w in weights.items() for s in ("Left", "Right")}
        if not sides.keys() <= set(targets):
            return None
        binds = [{"node": mesh_node, "index": targets.index(n), "weight": w} for n, w in sides.items()]
        return {"morphTargetBinds": binds}

    extension: dict[str, Any] = {
        "specVersion": "1.0",
        "meta": {"name": name, **META, **(meta or {})},
        "humanoid": {"humanBones": bones},
        "firstPerson": {"meshAnnotations": [{"node": mesh_node, "type": "auto"}]},
    }
    preset = {n: e for n, weights in PRESETS.items() if (e := expression(weights))}
    custom = {n: {"morphTargetBinds": [{"node": mesh_node, "index": i, "weight": 1.0}]} for i, n in enumerate(targets)}
    if targets:
        extension["expressions"] = {"preset": preset, "custom": custom}
    if {"leftEye", "rightEye"} <= bones.keys():
        eyes = rig.joints[[bones["leftEye"]["node"], bones["rightEye"]["node"]]].mean(0)
        reach = {"inputMaxValue": 90.0, "outputScale": 25.0}
        extension["lookAt"] = {
            "offsetFromHeadBone": (eyes - rig.joints[bones["head"]["node"]]).tolist(),
            "type": "bone",
            "rangeMapHorizontalInner": reach,
            "rangeMapHorizontalOuter": reach,
            "rangeMapVerticalDown": reach,
            "rangeMapVerticalUp": reach,
        }
    return extension
