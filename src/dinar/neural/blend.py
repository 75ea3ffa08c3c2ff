"""Eq. 6: the photo's texels where there are any, the restored ones elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .texture import FILL

SOFT = 1  # texels by which the mask is eroded and then blurred within the islands (the released system's)


def blend(
    restored: Tensor,  # [B, 21, S, S] T_res
    partial: Tensor,  # [B, 21, S, S] T^j
    inside: Tensor | None = None,  # [S, S] bool, texels in an island of the atlas; None: hard borders, eq. 6 as it is
) -> Tensor:  # [B, 21, S, S]
    """T = T_res (1 − B_fill) + T^j B_fill. B_smp and B_fill of the result say that all of it is known."""
    known = partial[:, FILL].clamp(0, 1)
    if inside is not None:
        island, k = inside.to(known.dtype).expand_as(known), 2 * SOFT + 1
        # texels outside the islands are no border: an island's own rim stays the photo's
        known = 1 - F.max_pool2d((1 - known) * island, k, 1, SOFT)
        # a mean over the island's texels alone
        known = F.avg_pool2d(known * island, k, 1, SOFT) / F.avg_pool2d(island, k, 1, SOFT).clamp(min=1e-6)
        known = known * partial[:, FILL].clamp(0, 1)
    mixed = restored * (1 - known) + partial * known
    return torch.cat([mixed[:, :19], torch.ones_like(mixed[:, 19:])], 1)
