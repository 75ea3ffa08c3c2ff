"""Which joint is which, by name: the schemes of Mixamo, Rigify, Unreal, Daz, Biped, Xsens, SMPL and others -> SMPL-X.

A name is cut into words (``CC_Base_L_ToeBase`` -> cc base l toe base). What decorates most names of a file is taken
away first: namespaces, the character's name, the numbers of copies. Then one word says the side, the others the joint.
"""

from __future__ import annotations

import re
from collections import Counter

from .skeleton import PARENT

MAJORITY = 0.6  # share of a file's joints that carry a decoration

_NOISE = {"cc", "base", "j", "c", "m", "bip", "jnt", "rl", "bone", "def", "sk", "b", "f"}
_SIDED = {
    "hip": "hip upleg upperleg thigh thighbend upperlegs legupper femur legup",
    "knee": "leg lowleg lowerleg calf shin shinbend knee lolegs leglower tibia",
    "ankle": "foot ankle",
    "foot": "toebase toe toes ball",
    "collar": "shoulder clavicle collar collarbone clav scapula",
    "shoulder": "arm uparm upperarm shldr shldrbend humerus uarm armupper bicep upperarmbend",
    "elbow": "forearm lowarm lowerarm elbow forearmbend radius farm armlower lowerarmbend",
    "wrist": "hand wrist palm",
}
_SIDED = {word: joint for joint, words in _SIDED.items() for word in words.split()}
_UPPER_ARM = {word for word, joint in _SIDED.items() if joint == "shoulder"}
_THIGH = {word for word, joint in _SIDED.items() if joint == "hip"} - {"hip"}
_SHIN = {word for word, joint in _SIDED.items() if joint == "knee"} - {"leg"}
_MIDDLE = {
    "hips": "pelvis", "pelvis": "pelvis", "hip": "pelvis", "spinebase": "pelvis", "neck": "neck", "necktwist": "neck",
    "necklower": "neck", "lowerneck": "neck", "head": "head",
}  # fmt: skip
_SPINE = re.compile(
    r"(lower|upper|mid|middle|low|up)?(spine|chest|abdomen|torso|waist|back|thorax|stomach|ab|belly)"
    r"(lower|upper|mid|middle|navel|chest|shoulder|top)?\d*|[lt]\d{1,2}"  # vertebrae: L5, L3, T12, T8
)
_ABOVE = re.compile(r"(spine|neck|head)?\d*")  # joints above the chest of a rig that numbers its spine to the head
_PHALANX = {"proximal": 1, "intermediate": 2, "distal": 3}
_FINGER = re.compile(r"(?:hand|finger)?(index|middle|mid|pinky|little|ring|thumb)(?:finger)?"
                     r"(0?[123]|metacarpal|proximal|intermediate|distal)")  # fmt: skip
_BIPED_FINGER = re.compile(r"finger([0-4])([12]?)")
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
_SIDES = {"left": "left", "l": "left", "right": "right", "r": "right"}
_KNOWN = {*_SIDED, *_MIDDLE, *_SIDES, "spine", "chest", "up", "low", "upper", "lower", "fore"}


def joint_roles(
    names: list[str],
    parents: list[int],  # -1 for the root
) -> dict[str, int]:
    """SMPL-X joint name -> index of the file's joint, parents first."""
    plain = [re.split(r"[:|]", n)[-1] for n in names]
    numbered = re.compile(r"(?<=[^_. -])[_. -]\d{1,4}$")
    readings = [plain]
    if sum(bool(numbered.search(n)) for n in plain) >= MAJORITY * len(plain):  # Hips.001, Hips_01
        readings.append([numbered.sub("", n) for n in plain])
    found = [_roles([_side_and_core(w) for w in _undecorated(_all_words(r))], parents) for r in readings]
    role = max(found, key=len)
    for j, n in enumerate(names):  # SMPL names as they are
        if n in PARENT and n not in role:
            role[n] = j
    return {n: role[n] for n in PARENT if n in role}


def _all_words(names: list[str]) -> list[list[str]]:
    words = [_words(n) for n in names]
    if any("rt" in w for w in words):  # lf_thigh, rt_thigh
        words = [[{"lf": "left", "rt": "right"}.get(w, w) for w in name] for name in words]
    return words


def _words(name: str) -> list[str]:
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _undecorated(names: list[list[str]]) -> list[list[str]]:
    """Without the words that most names begin or end with, such as the name of the character."""
    for end in (0, -1):
        while True:
            counts = Counter(w[end] for w in names if len(w) > 1)
            word, count = counts.most_common(1)[0] if counts else ("", 0)
            if count < MAJORITY * len(names) or word in _KNOWN or (end and word.isdigit()):
                break
            names = [(w[1:] if end == 0 else w[:-1]) if len(w) > 1 and w[end] == word else w for w in names]
    return names


