"""Which program wrote an array file, and whose motion in it is meant -> the parameters of one person.

AMASS and SLAHMR, SMPL-X results, AIST++, Motion-X, GRAB, BEDLAM, 3DPW, VIBE, WHAM, TRAM; frame by frame ROMP, BEV and
PHALP (4D-Humans). What looks like one of them but holds no rotations is refused by its name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array, check_arrays
from ..errors import DinarError
from .motion import MAX_FPS, MAX_FRAMES, MIN_FPS
from .positions import are_positions

MAX_NUMBER = 1e6
Person = dict[str, Any]


@dataclass(frozen=True)
class Parameters:
    """Arrays of one person in canonical names: ``poses``, or ``global_orient``, ``body_pose`` and so on; ``trans``."""

    layout: str
    arrays: dict[str, np.ndarray]  # float64, finite
    fps: float | None
    from_camera: bool  # axes of a camera: the person stays turned as it was seen


# Names of the pose of the whole body, and of the translation that goes with it.
_WHOLE = (
    ("poses", ("trans",), "AMASS"),
    ("pose_world", ("trans_world",), "BEDLAM or WHAM, in the world"),
    ("smpl_poses", ("smpl_trans",), "AIST++"),
    ("fullpose", ("transl",), "GRAB"),
    ("smpl_thetas", ("cam_trans",), "ROMP or BEV"),
    ("pred_rotmat", ("pred_trans",), "TRAM"),
    ("pose", ("trans",), "one pose a frame (ROMP, VIBE, CLIFF)"),
)
_PARTS = {
    "global_orient": ("global_orient", "root_orient"),
    "body_pose": ("body_pose", "pose_body"),
    "jaw_pose": ("jaw_pose", "pose_jaw"),
    "leye_pose": ("leye_pose",),
    "reye_pose": ("reye_pose",),
    "left_hand_pose": ("left_hand_pose",),
    "right_hand_pose": ("right_hand_pose",),
}
_TRANSLATIONS = ("trans", "transl", "translation", "root_trans", "cam_trans")
_RATES = ("mocap_framerate", "mocap_frame_rate", "fps", "frame_rate", "framerate", "video_fps")
_NESTED = ("pred_smpl_params", "smpl_params_global", "smpl_params_incam", "smpl_params", "smplx_params", "smpl",
           "smplx")  # fmt: skip
_MAIN = ("poses", "global_orient", "body_pose", "trans")
_POSES = (*(key for key, *_ in _WHOLE), *_PARTS["body_pose"])
_ONE_FRAME = (63, 66, 69, 72, 156, 165, 189, 198, 207, 216)  # numbers: axis-angle, then matrices
_SEEN = ("frame_ids", "frame_id", "frames")  # numbers of the frames in which the person was found
_JOINTS = ("joints", "joints3d", "j3d", "positions", "keypoints3d", "joints_3d", "motion", "jtr")
_RATE_OF_MOTION_X, _RATE_OF_AIST = 30.0, 60.0  # frames per second, of every file of these sets

# Motion-X: columns of its 322 numbers a frame.
_MOTION_X = {"global_orient": (0, 3), "body_pose": (3, 66), "left_hand_pose": (66, 111), "right_hand_pose": (111, 156),
             "jaw_pose": (156, 159), "expression": (159, 209), "trans": (309, 312)}  # fmt: skip


def parameters(
    file: str,
    content: Any,  # an array, or containers of arrays
    track: str | None = None,  # whose motion; None: the longest
    fps: float | None = None,  # None: what the file says
) -> Parameters:
    """The parameters of one person, or a DinarError that says what the file holds instead."""
    content = _unwrapped(content)
    if isinstance(content, np.ndarray):
        return _of_one_array(file, content, track, fps)
    listed = isinstance(content, list) and bool(content) and all(isinstance(d, dict) for d in content)
    if listed:
        content = dict(enumerate(content))
    if not isinstance(content, dict):
        raise DinarError(f"{file}: expected a dictionary of pose parameters, got {_named(content)}")
    if track is None and len(content) > 1 and (listed or all(map(_is_picture, content))):
        frames = [_inner(d) for d in content.values() if isinstance(d, dict)]
        if len(frames) == len(content) and all(map(_is_one_frame, frames)):
            content = {k: [d] for k, d in zip(content, frames, strict=True)}
    if "smpl_thetas" in content:  # of one picture
        content = {0: content}
    who = ""
    if people := _people_by_frame(file, content):
        chosen, rows = _choose(file, people, track, {k: len(v) for k, v in people.items()})
        last = max(frame for frame, _ in rows)
        who = f"frame by frame, track {chosen} of {', '.join(people)}" if len(people) > 1 else "frame by frame"
        content = _stacked(file, rows, last)
    elif not _has_pose(content):
        tracks = {str(k): d for k, v in content.items() if isinstance(v, dict) and _has_pose(d := _inner(v))}
        if tracks:
            chosen, content = _choose(file, tracks, track, {k: _frames(d) for k, d in tracks.items()})
            who = f"track {chosen} of {', '.join(tracks)}" if len(tracks) > 1 else ""
    return _of_names(file, _inner(content), who, track, fps)


def _unwrapped(x: Any) -> Any:
    """What a lone array of objects, or a lone entry, holds."""
    for _ in range(8):
        if isinstance(x, np.ndarray) and x.dtype == object and x.size == 1:
            x = x.reshape(-1)[0]
        elif isinstance(x, dict) and "results" in x:  # ROMP stores others beside them
            x = x["results"]
        elif isinstance(x, dict) and list(x) in (["arr_0"], ["data"]):  # np.savez without names
            x = next(iter(x.values()))
        elif isinstance(x, np.ndarray) and x.dtype == object:
            x = x.tolist()
        elif isinstance(x, dict) and len(x) == 1 and not _has_pose(x) and not _has_pose(_inner(x)):
            only = next(iter(x.values()))
            if not isinstance(only, (dict, np.ndarray)) or (isinstance(only, np.ndarray) and only.dtype != object):
                break
            x = only
        else:
            break
    return x


def _inner(d: Person) -> Person:
    return next((d[k] for k in _NESTED if isinstance(d.get(k), dict)), d)


def _has_pose(d: Person) -> bool:
    return any(k in d and not isinstance(d[k], dict) for k in _POSES)


def _frames(d: Person) -> int:
    return max((len(d[k]) for k in _POSES if k in d and hasattr(d[k], "__len__")), default=0)


def _is_picture(key: Any) -> bool:
    return str(key).lower().endswith((".jpg", ".jpeg", ".png"))


def _is_one_frame(d: Person) -> bool:
    return any(x.size in _ONE_FRAME for k in _POSES if isinstance(x := d.get(k), np.ndarray))


def _choose(file: str, tracks: dict[str, Any], track: str | None, lengths: dict[str, int]) -> tuple[str, Any]:
    if track is None:
        track = max(lengths, key=lambda k: lengths[k])
    elif track not in tracks:
        raise DinarError(f"{file}: there is no track {track}; the file has {', '.join(list(tracks)[:20])}")
    return track, tracks[track]


# --- frame by frame -------------------------------------------------------------------------------------------------


def _people_by_frame(file: str, content: dict[Any, Any]) -> dict[str, list[tuple[int, Person]]]:
    """Track -> its (frame, parameters), where the file goes frame by frame; else nothing."""
    frames = sorted(content.items(), key=lambda item: _order(*item))
    out: dict[str, list[tuple[int, Person]]] = {}
    for i, (_, frame) in enumerate(frames):
        found = _people_of_frame(frame)
        if found is None:
            return {}
        for who, person in found:
            rows = out.setdefault(who, [])
            if not rows or rows[-1][0] != i:
                rows.append((i, person))
    return out


def _order(key: Any, frame: Any) -> tuple[float, list[Any]]:
    """Frames by their time, else by the numbers in their names."""
    time = frame.get("time") if isinstance(frame, dict) else None
    words = [(0, int(w), "") if w.isdigit() else (1, 0, w) for w in re.findall(r"\d{1,15}|\D+", str(key))]
    return (float(time) if isinstance(time, (int, float, np.number)) else 0.0), words


def _people_of_frame(frame: Any) -> list[tuple[str, Person]] | None:
    """The people of one frame by track, or None where this is no frame."""
    if isinstance(frame, dict) and isinstance(frame.get("smpl"), list):  # PHALP
        tracks = frame.get("tid", frame.get("tracked_ids"))
        tracks = tracks if isinstance(tracks, list) else range(len(frame["smpl"]))
        pairs = zip(tracks, frame["smpl"], strict=False)
        return [(str(who), {**p, "cam": True}) for who, p in pairs if isinstance(p, dict) and _has_pose(p)]
    if isinstance(frame, list):  # ROMP
        if not all(isinstance(p, dict) and _has_pose(p) for p in frame):
            return None
        return [(str(p.get("track_id", i)), p) for i, p in enumerate(frame)]
    if isinstance(frame, dict) and getattr(frame.get("smpl_thetas"), "ndim", 0) == 2:  # BEV and newer ROMP
        thetas, ids, t = frame["smpl_thetas"], frame.get("track_ids"), np.asarray(frame.get("cam_trans"))
        ids = ids if isinstance(ids, (list, np.ndarray)) and len(ids) == len(thetas) else range(len(thetas))
        moved = t.ndim == 2 and len(t) == len(thetas)
        return [
            (str(who), {"smpl_thetas": thetas[i], "cam": True} | ({"cam_trans": t[i]} if moved else {}))
            for i, who in enumerate(ids)
        ]
    return None


def _stacked(file: str, rows: list[tuple[int, Person]], last: int) -> Person:
    """The frames of a track as arrays, from its first to its last; a frame that lacks the person repeats the one
    before."""
    first = rows[0][0]
    at = np.zeros(last - first + 1, int)
    for k, (frame, _) in enumerate(rows):
        at[frame - first :] = k
    out: Person = {}
    for key in rows[0][1]:
        if key not in _POSES and key not in _PARTS["global_orient"] and key not in _TRANSLATIONS:
            continue
        if not all(key in p for _, p in rows):
            raise DinarError(f"{file}: expected {key} in every frame of the track, but one lacks it")
        column = _numbers(file, key, [p[key] for _, p in rows])
        out[key] = column[at]
    return out | {k: True for k in ("cam",) if "cam" in rows[0][1]}


# --- arrays ---------------------------------------------------------------------------------------------------------


def _of_one_array(file: str, x: np.ndarray, track: str | None, fps: float | None) -> Parameters:
    if x.ndim == 2 and x.shape[1] == 322:
        parts = {k: _numbers(file, k, x[:, a:b]) for k, (a, b) in _MOTION_X.items()}
        return Parameters("Motion-X (322 numbers a frame)", parts, fps or _RATE_OF_MOTION_X, False)
    if x.ndim == 2 and x.shape[1] in (263, 251):
        raise DinarError(f"{file}: HumanML3D features ({x.shape[1]} numbers a frame) hold no rotations of the SMPL "
                         "body; fit it to their joints (joints2smpl) and give its poses")  # fmt: skip
    return _of_names(file, {"poses": x}, "", track, fps, "an array of poses")


def _of_names(file: str, d: Person, who: str, track: str | None, fps: float | None, layout: str = "") -> Parameters:
    found: dict[str, Any] = {}
    whole = next((w for w in _WHOLE if w[0] in d and (w[0] == "poses" or not set(d) & set(_PARTS["body_pose"]))), None)
    if whole:
        key, translations, name = whole
        found["poses"] = d[key]
    else:
        translations, name = (), "SMPL-X parameters (global_orient, body_pose)"
        if "pose_body" in d:
            name = "AMASS or SLAHMR (root_orient, pose_body)"
        found |= {ours: d[k] for ours, keys in _PARTS.items() for k in keys if k in d}
        if "body_pose" not in found:
            raise _nothing_found(file, d)
        hands = d.get("pose_hand")
        if isinstance(hands, np.ndarray) and hands.shape[-1:] == (90,):
            found |= {"left_hand_pose": hands[..., :45], "right_hand_pose": hands[..., 45:]}
    moved = next((k for k in (*translations, *_TRANSLATIONS) if d.get(k) is not None), None)
    if moved:
        found["trans"] = d[moved]
    face = next((k for k in ("expression", "expressions") if d.get(k) is not None), None)
    if face:
        found["expression"] = d[face]
    arrays = {k: _numbers(file, k, v) for k, v in found.items() if v is not None and (k in _MAIN or len(_list(v)))}
    if moved == "smpl_trans":  # in units of the scaled body
        arrays["trans"] = arrays["trans"] / _one(file, "smpl_scaling", d.get("smpl_scaling", 1.0), 1e-3, 1e3)
    arrays, who = _one_of_many(file, arrays, track, who)
    _check_rotations(file, arrays)
    if (at := _between(d, _length(arrays))) is not None:
        who = f"{who}, {len(at) - at[-1] - 1} frames without the person".removeprefix(", ")
        arrays = {k: v[at] if len(v) == at[-1] + 1 else v for k, v in arrays.items()}
    rate = (
        fps or _frame_rate(file, d, len(next(iter(arrays.values())))) or (_RATE_OF_AIST if name == "AIST++" else None)
    )
    in_camera = "pose_body" not in d and (not whole or any(k.startswith(("cam", "pred_cam")) for k in map(str, d)))
    layout = ", ".join(x for x in (layout or name, who) if x)
    return Parameters(layout, arrays, rate, in_camera)


def _length(arrays: dict[str, np.ndarray]) -> int:
    return len(arrays.get("poses", arrays.get("body_pose", ())))


def _between(d: Person, frames: int) -> np.ndarray | None:
    """Row of every frame from the first to the last, where the person was not found in all; a frame without repeats the
    one before."""
    found = (np.array(x) if isinstance(x, list) and all(type(i) is int for i in x) else x for x in map(d.get, _SEEN))
    seen = next((x.reshape(-1) for x in found if isinstance(x, np.ndarray) and x.size == frames), np.zeros(0))
    if seen.dtype.kind not in "iu" or len(seen) < 2 or not (np.diff(seen) > 0).all():
        return None
    last = int(seen[-1]) - int(seen[0])
    if last + 1 == frames or last >= MAX_FRAMES:
        return None
    return np.searchsorted(seen, seen[0] + np.arange(last + 1), side="right") - 1


def _frame_rate(file: str, d: Person, frames: int) -> float | None:
    key = next((k for k in (*_RATES, "mocap_time_length") if d.get(k) is not None), None)
    if key is None:
        return None
    rate = _one(file, key, d[key], -MAX_NUMBER, MAX_NUMBER)
    if key == "mocap_time_length":  # seconds
        rate = frames / max(rate, 1e-6)
    if not MIN_FPS <= rate <= MAX_FPS:
        raise DinarError(f"{file}: expected {MIN_FPS:g} to {MAX_FPS:g} frames per second ({key}), got {rate:g}; say "
                         "the frame rate with --motion-fps (in Python: fps)")  # fmt: skip
    return rate


def _nothing_found(file: str, d: Person) -> DinarError:
    keys = [str(k) for k in d]
    joints = next((k for k in _JOINTS if k in keys), None)
    if joints:
        return DinarError(f"{file}: found joint positions ({joints}), but no rotations; fit the SMPL body to them "
                          "(joints2smpl, SMPLify) and give its poses")  # fmt: skip
    return DinarError(f"{file}: expected pose parameters (poses, or global_orient and body_pose), "
                      f"got the entries {', '.join(k[:30] for k in sorted(keys)[:8]) or 'none'}")  # fmt: skip


def _one_of_many(
    file: str, arrays: dict[str, np.ndarray], track: str | None, who: str
) -> tuple[dict[str, np.ndarray], str]:
    """One person of [people, frames, numbers], as SLAHMR and 3DPW have them."""
    main = arrays["poses" if "poses" in arrays else "body_pose"]
    if main.ndim != 3 or main.shape[2] not in (63, 66, 69, 72, 156, 165):
        return arrays, who
    people = len(main)
    if track is not None and not (track.isdecimal() and int(track) < people):
        raise DinarError(f"{file}: there is no track {track}; the file has 0 to {people - 1}")
    i = int(track or 0)
    picked = {k: v[i] for k, v in arrays.items() if v.ndim >= 2 and len(v) == people}
    return picked, f"track {i} of 0 to {people - 1}" if people > 1 else who


def _check_rotations(file: str, arrays: dict[str, np.ndarray]) -> None:
    x = arrays.get("poses")
    if x is None and arrays["body_pose"].size % 63 == 0 and arrays["body_pose"].shape[-2:] != (3, 3):
        body = arrays["body_pose"].reshape(-1, 21, 3)
        x = np.concatenate([np.zeros((len(body), 1, 3)), body], 1)
    if x is not None and are_positions(x):
        raise DinarError(f"{file}: expected rotations, got joint positions (HumanML3D or the like): bones keep their "
                         "lengths; fit the SMPL body to them (joints2smpl, SMPLify) and give its poses")  # fmt: skip


def _list(x: Any) -> Any:
    """A thing with a length: optional arrays of no numbers are as good as missing."""
    return x.reshape(-1) if isinstance(x, np.ndarray) else x if isinstance(x, (list, str)) else [x]


def _numbers(file: str, key: str, x: Any) -> np.ndarray:
    if isinstance(x, (str, dict)) or x is None:
        raise DinarError(f"{file}: expected numbers in {key}, got {_named(x)}")
    if isinstance(x, list) or getattr(x, "ndim", 0):
        frames = len(x)
        if frames > MAX_FRAMES:
            raise DinarError(f"{file}: expected at most {MAX_FRAMES} frames in {key}, got {frames}; cut the motion")
    out = check_arrays(file, {key: x}, {key: Array(np.float64, None, -MAX_NUMBER, MAX_NUMBER)})[key]
    if not out.size:
        raise DinarError(f"{file}: expected at least one frame in {key}, got none")
    return np.atleast_1d(out)


def _one(file: str, key: str, x: Any, low: float, high: float) -> float:
    numbers = check_arrays(file, {key: x}, {key: Array(np.float64, None, low, high)})[key]
    if numbers.size != 1:
        raise DinarError(f"{file}: expected one number in {key}, got {numbers.size}")
    return float(numbers.reshape(-1)[0])


def _named(x: Any) -> str:
    kinds = ((dict, "a dictionary"), (list, "a list"), (str, "text"), (bytes, "bytes"), (type(None), "nothing"))
    return next((name for kind, name in kinds if isinstance(x, kind)), "a number")
