"""E_VQ and D_VQ: the VQGAN that compresses textures, 21×256×256 <-> 6×64×64 (§3.3 "Reducing texture space", §4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .channels import CHANNELS, FILL, SAMPLED
from .pretrained import Network

MIN_STD = 1e-2  # floor of the channels' standard deviations
# Weight of colours in the linear part. PSNR of colours of 24 held-out people with 1, 3, 10: 23.2, 25.1, 29.2 dB.
COLOURS_FIRST = 10.0
LLOYD = 4  # iterations of k-means for the first codes


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
        linear: bool = False,
    ) -> None:
        """Args:
        channels: channels of the texture.
        widths: channels of the levels, each half the size of the one before: two halvings.
        blocks: residual blocks of a level.
        latent: channels of the latents and length of a code.
        num_embeddings: vectors in the codebook.
        groups: groups of GroupNorm; the widths are multiples of it.
        size: texels a side.
        linear: add a linear code of blocks of 4×4 texels, at first their principal components; the networks learn what
            it lacks (not in the paper).
        """
        super().__init__(channels=channels, widths=list(widths), blocks=blocks, latent=latent,
                         num_embeddings=num_embeddings, groups=groups, size=size,
                         linear=linear)  # fmt: skip
        from diffusers.models.autoencoders.vq_model import VQModel

        self.model = VQModel(
            channels, channels, ("DownEncoderBlock2D",) * len(widths), ("UpDecoderBlock2D",) * len(widths),
            tuple(widths), blocks, latent_channels=latent, num_vq_embeddings=num_embeddings, vq_embed_dim=latent,
            norm_num_groups=groups,
        )  # fmt: skip
        self.factor = 2 ** (len(widths) - 1)
        self.register_buffer("mean", torch.zeros(channels, size, size))
        self.register_buffer("std", torch.ones(channels, 1, 1))
        if linear:
            values = channels * self.factor**2
            self.analysis, self.synthesis = (nn.Parameter(torch.zeros(latent, values)) for _ in range(2))
            for layer in (self.model.quant_conv, self.model.decoder.conv_out):  # the networks add nothing at first
                for parameter in layer.parameters():
                    nn.init.zeros_(parameter)

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
        if self.config["linear"]:
            self._init_linear(textures)
        latents = self.encode(textures).float().movedim(1, -1).flatten(0, -2)
        codes = self.model.quantize.embedding.weight
        generator = torch.Generator().manual_seed(0)
        some = lambda n: latents[torch.randint(len(latents), (n,), generator=generator).to(latents.device)]  # noqa: E731
        codes.copy_(some(len(codes)))
        for _ in range(LLOYD):
            nearest = torch.cat([torch.cdist(x, codes).argmin(1) for x in latents.split(4096)])
            count = torch.bincount(nearest, minlength=len(codes))[:, None]
            sums = torch.zeros_like(codes).index_add_(0, nearest, latents)
            codes.copy_(torch.where(count > 0, sums / count.clamp(min=1), some(len(codes))))

    def _init_linear(self, textures: Tensor) -> None:
        """Principal components of blocks of normalised textures, colours first; the latents' mean square is 1."""
        blocks = F.pixel_unshuffle(self.normalize(textures).float(), self.factor).movedim(1, -1).flatten(0, -2)
        weight = torch.ones(self.config["channels"], device=blocks.device)
        weight[SAMPLED] = COLOURS_FIRST
        weight = weight.repeat_interleave(self.factor**2)
        blocks = (blocks * weight).double()
        main = torch.linalg.eigh(blocks.T @ blocks / len(blocks)).eigenvectors.flip(1)[:, : self.config["latent"]].T
        scale = (blocks @ main.T).square().mean().sqrt()
        self.analysis.copy_(main * weight / scale)
        self.synthesis.copy_(main / weight * scale)

    def normalize(self, texture: Tensor) -> Tensor:  # [B, 21, S, S]
        """The texture with mean 0 and standard deviation 1 in each channel; unknown colours are 0."""
        x = (texture - self.mean) / self.std
        return torch.cat([x[:, : SAMPLED.start], x[:, SAMPLED] * texture[:, FILL], x[:, SAMPLED.stop :]], 1)

    def denormalize(self, texture: Tensor) -> Tensor:  # [B, 21, S, S]
        """The inverse of :meth:`normalize`, except for unknown colours."""
        return texture * self.std + self.mean

    def encode(self, texture: Tensor) -> Tensor:  # [B, 21, S, S] -> [B, 6, S/4, S/4]
        """E_VQ: latents before quantisation."""
        x = self.normalize(texture)
        latents = self.model.encode(x).latents
        if self.config["linear"]:
            latents = latents + F.conv2d(F.pixel_unshuffle(x, self.factor), self.analysis[..., None, None].to(x.dtype))
        return latents

    def decode(self, latents: Tensor) -> Tensor:  # [B, 6, S/4, S/4] -> [B, 21, S, S]
        """D_VQ: quantises the latents with the codebook and decodes them."""
        return self._decode(self.model.quantize(latents)[0])

    def _decode(self, quantised: Tensor) -> Tensor:
        texture = self.model.decode(quantised, force_not_quantize=True, return_dict=False)[0]
        if self.config["linear"]:
            blocks = F.conv2d(quantised, self.synthesis.T[..., None, None].to(quantised.dtype))
            texture = texture + F.pixel_shuffle(blocks, self.factor)
        return self.denormalize(texture)

    def forward(self, texture: Tensor) -> tuple[Tensor, Tensor]:
        """T_res [B, 21, S, S], and the codebook's loss."""
        quantised, loss, _ = self.model.quantize(self.encode(texture).float())
        return self._decode(quantised), loss
