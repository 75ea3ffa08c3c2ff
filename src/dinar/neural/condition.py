"""The denoiser's condition, T_c^j ⊕ b(B_fill^j) (§3.3), and textures with their holes filled by simple means.

Beyond the paper, the condition may contain the same of the mirrored texture. The regression of unseen texels is told
more: the texture's mirror and fold, what is worn, and where every texel lies on the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..labels import CLASSES
from ..nets.channels import FILL, GENERATED, MASKS, SAMPLED
from ..nets.renderer import push_pull
from ..texture.surface import opposite, surface
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


def fill_with(partial: Tensor, rgb: Tensor) -> Tensor:  # [B, 21, S, S], [B, 3, S, S] in [0, 1] -> [B, 21, S, S]
    """The texture with these colours where it has holes."""
    rgb = torch.where(partial[:, FILL] > 0.5, partial[:, SAMPLED], rgb.to(partial))
    return torch.cat([partial[:, GENERATED], rgb, torch.ones_like(partial[:, MASKS])], 1)


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


# ---- what the body knows: the condition of nets/regressor.py -------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Geometry:
    """Facts about the atlas at one texture size, and the warps that copy a texture's other sides into place; of one
    body, or of the bodies of a batch, which differ by their shells."""

    folded: Tensor  # [S * S] or [B, S * S] int64: flat index of the texel on the other side, front or back
    position: Tensor  # [3, S, S] or [B, 3, S, S] rest position, mean 0 and deviation 1 over the texels; 0 in gutters

    @property
    def inside(self) -> Tensor:
        """[1, S, S] or [B, 1, S, S] {0, 1}: texels in an island."""
        return (self.position != 0).any(-3, keepdim=True).float()

    def fold(self, texture: Tensor) -> Tensor:  # [..., S, S], of a batch [B, C, S, S]
        """The texture with front and back of every part of the body exchanged."""
        flat = texture.flatten(-2)
        if self.folded.ndim == 1:
            return flat[..., self.folded].view_as(texture)
        return flat.gather(2, self.folded[:, None].expand(-1, flat.shape[1], -1)).view_as(texture)

    def warps(self, texture: Tensor) -> list[Tensor]:
        """The texture, its mirror, its fold, and the fold of the mirror."""
        return [texture, mirror(texture), self.fold(texture), self.fold(mirror(texture))]

    def to(self, device: torch.device) -> Geometry:
        return Geometry(self.folded.to(device), self.position.to(device))


@lru_cache(maxsize=2)
def geometry(body: Body, size: int) -> Geometry:
    s = surface(body, size)
    index = torch.from_numpy(s.texels.index)
    folded = torch.arange(size * size)
    folded[index] = index[torch.from_numpy(opposite(s))]
    position = torch.zeros(3, size * size)
    position[:, index] = torch.from_numpy(((s.x - s.x.mean(0)) / s.x.std(0)).T.astype(np.float32))
    return Geometry(folded, position.view(3, size, size))


def surface_condition(
    g: Geometry,
    rgb: Tensor,  # [B, 3, S, S] in [0, 1], read where lam > 0
    lam: Tensor,  # [B, 1, S, S] in [0, 1] λ of §3.2; 0: not seen
    worn: Tensor,  # [B, 1, S, S] integers of labels.CLASSES where seen; 0: no parse
    guess: Tensor,  # [B, 3, S, S] in [0, 1] texture.restore.rules, which the network corrects
) -> Tensor:
    """The input of nets/regressor.py [B, INPUTS, S, S]."""
    seen = (lam > 0).float()
    classes = F.one_hot((worn[:, 0] * (lam[:, 0] > 0)).long(), len(CLASSES)).movedim(-1, 1)[:, 1:].float()
    parts = g.warps(torch.cat([(rgb - 0.5) * seen, seen, lam, classes], 1))
    same = torch.cat([g.position, g.inside], -3).expand(len(rgb), -1, -1, -1)
    return torch.cat([*parts, same, guess - 0.5], 1)
