"""The neural texture of §3.1 in torch: sampled from pictures, merged, rasterised; batched, with gradients.

T = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill (eq. 2), [B, 21, S, S]; :mod:`dinar.nets.channels` has the layout. :func:`scatter`
and :func:`merge` are twins of the numpy functions of the same names in :mod:`dinar.texture`.

The RGB layer may have a higher resolution than the other channels (``rgb_size``). A :class:`Fine` layer [B, 3, n, n]
then replaces T_rgb where it is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.channels import COLOURS, GENERATED, SIZES
from ..texture.merge import SHARPNESS
from ..texture.sample import ERODE

MIN_KNOWN = 0.05  # floor of the known share by which an interpolated colour is divided


@dataclass
class Partial:
    """The part of the surface that pictures show."""

    rgb: Tensor  # [B, 3, S, S] in [0, 1], 0 where B_fill is 0
    smp: Tensor  # [B, 1, S, S] {0, 1} B_smp: texels that a pixel hits
    fill: Tensor  # [B, 1, S, S] {0, 1} B_fill: those and their neighbours
    lam: Tensor  # [B, 1, S, S] in [0, 1] λ of §3.2: cosine between normal and direction to the camera


@dataclass
class Fine:
    """The sampled colours at a higher resolution than the neural channels."""

    rgb: Tensor  # [B, 3, n, n] in [0, 1]
    known: Tensor  # [B, 1, n, n] in [0, 1]

    @cached_property
    def weighted(self) -> Tensor:
        """[B, 4, n, n]: colours times where they are known, and where they are known."""
        return torch.cat([self.rgb * self.known, self.known], 1)

    def to(self, device: torch.device) -> Fine:
        return Fine(self.rgb.to(device), self.known.to(device))


@dataclass
class Drawn(Fine):
    """The sampled colours and where they are known, of every pixel of a picture: [B, 3, H, W] and [B, 1, H, W]."""


def scatter(
    values: Tensor,  # [B, C, H, W]
    uv: Tensor,  # [B, 2, H, W] in [0, 1]
    on: Tensor,  # [B, 1, H, W] bool, the pixels that are used
    size: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1: T [B, C, S, S], B_smp and B_fill [B, 1, S, S] float.

    Every pixel adds its value to the 3×3 texels around its UV, and sums are divided by their counts. A texel that a
    pixel hits exactly takes that pixel's value; of several pixels, the last one's.
    """
    b, c = values.shape[:2]
    texel = (uv.float() * size).long().clamp(0, size - 1)
    image = torch.arange(b, device=uv.device)[:, None, None]
    place, texels = ((image * size + texel[:, 1]) * size + texel[:, 0]).reshape(-1), b * size * size
    number = torch.arange(len(place), device=uv.device)
    # pixels that are not used go to rows of their own: a GPU does not wait for how many there are
    place = torch.where(on[:, 0].reshape(-1), place, texels + number % (size * size))
    picked = values.permute(0, 2, 3, 1).reshape(-1, c).float()
    counted = torch.cat([picked, torch.ones_like(picked[:, :1])], 1)
    total = counted.new_zeros(texels + size * size, c + 1).index_add(0, place, counted)[:texels]
    total = F.avg_pool2d(total.view(b, size, size, -1).permute(0, 3, 1, 2), 3, 1, 1, divisor_override=1)
    count = total[:, c:]
    last = torch.full((texels + size * size,), -1, device=uv.device).scatter_reduce(0, place, number, "amax")[:texels]
    hit = (last >= 0).view(b, 1, size, size)
    exact = picked[last.clamp(min=0)].view(b, size, size, c).permute(0, 3, 1, 2)
    texture = torch.where(hit, exact, total[:, :c] / count.clamp(min=1))
    return texture, hit.float(), (count > 0).float()


