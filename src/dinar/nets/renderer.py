"""θ: the rasterised neural texture -> picture and mask (§3.1, eq. 3; app. C, fig. 12b).

Two networks with the same inputs and outputs: the paper's, and one made for speed, 26 times fewer operations.
``layout`` in the configuration tells which; :func:`load_renderer` reads either.
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

from ..errors import DinarError
from .pretrained import Network

CHANNELS, GENERATED = 21, 16  # of the texture: 16 generated, 3 sampled RGB, B_smp, B_fill
PICTURE = CHANNELS - GENERATED + 3 + 3  # channels of the fast layout's picture: those, UV, mask, the filled RGB
OUT = 5  # channels of its output: RGB, alpha, gate
GATE = 3.0  # logit by which its gate starts from known colours: .95 of them
ALPHA = 2.0  # logit by which its alpha starts from the body: .88 on it, .12 beside it


def _conv(cin: int, cout: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.LeakyReLU(0.2)]


class Residual(nn.Module):
    """ResNet block: two convolutions with BatchNorm, and a skip."""

    def __init__(self, cin: int, cout: int, stride: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU(),
            nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout),
        )  # fmt: skip
        nn.init.constant_(cast(nn.BatchNorm2d, self.layers[-1]).weight, 0.2)  # starts near the identity
        self.skip = nn.Identity() if cin == cout and stride == 1 else nn.Conv2d(cin, cout, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.skip(x) + self.layers(x))


class PaperRenderer(Network):
    """App. C: a stem for each of three inputs, a U-Net of ResNet blocks with 3 levels, heads for RGB and mask.

    App. C gives no widths; those of the released system (64, three halvings, 3 blocks in the middle, 16 features out)
    with strided convolutions downwards give its 19 M parameters.
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
        """RGB [B, 3, H, W] and alpha [B, 1, H, W], both in [0, 1]; alpha includes the body (the released system)."""
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
    """The paper's interface at a fraction of its cost (benchmarks/renderer.py).

    Two strided convolutions bring the texture's features and the picture (colours, masks, UV) to a quarter of their
    size; a residual U-Net with sums for skips follows, whose channels double where its pixels quarter, so that a block
    costs the same on every level. Nothing with many channels ever exists at full size: the U-Net's last convolution
    gives all pixels of a block at once, a third strided convolution adds what the picture itself says about each of
    them. The sampled RGB takes a short cut: its holes are filled by push-pull, and RGB = g · filled + (1 − g) · net
    with a gate g that starts at .95 where the colours are known, so the network begins with the photo's own instead of
    having to learn to copy them, and at .5 elsewhere, so that it learns there.
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 192, 384),
        blocks: Sequence[int] | int = (1, 1, 2, 2),
        unshuffle: int = 4,
    ) -> None:
        """Args:
        widths: channels of the U-Net's levels, each half the size of the one before.
        blocks: residual blocks of each level, on the way down and again on the way up; one number: of all levels.
        unshuffle: factor between picture and first level.
        """
        blocks = [blocks] * len(widths) if isinstance(blocks, int) else list(blocks)
        super().__init__(widths=list(widths), blocks=blocks, unshuffle=unshuffle)
        if len(blocks) != len(widths) or min(blocks) < 1:
            raise DinarError(f"expected blocks >= 1 for each of {len(widths)} widths, got {blocks}")
        r, w = unshuffle, list(widths)
        self.r = r
        self.features = nn.Sequential(nn.Conv2d(GENERATED, w[0], r, r, bias=False), nn.BatchNorm2d(w[0]))
        # a block and one pixel of its neighbours on every side
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
        with torch.no_grad():  # gate and alpha start at what is added to them below
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
        """What the picture is mixed of: the network's RGB, alpha, the gate, the filled RGB. A picture larger than the
        network's takes them enlarged, and its own filled RGB (``dinar.learned.draw``)."""
        generated, rgb, smp, fill = texture.split([GENERATED, 3, 1, 1], 1)
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
) -> Tensor:
    """Unknown pixels from a pyramid of averages of the known ones; known pixels stay as they are."""
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
    """A copy for inference alone: every convolution has taken in the batch norm after it."""
    out = copy.deepcopy(renderer).eval().requires_grad_(False)
    for block in [m for m in out.modules() if isinstance(m, nn.Sequential)]:
        for i, (a, b) in enumerate(pairwise(list(block))):
            if isinstance(a, nn.Conv2d) and isinstance(b, nn.BatchNorm2d):
                block[i], block[i + 1] = fuse_conv_bn_eval(a, b), nn.Identity()
    return out


LAYOUTS: dict[str, type[PaperRenderer] | type[FastRenderer]] = {"paper": PaperRenderer, "fast": FastRenderer}
Renderer = PaperRenderer | FastRenderer


def load_renderer(folder: str | Path) -> Renderer:
    """Either layout from a folder with weights."""
    import json

    path = Path(folder) / "config.json"
    kind = json.loads(path.read_text()).get("network") if path.is_file() else None
    return (PaperRenderer if kind == PaperRenderer.__name__ else FastRenderer).from_pretrained(folder)
