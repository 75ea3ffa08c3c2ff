"""What a photo tells about a person as a whole (:mod:`dinar.nets.trait`): their build, whether they wear heels, and
which of their clothes are patterned.

Keypoints and an outline in clothes do not tell the build: without this, fits gave most men breasts. Nor do they tell
heels: keypoints say that a foot points down, which is a step, too. Strength, scale and colours of what varies on a
cloth do not tell stripes from folds in hard light.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..labels import CLASSES, LABEL
from ..nets.parser import Parser
from ..nets.trait import TAPS, Trait
from .blazepose import KEYPOINTS
from .parser_input import person_affine, warp
from .parsing import WEIGHTS as PARSER_WEIGHTS
from .parsing import load_parser

BUILDS, HEELS, PATTERNS = (PARSER_WEIGHTS / name for name in ("builds", "heels", "patterns"))
HEAD, BODY, FEET = (192, 192), (320, 176), (192, 192)  # rows and columns of the crops
FACE = slice(0, 11)  # the face's keypoints, whose middle is that of the head's crop
HALF = 0.9  # half the side of the head's crop, in shoulder widths, or in trunks of TRUNK where the person is turned
TRUNK = 0.6
BESIDE, LEAST = 0.2, 0.44  # half the side of the feet's crop: shins beside the feet's keypoints; shins at least
CLOTHS = tuple(LABEL[name] for name in ("upper", "outer", "lower", "skirt", "legwear"))  # classes that have a pattern
TALL, MULTIPLE = 640, 32  # pixels of a person's longer side where cloths are read; sides of what the encoder sees
INSIDE, LEAST_CLOTH = 5, 300  # pixels that the border of a cloth is wide; least pixels of a cloth without it
ARM = 100  # added to the classes of cloth on arms
WOVEN = (0, 1, 2, 3)  # features of the encoder that are read: strides 2 to 16

Features = Callable[[np.ndarray, np.ndarray, Parser], Tensor]


def has_trait(which: str) -> bool:
    """Whether the weights of ``builds``, ``heels`` or ``patterns`` are there: a checkout may be without."""
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


@torch.inference_mode()
def cloth_patterns(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    labels: np.ndarray,  # [H, W] uint8 of labels.CLASSES
    arms: np.ndarray | None = None,  # [H, W] bool where arms are; None: not told apart
) -> np.ndarray:
    """[2, classes] float32: how likely the cloth of each class has a pattern all over (stripes, checks, prints, tweed,
    fur), in [0, 1], beside the arms and on them; NaN: not seen."""
    out = np.full((2, len(CLASSES)), np.nan, np.float32)
    if found := cloth_features(rgb, labels, load_parser(), arms):
        out[tuple(zip(*found, strict=True))] = load_trait("patterns")(torch.stack([*found.values()])).sigmoid().numpy()
    return out


def cloth_features(
    rgb: np.ndarray, labels: np.ndarray, parser: Parser, arms: np.ndarray | None = None
) -> dict[tuple[int, int], Tensor]:
    """Of cloth beside the arms, 0, and on them, 1, and for each class of CLOTHS that is seen there, [features] float32:
    mean and deviation of the encoder's channels over it, in a picture in which the person is TALL."""
    rows, columns = (np.flatnonzero(((labels > 0) & (labels != LABEL["bag"])).any(k)) for k in (1, 0))
    if not len(rows):
        return {}
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    k = TALL / max(b.stop - b.start for b in box)
    size = tuple(max(1, round(k * (b.stop - b.start))) for b in box[::-1])
    picture = cv2.resize(rgb[box], size, interpolation=cv2.INTER_AREA if k < 1 else cv2.INTER_LINEAR)
    labels = labels if arms is None else labels + ARM * arms.astype(np.uint8)
    worn = cv2.resize(labels[box], size, interpolation=cv2.INTER_NEAREST)
    low, right = (-n % MULTIPLE for n in worn.shape)
    picture = cv2.copyMakeBorder(picture, 0, low, 0, right, cv2.BORDER_REPLICATE)
    worn = cv2.copyMakeBorder(worn, 0, low, 0, right, cv2.BORDER_CONSTANT, value=0)
    inner = {(on, c): cv2.erode((worn == c + on * ARM).astype(np.uint8), np.ones((INSIDE, INSIDE)))
             for on in (0, 1) for c in CLOTHS}  # fmt: skip
    inner = {k: torch.from_numpy(m) for k, m in inner.items() if m.sum() >= LEAST_CLOTH}
    if not inner:
        return {}
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    taps = parser.encode(x.to(parser.head.weight).contiguous(memory_format=torch.channels_last))
    return {k: torch.cat([_statistics(taps[i][0].float().cpu(), m) for i in WOVEN]) for k, m in inner.items()}


def _statistics(channels: Tensor, on: Tensor) -> Tensor:  # [C, h, w], [H, W] {0, 1} -> [2 C]
    """Mean and deviation of channels over the cells that lie in the mask for the most part, or over all if none do."""
    share = F.interpolate(on[None, None].float(), size=channels.shape[1:], mode="area")[0, 0]
    weight = share * (share > 0.5) if (share > 0.5).any() else share
    weight = weight / weight.sum()
    mean = (channels * weight).sum((1, 2))
    return torch.cat([mean, ((channels - mean[:, None, None]).square() * weight).sum((1, 2)).sqrt()])


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
