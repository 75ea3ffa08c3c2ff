"""A U-Net that predicts the colours and classes of unseen texels from what the body knows (not in the paper).

Where §3.3 samples a texture by diffusion, this network regresses one: it corrects the guess of the restoration's rules.
Its input is :func:`dinar.neural.condition.surface_condition`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ..labels import CLASSES
from .pretrained import Network

WARPS = 4  # copies of the texture in the input: itself, mirrored, folded, and both
WORN = len(CLASSES) - 1  # classes without the background
PER_WARP = 3 + 1 + 1 + WORN  # RGB, seen or not, λ, classes
INPUTS = WARPS * PER_WARP + 3 + 1 + 3  # and the rest position, the islands, the guess


class _Block(nn.Module):
    """Two convolutions with group norm, and a skip connection."""

    def __init__(self, cin: int, cout: int, groups: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(cin, cout, 3, padding=1), nn.GroupNorm(groups, cout), nn.SiLU(),
            nn.Conv2d(cout, cout, 3, padding=1), nn.GroupNorm(groups, cout), nn.SiLU(),
        )  # fmt: skip
        self.skip = nn.Identity() if cin == cout else nn.Conv2d(cin, cout, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip(x) + self.layers(x)


class TextureRegressor(Network):
    """The correction of the guess of every texel's colour, and the class that is worn there."""

    def __init__(
        self, widths: Sequence[int] = (32, 64, 96, 128, 160), groups: int = 8, size: int = 128, atlas: str = ""
    ) -> None:
        """Args:
        widths: channels of the levels, each half the size of the one before.
        groups: groups of GroupNorm; the widths are multiples of it.
        size: texels a side.
        atlas: hash of the atlas of the body that it was trained with.
        """
        super().__init__(widths=list(widths), groups=groups, size=size, atlas=atlas)
        w = list(widths)
        self.start = nn.Conv2d(INPUTS, w[0], 3, padding=1)
        self.down = nn.ModuleList([_Block(w[0], w[0], groups), *(_Block(a, b, groups) for a, b in pairwise(w))])
        self.up = nn.ModuleList(_Block(a + b, b, groups) for a, b in pairwise(w[::-1]))
        self.head = nn.Conv2d(w[0], 3 + WORN, 3, padding=1)
        with torch.no_grad():  # it starts with the guess
            self.head.weight.zero_()
            self.head.bias.zero_()  # type: ignore[union-attr]

    def forward(self, condition: Tensor) -> tuple[Tensor, Tensor]:  # [B, INPUTS, S, S]
        """The correction of the guess [B, 3, S, S], and logits of the classes from 1 on [B, WORN, S, S]."""
        x, skips = self.start(condition), []
        for i, block in enumerate(self.down):
            x = block(x if i == 0 else F.avg_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], 1))
        return self.head(x).float().split([3, WORN], 1)  # type: ignore[return-value]


class PatchDiscriminator(nn.Module):
    """Judges patches of 34² texels of a completed texture [B, 11, S, S]: above 0 for true ones (Isola et al. 2017)."""

    def __init__(self, channels: int = 11, width: int = 64) -> None:
        super().__init__()
        widths = (channels, width, 2 * width, 4 * width)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            layers += [spectral_norm(nn.Conv2d(a, b, 4, 2 if i < 2 else 1, 1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, spectral_norm(nn.Conv2d(widths[-1], 1, 4, 1, 1)))

    def forward(self, candidate: Tensor) -> Tensor:  # [B, 1, s, s]
        return self.layers(candidate)
