"""`dinar train`."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..errors import DinarError
from ..files import check_output
from ..train import stages
from ..train.parser import train as train_parser
from ..train.presets import PRESETS
from ..train.surface import train as train_surface
from .common import given_files


@dataclass
class Train:
    """Train a network from scratch; goes on where it was stopped. Several devices: accelerate launch -m dinar.cli."""

    stage: Annotated[
        Literal["parser", "surface", "avatar", "compression", "finetune", "inpainting"], tyro.conf.Positional
    ]
    data: list[Path]
    """Folders to learn from; the first one is also validated on. For all stages but the parser also PHOTOS:FITS (a
    folder of photos and its set from `dinar fit`) and the word `synthetic` (people made on the way)."""
    run: Path
    """Folder of the run: checkpoint, log, TensorBoard events, pictures, and weights at the end."""
    weights: list[float] = field(default_factory=list)
    """How often each folder is drawn from; default: equally."""
    preset: Literal["nano", "base", "paper"] = "base"
    init: Path | None = None
    """Start from these weights; compression, finetune and inpainting need RUN/weights of the stage before."""
    steps: int | None = None
    batch: int | None = None
    """Samples a step, over all devices."""
    micro_batch: int | None = None
    """Samples at once on a device; the rest of the batch is accumulated."""
    precision: Literal["no", "bf16", "fp16"] | None = None
    workers: int | None = None
    """Data processes of each training process."""
    seed: int | None = None
    lr: float | None = None
    """Peak learning rate."""
    ema: float | None = None
    """Decay of the averaged weights."""
    backgrounds: Path | None = None
    """surface: a folder of pictures to stand in front of; default: patterns."""
    size: int | None = None
    """Pixels a side of the pictures (not of the parser): half of them, a quarter of the time."""
    texture: int | None = None
    """Texels a side of the texture."""
    lpips: Literal["vgg", "alex", "none"] | None = None
    """Backbone of the perceptual loss."""
    adversarial: float | None = None
    """Weight of the adversarial loss; 0: without a discriminator."""
    augmented: bool | None = None
    """Augment (camera angle, colour shift, mirror); without, only mirror, and keep what was read in memory."""
    device: Literal["auto", "cpu"] = "auto"
    dry_run: bool = False
    """Say what would be done, and fetch one batch."""
    threads: int = 0
    """CPU threads; 0: one for each physical core."""
    debug: bool = False
    """Show the traceback of an error."""


def run(c: Train) -> None:

    check_output(c.run, given_files(*c.data, c.init, c.backgrounds), folder=True)
    start = {"parser": train_parser, "surface": partial(train_surface, backgrounds=c.backgrounds)}.get(
        c.stage, partial(stages.train, c.stage)
    )
    if c.stage != "surface" and c.backgrounds:
        raise DinarError(f"the stage {c.stage} takes no --backgrounds")

    def given(*names: str) -> dict:
        return {k: getattr(c, k) for k in names if getattr(c, k) is not None}

    options = PRESETS[c.stage][c.preset]
    loop = given("steps", "batch", "micro_batch", "precision", "workers", "seed", "ema")
    loop = dataclasses.replace(options.loop, **loop)
    options = dataclasses.replace(options, loop=loop if c.steps is None else loop.fitting(), **given("lr"))
    if c.stage not in ("parser", "surface"):
        more = given("size", "texture", "lpips", "augmented")
        losses = dataclasses.replace(options.losses, **given("adversarial"))
        scaled = {k: getattr(options, k) * more.get("size", options.size) // options.size for k in ("crop", "rgb_size")}
        cached = options.cached or 4000 * (more.get("augmented") is False)
        options = dataclasses.replace(options, losses=losses, cached=cached, **scaled, **more)
    elif given("size", "texture", "lpips", "adversarial", "augmented"):
        raise DinarError(f"the stage {c.stage} takes none of --size, --texture, --lpips, --adversarial, --augmented")
    done = start(c.data, c.run, options, weights=c.weights, init=c.init, cpu=c.device == "cpu", dry_run=c.dry_run)
    if not done:
        sys.exit(130)  # stopped by a signal: the same command goes on
