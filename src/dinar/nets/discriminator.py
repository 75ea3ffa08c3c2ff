"""D: real or rendered? StyleGAN2's discriminator (eq. 4)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained import Network
from .stylegan import Conv, Dense, channels_at, trunk


class Discriminator(Network):
    def __init__(self, size: int = 512, width: int = 32768, most: int = 512, channels: int = 3) -> None:
        """Args:
        size: pixels a side, a power of two.
        width: channels inside are width / resolution, at most ``most``.
        channels: of the pictures.
        """
        super().__init__(size=size, width=width, most=most, channels=channels)
        self.trunk = trunk(channels, size, width, most)
        last = channels_at(4, width, most)
        self.conv = Conv(last + 1, last)
        self.head = nn.Sequential(nn.Flatten(), Dense(last * 16, last, activate=True), Dense(last, 1))

    def forward(self, rgb: Tensor) -> Tensor:  # [B, channels, size, size] in [0, 1] -> [B, 1] logits, > 0 for real
        x = self.trunk(rgb * 2 - 1)
        return self.head(self.conv(torch.cat([x, _spread(x)], 1)))


def _spread(x: Tensor, group: int = 4) -> Tensor:
    """[B, 1, H, W]: mean standard deviation over groups of the batch, so that a lack of variety shows."""
    b, c, h, w = x.shape
    g = next(n for n in range(min(group, b), 0, -1) if b % n == 0)
    y = x.float().view(g, b // g, c, h, w)
    s = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return s.to(x.dtype).repeat(g)[:, None, None, None].expand(b, 1, h, w)


def fool(fake: Tensor) -> Tensor:  # [B, 1] logits of rendered pictures
    """The generator's non-saturating loss (Goodfellow et al. 2014)."""
    return F.softplus(-fake.float()).mean()


def tell(real: Tensor, fake: Tensor) -> Tensor:  # [B, 1] logits
    """The discriminator's."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def r1(real: Tensor, pictures: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018): half the squared gradient of the logits with respect to the real pictures, which
    require it."""
    (g,) = torch.autograd.grad(real.float().sum(), pictures, create_graph=True)
    return 0.5 * g.float().square().sum((1, 2, 3)).mean()
