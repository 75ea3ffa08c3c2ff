"""Eq. 6: the photo's texels where they are known, the restored texture elsewhere."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.channels import FILL, MASKS

SOFT = 1  # texels by which B_fill is eroded and then blurred within the islands (the released system)


def blend(
    restored: Tensor,  # [B, 21, S, S] T_res
    partial: Tensor,  # [B, 21, S, S] T^j
    inside: Tensor | None = None,  # [S, S] bool, texels in an island of the atlas; None: hard borders, plain eq. 6
) -> Tensor:  # [B, 21, S, S]
    """T = T_res (1 − B_fill) + T^j B_fill. B_smp and B_fill of the result are 1 everywhere."""
    known = partial[:, FILL].clamp(0, 1)
    if inside is not None:
        island, k = inside.to(known.dtype).expand_as(known), 2 * SOFT + 1
        # Texels outside the islands do not erode the mask: the rim of an island keeps the photo's colours.
        known = 1 - F.max_pool2d((1 - known) * island, k, 1, SOFT)
        # The mean is over texels of the island only.
        known = F.avg_pool2d(known * island, k, 1, SOFT) / F.avg_pool2d(island, k, 1, SOFT).clamp(min=1e-6)
        known = known * partial[:, FILL].clamp(0, 1)
    mixed = restored * (1 - known) + partial * known
    return torch.cat([mixed[:, : MASKS.start], torch.ones_like(mixed[:, MASKS])], 1)
