"""The layers of StyleGAN2 (Karras et al. 2020), used by encoder, generator and discriminator.

They are plain torch operators instead of custom CUDA kernels. Blurs are depthwise convolutions. A modulated convolution
scales its input and output instead of its weights (the identity is in their appendix B); it needs no grouped
convolution, runs on every device and can be differentiated twice (R1).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

GAIN = math.sqrt(2)  # compensates the loss of variance in a leaky ReLU
SLOPE = 0.2  # of the leaky ReLU below 0
MIN_CHANNELS = 8  # of a layer


def channels_at(size: int, width: int, max_channels: int = 512) -> int:
    """Channels at a resolution: width / size, at most ``max_channels``. StyleGAN2's width is 32768 (multiplier 2)."""
    return max(MIN_CHANNELS, min(max_channels, width // size))


def act(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE) * GAIN


def blur(x: Tensor, stride: int = 1, pad: int = 1, gain: float = 1.0) -> Tensor:
    """The separable filter 1 3 3 1, depthwise. In float32 on CPUs: strided bf16 gradients are slow (torch 2.13)."""
    if x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return _blur(x.float(), stride, pad, gain)
    return _blur(x, stride, pad, gain)


def _blur(x: Tensor, stride: int, pad: int, gain: float) -> Tensor:
    k = _filter(gain, x.device, x.dtype).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, k, stride=stride, padding=pad, groups=x.shape[1])


@lru_cache(maxsize=16)
def _filter(gain: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[4, 4]; kept, because a copy to a GPU waits for all that it has to do."""
    with torch.inference_mode(False):  # the next caller may need gradients
        k = torch.tensor([1.0, 3, 3, 1]) / 8
        return (k[:, None] * k * gain).to(device, dtype)


def normal(*shape: int) -> Tensor:
    """Standard normal values; none on the meta device, for which torch would import SymPy."""
    x = torch.empty(shape)
    return x if x.is_meta else x.normal_()


class Conv(nn.Module):
    """Convolution with equalised learning rate, bias and activation; ``down`` blurs and halves the size."""

    def __init__(self, cin: int, cout: int, kernel: int = 3, down: bool = False, linear: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(cout, cin, kernel, kernel))
        self.bias = None if linear else nn.Parameter(torch.zeros(cout))
        self.scale, self.down, self.kernel = 1 / math.sqrt(cin * kernel**2), down, kernel

    def forward(self, x: Tensor) -> Tensor:  # [B, cin, H, W] -> [B, cout, H, W], half of that with down
        w = self.weight * self.scale
        if self.down:
            x = blur(x, stride=1 if self.kernel > 1 else 2, pad=2 if self.kernel > 1 else 1)
            x = F.conv2d(x, w, self.bias, stride=2 if self.kernel > 1 else 1)
        else:
            x = F.conv2d(x, w, self.bias, padding=self.kernel // 2)
        return x if self.bias is None else act(x)


class Dense(nn.Module):
    """Linear layer with equalised learning rate."""

    def __init__(self, cin: int, cout: int, bias: float = 0.0, activate: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(cout, cin))
        self.bias = nn.Parameter(torch.full((cout,), float(bias)))
        self.scale, self.activate = 1 / math.sqrt(cin), activate

    def forward(self, x: Tensor) -> Tensor:  # [B, cin] -> [B, cout]
        x = F.linear(x, self.weight * self.scale, self.bias)
        return act(x) if self.activate else x


class ModulatedConv(nn.Module):
    """Convolution that scales its input channels by the style and normalises (demodulates) its output."""

    def __init__(self, cin: int, cout: int, kernel: int, style: int, up: bool = False, demodulate: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(cout, cin, kernel, kernel))
        self.style = Dense(style, cin, bias=1)
        self.scale, self.up, self.kernel = 1 / math.sqrt(cin * kernel**2), up, kernel
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # [B, cin, H, W], [B, style] -> [B, cout, H or 2H, W or 2W]
        w, s = self.weight * self.scale, self.style(style)
        x = x * s[..., None, None]
        if self.up:
            x = blur(F.conv_transpose2d(x, w.transpose(0, 1), stride=2), gain=4.0)
        else:
            x = F.conv2d(x, w, padding=self.kernel // 2)
        if self.demodulate:
            power = s.float().square() @ w.float().square().sum((2, 3)).mT
            x = x * (power + 1e-8).rsqrt().to(x.dtype)[..., None, None]
        return x


class Styled(nn.Module):
    """Modulated convolution, bias, activation."""

    def __init__(self, cin: int, cout: int, style: int, up: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(cin, cout, 3, style, up)
        self.bias = nn.Parameter(torch.zeros(cout))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return act(self.conv(x, style) + self.bias[:, None, None])


class Residual(nn.Module):
    """Two convolutions and a skip connection; halves the size."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.a, self.b = Conv(cin, cin), Conv(cin, cout, down=True)
        self.skip = Conv(cin, cout, 1, down=True, linear=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.b(self.a(x)) + self.skip(x)) / GAIN


def trunk(cin: int, size: int, width: int, max_channels: int = 512) -> nn.Sequential:
    """Feature extractor of the StyleGAN2 discriminator: [B, cin, size, size] -> [B, channels_at(4), 4, 4]."""
    layers: list[nn.Module] = [Conv(cin, channels_at(size, width, max_channels), 1)]
    while size > 4:
        layers.append(Residual(channels_at(size, width, max_channels), channels_at(size // 2, width, max_channels)))
        size //= 2
    return nn.Sequential(*layers)
