"""Keypoint files of other programs: the people in them, in BlazePose's layout.

OpenPose and DWPose (people with pose_keypoints_2d), COCO and AlphaPose (flat lists of 51 numbers and others), mmpose
(instance_info, instances), MediaPipe (points with x, y, visibility), points by name, npz or json with ``keypoints``.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Array, check_arrays, read_json, read_npz
from ..errors import DinarError
from .blazepose import KEYPOINTS, Pose, region_around

MIN_POINTS = 6  # of a person; fewer are none
MAX_PEOPLE = 1000
MAX_BYTES = 1 << 24
MAX_PIXEL = 1e6
NORMALIZED = 1.5  # coordinates up to this are shares of the picture's size: people are larger than a pixel
MAX_STRETCH = 0.03  # of a canvas that is said to show the photo: its sides may be rounded

# Foreign layouts: for each of their points, ours (None: we have no such point).
_N = {name: i for i, name in enumerate(KEYPOINTS)}
_ARMS_LEGS = ["shoulder", "elbow", "wrist", "hip", "knee", "ankle"]
_COCO17 = ["nose", *(f"{s}_{p}" for p in ("eye", "ear", *_ARMS_LEGS) for s in ("left", "right"))]
_OPENPOSE_ARMS = ["nose", None, *(f"{s}_{p}" for s in ("right", "left") for p in _ARMS_LEGS[:3])]
_OPENPOSE_LEGS = [f"{s}_{p}" for s in ("right", "left") for p in _ARMS_LEGS[3:]]
_OPENPOSE_FACE = ["right_eye", "left_eye", "right_ear", "left_ear"]
_HALPE26 = [*_COCO17, None, None, None, "left_foot_index", "right_foot_index", None, None, "left_heel", "right_heel"]
_WHOLE_BODY = [*_COCO17, "left_foot_index", None, "left_heel", "right_foot_index", None, "right_heel"]
_LAYOUTS: dict[int, tuple[str, list[str | None]]] = {
    33: ("BlazePose", list(KEYPOINTS)),
    17: ("COCO", list(_COCO17)),
    18: ("OpenPose COCO", [*_OPENPOSE_ARMS, *_OPENPOSE_LEGS, *_OPENPOSE_FACE]),
    25: ("OpenPose BODY_25", [*_OPENPOSE_ARMS, None, *_OPENPOSE_LEGS, *_OPENPOSE_FACE, "left_foot_index", None,
                              "left_heel", "right_foot_index", None, "right_heel"]),
    26: ("Halpe", list(_HALPE26)),
    135: ("OpenPose BODY_135", [*_HALPE26[:19], "left_foot_index", None, "left_heel", "right_foot_index", None,
                                "right_heel", *[None] * 110]),
    133: ("COCO-WholeBody", [*_WHOLE_BODY, *[None] * 110]),
    136: ("Halpe full body", [*_HALPE26, *[None] * 110]),
}  # fmt: skip

_PEOPLE = ("people", "instance_info", "instances", "annotations", "predictions", "bodies")
_POINTS = ("pose_keypoints_2d", "pose_keypoints", "keypoints", "pred_keypoints", "pose_landmarks", "poseLandmarks",
           "landmarks", "landmark", "joints")  # fmt: skip
_SCORES = ("keypoint_scores", "scores", "confidence")
_POINT_SCORES = ("visibility", "score", "confidence", "presence")
_WHAT = "a keypoint file (OpenPose, DWPose, COCO, AlphaPose, mmpose or MediaPipe json, or json or npz with 'keypoints')"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Person:
    """Points of one person as the file has them."""

    rows: np.ndarray  # [N, 4] x, y, z, confidence; NaN where the file has nothing
    names: tuple[str, ...] | None = None  # of the points, where the file says them


def load_keypoints(
    path: str | Path,
    scale: float = 1.0,  # working pixels per pixel of the file's coordinates: Photo.scale
    shape: tuple[int, int] | None = None,  # height and width of the working picture
) -> list[Pose]:
    """The people of a file, in BlazePose's layout; points that the file lacks have visibility 0.

    Coordinates are pixels of the upright photo, or shares of its sides, or pixels of a canvas whose size the file
    says; both of these need ``shape``. Points without a confidence are visible.
    """
    path = Path(path)
    if path.suffix.lower() == ".npz":
        content: Any = read_npz(path, name=str(path), what=_WHAT, limit=MAX_BYTES)
        content = {k: v.tolist() for k, v in content.items() if k in (*_POINTS, *_SCORES)} or content
    else:
        content = read_json(path, name=str(path), what=_WHAT, limit=MAX_BYTES)
    canvas = _canvas(path, content)
    people = _people(path, content)
    if not people:
        raise DinarError(f"{path}: the file has no people; expected {_WHAT}")
    layouts, poses, most = set(), [], 0
    for p in people:
        layout, rows = _in_our_layout(path, p)
        layouts.add(layout)
        visible = int((rows[:, 3] > 0).sum())
        most = max(most, visible)
        if visible >= MIN_POINTS:
            poses.append(_pose(path, rows, scale, shape, canvas))
    if not poses:
        raise DinarError(f"{path}: expected at least {MIN_POINTS} keypoints with a confidence above 0, got {most}")
    _log.info("%s: keypoints of %d people, %s", path, len(poses), ", ".join(sorted(layouts)))
    return poses


def fitting_pose(
    file: str | Path,
    poses: list[Pose],  # people of a keypoint file
    found: Pose | None = None,  # the chosen person of the photo
    mask: np.ndarray | None = None,  # [H, W] in [0, 1]: their cut-out; goes before ``found``
) -> Pose:
    """The person of a file who fits the chosen one of the photo."""
    if len(poses) == 1:
        return poses[0]
    if mask is not None:
        scores = [_inside(p, mask) for p in poses]
    elif found is not None:
        scores = [_overlap(p, found) for p in poses]
    else:
        scores = [0.0] * len(poses)
    best = int(np.argmax(scores))
    if scores[best] <= 0:
        raise DinarError(f"{file}: none of its {len(poses)} people fits the person in the photo; keep one of them")
    return poses[best]


def _inside(pose: Pose, mask: np.ndarray) -> float:
    """Share of the visible points inside of a mask."""
    xy = pose.keypoints[pose.visibility > 0, :2]
    x, y = np.floor(xy).astype(int).T
    on = (x >= 0) & (y >= 0) & (x < mask.shape[1]) & (y < mask.shape[0])
    return float((mask[y[on], x[on]] > 0.5).sum() / len(xy))


def _overlap(a: Pose, b: Pose) -> float:
    """Intersection over union of the boxes around the points."""
    (a0, a1), (b0, b1) = (
        (xy.min(0), xy.max(0)) for xy in (p.keypoints[p.visibility > 0, :2] for p in (a, b))
    )  # fmt: skip
    both = np.prod(np.clip(np.minimum(a1, b1) - np.maximum(a0, b0), 0, None))
    return float(both / max(np.prod(a1 - a0) + np.prod(b1 - b0) - both, 1e-6))


# --- reading --------------------------------------------------------------------------------------------------------


def _people(path: Path, x: Any) -> list[_Person]:
    """The people of any of the known structures."""
    x = _of_one_picture(x)
    if isinstance(x, dict):
        listed = next((x[k] for k in _PEOPLE if isinstance(x.get(k), list)), None)
        if listed is None:
            return _of_points(path, x)
        x = listed
        if not x:
            return []
    if not isinstance(x, list) or not x:
        raise _unknown(path, x)
    if not all(isinstance(p, dict) for p in x) or any(k in x[0] for k in ("x", "position")):
        return _of_points(path, {"keypoints": x})
    if len(x) > MAX_PEOPLE:
        raise DinarError(f"{path}: expected at most {MAX_PEOPLE} people, got {len(x)}")
    pictures = {str(p["image_id"]) for p in x if "image_id" in p}
    if len(pictures) > 1 or any(k in p for p in x for k in _PEOPLE):
        raise DinarError(f"{path}: expected the keypoints of one picture, got those of {max(len(pictures), len(x))}; "
                         "give the entries of the photo alone")  # fmt: skip
    return [person for p in x for person in _of_points(path, p)]


def _of_one_picture(x: Any) -> Any:
    """Without lists and dictionaries around a single picture, and people by name as a list."""
    for _ in range(4):
        if isinstance(x, list) and len(x) == 1:
            inner = x[0]  # ComfyUI, mmpose: a list of pictures
            if not (isinstance(inner, dict) and any(k in inner for k in _PEOPLE)) and not _is_of_people(inner):
                return x
            x = inner
        elif isinstance(x, dict) and not any(k in x for k in _POINTS):
            inner = list(x.values())
            if _is_of_people(inner):  # by their numbers
                return inner
            if isinstance(x.get("bodies"), dict):  # DWPose: all points, and whose each is
                return _of_subsets(x["bodies"])
            if len(x) != 1 or not isinstance(inner[0], dict):  # AlphaPose: by the name of the picture
                return x
            x = inner[0]
        else:
            return x
    return x


def _is_of_people(x: Any) -> bool:
    return isinstance(x, list) and bool(x) and all(isinstance(p, dict) and any(k in p for k in _POINTS) for p in x)


def _of_subsets(bodies: dict[str, Any]) -> list[dict[str, Any]]:
    points, people = bodies.get("candidate"), bodies.get("subset")
    if not isinstance(points, list) or not isinstance(people, list):
        return []
    known = {float(i): p[:2] for i, p in enumerate(points) if isinstance(p, list) and len(p) >= 2}
    at = lambda i: [*known[i], 1.0] if isinstance(i, (int, float)) and i in known else [0.0, 0.0, 0.0]  # noqa: E731
    return [{"keypoints": [at(i) for i in p[:18]]} for p in people[:MAX_PEOPLE] if isinstance(p, list)]


def _of_points(path: Path, d: dict[str, Any]) -> list[_Person]:
    """One dictionary of a person, or of arrays of several."""
    key = next((k for k in _POINTS if k in d), None)
    if key is None:
        raise _unknown(path, d)
    points: Any = d[key]
    scores = next((d[k] for k in _SCORES if isinstance(d.get(k), list)), None)
    if isinstance(points, dict) and "landmark" in points:
        points = points["landmark"]
    if isinstance(points, dict) and isinstance(points.get("x"), list):  # columns x, y, visible
        columns = [points.get(k) for k in ("x", "y", "visible")]
        points = [list(row) for row in zip(*(c for c in columns if isinstance(c, list)), strict=False)]
    if isinstance(points, dict):
        points = [{"name": k, **v} if isinstance(v, dict) else {"name": k, "row": v} for k, v in points.items()]
    if not points:
        return []  # a person whose body was not found
    if not isinstance(points, list):
        raise _unknown(path, points)
    if isinstance(points[0], dict):
        return [_of_named_points(path, points)]
    if isinstance(points[0], list) and points[0] and isinstance(points[0][0], dict):
        return [_of_named_points(path, p) for p in points[:MAX_PEOPLE] if p]
    x = _numbers(path, points)
    given = None if scores is None else _numbers(path, scores)
    if x.ndim == 1:
        n = next((n for n in _LAYOUTS if x.size in (2 * n, 3 * n, 4 * n)), None)
        if n is None:
            raise _misshapen(path, str(list(x.shape)))
        x = x.reshape(n, -1)
    if x.ndim == 2:
        x = x[None]
    if x.ndim != 3 or x.shape[-1] not in (2, 3, 4) or len(x) > MAX_PEOPLE:
        raise _misshapen(path, str(list(x.shape)))
    if given is not None and given.size != x.shape[0] * x.shape[1]:
        raise DinarError(f"{path}: expected a score for each of {x.shape[0] * x.shape[1]} keypoints, got {given.size}")
    out = np.zeros((*x.shape[:2], 4))
    out[..., :2] = x[..., :2]
    out[..., 2] = x[..., 2] if x.shape[-1] == 4 else 0
    out[..., 3] = x[..., -1] if x.shape[-1] > 2 else 1.0
    if given is not None:
        out[..., 3] = given.reshape(x.shape[:2])
    return [_Person(rows) for rows in out]


def _of_named_points(path: Path, points: Any) -> _Person:
    """MediaPipe's points, and others that are dictionaries of x, y and perhaps a name."""
    if not isinstance(points, list):
        raise _unknown(path, points)
    rows, names = [], []
    for p in points[: max(_LAYOUTS)]:
        if not isinstance(p, dict):
            raise _unknown(path, p)
        if isinstance(p.get("row"), list):
            row = [*p["row"][:2], 0.0, p["row"][-1] if len(p["row"]) > 2 else 1.0]
        else:
            at = p["position"] if isinstance(p.get("position"), dict) else p
            score = next((p[k] for k in _POINT_SCORES if k in p), 1.0)
            row = [at.get("x"), at.get("y"), at.get("z", 0.0), score]
        rows.append(row)
        names.append(_snake(p.get("name", p.get("part", ""))))
    x = _numbers(path, rows)
    if x.shape != (len(rows), 4):
        raise _misshapen(path, str(list(x.shape)))
    return _Person(x, tuple(names) if sum(n in _N for n in names) >= MIN_POINTS else None)


