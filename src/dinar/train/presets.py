"""Every stage's options, and the presets that the command line knows: one table.

``nano`` runs in minutes on a CPU, ``base`` is what ships, ``paper`` the published sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Loop:
    """What every stage shares."""

    # Optimiser steps; None: the preset's.
    steps: int = 1000
    # Samples an optimiser step, over all processes and accumulated micro steps together.
    batch: int = 8
    # Samples at once on one device. The batch must be a multiple of this times the processes.
    micro_batch: int = 8
    # Steps of linear warm-up; then the learning rates fall to 0 along a cosine.
    warmup: int = 50
    # Decay of the averaged weights; early on (1 + step) / (10 + step), where that is less.
    ema: float = 0.999
    # Largest norm of an optimiser's gradient.
    clip: float = 2.0
    # "no", "bf16" or "fp16".
    precision: str = "no"
    # Steps between lines of the log, between validations with pictures, and between checkpoints.
    log_every: int = 20
    show_every: int = 500
    save_every: int = 200
    # Data processes; 0: none beside the training one.
    workers: int = 0
    # Sample i of a run depends on (seed, i) alone.
    seed: int = 0


@dataclass
class Parser:
    """The human parser (``train/parser.py``)."""

    loop: Loop = field(default_factory=Loop)
    # (share of the steps, rows, columns): the crop grows. Rows and columns are multiples of 16.
    sizes: tuple[tuple[float, int, int], ...] = ((0.6, 256, 176), (0.4, 448, 304))
    # Channels of the pyramid at strides 2 to 32.
    widths: tuple[int, ...] = (24, 32, 64, 96, 128)
    # Learning rate of the decoder, and that of the ImageNet encoder as a share of it.
    lr: float = 2e-3
    encoder_lr: float = 0.25
    weight_decay: float = 0.02
    # Encoder stages that keep ImageNet's weights.
    frozen: int = 2
    # Weights of soft IoU of the person and of Dice over the classes, beside cross-entropy.
    iou: float = 1.0
    dice: float = 0.5


PRESETS: dict[str, dict[str, Parser]] = {
    "parser": {
        "nano": Parser(Loop(steps=60, batch=4, micro_batch=4, warmup=10, show_every=30, save_every=30),
                       sizes=((1.0, 128, 96),)),
        # Chosen for 80 minutes of one CPU thread; ten times the steps on a GPU.
        "base": Parser(Loop(steps=4400, ema=0.998, save_every=100, show_every=400)),
        # The paper takes its parser from elsewhere: the same network, longer.
        "paper": Parser(Loop(steps=40000, batch=32, micro_batch=32, warmup=500, precision="bf16", workers=8)),
    },
}  # fmt: skip
