"""`dinar train STAGE`: the run's own arguments, and every option of the stage with the preset's values as defaults."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from ..files import check_output
from ..train import stages
from ..train.parser import train as train_parser
from ..train.pose import train as train_pose
from ..train.presets import (
    PRESETS,
    AvatarOptions,
    ParserOptions,
    PoseOptions,
    RegressionOptions,
    SurfaceOptions,
    VisemeOptions,
    derived,
)
from ..train.regression import train as train_regression
from ..train.surface import train as train_surface
from ..train.visemes import train as train_visemes
from .common import Flat, Process, given_files

Preset = Literal["nano", "base", "paper"]


@dataclass
class TrainStage(Process):
    # Training sets; some of the first one is kept for validation. A set is a folder of `dinar synthesize` or of `dinar
    # fit --frames`; PHOTOS:FITS (folder of photos, folder of `dinar fit`); a folder in the layout of the DINAR authors,
    # with --body-path; or the word synthetic, for people generated on the fly. For the parser: folders of photos with
    # class maps.
    data: list[Path] = field(default=tyro.MISSING)
    run: Path = field(default=tyro.MISSING)
    """Folder to write: checkpoint, log, TensorBoard events, pictures and, at the end, RUN/weights."""
    weights: list[float] = field(default_factory=list)
    """How often each set of --data is used, in relation to the others. Empty: equally often. For networks: --init."""
    preset: Preset = "base"
    """Which defaults the other options have: nano (minutes on a CPU), base (as shipped), paper (published sizes)."""
    init: Path | None = None
    """Weights to start from. compression, finetune and inpainting need RUN/weights of the stage before."""
    body_path: Path | None = None
    """SMPL-X model file, for example SMPLX_NEUTRAL.npz. For data in the layout of the DINAR authors."""
    dry_run: bool = False
    """Only print what would be done and load one batch, to test the options."""


@dataclass
class TrainParser(TrainStage):
    """Train the human parser, which finds the class of every pixel (skin, hair, shoes, ...)."""

    options: Flat[ParserOptions] = field(default_factory=ParserOptions)


@dataclass
class TrainSurface(TrainStage):
    """Train the surface network, which finds the body point of every pixel."""

    backgrounds: Path | None = None
    """Folder of pictures to put behind the people. None: generated patterns."""
    options: Flat[SurfaceOptions] = field(default_factory=SurfaceOptions)


@dataclass
class TrainPose(TrainStage):
    """Train the pose network, which finds body and camera. --init: weights of the surface network, or the shipped."""

    backgrounds: Path | None = None
    """Folder of pictures to put behind the people. None: generated patterns."""
    motions: Path | None = None
    """Folder of clips, whose frames simulated people have as poses, too."""
    start: Path | None = None
    """Weights of a pose network to go on from. None: new ones."""
    options: Flat[PoseOptions] = field(default_factory=PoseOptions)


@dataclass
class TrainRegression(TrainStage):
    """Train the regressor, which predicts unseen texels from seen ones (not in the paper)."""

    options: Flat[RegressionOptions] = field(default_factory=RegressionOptions)


@dataclass
class TrainVisemes(TrainStage):
    """Train the viseme network, which hears the mouth's shapes. --data: text files to be spoken, or folders of them."""

    options: Flat[VisemeOptions] = field(default_factory=VisemeOptions)


@dataclass
class TrainAvatar(TrainStage):
    """Train encoder, generator and neural renderer end to end (DINAR paper, §3.1)."""

    options: Flat[AvatarOptions] = field(default_factory=AvatarOptions)


@dataclass
class TrainCompression(TrainAvatar):
    """Train the VQGAN, which compresses textures (paper, §3.3). Comes after the stage avatar."""


@dataclass
class TrainFinetune(TrainAvatar):
    """Fine-tune the renderer on textures of the VQGAN (paper, §3.3). Comes after compression."""


@dataclass
class TrainInpainting(TrainAvatar):
    """Train the denoiser, which fills unseen texels (paper, §3.3). Comes after finetune."""

    regressor: Path | None = None
    """With --textures: regressor whose answer the denoiser starts from. None: the one in the package."""


STAGES: dict[str, type[TrainStage]] = {
    "parser": TrainParser, "surface": TrainSurface, "pose": TrainPose, "regression": TrainRegression,
    "visemes": TrainVisemes, "avatar": TrainAvatar,
    "compression": TrainCompression, "finetune": TrainFinetune, "inpainting": TrainInpainting,
}  # fmt: skip


class TrainCommand:
    """Train a network. A stopped run continues. On several devices: accelerate launch -m dinar.cli train STAGE ..."""

    what: Any

    @property
    def threads(self) -> int:
        return self.what.threads


def command(words: Sequence[str]) -> type:
    """The class that the command line is parsed into. Its defaults are those of the preset that the words name."""
    preset = "base"
    for word, after in zip(words, [*words[1:], ""], strict=False):
        given = after if word == "--preset" else word.removeprefix("--preset=")
        preset = given if word.startswith("--preset") and given in typing.get_args(Preset) else preset
    kinds = [
        Annotated[kind, tyro.conf.subcommand(name, default=kind(preset=preset, options=PRESETS[name][preset]))]  # type: ignore
        for name, kind in STAGES.items()
    ]
    what = Flat[typing.Union[tuple(kinds)]]  # noqa: UP007
    made = dataclasses.make_dataclass("Train", [("what", what)], bases=(TrainCommand,))
    made.__doc__ = TrainCommand.__doc__
    return made


def run(train: TrainCommand) -> None:
    c = train.what
    others = (getattr(c, name, None) for name in ("backgrounds", "motions", "start", "regressor"))
    check_output(c.run, given_files(*c.data, c.init, *others), folder=True)
    stage = next(name for name, kind in STAGES.items() if type(c) is kind)
    options = derived(c.options, PRESETS[stage][c.preset])  # type: ignore[attr-defined]
    start = partial(stages.train, stage, body_path=c.body_path)
    if isinstance(c, TrainInpainting):
        start = partial(start, regressor=c.regressor)
    if isinstance(c, TrainParser):
        start = train_parser
    elif isinstance(c, TrainSurface):
        start = partial(train_surface, backgrounds=c.backgrounds)
    elif isinstance(c, TrainPose):
        start = partial(train_pose, backgrounds=c.backgrounds, motions=c.motions, start=c.start)
    elif isinstance(c, TrainRegression):
        start = partial(train_regression, body_path=c.body_path)
    elif isinstance(c, TrainVisemes):
        start = train_visemes
    done = start(c.data, c.run, options, weights=c.weights, init=c.init, cpu=c.device == "cpu", dry_run=c.dry_run)
    if not done:
        sys.exit(130)  # stopped by a signal: the same command goes on
