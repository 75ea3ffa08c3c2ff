"""What the denoiser is told: T_c^j ⊕ b(B_fill^j) (§3.3), and, beyond the paper, the same of the mirrored texture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..texture.neural import FILL, mirror


def resize(mask: Tensor, size: int) -> Tensor:  # [B, 1, S, S] -> [B, 1, size, size]
    """b of §3.3: bilinear, as the paper says, so every fourth texel's neighbourhood is looked at."""
    return F.interpolate(mask.float(), size=(size, size), mode="bilinear", align_corners=False)


def condition(
    partial: Tensor,  # [B, 21, S, S] T^j, the texture of one view
    latents: Tensor,  # [B, 6, s, s] T_c^j = E_VQ(T^j)
    mirrored: Tensor | None = None,  # [B, 6, s, s] E_VQ of the mirrored T^j; None: not a condition
) -> Tensor:  # [B, 7 or 14, s, s]
    """The mask's channel tells what of T_c^j is known; the mirrored half of an arm or a leg tells the rest."""
    parts = [latents, resize(partial[:, FILL], latents.shape[-1])]
    if mirrored is not None:
        parts += [mirrored, resize(mirror(partial[:, FILL]), latents.shape[-1])]
    return torch.cat(parts, 1)
