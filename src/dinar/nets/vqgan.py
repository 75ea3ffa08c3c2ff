"""The texture's compression: 21×256×256 <-> 6×64×64 latents (§3.3 "Reducing texture space", §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .pretrained import Network

RGB, FILL = slice(16, 19), slice(20, 21)  # channels of the texture


class VQGAN(Network):
    """diffusers' ``VQModel`` with the published settings: downsampling 4, codebook of 8192 vectors of length 6.

    It works on what makes a person differ from the mean texture, with channels of one scale: ``mean`` and ``std`` of
    training textures are kept with the weights (:meth:`settle`). Otherwise the codes are spent on what is the same for
    everybody, and on the generated channels, which are larger than the colours. Colours count where they are known:
    elsewhere they are 0 on the way in, and the mean's on the way out.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        channels: int = 21,
        widths: Sequence[int] = (64, 128, 256),
        blocks: int = 2,
        latent: int = 6,
        codes: int = 8192,
        groups: int = 32,
        size: int = 256,
    ) -> None:
        """Args:
        channels: of the texture.
        widths: channels of the levels, each half the size of the one before: two halvings.
        blocks: residual blocks of a level.
        latent: channels of the latents and length of a code.
        codes: vectors in the codebook.
        groups: of GroupNorm; the widths are multiples of it.
        size: texels a side.
        """
        super().__init__(channels=channels, widths=list(widths), blocks=blocks, latent=latent, codes=codes,
                         groups=groups, size=size)  # fmt: skip
        from diffusers.models.autoencoders.vq_model import VQModel

        self.model = VQModel(
            channels, channels, ("DownEncoderBlock2D",) * len(widths), ("UpDecoderBlock2D",) * len(widths),
            tuple(widths), blocks, latent_channels=latent, num_vq_embeddings=codes, vq_embed_dim=latent,
            norm_num_groups=groups,
        )  # fmt: skip
        self.factor = 2 ** (len(widths) - 1)
        self.register_buffer("mean", torch.zeros(channels, size, size))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    @torch.no_grad()
    def settle(self, textures: Tensor) -> None:  # [B, 21, S, S] of many people
        """Take their mean and scale, and codes among their latents, so that all codes are in use from the start."""
        known = textures[:, FILL].float()
        weight = torch.ones_like(textures[:, :1]).expand_as(textures).clone()
        weight[:, RGB] = known
        total = weight.sum(0)
        overall = (textures * weight).sum((0, 2, 3)) / weight.sum((0, 2, 3)).clamp(min=1)
        self.mean.copy_(torch.where(total > 0, (textures * weight).sum(0) / total.clamp(min=1), overall[:, None, None]))
        spread = ((textures - self.mean).square() * weight).sum((0, 2, 3)) / weight.sum((0, 2, 3)).clamp(min=1)
        self.std.copy_(spread.sqrt().clamp(min=1e-2)[:, None, None])
        latents = self.encode(textures).float().movedim(1, -1).flatten(0, -2)
        codes = self.model.quantize.embedding.weight
        chosen = torch.randint(len(latents), (len(codes),), generator=torch.Generator().manual_seed(0))
        codes.copy_(latents[chosen.to(latents.device)])

    def normal(self, texture: Tensor) -> Tensor:  # [B, 21, S, S] -> about unit variance
        x = (texture - self.mean) / self.std
        return torch.cat([x[:, : RGB.start], x[:, RGB] * texture[:, FILL], x[:, RGB.stop :]], 1)

    def natural(self, texture: Tensor) -> Tensor:  # the inverse, where colours are known
        return texture * self.std + self.mean

    def encode(self, texture: Tensor) -> Tensor:  # [B, 21, S, S] -> [B, 6, S/4, S/4] latents, before the codebook
        return self.model.encode(self.normal(texture)).latents

    def decode(self, latents: Tensor) -> Tensor:  # [B, 6, S/4, S/4] -> [B, 21, S, S], through the codebook
        return self.natural(self.model.decode(latents, return_dict=False)[0])

    def forward(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """The restored texture [B, 21, S, S], and the codebook's loss."""
        quantised, loss, _ = self.model.quantize(self.encode(texture).float())
        restored = self.model.decode(quantised, force_not_quantize=True, return_dict=False)[0]
        return self.natural(restored), loss
