"""Make an avatar from one picture of a person and compare it with the person's other pictures (§4.2, app. D).

All compared pictures are written with their masks, so that other systems can be measured on the same crops
(`dinar evaluate renders`)::

    pictures/input/PERSON.png                 the input picture
    pictures/truth/GROUP/PERSON.VIEW.png      the true pictures, cropped
    pictures/SYSTEM/GROUP/PERSON.VIEW.png     the avatar in their poses and cameras
    people/NUMBER.json                        the metrics; written last: a killed run resumes after complete people
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..arrays import is_texts, read_json
from ..body import Body, load_body
from ..body.rotation import axis_angle_to_matrix
from ..create import create
from ..errors import DinarError
from ..files import replacing
from ..fit.fingers import fit_fingers
from ..fit.fit_file import Fit
from ..fit.smplify import fit_body
from ..labels import LABEL
from ..neural.arrays import face_boxes, frontality
from ..pictures import write_image
from ..pool import Failure, run_pool
from ..scene.textured import to_uint8
from ..subject import read_subject
from ..views import Params, Source, Views
from .metrics import Measures
from .protocol import Protocol, box_of, cut, face_in, on_background
from .systems import System

SAME, NEAR, SIDE, BACK, POSED = "same view", "up to 45°", "side", "back", "new pose"
GROUPS = (SAME, NEAR, SIDE, BACK, POSED)
NEAR_ANGLE, SIDE_ANGLE = 45.0, 135.0  # degrees between the cameras: largest of the groups NEAR and SIDE
NEW_POSE = 30.0  # degrees; a pose is new if a limb's direction, seen from the pelvis, differs by more
MAX_VALUE = 1e6  # of a metric
MAX_ERROR = 3.0  # per cent of the height; views with a larger keypoint error of the refitted body are left out
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


@dataclass(frozen=True)
class Plan:
    """The settings of an evaluation for its worker processes."""

    protocol: Protocol
    systems: tuple[System, ...]
    out: Path
    body: tuple[str, Path | None] = ("anny", None)
    input: str | None = None  # name or number of the input view; None: the most frontal
    refit: bool = False  # fit the body to all views with one shape; False: use the source's parameters
    own_mask: bool = True  # `create` computes the input's mask; False: use the source's mask


def run(
    source: Source,
    people: int,
    plan: Plan,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Evaluate all people without a record. Returns the records of all people, in order."""
    plan.protocol.begin(plan.out)
    files = [plan.out / "people" / f"{i:06d}.json" for i in range(people)]
    files[0].parent.mkdir(exist_ok=True)
    todo = [i for i, f in enumerate(files) if not f.is_file()]
    count = people - len(todo)
    progress(count, people)

    def finish(i: int, outcome: Failure | None) -> None:
        nonlocal count
        progress(count := count + 1, people)

    work = partial(evaluate_person, source, plan=plan)
    outcomes = run_pool(work, todo, jobs=jobs, threads=int(jobs > 1), done=finish)
    failures = {i: o.reason for i, o in zip(todo, outcomes, strict=True) if isinstance(o, Failure)}
    return [
        {"person": f"person {i}", "rows": [], "skipped": {}, "made": {}, "left_out": failures[i]}
        if i in failures
        else read_record(f)
        for i, f in enumerate(files)
    ]


def read_record(path: Path) -> dict[str, Any]:
    """What :func:`evaluate_person` wrote of a person."""
    record = read_json(path, what="the measures of a person")
    record = record if isinstance(record, dict) else {}
    texts = isinstance(record.get("person"), str) and isinstance(record.get("left_out", ""), str)
    rows = record.get("rows")
    if not (texts and is_texts(record.get("skipped")) and isinstance(record.get("made"), dict)
            and isinstance(rows, list) and all(map(_is_row, rows))):  # fmt: skip
        raise DinarError(f"{path}: expected the measures of a person, got something else; delete it and run the same "
                         "command again")  # fmt: skip
    return record


def _is_row(row: Any) -> bool:
    values = row.get("values") if isinstance(row, dict) else None
    number = lambda x: type(x) in (int, float) and (abs(x) <= MAX_VALUE or x != x or abs(x) == math.inf)  # noqa: E731
    return (
        isinstance(values, dict) and all(map(number, values.values()))
        and all(isinstance(row.get(k), str) for k in ("person", "view", "group", "system"))
        and (row.get("angle") is None or number(row["angle"]))
    )  # fmt: skip


