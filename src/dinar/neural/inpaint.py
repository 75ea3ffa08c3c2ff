"""Second stage of inference (§3.4): a complete texture from a partial one, by diffusion in the VQGAN's latents."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..errors import DinarError
from ..nets.channels import FILL, SMP
from ..nets.denoiser import Denoiser
from ..nets.vqgan import VQGAN
from .blend import blend
from .condition import condition, fill_from_mirror, fill_with
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
    start: Tensor | None = None,  # [1, 3, S, S] the regressor's colours, for a denoiser that starts from them
) -> tuple[Tensor, Tensor]:
    """T [seeds, 21, S, S] of eq. 6, and T_res [seeds, 21, S, S] as decoded."""
    cond, first = encode_condition(vqgan, denoiser, partial, start)
    latents = denoise(denoiser, cond.expand(len(seeds), -1, -1, -1), seeds, sampler, steps, progress)
    restored = vqgan.decode(first + latents).float()
    return blend(restored, partial.expand(len(seeds), -1, -1, -1), inside), restored


def encode_condition(
    vqgan: VQGAN,
    denoiser: Denoiser,
    partial: Tensor,  # [B, 21, S, S]
    answer: Tensor | None = None,  # [B, 3, S, S] the regressor's colours, for a denoiser that starts from them
) -> tuple[Tensor, Tensor | float]:
    """:func:`condition` of partial textures, and the latents to which the denoiser's output is added.

    With ``residual`` those are the latents [B, 6, s, s] of :func:`fill_from_mirror`, or of the texture that is filled
    with ``answer``; without, 0.
    """
    if denoiser.config["residual"]:  # mean and std of the denoiser are of residuals, so the condition is not normalised
        if denoiser.config["start"] == "regression":
            if answer is None:
                raise DinarError(
                    "this denoiser starts from the regressor's answer: expected one; train it with --textures"
                )
            partial = torch.cat([partial[:, : SMP.start], partial[:, FILL], partial[:, FILL]], 1)
        filled = fill_from_mirror(partial) if answer is None else fill_with(partial, answer)
        start = vqgan.encode(filled).float()
        latents, normalize = start, lambda latents: latents
    else:
        start, normalize = 0.0, denoiser.normalize
        latents = normalize(vqgan.encode(partial).float())
    mirrored = normalize(vqgan.encode(mirror(partial)).float()) if denoiser.config["mirror"] else None
    return condition(partial, latents, mirrored), start
