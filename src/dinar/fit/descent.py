"""Adam with cosine decay for a handful of small tensors: torch's optimiser takes longer than their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

EPSILON = 1e-8
FLOOR = 0.1  # of the learning rate, at the end of its decay


def descend(
    params: Sequence[tuple[Tensor, float]],  # changed in place; and the learning rate of each
    floor: float,  # learning rate of all at the end
    steps: int,
    betas: tuple[float, float],
    loss: Callable[[int], Tensor],  # of the number of the step; a scalar
) -> None:
    """Minimise ``loss`` in the tensors, which need no gradients before or after."""
    moved = [x.requires_grad_(True) for x, _ in params]
    means, squares = ([torch.zeros_like(x) for x in moved] for _ in range(2))
    for step in range(steps):
        gradients = torch.autograd.grad(loss(step), moved)
        first, second = (1 - b ** (step + 1) for b in betas)
        with torch.no_grad():
            for (x, rate), g, m, s in zip(params, gradients, means, squares, strict=True):
                now = floor + (rate - floor) * (1 + math.cos(math.pi * step / steps)) / 2
                m.lerp_(g, 1 - betas[0])
                s.mul_(betas[1]).addcmul_(g, g, value=1 - betas[1])
                x.addcdiv_(m, s.sqrt().div_(math.sqrt(second)).add_(EPSILON), value=-now / first)
    for x in moved:
        x.requires_grad_(False)
