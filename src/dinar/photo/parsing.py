"""What every pixel of a person is: the parser's classes, and a soft alpha of the person alone, at photo resolution.

Bags and whatever else is carried are no part of the person unless asked for; neither are other people.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import torch

from ..device import current, network_dtype
from ..errors import DinarError
from ..labels import CLASSES, CONVENTIONS, IGNORE, LABEL, to_classes
from ..nets.parser import Parser
from ..pictures import decoding, open_picture
from .blazepose import Pose, region_around
from .image import Photo
from .mask import _connected, _skeleton
from .matting import WORK_SIDE, sharpen
from .parser_input import heatmaps, person_affine, warp

WEIGHTS = Path(__file__).parent.parent / "weights" / "parser"
PAD = 10  # cells of the network's output, of 224 along the crop
BACKGROUND, BAG = LABEL["background"], LABEL["bag"]


@dataclass(frozen=True)
class Parse:
    """A parsed photo."""

    labels: np.ndarray  # [H, W] uint8, index into CLASSES; agrees with alpha > .5, but for bags
    alpha: np.ndarray  # [H, W] float32 in [0, 1]: the person (with bags where asked)


def has_parser() -> bool:
    """Whether the weights are there: a checkout may be without."""
    return (WEIGHTS / "config.json").exists()


def load_parser(folder: Path = WEIGHTS) -> Parser:
    """The parser on the device in use, with the batch norms folded into the convolutions.

    In bf16 (AMX) .10 instead of .21 s, the probabilities .001 off on average.
    """
    return _load(folder, current())


@cache
def _load(folder: Path, device: torch.device) -> Parser:
    net = Parser.from_pretrained(folder).fold()
    return net.to(device, network_dtype(device), memory_format=torch.channels_last)  # type: ignore[call-overload]


def parse_person(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    keypoints: np.ndarray,  # [33, 4] BlazePose: x, y, z in pixels, visibility; whose pixels are meant
    keep_accessories: bool = False,  # count bags and held things as the person
    net: Parser | None = None,  # another one than the shipped
    coarse: np.ndarray | None = None,  # [H, W] float in [0, 1]: the pose network's mask, bags and all
) -> Parse:
    """Classes and alpha of one person.

    The pose network and the parser err in different places: with ``coarse`` it is the mean of both, less the bags,
    that is sharpened to the photo's edges.
    """
    box, p = class_probabilities(rgb, keypoints, net or load_parser(), WORK_SIDE)
    person = person_share(p, None if coarse is None else coarse[box], keep_accessories)
    alpha = np.zeros(rgb.shape[:2], np.float32)
    labels = np.zeros(rgb.shape[:2], np.uint8)
    points = keypoints.copy()
    points[:, :2] -= box[1].start, box[0].start
    alpha[box] = refine(np.ascontiguousarray(rgb[box]), person.astype(np.float32), points)
    worn = [k for k in range(len(CLASSES)) if k != BACKGROUND and (k != BAG or keep_accessories)]
    inside = np.asarray(worn, np.uint8)[p[..., worn].argmax(-1)]
    outside = np.where(p[..., BAG] > p[..., BACKGROUND], 0 if keep_accessories else BAG, BACKGROUND).astype(np.uint8)
    enlarge = partial(cv2.resize, dsize=alpha[box].shape[::-1], interpolation=cv2.INTER_NEAREST)
    labels[box] = np.where(alpha[box] > 0.5, enlarge(inside), enlarge(outside))
    return Parse(labels, alpha)


def person_share(
    p: np.ndarray,  # [h, w, classes] of :func:`class_probabilities`
    coarse: np.ndarray | None = None,  # [H, W] in [0, 1], of any size: the pose network's mask of the same part
    keep_accessories: bool = False,
) -> np.ndarray:
    """[h, w] how likely a pixel is the person's: the mean of both networks, less the bags."""
    anything = 1 - p[..., BACKGROUND]
    person = anything if keep_accessories else anything - p[..., BAG]
    if coarse is None:
        return person
    theirs = cv2.resize(coarse, p.shape[1::-1], interpolation=cv2.INTER_AREA)
    share = np.where(anything > 0.3, person / np.maximum(anything, 1e-3), 1)
    return (theirs + anything) / 2 * share


