"""The second stage of inference (§3.4): a complete texture from a partial one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from .blend import blend
from .condition import condition, filled
from .sampler import denoise
from .texture import mirror


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
    told, start = encode_condition(vqgan, denoiser, partial)
    found = denoise(denoiser, told.expand(len(seeds), -1, -1, -1), seeds, sampler, steps, progress)
    restored = vqgan.decode(start + found).float()
    return blend(restored, partial.expand(len(seeds), -1, -1, -1), inside), restored


def encode_condition(vqgan: VQGAN, denoiser: Denoiser, partial: Tensor) -> tuple[Tensor, Tensor | float]:
    """:func:`condition` of partial textures [B, 21, S, S] through the VQGAN's encoder, and the latents [B, 6, s, s]
    from which the denoiser's are differences; 0 where they are none."""
    if denoiser.config["residual"]:  # what it works on has other units than what it is told
        start = vqgan.encode(filled(partial)).float()
        told, normal = start, lambda latents: latents
    else:
        start, normal = 0.0, denoiser.normal
        told = normal(vqgan.encode(partial).float())
    mirrored = normal(vqgan.encode(mirror(partial)).float()) if denoiser.config["mirror"] else None
    return condition(partial, told, mirrored), start
