"""Motion files -> :class:`~dinar.body.motion.Motion`. The content decides how a file is read, not its name.

Arrays of SMPL parameters (:mod:`.layouts`), BVH (:mod:`.bvh`), DeepMimic clips and faces (:mod:`.face_motion`).
Whatever cannot be a motion is refused with the reason; pickles are read by :mod:`dinar.pickles` only.
"""

from __future__ import annotations

import dataclasses
import logging
import warnings
from pathlib import Path
from typing import Any

import torch

from ..arrays import read_json, read_npy, read_npz
from ..errors import DinarError
from ..pickles import read_pickle
from .bvh import read_bvh
from .deepmimic import read_deepmimic
from .face_motion import read_face_csv, read_face_json
from .layouts import parameters
from .motion import MAX_FPS, MIN_FPS, Motion
from .rotation import axis_angle_to_matrix
from .smpl_motion import smpl_motion

ASSUMED_FPS = 30.0  # of files that do not say
MAX_BYTES = 1 << 28  # of the arrays of a motion: 100,000 frames of SMPL-X in float64 take half of it
_log = logging.getLogger(__name__)


def load_motion(
    source: str | Path,  # a file, or the name of a built-in motion
    up: str = "auto",  # "y", "z" or "-y" (camera axes) where the guess from the data is wrong
    *,
    fps: float | None = None,  # frames per second of the file; None: what it says, else 30 with a warning
    track: str | int | None = None,  # whose motion, where a file has several; None: the longest
) -> Motion:
    """A motion in canonical form. Recorded ones are turned to face +z in their first frame."""
    from . import procedural

    path = Path(source).expanduser()
    if up not in ("auto", "y", "z", "-y"):
        raise DinarError(f"expected up as auto, y, z or -y, got {up!r}")
    if fps is not None and not MIN_FPS <= fps <= MAX_FPS:
        raise DinarError(f"expected {MIN_FPS:g} to {MAX_FPS:g} frames per second of a motion, got {fps:g}")
    if str(source) in procedural.MOTIONS:
        return procedural.motion(str(source))
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a special file" if path.exists() else "no such file"
        raise DinarError(f"expected a motion file (npz, pkl, bvh, DeepMimic txt) or one of "
                         f"{', '.join(procedural.MOTIONS)}; got {str(source)!r} ({what})")  # fmt: skip
    with path.open("rb") as f:
        head = f.read(4096)
    if not head.strip():
        raise DinarError(f"{path.name}: expected a motion, got an empty file")
    text = head.decode("utf-16", "ignore") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head.decode("latin1")
    text = text.lstrip("\xef\xbb\xbf\ufeff \t\r\n")
    if text[:9].upper() == "HIERARCHY":
        m = _facing_front(read_bvh(path, up))
    elif text[:1] in ("{", "["):
        m = _read_json(path, fps)
    elif "," in text.split("\n")[0] and "eyeblinkleft" in text.split("\n")[0].lower():
        m = read_face_csv(path, fps)
    else:
        m = _read_arrays(path, head, up, fps, None if track is None else str(track))
    m = m if fps is None else dataclasses.replace(m, fps=fps)
    _log.info("%s: %s, %d frames, %.5g per second", path.name, m.layout, len(m), m.fps)
    return m


def _read_json(path: Path, fps: float | None) -> Motion:
    content = read_json(path, name=path.name, what="a motion as json")
    return read_face_json(path, content, fps) or _facing_front(read_deepmimic(path, content))


def _read_arrays(path: Path, head: bytes, up: str, fps: float | None, track: str | None) -> Motion:
    p = parameters(path.name, _content(path, head), track, fps)
    m = smpl_motion(path.stem, path.name, p, up, p.fps or ASSUMED_FPS)
    if p.fps is None and len(m) > 1:
        warnings.warn(f"{path.name} has no frame rate: {ASSUMED_FPS:g} frames per second are assumed; "
                      "--motion-fps (in Python: fps) says otherwise", stacklevel=4)  # fmt: skip
    return m if p.from_camera else _facing_front(m)


def _content(path: Path, head: bytes) -> Any:
    """Arrays, or containers of arrays."""
    file = path.name
    if head[:4] == b"PK\x03\x04":
        if b"/data.pkl" in head or b"archive/" in head[:60]:
            raise DinarError(f"{file}: expected numpy arrays, got a torch file; save them with np.savez")
        return read_npz(path, name=file, what="an npz file of a motion", limit=MAX_BYTES, pickled=read_pickle)
    if head[:6] == b"\x93NUMPY":
        return read_npy(path, name=file, what="an array of poses", limit=MAX_BYTES, pickled=read_pickle)
    plain = head[:1] == b"\x80" or (path.suffix.lower() in (".pkl", ".pickle") and head[:1] in b"(cd]}")
    if plain or (head[:1] == b"\x78" or head[:2] == b"\x1f\x8b"):  # or compressed by joblib
        return read_pickle(path)
    got = next((what for magic, what in _FOREIGN.items() if head.startswith(magic)), "something else")
    raise DinarError(f"{file}: expected a motion as npz, pkl, BVH or DeepMimic text, got {got}")


_FOREIGN = {
    b"Kaydara": "an FBX file; export it as BVH",
    b"; FBX": "an FBX file; export it as BVH",
    b"glTF": "a glTF file; export the motion as BVH",
}


def _facing_front(m: Motion) -> Motion:
    """Turn the whole motion about the vertical so that its first frame faces +z."""
    forward = m.rotations[0, m.joint_names.index("pelvis"), :, 2]
    if float(forward[[0, 2]].norm()) < 0.3:  # lying: no heading
        return m
    a = -torch.atan2(forward[0], forward[2])
    R = axis_angle_to_matrix(torch.stack([a * 0, a, a * 0]))
    rotations = m.rotations.clone()
    rotations[:, 0] = R @ rotations[:, 0]
    return dataclasses.replace(m, rotations=rotations, transl=m.transl @ R.T)
