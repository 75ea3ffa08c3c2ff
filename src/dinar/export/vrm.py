"""The VRM 1.0 extension: bones of the humanoid, preset expressions, and the terms of use."""

from __future__ import annotations

from typing import Any

from ..body.visemes import both_sides
from ..errors import DinarError
from .model import Model
from .profiles import HUMANOID

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


def vrm_extension(model: Model, mesh_node: int, meta: dict[str, Any] | None) -> dict[str, Any]:
    """The ``VRMC_vrm`` object; the first nodes are the bones."""
    bones = {name: {"node": b} for b, name in enumerate(model.bones) if name in HUMANOID}
    if missing := sorted(_REQUIRED - bones.keys()):
        raise DinarError(f"the body lacks bones that VRM requires: {', '.join(missing)}")
    targets = list(model.targets)

    def expression(weights: dict[str, float]) -> dict[str, Any] | None:
        sides = both_sides(weights)
        if not sides.keys() <= set(targets):
            return None
        binds = [{"node": mesh_node, "index": targets.index(n), "weight": w} for n, w in sides.items()]
        return {"morphTargetBinds": binds}

    extension: dict[str, Any] = {
        "specVersion": "1.0",
        "meta": {"name": model.name, **META, **(meta or {})},
        "humanoid": {"humanBones": bones},
        "firstPerson": {"meshAnnotations": [{"node": mesh_node, "type": "auto"}]},
    }
    preset = {n: e for n, weights in PRESETS.items() if (e := expression(weights))}
    custom = {n: {"morphTargetBinds": [{"node": mesh_node, "index": i, "weight": 1.0}]} for i, n in enumerate(targets)}
    if targets:
        extension["expressions"] = {"preset": preset, "custom": custom}
    if {"leftEye", "rightEye"} <= bones.keys():
        eyes, head = model.rest[[bones["leftEye"]["node"], bones["rightEye"]["node"]]].mean(0), bones["head"]["node"]
        reach = {"inputMaxValue": 90.0, "outputScale": 25.0}
        extension["lookAt"] = {
            "offsetFromHeadBone": (eyes - model.rest[head])[:3, 3].tolist(),
            "type": "bone",
            "rangeMapHorizontalInner": reach,
            "rangeMapHorizontalOuter": reach,
            "rangeMapVerticalDown": reach,
            "rangeMapVerticalUp": reach,
        }
    return extension
