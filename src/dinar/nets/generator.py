"""G: generates T_gen, the 16 feature channels of the neural texture, from a style vector (§3.1, app. C)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .channels import NUM_GENERATED
from .pretrained import Network
from .stylegan import ModulatedConv, Styled, channels_at, normal


class Generator(Network):
    """StyleGAN2's generator with skip connections.

    The vector is the style of every layer; the encoder replaces the mapping network. Noise enters in the encoder
    (app. C), so the texture is a function of the vector.
    """

    def __init__(
        self,
        size: int = 256,
        channels: int = NUM_GENERATED,
        width: int = 32768,
        max_channels: int = 512,
        style: int = 512,
    ) -> None:
        """Args:
        size: texels a side, a power of two.
        channels: channels of the texture.
        width: channels inside are width / resolution, at most ``max_channels``.
        style: length of the vector.
        """
        super().__init__(size=size, channels=channels, width=width, max_channels=max_channels, style=style)
        c = channels_at(4, width, max_channels)
        self.start = nn.Parameter(normal(1, c, 4, 4))
        self.first = Styled(c, c, style)
        self.out = nn.ModuleList([ModulatedConv(c, channels, 1, style, demodulate=False)])
        self.up, self.conv = nn.ModuleList(), nn.ModuleList()
        n = 8
        while n <= size:
            d = channels_at(n, width, max_channels)
            self.up.append(Styled(c, d, style, up=True))
            self.conv.append(Styled(d, d, style))
            self.out.append(ModulatedConv(d, channels, 1, style, demodulate=False))
            c, n = d, n * 2
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, style: Tensor) -> Tensor:  # [B, style] -> [B, channels, size, size]
        style = style * (style.float().square().mean(1, keepdim=True) + 1e-8).rsqrt().to(style.dtype)
        x = self.first(self.start.expand(len(style), -1, -1, -1), style)
        texture = self.out[0](x, style)
        for up, conv, out in zip(self.up, self.conv, self.out[1:], strict=True):
            x = conv(up(x, style), style)
            texture = F.interpolate(texture, scale_factor=2, mode="bilinear") + out(x, style)
        return texture + self.bias[:, None, None]
