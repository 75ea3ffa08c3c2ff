"""The commands ``dinar train avatar | compression | finetune | inpainting``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from ..body import load_body
from ..data.batches import Batches
from ..errors import DinarError
from ..neural.regression import open_regressor
from ..neural.weights import load_networks
from ..sources import open_source
from . import presets, texture_space
from .avatar import AvatarStage, network
from .compression import CompressionStage
from .finetune import FinetuneStage
from .inpainting import InpaintingStage
from .loop import train as loop
from .people import People
from .sets import open_sets
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
    regressor: Path | None = None,  # a regressor for the denoiser to start from; None: the one in the package
) -> bool:
    """Train a stage, from the run's checkpoint if it has one. Returns False if a signal stopped it."""
    config = {"stage": stage, "data": [str(d) for d in data], "weights": list(weights),
              "init": str(init) if init else None, **dataclasses.asdict(c)}  # fmt: skip
    if c.textures:
        made = _in_texture_space(stage, data, run, c, weights, init, regressor, body_path)
        return loop(made, c.loop, run, config, cpu, dry_run)
    windowed = STAGES[stage].windowed and c.windows > 0
    side = c.size * PICTURE if windowed else c.size
    sources = [open_source(d, side, seed=c.loop.seed, body_path=body_path) for d in data]
    body = load_body("smplx", body_path) if sources and sources[0].body == "smplx" else None
    people = People(sources, weights, c.size, c.holdout, c.augmented, c.cached, body, c.offsets, c.bags)
    return loop(STAGES[stage](c, people, init), c.loop, run, config, cpu, dry_run)


def _in_texture_space(
    stage: str,
    data: Sequence[Path],
    run: Path,
    c: presets.AvatarOptions,
    weights: Sequence[float],
    init: Path | None,
    regressor: Path | None,
    body_path: Path | None,
) -> AvatarStage:
    """Stages 2 and 4 from sampled textures alone. Of a first set that is held out as a whole nobody is trained on."""
    if stage not in texture_space.STAGES:
        raise DinarError(f"--textures is an option of {' and '.join(texture_space.STAGES)}, not of {stage}")
    if init is None:
        raise DinarError("expected the weights folder of the stage before in --init, got none")
    encoder = load_networks(init, ["encoder"]).nets["encoder"]
    body, sets = open_sets(data, run / "textures", c.texture, c.size, c.loop.seed, body_path, encoder)
    n = len(sets[0]) - c.holdout
    if n < (len(sets) == 1):
        raise DinarError(f"{data[0]}: expected more people than are held out ({c.holdout}), got {len(sets[0])}")
    held, sets = sets[0].people(slice(n, None)), [*([sets[0].people(slice(0, n))] if n else []), *sets[1:]]
    batches = Batches(sets, list(weights) or [1.0] * len(sets))
    made = texture_space.STAGES[stage](c, texture_space.Sampled(body, batches, held), init)
    if stage == "inpainting" and network(made.modules["denoiser"]).config["start"] == "regression":
        made.regressor = open_regressor(regressor, body).eval().requires_grad_(False)
    return made