def sample(
    rgb: Tensor,  # [B, 3, H, W] in [0, 1]
    mask: Tensor,  # [B, 1, H, W] in [0, 1], the person
    uv: Tensor,  # [B, 2, H, W] in [0, 1], the UV render
    sample_mask: Tensor,  # [B, 1, H, W] {0, 1}, the body without occlusion outlines (§3.5)
    facing: Tensor,  # [B, 1, H, W] in [0, 1], cosine between normal and direction to the camera
    size: int = 256,
) -> Partial:
    """The partial texture of pictures: algorithm 1 on the pixels inside the eroded person mask and ``sample_mask``."""
    k = max(1, round(ERODE * rgb.shape[-1]))
    core = 1 - F.max_pool2d(1 - (mask > 0.5).float(), 2 * k + 1, 1, k)
    t, smp, fill = scatter(torch.cat([rgb, facing], 1), uv, (core > 0.5) & (sample_mask > 0.5), size)
    return Partial(t[:, :3], smp, fill, t[:, 3:])


def compose(generated: Tensor, part: Partial) -> Tensor:  # [B, 16, S, S] -> [B, 21, S, S]
    """Eq. 2: T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill."""
    return torch.cat([generated, part.rgb.to(generated.dtype), part.smp, part.fill], 1)


def merge(
    textures: Tensor,  # [views, ..., C, S, S]
    lam: Tensor,  # [views, ..., 1, S, S] in [0, 1]; 0 where a view does not see the texel
    sharpness: float = SHARPNESS,  # 1/τ
) -> tuple[Tensor, Tensor]:
    """Eq. 5: T = Σ Tⁱ wⁱ with w = softmax(λ/τ) over the views that see a texel. Returns T and the largest λ.

    A texel that no view sees takes the plain mean of the views, so that its generated channels are not 0.
    """
    seen = lam > 0
    weight = torch.where(seen | ~seen.any(0, keepdim=True), sharpness * lam, -torch.inf).softmax(0)
    return (textures * weight).sum(0), lam.amax(0)


def rasterize_texture(
    texture: Tensor,  # [B, 21, S, S]
    uv: Tensor,  # [B, 2, H, W] in [0, 1], the UV render
    body_mask: Tensor,  # [B, 1, H, W] {0, 1}
    fine: Fine | None = None,
) -> Tensor:  # [B, 21, H, W], 0 outside the body
    """R(T, M, C): the texture at every pixel of the UV render, bilinear."""
    generated = _bilinear(texture[:, GENERATED], uv) * body_mask
    return torch.cat([generated, rasterize_colours(texture, uv, body_mask, fine)], 1)


def rasterize_colours(
    texture: Tensor,  # [B, 21, S, S]
    uv: Tensor,  # [B, 2, H, W] in [0, 1]
    body_mask: Tensor,  # [B, 1, H, W] {0, 1}
    fine: Fine | None = None,
) -> Tensor:  # [B, 5, H, W]
    """T_rgb ⊕ B_smp ⊕ B_fill of :func:`rasterize_texture`.

    Colours are averaged over known texels only, so that they do not fade at the border of the known part.
    """
    rgb, smp, known = texture[:, COLOURS].split(SIZES, 1)
    known = known.clamp(0, 1)
    rgb, smp, known = _bilinear(torch.cat([rgb * known, smp, known], 1), uv).split(SIZES, 1)
    rgb = rgb / known.clamp(min=MIN_KNOWN)
    if fine is not None:
        layer = fine.weighted if isinstance(fine, Drawn) else _bilinear(fine.weighted, uv)
        sharp, share = layer.split([3, 1], 1)
        rgb, known = rgb * (1 - share) + sharp, torch.maximum(known, share)
    return torch.cat([rgb.clamp(0, 1), smp, known], 1) * body_mask


def _bilinear(texture: Tensor, uv: Tensor) -> Tensor:  # [B, C, S, S], [B, 2, H, W] -> [B, C, H, W]
    grid = uv.float().permute(0, 2, 3, 1) * 2 - 1
    return F.grid_sample(texture.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def mirror(texture: Tensor) -> Tensor:  # [..., S, S]
    """The texture with the left and right half of the body exchanged: the atlas is symmetric about u = 0.5."""
    return texture.flip(-1)
