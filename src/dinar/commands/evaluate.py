"""`dinar evaluate sequence | views | renders | ablation`: from a folder of data to json, tables and sheets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import imageio.v3 as iio
import tyro

from ..data.folder import Folder
from ..data.frames import MASKS, Clip, find_clips, import_people, read_frames
from ..data.photos import Photos
from ..data.shards import open_set
from ..data.video import video_frames
from ..errors import DinarError
from ..evaluate.people import Plan, System, check_weights, choose_systems
from ..evaluate.people import run as run_people
from ..evaluate.protocol import Protocol, metric_names
from ..evaluate.renders import score
from ..evaluate.report import ablation_table, summarise, views_table, write_report
from ..files import check_output, replacing
from ..neural.weights import shipped
from ..pictures import SUFFIXES
from ..synthetic.source import Synthetic
from ..views import Source
from .common import Common, Output, Path1, given_files, progress_bar, say

OFF = {"occlusion": False, "refine": False}
HELD_OUT = 230309375  # seed of generated people that are evaluated on; training takes small ones
Progress = Callable[[int, int], None]
Results = dict[str, Any]


@dataclass
class EvaluateCommon(Common):
    """How pictures are compared; all of it is written above the tables."""

    out: Output = Path("out/evaluation")
    """Folder for results.json, table.md, sheet.png and the pictures; goes on where it was stopped."""
    size: int = 512
    """Pixels: the side of the crop, or the longer side of the full picture."""
    background: Literal["white", "grey", "black"] = "white"
    """Behind both pictures."""
    crop: Literal["person", "full"] = "person"
    """The square around the true mask, or the whole picture."""
    erode: int = 0
    """Pixels by which both masks are eroded before they are put on the background."""
    metrics: list[str] = field(default_factory=list)
    """Which ones; default: all."""
    inception: str | None = None
    """InceptionV3 with FID's weights (TorchScript: file or address) for KID; without, a substitute by another name."""
    reid: str | None = None
    """FlipReID (TorchScript: file or address) for ReID; without, a substitute by another name."""
    device: str = "cpu"
    """Of the metrics: cpu or cuda."""


@dataclass
class EvaluateAvatars(EvaluateCommon):
    """How avatars are made."""

    input: str | None = None
    """Name or number of the view that the avatar is made from; default: the most frontal."""
    learned: bool = False
    """Learned avatars; with --classical both, side by side; default: what `dinar create` does by itself."""
    classical: bool = False
    """Classical avatars."""
    weights: Path | None = None
    """Weights of the networks (RUN/weights of a training run); implies --learned."""
    own_mask: bool = True
    """The input is cut out as any photo is; off: with the set's mask."""
    people: int | None = None
    """So many of the people; default: all (of `synthetic` 8)."""
    jobs: int = 1
    """Processes at once."""


@dataclass
class EvaluateSequence(EvaluateAvatars):
    """Turning people (videos or frames): avatar from one frame, drawn in the fitted poses of the others."""

    data: Path1 = field(kw_only=True)
    """A video, a folder of frames (masks in masks/ beside them), or a folder of these."""
    frames: int = 16
    """Of each person, evenly spread."""


@dataclass
class EvaluateViews(EvaluateAvatars):
    """Sets of many views with known bodies: avatar from one view, drawn in all others, by angle."""

    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    """A set of `dinar synthesize` or `dinar fit --frames`, PHOTOS:FITS, or the word `synthetic`."""
    refit: bool = False
    """Fit the body in all views as in photos, instead of taking the set's."""


@dataclass
class EvaluateAblation(EvaluateAvatars):
    """Table 2: what each part of `create` is worth, by its switches."""

    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    """As of `dinar evaluate views`."""


@dataclass
class EvaluateRenders(EvaluateCommon):
    """Pictures of another system against true ones, by file name."""

    pred: Path1 = field(kw_only=True)
    """Folder of their pictures; subfolders are groups (front, back, ...)."""
    truth: Path1 = field(kw_only=True)
    """Folder of the true pictures, of the same names; `pictures/truth` of another evaluation, say."""
    name: str = ""
    """What to call the system; default: the folder's name."""
    masks: Path | None = None
    """Masks of the true pictures, of the same names; default: their alpha channels."""
    pred_masks: Path | None = None
    """Masks of their pictures."""


@dataclass
class Evaluate:
    """Measure avatars or pictures; the protocol stands above every table."""

    what: (
        Annotated[EvaluateSequence, tyro.conf.subcommand("sequence")]
        | Annotated[EvaluateViews, tyro.conf.subcommand("views")]
        | Annotated[EvaluateRenders, tyro.conf.subcommand("renders")]
        | Annotated[EvaluateAblation, tyro.conf.subcommand("ablation")]
    )

    @property
    def threads(self) -> int:
        return self.what.threads

    @property
    def debug(self) -> bool:
        return self.what.debug


