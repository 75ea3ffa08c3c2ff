"""Nearest neighbours among points."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ...scene._numba import compiled


@compiled
def _search(x: np.ndarray, px: np.ndarray, py: np.ndarray, pz: np.ndarray, out: np.ndarray) -> None:
    d = np.empty(len(px), np.float32)
    for i in range(len(x)):
        a, b, c = x[i, 0], x[i, 1], x[i, 2]
        for j in range(len(px)):  # by itself, so that it becomes vector instructions
            u, v, w = px[j] - a, py[j] - b, pz[j] - c
            d[j] = u * u + v * v + w * w
        best = 0
        for j in range(1, len(px)):
            if d[j] < d[best]:
                best = j
        out[i] = best


def nearest(
    x: Tensor,  # [..., N, 3] float32
    points: Tensor,  # [..., P, 3]
) -> Tensor:
    """[..., N] int64: which point is the nearest. The matrix of distances would take a CPU six times as long."""
    if x.device.type != "cpu":
        return torch.cdist(x, points).argmin(-1)
    out = np.empty(x.shape[:-1], np.int64)
    a = np.ascontiguousarray(x.detach().float().numpy()).reshape(-1, x.shape[-2], 3)
    p = np.ascontiguousarray(points.detach().float().mT.numpy()).reshape(-1, 3, points.shape[-2])
    for row, (one, many) in enumerate(zip(a, p, strict=True)):
        _search(one, *many, out.reshape(-1, x.shape[-2])[row])
    return torch.from_numpy(out)