def evaluate_person(source: Source, i: int, plan: Plan) -> None:
    """Make, render and measure the avatars of person i; write pictures and a record with the metrics, or the error."""
    body = load_body(*plan.body)
    v = source.views(i).to("cpu")
    record: dict[str, Any] = {"person": v.name, "rows": [], "skipped": {}, "made": {}}
    try:
        if v.body != body.name:
            raise DinarError(f"{v.name}: expected parameters of the {body.name} body, got {v.body}: see --body")
        if plan.refit:
            v, record["skipped"] = refit(v, body)
        compare(v, choose_input(v, plan.input), plan, body, record)
    except DinarError as e:
        record |= {"rows": [], "left_out": str(e)}
    with replacing(plan.out / "people" / f"{i:06d}.json") as temporary:
        temporary.write_text(json.dumps(record, indent=1))


def choose_input(v: Views, wanted: str | None) -> int:
    """Index of the view by its name or number; None: the most frontal."""
    if wanted is None:
        return int(frontality(v).argmax())
    if wanted in v.view_names:
        return v.view_names.index(wanted)
    if wanted.isdigit() and int(wanted) < len(v):
        return int(wanted)
    raise DinarError(f"{v.name} has no view {wanted}: expected an input view among {', '.join(v.view_names[:12])}")


def compare(v: Views, first: int, plan: Plan, body: Body, record: dict[str, Any]) -> None:
    """Fill ``record`` with a row for each view and system."""
    p = plan.protocol
    rgb, alpha = v.rgb.numpy(), v.alpha.numpy().astype(np.float32) / 255
    if v.labels is not None:  # avatars have no bags
        alpha *= v.labels.numpy() != LABEL["bag"]
    truth = v.raster(body)
    angles, posed = angles_to(v, first, body), new_pose(v, first, body)
    faces = face_boxes(truth.fragments.face, body).numpy() * np.tile(v.size[::-1], 2)
    write_picture(plan.out / "pictures" / "input" / f"{v.name}.png", rgb[first])
    avatars = {s.name: make(v, first, plan, s, body) for s in plan.systems}
    for k, name in enumerate(v.view_names):
        group = SAME if k == first else group_of(float(angles[k]), bool(posed[k]))
        try:
            box, h, w = box_of(alpha[k], p)
        except DinarError as e:
            record["skipped"][name] = str(e)
            continue
        true, face = cut(rgb[k], alpha[k], box, h, w), face_in(faces[k], box, h, w)
        row = {"person": v.name, "view": name, "group": group, "angle": round(float(angles[k]), 1),
               "new_pose": bool(posed[k]), "face": face}  # fmt: skip
        write_picture(picture_path(plan.out, "truth", row), true)
        # the input view has the fitted parameters that the avatar was made with
        params = v.fit if k == first else v.params
        for system, avatar in avatars.items():
            rendered = to_uint8(avatar.render(params.pose[k], v.camera(k).crop(*box, h, w), transl=params.transl[k]))
            write_picture(picture_path(plan.out, system, row), rendered)
            record["rows"].append({"system": system, **row, "values": measure(rendered, true, p, face)})
    record["made"] = {n: a.meta for n, a in avatars.items()}


def make(v: Views, first: int, plan: Plan, system: System, body: Body):
    """The avatar of view ``first``, by the same calls as `dinar create PHOTO --fit FIT`."""
    with tempfile.TemporaryDirectory() as scratch:
        photo, mask, fit = (Path(scratch) / f"{v.name}{s}" for s in (".png", ".mask.png", ".npz"))
        write_image(photo, v.rgb[first].numpy())
        write_image(mask, v.alpha[first].numpy())
        q = v.fit
        Fit(q.betas, q.pose[first], q.transl[first], v.camera(first), float("nan")).save(fit)
        masks = () if plan.own_mask else (mask,)
        return create([photo], system.options, body=body, masks=masks, fits=(fit,))