def _side_and_core(words: list[str]) -> tuple[str, str]:
    """[left, up, leg] -> (left, upleg); [l, calf] -> (left, calf); [l, shin] -> (left, shin)."""
    if len(words) == 2 and words[0] in ("l", "t") and words[1].isdigit():  # a vertebra, not a side
        return "", "".join(words)
    sides = [i for i, w in enumerate(words) if w in _SIDES]
    if sides:
        core = "".join(w for i, w in enumerate(words) if i != sides[0] and w not in _NOISE)
        return _SIDES[words[sides[0]]], core
    core = "".join(w for w in words if w not in _NOISE)
    for s in ("left", "right"):
        if core.startswith(s):
            return s, core[len(s) :]
    if core[:1] in ("l", "r") and _unnumbered(core[1:]) in _SIDED:  # lfemur, LLEG, LUArm
        return _SIDES[core[0]], core[1:]
    return "", core


def _unnumbered(core: str) -> str:
    return core.rstrip("0123456789")


def _roles(parsed: list[tuple[str, str]], parents: list[int]) -> dict[str, int]:
    cores = {_unnumbered(c) for s, c in parsed if s}
    meant = dict(_SIDED)
    if not cores & _UPPER_ARM:  # collar, shoulder, elbow, wrist
        meant["shoulder"] = "shoulder"
    if "ankle" in cores:  # hip, knee, ankle, foot
        meant["foot"] = "foot"
    if cores & _THIGH:
        meant.pop("hip")
    elif "hip" not in cores and cores & _SHIN:  # leg, shin
        meant["leg"] = "hip"
    vrm0_thumb = "thumbintermediate" in cores
    biped = not any(c.startswith("finger5") for _, c in parsed)
    role: dict[str, int] = {}
    for j, (side, core) in enumerate(parsed):
        if side:
            joint = meant.get(core) or meant.get(_unnumbered(core)) or _finger(core, vrm0_thumb, biped)
            name = f"{side}_{joint}" if joint else None
        else:
            name = _MIDDLE.get(core) or _MIDDLE.get(_unnumbered(core))
        if name and name not in role:
            role[name] = j
    if "pelvis" not in role and "left_hip" in role and "right_hip" in role:
        role["pelvis"] = _meeting(parents, role["left_hip"], role["right_hip"])
    if "pelvis" in role:
        role |= _neck_and_head(parents, role, parsed)
        role |= _spine(parents, role, parsed)
    return {n: j for n, j in role.items() if j >= 0}


def _finger(core: str, vrm0_thumb: bool, biped: bool) -> str | None:
    if biped and (m := _BIPED_FINGER.fullmatch(core)):  # Finger0 is the thumb, Finger01 its second bone
        return f"{_FINGERS[int(m[1])]}{int(m[2] or 0) + 1}"
    m = _FINGER.fullmatch(core)
    if not m:
        return None
    kind, part = {"mid": "middle", "little": "pinky"}.get(m[1], m[1]), m[2]
    if kind == "thumb" and not vrm0_thumb:
        k = {"metacarpal": 1, "proximal": 2, "distal": 3}.get(part) or int(part)
    else:
        k = _PHALANX.get(part) or (0 if part == "metacarpal" else int(part))
    return f"{kind}{k}" if k else None


def _ancestors(parents: list[int], j: int) -> list[int]:
    out = []
    while (j := parents[j]) >= 0:
        out.append(j)
    return out


def _meeting(parents: list[int], a: int, b: int) -> int:
    """The nearest joint above both, or -1."""
    above = set(_ancestors(parents, a))
    return next((j for j in _ancestors(parents, b) if j in above), -1)


def _neck_and_head(parents: list[int], role: dict[str, int], parsed: list[tuple[str, str]]) -> dict[str, int]:
    """Where neither is named: the joints that go on above the one where the arms begin."""
    arms = [next((role[n] for n in (f"{s}_collar", f"{s}_shoulder") if n in role), -1) for s in ("left", "right")]
    if "neck" in role or "head" in role or min(arms) < 0:
        return {}
    chain, j = [], _meeting(parents, *arms)
    while True:
        above = (k for k, p in enumerate(parents) if p == j and not parsed[k][0] and _ABOVE.fullmatch(parsed[k][1]))
        j = next(above, -1)
        if j < 0:
            break
        chain.append(j)
    if not chain:
        return {}
    return {"head": chain[-1], **({"neck": chain[0]} if len(chain) > 1 else {})}


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
