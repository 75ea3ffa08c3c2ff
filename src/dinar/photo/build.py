"""Whether the person in a photo is built like a man or like a woman (:mod:`dinar.nets.build`).

Keypoints and an outline in clothes do not tell: without this, fits gave most men breasts.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..nets.build import TAPS, BuildNet
from ..nets.parser import Parser
from .blazepose import KEYPOINTS
from .parser_input import person_affine, warp
from .parsing import WEIGHTS as PARSER_WEIGHTS
from .parsing import load_parser

WEIGHTS = PARSER_WEIGHTS / "builds"
HEAD, BODY = (192, 192), (320, 176)  # rows and columns of the crops
FACE = slice(0, 11)  # the face's keypoints, whose middle is that of the head's crop
HALF = 0.9  # half the side of the head's crop, in shoulder widths, or in trunks of TRUNK where the person is turned
TRUNK = 0.6


def has_build() -> bool:
    """Whether the weights are there: a checkout may be without."""
    return (WEIGHTS / "config.json").exists() and (PARSER_WEIGHTS / "config.json").exists()


@cache
def load_build() -> BuildNet:
    """The network, loaded once per process."""
    return BuildNet.from_pretrained(WEIGHTS)


@torch.inference_mode()
def person_build(rgb: np.ndarray, keypoints: np.ndarray) -> float:
    """From -1, surely a woman's, to 1, surely a man's, 0 where both are as likely.

    Args:
        rgb: [H, W, 3] uint8 sRGB.
        keypoints: [33, 4] BlazePose: x, y, z in pixels, visibility.
    """
    return float(load_build()(build_features(rgb, keypoints, load_parser())[None]).div(2).tanh())


def build_features(rgb: np.ndarray, keypoints: np.ndarray, parser: Parser) -> Tensor:
    """[FEATURES] float32: mean and maximum of the encoder's channels over the crops of head and body."""
    out = []
    for M, size in ((_head(keypoints), HEAD), (person_affine(keypoints, BODY), BODY)):
        x = torch.from_numpy(warp(rgb, M, size, border=128)).permute(2, 0, 1)[None].float() / 127.5 - 1
        taps = parser.encode(x.to(parser.head.weight).contiguous(memory_format=torch.channels_last))
        out += [f(taps[i][0].float().flatten(1)) for i in TAPS for f in (lambda t: t.mean(1), lambda t: t.amax(1))]
    return torch.cat(out).cpu()


def _head(keypoints: np.ndarray) -> np.ndarray:
    """[2, 3] affine from photo pixels to the crop of the head."""
    left, right, *hips = (keypoints[KEYPOINTS.index(f"{s}_{n}"), :2] for n in ("shoulder", "hip") for s in
                          ("left", "right"))  # fmt: skip
    trunk = np.linalg.norm((left + right - sum(hips)) / 2)
    half = HALF * max(np.linalg.norm(left - right), TRUNK * trunk, 1)
    k = HEAD[0] / (2 * half)
    return np.c_[k * np.eye(2), HEAD[0] / 2 - 0.5 - k * keypoints[FACE, :2].mean(0)]