def refit(v: Views, body: Body) -> tuple[Views, dict[str, str]]:
    """The views with the body fitted to their pictures, one shape for all, and the reasons of omitted views by name.

    The fit uses masks computed from the pictures; the comparison uses the source's masks.
    """
    found, skipped = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for k, name in enumerate(v.view_names):
            path = Path(scratch) / f"{name}.png"
            write_image(path, v.rgb[k].numpy())
            try:
                found.append((k, read_subject(path, whole=True)))
            except DinarError as e:
                skipped[name] = str(e).replace(str(path), name)
    if not found:
        raise DinarError(f"{v.name}: found a person in none of {len(v)} views; {next(iter(skipped.values()))}")
    fits = fit_body(body, [s.view for _, s in found], shared_shape=True)
    good: list[tuple[int, Fit]] = []
    for (k, s), f in zip(found, fits, strict=True):
        if f.keypoint_error < MAX_ERROR:
            good.append((k, fit_fingers(body, f, s.hands)))
        else:
            skipped[v.view_names[k]] = f"the body misses the keypoints by {f.keypoint_error:.1f} % of the height"
    if not good:
        raise DinarError(f"{v.name}: the body fits none of {len(v)} views; {next(iter(skipped.values()))}")
    cameras = [f.camera.resized(*v.size) for _, f in good]
    stack = lambda xs: torch.stack(list(xs))  # noqa: E731
    params = Params(good[0][1].betas, stack(f.pose for _, f in good), stack(f.transl for _, f in good))
    out = v.select([k for k, _ in good])
    return dataclasses.replace(out, params=params, fitted=None, K=stack(c.K for c in cameras),
                               T_cam_world=stack(c.T_cam_world for c in cameras)).check(), skipped  # fmt: skip


# ---- views in groups ---------------------------------------------------------------------------------------------


def group_of(angle: float, new_pose: bool) -> str:
    """Group of a view by its angle to the input view in degrees, or POSED if its pose is new."""
    if new_pose:
        return POSED
    return NEAR if angle <= NEAR_ANGLE else SIDE if angle <= SIDE_ANGLE else BACK


def angles_to(v: Views, first: int, body: Body) -> np.ndarray:
    """[N] degrees between the camera of each view and that of view ``first``, in the frame of the pelvis."""
    pelvis = v.params.posed(body).joints[:, 0]
    R, t = v.T_cam_world[:, :3, :3], v.T_cam_world[:, :3, 3]
    eye = -(R.mT @ t[..., None])[..., 0]
    d = F.normalize(_in_pelvis_frame(v, eye - pelvis), dim=-1)
    return np.asarray(torch.rad2deg(torch.acos((d @ d[first]).clamp(-1, 1))))


def new_pose(v: Views, first: int, body: Body) -> np.ndarray:
    """[N] bool: the direction of a limb differs from that in view ``first`` by more than NEW_POSE."""
    joints = v.params.posed(body).joints
    at = lambda side, name: joints[:, body.joint(f"{side}_{name}")]  # noqa: E731
    bones = [at(s, b) - at(s, a) for a, b in LIMBS for s in ("left", "right")]
    bones.append(joints[:, body.joint("neck")] - joints[:, 0])
    d = F.normalize(torch.stack([_in_pelvis_frame(v, b) for b in bones], 1), dim=-1)  # [N, bones, 3]
    angle = torch.rad2deg(torch.acos((d * d[first]).sum(-1).clamp(-1, 1)))
    return np.asarray(angle.amax(1) > NEW_POSE)


def _in_pelvis_frame(v: Views, directions: torch.Tensor) -> torch.Tensor:  # [N, 3] world -> [N, 3] pelvis
    R = axis_angle_to_matrix(v.params.pose[:, 0])
    return torch.einsum("nji,nj->ni", R, directions)


# ---- measuring ---------------------------------------------------------------------------------------------------


def measure(
    rendered: np.ndarray,  # [H, W, 4] uint8 sRGB, straight alpha
    true: np.ndarray,  # [H, W, 4] uint8 sRGB, straight alpha
    p: Protocol,
    face: Sequence[int] | None = None,  # x0, y0, x1, y1 pixels
) -> dict[str, float]:
    """The metrics of a pair of pictures, over the protocol's background. Masks are alpha over .5, without erosion."""
    a, b = (on_background(x, p) for x in (rendered, true))
    box = None if face is None else (face[0], face[1], face[2], face[3])
    try:
        values = measures_of(p).pair(a, b, rendered[..., 3] > 127, true[..., 3] > 127, box)
    except ValueError as e:  # too small for MS-SSIM
        raise DinarError(f"{e}: use larger pictures or other --metrics") from e
    return {k: float(x) for k, x in values.items()}


@lru_cache(maxsize=2)
def measures_of(p: Protocol) -> Measures:
    """The metrics of a protocol; their networks are loaded once in a process."""
    return Measures(p.metrics, p.device, p.inception, p.reid)


def slug(text: str) -> str:
    """A file name made of a text."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def picture_path(out: Path, system: str, row: dict[str, Any]) -> Path:
    """Path of a row's picture; ``system`` is the name of a system, or "truth"."""
    view = f".{row['view']}" if row["view"] else ""
    return out / "pictures" / slug(system) / slug(row["group"]) / f"{row['person']}{view}.png"


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write an image and create its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