def _snake(name: Any) -> str:
    """leftEye, LEFT_EYE, left eye -> left_eye."""
    return (
        "_".join(w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name[:40]))
        if isinstance(name, str)
        else ""
    )


def _numbers(path: Path, x: Any) -> np.ndarray:
    """Nested lists as floats; null is NaN."""
    none = lambda v: [none(w) for w in v] if isinstance(v, list) else np.nan if v is None else v  # noqa: E731
    spec = Array(np.float64, None, -MAX_PIXEL, MAX_PIXEL, finite=False)
    return check_arrays(str(path), {"keypoints": none(x)}, {"keypoints": spec})["keypoints"]


def _unknown(path: Path, x: Any) -> DinarError:
    keys = ", ".join(str(k)[:20] for k in list(x)[:6]) if isinstance(x, dict) else ""
    got = f"the entries {keys}" if keys else "an empty entry" if x == {} else "another structure"
    return DinarError(f"{path}: expected {_WHAT}, got {got}")


def _misshapen(path: Path, got: str) -> DinarError:
    known = ", ".join(f"{n} ({label})" for n, (label, _) in _LAYOUTS.items())
    return DinarError(f"{path}: expected [points, 2 to 4] keypoints with {known} points, got {got}")


# --- layouts and pixels ---------------------------------------------------------------------------------------------


