"""Costs of the networks: parameters, and multiply-adds of one forward pass, counted on the meta device."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from .channels import CHANNELS
from .denoiser import Denoiser
from .discriminator import Discriminator
from .encoder import Encoder
from .generator import Generator
from .presets import NAMES, PICTURE, PRESETS, TEXTURE, build, parameters
from .pretrained import Network
from .renderer import FastRenderer, PaperRenderer
from .vqgan import VQGAN


def example(net: Network, picture: int, texture: int) -> tuple[Tensor, ...]:
    """Zero inputs of a network, a batch of one, on its device; ``picture`` pixels and ``texture`` texels a side."""
    device = next(net.parameters()).device
    t = lambda *shape: torch.zeros(1, *shape, device=device)  # noqa: E731
    if isinstance(net, Encoder):
        n = net.config["size"]
        return t(3, n, n), t(1, n, n)
    if isinstance(net, Generator):
        return (torch.zeros(1, net.config["style"], device=device),)
    if isinstance(net, Discriminator):
        return (t(3, net.config["size"], net.config["size"]),)
    if isinstance(net, VQGAN):
        return (t(net.config["channels"], texture, texture),)
    if isinstance(net, Denoiser):
        n = texture // 4
        return t(net.config["latent"], n, n), torch.zeros(1, dtype=torch.long, device=device), t(net.conditions, n, n)
    assert isinstance(net, PaperRenderer | FastRenderer)
    return t(CHANNELS, picture, picture), t(2, picture, picture), t(1, picture, picture)


def gmacs(net: Network, picture: int, texture: int) -> float:
    """10⁹ multiply-adds of one forward pass of one sample."""
    with torch.no_grad(), FlopCounterMode(display=False) as count:
        net(*example(net, picture, texture))
    return count.get_total_flops() / 2e9


def costs(preset: str) -> list[tuple[str, float, float]]:
    """(network, millions of parameters, GMACs) of a preset."""
    rows = []
    for name in NAMES:
        with torch.device("meta"):
            net = build(preset, name).eval().requires_grad_(False)
        rows.append((name, parameters(net) / 1e6, gmacs(net, PICTURE[preset], TEXTURE[preset])))
    return rows


def table() -> str:
    """Markdown table with two columns for each preset."""
    found = {p: {name: (m, g) for name, m, g in costs(p)} for p in PRESETS}
    lines = ["| network | " + " | ".join(f"{p}: M parameters | GMAC" for p in PRESETS) + " |",
             "| --- |" + " --- |" * (2 * len(PRESETS))]  # fmt: skip
    for name in NAMES:
        lines.append(f"| {name} | " + " | ".join("{:.2f} | {:.2f}".format(*found[p][name]) for p in PRESETS) + " |")
    return "\n".join([*lines, "", "GMAC of one sample: pictures " + ", ".join(f"{p} {PICTURE[p]}²" for p in PRESETS)
                      + "; textures " + ", ".join(f"{p} {TEXTURE[p]}²" for p in PRESETS) + "; one step of the "
                      "denoiser."])  # fmt: skip
