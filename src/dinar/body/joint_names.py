"""Which joint is which, by name: Mixamo, CMU, LaFAN1, Rokoko, AccuRIG, VRM, Biped, Daz and SMPL schemes -> SMPL-X."""

from __future__ import annotations

import re

from .skeleton import PARENT

_NOISE = {"mixamorig", "cc", "base", "j", "c", "bip", "bip01", "bip001", "jnt", "rl", "bone", "def", "character1", "sk"}
_SIDED = {
    "hip": "hip upleg upperleg thigh upleg thighbend upperlegs",
    "knee": "leg lowleg lowerleg calf shin knee lolegs",
    "ankle": "foot ankle",
    "foot": "toebase toe toes ball",
    "collar": "shoulder clavicle collar collarbone clav",
    "shoulder": "arm uparm upperarm shldr shldrbend humerus",
    "elbow": "forearm lowarm lowerarm elbow forearmbend radius",
    "wrist": "hand wrist palm",
}
_SIDED = {word: joint for joint, words in _SIDED.items() for word in words.split()}
_MIDDLE = {
    "hips": "pelvis", "pelvis": "pelvis", "hip": "pelvis", "neck": "neck", "neck1": "neck", "neck01": "neck",
    "necktwist01": "neck", "necklower": "neck", "head": "head",
}  # fmt: skip
_SPINE = re.compile(r"(spine|chest|upperchest|abdomen|abdomenlower|abdomenupper|chestlower|chestupper|torso|waist|"
                    r"lowerback|back|thorax)\d*")  # fmt: skip
_PHALANX = {"proximal": 1, "intermediate": 2, "distal": 3}
_FINGER = re.compile(r"(?:hand|finger)?(index|middle|mid|pinky|little|ring|thumb)(?:finger)?"
                     r"(0?[123]|metacarpal|proximal|intermediate|distal)")  # fmt: skip


def _side_and_core(name: str) -> tuple[str, str]:
    """``mixamorig:LeftUpLeg`` -> (left, upleg); ``CC_Base_R_Calf`` -> (right, calf); ``lShin`` -> (left, shin)."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name.rsplit(":", 1)[-1])
    words = [w.lower() for w in words]
    while words and words[0] in _NOISE and len(words) > 1:
        words.pop(0)
        while words and words[0].isdigit() and len(words) > 1:
            words.pop(0)
    side = ""
    for i, w in enumerate(words):
        if w in ("left", "l", "right", "r"):
            side = "left" if w[0] == "l" else "right"
            words.pop(i)
            break
    else:
        joined = "".join(words)
        for s in ("left", "right"):
            if joined.startswith(s):
                return s, joined[len(s) :]
        if len(words) == 1 and joined[:1] in "lr" and joined[1:] in _SIDED:  # LLEG in capitals and the like
            return ("left" if joined[0] == "l" else "right"), joined[1:]
    return side, "".join(w for w in words if w not in _NOISE)


def joint_roles(
    names: list[str],
    parents: list[int],  # -1 for the root
) -> dict[str, int]:
    """SMPL-X joint name -> index of the file's joint, parents first."""
    parsed = [_side_and_core(n) for n in names]
    cores = {c for s, c in parsed if s}
    shoulder_is_arm = "shoulder" in cores and not cores & {"arm", "uparm", "upperarm", "shldr", "shldrbend", "humerus"}
    vrm0_thumb = "thumbintermediate" in cores
    role: dict[str, int] = {}
    for j, (side, core) in enumerate(parsed):
        name = None
        if side:
            joint = _SIDED.get(core)
            if joint == "collar" and core == "shoulder" and shoulder_is_arm:
                joint = "shoulder"
            finger = _FINGER.fullmatch(core)
            if joint:
                name = f"{side}_{joint}"
            elif finger:
                kind = {"mid": "middle", "little": "pinky"}.get(finger[1], finger[1])
                part = finger[2]
                if kind == "thumb" and not vrm0_thumb:
                    k = {"metacarpal": 1, "proximal": 2, "distal": 3}.get(part) or int(part)
                else:
                    k = _PHALANX.get(part) or (0 if part == "metacarpal" else int(part))
                name = f"{side}_{kind}{k}" if k else None
        else:
            name = _MIDDLE.get(core)
        if name and name not in role:
            role[name] = j
    if "pelvis" not in role and "left_hip" in role and "right_hip" in role:
        ups = [_ancestors(parents, role[f"{s}_hip"]) for s in ("left", "right")]
        role["pelvis"] = next(j for j in ups[0] if j in ups[1])
    if "pelvis" in role:
        role |= _spine(parents, role, parsed)
    for j, n in enumerate(names):  # SMPL names as they are
        if n in PARENT and n not in role:
            role[n] = j
    return {n: role[n] for n in PARENT if n in role}


def _ancestors(parents: list[int], j: int) -> list[int]:
    out = []
    while (j := parents[j]) >= 0:
        out.append(j)
    return out


def _spine(parents: list[int], role: dict[str, int], parsed: list[tuple[str, str]]) -> dict[str, int]:
    """The joints between pelvis and neck, bottom to top, as spine1 to spine3."""
    top = next((role[n] for n in ("neck", "head", "left_collar", "left_shoulder") if n in role), None)
    if top is None:
        return {}
    chain = _ancestors(parents, top)
    if role["pelvis"] not in chain:
        return {}
    chain = chain[: chain.index(role["pelvis"])][::-1]
    chain = [j for j in chain if _SPINE.fullmatch(parsed[j][1]) and not parsed[j][0]]
    if not chain:
        return {}
    if len(chain) == 1:
        return {"spine2": chain[0]}
    if len(chain) == 2:
        return {"spine1": chain[0], "spine3": chain[1]}
    return {"spine1": chain[0], "spine2": chain[(len(chain) - 1) // 2], "spine3": chain[-1]}
