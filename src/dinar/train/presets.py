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
    """Options of the training loop, shared by all stages."""

    # Number of optimiser steps.
    steps: Annotated[int, tyro.conf.arg(aliases=["--steps"])] = 1000
    # Samples of one optimiser step: the total over all devices and all micro batches.
    batch: Annotated[int, tyro.conf.arg(aliases=["--batch"])] = 8
    # Samples that one device takes at once (memory). --batch must be a multiple of --micro-batch times the devices.
    micro_batch: Annotated[int, tyro.conf.arg(aliases=["--micro-batch"])] = 8
    # Steps in which the learning rate rises to its peak. In runs of fewer steps than the preset's, the default is at
    # most a tenth of them.
    warmup: int = 50
    # The learning rate after the warm-up: it falls to 0 along a cosine, or it stays.
    schedule: Literal["cosine", "constant"] = "cosine"
    # Minutes after which a start of the run ends. The cosine ends with them. 0: --steps alone end the run.
    minutes: Annotated[float, tyro.conf.arg(aliases=["--minutes"])] = 0.0
    # Decay of the running average of the weights, which is the result. At most (1 + step) / (10 + step). 0: no average,
    # the result are the last weights.
    ema: Annotated[float, tyro.conf.arg(aliases=["--ema"])] = 0.999
    # Gradients of a larger norm are scaled down to this norm.
    clip: float = 2.0
    # Number format of mixed precision. no: float32 throughout.
    precision: Annotated[Literal["no", "bf16", "fp16"], tyro.conf.arg(aliases=["--precision"])] = "no"
    # Steps between log lines.
    log_every: int = 20
    # Steps between validations with pictures. Default in shorter runs: as for --loop.warmup.
    show_every: int = 500
    # Steps between checkpoints. Default in shorter runs: as for --loop.warmup.
    save_every: int = 200
    # Number of processes that load data, for each device. 0: data are loaded in the training process.
    workers: Annotated[int, tyro.conf.arg(aliases=["--workers"])] = 0
    # Random seed.
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
    # Crop sizes in the order of training, each as: share of the steps, rows, columns (pixels, multiples of 16).
    sizes: tuple[tuple[float, int, int], ...] = ((0.6, 256, 176), (0.4, 448, 304))
    # Channels of the decoder's features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution.
    widths: tuple[int, ...] = (24, 32, 64, 96, 128)
    # Peak learning rate of the decoder.
    lr: float = 2e-3
    # Learning rate of the ImageNet encoder, as a share of the decoder's.
    encoder_lr: float = 0.25
    # Weight decay of AdamW.
    weight_decay: float = 0.02
    # Number of encoder stages that keep ImageNet's weights.
    frozen: int = 2
    # Loss weight of the overlap (soft IoU) of predicted and true person. Cross-entropy has weight 1.
    iou: float = 1.0
    # Loss weight of the overlap (Dice) of predicted and true classes.
    dice: float = 0.5


