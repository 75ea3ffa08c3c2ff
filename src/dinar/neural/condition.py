"""What the denoiser is told: T_c^j ⊕ b(B_fill^j) (§3.3), and, beyond the paper, the same of the mirrored texture; and
what it may start from: a plain fill of the holes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.renderer import push_pull
from .texture import FILL, GENERATED, SAMPLED, mirror


def resize(mask: Tensor, size: int) -> Tensor:  # [B, 1, S, S] -> [B, 1, size, size]
    """b of §3.3: bilinear, as the paper says, so every fourth texel's neighbourhood is looked at."""
    return F.interpolate(mask.float(), size=(size, size), mode="bilinear", align_corners=False)


def complete(texture: Tensor, known: Tensor) -> Tensor:  # [B, 21, S, S], [B, 1, S, S] in [0, 1]
    """Without holes: colours from around them, and masks that say that everything is known."""
    rgb = push_pull(texture[:, SAMPLED], known)
    return torch.cat([texture[:, GENERATED], rgb, torch.ones_like(texture[:, 19:])], 1)


def filled(partial: Tensor) -> Tensor:  # [B, 21, S, S] -> the same without holes
    """Colours of the other half of the body where that is known, and from around where neither is."""
    known, other = partial[:, FILL].clamp(0, 1), mirror(partial)
    rgb = torch.where(known > 0.5, partial[:, SAMPLED], other[:, SAMPLED])
    both = torch.cat([partial[:, GENERATED], rgb, partial[:, 19:]], 1)
    return complete(both, torch.maximum(known, other[:, FILL].clamp(0, 1)))


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