def _in_our_layout(path: Path, p: _Person) -> tuple[str, np.ndarray]:
    """Name of the file's layout, and [33, 4] x, y, z, confidence."""
    rows = p.rows.copy()
    rows[~np.isfinite(rows[:, [0, 1, 3]]).all(1)] = 0
    rows[:, 2] = np.nan_to_num(rows[:, 2])
    if p.names is not None:
        label, names = "points by name", [n if n in _N else None for n in p.names]
    elif len(rows) in _LAYOUTS:
        label, names = _LAYOUTS[len(rows)]
    else:
        raise _misshapen(path, f"{len(rows)} points")
    confidence = rows[:, 3]
    if len(rows) == 17 and np.isin(confidence, (0, 1, 2)).all() and confidence.max() == 2:
        rows[:, 3] /= 2  # COCO annotations: 1 = hidden, 2 = visible
    out = np.zeros((len(KEYPOINTS), 4))
    for row, name in zip(rows, names, strict=True):
        if name and row[3] > 0:
            out[_N[name]] = *row[:3], min(row[3], 1.0)
    return label, out


def _canvas(path: Path, x: Any) -> tuple[float, float] | None:
    """Width and height of the picture that a DWPose or OpenPose editor worked on."""
    d = x[0] if isinstance(x, list) and len(x) == 1 else x
    if not isinstance(d, dict) or d.get("canvas_width") is None or d.get("canvas_height") is None:
        return None
    sides = {k: d[k] for k in ("canvas_width", "canvas_height")}
    got = check_arrays(str(path), sides, {k: Array(np.float64, (), 1, MAX_PIXEL) for k in sides})
    return float(got["canvas_width"]), float(got["canvas_height"])


