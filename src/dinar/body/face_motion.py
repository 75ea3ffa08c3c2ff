"""Recorded faces: weights of the 52 ARKit actions, as apps and tools write them, on a body that stands idle.

csv of Live Link Face (a row a frame: Timecode, EyeBlinkLeft, ..., HeadYaw, HeadPitch, HeadRoll in radians), and json of
Audio2Face (``facsNames``, ``weightMat``, ``exportFps``) or a list of frames, each of them weights by name.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..arrays import read_text
from ..errors import DinarError
from .motion import MAX_FRAMES, Motion
from .procedural import motion as built_in
from .rotation import axis_angle_to_matrix

ASSUMED_FPS = 60.0  # of Live Link Face; timecodes say another rate where there is one
FEW = 10  # actions; a table with fewer is not of a face
HEAD = ("HeadPitch", "HeadYaw", "HeadRoll")  # radians about x, y, z
_LEAST, _MOST = -0.5, 2.0  # weights beyond are not weights
_FRAME_LIST = ("frames", "blendShapes", "data")  # keys under which lists of frames are found


def read_face_csv(path: Path, fps: float | None) -> Motion:
    """A csv table whose header names the actions."""
    what = "a csv table of ARKit actions"
    try:
        rows = list(csv.reader(io.StringIO(read_text(path, name=path.name, what=what))))
    except csv.Error:  # a cell of more than 128 KiB
        raise DinarError(f"{path.name}: expected {what}, got another or a damaged file") from None
    head = [n.strip() for n in rows[0]] if rows else []
    body = [r for r in rows[1:] if any(c.strip() for c in r)]
    columns = [i for i, n in enumerate(head) if n not in ("Timecode", "BlendShapeCount") and n]
    if any(len(r) < len(head) for r in body) or not body:
        raise DinarError(f"{path.name}: expected {what} with a value in every column, got {len(body)} rows, "
                         "some of them too short")  # fmt: skip
    try:
        values = np.array([[float(r[i]) for i in columns] for r in body])
    except ValueError:
        raise DinarError(f"{path.name}: expected {what} with numbers below the names, got text") from None
    if fps is None:
        times = [r[head.index("Timecode")] for r in body] if "Timecode" in head else []
        fps = _rate(times) or _assumed(path)
    return face_motion(path, [head[i] for i in columns], values, fps)


def read_face_json(path: Path, content: Any, fps: float | None) -> Motion | None:
    """A json of actions by name; None: another json."""
    found = _frames(content)
    if found is None:
        return None
    names, values, rate = found
    return face_motion(path, names, values, fps or rate or _assumed(path))


def _assumed(path: Path) -> float:
    warnings.warn(f"{path.name} has no frame rate: {ASSUMED_FPS:g} frames per second are assumed; --motion-fps (in "
                  "Python: fps) says otherwise", stacklevel=4)  # fmt: skip
    return ASSUMED_FPS


def _rate(timecodes: list[str]) -> float | None:
    """Frames per second from hours:minutes:seconds:frames of the recording."""
    try:
        parts = [[float(x) for x in t.split(":")] for t in timecodes]
        seconds = np.array([int(h) * 3600 + int(m) * 60 + int(s) for h, m, s, _ in parts])
    except ValueError:
        return None
    changes = np.flatnonzero(np.diff(seconds))
    if len(changes) < 2:
        return None
    span = seconds[changes[-1]] - seconds[changes[0]]
    return float((changes[-1] - changes[0]) / span) if span > 0 else None


def _frames(content: Any) -> tuple[list[str], np.ndarray, float | None] | None:
    """Names, weights [T, n] and frames per second."""
    rate = None
    if isinstance(content, dict):
        rate = next((content[k] for k in ("exportFps", "fps") if isinstance(content.get(k), int | float)), None)
        names, weights = content.get("facsNames"), content.get("weightMat")
        if isinstance(names, list) and isinstance(weights, list):
            rows = [dict(zip(map(str, names), row, strict=False)) for row in weights if isinstance(row, list)]
        else:
            rows = next((content[k] for k in _FRAME_LIST if isinstance(content.get(k), list)), None)
    else:
        rows = content
    if not isinstance(rows, list) or not rows or not isinstance(rows[0], dict):
        return None
    inner = next((k for k in ("blendShapes", "blendshapes", "weights") if isinstance(rows[0].get(k), dict)), None)
    rows = [r.get(inner, {}) if inner else r for r in rows if isinstance(r, dict)]
    names = [k for k, v in rows[0].items() if isinstance(v, int | float)] if isinstance(rows[0], dict) else []
    if sum(n[:1].lower() + n[1:] in _actions() for n in names) < FEW:
        return None
    try:
        values = np.array([[float(r.get(n, 0)) for n in names] for r in rows], np.float64)
        return names, values, None if rate is None else float(rate)
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None


def _actions() -> tuple[str, ...]:
    from .load import load_body

    return load_body().expression_names


def face_motion(path: Path, names: list[str], values: np.ndarray, fps: float) -> Motion:
    """The face on the first frame of the idle body, its head turned as recorded."""
    own = {n[:1].lower() + n[1:]: i for i, n in enumerate(names)}
    actions = [a for a in _actions() if a in own]
    if len(actions) < FEW:
        raise DinarError(f"{path.name}: expected a column for each of the ARKit actions (eyeBlinkLeft, jawOpen, ...), "
                         f"got {len(actions)} of them")  # fmt: skip
    weights = values[:, [own[a] for a in actions]]
    fits = np.isfinite(values).all() and _LEAST <= weights.min() <= weights.max() <= _MOST
    if len(values) > MAX_FRAMES or not fits:
        raise DinarError(f"{path.name}: expected at most {MAX_FRAMES} frames with weights between 0 and 1, got "
                         f"{len(values)} frames, weights from {weights.min():.3g} to {weights.max():.3g}")  # fmt: skip
    base = built_in("idle")
    R = base.rotations[:1].expand(len(values), -1, -1, -1).clone()
    turns = [own[n] for n in (n[:1].lower() + n[1:] for n in HEAD) if n in own]
    if len(turns) == len(HEAD):
        k = base.joint_names.index("head")
        R[:, k] = R[:, k] @ axis_angle_to_matrix(torch.from_numpy(values[:, turns])).to(R)
    return dataclasses.replace(
        base, name=path.stem, rotations=R, transl=base.transl[:1].expand(len(values), 3).clone(), fps=fps, loop=False,
        expression=torch.from_numpy(weights.clip(0, 1)).float(), expression_names=tuple(actions),
        layout=f"{len(actions)} ARKit actions",
    )  # fmt: skip
