"""A neural texture with its renderer (§3.1): in memory, and as tensors of an avatar file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import DinarError
from ..nets.channels import CHANNELS
from ..nets.pretrained import Network
from ..nets.renderer import FastRenderer, PaperRenderer, folded, load_renderer
from .texture import Fine
from .weights import shipped, weights_hash


@dataclass
class Neural:
    """A neural texture and the renderer that it was made for."""

    texture: Tensor  # [1, 21, S, S] float32, complete (eq. 6)
    fine: Fine | None  # sampled colours at a higher resolution than S
    renderer: Network
    size: int  # pixels a side of the pictures that the renderer was trained on
    rgb_size: int | None = None  # texels a side of the fine layer in its training; 0: it had none; None: as ``size``
    largest: int = 0  # pixels a side of the largest pictures that it saw windows of; 0: none

    def to(self, device: torch.device) -> Neural:
        """The same on another device; itself where it is there already."""
        if self.texture.device == device:
            return self
        fine = None if self.fine is None else self.fine.to(device)
        return Neural(self.texture.to(device), fine, self.renderer.to(device), self.size, self.rgb_size, self.largest)

    @cached_property
    def folded_renderer(self) -> nn.Module:
        """The renderer for inference: batch norms folded into convolutions, channels-last memory."""
        return folded(self.renderer).to(memory_format=torch.channels_last)  # type: ignore[arg-type,call-overload]

    @cached_property
    def _reduced(self) -> dict[int, Fine]:
        return {}

    @cached_property
    def known(self) -> bool:
        """Whether the colours of all texels are known."""
        return self.fine is not None and bool((self.fine.known == 1).all())

    @property
    def coarse(self) -> Fine | None:
        """``fine`` at the resolution that the renderer was trained with; None if it was trained without."""
        rgb_size = self.size if self.rgb_size is None else self.rgb_size
        if rgb_size == 0:
            return None
        return self.finest(rgb_size)

    def finest(self, size: int) -> Fine | None:
        """``fine`` for a picture of ``size`` pixels a side: no texel is much smaller than a pixel."""
        r = 1 if self.fine is None else self.fine.rgb.shape[-1] // size
        if self.fine is None or r < 2:
            return self.fine
        if r not in self._reduced:
            self._reduced[r] = reduced(self.fine, r)
        return self._reduced[r]


def reduced(fine: Fine, r: int) -> Fine:
    """The layer with r² texels averaged to one."""
    known = F.avg_pool2d(fine.known, r)
    return Fine(F.avg_pool2d(fine.rgb * fine.known, r) / known.clamp(min=1e-3), known)


def fine_layer(
    rgb: np.ndarray,  # [n, n, 3] float32 in [0, 1]
    seen: np.ndarray,  # [n, n] λ of §3.2; 0: not seen
) -> Fine:
    """The sampled colours as a layer with its own resolution (``rgb_size``)."""
    known = torch.from_numpy((seen > 0).astype(np.float32))[None, None]
    return Fine(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() * known, known)


def whole_layer(rgb: np.ndarray) -> Fine:  # [n, n, 3] uint8
    """Colours that are known everywhere, as a layer."""
    return fine_layer(rgb / np.float32(255), np.ones(rgb.shape[:2], np.float32))


def to_tensors(neural: Neural, rgb: np.ndarray) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header entry of an avatar file.

    The file contains the renderer unless the package ships it, and the fine colours unless they equal the avatar's
    ``rgb`` [n, n, 3] uint8, with its teeth.
    """
    out, same = {"neural.texture": neural.texture[0].half()}, False
    if neural.fine is not None:
        fine, known = ((x[0] * 255).round().to(torch.uint8) for x in (neural.fine.rgb, neural.fine.known))
        same = bool((known == 255).all()) and np.array_equal(fine.permute(1, 2, 0).cpu().numpy(), rgb)
        out |= {} if same else {"neural.fine": fine, "neural.known": known}
    name, weights = type(neural.renderer).__name__, weights_hash(neural.renderer)
    home = shipped()
    in_package = home is not None and weights_hash(load_renderer(home / "renderer")) == weights
    if not in_package:
        out |= {f"renderer.{k}": v.half() if v.is_floating_point() else v
                for k, v in neural.renderer.state_dict().items() if not k.endswith("num_batches_tracked")}  # fmt: skip
    about = {"size": neural.size, "rgb_size": neural.rgb_size, "largest": neural.largest,
             "renderer": {"network": name, **neural.renderer.config}, "weights": weights,
             "embedded": not in_package, "colours": same}  # fmt: skip
    return out, about


def from_tensors(t: dict[str, Tensor], about: dict[str, Any], rgb: np.ndarray, path: Path) -> Neural | None:
    """Inverse of :func:`to_tensors`. None, with a warning, if neither the file nor the package has the renderer.

    Raises:
        DinarError: the texture or the renderer cannot be read.
    """
    what = f"{path}: expected a neural texture with its renderer"
    config = dict(about["renderer"]) if isinstance(about.get("renderer"), dict) else {}
    kind = {c.__name__: c for c in (FastRenderer, PaperRenderer)}.get(str(config.pop("network", "")))
    size, texture, rgb_size = about.get("size"), t.get("neural.texture"), about.get("rgb_size")
    largest = about.get("largest", 0)
    if type(largest) is not int or not 0 <= largest <= 8192:
        raise DinarError(f"{what}, got a damaged header; make it again with `dinar create`")
    if rgb_size is not None and (type(rgb_size) is not int or not 0 <= rgb_size <= 8192):
        raise DinarError(f"{what}, got a damaged header; make it again with `dinar create`")
    if kind is None or type(size) is not int or not 16 <= size <= 4096:
        raise DinarError(f"{what}, got a damaged header; make it again with `dinar create`")
    side = 0 if texture is None or texture.dim() != 3 else texture.shape[-1]
    if texture is None or tuple(texture.shape) != (CHANNELS, side, side) or not 8 <= side <= 4096:
        raise DinarError(f"{what}, got no texture [{CHANNELS}, S, S]; make it again with `dinar create`")
    if about.get("embedded"):
        found = {k[len("renderer.") :]: v for k, v in t.items() if k.startswith("renderer.")}
        renderer: Network = kind.with_weights(config, found, str(path))
    else:
        home = shipped()
        loaded = load_renderer(home / "renderer") if home else None
        if loaded is None or weights_hash(loaded) != about.get("weights"):
            warnings.warn(f"{path} was made with the networks of another version of dinar: it is rendered as a "
                          "mesh; to use the networks, make it again with `dinar create`", stacklevel=3)  # fmt: skip
            return None
        renderer = loaded
    fine = None
    if about.get("colours"):
        fine = whole_layer(rgb)
    elif "neural.fine" in t:
        colours, known = t["neural.fine"], t.get("neural.known")
        n = colours.shape[-1] if colours.dim() == 3 else 0
        if known is None or tuple(colours.shape) != (3, n, n) or tuple(known.shape) != (1, n, n) or n < 8:
            raise DinarError(f"{what}, got finer colours of another shape; make it again with `dinar create`")
        fine = Fine(colours[None].float() / 255, known[None].float() / 255)
    return Neural(texture[None].float(), fine, renderer, size, rgb_size, largest)