def _pose(
    path: Path, rows: np.ndarray, scale: float, shape: tuple[int, int] | None, canvas: tuple[float, float] | None
) -> Pose:
    """Keypoints in working pixels."""
    visible = rows[:, 3] > 0
    size = None if shape is None else np.array([shape[1], shape[0]], float)
    factor = np.array([scale, scale])
    if np.abs(rows[visible, :2]).max() <= NORMALIZED:
        if size is None:
            raise DinarError(f"{path}: keypoints look normalised to [0, 1]; expected pixels of the upright photo")
        factor = size
    elif canvas is not None and size is not None:
        factor = size / canvas
        if abs(factor[0] / factor[1] - 1) > MAX_STRETCH:
            w, h = (round(n / scale) for n in size)
            raise DinarError(f"{path}: expected keypoints of this photo, {w} x {h} pixels, got those of a canvas of "
                             f"{canvas[0]:.0f} x {canvas[1]:.0f}")  # fmt: skip
    keypoints = rows.astype(np.float32)
    keypoints[:, :2] = rows[:, :2] * factor
    if size is not None:
        visible &= (np.abs(keypoints[:, :2] - size / 2) <= size).all(1)  # points far outside of the photo are no points
        keypoints[~visible] = 0
        if visible.sum() < MIN_POINTS:
            raise DinarError(f"{path}: the keypoints lie outside of the photo; expected pixels of the upright photo")
    keypoints[:, 2] = rows[:, 2] * (factor[0] if np.abs(rows[:, 2]).max() <= NORMALIZED or factor is not size else 1.0)
    if not np.ptp(keypoints[visible, :2], axis=0).max() > 1:
        raise DinarError(f"{path}: expected keypoints of a person, got all of them at one point")
    return Pose(keypoints, visible.astype(np.float32), None, None, 1.0, region_around(keypoints))
