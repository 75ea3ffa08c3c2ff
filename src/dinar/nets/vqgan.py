"""E_VQ and D_VQ: the VQGAN that compresses textures, 21×256×256 <-> 6×64×64 (§3.3 "Reducing texture space", §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .channels import CHANNELS, FILL, SAMPLED
from .pretrained import Network

MIN_STD = 1e-2  # floor of the channels' standard deviations


class VQGAN(Network):
    """diffusers' ``VQModel`` with the published settings: downsampling 4, codebook of 8192 vectors of length 6.

    It encodes normalised textures: the difference to the mean texture, divided by each channel's standard deviation
    (:meth:`normalize`). Without this, codes are spent on what all people have in common, and on the generated channels,
    whose values are larger than the colours'. The buffers ``mean`` and ``std`` are those of training textures
    (:meth:`init_statistics`). Unknown colours are 0 in the input and the mean's in the output.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int = CHANNELS,
        widths: Sequence[int] = (64, 128, 256),
        blocks: int = 2,
        latent: int = 6,
        num_embeddings: int = 8192,
        groups: int = 32,
        size: int = 256,
    ) -> None:
        """Args:
        channels: channels of the texture.
        widths: channels of the levels, each half the size of the one before: two halvings.
        blocks: residual blocks of a level.
        latent: channels of the latents and length of a code.
        num_embeddings: vectors in the codebook.
        groups: groups of GroupNorm; the widths are multiples of it.
        size: texels a side.
        """
        super().__init__(channels=channels, widths=list(widths), blocks=blocks, latent=latent,
                         num_embeddings=num_embeddings, groups=groups, size=size)  # fmt: skip
        from diffusers.models.autoencoders.vq_model import VQModel

        self.model = VQModel(
            channels, channels, ("DownEncoderBlock2D",) * len(widths), ("UpDecoderBlock2D",) * len(widths),
            tuple(widths), blocks, latent_channels=latent, num_vq_embeddings=num_embeddings, vq_embed_dim=latent,
            norm_num_groups=groups,
        )  # fmt: skip
        self.factor = 2 ** (len(widths) - 1)
        self.register_buffer("mean", torch.zeros(channels, size, size))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    @torch.no_grad()
    def init_statistics(self, textures: Tensor) -> None:  # [B, 21, S, S] of many people
        """Set ``mean`` and ``std`` to those of the textures, and the codebook to random latents of them, so that all
        codes are in use from the start."""
        known = textures[:, FILL].float()
        weight = torch.ones_like(textures[:, :1]).expand_as(textures).clone()
        weight[:, SAMPLED] = known
        total = weight.sum(0)
        overall = (textures * weight).sum((0, 2, 3)) / weight.sum((0, 2, 3)).clamp(min=1)
        self.mean.copy_(torch.where(total > 0, (textures * weight).sum(0) / total.clamp(min=1), overall[:, None, None]))
        spread = ((textures - self.mean).square() * weight).sum((0, 2, 3)) / weight.sum((0, 2, 3)).clamp(min=1)
        self.std.copy_(spread.sqrt().clamp(min=MIN_STD)[:, None, None])
        latents = self.encode(textures).float().movedim(1, -1).flatten(0, -2)
        codes = self.model.quantize.embedding.weight
        chosen = torch.randint(len(latents), (len(codes),), generator=torch.Generator().manual_seed(0))
        codes.copy_(latents[chosen.to(latents.device)])

    def normalize(self, texture: Tensor) -> Tensor:  # [B, 21, S, S]
        """The texture with mean 0 and standard deviation 1 in each channel; unknown colours are 0."""
        x = (texture - self.mean) / self.std
        return torch.cat([x[:, : SAMPLED.start], x[:, SAMPLED] * texture[:, FILL], x[:, SAMPLED.stop :]], 1)

    def denormalize(self, texture: Tensor) -> Tensor:  # [B, 21, S, S]
        """The inverse of :meth:`normalize`, except for unknown colours."""
        return texture * self.std + self.mean

    def encode(self, texture: Tensor) -> Tensor:  # [B, 21, S, S] -> [B, 6, S/4, S/4]
        """E_VQ: latents before quantisation."""
        return self.model.encode(self.normalize(texture)).latents

    def decode(self, latents: Tensor) -> Tensor:  # [B, 6, S/4, S/4] -> [B, 21, S, S]
        """D_VQ: quantises the latents with the codebook and decodes them."""
        return self.denormalize(self.model.decode(latents, return_dict=False)[0])

    def forward(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """T_res [B, 21, S, S], and the codebook's loss."""
        quantised, loss, _ = self.model.quantize(self.encode(texture).float())
        restored = self.model.decode(quantised, force_not_quantize=True, return_dict=False)[0]
        return self.denormalize(restored), loss
