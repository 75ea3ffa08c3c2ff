"""Sizes of all networks in one table of presets.

``nano`` trains in minutes on a CPU and is used by tests. ``base`` is shipped. ``paper`` has the published sizes
(app. C). ``python -m dinar.nets`` prints parameters and operations.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from ..errors import DinarError
from .denoiser import Denoiser
from .discriminator import Discriminator
from .encoder import Encoder
from .generator import Generator
from .pretrained import Network
from .regressor import TextureRegressor
from .renderer import FastRenderer, PaperRenderer
from .vqgan import VQGAN

Made = tuple[type[Network], dict[str, Any]]

# Pixels a side of the pictures and texels a side of the texture of each preset.
PICTURE = {"nano": 128, "base": 512, "paper": 512}
TEXTURE = {"nano": 64, "base": 256, "paper": 256}

PRESETS: dict[str, dict[str, Made]] = {
    "nano": {
        "encoder": (Encoder, dict(size=64, width=1024, max_channels=64, style=64)),
        "generator": (Generator, dict(size=64, width=1024, max_channels=48, style=64)),
        "renderer": (FastRenderer, dict(widths=[32, 48, 64], blocks=1, unshuffle=2)),
        "discriminator": (Discriminator, dict(size=128, width=2048, max_channels=64)),
        "vqgan": (VQGAN, dict(widths=[16, 32, 48], blocks=1, num_embeddings=1024, groups=8, size=64, linear=True)),
        "denoiser": (Denoiser, dict(widths=[32, 64, 96], blocks=1, head_dim=16, dropout=0.1, groups=8, mirror=True,
                               prediction="v_prediction", residual=True)),
        "regressor": (TextureRegressor, dict(widths=[16, 24, 32], size=64)),
    },
    "base": {  # 13.4 M parameters without D; with the parser less than 32 MiB of fp16
        "encoder": (Encoder, dict(size=256, width=4096, max_channels=80, style=128)),
        "generator": (Generator, dict(size=256, width=4096, max_channels=80, style=128)),
        "renderer": (FastRenderer, dict(widths=[48, 96, 192, 384], blocks=[1, 1, 2, 2], unshuffle=4)),
        "discriminator": (Discriminator, dict(size=512, width=16384, max_channels=256)),
        "vqgan": (VQGAN, dict(widths=[32, 48, 64], blocks=1, groups=16, linear=True)),
        "denoiser": (Denoiser, dict(widths=[48, 64, 96], blocks=1, head_dim=16, dropout=0.1, groups=16, mirror=True,
                               prediction="v_prediction", residual=True)),
        "regressor": (TextureRegressor, {}),
    },
    "paper": {
        "encoder": (Encoder, {}), "generator": (Generator, {}), "renderer": (PaperRenderer, {}),
        "discriminator": (Discriminator, {}), "vqgan": (VQGAN, {}), "denoiser": (Denoiser, {}),
        "regressor": (TextureRegressor, dict(widths=[64, 128, 192, 256, 256], size=256)),
    },
}  # fmt: skip

NAMES = tuple(n for n in PRESETS["paper"] if n != "regressor")
"""Networks of the four stages, which one folder of weights holds."""


def build(preset: str, name: str, **changes: Any) -> Network:
    """A network of the table with random weights; ``changes`` replace its arguments."""
    if preset not in PRESETS or name not in PRESETS[preset]:
        raise DinarError(f"expected a preset of {', '.join(PRESETS)} and a network of {', '.join(NAMES)}, got "
                         f"{preset} {name}")  # fmt: skip
    kind, arguments = PRESETS[preset][name]
    return kind(**{**arguments, **changes})


def parameters(module: nn.Module) -> int:
    """Number of parameters."""
    return sum(p.numel() for p in module.parameters())
