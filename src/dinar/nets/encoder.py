"""E: encodes a picture into the style vector of the generator (§3.1, app. C, fig. 12a)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained import Network
from .stylegan import Conv, Dense, channels_at, trunk


class Encoder(Network):
    """StyleGAN2's discriminator with another head. Input: RGB, mask and one channel of noise; output: a vector."""

    def __init__(self, size: int = 512, width: int = 32768, max_channels: int = 512, style: int = 512) -> None:
        """Args:
        size: pixels a side, a power of two.
        width: channels inside are width / resolution, at most ``max_channels``.
        style: length of the vector.
        """
        super().__init__(size=size, width=width, max_channels=max_channels, style=style)
        self.size = size
        self.trunk = trunk(5, size, width, max_channels)
        last = channels_at(4, width, max_channels)
        self.head = nn.Sequential(Conv(last, last), nn.Flatten(), Dense(last * 16, style, activate=True),
                                  Dense(style, style))  # fmt: skip

    def forward(
        self,
        rgb: Tensor,  # [B, 3, H, H] in [0, 1], white outside the mask; resized if H is not ``size``
        mask: Tensor,  # [B, 1, H, H] in [0, 1]
        noise: Tensor | None = None,  # [B, 1, size, size] standard normal; None: zeros (deterministic)
    ) -> Tensor:  # [B, style]
        x = torch.cat([rgb, mask], 1) * 2 - 1
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="area")
        noise = torch.zeros_like(x[:, :1]) if noise is None else noise
        return self.head(self.trunk(torch.cat([x, noise], 1)))