def run(c: Evaluate) -> None:

    with progress_bar("people", lines=True) as show:
        evaluate(c.what, show)
    print((c.what.out / "table.md").read_text())
    say(f"{c.what.out}: results.json, table.md, sheet.png; look at {c.what.out / 'sheet.png'}")


def evaluate(c: EvaluateCommon, progress: Progress = lambda done, total: None) -> Results:
    """Run one of the commands."""
    data = [c.pred, c.truth, c.masks, c.pred_masks] if isinstance(c, EvaluateRenders) else []
    data += [c.weights] if isinstance(c, EvaluateAvatars) else []
    data += [c.data] if isinstance(c, EvaluateSequence | EvaluateViews | EvaluateAblation) else []
    check_output(c.out, given_files(*data), folder=True)
    if isinstance(c, EvaluateSequence):
        return evaluate_sequence(c, progress)
    if isinstance(c, EvaluateViews):
        return evaluate_views(c, progress)
    if isinstance(c, EvaluateRenders):
        return evaluate_renders(c, progress)
    assert isinstance(c, EvaluateAblation)
    return evaluate_ablation(c, progress)


def evaluate_views(c: EvaluateViews, progress: Progress) -> Results:
    """Multi-view sets with known bodies."""
    source, people, data = open_people(c.data, c.people, c.size)
    systems = choose_systems(c.learned, c.classical, c.weights)
    protocol = _protocol(
        c, "views", data, systems, input=c.input or "the most frontal view",
        input_mask="made by create" if c.own_mask or c.refit else "the set's",
        poses="fitted here, one shape for all views" if c.refit else
        "the set's; of the input view, the set's fit where it has one apart from the truth",
        truth_mask="the set's, without bags where it has classes",
    )  # fmt: skip
    plan = Plan(protocol, tuple(systems), c.out, (c.body, c.body_path), c.input, c.refit, c.own_mask or c.refit)
    return finish(plan, run_people(source, people, plan, c.jobs, progress))


def evaluate_sequence(c: EvaluateSequence, progress: Progress) -> Results:
    """Turning people: frames or videos."""
    clips = find_clips(c.data)[: c.people]
    systems = choose_systems(c.learned, c.classical, c.weights)
    masks = "beside the frames" if all(clip.masks for clip in clips) else "made by the pipeline where none is given"
    protocol = _protocol(
        c, "sequence", f"{c.data.name}, {len(clips)} sequences, {c.frames} frames of each", systems,
        input=f"frame {c.input}" if c.input else "the most frontal frame",
        input_mask="made by create" if c.own_mask else masks,
        poses="fitted in every frame, one shape for all of them", truth_mask=masks,
    )  # fmt: skip
    protocol.begin(c.out)
    frames = c.out / "frames"
    frames.mkdir(exist_ok=True)
    for clip in clips:
        if not (frames / clip.name).is_dir():
            stage(clip, frames / clip.name, c.frames, c.input)
    # twice the size: the avatar is made from the crop, and the frames are compared after resampling
    report = import_people(frames, c.out / "set", frames=10**6, size=max(1024, 2 * c.size), jobs=c.jobs,
                           body=(c.body, c.body_path), progress=progress)  # fmt: skip
    source = Folder(c.out / "set")
    if not source.num_people:
        raise DinarError("; ".join(f"{n}: {why}" for n, why in report["left_out"].items()))
    plan = Plan(protocol, tuple(systems), c.out, (c.body, c.body_path), c.input, False, c.own_mask)
    records = run_people(source, source.num_people, plan, c.jobs, progress)
    for r in records:
        r["skipped"] |= report["people"].get(r["person"], {}).get("skipped", {})
    lost = [{"person": n, "rows": [], "skipped": {}, "made": {}, "left_out": why}
            for n, why in report["left_out"].items()]  # fmt: skip
    return finish(plan, records + lost)


def evaluate_renders(c: EvaluateRenders, progress: Progress) -> Results:
    """Somebody's pictures."""
    name = c.name or c.pred.resolve().name
    protocol = _protocol(
        c, "renders", f"{c.pred.name} against {c.truth.name}", [],
        truth_mask="given as pictures" if c.masks else "alpha channels, where there are any", poses="unknown",
        input="unknown", input_mask="unknown",
    )  # fmt: skip
    records = score(c.pred, c.truth, c.out, protocol, name=name, pred_masks=c.pred_masks, truth_masks=c.masks,
                    progress=progress)  # fmt: skip
    return write_report(c.out, protocol, records)


def evaluate_ablation(c: EvaluateAblation, progress: Progress) -> Results:
    """Table 2 by the switches of `create`."""
    source, people, data = open_people(c.data, c.people, c.size)
    systems = ablation(c.learned, c.classical, c.weights)
    protocol = _protocol(
        c, "ablation", data, systems, input=c.input or "the most frontal view",
        input_mask="made by create" if c.own_mask else "the set's",
        poses="the set's; of the input view, the set's fit where it has one apart from the truth",
        truth_mask="the set's, without bags where it has classes",
    )  # fmt: skip
    plan = Plan(protocol, tuple(systems), c.out, (c.body, c.body_path), c.input, False, c.own_mask)
    return finish(plan, run_people(source, people, plan, c.jobs, progress), ablation_table)


