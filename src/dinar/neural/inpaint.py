"""Second stage of inference (§3.4): a complete texture from a partial one, by diffusion in the VQGAN's latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from .blend import blend
from .condition import condition, fill_from_mirror
from .sampler import denoise
from .texture import mirror


@torch.no_grad()
def inpaint(
    vqgan: VQGAN,
    denoiser: Denoiser,
    partial: Tensor,  # [1, 21, S, S] T^j of the front view
    seeds: Sequence[int] = (0,),  # one for each sample
    inside: Tensor | None = None,  # [S, S] bool, texels in an island of the atlas: soft borders in eq. 6
    sampler: str = "dpm++",
    steps: int | None = None,  # None: the sampler's default
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Tensor, Tensor]:
    """T [seeds, 21, S, S] of eq. 6, and T_res [seeds, 21, S, S] as decoded."""
    cond, start = encode_condition(vqgan, denoiser, partial)
    latents = denoise(denoiser, cond.expand(len(seeds), -1, -1, -1), seeds, sampler, steps, progress)
    restored = vqgan.decode(start + latents).float()
    return blend(restored, partial.expand(len(seeds), -1, -1, -1), inside), restored


def encode_condition(vqgan: VQGAN, denoiser: Denoiser, partial: Tensor) -> tuple[Tensor, Tensor | float]:
    """:func:`condition` of partial textures [B, 21, S, S], and the latents to which the denoiser's output is added.

    With ``residual`` those are the latents [B, 6, s, s] of :func:`fill_from_mirror`; without, 0.
    """
    if denoiser.config["residual"]:  # mean and std of the denoiser are of residuals, so the condition is not normalised
        start = vqgan.encode(fill_from_mirror(partial)).float()
        latents, normalize = start, lambda latents: latents
    else:
        start, normalize = 0.0, denoiser.normalize
        latents = normalize(vqgan.encode(partial).float())
    mirrored = normalize(vqgan.encode(mirror(partial)).float()) if denoiser.config["mirror"] else None
    return condition(partial, latents, mirrored), start
