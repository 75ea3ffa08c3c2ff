"""What a run consists of: the stage that is trained, and how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .presets import Loop


class Stage(Protocol):
    """The interface between the loop and a stage."""

    modules: dict[str, nn.Module]
    """All trained modules. The loop replaces them by the ones that accelerate prepared."""
    optimizers: dict[str, torch.optim.Optimizer]
    """Optimisers by the names that ``step`` passes to ``State.update``. ``lr`` of a group is its peak."""
    averaged: Sequence[str]
    """Names of the modules whose running averages are kept and exported."""

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Sample i. Its randomness comes from ``rng``; shapes may depend on i // batch."""
        ...

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        """Compute the losses and call ``state.update`` once for each optimiser. Returns scalars to log."""
        ...

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Validation: scalars, and pictures [H, W, 3] uint8 by name."""
        ...

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        """Write the run's final weights."""
        ...


@dataclass
class State:
    """The state of a run. Weights change in :meth:`update` only."""

    accelerator: Accelerator
    loop: Loop
    stage: Stage
    step: int = 0  # optimiser steps done
    averaged: dict[str, nn.Module] = field(default_factory=dict)
    peaks: dict[str, list[float]] = field(default_factory=dict)  # peak learning rates of each optimiser's groups
    begun: float = field(default_factory=time.perf_counter)

    @property
    def device(self) -> torch.device:
        return self.accelerator.device

    @property
    def spent(self) -> float:
        """The share of ``loop.minutes`` that is over."""
        return (time.perf_counter() - self.begun) / (60 * self.loop.minutes) if self.loop.minutes else 0.0

    def update(self, name: str, loss: Tensor) -> None:
        """Backward pass, and an optimiser step if the accumulated batch is complete."""
        optimizer = self.stage.optimizers[name]
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients:
            self.accelerator.clip_grad_norm_([p for g in optimizer.param_groups for p in g["params"]], self.loop.clip)
            for group, peak in zip(optimizer.param_groups, self.peaks[name], strict=True):
                group["lr"] = peak * schedule(self.step, self.loop, self.spent)
        optimizer.step()  # accelerate skips both while gradients accumulate
        optimizer.zero_grad()

    def plain(self, name: str) -> nn.Module:
        """A module without accelerate's wrappers."""
        return self.accelerator.unwrap_model(self.stage.modules[name])


def schedule(step: int, loop: Loop, spent: float = 0.0) -> float:
    """Factor of the learning rates: linear warm-up, then a cosine to 0 at the end of steps or time, or 1."""
    if step < loop.warmup:
        return (step + 1) / (loop.warmup + 1)
    if loop.schedule == "constant":
        return 1.0
    done = max((step - loop.warmup) / max(1, loop.steps - loop.warmup), min(spent, 1))
    return 0.5 + 0.5 * math.cos(math.pi * done)
