"""Unseen texels predicted by a network (``nets/regressor.py``), for the texture of mesh, renderer and exports.

Its colours are 1.7 dB nearer to the truth than the restoration's, on generated people and on photos, but where it does
not know what is worn it mixes it: hems blur and coats get stains. So the texture takes its light alone
(``texture/restore.py``), and not by default: seams and blotches of light look worse than none (docs/evaluation.md).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch

from ..body import Body
from ..device import half
from ..errors import DinarError
from ..nets.pretrained import Network
from ..nets.regressor import TextureRegressor
from ..texture.restore import Predict, rules
from ..texture.texels import texels
from .condition import geometry, surface_condition

MOST_TEXELS = 4096  # a side
SEEN = 0.5  # share of a network's texel from which it counts as seen


def shipped_regressor() -> Path | None:
    """Weights in the package, if there are any."""
    folder = Path(str(resources.files("dinar") / "weights" / "regression"))
    return folder if (folder / "config.json").is_file() else None


def open_regressor(folder: Path | None, body: Body) -> TextureRegressor:
    """The network of a folder, or the one in the package.

    Raises:
        DinarError: there is none, or it was trained with another body.
    """
    if folder is None and (folder := shipped_regressor()) is None:
        raise DinarError("this dinar ships no regressor: train one (dinar train regression, docs/training.md) and give "
                         "its folder with --regressor, or take --unseen restoration")  # fmt: skip
    net = TextureRegressor.from_pretrained(folder)
    if not 1 <= net.config["size"] <= MOST_TEXELS:
        raise DinarError(f"{folder}: expected a regressor of textures of 1 to {MOST_TEXELS} texels a side, got "
                         f"{net.config['size']!r:.40}")  # fmt: skip
    if net.config["atlas"] not in ("", body.atlas.hash):
        raise DinarError(f"{folder}: this regressor was trained with another body, whose texture is laid out in "
                         "another way: train one with this body, or take --unseen restoration")  # fmt: skip
    return net


def predictor(net: Network, body: Body) -> Predict:
    """The network as :func:`dinar.texture.restore` takes it."""
    size = int(net.config["size"])
    g = geometry(body, size)
    inside = texels(body.atlas, size).inside

    @torch.no_grad()
    def predict(rgb: np.ndarray, lam: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
        n = rgb.shape[0]
        if n < size or n % size:
            raise DinarError(f"expected a texture of a multiple of {size} texels a side for the regressor, got {n}")
        blocks = lambda x: x.reshape(size, n // size, size, n // size, -1).mean((1, 3))  # noqa: E731
        islands = blocks(texels(body.atlas, n).inside.astype(np.float32))
        share = blocks((lam > 0).astype(np.float32))
        on = (share > SEEN * islands) & inside[..., None]
        colour, facing = (blocks(x * (lam > 0).reshape(n, n, *[1] * (x.ndim - 2))) / np.maximum(share, 1e-6)
                          for x in (rgb, lam))  # fmt: skip
        kinds = np.zeros((size, size), np.uint8)
        if classes is not None:
            kinds = cv2.resize(classes, (size, size), interpolation=cv2.INTER_NEAREST)
        to = lambda x: torch.from_numpy(np.ascontiguousarray(x, np.float32).transpose(2, 0, 1))[None]  # noqa: E731
        colour, facing = ((x * on).astype(np.float32) for x in (colour, facing))
        kinds = kinds * on[..., 0]
        device = next(net.parameters()).device
        guess = to(rules(body, colour, facing[..., 0], None if classes is None else kinds))
        told = surface_condition(g, to(colour), to(facing), to(kinds[..., None]), guess)
        with half(device):
            correction = net(told.to(device))[0].float().cpu()
        return (guess + correction).clamp(0, 1)[0].permute(1, 2, 0).numpy()

    return predict
