"""The second stage of inference (§3.4): a complete texture from a partial one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from ..texture.neural import mirror
from .blend import blend
from .condition import condition
from .sampler import denoise


@torch.no_grad()
def inpaint(
    vqgan: VQGAN,
    denoiser: Denoiser,
    partial: Tensor,  # [1, 21, S, S] T^j of the front view
    seeds: Sequence[int] = (0,),  # one a sample: several backs to choose from
    inside: Tensor | None = None,  # [S, S] bool, texels in an island: soft borders
    sampler: str = "dpm++",
    steps: int | None = None,  # None: those the sampler is meant for
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """T [seeds, 21, S, S] of eq. 6, and T_res, as decoded."""
    told = encode_condition(vqgan, denoiser, partial).expand(len(seeds), -1, -1, -1)
    restored = vqgan.decode(denoise(denoiser, told, seeds, sampler, steps, progress)).float()
    return blend(restored, partial.expand(len(seeds), -1, -1, -1), inside), restored


def encode_condition(vqgan: VQGAN, denoiser: Denoiser, partial: Tensor) -> Tensor:  # [B, 21, S, S]
    """:func:`condition` through the VQGAN's encoder, in the denoiser's units."""
    latents = denoiser.normal(vqgan.encode(partial).float())
    mirrored = denoiser.normal(vqgan.encode(mirror(partial)).float()) if denoiser.config["mirror"] else None
    return condition(partial, latents, mirrored)
