"""The commands ``dinar train avatar | compression | finetune | inpainting``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ..body import load_body
from ..sources import open_source
from . import presets
from .avatar import AvatarStage
from .compression import CompressionStage
from .finetune import FinetuneStage
from .inpainting import InpaintingStage
from .loop import train as loop
from .people import People
from .windows import PICTURE

STAGES: dict[str, type[AvatarStage]] = {
    "avatar": AvatarStage, "compression": CompressionStage, "finetune": FinetuneStage, "inpainting": InpaintingStage,
}  # fmt: skip


def train(
    stage: str,
    data: Sequence[Path],  # sources of people, see dinar.sources; the first is used for validation
    run: Path,
    c: presets.AvatarOptions,
    weights: Sequence[float] = (),  # relative sampling rate of each source
    init: Path | None = None,  # weights folder of the stage before
    cpu: bool = False,
    dry_run: bool = False,
    body_path: Path | None = None,  # SMPLX_*.npz, for sources in the authors' layout
) -> bool:
    """Train a stage, from the run's checkpoint if it has one. Returns False if a signal stopped it."""
    windowed = STAGES[stage].windowed and c.windows > 0
    side = c.size * PICTURE if windowed else c.size
    sources = [open_source(d, side, seed=c.loop.seed, body_path=body_path) for d in data]
    body = load_body("smplx", body_path) if sources and sources[0].body == "smplx" else None
    people = People(sources, weights, c.size, c.holdout, c.augmented, c.cached, body, c.offsets, c.bags)
    config = {"stage": stage, "data": [str(d) for d in data], "weights": list(weights),
              "init": str(init) if init else None, **dataclasses.asdict(c)}  # fmt: skip
    return loop(STAGES[stage](c, people, init), c.loop, run, config, cpu, dry_run)
