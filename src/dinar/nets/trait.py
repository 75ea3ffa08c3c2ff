"""A trait of a person, from features of the parser's encoder (not in the paper).

A linear function: a few hundred labelled photos are enough for it, because the parser knows what people wear.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .pretrained import Network

TAPS = (3, 4)  # features of the encoder that are read: strides 16 and 32, 112 and 320 channels
FEATURES = 2 * (112 + 320)  # of one crop; mean and maximum of each channel


class Trait(Network):
    """Features of crops of the person -> the logit of the trait."""

    def __init__(self, features: int) -> None:
        super().__init__(features=features)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.linear = nn.Linear(features, 1)

    def forward(self, x: Tensor) -> Tensor:  # [B, features] -> [B]
        return self.linear((x - self.mean) / self.std)[:, 0]
