"""θ: renders a picture and its mask from the rasterised neural texture (§3.1, eq. 3; app. C, fig. 12b).

Two networks have the same inputs and outputs: :class:`PaperRenderer`, and :class:`FastRenderer` with 26 times fewer
operations. ``network`` in config.json is the name of the class; :func:`load_renderer` reads both.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..arrays import read_json
from ..errors import DinarError
from .channels import CHANNELS, NUM_GENERATED, SIZES
from .pretrained import Network

PICTURE = sum(SIZES) + 3 + 3  # channels of FastRenderer's picture: T_rgb, B_smp, B_fill; UV, mask; the filled RGB
OUT = 5  # channels of FastRenderer's output: RGB, alpha, gate
RESIDUAL_GAIN = 0.2  # initial weight of a residual block's last batch norm: blocks start near the identity
GATE = 3.0  # initial logit of FastRenderer's gate where colours are known: .95; elsewhere 0: .5
ALPHA = 2.0  # initial logit of its alpha inside the body's mask: .88; outside −2: .12


def _conv(cin: int, cout: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.LeakyReLU(0.2)]


class Residual(nn.Module):
    """ResNet block: two convolutions with batch norm, and a skip connection."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout),
        )  # fmt: skip
        nn.init.constant_(cast(nn.BatchNorm2d, self.layers[-1]).weight, RESIDUAL_GAIN)
        self.skip = nn.Identity() if cin == cout and stride == 1 else nn.Conv2d(cin, cout, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.layers(x))


class PaperRenderer(Network):
    """App. C: a stem for each of three inputs, a U-Net of ResNet blocks with 3 levels, heads for RGB and mask.

    App. C states 19 M parameters but no widths. The widths are those of the released system: 64, three halvings with
    strided convolutions, 3 blocks in the middle, 16 features before the heads.
    """

    def __init__(self, width: int = 64, stems: Sequence[int] = (32, 8, 4), out: int = 16) -> None:
        super().__init__(width=width, stems=list(stems), out=out)
        w = width
        self.stems = nn.ModuleList(nn.Sequential(*_conv(c, s), *_conv(s, s))
                                   for c, s in zip((CHANNELS, 2, 1), stems, strict=True))  # fmt: skip
        self.start = nn.Sequential(*_conv(sum(stems), w))
        self.down = nn.ModuleList(nn.Sequential(*_conv(w * 2**i, w * 2 ** (i + 1), 2)) for i in range(3))
        self.middle = nn.Sequential(*(Residual(8 * w, 8 * w) for _ in range(3)))
        self.up = nn.ModuleList(Residual(12 * w >> i, 4 * w >> i) for i in range(3))
        self.last = nn.Sequential(*_conv(w, out))
        self.heads = nn.ModuleList(nn.Sequential(*_conv(out, out), nn.Conv2d(out, c, 3, 1, 1)) for c in (3, 1))

    def forward(
        self,
        texture: Tensor,  # [B, 21, H, W] rasterised neural texture, 0 outside the body; H, W multiples of 8
        uv: Tensor,  # [B, 2, H, W] UV render in [0, 1], 0 outside the body
        mask: Tensor,  # [B, 1, H, W] in [0, 1] the share of each pixel that the body covers
    ) -> tuple[Tensor, Tensor]:
        """RGB [B, 3, H, W] and alpha [B, 1, H, W] of the whole person, both in [0, 1]."""
        inputs = (texture, torch.where(mask > 0.5, uv, -1.0), mask)
        x = self.start(torch.cat([stem(x) for stem, x in zip(self.stems, inputs, strict=True)], 1))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up in self.up:
            x = up(torch.cat([F.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], 1))
        x = self.last(x)
        rgb, alpha = self.heads[0](x), self.heads[1](x)
        return (torch.tanh(rgb) + 1) / 2, torch.sigmoid(alpha)


