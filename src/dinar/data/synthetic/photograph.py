"""From light to photo: exposure, white balance, lens, sensor, tone curve, jpeg. Nothing moves a pixel, so masks stay."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)
MIDDLE = 0.2  # linear luminance that automatic exposure aims at
GRAIN = 640  # side of the noise tile


@lru_cache(maxsize=4)
def _grain(device: torch.device) -> Tensor:
    """[4, GRAIN, GRAIN] Gaussian: three channels of fine noise and one coarser; a tile, as it must not depend on the device."""
    g = torch.Generator().manual_seed(31)
    fine = torch.randn(4, GRAIN, GRAIN, generator=g)
    coarse = F.avg_pool2d(F.pad(fine[3:], (1, 1, 1, 1), mode="circular")[None], 3, 1)[0] * 3
    return torch.cat([fine[:3], coarse]).to(device)


def _convolved(image: Tensor, sigma: float) -> Tensor:
    """[3, H, W] blurred by a Gaussian of a few pixels at most."""
    r = max(1, round(2.5 * sigma))
    t = torch.arange(-r, r + 1, dtype=torch.float32, device=image.device)
    k = torch.exp(-0.5 * (t / sigma) ** 2)
    k = k / k.sum()
    x = F.pad(image[:, None], (r, r, r, r), mode="replicate")
    return F.conv2d(F.conv2d(x, k[None, None, None]), k[None, None, :, None])[:, 0]


def photograph(
    rgb: Tensor,  # [H, W, 3] linear light, 1 is white paper in the light; above 1 overexposes
    rng: np.random.Generator,
    strength: float = 1.0,  # 0: a plain conversion to sRGB; 1: as photos vary; 2: bad photos
) -> Tensor:
    """A photo of the scene [H, W, 3] uint8 sRGB on the same device."""
    s = float(strength)
    x = rgb.permute(2, 0, 1).float()
    _, h, w = x.shape
    luma = x.new_tensor(LUMA)[:, None, None]
    if s > 0:
        # Automatic exposure goes half of the way, as photographers expose for people and not for walls.
        mean = (x * luma).sum(0).clamp(0, 1).mean().clamp(min=0.02)
        exposure = (MIDDLE / mean) ** 0.4 * float(np.exp(rng.normal(0.05, 0.16 * s)))
        warm, green = rng.normal(0, 0.045 * s), rng.normal(0, 0.015 * s)
        balance = np.exp([warm, green, -warm])
        balance = balance / balance.mean()
        x = x * (exposure * x.new_tensor(balance)[:, None, None])
        if rng.random() < 0.5:
            amount = rng.uniform(0, 0.35) * s
            gy = torch.linspace(-1, 1, h, device=x.device)[:, None]
            gx = torch.linspace(-1, 1, w, device=x.device)[None]
            x = x * (1 - amount * 0.5 * (gx**2 + gy**2) ** 1.5).clamp(min=0.2)
        scale = max(h, w) / 512
        sigma = abs(rng.normal(0, 0.45 * s)) * scale
        if sigma > 0.25:
            x = _convolved(x, sigma)
        if rng.random() < 0.3:  # a lens that veils
            x = x + 0.02 * s * rng.random() * (1 - x.clamp(max=1))

        # Shot noise grows with the root of the light, read noise does not; cameras smear both a little.
        tile = _grain(x.device).roll((int(rng.integers(GRAIN)), int(rng.integers(GRAIN))), (1, 2))
        reps = -(-h // GRAIN), -(-w // GRAIN)
        tile = (tile.repeat(1, *reps) if max(reps) > 1 else tile)[:, :h, :w]
        level = min(0.05, rng.gamma(1.3, 0.006) * s)
        chroma = rng.uniform(0.2, 0.7)
        x = x.clamp(min=0) + level * (x.clamp(0, 1) + 0.02).sqrt() * (0.8 * tile[3:] + chroma * tile[:3])

    # Highlights roll off instead of clipping: identity up to the knee, then towards 1.
    knee = 0.75
    over = (x - knee).clamp(min=0)
    x = torch.minimum(x, x.new_tensor(knee)) + (1 - knee) * (1 - torch.exp(-over / (1 - knee)))
    x = x.clamp(0, 1)
    x = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)

    if s > 0:
        contrast = rng.normal(0.08, 0.12 * s)
        x = x + contrast * 4 * x * (1 - x) * (x - 0.45)
        grey = (x * luma).sum(0, keepdim=True)
        x = grey + (x - grey) * float(np.clip(rng.normal(1.0, 0.12 * s), 0.5, 1.5))
        if rng.random() < 0.35:  # grading: shadows and lights of different tints
            dark, light = (x.new_tensor(rng.normal(0, 0.015 * s, 3))[:, None, None] for _ in range(2))
            x = x + dark * (1 - grey) ** 2 + light * grey**2
        if rng.random() < 0.2:  # lifted blacks
            lift = 0.06 * s * rng.random()
            x = lift + (1 - lift) * x
        if rng.random() < 0.6:
            x = x + rng.uniform(0, 0.7) * min(s, 1.5) * (x - _convolved(x, 1.0 * scale))
    out = (x.clamp(0, 1) * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).contiguous()
    if s > 0 and rng.random() < 0.75:
        out = jpeg(out, int(np.clip(rng.normal(86, 9 * s), 35, 98)))
    return out


def jpeg(
    image: Tensor,  # [H, W, 3] uint8 sRGB
    quality: int,  # 1 to 100
) -> Tensor:
    """The picture after a round trip through a jpeg file."""
    bgr = np.ascontiguousarray(image.cpu().numpy()[..., ::-1])
    ok, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not ok:
        return image
    back = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert back is not None
    return torch.from_numpy(np.ascontiguousarray(back[..., ::-1])).to(image.device)
