"""E: a picture -> the style of the generator (§3.1, app. C, fig. 12a)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained import Network
from .stylegan import Conv, Dense, channels_at, trunk


class Encoder(Network):
    """StyleGAN2's discriminator with another head: RGB, mask and one channel of noise in, a vector out."""

    def __init__(self, size: int = 512, width: int = 32768, most: int = 512, style: int = 512) -> None:
        """Args:
        size: pixels a side, a power of two.
        width: channels are width / resolution, at most ``most``.
        style: length of the vector.
        """
        super().__init__(size=size, width=width, most=most, style=style)
        self.size = size
        self.trunk = trunk(5, size, width, most)
        last = channels_at(4, width, most)
        self.head = nn.Sequential(Conv(last, last), nn.Flatten(), Dense(last * 16, style, activate=True),
                                  Dense(style, style))  # fmt: skip

    def forward(
        self,
        rgb: Tensor,  # [B, 3, H, H] in [0, 1], white outside the mask; of another size than ``size``: resized
        mask: Tensor,  # [B, 1, H, H] in [0, 1]
        noise: Tensor | None = None,  # [B, 1, size, size] standard normal; None: zeros, the same vector every time
    ) -> Tensor:  # [B, style]
        x = torch.cat([rgb, mask], 1) * 2 - 1
        if x.shape[-1] != self.size:
            x = F.interpolate(x, size=(self.size, self.size), mode="area")
        noise = torch.zeros_like(x[:, :1]) if noise is None else noise
        return self.head(self.trunk(torch.cat([x, noise], 1)))
