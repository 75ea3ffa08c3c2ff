"""A network that hears visemes: convolutions over time, from mel bands to the shape of the mouth of every frame."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .pretrained import Network

DILATIONS = (1, 2, 4, 8, 1)  # of the blocks: one sees 17 frames, all of them 330 ms


class VisemeNet(Network):
    """[B, bands, T] -> logits [B, visemes, T]."""

    def __init__(self, bands: int = 41, width: int = 64, visemes: int = 15, dropout: float = 0.1) -> None:
        super().__init__(bands=bands, width=width, visemes=visemes, dropout=dropout)
        self.start = nn.Conv1d(bands, width, 5, padding=2)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.BatchNorm1d(width), nn.SiLU(), nn.Conv1d(width, width, 3, padding=d, dilation=d),
                          nn.BatchNorm1d(width), nn.SiLU(), nn.Dropout(dropout), nn.Conv1d(width, width, 1))
            for d in DILATIONS
        )  # fmt: skip
        self.end = nn.Conv1d(width, visemes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.start(x)
        for block in self.blocks:
            x = x + block(x)
        return self.end(F.silu(x))