class FastRenderer(Network):
    """A renderer with the paper's interface and fewer operations (benchmarks/renderer.py).

    Two strided convolutions reduce T_gen and the picture (colours, masks, UV) by the factor ``unshuffle``. A residual
    U-Net with additive skips follows. Its last convolution outputs all pixels of a block as channels (pixel shuffle); a
    third strided convolution of the picture is added to them. So no tensor with many channels has full resolution.

    The sampled RGB bypasses the U-Net: its holes are filled by push-pull, and RGB = g · filled + (1 − g) · network. The
    gate g is initially .95 where colours are known, so that the photo's colours are copied, and .5 elsewhere.
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 192, 384),
        blocks: Sequence[int] | int = (1, 1, 2, 2),
        unshuffle: int = 4,
    ) -> None:
        """Args:
        widths: channels of the U-Net's levels, each half the size of the one before.
        blocks: residual blocks of each level, in the encoder and in the decoder; one number: of all levels.
        unshuffle: ratio of the sizes of picture and first level.
        """
        blocks = [blocks] * len(widths) if isinstance(blocks, int) else list(blocks)
        super().__init__(widths=list(widths), blocks=blocks, unshuffle=unshuffle)
        if len(blocks) != len(widths) or min(blocks) < 1:
            raise DinarError(f"expected blocks >= 1 for each of {len(widths)} widths, got {blocks}")
        r, w = unshuffle, list(widths)
        self.r = r
        self.features = nn.Sequential(nn.Conv2d(NUM_GENERATED, w[0], r, r, bias=False), nn.BatchNorm2d(w[0]))
        # kernel: a block and one pixel on each side
        self.picture = nn.Sequential(nn.Conv2d(PICTURE, w[0], r + 2, r, 1, bias=False), nn.BatchNorm2d(w[0]))
        before = [w[0], *w[:-1]]
        self.down = nn.ModuleList(
            nn.Sequential(Residual(b, c, 1 if i == 0 else 2), *(Residual(c, c) for _ in range(n - 1)))
            for i, (b, c, n) in enumerate(zip(before, w, blocks, strict=True))
        )
        self.lift = nn.ModuleList(nn.Conv2d(b, c, 1) for b, c in zip(w[:0:-1], w[-2::-1], strict=True))
        self.up = nn.ModuleList(
            nn.Sequential(*(Residual(c, c) for _ in range(n))) for c, n in zip(w[-2::-1], blocks[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(w[0], OUT * r * r, 3, 1, 1)
        self.detail = nn.Conv2d(PICTURE, OUT * r * r, r + 2, r, 1, bias=False)
        with torch.no_grad():  # initially, gate and alpha are the logits that are added below
            for t in (self.head.weight, self.head.bias, self.detail.weight):
                cast(Tensor, t)[3 * r * r :] = 0

    def forward(
        self,
        texture: Tensor,  # [B, 21, H, W] rasterised neural texture, 0 outside the body; H, W multiples of 32
        uv: Tensor,  # [B, 2, H, W] UV render in [0, 1], 0 outside the body
        mask: Tensor,  # [B, 1, H, W] in [0, 1] the share of each pixel that the body covers
    ) -> tuple[Tensor, Tensor]:
        """RGB [B, 3, H, W] and alpha [B, 1, H, W], both in [0, 1]."""
        own, alpha, gate, filled = self.layers(texture, uv, mask)
        return gate * filled + (1 - gate) * own, alpha

    def layers(self, texture: Tensor, uv: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The layers of the picture: the network's RGB [B, 3, H, W], alpha, gate [B, 1, H, W], the filled RGB.

        :func:`dinar.neural.render.render` enlarges the first three and replaces the filled RGB.
        """
        generated, rgb, smp, fill = texture.split([NUM_GENERATED, *SIZES], 1)
        known = mask * fill
        filled = push_pull(rgb, known)
        picture = torch.cat([rgb, smp, fill, (uv - 0.5) * mask, mask, filled], 1)
        y = F.relu(self.features(generated) + self.picture(picture))
        skips = []
        for down in self.down:
            y = down(y)
            skips.append(y)
        skips.pop()
        for lift, up in zip(self.lift, self.up, strict=True):
            y = up(F.interpolate(lift(y), scale_factor=2, mode="nearest") + skips.pop())
        y = F.pixel_shuffle(self.head(y) + self.detail(picture), self.r)
        alpha = torch.sigmoid(y[:, 3:4] + ALPHA * (2 * mask - 1))
        return torch.sigmoid(y[:, :3]), alpha, torch.sigmoid(y[:, 4:5] + GATE * known), filled


def push_pull(
    colour: Tensor,  # [B, C, H, W]
    known: Tensor,  # [B, 1, H, W] in [0, 1]; over .5: the colour is known
) -> Tensor:  # [B, C, H, W]
    """Fill unknown pixels from a pyramid of averages of known ones (Gortler et al. 1996); known ones are unchanged."""
    k = (known > 0.5).to(colour.dtype)
    levels = [(colour * k, k)]
    while all(n % 2 == 0 and n > 4 for n in levels[-1][0].shape[2:]):
        levels.append((F.avg_pool2d(levels[-1][0], 2), F.avg_pool2d(levels[-1][1], 2)))
    c, w = levels[-1]
    mean = c.mean((2, 3), keepdim=True) / (w.mean((2, 3), keepdim=True) + 1e-4)
    out = torch.where(w > 1e-4, c / (w + 1e-4), mean)
    for c, w in levels[-2::-1]:
        out = F.interpolate(out, scale_factor=2, mode="bilinear")
        out = c + (1 - w) * out  # c is premultiplied by w
    return out


def folded(renderer: Renderer) -> Renderer:
    """A copy for inference with batch norms folded into the convolutions before them."""
    out = copy.deepcopy(renderer).eval().requires_grad_(False)
    for block in [m for m in out.modules() if isinstance(m, nn.Sequential)]:
        for i, (a, b) in enumerate(pairwise(list(block))):
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d):
                block[i], block[i + 1] = fuse_conv_bn_eval(a, b), nn.Identity()
    return out


Renderer = PaperRenderer | FastRenderer


def load_renderer(folder: str | Path) -> Renderer:
    """Either layout from a folder with weights."""
    config = read_json(Path(folder) / "config.json", what="the options of a renderer")
    paper = isinstance(config, dict) and config.get("network") == PaperRenderer.__name__
    return (PaperRenderer if paper else FastRenderer).from_pretrained(folder)
