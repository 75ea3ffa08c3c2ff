"""`dinar evaluate sequence | views | renders | ablation`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..evaluate.tasks import (
    CompareOptions,
    EvaluateOptions,
    evaluate_ablation,
    evaluate_renders,
    evaluate_sequence,
    evaluate_views,
)
from .common import Common, Flat, Output, Path1, Process, progress_bar, say


@dataclass
class EvaluateOutput(Process):
    out: Output = Path("out/evaluation")
    """Folder for results.json, table.md, sheet.png and the pictures. The same command resumes a stopped run."""


@dataclass
class EvaluateCommon(EvaluateOutput, Common): ...


@dataclass
class EvaluateSequence(EvaluateCommon):
    """Make an avatar from one frame of a video and compare it with other frames. The body is fitted to each frame."""

    data: Path1 = field(kw_only=True)
    """A video, a folder of frames (masks in masks/ beside them), or a folder of these."""
    frames: int = 16
    """Number of frames of each person, evenly spread over the video."""
    options: Flat[EvaluateOptions] = field(default_factory=EvaluateOptions)


@dataclass
class EvaluateViews(EvaluateCommon):
    """Make an avatar from one view of each person and compare it with the others. The set has the body of each view."""

    # Folder of `dinar synthesize` or `dinar fit --frames`; PHOTOS:FITS (folder of photos, folder of `dinar fit`); a
    # folder in the layout of the DINAR authors; or the word synthetic, for people generated on the fly.
    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    refit: bool = False
    """Fit the body in all views as in photos, instead of using the bodies of the set."""
    options: Flat[EvaluateOptions] = field(default_factory=EvaluateOptions)


@dataclass
class EvaluateAblation(EvaluateCommon):
    """Evaluate `create` with parts switched off (table 2 of the DINAR paper)."""

    data: Annotated[str, tyro.conf.Positional] = field(kw_only=True)
    """Data, as for `dinar evaluate views`."""
    options: Flat[EvaluateOptions] = field(default_factory=EvaluateOptions)


@dataclass
class EvaluateRenders(EvaluateOutput):
    """Compare pictures of another system with true pictures of the same file names."""

    pred: Path1 = field(kw_only=True)
    """Folder of the other system's pictures. Each subfolder (front, back, ...) is a group in the tables."""
    truth: Path1 = field(kw_only=True)
    """Folder of the true pictures, with the same names. For example OUT/pictures/truth of another evaluation."""
    name: str = ""
    """Name of the system in the tables. Empty: the folder's name."""
    masks: Path | None = None
    """Folder of masks of the true pictures. None: the alpha channels of the pictures."""
    pred_masks: Path | None = None
    """Folder of masks of the other system's pictures. None: the alpha channels of the pictures."""
    options: Flat[CompareOptions] = field(default_factory=CompareOptions)


@dataclass
class Evaluate:
    """Compare pictures of avatars with photos or ground truth, and write tables of metrics."""

    what: Flat[
        Annotated[EvaluateSequence, tyro.conf.subcommand("sequence")]
        | Annotated[EvaluateViews, tyro.conf.subcommand("views")]
        | Annotated[EvaluateRenders, tyro.conf.subcommand("renders")]
        | Annotated[EvaluateAblation, tyro.conf.subcommand("ablation")]
    ]

    @property
    def threads(self) -> int:
        return self.what.threads


def run(command: Evaluate) -> None:
    c = command.what
    body = (c.body, c.body_path) if isinstance(c, EvaluateCommon) else ("anny", None)
    with progress_bar("people", lines=True) as show:
        if isinstance(c, EvaluateSequence):
            evaluate_sequence(c.data, c.out, c.options, frames=c.frames, body=body, progress=show)
        elif isinstance(c, EvaluateViews):
            evaluate_views(c.data, c.out, c.options, refit=c.refit, body=body, progress=show)
        elif isinstance(c, EvaluateAblation):
            evaluate_ablation(c.data, c.out, c.options, body=body, progress=show)
        else:
            evaluate_renders(c.pred, c.truth, c.out, c.options, name=c.name, masks=c.masks, pred_masks=c.pred_masks,
                             progress=show)  # fmt: skip
    print((c.out / "table.md").read_text())
    say(f"{c.out}: results.json, table.md, sheet.png; look at {c.out / 'sheet.png'}")
