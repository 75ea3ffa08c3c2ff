"""The texture's compression: 21×256×256 <-> 6×64×64 latents (§3.3 "Reducing texture space", §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .pretrained import Network


class VQGAN(Network):
    """diffusers' ``VQModel`` with the published settings: downsampling 4, codebook of 8192 vectors of length 6."""

    def __init__(
        self,
        channels: int = 21,
        widths: Sequence[int] = (64, 128, 256),
        blocks: int = 2,
        latent: int = 6,
        codes: int = 8192,
        groups: int = 32,
    ) -> None:
        """Args:
        channels: of the texture.
        widths: channels of the levels, each half the size of the one before: two halvings.
        blocks: residual blocks of a level.
        latent: channels of the latents and length of a code.
        codes: vectors in the codebook.
        groups: of GroupNorm; the widths are multiples of it.
        """
        super().__init__(channels=channels, widths=list(widths), blocks=blocks, latent=latent, codes=codes,
                         groups=groups)  # fmt: skip
        from diffusers.models.autoencoders.vq_model import VQModel

        self.model = VQModel(
            channels, channels, ("DownEncoderBlock2D",) * len(widths), ("UpDecoderBlock2D",) * len(widths),
            tuple(widths), blocks, latent_channels=latent, num_vq_embeddings=codes, vq_embed_dim=latent,
            norm_num_groups=groups,
        )  # fmt: skip
        self.factor = 2 ** (len(widths) - 1)

    def encode(self, texture: Tensor) -> Tensor:  # [B, 21, S, S] -> [B, 6, S/4, S/4] latents, before the codebook
        return self.model.encode(texture).latents

    def decode(self, latents: Tensor) -> Tensor:  # [B, 6, S/4, S/4] -> [B, 21, S, S], through the codebook
        return self.model.decode(latents, return_dict=False)[0]

    def forward(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """The restored texture [B, 21, S, S], and the codebook's loss."""
        quantised, loss, _ = self.model.quantize(self.encode(texture).float())
        restored = self.model.decode(quantised, force_not_quantize=True, return_dict=False)[0]
        return restored, loss
