"""An EfficientNet-Lite0 encoder (Tan & Le 2019, without squeeze-and-excitation and with ReLU6, as Google published it)
and a light feature pyramid down to stride 2: what the parser and the surface network share.

Hints about the person enter at stride 4: heat maps of keypoints, or a mask.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..errors import DinarError
from .pretrained import Network

P = TypeVar("P", bound="Pyramid")

# kernel, stride, expansion, channels, blocks: table 1 of the EfficientNet paper; Lite keeps the stem at 32.
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
TAPS = (0, 1, 2, 4, 6)  # the last stage of strides 2, 4, 8, 16, 32


class Depthwise(nn.Conv2d):
    """In float32 even under bf16 on a CPU, whose depthwise gradients are 4 to 20 times slower in bf16 (torch 2.13): a
    training step costs .63 s this way, .90 s all in float32, 1.24 s all in bf16 (8 crops of 256x176, one AMX core)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.to(self.weight.dtype))


def _conv(cin: int, cout: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    kind = Depthwise if groups > 1 else nn.Conv2d
    conv = kind(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)]


class InvertedResidual(nn.Module):
    """Expand, depthwise, project (MobileNetV2), with a skip where shapes allow."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        mid = cin * expansion
        expand = [*_conv(cin, mid), nn.ReLU6(inplace=True)] if expansion > 1 else []
        self.layers = nn.Sequential(*expand, *_conv(mid, mid, kernel, stride, mid), nn.ReLU6(inplace=True),
                                    *_conv(mid, cout))  # fmt: skip
        self.skip = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.skip else self.layers(x)


class Pyramid(Network):
    """Picture and hints -> features at half the picture's size."""

    def __init__(
        self,
        widths: Sequence[int],  # channels of the pyramid at strides 2, 4, 8, 16, 32
        hints: int,  # channels
        gain: float = 1.0,  # of the hints in the encoder, whose features have a deviation of about 9 there
        again: bool = False,  # the hints enter the pyramid at strides 4, 8 and 16, too
        **config: Any,
    ) -> None:
        super().__init__(widths=list(widths), **config)
        self.stem = nn.Sequential(*_conv(3, 32, 3, 2), nn.ReLU6(inplace=True))
        self.stages, taps, c = nn.ModuleList(), [], 32
        for i, (kernel, stride, expansion, cout, n) in enumerate(STAGES):
            blocks = [InvertedResidual(c if j == 0 else cout, cout, kernel, stride if j == 0 else 1, expansion)
                      for j in range(n)]  # fmt: skip
            self.stages.append(nn.Sequential(*blocks))
            c = cout
            taps += [c] if i in TAPS else []
        self.pose = nn.Conv2d(hints, taps[1], 3, padding=1)
        for p in self.pose.parameters():
            nn.init.zeros_(p)  # starts as the network that ImageNet trained
        self.lateral = nn.ModuleList(nn.Conv2d(t, w, 1) for t, w in zip(taps, widths, strict=True))
        self.up = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in pairwise(widths))
        self.fuse = nn.ModuleList(
            nn.Sequential(nn.Conv2d(w, w, 3, padding=1, bias=False), nn.BatchNorm2d(w, momentum=0.05), nn.ReLU(True))
            for w in widths[:-1]
        )
        self.hinted = nn.ModuleList(nn.Conv2d(hints, w, 3, padding=1) for w in widths[1:4] if again)
        self.gain, self.frozen = gain, 0

    def freeze(self, stages: int) -> None:
        """Keep the stem and so many stages as ImageNet left them: the costliest to train, and edges are edges."""
        self.frozen = stages
        for module in (self.stem, *self.stages[:stages]):
            module.requires_grad_(False)

    def train(self: P, mode: bool = True) -> P:
        """The encoder's batch statistics stay ImageNet's: batches here are small."""
        super().train(mode)
        self.stem.eval()
        self.stages.eval()
        return self

    def fold(self: P) -> P:
        """For inference: every convolution takes in the batch norm after it (in place)."""
        for block in self.modules():
            if isinstance(block, nn.Sequential):
                for i, (a, b) in enumerate(pairwise(list(block))):
                    if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d):
                        block[i], block[i + 1] = fuse_conv_bn_eval(a, b), nn.Identity()
        return self

    def encoder(self) -> list[nn.Parameter]:
        return [p for p in (*self.stem.parameters(), *self.stages.parameters()) if p.requires_grad]

    def encode(self, rgb: Tensor, hints: Tensor | None = None) -> list[Tensor]:
        """The encoder's features at strides 2, 4, 8, 16 and 32; arguments as of :meth:`features`."""
        features, x = [], rgb
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.stem(x)
        for i, stage in enumerate(self.stages):
            with torch.set_grad_enabled(torch.is_grad_enabled() and i >= self.frozen):
                x = stage(x)
            if i == 1 and hints is not None:
                x = x + self.pose(self.gain * hints)
            if i in TAPS:
                features.append(x)
        return features

    def features(
        self,
        rgb: Tensor,  # [B, 3, H, W] in [-1, 1], sRGB; H and W multiples of 16
        hints: Tensor,  # [B, hints, H/4, W/4] in [0, 1]
    ) -> tuple[Tensor, Tensor]:
        """[B, widths[0], H/2, W/2] of the pyramid, and [B, 320, H/32, W/32] of the encoder."""
        features = self.encode(rgb, hints)
        levels = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        for i, conv in enumerate(self.hinted, 1):
            levels[i] = levels[i] + conv(F.adaptive_avg_pool2d(hints, levels[i].shape[2:]))
        y = levels[-1]
        for x, up, fuse in list(zip(levels, self.up, self.fuse, strict=False))[::-1]:
            y = fuse(x + F.interpolate(up(y), size=x.shape[2:], mode="bilinear"))
        return y, features[-1]

    def load_imagenet(self, weights: bytes) -> None:
        """Start the encoder from EfficientNet-Lite0's published weights (asset ``efficientnet-lite0.pth``)."""
        theirs = torch.load(io.BytesIO(weights), "cpu", weights_only=True)  # tensors only; the asset's hash is pinned
        used = [k for k in theirs if k.startswith(("_conv_stem", "_bn0", "_blocks"))]
        ours = [(k, v) for m in (self.stem, *self.stages) for k, v in m.state_dict(keep_vars=True).items()]
        if len(used) != len(ours) or any(theirs[a].shape != b.shape for a, (_, b) in zip(used, ours, strict=True)):
            raise DinarError(f"expected the weights of EfficientNet-Lite0 ({len(ours)} tensors)")
        with torch.no_grad():
            for a, (_, b) in zip(used, ours, strict=True):  # both list convolutions and norms in the order of use
                b.copy_(theirs[a])


def pyramid_optimizer(net: Pyramid, lr: float, encoder_lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW for a pyramid: the encoder learns at ``encoder_lr`` times the rate of the rest. Frozen stages stay."""
    encoder = net.encoder()
    known = {id(p) for p in encoder}
    rest = [p for p in net.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": rest, "lr": lr}, {"params": encoder, "lr": lr * encoder_lr}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.99), weight_decay=weight_decay)
