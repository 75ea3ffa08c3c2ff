"""What a photo tells about a person as a whole (:mod:`dinar.nets.trait`): their build, and whether they wear heels.

Keypoints and an outline in clothes do not tell the build: without this, fits gave most men breasts. Nor do they tell
heels: keypoints say that a foot points down, which is a step, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ..nets.parser import Parser
from ..nets.trait import TAPS, Trait
from .blazepose import KEYPOINTS
from .parser_input import person_affine, warp
from .parsing import WEIGHTS as PARSER_WEIGHTS
from .parsing import load_parser

BUILDS, HEELS = PARSER_WEIGHTS / "builds", PARSER_WEIGHTS / "heels"
HEAD, BODY, FEET = (192, 192), (320, 176), (192, 192)  # rows and columns of the crops
FACE = slice(0, 11)  # the face's keypoints, whose middle is that of the head's crop
HALF = 0.9  # half the side of the head's crop, in shoulder widths, or in trunks of TRUNK where the person is turned
TRUNK = 0.6
BESIDE, LEAST = 0.2, 0.44  # half the side of the feet's crop: shins beside the feet's keypoints; shins at least

Features = Callable[[np.ndarray, np.ndarray, Parser], Tensor]


def has_trait(which: str) -> bool:
    """Whether the weights of ``builds`` or ``heels`` are there: a checkout may be without."""
    return all((folder / "config.json").exists() for folder in (PARSER_WEIGHTS / which, PARSER_WEIGHTS))


@cache
def load_trait(which: str) -> Trait:
    """The network, loaded once per process."""
    return Trait.from_pretrained(PARSER_WEIGHTS / which)


@torch.inference_mode()
def person_build(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    keypoints: np.ndarray,  # [33, 4] BlazePose: x, y, z in pixels, visibility
) -> float:
    """From -1, surely a woman's, to 1, surely a man's, 0 where both are as likely."""
    return float(load_trait("builds")(build_features(rgb, keypoints, load_parser())[None]).div(2).tanh())


@torch.inference_mode()
def heels_worn(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    keypoints: np.ndarray,  # [33, 4] BlazePose
) -> float:
    """How likely the shoes have heels of some 4 cm or more, wedges and platforms among them, in [0, 1]."""
    return float(load_trait("heels")(heel_features(rgb, keypoints, load_parser())[None]).sigmoid())


def build_features(rgb: np.ndarray, keypoints: np.ndarray, parser: Parser) -> Tensor:
    """[2 FEATURES] float32: of the crops of head and body."""
    crops = ((_head(keypoints), HEAD), (person_affine(keypoints, BODY), BODY))
    return torch.cat([_features(rgb, M, size, parser) for M, size in crops])


def heel_features(rgb: np.ndarray, keypoints: np.ndarray, parser: Parser) -> Tensor:
    """[FEATURES] float32: of the crop of both feet."""
    return _features(rgb, _feet(keypoints), FEET, parser)


def _features(rgb: np.ndarray, M: np.ndarray, size: tuple[int, int], parser: Parser) -> Tensor:
    """[FEATURES] float32: mean and maximum of the encoder's channels over a crop."""
    x = torch.from_numpy(warp(rgb, M, size, border=128)).permute(2, 0, 1)[None].float() / 127.5 - 1
    taps = parser.encode(x.to(parser.head.weight).contiguous(memory_format=torch.channels_last))
    return torch.cat([f(taps[i][0].float().flatten(1)) for i in TAPS
                      for f in (lambda t: t.mean(1), lambda t: t.amax(1))]).cpu()  # fmt: skip


def _head(keypoints: np.ndarray) -> np.ndarray:
    """[2, 3] affine from photo pixels to the crop of the head."""
    left, right, *hips = (keypoints[KEYPOINTS.index(f"{s}_{n}"), :2] for n in ("shoulder", "hip") for s in
                          ("left", "right"))  # fmt: skip
    trunk = np.linalg.norm((left + right - sum(hips)) / 2)
    half = HALF * max(np.linalg.norm(left - right), TRUNK * trunk, 1)
    return _square(keypoints[FACE, :2].mean(0), half, HEAD[0])


def _feet(keypoints: np.ndarray) -> np.ndarray:
    """[2, 3] affine from photo pixels to the crop of both feet."""

    def of(*names: str) -> np.ndarray:
        return keypoints[[KEYPOINTS.index(f"{s}_{n}") for n in names for s in ("left", "right")], :2]

    feet = of("ankle", "heel", "foot_index")
    shin = float(np.linalg.norm(of("knee").mean(0) - of("ankle").mean(0)))
    lo, hi = feet.min(0), feet.max(0)
    return _square((lo + hi) / 2, max((hi - lo).max() / 2 + BESIDE * shin, LEAST * shin, 1), FEET[0])


def _square(centre: np.ndarray, half: float, side: int) -> np.ndarray:
    """[2, 3] affine to a square crop of ``side`` pixels that reaches ``half`` of the photo's around the centre."""
    k = side / (2 * half)
    return np.c_[k * np.eye(2), side / 2 - 0.5 - k * centre]
