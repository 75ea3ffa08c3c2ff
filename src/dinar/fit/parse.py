"""What every pixel of a person is: the parser's classes, and a soft alpha of the person alone, at photo resolution.

Bags and whatever else is carried are no part of the person unless asked for; neither are other people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from ..errors import DinarError
from ..nets.parser import Parser
from .blazepose import Pose, region_around
from .crop import heatmaps, person_affine, warp
from .labels import CLASSES, CONVENTIONS, LABEL, to_classes
from .mask import _connected, _skeleton, person_mask

WEIGHTS = Path(__file__).parent.parent / "weights" / "parser"
RADIUS = 0.006  # of the guided filter, share of the person's extent
EPSILON = 1e-3  # of squared colours in [0, 1]: edges of less contrast are smoothed over
WORK_SIDE = 640  # pixels of the longer side at which it is solved
STEEP = 2.0  # how much steeper the alpha becomes about its outline
BACKGROUND, BAG = LABEL["background"], LABEL["bag"]


@dataclass(frozen=True)
class Parse:
    """A parsed photo."""

    labels: np.ndarray  # [H, W] uint8, index into CLASSES; agrees with alpha > .5, but for bags
    alpha: np.ndarray  # [H, W] float32 in [0, 1]: the person (with bags where asked)
    probabilities: np.ndarray | None = None  # [H, W, classes] float32, where asked: before the refinement of alpha


def has_parser() -> bool:
    """Whether the weights are there: a checkout may be without."""
    return (WEIGHTS / "config.json").exists()


@cache
def load_parser(folder: Path = WEIGHTS) -> Parser:
    """The parser, loaded once per process, with the batch norms folded into the convolutions."""
    return Parser.from_pretrained(folder).fold().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def parse_person(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    keypoints: np.ndarray,  # [33, 4] BlazePose: x, y, z in pixels, visibility; whose pixels are meant
    keep_accessories: bool = False,  # count bags and held things as the person
    probabilities: bool = False,
    net: Parser | None = None,  # another one than the shipped
    coarse: np.ndarray | None = None,  # [H, W] float in [0, 1]: the pose network's mask, bags and all
) -> Parse:
    """Classes and alpha of one person.

    The pose network and the parser err in different places: with ``coarse`` the mean of both, less the bags, is
    sharpened by GrabCut (person IoU .935, the parser alone .923, the old mask .910: ``benchmarks/parser.py``).
    """
    net = net or load_parser()
    box, p = class_probabilities(rgb, keypoints, net)
    inside = np.ascontiguousarray(rgb[box])
    points = keypoints.copy()
    points[:, :2] -= box[1].start, box[0].start
    others = (BACKGROUND,) if keep_accessories else (BACKGROUND, BAG)
    alpha = np.zeros(rgb.shape[:2], np.float32)
    labels = np.zeros(rgb.shape[:2], np.uint8)
    person = 1 - np.add.reduce([p[..., k] for k in others])
    if coarse is None:
        alpha[box] = refine(inside, person, points)
    else:
        anything = 1 - p[..., BACKGROUND]
        mean = 0.5 * coarse
        share = np.where(anything > 0.3, person / np.maximum(anything, 1e-3), 1)
        mean[box] = (mean[box] + 0.5 * anything) * share
        alpha = person_mask(rgb, _pose(keypoints), mean.astype(np.float32))
    labels[box] = _agree(p, alpha[box] > 0.5, others)
    labels[(labels == BACKGROUND) & (alpha > 0.5)] = LABEL["upper"]  # outside of the crop: next to never
    full = None
    if probabilities:
        full = np.zeros((*rgb.shape[:2], len(CLASSES)), np.float32)
        full[..., BACKGROUND] = 1
        full[box] = p
    return Parse(labels, alpha, full)


@torch.inference_mode()
def class_probabilities(
    rgb: np.ndarray,  # [H, W, 3] uint8
    keypoints: np.ndarray,  # [33, 4]
    net: Parser,
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The part of the photo where anybody or a bag may be, and [h, w, classes] float32 there at its resolution."""
    rows, columns = net.config["size"]
    M = person_affine(keypoints, (rows, columns))
    points = keypoints.copy()
    points[:, :2] = keypoints[:, :2] @ M[:, :2].T + M[:, 2]
    x = torch.from_numpy(warp(rgb, M, (rows, columns))).permute(2, 0, 1)[None].float() / 127.5 - 1
    heat = torch.from_numpy(heatmaps(points, (rows, columns)))[None]
    # the mirror image has as much to say
    x, heat = torch.cat([x, x.flip(3)]), torch.cat([heat, heat.flip(3)])
    p = net(x.contiguous(memory_format=torch.channels_last), heat).float().softmax(1)
    p = ((p[0] + p[1].flip(2)) / 2).permute(1, 2, 0).numpy()
    ys, xs = np.nonzero(p[..., BACKGROUND] < 0.98)  # elsewhere nothing has to be enlarged
    if not len(xs):
        ys, xs = np.array([0, rows // 2 - 1]), np.array([0, columns // 2 - 1])
    left, right, top, bottom = xs.min() - 2, xs.max() + 3, ys.min() - 2, ys.max() + 3
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) * 2 - 0.5
    inverse = cv2.invertAffineTransform(M)
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    lo = np.floor(corners.min(0)).astype(int).clip(0)
    hi = np.ceil(corners.max(0)).astype(int) + 1
    hi = np.minimum(hi, rgb.shape[1::-1])
    if (hi <= lo).any():
        raise DinarError("the keypoints lie outside the photo: expected pixels of the upright photo")
    # A cell of the output is the middle of 2 x 2 pixels of the crop.
    half = np.c_[M[:, :2] / 2, (M[:, :2] @ lo + M[:, 2] - 0.5) / 2]
    size = int(hi[0] - lo[0]), int(hi[1] - lo[1])
    parts = [cv2.warpAffine(np.ascontiguousarray(p[..., k : k + 4]), half, size,
                            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
             for k in range(0, len(CLASSES), 4)]  # fmt: skip
    parts = [q if q.ndim == 3 else q[..., None] for q in parts]
    return (slice(lo[1], hi[1]), slice(lo[0], hi[0])), np.concatenate(parts, -1)


def refine(
    rgb: np.ndarray,  # [h, w, 3] uint8 guide
    soft: np.ndarray,  # [h, w] float32 in [0, 1]: a mask whose edges are a few pixels off
    keypoints: np.ndarray,  # [33, 4] pixels
) -> np.ndarray:
    """[h, w] float32 alpha: the guide's edges, one person, no pin holes."""
    pose = _pose(keypoints)
    alpha = np.clip(STEEP * (_guided(rgb, soft, RADIUS * pose.height) - 0.5) + 0.5, 0, 1)
    bones = _skeleton(pose, (0, 0), 1.0, soft.shape)
    return _connected(alpha, bones, pose.height)


def _guided(
    rgb: np.ndarray,  # [h, w, 3] uint8
    mask: np.ndarray,  # [h, w] float32
    radius: float,  # pixels
) -> np.ndarray:
    """Fast guided filter (He & Sun 2015) where the mask is unsure: locally linear in the colours, so its edges are
    the picture's. The coefficients are found on a smaller picture."""
    k = min(1.0, WORK_SIDE / max(mask.shape))
    size = max(1, round(mask.shape[1] * k)), max(1, round(mask.shape[0] * k))
    image = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    p = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    window = 2 * max(2, round(radius * k)) + 1
    mean = lambda x: np.asarray(cv2.blur(x, (window, window), borderType=cv2.BORDER_REFLECT))  # noqa: E731
    I = image.astype(np.float32) / 255
    channels = cv2.split(I)
    m, m_p = cv2.split(mean(I)), mean(p)
    c = [mean(x * p) - y * m_p for x, y in zip(channels, m, strict=True)]
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    rr, rg, rb, gg, gb, bb = (mean(channels[i] * channels[j]) - m[i] * m[j] + EPSILON * (i == j) for i, j in pairs)
    # The inverse of the symmetric 3 x 3 covariance by cofactors.
    A, B, C = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    D, E, F = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    det = rr * A + rg * B + rb * C
    a = [(q[0] * c[0] + q[1] * c[1] + q[2] * c[2]) / det for q in ((A, B, C), (B, D, E), (C, E, F))]
    offset = m_p - a[0] * m[0] - a[1] * m[1] - a[2] * m[2]
    fit = cv2.resize(mean(cv2.merge([*a, offset])), mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    r, g, b = cv2.split(rgb)
    a_r, a_g, a_b, offset = cv2.split(fit)
    out = (a_r * r + a_g * g + a_b * b) / 255 + offset
    unsure = cv2.dilate(((p > 0.02) & (p < 0.98)).astype(np.uint8), np.ones((window, window), np.uint8))
    return np.where(cv2.resize(unsure, mask.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0, out, mask)


def _agree(p: np.ndarray, person: np.ndarray, others: tuple[int, ...]) -> np.ndarray:
    """[h, w] uint8 labels: of the person's classes inside the mask, of the others outside."""
    outside = np.where(p[..., BAG] > p[..., BACKGROUND], BAG, BACKGROUND) if BAG in others else BACKGROUND
    worn = np.setdiff1d(np.arange(len(CLASSES)), others)
    out = np.full(person.shape, outside, np.uint8)
    out[person] = worn[p[person][:, worn].argmax(1)]
    return out


def _pose(keypoints: np.ndarray) -> Pose:
    visibility = keypoints[:, 3].astype(np.float32)
    return Pose(keypoints.astype(np.float32), visibility, None, None, 1.0, region_around(keypoints))


def read_label_map(
    path: str | Path,
    shape: tuple[int, ...],  # (H, W, ...) of the photo at working size
    convention: str = "dinar",  # of fit.labels.CONVENTIONS: graphonomy, lip, atr, ccp, dinar
) -> np.ndarray:
    """A user's label map (Graphonomy, SCHP, ...) as [H, W] uint8 of CLASSES: a png of one channel or with a palette."""
    from PIL import Image

    path = Path(path)
    if convention not in CONVENTIONS:
        raise DinarError(f"unknown labels {convention!r}: expected one of {', '.join(CONVENTIONS)}")
    try:
        with Image.open(path) as image:
            mode, labels = image.mode, np.array(image)
    except OSError as e:
        raise DinarError(f"{path} cannot be read as an image: {e}") from e
    if mode not in ("L", "P", "1"):
        raise DinarError(f"{path}: expected label numbers (png, grey or with a palette), got an image of mode {mode}. "
                         "Save the label map itself, not its coloured picture")  # fmt: skip
    h, w = shape[:2]
    if abs(labels.shape[1] / labels.shape[0] / (w / h) - 1) > 0.02:
        raise DinarError(f"{path}: expected labels with the photo's aspect ({w} x {h} px), "
                         f"got {labels.shape[1]} x {labels.shape[0]} px")  # fmt: skip
    classes = to_classes(cv2.resize(labels.astype(np.uint8), (w, h), interpolation=cv2.INTER_NEAREST), convention)
    if not (classes > 0).any():
        raise DinarError(f"{path}: the label map is empty")
    return classes


def parse_from_labels(
    rgb: np.ndarray,  # [H, W, 3] uint8
    keypoints: np.ndarray,  # [33, 4]
    labels: np.ndarray,  # [H, W] uint8 of CLASSES
    keep_accessories: bool = False,
) -> Parse:
    """A label map made elsewhere in the parser's place."""
    others = (BACKGROUND,) if keep_accessories else (BACKGROUND, BAG)
    person = ~np.isin(labels, others)
    alpha = refine(rgb, cv2.GaussianBlur(person.astype(np.float32), (0, 0), 1.0), keypoints)
    inside = alpha > 0.5
    # Where the refined outline runs outside the labels' own, the nearest class of the person goes on.
    _, found = cv2.distanceTransformWithLabels((~person).astype(np.uint8), cv2.DIST_L2, 3,
                                               labelType=cv2.DIST_LABEL_PIXEL)  # fmt: skip
    nearest = np.asarray(found, np.int64)
    table = np.zeros(int(nearest.max()) + 1, np.uint8)
    table[nearest[person]] = labels[person]
    outside = np.where(labels == BAG, BAG, BACKGROUND) if not keep_accessories else BACKGROUND
    return Parse(np.where(inside, table[nearest], outside).astype(np.uint8), alpha)
