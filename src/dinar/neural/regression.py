"""Unseen texels predicted by a network (``nets/regressor.py``), for the texture of mesh, renderer and exports.

On generated people its colours are 1.5 dB nearer to the truth than the restoration's. On photos they stain hems, fade
patterns and darken fair hair, so the texture takes its light alone (``texture/restore.py``).
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch

from ..arrays import read_json
from ..body import Body
from ..device import half
from ..errors import DinarError
from ..nets.pretrained import Network
from ..nets.regressor import TextureRegressor
from ..texture.restore import Predict, rules
from ..texture.texels import texels
from .condition import geometry, surface_condition

ENOUGH = 40  # texels of a class that tell its colour
MOST_TEXELS = 4096  # a side
MOST_GAIN = 2.0  # of a channel
SEEN = 0.5  # share of a network's texel from which it counts as seen


def shipped_regressor() -> Path | None:
    """Weights in the package, if there are any."""
    folder = Path(str(resources.files("dinar") / "weights" / "regression"))
    return folder if (folder / "config.json").is_file() else None


def has_regressor(body: Body) -> bool:
    """The package's regressor was trained with this body's texture."""
    folder = shipped_regressor()
    return folder is not None and read_json(folder / "config.json").get("atlas") == body.atlas.hash


def open_regressor(folder: Path | None, body: Body) -> TextureRegressor:
    """The network of a folder, or the one in the package.

    Raises:
        DinarError: there is none, or it was trained with another body.
    """
    if folder is None and (folder := shipped_regressor()) is None:
        raise DinarError("this dinar ships no regressor: train one (dinar train regression, docs/training.md) and give "
                         "its folder with --regressor, or take --unseen restoration")  # fmt: skip
    net = TextureRegressor.from_pretrained(folder)
    if type(net.config["size"]) is not int or not 1 <= net.config["size"] <= MOST_TEXELS:
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
            correction, logits = (x.float().cpu() for x in net(told.to(device)))
        out = (guess + correction).clamp(0, 1)[0].permute(1, 2, 0).numpy()
        if classes is None:
            return out
        return as_lit_in_front(out, logits[0].argmax(0).numpy() + 1, colour, kinds, inside & ~on[..., 0])

    return predict


def as_lit_in_front(
    out: np.ndarray,  # [s, s, 3] predicted colours
    worn: np.ndarray,  # [s, s] predicted classes
    seen: np.ndarray,  # [s, s, 3] colours of the photo
    classes: np.ndarray,  # [s, s] classes that the photo shows; 0: none
    hidden: np.ndarray,  # [s, s] bool, texels that it does not show
) -> np.ndarray:
    """The prediction with the mean colour that every class has where it is seen: generated people, who taught the
    network, are lit from the front and above, and their backs are dark."""
    out = out.copy()
    for c in np.unique(worn[hidden]):
        here, there = hidden & (worn == c), classes == c
        if here.sum() < ENOUGH or there.sum() < ENOUGH:
            continue
        gain = seen[there].mean(0) / np.maximum(out[here].mean(0), 1e-3)
        out[here] *= np.clip(gain, 1 / MOST_GAIN, MOST_GAIN)
    return out.clip(0, 1)
