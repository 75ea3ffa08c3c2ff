"""ε_ω: noise in latents of textures, given what the photo shows (§3.3, eq. 1; app. C)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .pretrained import Network


class Denoiser(Network):
    """diffusers' ``UNet2DModel`` with BigGAN's residual up- and downsampling and attention on all levels but the first.

    It works on latents, or with ``residual`` on differences of them, of unit variance: ``mean`` and ``std`` of those it
    was trained with are kept with the weights (:meth:`normal`, :meth:`natural`). Untouched they are 0 and 1, which is
    the paper's setting.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        latent: int = 6,
        widths: Sequence[int] = (256, 512, 768, 1024),
        blocks: int = 2,
        head: int = 0,
        dropout: float = 0.5,
        groups: int = 32,
        mirror: bool = False,
        prediction: str = "epsilon",
        residual: bool = False,
    ) -> None:
        """Args:
        latent: channels of the latents.
        widths: channels of the levels.
        blocks: residual blocks of a level.
        head: channels of an attention head; 0: 8 heads on the second level (the released system), so widths[1] / 8.
        mirror: the mirrored partial texture is another condition.
        prediction: what comes out: "epsilon", the noise (eq. 1), or "v_prediction" (Salimans and Ho 2022).
        residual: the diffusion is of what a plain fill of the holes lacks (inpaint.filled), so that knowing nothing
            means that fill, and not the mean of all people.
        """
        super().__init__(latent=latent, widths=list(widths), blocks=blocks, head=head, dropout=dropout, groups=groups,
                         mirror=mirror, prediction=prediction, residual=residual)  # fmt: skip
        from diffusers.models.unets.unet_2d import UNet2DModel

        n = len(widths)
        self.model = UNet2DModel(
            in_channels=latent + self.conditions, out_channels=latent, block_out_channels=tuple(widths),
            layers_per_block=blocks, down_block_types=("DownBlock2D",) + ("AttnDownBlock2D",) * (n - 1),
            up_block_types=("AttnUpBlock2D",) * (n - 1) + ("UpBlock2D",), downsample_type="resnet",
            upsample_type="resnet", attention_head_dim=head or widths[1] // 8, dropout=dropout, norm_num_groups=groups,
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("std", torch.ones(latent))

    @property
    def conditions(self) -> int:
        """Channels of the condition: T_c and the mask, and both mirrored where that is a condition."""
        return (self.config["latent"] + 1) * (2 if self.config["mirror"] else 1)

    def normal(self, latents: Tensor) -> Tensor:  # [B, 6, h, w] of the VQGAN -> about standard normal
        return (latents - self.mean[:, None, None]) / self.std[:, None, None]

    def natural(self, latents: Tensor) -> Tensor:  # the inverse
        return latents * self.std[:, None, None] + self.mean[:, None, None]

    def forward(
        self,
        noisy: Tensor,  # [B, 6, h, w]
        t: Tensor,  # [B] int64 in [0, 1000)
        condition: Tensor,  # [B, conditions, h, w], from inpaint.condition
    ) -> Tensor:  # [B, 6, h, w] the noise, or the velocity
        return self.model(torch.cat([noisy, condition], 1), t, return_dict=False)[0]
