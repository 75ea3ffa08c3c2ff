"""What a number may be: one table for the options of all commands and functions, checked before the work begins."""

from __future__ import annotations

import dataclasses
import re
from numbers import Integral, Real
from typing import Any

from .errors import DinarError

# Least and largest value of an option; an option of one command, as in "fit.size", goes before the same of all.
BOUNDS: dict[str, tuple[float, float]] = {
    "threads": (0, 1024), "jobs": (1, 1024), "workers": (0, 1024), "seed": (0, 2**32 - 1),
    "person": (1, 1000), "people": (1, 10**8), "views": (1, 1000), "shards": (0, 10**6), "frames": (0, 10**6),
    "size": (16, 8192), "fit.size": (64, 4096), "synthesize.size": (16, 4096), "avataroptions.size": (32, 4096),
    "texture": (16, 8192), "erode": (0, 1024), "port": (0, 65535),
    "fps": (0.1, 240), "motion_fps": (0.1, 1000), "seconds": (0.01, 3600), "repeat": (1, 10**4),
    "azimuth": (-36_000, 36_000), "turn": (-36_000, 36_000), "elevation": (-90, 90),
    "steps": (1, 10**9), "batch": (1, 10**6), "micro_batch": (1, 10**6), "lr": (1e-9, 10), "ema": (0, 1),
    "adversarial": (0, 10**6), "refine_adversarial": (0, 10**6), "weights": (0, 10**9),
    "warmup": (0, 10**9), "clip": (1e-9, 1e12), "log_every": (1, 10**9), "show_every": (1, 10**9),
    "save_every": (1, 10**9), "discriminator_lr": (1e-9, 10), "rgb_size": (0, 8192), "crop": (16, 8192),
    "complete": (0, 1), "ablated": (0, 1), "windows": (0, 1), "seen": (0, 10**6), "classes": (0, 10**6),
    "backgrounds": (0, 1), "holdout": (0, 10**6), "validation": (0, 10**6), "cached": (0, 10**9),
    "r1_every": (1, 10**9), "minutes": (0, 10**6), "colours": (0, 10**6), "recoloured": (1, 1000),
    "patches": (0, 10**6), "candidates": (0, 64),
    "widths": (1, 4096), "encoder_lr": (0, 1000), "weight_decay": (0, 10), "frozen": (0, 100),
    "l2": (0, 10**6), "l1": (0, 10**6), "lpips": (0, 10**6), "dice": (0, 10**6), "iou": (0, 10**6), "r1": (0, 10**6),
    "face": (0, 10**6), "losses.texture": (0, 10**6), "codebook": (0, 10**6), "scale": (0, 10**6),
    "shapes": (0, 1), "distance": (0, 10**6), "surfaceoptions.turn": (0, 10**6), "shown": (0, 10**6),
    "width": (1, 4096), "blocks": (0, 64), "hypotheses": (1, 16), "dropout": (0, 1), "roll": (0, 180), "noise": (0, 1),
    "lost": (0, 1), "reads": (1, 1000), "simulated": (0, 10**7), "share": (0, 1), "focal": (5, 2000),
    "sentences": (1, 10**7), "heels": (0, 0.15),
}  # fmt: skip
WHOLE = ("threads", "jobs", "people", "views", "frames", "size", "repeat")  # arguments that are no fractions
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d{1,3})?")


def check_options(command: Any) -> None:
    """Refuse numbers of a command (a dataclass, whose fields may be dataclasses) that nothing can be done with."""
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if dataclasses.is_dataclass(value):
            check_options(value)
        elif field.name == "device":
            check_device(value)
        elif (bounds := _bounds(command, field.name)) is not None:
            for v in value if isinstance(value, list | tuple) else [value]:
                within(f"--{field.name.replace('_', '-')}", v, *bounds)


def check_numbers(**given: Any) -> None:
    """Refuse arguments of a function, each called as an option of the commands, that nothing can be done with.

    Of tuples, such as a height and width, all numbers are checked.
    """
    for name, value in given.items():
        for v in value if isinstance(value, tuple | list) else (value,):
            if not isinstance(v, Integral if name in WHOLE else Real) or isinstance(v, bool):
                raise DinarError(f"expected {name} to be a {'whole ' * (name in WHOLE)}number, got {v!r}")
            within(name, v, *BOUNDS[name])


def within(name: str, value: Any, low: float, high: float) -> None:
    """Refuse a number outside of [low, high], and NaN; what is no number passes."""
    if isinstance(value, Real) and not isinstance(value, bool) and not low <= value <= high:  # type: ignore[operator]
        raise DinarError(f"expected {name} between {low} and {high}, got {value}")


def check_device(name: str) -> None:
    """Refuse a device that torch does not have here."""
    import torch

    if not _DEVICE.fullmatch(name):
        raise DinarError(f"expected --device auto, cpu, cuda, cuda:N or mps, got {name}")
    kind, _, number = name.partition(":")
    there = {"cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}.get(kind, 1)
    if int(number or 0) >= there:
        others = f", or {kind}:0 to {kind}:{there - 1}" if there else ""
        raise DinarError(f"there is no {name} here: expected --device cpu{others}")


def _bounds(command: Any, option: str) -> tuple[float, float] | None:
    return BOUNDS.get(f"{type(command).__name__.lower()}.{option}", BOUNDS.get(option))