@torch.inference_mode()
def class_probabilities(
    rgb: np.ndarray,  # [H, W, 3] uint8
    keypoints: np.ndarray,  # [33, 4]
    net: Parser,
    side: int | None = None,  # pixels of the longer side of the answer, at most; None: at the photo's resolution
    scale: float = 1,  # of the crop that the network sees, to the one it was trained for
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The part of the photo where anybody or a bag may be, and [h, w, classes] float32 of that part."""
    rows, columns = (round(scale * n / 16) * 16 for n in net.config["size"])
    M = person_affine(keypoints, (rows, columns))
    points = keypoints.copy()
    points[:, :2] = keypoints[:, :2] @ M[:, :2].T + M[:, 2]
    x = torch.from_numpy(warp(rgb, M, (rows, columns))).permute(2, 0, 1)[None].float() / 127.5 - 1
    heat = torch.from_numpy(heatmaps(points, (rows, columns)))[None]
    # the mirror image has as much to say
    x, heat = (torch.cat([v, v.flip(3)]).to(net.head.weight) for v in (x, heat))
    p = net(x.contiguous(memory_format=torch.channels_last), heat).float().softmax(1)
    p = ((p[0] + p[1].flip(2)) / 2).permute(1, 2, 0).cpu().numpy()
    box = _where(p[..., BACKGROUND] < 0.98, M, rgb.shape)  # elsewhere nothing has to be enlarged
    lo = np.array([box[1].start, box[0].start])
    extent = np.array([box[1].stop, box[0].stop]) - lo
    size = np.maximum(1, np.rint(extent * min(1.0, (side or extent.max()) / extent.max()))).astype(int)
    # A cell of the output is the middle of 2 x 2 pixels of the crop; pixel centres are at integers.
    k = extent / size
    A = M[:, :2] / 2
    half = np.c_[A * k, A @ (lo + k / 2 - 0.5) + (M[:, 2] - 0.5) / 2]
    parts = [cv2.warpAffine(np.ascontiguousarray(p[..., i : i + 4]), half, (int(size[0]), int(size[1])),
                            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
             for i in range(0, len(CLASSES), 4)]  # fmt: skip
    return box, np.concatenate([q if q.ndim == 3 else q[..., None] for q in parts], -1)


def _where(
    cells: np.ndarray,  # [rows/2, columns/2] bool, of the network's output
    M: np.ndarray,  # [2, 3] photo to crop
    shape: tuple[int, ...],
) -> tuple[slice, slice]:
    """The box in the photo around these cells, with a margin of background for the colours' vote."""
    xs, ys = (np.flatnonzero(cells.any(axis)) for axis in (0, 1))
    (left, right), (top, bottom) = ((v[0] - PAD, v[-1] + PAD + 1) if len(v) else (0, n)
                                    for v, n in ((xs, cells.shape[1]), (ys, cells.shape[0])))  # fmt: skip
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) * 2 - 0.5
    inverse = cv2.invertAffineTransform(M)
    corners = corners @ inverse[:, :2].T + inverse[:, 2]
    lo = np.floor(corners.min(0)).astype(int).clip(0)
    hi = np.minimum(np.ceil(corners.max(0)).astype(int) + 1, shape[1::-1])
    if (hi <= lo).any():
        raise DinarError("the keypoints lie outside the photo: expected pixels of the upright photo")
    return slice(lo[1], hi[1]), slice(lo[0], hi[0])


def refine(
    rgb: np.ndarray,  # [H, W, 3] uint8 guide
    soft: np.ndarray,  # [h, w] float32 in [0, 1], of any size: a mask whose edges are a few pixels off
    keypoints: np.ndarray,  # [33, 4] pixels of the guide
) -> np.ndarray:
    """[H, W] float32 alpha: the guide's edges, one person, no pin holes."""
    pose = _pose(keypoints)
    alpha = sharpen(rgb, soft, pose.height)
    return _connected(alpha, _skeleton(pose, (0, 0), 1.0, alpha.shape), pose.height)


def _pose(keypoints: np.ndarray) -> Pose:
    visibility = keypoints[:, 3].astype(np.float32)
    return Pose(keypoints.astype(np.float32), visibility, None, None, 1.0, region_around(keypoints))


def read_label_map(
    path: str | Path,
    shape: tuple[int, ...],  # (H, W, ...) of the photo at working size
    convention: str = "dinar",  # of labels.CONVENTIONS: graphonomy, lip, atr, ccp, dinar
    photo: Photo | None = None,  # the working picture, where it may be a part of the photo
) -> np.ndarray:
    """A user's label map (Graphonomy, SCHP, ...) as [H, W] uint8 of CLASSES: a png of one channel or with a palette."""
    path = Path(path)
    if convention not in CONVENTIONS:
        raise DinarError(f"unknown labels {convention!r}: expected one of {', '.join(CONVENTIONS)}")
    with open_picture(path) as image, decoding(path, image):
        kind, mode, labels = image.format, image.mode, np.array(image)
    if kind == "JPEG":
        raise DinarError(f"{path}: expected label numbers as png, got a jpeg, which changes them")
    if mode not in ("L", "P"):
        raise DinarError(f"{path}: expected label numbers (png, grey or with a palette), got an image of mode {mode}. "
                         "Save the label map itself, not its coloured picture")  # fmt: skip
    h, w = shape[:2] if photo is None else photo.original_size[::-1]
    if abs(labels.shape[1] / labels.shape[0] / (w / h) - 1) > 0.02:
        raise DinarError(f"{path}: expected labels with the photo's aspect ({w} x {h} px), "
                         f"got {labels.shape[1]} x {labels.shape[0]} px")  # fmt: skip
    try:
        if photo is None:
            labels = cv2.resize(labels, (w, h), interpolation=cv2.INTER_NEAREST)
        else:
            labels = photo.from_file(labels, cv2.INTER_NEAREST)
        classes = to_classes(labels, convention)
    except DinarError as e:
        raise DinarError(f"{path}: {e}") from e
    if not np.isin(classes, (BACKGROUND, IGNORE)).all():
        return np.where(classes == IGNORE, BACKGROUND, classes).astype(np.uint8)
    raise DinarError(f"{path}: expected {convention} labels, got an empty picture" if not classes.any() else
                     f"{path}: expected {convention} labels, got only 0 and 255: is it a cut-out?")  # fmt: skip


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
