"""The denoiser's condition, T_c^j ⊕ b(B_fill^j) (§3.3), and textures with their holes filled by simple means.

Beyond the paper, the condition may contain the same of the mirrored texture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.channels import FILL, GENERATED, MASKS, SAMPLED
from ..nets.renderer import push_pull
from .texture import mirror


def resize(mask: Tensor, size: int) -> Tensor:  # [B, 1, S, S] -> [B, 1, size, size]
    """b of §3.3: bilinear without antialiasing, as in the paper."""
    return F.interpolate(mask.float(), size=(size, size), mode="bilinear", align_corners=False)


def complete(texture: Tensor, known: Tensor) -> Tensor:  # [B, 21, S, S], [B, 1, S, S] in [0, 1] -> [B, 21, S, S]
    """The texture with unknown colours filled by push-pull and both masks set to 1."""
    rgb = push_pull(texture[:, SAMPLED], known)
    return torch.cat([texture[:, GENERATED], rgb, torch.ones_like(texture[:, MASKS])], 1)


def fill_from_mirror(partial: Tensor) -> Tensor:  # [B, 21, S, S] -> [B, 21, S, S]
    """The texture without holes: colours of the other half of the body where they are known, push-pull elsewhere."""
    known, other = partial[:, FILL].clamp(0, 1), mirror(partial)
    rgb = torch.where(known > 0.5, partial[:, SAMPLED], other[:, SAMPLED])
    both = torch.cat([partial[:, GENERATED], rgb, partial[:, MASKS]], 1)
    return complete(both, torch.maximum(known, other[:, FILL].clamp(0, 1)))


def condition(
    partial: Tensor,  # [B, 21, S, S] T^j, the texture of one view
    latents: Tensor,  # [B, 6, s, s] T_c^j = E_VQ(T^j)
    mirrored: Tensor | None = None,  # [B, 6, s, s] E_VQ of the mirrored T^j; None: not part of the condition
) -> Tensor:  # [B, 7 or 14, s, s]
    """T_c^j ⊕ b(B_fill^j), then the same of the mirrored texture."""
    parts = [latents, resize(partial[:, FILL], latents.shape[-1])]
    if mirrored is not None:
        parts += [mirrored, resize(mirror(partial[:, FILL]), latents.shape[-1])]
    return torch.cat(parts, 1)
