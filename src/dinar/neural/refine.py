"""Refinement at inference (app. B): optimise the photo's texels through the renderer, match the colours of the others.

The mesh is rasterised once. A step is one forward and backward pass of the renderer over the person's box; with an
inpainted texture two, because eq. 7 is fitted to a picture of T_res alone, on which α and β act everywhere.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.channels import FILL, GENERATED, MASKS, SAMPLED
from ..nets.discriminator import discriminator_loss, generator_loss, r1
from ..nets.pretrained import Network
from .texture import Fine, rasterize_texture

FADE = (0.5, 0.7)  # λ between which a texel's step grows from 0 to 1 (the released system fades out below .6)
BOX_MULTIPLE = 32  # pixels; the renderers take sides that are multiples of it


@dataclass
class Refinement:
    """The numbers of app. B; learning rates of the released system."""

    steps: int = 64
    lr: float = 2e-3  # of the texture, of α and β
    discriminator_lr: float = 4e-4
    l2: float = 2.2
    lpips: float = 1.0
    adversarial: float = 0.01  # 0: without a discriminator
    r1: float = 0.1  # of the discriminator, as in eq. 4
    r1_every: int = 16


def match_colours(texture: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Eq. 7 on [B, 21, S, S]: T_rgb α + β with α and β [3]; the other channels are unchanged."""
    rgb = texture[:, SAMPLED] * alpha[:, None, None] + beta[:, None, None]
    return torch.cat([texture[:, GENERATED], rgb, texture[:, MASKS]], 1)


def refine(
    renderer: nn.Module,  # θ, in eval mode
    partial: Tensor,  # [1, 21, S, S] T^j
    restored: Tensor | None,  # [1, 21, S, S] T_res; None: T^j is complete, and there is nothing to match
    mix: Callable[[Tensor, Tensor], Tensor],  # (T_res, T^j) -> T, eq. 6; not used without T_res
    lam: Tensor,  # [1, 1, S, S] in [0, 1] λ of T^j
    uv: Tensor,  # [1, 2, H, W] in [0, 1], UV render of the photo's view
    body_mask: Tensor,  # [1, 1, H, W] {0, 1}
    cover: Tensor,  # [1, 1, H, W] in [0, 1], the share of each pixel that the body covers
    photo: Tensor,  # [1, 3, H, W] in [0, 1], white outside the person
    mask: Tensor,  # [1, 1, H, W] in [0, 1], the person
    perceptual: nn.Module | None = None,  # LPIPS; None: without that term
    discriminator: nn.Module | None = None,  # trained in turn with the texture, as in the paper; None: without
    fine: Fine | None = None,  # the RGB layer at a higher resolution: refined in place of T_rgb
    options: Refinement | None = None,
) -> tuple[Tensor, Fine | None, tuple[Tensor, Tensor]]:
    """T [1, 21, S, S] with refined colours, the refined fine layer, and (α, β)."""
    o = options or Refinement()
    y0, y1, x0, x1 = _box(torch.maximum(mask, body_mask), BOX_MULTIPLE)
    window = (slice(None), slice(None), slice(y0, y1), slice(x0, x1))
    uv, body_mask, cover, photo, mask = (t[window] for t in (uv, body_mask, cover, photo, mask))
    layer = partial[:, SAMPLED] if fine is None else fine.rgb
    weight = ((lam - FADE[0]) / (FADE[1] - FADE[0])).clamp(0, 1) * lam
    weight = F.interpolate(weight, size=layer.shape[2:], mode="bilinear") if fine is not None else weight
    known = partial[:, FILL] if fine is None else fine.known
    # The change has the texture's resolution, not the fine layer's. The renderer reads only some texels of a fine
    # layer; optimised one by one, these are specks in a larger picture.
    delta = torch.zeros_like(partial[:, SAMPLED], requires_grad=True)
    alpha, beta = (torch.full((3,), v, device=layer.device, requires_grad=True) for v in (1.0, 0.0))
    adam = torch.optim.Adam([{"params": [delta]}, {"params": [alpha, beta]}], lr=o.lr, betas=(0.0, 0.99))
    disc, disc_adam = copy.deepcopy(discriminator) if o.adversarial > 0 else None, None  # the next photo starts anew
    if disc is not None:
        disc_adam = torch.optim.Adam(disc.parameters(), lr=o.discriminator_lr, betas=(0.0, 0.99))

    def now() -> tuple[Tensor, Fine | None]:
        # λ scales the change and so its gradient steps. A factor on the gradients would be cancelled by Adam.
        change = delta if fine is None else F.interpolate(delta, size=layer.shape[2:], mode="bilinear")
        rgb = (layer + weight * known * change).clamp(0, 1)
        part, finer = partial, None
        if fine is None:
            part = torch.cat([partial[:, GENERATED], rgb, partial[:, MASKS]], 1)
        else:
            finer = Fine(rgb, fine.known)
        # α and β are not fitted here: after eq. 6 they act on the few visible texels that the photo does not know
        return part if restored is None else mix(match_colours(restored, alpha.detach(), beta.detach()), part), finer

    def difference(picture: Tensor) -> Tensor:
        seen = (mask > 0.5).float()
        loss = o.l2 * ((picture - photo).square() * seen).sum() / (3 * seen.sum().clamp(min=1))
        return loss if perceptual is None else loss + o.lpips * perceptual(picture, photo).mean()

    def drawn(texture: Tensor, finer: Fine | None) -> Tensor:
        rgb, a = renderer(rasterize_texture(texture, uv, body_mask, finer), uv, cover)
        return rgb * a + 1 - a

    trainable = [p for p in renderer.parameters() if p.requires_grad]
    for p in trainable:
        p.requires_grad_(False)
    for step in range(o.steps):
        picture = drawn(*now())
        loss = difference(picture)
        if restored is not None:
            loss = loss + difference(drawn(match_colours(restored, alpha, beta), None))
        if disc is not None:
            n = cast(Network, disc).config["size"]
            resized = lambda t: F.interpolate(t, size=(n, n), mode="bilinear")  # noqa: B023, E731
            disc.requires_grad_(False)
            loss = loss + o.adversarial * generator_loss(disc(resized(picture)))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if disc is not None and disc_adam is not None:
            disc.requires_grad_(True)
            disc_adam.zero_grad()
            with_r1 = step % o.r1_every == 0
            real = resized(photo).detach().clone().requires_grad_(with_r1)
            logits = disc(real)
            total = discriminator_loss(logits, disc(resized(picture.detach())))
            if with_r1:
                total = total + o.r1 * o.r1_every * r1(logits, real)
            total.backward()
            disc_adam.step()
    for p in trainable:
        p.requires_grad_(True)
    with torch.no_grad():
        texture, finer = now()
    return texture, finer, (alpha.detach(), beta.detach())


def _box(on: Tensor, multiple: int) -> tuple[int, int, int, int]:
    """y0, y1, x0, x1 of the box around the pixels over .5 of [1, 1, H, W], grown to multiples within the picture."""
    out = []
    for axis in (3, 2):
        line = (on[0, 0] > 0.5).any(axis - 2).nonzero()
        n = on.shape[5 - axis]
        low, high = (int(line[0]), int(line[-1]) + 1) if len(line) else (0, n)
        size = min(n, -(-(high - low) // multiple) * multiple)
        start = min(max(0, (low + high - size) // 2), n - size)
        out += [start, start + size]
    return out[0], out[1], out[2], out[3]