def ablation(learned: bool, classical: bool, weights: Path | None) -> list[System]:
    """The rows of table 2 as systems, and the same of the classical parts; both unless one is asked for."""
    out = []
    if learned:
        check_weights(weights)
    if not classical and weights is None and shipped() is None:  # nothing to ablate: the classical rows alone
        learned, classical = False, True
    if classical or not learned:
        off = {"learned": False, "offsets": False, "occlusion": False}
        out += [System("classical: texture on the bare body", off),
                System("classical: + offsets", off | {"offsets": True}),
                System("classical: + occlusion detector", {"learned": False})]  # fmt: skip
    if learned or not classical:
        on = {"learned": True} | ({} if weights is None else {"weights": weights})
        other = on | {"unseen": "classical", "refine": False}
        out += [System("learned: RGB texture", on | {"neural": False, "unseen": "nothing", **OFF}),
                System("learned: neural texture", on | {"rgb": False, "unseen": "nothing", **OFF}),
                System("learned: RGB + neural", on | {"unseen": "nothing", **OFF}),
                System("learned: + inpainting", on | {"unseen": "diffusion", **OFF}),
                System("learned: + occlusion detector", on | {"unseen": "diffusion", "refine": False}),
                System("learned: + RGB tuning", on | {"unseen": "diffusion", "refine": True}),
                System("learned: classical restoration in place of inpainting", other | {"refine": True}),
                System("learned: that, without tuning", other),
                System("learned: that, on the bare body", other | {"offsets": False})]  # fmt: skip
    return out


def finish(plan: Plan, records: list[dict[str, Any]], table: Callable[..., str] = views_table) -> Results:
    """Tables and sheets; an error if nobody could be evaluated."""
    if not any(r["rows"] for r in records):
        why = next((r["left_out"] for r in records if "left_out" in r), "there is nobody in the data")
        raise DinarError(f"nobody could be evaluated; the first reason: {why}")
    return write_report(plan.out, plan.protocol, records, [table(summarise(records, plan.protocol, plan.out))])


def open_people(data: str, people: int | None, size: int) -> tuple[Source, int, str]:
    """A source, how many of its people to take, and what it is, in words."""
    if data == "synthetic":
        n = people or 8
        source: Source = Synthetic(HELD_OUT, max(size, 512), length=n)
        return source, n, f"generated people, seed {HELD_OUT}, {n} people"
    if ":" in data:
        photos, fits = data.split(":", 1)
        source, name = Photos(photos, fits, max(1024, size)), Path(photos).name
    else:
        source, name = open_set(data), Path(data).name
    there = source.num_people or 0
    n = min(there, people or there)
    if not n:
        raise DinarError(f"{data}: expected people in it, found none")
    return source, n, f"{name}, {n} of {there} people"


def stage(clip: Clip, folder: Path, count: int, wanted: str | None) -> None:
    """Copy evenly spread frames of a clip, the wanted one among them, with their masks, into a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch, replacing(folder, folder=True) as new:
        for name, picture in read_frames(clip.source, count, Path(scratch)):
            shutil.copy(picture, new / f"{name}{picture.suffix}")
        if wanted is not None and not list(new.glob(f"{wanted}.*")):
            _copy_frame(clip, wanted, new)
        for mask in clip.masks.iterdir() if clip.masks else ():
            if list(new.glob(f"{mask.stem}.*")):
                (new / MASKS[0]).mkdir(exist_ok=True)
                shutil.copy(mask, new / MASKS[0])
        if clip.camera:
            shutil.copy(clip.camera, new / "camera.pkl")


def _copy_frame(clip: Clip, name: str, new: Path) -> None:
    if clip.source.is_dir():
        found = [p for s in SUFFIXES if (p := clip.source / f"{name}{s}").is_file()]
        if not found:
            raise DinarError(f"{clip.source} has no frame {name} to make an avatar from")
        shutil.copy(found[0], new)
        return
    found = next(video_frames(clip.source, [int(name)]), None) if name.isdecimal() else None
    if found is None:
        raise DinarError(f"{clip.source}: expected the number of one of its frames, got {name}")
    iio.imwrite(new / f"{found[0]:05d}.png", found[1])


def _protocol(c: EvaluateCommon, task: str, data: str, systems: list[System], **more: Any) -> Protocol:
    return Protocol(
        task, data, c.size, c.crop, c.background, c.erode, device=c.device, inception=c.inception, reid=c.reid,
        metrics=metric_names(c.metrics, c.inception, c.reid), systems=tuple((s.name, s.how) for s in systems), **more,
    )  # fmt: skip
