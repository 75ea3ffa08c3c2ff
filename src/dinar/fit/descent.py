"""Adam with cosine decay for a handful of small arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

EPSILON = 1e-8
FLOOR = 0.1  # of the learning rate, at the end of its decay


def descend(
    params: Sequence[tuple[np.ndarray, float]],  # changed in place; and the learning rate of each
    floor: float,  # learning rate of all at the end
    steps: int,
    betas: tuple[float, float],
    gradients: Callable[[int], Sequence[np.ndarray]],  # of the number of the step; one for each array
) -> None:
    """Minimise a loss in the arrays, from its gradients."""
    means, squares = ([np.zeros_like(x) for x, _ in params] for _ in range(2))
    for step in range(steps):
        first, second = (1 - b ** (step + 1) for b in betas)
        decay = (1 + math.cos(math.pi * step / steps)) / 2
        for (x, rate), g, m, s in zip(params, gradients(step), means, squares, strict=True):
            m += (1 - betas[0]) * (g - m)
            s += (1 - betas[1]) * (g * g - s)
            x -= (floor + (rate - floor) * decay) / first * m / (np.sqrt(s / second) + EPSILON)
