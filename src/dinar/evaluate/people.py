"""One picture of a person -> avatar -> all the other pictures of them: the protocol of §4.2 and app. D.

Everything that is compared is also written as a picture with its mask, so that another system's pictures can be put in
the place of ours (`dinar evaluate renders`)::

    pictures/input/PERSON.png                 what the avatars were made from
    pictures/truth/GROUP/PERSON.VIEW.png      the true pictures, cropped
    pictures/SYSTEM/GROUP/PERSON.VIEW.png     the avatar in their poses and cameras
    people/NUMBER.json                        the measures; written last, so that a killed run goes on after it
"""

from __future__ import annotations

import dataclasses
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

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
from ..neural.weights import load_networks, open_networks, shipped
from ..pool import Failure, run_pool
from ..preview import write_image
from ..scene.textured import to_uint8
from ..subject import read_subject
from ..views import Params, Source, Views
from .metrics import Measures
from .protocol import Protocol, box_of, cut, face_in, on_background

SAME, NEAR, SIDE, BACK, POSED = "same view", "up to 45°", "side", "back", "new pose"
GROUPS = (SAME, NEAR, SIDE, BACK, POSED)
NEW_POSE = 30.0  # degrees by which a limb has to point elsewhere, seen from the pelvis, to be another pose
MAX_ERROR = 3.0  # per cent of the height: views whose refitted body misses the keypoints by more are left out
LIMBS = (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))


@dataclass(frozen=True)
class System:
    """A way to make avatars."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)  # keywords of `dinar.create`

    @property
    def how(self) -> str:
        told = {k: v.name if isinstance(v, Path) else v for k, v in self.options.items()}
        return "create(" + ", ".join(f"{k}={v}" for k, v in told.items()) + ")"


def choose_systems(learned: bool, classical: bool, weights: Path | None) -> list[System]:
    """What --learned, --classical and --weights ask for; neither: what `dinar create` does by itself."""
    use: dict[str, Any] = {} if weights is None else {"weights": weights}
    if weights is not None and classical and not learned:
        raise DinarError("--weights are for learned avatars: add --learned, or leave --weights out")
    out = [System("classical", {"learned": False})] if classical else []
    if learned or weights is not None:
        check_weights(weights)
        out.append(System("learned", {"learned": True, **use}))
    return out or [System("dinar")]


def check_weights(weights: Path | None) -> None:
    """Say that there are no weights before anything is made."""
    if weights is not None:
        load_networks(weights, ["encoder"])
    elif shipped() is None:
        open_networks(None, True)


@dataclass(frozen=True)
class Plan:
    """All that a worker process needs besides the source of people."""

    protocol: Protocol
    systems: tuple[System, ...]
    out: Path
    body: tuple[str, Path | None] = ("anny", None)
    input: str | None = None  # name or number of the view that the avatar is made from; None: the most frontal
    refit: bool = False  # the body is fitted here, in all views, with one shape
    own_mask: bool = True  # `create` cuts the input out itself; False: it is given the set's mask


def run(
    source: Source,
    people: int,
    plan: Plan,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Evaluate everybody who has not been yet; returns what is known of each, in order."""
    plan.protocol.begin(plan.out)
    files = [plan.out / "people" / f"{i:06d}.json" for i in range(people)]
    files[0].parent.mkdir(exist_ok=True)
    todo = [i for i, f in enumerate(files) if not f.is_file()]
    count = people - len(todo)
    progress(count, people)

    def finish(i: int, outcome: Failure | None) -> None:
        nonlocal count
        progress(count := count + 1, people)

    outcomes = run_pool(partial(evaluate_person, source, plan=plan), todo, jobs=jobs, threads=jobs > 1, done=finish)
    failures = {i: o.reason for i, o in zip(todo, outcomes, strict=True) if isinstance(o, Failure)}
    return [
        {"person": f"person {i}", "rows": [], "skipped": {}, "made": {}, "left_out": failures[i]}
        if i in failures
        else read_record(f)
        for i, f in enumerate(files)
    ]


