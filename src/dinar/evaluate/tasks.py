"""The four evaluations: data in; results.json, table.md, sheets and pictures out.

    evaluate_views("people", "out/evaluation", renderer=("mesh", "neural"), people=8)

Keywords are the fields of :class:`EvaluateOptions`. A run that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..data.folder import Folder
from ..data.frames import find_clips, import_people
from ..device import current
from ..errors import DinarError
from ..files import check_output
from ..neural.weights import Renderer, Unseen
from ..options import changed, check_choices
from ..sources import SYNTHETIC, open_source
from ..views import Source
from .frames import stage
from .people import Plan
from .people import run as run_people
from .protocol import Protocol, metric_names
from .renders import score
from .report import ablation_table, summarise, views_table, write_report
from .systems import System, ablation_systems, choose_systems

HELD_OUT = 230309375  # seed of generated people that are evaluated on; training takes small ones
PEOPLE = 8  # generated people, where no number is given
SET_POSES = "the set's; of the input view, the set's fit where it has one apart from the truth"
SET_MASKS = "the set's, without bags where it has classes"
Body = tuple[Literal["anny", "smplx"], Path | None]
Progress = Callable[[int, int], None]
Results = dict[str, Any]


@dataclass(frozen=True)
class CompareOptions:
    """How pictures are compared. All of it is written above the tables."""

    size: int = 512
    """Pixels on a side of the crop, or on the longer side of the full picture."""
    background: Literal["white", "grey", "black"] = "white"
    """Background of both pictures."""
    crop: Literal["person", "full"] = "person"
    """Compare the square around the true mask, or the whole picture."""
    erode: int = 0
    """Pixels by which both masks are shrunk before the comparison."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute, for example PSNR LPIPS-AlexNet IoU. Empty: all."""
    inception: str | None = None
    """InceptionV3 with the weights of FID, for KID (TorchScript file or https address). None: a named substitute."""
    reid: str | None = None
    """FlipReID for ReID (TorchScript: file or https address). None: a substitute that the tables name."""

    def __post_init__(self) -> None:
        check_choices(self)

    def protocol(self, task: str, data: str, systems: Sequence[System] = (), **more: Any) -> Protocol:
        return Protocol(
            task, data, self.size, self.crop, self.background, self.erode, device=str(current()),
            inception=self.inception, reid=self.reid, metrics=metric_names(self.metrics, self.inception, self.reid),
            systems=tuple((s.name, s.how) for s in systems), **more,
        )  # fmt: skip


@dataclass(frozen=True)
class EvaluateOptions(CompareOptions):
    """How the avatars that are evaluated are made, and of whom."""

    input: str | None = None
    """Name or number of the view that the avatar is made from. None: the most frontal one."""
    renderer: tuple[Renderer, ...] = ("auto",)
    """Renderers to evaluate; several are compared. auto: what `dinar create` takes, neural with --weights."""
    weights: Path | None = None
    """Weights of the neural renderer, for example RUN/weights of a training. None: the shipped ones."""
    unseen: tuple[Unseen, ...] = ()
    """Ways to fill unseen texels; several are compared, as restoration regression. Empty: the renderer's default."""
    regressor: Path | None = None
    """Weights for --unseen regression. None: the shipped ones."""
    own_mask: bool = True
    """Cut the input out as `dinar create` does. Off: take the mask of the set."""
    people: int | None = None
    """Number of people to evaluate. None: all; of `synthetic`, 8."""
    jobs: int = 1
    """Number of processes."""

    def __post_init__(self) -> None:
        if isinstance(self.unseen, str):
            object.__setattr__(self, "unseen", (self.unseen,))
        if isinstance(self.renderer, str):
            object.__setattr__(self, "renderer", (self.renderer,))
        super().__post_init__()


def evaluate_views(
    data: str | Path,  # see dinar.sources.open_source
    out: str | Path,
    options: EvaluateOptions | None = None,
    *,
    refit: bool = False,  # fit the body in all views as in photos, instead of taking the set's
    body: Body = ("anny", None),
    progress: Progress = lambda done, total: None,
    **changes: Any,
) -> Results:
    """Sets of many views with known bodies: the avatar of one view, rendered in all others, by angle."""
    o, out = changed(options or EvaluateOptions(), changes), Path(out)
    check_output(out, given(data, o.weights), folder=True)
    source, people, words = open_people(data, o, body)
    systems = choose_systems(o.renderer, o.weights, o.unseen, o.regressor)
    protocol = o.protocol(
        "views", words, systems, input=o.input or "the most frontal view",
        input_mask="made by create" if o.own_mask or refit else "the set's",
        poses="fitted here, one shape for all views" if refit else SET_POSES, truth_mask=SET_MASKS,
    )  # fmt: skip
    plan = Plan(protocol, tuple(systems), out, body, o.input, refit, o.own_mask or refit)
    return finish(plan, run_people(source, people, plan, o.jobs, progress))