@dataclass
class SurfaceOptions:
    """The surface network (``train/surface.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Crop sizes in the order of training, each as four numbers: share of the steps; longer side, then shorter side, of
    # tall and wide crops; side of square crops (pixels, multiples of 32).
    sizes: tuple[tuple[float, int, int, int], ...] = (
        (0.55, 192, 128, 160),
        (0.3, 256, 160, 192),
        (0.15, 320, 192, 256),
    )
    # Shares of tall, square and wide crops, in this order.
    shapes: tuple[float, float, float] = (0.5, 0.3, 0.2)
    # Channels of the decoder's features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the resolution.
    widths: tuple[int, ...] = (32, 48, 96, 128, 192)
    # Peak learning rate of the decoder.
    lr: float = 2e-3
    # Learning rate of the encoder, as a share of the decoder's.
    encoder_lr: float = 0.25
    # Weight decay of AdamW.
    weight_decay: float = 0.02
    # Number of encoder stages that keep their initial weights.
    frozen: int = 2
    # Loss weight of the distance between predicted and true body points, in units of 10 cm. Cross-entropy and Laplace
    # likelihood have weight 1.
    distance: float = 0.5
    # Loss weight of the error of the predicted rotation of body and camera.
    turn: float = 1.0
    # Number of people kept for validation. With several sets, all people of the first one are kept.
    holdout: int = 40
    # Number of views that a validation uses at most.
    shown: int = 120


REGRESSION_PICTURE = 256  # pixels a side of pictures that are cropped or rendered for textures of 128²


@dataclass
class RegressionOptions:
    """The regressor of unseen texels (``train/regression.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Network size: nano, base or paper. With --init, that of its network.
    nets: str = "base"
    # Side of the texture in texels.
    texture: int = 128
    # Peak learning rate.
    lr: float = 2e-3
    # Weight decay of AdamW.
    weight_decay: float = 0.01
    # Loss weight of texels that the input shows. Unseen texels have weight 1.
    seen: float = 0.1
    # Loss weight of the classes' cross-entropy.
    classes: float = 0.02
    # Loss weight of a discriminator of patches, which makes hems sharp. 0: no discriminator.
    patches: float = 0.0
    # Peak learning rate of the discriminator.
    discriminator_lr: float = 4e-4
    # Number of people of a single set that are kept for validation.
    holdout: int = 30
    # Of several sets, the number of first ones that are only validated on.
    validation: int = 1


@dataclass
class VisemeOptions:
    """The viseme network (``train/visemes.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Channels of the hidden layers.
    width: int = 64
    # Share of hidden values that are set to 0 in training.
    dropout: float = 0.1
    # Peak learning rate.
    lr: float = 3e-3
    # Weight decay of AdamW.
    weight_decay: float = 0.05
    # Number of sentences that are spoken.
    sentences: int = 3000


@dataclass
class PoseOptions:
    """The pose network (``train/pose.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Channels of the hidden layers.
    width: int = 384
    # Number of residual blocks.
    blocks: int = 3
    # Number of hypotheses.
    hypotheses: int = 4
    # Share of hidden values that are set to 0 in training.
    dropout: float = 0.1
    # Peak learning rate.
    lr: float = 2e-3
    # Weight decay of AdamW.
    weight_decay: float = 0.1
    # How often each picture is read, every time before another background.
    reads: int = 2
    # Standard deviation of the random rotation of the picture, degrees.
    roll: float = 3.0
    # Mean standard deviation of the noise added to keypoints, in units of the person's extent.
    noise: float = 0.01
    # Share of keypoints that are left out.
    lost: float = 0.03
    # Number of people whose inputs are simulated, without pictures.
    simulated: int = 50_000
    # Share of each batch that they are.
    share: float = 0.6
    # Number of people kept for validation. With several sets, all people of the first one are kept.
    holdout: int = 40


@dataclass
class Losses:
    """Loss weights: λ of eq. 4, and our own."""

    # L2, λ1 of §4.1.
    l2: float = 2.2
    # LPIPS, λ2.
    lpips: float = 1.0
    # Dice overlap of the silhouettes, λ3.
    dice: float = 1.0
    # Adversarial loss, λ4. 0: no discriminator.
    adversarial: Annotated[float, tyro.conf.arg(aliases=["--adversarial"])] = 0.01
    # R1 regularisation of the discriminator, λ5.
    r1: float = 0.1
    # R1 is computed once in this number of steps, and multiplied by it (lazy regularisation).
    r1_every: int = 16
    # L1, in addition to L2. The paper has no such loss.
    l1: float = 0.0
    # L2 and LPIPS of the face, in addition to those of the picture.
    face: float = 0.1
    # Error of the compressed texture, ‖T − T_res‖² of §3.3, in units of each channel's standard deviation.
    texture: float = 10.0
    # Weight of the colours in that error, in relation to generated channels and masks.
    colours: float = 1.0
    # Codebook loss of the VQGAN.
    codebook: float = 1.0
    # (log mean T_gen²)²: keeps generated channels near unit size, as the batch norm after them does not.
    scale: float = 0.01


@dataclass
class AvatarOptions:
    """The four stages of §3 (``train/avatar.py``, ``compression.py``, ``finetune.py``, ``inpainting.py``)."""

    loop: Loop = field(default_factory=Loop)
    # Network sizes: nano, base or paper. Networks of --init keep their sizes.
    nets: str = "base"
    # Side of the pictures in pixels.
    size: int = 512
    # Side of the neural texture in texels.
    texture: int = 256
    # Side of the sampled colour texture in texels. 0: as --texture. The default changes in proportion to --size.
    rgb_size: int = 0
    # Side in pixels of the random crop that LPIPS compares (§4.1). The default changes with --size, as for --rgb-size.
    crop: int = 256
    # Backbone of LPIPS, the perceptual loss.
    lpips: Literal["vgg", "alex", "none"] = "vgg"
    # Peak learning rate.
    lr: float = 2e-3
    # Peak learning rate of the discriminator.
    discriminator_lr: float = 2e-3
    # Weights of the losses.
    losses: Losses = field(default_factory=Losses)
    # Share (0 to 1) of samples that are compared on a random background colour. The others are compared on white.
    backgrounds: float = 0.5
    # Share of the samples of stages 1 to 3 whose texture is merged with another view's and filled, as after inpainting.
    complete: float = 0.5
    # The view that completes textures: another one of the person, or the target, which is then known to the renderer.
    complete_with: Literal["other", "target"] = "other"
    # Share of the samples of stages 1 to 3 without the generated channels, or without the sampled colours.
    ablated: float = 0.05
    # Share of the samples of stages 1 and 3 whose target is a window of --size pixels, cut out of a view that is drawn
    # 1.5 to 4 times as large. The others show the whole person. 0: all do, and sampled colours have --rgb-size.
    windows: float = 0.0
    # Normalise textures for the VQGAN by mean and deviation of each channel, and start with codes of textures.
    texture_statistics: bool = True
    # Train compression and inpainting from sampled textures alone: many times faster, without renders in the loss.
    textures: bool = False
    # How a new residual denoiser's start is filled: from the other half of the body, or by the regressor (--textures).
    start: Literal["mirror", "regression"] = "mirror"
    # Number of colourings of every texture that --textures makes for the inpainting stage.
    recoloured: int = 4
    # Normalise latents for the denoiser by mean and deviation of each channel.
    latent_statistics: bool = True
    # Widen the body to the outline of clothes and hair, as `create` does.
    offsets: bool = True
    # Count bags as part of the person. `create` cuts them out.
    bags: bool = False
    # Number of views merged into the true texture of the inpainting stage (§3.2).
    views: int = 8
    # Number of people of the first set that are kept for validation.
    holdout: int = 8
    # Augment samples by camera rotation, colour shift and mirroring (§4.2). --no-augmented: by mirroring only; so do
    # --windows.
    augmented: bool = True
    # Number of rasterised views kept in memory, 1.2 MB each at --size 256. Only with --no-augmented, which raises the
    # default from 0 to 4000. Of --windows: without effect.
    cached: int = 0
    # Networks of --init that stay as they are. Those that later stages were trained for remain usable.
    fixed: tuple[str, ...] = ()


def _nano(steps: int, batch: int = 8, lr: float = 3e-3) -> AvatarOptions:
    """Minutes on one CPU core; without LPIPS and discriminator, for speed."""
    loop = Loop(steps, batch, batch, warmup=20, ema=0.99, log_every=20, show_every=200, save_every=200)
    losses = Losses(l1=1.0, adversarial=0.0)
    return AvatarOptions(loop, "nano", 128, 64, 128, 128, "none", lr, 1e-3, losses, ablated=0.0, views=6, holdout=4,
                         augmented=False, cached=1000)  # fmt: skip


def _base(steps: int, batch: int = 16, micro: int = 16, **more: Any) -> AvatarOptions:
    """One GPU, or two cores for as long as one has."""
    loop = Loop(steps, batch, micro, warmup=500, ema=0.999, precision="bf16", workers=8, show_every=1000,
                save_every=500)  # fmt: skip
    more = {
        "nets": "base",
        "losses": Losses(l1=1.0),
        "lr": 1e-3,
        "discriminator_lr": 1e-3,
        "rgb_size": 512,
        "windows": 0.75,
    } | more
    return AvatarOptions(loop, **more)


def _paper(steps: int, batch: int = 4, **more: Any) -> AvatarOptions:
    """§4.1 and nothing else: docs/training.md says option by option what the other presets add."""
    loop = Loop(steps, batch, 4, warmup=0, schedule="constant", ema=0.0, clip=1e9, workers=8, show_every=2000,
                save_every=1000)  # fmt: skip
    own = {"losses": Losses(scale=0.0), "backgrounds": 0.0, "complete": 0.0, "ablated": 0.0, "offsets": False,
           "texture_statistics": False, "latent_statistics": False}  # fmt: skip
    return AvatarOptions(loop, **{"nets": "paper", "holdout": 32, **own, **more})


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
    "pose": {
        "nano": PoseOptions(Loop(steps=60, batch=32, micro_batch=32, warmup=10, show_every=30, save_every=30), width=64,
                            blocks=1, reads=1, simulated=64, holdout=2),
        "base": PoseOptions(Loop(steps=4000, batch=256, micro_batch=256, warmup=100, ema=0.998)),
        "paper": PoseOptions(Loop(steps=30000, batch=256, micro_batch=256, warmup=500), width=512),
    },
    "visemes": {
        "nano": VisemeOptions(Loop(steps=60, batch=8, micro_batch=8, warmup=10, show_every=30, save_every=30), width=32,
                              sentences=60),
        "base": VisemeOptions(Loop(steps=4000, batch=32, micro_batch=32, warmup=100, ema=0.998, save_every=500)),
        # Not in the paper: the same network, wider.
        "paper": VisemeOptions(Loop(steps=20000, batch=64, micro_batch=64, warmup=500), width=128, sentences=20000),
    },
    "regression": {
        "nano": RegressionOptions(Loop(steps=200, batch=4, micro_batch=4, warmup=20, ema=0.98, show_every=100,
                                       save_every=100), nets="nano", texture=64, holdout=4),
        "base": RegressionOptions(Loop(steps=12000, ema=0.998, warmup=100, precision="bf16", save_every=100,
                                       show_every=500)),
        # Not in the paper: the same network, wider and finer, for a GPU.
        "paper": RegressionOptions(Loop(steps=60000, batch=32, micro_batch=32, warmup=500, precision="bf16", workers=8),
                                   nets="paper", texture=256, lr=1e-3),
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

O = TypeVar("O", ParserOptions, SurfaceOptions, PoseOptions, RegressionOptions, VisemeOptions, AvatarOptions)


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