def read_record(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as e:
        raise DinarError(f"{path}: expected the measures of a person, got a damaged file; delete it and run the same "
                         "command again") from e  # fmt: skip


def evaluate_person(source: Source, i: int, plan: Plan) -> None:
    """Make the avatars of person i, draw and measure them, and write it all down; or why that cannot be."""
    body = load_body(*plan.body)
    v = source.views(i).to("cpu")
    record: dict[str, Any] = {"person": v.name, "rows": [], "skipped": {}, "made": {}}
    try:
        if v.body != body.name:
            raise DinarError(f"{v.name} is of the {v.body} body, expected {body.name}: see --body")
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
    raise DinarError(f"{v.name} has no view {wanted} to make an avatar from; there are {', '.join(v.view_names[:12])}")


def compare(v: Views, first: int, plan: Plan, body: Body, record: dict[str, Any]) -> None:
    """Fill ``record`` with a row for every view and system."""
    p = plan.protocol
    rgb, alpha = v.rgb.numpy(), v.alpha.numpy().astype(np.float32) / 255
    if v.labels is not None:  # what is carried is no part of an avatar
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
        # in the view that it was made from, the avatar stands as it was fitted there
        params = v.fit if k == first else v.params
        for system, avatar in avatars.items():
            drawn = avatar.render(params.pose[k], v.camera(k).crop(*box, h, w), transl=params.transl[k])
            drawn = to_uint8(drawn)
            write_picture(picture_path(plan.out, system, row), drawn)
            record["rows"].append({"system": system, **row, "values": measure(drawn, true, p, face)})
    record["made"] = {n: a.meta for n, a in avatars.items()}


def make(v: Views, first: int, plan: Plan, system: System, body: Body):
    """The avatar of a view, as `dinar create PHOTO --fit FIT` makes it."""
    with tempfile.TemporaryDirectory() as scratch:
        photo, mask, fit = (Path(scratch) / f"{v.name}{s}" for s in (".png", ".mask.png", ".npz"))
        write_image(photo, v.rgb[first].numpy())
        write_image(mask, v.alpha[first].numpy())
        q = v.fit
        Fit(q.betas, q.pose[first], q.transl[first], v.camera(first), float("nan")).save(fit)
        masks = [] if plan.own_mask else [mask]
        return create([photo], body=body, masks=masks, fits=[fit], **system.options)


def refit(v: Views, body: Body) -> tuple[Views, dict[str, str]]:
    """The views with the body fitted as in photos, one shape for all, and why some of them are left out.

    Masks for the fit are made from the pictures; the set's own are kept for the comparison.
    """
    found, skipped = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for k, name in enumerate(v.view_names):
            path = Path(scratch) / f"{name}.png"
            write_image(path, v.rgb[k].numpy())
            try:
                found.append((k, read_subject(path)))
            except DinarError as e:
                skipped[name] = str(e).replace(str(path), name)
    if not found:
        raise DinarError(f"{v.name}: a person is found in none of {len(v)} views; {next(iter(skipped.values()))}")
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
    if new_pose:
        return POSED
    return NEAR if angle <= 45 else SIDE if angle <= 135 else BACK


def angles_to(v: Views, first: int, body: Body) -> np.ndarray:
    """[N] degrees between where the cameras are, seen from the pelvis: it turns with the person."""
    pelvis = v.params.posed(body).joints[:, 0]
    R, t = v.T_cam_world[:, :3, :3], v.T_cam_world[:, :3, 3]
    eye = -(R.mT @ t[..., None])[..., 0]
    d = F.normalize(_seen_from_pelvis(v, eye - pelvis), dim=-1)
    return np.asarray(torch.rad2deg(torch.acos((d @ d[first]).clamp(-1, 1))))


def new_pose(v: Views, first: int, body: Body) -> np.ndarray:
    """[N] bool: some limb points elsewhere than in the input view by more than NEW_POSE."""
    joints = v.params.posed(body).joints
    at = lambda side, name: joints[:, body.joint(f"{side}_{name}")]  # noqa: E731
    bones = [at(s, b) - at(s, a) for a, b in LIMBS for s in ("left", "right")]
    bones.append(joints[:, body.joint("neck")] - joints[:, 0])
    d = F.normalize(torch.stack([_seen_from_pelvis(v, b) for b in bones], 1), dim=-1)  # [N, bones, 3]
    angle = torch.rad2deg(torch.acos((d * d[first]).sum(-1).clamp(-1, 1)))
    return np.asarray(angle.amax(1) > NEW_POSE)


def _seen_from_pelvis(v: Views, directions: torch.Tensor) -> torch.Tensor:  # [N, 3] world
    R = axis_angle_to_matrix(v.params.pose[:, 0])
    return torch.einsum("nji,nj->ni", R, directions)


# ---- measuring ---------------------------------------------------------------------------------------------------


def measure(
    drawn: np.ndarray,  # [H, W, 4] uint8
    true: np.ndarray,  # [H, W, 4] uint8
    p: Protocol,
    face: Sequence[int] | None = None,  # x0, y0, x1, y1 pixels
) -> dict[str, float]:
    """All measures of a pair of pictures. Masks are compared as they are, pictures as the protocol says."""
    a, b = (on_background(x, p) for x in (drawn, true))
    box = None if face is None else (face[0], face[1], face[2], face[3])
    try:
        values = measures_of(p).pair(a, b, drawn[..., 3] > 127, true[..., 3] > 127, box)
    except ValueError as e:  # too small for MS-SSIM
        raise DinarError(f"{e}: larger pictures, or other --metrics") from e
    return {k: float(x) for k, x in values.items()}


@lru_cache(maxsize=2)
def measures_of(p: Protocol) -> Measures:
    """Networks are loaded once a process."""
    return Measures(p.metrics, p.device, p.inception, p.reid)


def slug(text: str) -> str:
    """A file name."""
    return re.sub(r"[^\w.+-]+", "-", text).strip("-")


def picture_path(out: Path, who: str, row: dict[str, Any]) -> Path:
    """Where the picture of a row lies: of a system, or `truth`."""
    view = f".{row['view']}" if row["view"] else ""
    return out / "pictures" / slug(who) / slug(row["group"]) / f"{row['person']}{view}.png"


def write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