def evaluate_sequence(
    data: str | Path,  # a video, a folder of frames (masks in masks/ beside them), or a folder of these
    out: str | Path,
    options: EvaluateOptions | None = None,
    *,
    frames: int = 16,  # of each person, evenly spread
    body: Body = ("anny", None),
    progress: Progress = lambda done, total: None,
    **changes: Any,
) -> Results:
    """Turning people: the avatar of one frame, rendered in the fitted poses of the others."""
    o, data, out = changed(options or EvaluateOptions(), changes), Path(data), Path(out)
    check_output(out, given(data, o.weights), folder=True)
    clips = find_clips(data)[: o.people]
    systems = choose_systems(o.renderer, o.weights, o.unseen, o.regressor)
    masks = "beside the frames" if all(clip.masks for clip in clips) else "made by the pipeline where none is given"
    protocol = o.protocol(
        "sequence", f"{data.name}, {len(clips)} sequences, {frames} frames of each", systems,
        input=f"frame {o.input}" if o.input else "the most frontal frame",
        input_mask="made by create" if o.own_mask else masks,
        poses="fitted in every frame, one shape for all of them", truth_mask=masks,
    )  # fmt: skip
    protocol.begin(out)
    staged = out / "frames"
    staged.mkdir(exist_ok=True)
    for clip in clips:
        if not (staged / clip.name).is_dir():
            stage(clip, staged / clip.name, frames, o.input)
    # twice the size: the avatar is made from the crop, and the frames are compared after resampling
    report = import_people(staged, out / "set", frames=10**6, size=max(1024, 2 * o.size), jobs=o.jobs, body=body,
                           progress=progress)  # fmt: skip
    source = Folder(out / "set")
    if not source.num_people:
        raise DinarError("; ".join(f"{n}: {why}" for n, why in report["left_out"].items()))
    plan = Plan(protocol, tuple(systems), out, body, o.input, False, o.own_mask)
    records = run_people(source, source.num_people, plan, o.jobs, progress)
    for r in records:
        r["skipped"] |= report["people"].get(r["person"], {}).get("skipped", {})
    lost = [{"person": n, "rows": [], "skipped": {}, "made": {}, "left_out": why}
            for n, why in report["left_out"].items()]  # fmt: skip
    return finish(plan, records + lost)


def evaluate_renders(
    pred: str | Path,  # folder of their pictures; subfolders are groups (front, back, ...)
    truth: str | Path,  # folder of the true pictures, of the same names
    out: str | Path,
    options: CompareOptions | None = None,
    *,
    name: str = "",  # what to call the system; empty: the folder's name
    masks: Path | None = None,  # of the true pictures, of the same names; None: their alpha channels
    pred_masks: Path | None = None,
    progress: Progress = lambda done, total: None,
    **changes: Any,
) -> Results:
    """Pictures of another system against true ones, by file name."""
    o, pred, truth, out = changed(options or CompareOptions(), changes), Path(pred), Path(truth), Path(out)
    check_output(out, given(pred, truth, masks, pred_masks), folder=True)
    protocol = o.protocol(
        "renders", f"{pred.name} against {truth.name}", poses="unknown", input="unknown", input_mask="unknown",
        truth_mask="given as pictures" if masks else "alpha channels, where there are any",
    )  # fmt: skip
    records = score(pred, truth, out, protocol, name=name or pred.resolve().name, pred_masks=pred_masks,
                    truth_masks=masks, progress=progress)  # fmt: skip
    return write_report(out, protocol, records)


def evaluate_ablation(
    data: str | Path,  # as of evaluate_views
    out: str | Path,
    options: EvaluateOptions | None = None,
    *,
    body: Body = ("anny", None),
    progress: Progress = lambda done, total: None,
    **changes: Any,
) -> Results:
    """Table 2: what each part of `create` is worth, by its options."""
    o, out = changed(options or EvaluateOptions(), changes), Path(out)
    check_output(out, given(data, o.weights), folder=True)
    source, people, words = open_people(data, o, body)
    systems = ablation_systems(o.renderer, o.weights)
    protocol = o.protocol(
        "ablation", words, systems, input=o.input or "the most frontal view", poses=SET_POSES, truth_mask=SET_MASKS,
        input_mask="made by create" if o.own_mask else "the set's",
    )  # fmt: skip
    plan = Plan(protocol, tuple(systems), out, body, o.input, False, o.own_mask)
    return finish(plan, run_people(source, people, plan, o.jobs, progress), ablation_table)


def given(*inputs: str | Path | None) -> list[str | Path]:
    return [i for i in inputs if i is not None]


def open_people(data: str | Path, o: EvaluateOptions, body: Body) -> tuple[Source, int, str]:
    """A source, how many of its people to take, and what it is, in words."""
    if str(data) == SYNTHETIC:
        n = o.people or PEOPLE
        source = open_source(data, max(512, o.size), seed=HELD_OUT, people=n)
        return source, n, f"generated people, seed {HELD_OUT}, {n} people"
    source = open_source(data, max(1024, o.size), body_path=body[1])
    there = source.num_people or 0
    n = min(there, o.people or there)
    if not n:
        raise DinarError(f"{data}: expected people in it, found none")
    return source, n, f"{Path(str(data).split(':')[0]).name}, {n} of {there} people"


def finish(plan: Plan, records: list[dict[str, Any]], table: Callable[..., str] = views_table) -> Results:
    """Tables and sheets; an error if nobody could be evaluated."""
    if not any(r["rows"] for r in records):
        why = next((r["left_out"] for r in records if "left_out" in r), "there is nobody in the data")
        raise DinarError(f"nobody could be evaluated; the first reason: {why}")
    return write_report(plan.out, plan.protocol, records, [table(summarise(records, plan.protocol, plan.out))])
