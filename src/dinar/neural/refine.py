"""Refinement at inference (app. B): the photo's colours sharpened through the renderer, the invented ones matched.

The raster is made once and only the texels that the photo shows are optimised: a step costs one pass of the renderer
over the person's box, forward and backward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..nets.discriminator import fool, tell
from .texture import FILL, SAMPLED, Fine, rasterise

FADE = (0.5, 0.7)  # λ between which a texel's rate rises from 0 to 1 (the released system fades out under .6)


@dataclass
class Refinement:
    """The numbers of app. B; rates of the released system."""

    steps: int = 64
    rate: float = 2e-3  # of the texture, of α and β
    discriminator_rate: float = 4e-4
    l2: float = 2.2
    lpips: float = 1.0
    adversarial: float = 0.01  # 0 without a discriminator


def match_colours(texture: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Eq. 7 on [B, 21, S, S]: T_rgb α + β, with α and β [3] for all texels; the other channels stay."""
    rgb = texture[:, SAMPLED] * alpha[:, None, None] + beta[:, None, None]
    return torch.cat([texture[:, :16], rgb, texture[:, 19:]], 1)


def refine(
    renderer: nn.Module,  # θ, in eval mode
    partial: Tensor,  # [1, 21, S, S] T^j
    restored: Tensor,  # [1, 21, S, S] T_res
    mix: Callable[[Tensor, Tensor], Tensor],  # (T_res, T^j) -> T, eq. 6
    lam: Tensor,  # [1, 1, S, S] in [0, 1] λ of T^j
    uv: Tensor,  # [1, 2, H, W] of the photo's view
    body: Tensor,  # [1, 1, H, W] {0, 1}
    cover: Tensor,  # [1, 1, H, W] in [0, 1], the share of each pixel
    photo: Tensor,  # [1, 3, H, W] in [0, 1], white outside the person
    mask: Tensor,  # [1, 1, H, W] in [0, 1]
    perceptual: nn.Module | None = None,  # LPIPS; None: without that term
    discriminator: nn.Module | None = None,  # learns along, as in the paper; None: without
    fine: Fine | None = None,  # the RGB layer at a higher resolution: it gets refined then, smoothly
    options: Refinement | None = None,
) -> tuple[Tensor, Fine | None, tuple[Tensor, Tensor]]:
    """T [1, 21, S, S] with refined colours, the refined fine layer, and (α, β)."""
    o = options or Refinement()
    y0, y1, x0, x1 = _box(torch.maximum(mask, body), 32)
    window = (slice(None), slice(None), slice(y0, y1), slice(x0, x1))
    uv, body, cover, photo, mask = (t[window] for t in (uv, body, cover, photo, mask))
    layer = partial[:, SAMPLED] if fine is None else fine.rgb
    weight = ((lam - FADE[0]) / (FADE[1] - FADE[0])).clamp(0, 1) * lam
    weight = F.interpolate(weight, size=layer.shape[2:], mode="bilinear") if fine is not None else weight
    known = partial[:, FILL] if fine is None else fine.known
    # As coarse as the renderer's picture: of a finer layer it reads single texels here and there, and optimised one by
    # one they would be specks in a larger picture.
    delta = torch.zeros_like(partial[:, SAMPLED], requires_grad=True)
    alpha, beta = (torch.full((3,), v, device=layer.device, requires_grad=True) for v in (1.0, 0.0))
    adam = torch.optim.Adam([{"params": [delta]}, {"params": [alpha, beta]}], lr=o.rate, betas=(0.0, 0.99))
    judge = discriminator if o.adversarial > 0 else None
    judge_adam = None
    if judge is not None:
        judge_adam = torch.optim.Adam(judge.parameters(), lr=o.discriminator_rate, betas=(0.0, 0.99))
    side = next(iter(judge.parameters())).new_zeros(0) if judge is not None else None

    def now() -> tuple[Tensor, Fine | None]:
        # λ scales the step, as the gradients are: Adam would undo a factor on the gradients themselves
        change = delta if fine is None else F.interpolate(delta, size=layer.shape[2:], mode="bilinear")
        rgb = (layer + weight * known * change).clamp(0, 1)
        part, finer = partial, None
        if fine is None:
            part = torch.cat([partial[:, :16], rgb, partial[:, 19:]], 1)
        else:
            finer = Fine(rgb, fine.known)
        return mix(match_colours(restored, alpha, beta), part), finer

    frozen = [p for p in renderer.parameters() if p.requires_grad]
    for p in frozen:
        p.requires_grad_(False)
    for _ in range(o.steps):
        texture, finer = now()
        rgb, a = renderer(rasterise(texture, uv, body, finer), uv, cover)
        picture = rgb * a + 1 - a
        seen = (mask > 0.5).float()
        loss = o.l2 * ((picture - photo).square() * seen).sum() / (3 * seen.sum().clamp(min=1))
        if perceptual is not None:
            loss = loss + o.lpips * perceptual(picture, photo).mean()
        if judge is not None and judge_adam is not None and side is not None:
            n = judge.config["size"]  # type: ignore[index]
            fit = lambda t: F.interpolate(t, size=(n, n), mode="bilinear")  # noqa: B023, E731
            judge.requires_grad_(False)
            loss = loss + o.adversarial * fool(judge(fit(picture)))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if judge is not None and judge_adam is not None:
            judge.requires_grad_(True)
            judge_adam.zero_grad()
            tell(judge(fit(photo)), judge(fit(picture.detach()))).backward()
            judge_adam.step()
    for p in frozen:
        p.requires_grad_(True)
    with torch.no_grad():
        texture, finer = now()
    return texture, finer, (alpha.detach(), beta.detach())


def _box(on: Tensor, multiple: int) -> tuple[int, int, int, int]:
    """Rows and columns of the box around [1, 1, H, W], grown to multiples, within the picture."""
    out = []
    for axis in (3, 2):
        line = (on[0, 0] > 0.5).any(axis - 2).nonzero()
        n = on.shape[5 - axis]
        low, high = (int(line[0]), int(line[-1]) + 1) if len(line) else (0, n)
        size = min(n, -(-(high - low) // multiple) * multiple)
        start = min(max(0, (low + high - size) // 2), n - size)
        out += [start, start + size]
    return out[0], out[1], out[2], out[3]
