"""ε_ω: the denoiser of the inpainting model, in the VQGAN's latent space (§3.3, eq. 1; app. C)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .pretrained import Network


class Denoiser(Network):
    """diffusers' ``UNet2DModel`` with BigGAN's residual up- and downsampling and attention on all levels but the first.

    It denoises latents of unit variance (:meth:`normalize`, :meth:`denormalize`). The buffers ``mean`` and ``std`` are
    those of the training latents; 0 and 1, their initial values, give the paper's setting.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        latent: int = 6,
        widths: Sequence[int] = (256, 512, 768, 1024),
        blocks: int = 2,
        head_dim: int = 0,
        dropout: float = 0.5,
        groups: int = 32,
        mirror: bool = False,
        prediction: str = "epsilon",
        residual: bool = False,
        start: str = "mirror",
    ) -> None:
        """Args:
        latent: channels of the latents.
        widths: channels of the levels.
        blocks: residual blocks of a level.
        head_dim: channels of an attention head; 0: widths[1] / 8 (the released system).
        mirror: the condition also contains the mirrored partial texture (not in the paper).
        prediction: the output: "epsilon", the noise (eq. 1), or "v_prediction", the velocity (Salimans and Ho 2022).
        residual: diffuse the difference of the latents to those of a texture without holes (not in the paper).
        start: how those holes are filled: "mirror", by ``neural.condition.fill_from_mirror``, or "regression", by the
            answer of ``nets/regressor.py``.
        """
        super().__init__(latent=latent, widths=list(widths), blocks=blocks, head_dim=head_dim, dropout=dropout,
                         groups=groups, mirror=mirror, prediction=prediction, residual=residual,
                         start=start)  # fmt: skip
        from diffusers.models.unets.unet_2d import UNet2DModel

        n = len(widths)
        self.model = UNet2DModel(
            in_channels=latent + self.conditions, out_channels=latent, block_out_channels=tuple(widths),
            layers_per_block=blocks, down_block_types=("DownBlock2D",) + ("AttnDownBlock2D",) * (n - 1),
            up_block_types=("AttnUpBlock2D",) * (n - 1) + ("UpBlock2D",), downsample_type="resnet",
            upsample_type="resnet", attention_head_dim=head_dim or widths[1] // 8, dropout=dropout,
            norm_num_groups=groups,
        )  # fmt: skip
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("std", torch.ones(latent))

    @property
    def conditions(self) -> int:
        """Channels of the condition: T_c and the mask; with ``mirror`` also both mirrored."""
        return (self.config["latent"] + 1) * (2 if self.config["mirror"] else 1)

    def normalize(self, latents: Tensor) -> Tensor:  # [B, 6, h, w]
        """Latents of the VQGAN (or residuals) with mean 0 and standard deviation 1 in each channel."""
        return (latents - self.mean[:, None, None]) / self.std[:, None, None]

    def denormalize(self, latents: Tensor) -> Tensor:  # [B, 6, h, w]
        """The inverse of :meth:`normalize`."""
        return latents * self.std[:, None, None] + self.mean[:, None, None]

    def forward(
        self,
        noisy: Tensor,  # [B, 6, h, w]
        t: Tensor,  # [B] int64 in [0, 1000)
        condition: Tensor,  # [B, conditions, h, w], of neural.condition.condition
    ) -> Tensor:  # [B, 6, h, w] the noise, or the velocity
        return self.model(torch.cat([noisy, condition], 1), t, return_dict=False)[0]
