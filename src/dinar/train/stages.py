"""The commands ``dinar train avatar | compression | finetune | inpainting``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from . import presets
from .avatar import AvatarStage
from .compression import CompressionStage
from .finetune import FinetuneStage
from .inpainting import InpaintingStage
from .loop import train as loop
from .people import open_people

STAGES: dict[str, type[AvatarStage]] = {
    "avatar": AvatarStage, "compression": CompressionStage, "finetune": FinetuneStage, "inpainting": InpaintingStage,
}  # fmt: skip


def train(
    stage: str,
    data: Sequence[Path],  # sources of people, see open_people; the first is used for validation
    run: Path,
    c: presets.Learned,
    weights: Sequence[float] = (),  # relative sampling rate of each source
    init: Path | None = None,  # weights folder of the stage before
    cpu: bool = False,
    dry_run: bool = False,
) -> bool:
    """Train a stage, from the run's checkpoint if it has one. Returns False if a signal stopped it."""
    people = open_people(data, weights, c.size, c.holdout, c.augmented, c.cached, c.loop.seed)
    config = {"stage": stage, "data": [str(d) for d in data], "weights": list(weights),
              "init": str(init) if init else None, **dataclasses.asdict(c)}  # fmt: skip
    return loop(STAGES[stage](c, people, init), c.loop, run, config, cpu, dry_run)
