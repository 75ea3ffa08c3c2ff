"""Simulate a camera: exposure, white balance, lens, sensor noise, tone curve, JPEG. Pixels keep their position."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)
MIDDLE = 0.2  # linear luminance that automatic exposure aims at
GRAIN = 768  # side of the noise tile


@lru_cache(maxsize=4)
def _grain(device: torch.device) -> Tensor:
    """[4, GRAIN, GRAIN] Gaussian: three channels of fine noise and one coarser. A tile: noise must not
    depend on the device."""
    g = torch.Generator().manual_seed(31)
    fine = torch.randn(4, GRAIN, GRAIN, generator=g)
    coarse = F.avg_pool2d(F.pad(fine[3:], (1, 1, 1, 1), mode="circular")[None], 3, 1)[0] * 3
    return torch.cat([fine[:3], coarse]).to(device)


def _convolved(image: Tensor, sigma: float) -> Tensor:
    """[3, H, W] blurred by a Gaussian of a few pixels."""
    if image.device.type == "cpu":
        out = [cv2.GaussianBlur(c, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE) for c in image.numpy()]
        return torch.from_numpy(np.stack(out))
    r = max(1, round(2 * sigma))
    k = np.exp(-0.5 * (np.arange(-r, r + 1) / sigma) ** 2)
    k = (k / k.sum()).tolist()
    _, h, w = image.shape
    wide = F.pad(image[None], (r, r, r, r), mode="replicate")[0]
    rows = wide[:, :h] * k[0]
    for i in range(1, 2 * r + 1):
        rows.add_(wide[:, i : i + h], alpha=k[i])
    out = rows[:, :, :w] * k[0]
    for i in range(1, 2 * r + 1):
        out.add_(rows[:, :, i : i + w], alpha=k[i])
    return out


def _luminance(image: Tensor) -> Tensor:
    """[H, W] of [3, H, W]."""
    return (image[0] * LUMA[0]).add_(image[1], alpha=LUMA[1]).add_(image[2], alpha=LUMA[2])


def _srgb(x: Tensor) -> Tensor:
    """Linear light in [0, 1] to sRGB, within 1/400 of the curve: three roots cost a fifth of a power."""
    a = x.sqrt()
    b = a.sqrt()
    c = b.sqrt()
    bright = 0.662002687 * a + 0.684122060 * b - 0.323583601 * c - 0.0225411470 * x
    return torch.minimum(12.92 * x, bright.clamp(min=0.04045 * 0.98))


def photograph(
    rgb: Tensor,  # [H, W, 3] linear light, 1 is white paper in the light; above 1 overexposes
    rng: np.random.Generator,
    strength: float = 1.0,  # 0: a plain conversion to sRGB; 1: as photos vary; 2: bad photos
) -> Tensor:
    """A photo of the scene [H, W, 3] uint8 sRGB on the same device."""
    s = float(strength)
    x = rgb.permute(2, 0, 1).float().contiguous()
    x = x.clone() if x.data_ptr() == rgb.data_ptr() else x  # the rest works in place
    _, h, w = x.shape
    scale = max(h, w) / 512
    if s > 0:
        # Automatic exposure goes half of the way, as photographers expose for people and not for walls.
        mean = _luminance(x).clamp_(0, 1).mean().clamp(min=0.02)
        exposure = (MIDDLE / mean) ** 0.4 * float(np.exp(rng.normal(0.05, 0.16 * s)))
        warm, green = rng.normal(0, 0.045 * s), rng.normal(0, 0.015 * s)
        balance = np.exp([warm, green, -warm])
        x *= exposure * x.new_tensor(balance / balance.mean())[:, None, None]
        if rng.random() < 0.5:  # vignette
            amount = rng.uniform(0, 0.35) * s
            gy = torch.linspace(-1, 1, h, device=x.device)[:, None]
            gx = torch.linspace(-1, 1, w, device=x.device)[None]
            x *= (1 - amount * 0.4 * (gx**2 + gy**2)).clamp_(min=0.2)
        sigma = abs(rng.normal(0, 0.45 * s)) * scale
        if sigma > 0.3:
            x = _convolved(x, sigma)
        if rng.random() < 0.3:  # a lens that veils
            x += 0.02 * s * rng.random()
        _noise(x, rng, s)

    # Highlights roll off instead of clipping: identity up to the knee, then towards 1.
    knee = 0.75
    over = (x - knee).clamp_(min=0).mul_(-1 / (1 - knee)).exp_()
    x = x.clamp_(max=knee).add_((1 - knee) * (1 - over))
    x = _srgb(x.clamp_(0, 1))

    if s > 0:
        x.addcmul_(x * (1 - x), x - 0.45, value=4 * rng.normal(0.08, 0.12 * s))  # contrast
        grey = _luminance(x)
        x.lerp_(grey.expand_as(x), 1 - float(np.clip(rng.normal(1.0, 0.12 * s), 0.5, 1.5)))  # saturation
        if rng.random() < 0.35:  # grading: shadows and lights of different tints
            dark, light = (x.new_tensor(rng.normal(0, 0.015 * s, 3))[:, None, None] for _ in range(2))
            x += dark * (1 - grey) ** 2 + light * grey**2
        if rng.random() < 0.2:  # lifted blacks
            lift = 0.06 * s * rng.random()
            x.mul_(1 - lift).add_(lift)
        if rng.random() < 0.6:  # sharpening
            x.lerp_(_convolved(x, scale), -rng.uniform(0, 0.7) * min(s, 1.5))
    out = x.clamp_(0, 1).mul_(255).add_(0.5).to(torch.uint8).permute(1, 2, 0).contiguous()
    if s > 0 and rng.random() < 0.75:
        out = jpeg(out, int(np.clip(rng.normal(86, 9 * s), 35, 98)))
    return out


def _noise(x: Tensor, rng: np.random.Generator, strength: float) -> None:
    """Adds to [3, H, W] in place: shot noise grows with the root of the light, read noise does not."""
    _, h, w = x.shape
    i, j = (int(rng.integers(GRAIN)) for _ in range(2))
    tile = _grain(x.device)
    if max(h, w) > GRAIN:
        tile = tile.repeat(1, -(-h // GRAIN), -(-w // GRAIN))
    i, j = i % max(1, GRAIN - h + 1), j % max(1, GRAIN - w + 1)
    tile = tile[:, i : i + h, j : j + w]
    level = min(0.05, rng.gamma(1.3, 0.006) * strength)
    chroma = rng.uniform(0.2, 0.7)
    spread = x.clamp(0, 1).add_(0.02).sqrt_().mul_(level)
    x.addcmul_(spread, tile[:3] * chroma + 0.8 * tile[3:])


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
