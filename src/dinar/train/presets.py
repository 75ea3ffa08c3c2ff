"""Every stage's options, and the presets that the command line knows: one table.

``nano`` runs in minutes on a CPU, ``base`` is what ships, ``paper`` the published sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar

import tyro

CACHED = 4000  # views kept in memory where --no-augmented is given; 5 GB at 256²


@dataclass
class Loop:
    """What every stage shares."""

    # Optimiser steps.
    steps: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 1000
    # Samples an optimiser step, over all processes and accumulated micro steps together.
    batch: Annotated[int, tyro.conf.arg(aliases=["--batch"])] = 8
    # Samples at once on one device. The batch must be a multiple of this times the processes.
    micro_batch: Annotated[int, tyro.conf.arg(aliases=["--micro-batch"])] = 8
    # Steps of linear warm-up; then the learning rates fall to 0 along a cosine. In a shorter run than the preset's at
    # most a tenth of it.
    warmup: int = 50
    # Decay of the averaged weights; early on (1 + step) / (10 + step), where that is less.
    ema: Annotated[float, tyro.conf.arg(aliases=["--ema"])] = 0.999
    # Largest norm of an optimiser's gradient.
    clip: float = 2.0
    # Mixed precision.
    precision: Annotated[Literal["no", "bf16", "fp16"], tyro.conf.arg(aliases=["--precision"])] = "no"
    # Steps between lines of the log.
    log_every: int = 20
    # Steps between validations with pictures; in a shorter run than the preset's at most a tenth of it.
    show_every: int = 500
    # Steps between checkpoints; likewise.
    save_every: int = 200
    # Data processes; 0: none beside the training one.
    workers: Annotated[int, tyro.conf.arg(aliases=["--workers"])] = 0
    # Sample i of a run depends on (seed, i) alone.
    seed: Annotated[int, tyro.conf.arg(aliases=["--seed"])] = 0

    def fitting(self) -> Loop:
        """For a run shorter than the preset's: warm-up, pictures and checkpoints at every tenth of it or more often."""
        tenth = max(10, self.steps // 10)
        names = ("warmup", "show_every", "save_every")
        return replace(self, **{n: min(getattr(self, n), tenth) for n in names})


@dataclass
class ParserOptions:
    """The human parser (``train/parser.py``)."""

    loop: Loop = field(default_factory=Loop)
    # (share of the steps, rows, columns): the crop grows. Rows and columns are multiples of 16.
    sizes: tuple[tuple[float, int, int], ...] = ((0.6, 256, 176), (0.4, 448, 304))
    # Channels of the pyramid at strides 2 to 32.
    widths: tuple[int, ...] = (24, 32, 64, 96, 128)
    # Peak learning rate of the decoder.
    lr: float = 2e-3
    # Learning rate of the ImageNet encoder, as a share of it.
    encoder_lr: float = 0.25
    weight_decay: float = 0.02
    # Encoder stages that keep ImageNet's weights.
    frozen: int = 2
    # Weight of the soft IoU of the person, beside cross-entropy.
    iou: float = 1.0
    # Weight of Dice over the classes.
    dice: float = 0.5


@dataclass
class SurfaceOptions:
    """The surface network (``train/surface.py``)."""

    loop: Loop = field(default_factory=Loop)
    # (share of the steps, longer and shorter side of tall and wide crops, side of square ones): multiples of 32.
    sizes: tuple[tuple[float, int, int, int], ...] = (
        (0.55, 192, 128, 160),
        (0.3, 256, 160, 192),
        (0.15, 320, 192, 256),
    )
    # Share of the steps with tall, square and wide crops.
    shapes: tuple[float, float, float] = (0.5, 0.3, 0.2)
    # Channels of the pyramid at strides 2 to 32.
    widths: tuple[int, ...] = (32, 48, 96, 128, 192)
    # Peak learning rate of the decoder.
    lr: float = 2e-3
    # Learning rate of the encoder, as a share of it.
    encoder_lr: float = 0.25
    weight_decay: float = 0.02
    # Encoder stages that keep the weights they start with.
    frozen: int = 2
    # Weight of the plain distance (in units of 10 cm), beside cross-entropy and the Laplace likelihood.
    distance: float = 0.5
    # Weight of the turn of body and camera.
    turn: float = 1.0
    # People of a single set that are kept for validation.
    holdout: int = 40
    # Views that are validated on.
    shown: int = 120


@dataclass
class Losses:
    """λ of eq. 4, and what stands beside it."""

    # L2 over the person, λ1 of §4.1.
    l2: float = 2.2
    # LPIPS, λ2.
    lpips: float = 1.0
    # Dice of the silhouettes, λ3.
    dice: float = 1.0
    # Adversarial loss, λ4; 0: without a discriminator.
    adversarial: Annotated[float, tyro.conf.arg(aliases=["--adversarial"])] = 0.01
    # R1 regularisation of the discriminator, λ5.
    r1: float = 0.1
    # R1 is computed every so many steps only, and then counts so many times (lazy regularisation).
    r1_every: int = 16
    # Absolute differences, beside L2; 0 in the paper.
    l1: float = 0.0
    # L2 and LPIPS of the face once more.
    face: float = 0.1
    # Textures against restored ones, ‖T − T_res‖² of §3.3. In units of the channels' own
    # scale the first is small beside the renders' loss, under which colours are learned last.
    texture: float = 10.0
    # The codebook's own loss.
    codebook: float = 1.0
    # (log mean T_gen²)²: keeps the generated channels near unit size. The batch norm that reads them does not mind how
    # large they are, so nothing else does: without, they reached 10⁶ in one run of 900 steps.
    scale: float = 0.01


@dataclass
class AvatarOptions:
    """The four stages of §3 (``train/avatar.py``, ``compression.py``, ``finetune.py``, ``inpainting.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Sizes of the networks: a preset of dinar.nets.presets. Networks of --init keep theirs.
    nets: str = "base"
    # Pixels a side of the pictures.
    size: int = 512
    # Texels a side of the texture, which is the generator's size.
    texture: int = 256
    # Texels a side of the colours sampled from the photo, of which no more than the texture's go into the VQGAN; 0: as
    # many as the texture has. Scaled with --size where it is not given.
    rgb_size: int = 0
    # Pixels a side of the random window that LPIPS sees (§4.1), scaled with --size where it is not given.
    crop: int = 256
    # Backbone of LPIPS, the perceptual loss.
    lpips: Literal["vgg", "alex", "none"] = "vgg"
    # Peak learning rate.
    lr: float = 2e-3
    # Peak learning rate of the discriminator.
    discriminator_lr: float = 2e-3
    # Weights of the losses.
    losses: Losses = field(default_factory=Losses)
    # Share of samples judged on a random colour. On white alone, as in the paper, a white fringe costs nothing.
    backgrounds: float = 0.5
    # Views whose merged texture is the inpainter's truth (§3.2).
    views: int = 8
    # People of the first source that are kept for validation.
    holdout: int = 8
    # Camera angle, colour shift and mirror (§4.2); False: the mirror alone.
    augmented: bool = True
    # So many views are kept in memory, rasterised, where there is no augmentation but the mirror; at 256², 1.2 MB each.
    # 4000 where --no-augmented is given and this is not.
    cached: int = 0


def _nano(steps: int, batch: int = 8, lr: float = 3e-3) -> AvatarOptions:
    """Minutes on one CPU core; without LPIPS and discriminator, for speed."""
    loop = Loop(steps, batch, batch, warmup=20, ema=0.99, log_every=20, show_every=200, save_every=200)
    losses = Losses(l1=1.0, adversarial=0.0)
    return AvatarOptions(loop, "nano", 128, 64, 128, 128, "none", lr, 1e-3, losses, views=6, holdout=4, augmented=False,
                   cached=1000)  # fmt: skip


def _base(steps: int, batch: int = 16, micro: int = 16, **more: Any) -> AvatarOptions:
    """One GPU, or two cores for as long as one has."""
    loop = Loop(steps, batch, micro, warmup=500, ema=0.999, precision="bf16", workers=8, show_every=1000,
                save_every=500)  # fmt: skip
    more = {"nets": "base", "losses": Losses(l1=1.0), "lr": 1e-3, "discriminator_lr": 1e-3, "rgb_size": 512} | more
    return AvatarOptions(loop, **more)


def _paper(steps: int, batch: int = 4, **more: Any) -> AvatarOptions:
    """§4.1, and what docs/training.md adds to all presets."""
    loop = Loop(steps, batch, 4, warmup=0, clip=1e9, workers=8, show_every=2000, save_every=1000)
    return AvatarOptions(loop, **{"nets": "paper", "holdout": 32, **more})


PRESETS: dict[str, dict[str, Any]] = {
    "parser": {
        "nano": ParserOptions(Loop(steps=60, batch=4, micro_batch=4, warmup=10, show_every=30, save_every=30),
                       sizes=((1.0, 128, 96),)),
        # The shipped weights had 5,500 steps in two runs: 138 minutes of one CPU thread.
        "base": ParserOptions(Loop(steps=4400, ema=0.998, save_every=100, show_every=400)),
        # The paper takes its parser from elsewhere: the same network, longer.
        "paper": ParserOptions(Loop(steps=40000, batch=32, micro_batch=32, warmup=500, precision="bf16", workers=8)),
    },
    "surface": {
        "nano": SurfaceOptions(Loop(steps=60, batch=4, micro_batch=4, warmup=10, show_every=30, save_every=30),
                               sizes=((1.0, 128, 96, 96),), holdout=2),
        "base": SurfaceOptions(Loop(steps=10000, ema=0.998, warmup=200, precision="bf16", save_every=200,
                                    show_every=500)),
        "paper": SurfaceOptions(Loop(steps=60000, batch=32, micro_batch=32, warmup=500, precision="bf16", workers=8)),
    },
    "avatar": {"nano": _nano(400), "base": _base(60000), "paper": _paper(100000)},
    "compression": {"nano": _nano(250, lr=2e-3), "base": _base(20000), "paper": _paper(300000)},
    "finetune": {"nano": _nano(50, lr=1e-3), "base": _base(8000, lr=3e-4, discriminator_lr=3e-4),
                 "paper": _paper(20000)},
    "inpainting": {
        "nano": _nano(700, 16),
        "base": _base(40000, 32, 8, lr=3e-4),
        # AdamW at 1e-6 for each sample of the batch
        "paper": _paper(50000, 128, lr=1.28e-4),
    },
}  # fmt: skip

O = TypeVar("O", ParserOptions, SurfaceOptions, AvatarOptions)


def derived(options: O, preset: O) -> O:
    """Options changed from a preset, with what follows from the changes. What was changed itself stays as it is.

    - a run of fewer steps than the preset's: warm-up, pictures and checkpoints as :meth:`Loop.fitting`
    - another size of the pictures: ``crop`` and ``rgb_size`` in proportion
    - no augmentation, other than in the preset: ``CACHED`` views are kept in memory
    """
    loop, before = options.loop, preset.loop
    if loop.steps < before.steps:
        names = ("warmup", "show_every", "save_every")
        own = {n: getattr(loop, n) for n in names if getattr(loop, n) != getattr(before, n)}
        options = replace(options, loop=replace(loop.fitting(), **own))
    if isinstance(options, AvatarOptions) and isinstance(preset, AvatarOptions):
        more = {n: getattr(preset, n) * options.size // preset.size for n in ("crop", "rgb_size")
                if getattr(options, n) == getattr(preset, n)}  # fmt: skip
        if preset.augmented and not options.augmented and options.cached == preset.cached:
            more["cached"] = CACHED
        options = replace(options, **more)
    return options
