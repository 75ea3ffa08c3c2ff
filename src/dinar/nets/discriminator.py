"""D: StyleGAN2's discriminator, which separates real pictures from rendered ones (eq. 4), and its losses."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained import Network
from .stylegan import Conv, Dense, channels_at, trunk


class Discriminator(Network):
    def __init__(self, size: int = 512, width: int = 32768, max_channels: int = 512, channels: int = 3) -> None:
        """Args:
        size: pixels a side, a power of two.
        width: channels inside are width / resolution, at most ``max_channels``.
        channels: channels of the pictures.
        """
        super().__init__(size=size, width=width, max_channels=max_channels, channels=channels)
        self.trunk = trunk(channels, size, width, max_channels)
        last = channels_at(4, width, max_channels)
        self.conv = Conv(last + 1, last)
        self.head = nn.Sequential(nn.Flatten(), Dense(last * 16, last, activate=True), Dense(last, 1))

    def forward(self, rgb: Tensor) -> Tensor:  # [B, channels, size, size] in [0, 1] -> [B, 1] logits, > 0 for real
        x = self.trunk(rgb * 2 - 1)
        return self.head(self.conv(torch.cat([x, _minibatch_std(x)], 1)))


def _minibatch_std(x: Tensor, group: int = 4) -> Tensor:
    """[B, 1, H, W]: mean standard deviation over groups of the batch (Karras et al. 2018)."""
    b, c, h, w = x.shape
    g = next(n for n in range(min(group, b), 0, -1) if b % n == 0)
    y = x.float().view(g, b // g, c, h, w)
    s = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    return s.to(x.dtype).repeat(g)[:, None, None, None].expand(b, 1, h, w)


def generator_loss(fake: Tensor) -> Tensor:  # [B, 1] logits of rendered pictures
    """Non-saturating loss of the generator (Goodfellow et al. 2014)."""
    return F.softplus(-fake.float()).mean()


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:  # [B, 1] logits
    """Logistic loss of the discriminator."""
    return F.softplus(-real.float()).mean() + F.softplus(fake.float()).mean()


def r1(real: Tensor, pictures: Tensor) -> Tensor:
    """R1 (Mescheder et al. 2018): half the squared gradient of the logits ``real`` [B, 1] with respect to the real
    ``pictures`` [B, 3, H, W], which require gradients."""
    (g,) = torch.autograd.grad(real.float().sum(), pictures, create_graph=True)
    return 0.5 * g.float().square().sum((1, 2, 3)).mean()
