"""Training samples of the human parser: pictures with class maps and keypoints, cropped and augmented.

A parsing set is a folder (written by ``data.ccp``)::

    rgb/NAME.jpg|png   labels/NAME.png   keypoints.npz (names [M], keypoints [M, 33, 4])

Every object with ``len`` and ``[i] -> Sample`` can replace it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from ..arrays import Array, read_npz
from ..errors import DinarError
from ..files import file_name
from ..labels import CLASSES, IGNORE, LABEL
from ..photo.parser_input import heatmaps, person_affine, warp
from ..pictures import read_array

IN_MEMORY = 2000  # largest number of pictures of a set that are kept decoded in memory
PASTED = {"bag": 0.35, "accessory": 0.15, "hat": 0.12}  # share of the samples with what another picture's person has
LEAST = 0.002  # smallest area of it, of the picture's squared height: scarves rather than jewellery
AT_HAND = 0.5  # share of the bags that are moved from their owner's wrist to the person's
WRISTS, NECK, EYES = (15, 16), (11, 12), (2, 5)  # BlazePose's; of the neck the shoulders


@dataclass(frozen=True)
class Sample:
    """One picture of one person."""

    rgb: np.ndarray  # [H, W, 3] uint8 sRGB
    labels: np.ndarray  # [H, W] uint8, index into CLASSES; IGNORE: unknown, without loss
    keypoints: np.ndarray  # [33, 4] float32: x, y, z in pixels, visibility


class Samples(Protocol):
    """A source of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Sample: ...


_TABLE = {"names": Array(np.str_, ("N",)), "keypoints": Array(np.float32, ("N", 33, 4), -1e6, 1e6)}


class ParsingSet:
    """A parsing set without the names in ``leave_out``; with ``only``, restricted to these names."""

    def __init__(self, folder: Path, leave_out: frozenset[str] = frozenset(), only: frozenset[str] | None = None):
        self.folder = folder
        self.memory: dict[int, Sample] = {}
        a = read_npz(folder / "keypoints.npz", _TABLE, what="the names and keypoints of a parsing set")
        names, keypoints = [file_name(str(n), str(folder)) for n in a["names"]], a["keypoints"]
        keep = [i for i, n in enumerate(names) if n not in leave_out and (only is None or n in only)]
        self.names, self.keypoints = [names[i] for i in keep], keypoints[keep]
        if not keep:
            raise DinarError(f"{folder}: expected pictures for training, all names are excluded")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> Sample:
        if i not in self.memory:
            sample = self._read(i)
            if len(self) > IN_MEMORY:
                return sample
            self.memory[i] = sample
        return self.memory[i]

    def _read(self, i: int) -> Sample:
        name = self.names[i]
        path = next((p for s in ("jpg", "png") if (p := self.folder / "rgb" / f"{name}.{s}").exists()), None)
        image = read_array(path, cv2.IMREAD_COLOR) if path else None
        labels = read_array(self.folder / "labels" / f"{name}.png")
        if image is None or labels is None or image.shape[:2] != labels.shape or labels.dtype != np.uint8:
            raise DinarError(f"{self.folder}: expected rgb/{name}.jpg (or png) and labels/{name}.png of one size")
        if ((labels >= len(CLASSES)) & (labels != IGNORE)).any():
            raise DinarError(f"{self.folder}/labels/{name}.png: expected labels from 0 to {len(CLASSES) - 1}, or "
                             f"{IGNORE}")  # fmt: skip
        return Sample(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), labels, self.keypoints[i])


def crop(sample: Sample, M: np.ndarray, size: tuple[int, int]) -> Sample:  # M: [2, 3] picture to crop
    """The network's crop of a sample; outside of the picture, colours are black and labels IGNORE."""
    xy = sample.keypoints[:, :2] @ M[:, :2].T + M[:, 2]
    points = np.hstack([xy, sample.keypoints[:, 2:]]).astype(np.float32)
    labels = warp(sample.labels, M, size, nearest=True, border=IGNORE)
    return Sample(warp(sample.rgb, M, size), labels, points)


def augment(
    sample: Sample,
    other: Callable[[], Sample],  # another sample, read when needed: a background, or a second person
    size: tuple[int, int],  # rows and columns
    rng: np.random.Generator,
    owner: Callable[[str], Sample] | None = None,  # another sample, by a class of PASTED that it has, if one is found
) -> Sample:
    """A randomly cropped sample; sometimes with another's bag, scarf or hat, with another background, with a second
    person, or partly occluded."""
    s = crop(sample, _jitter(size, rng) @ _square(person_affine(sample.keypoints, size)), size)
    for kind, share in PASTED.items():
        if owner is not None and rng.random() < share:
            s = _paste(s, owner(kind), kind, size, rng)
    if rng.random() < 0.4:
        s = _compose(s, other(), size, rng)
    rgb, labels = s.rgb.copy(), s.labels.copy()
    if rng.random() < 0.25:
        _cover(rgb, labels, rng)
    return Sample(_camera(_colours(rgb, rng), rng), labels, _noisy(s.keypoints, size, rng))


def tensors(s: Sample, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """Network inputs of a crop: rgb [3, H, W] in [-1, 1] and heat [6, H/4, W/4] float32, labels [H/2, W/2] int64.

    A label is that of a random pixel of the four in each output cell; a fixed pixel would shift outlines.
    """
    y, x = rng.integers(0, 2, 2) if rng is not None else (0, 0)
    rgb = s.rgb.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return {"rgb": rgb, "heat": heatmaps(s.keypoints, s.labels.shape), "labels": s.labels[y::2, x::2].astype(np.int64)}


def _square(M: np.ndarray) -> np.ndarray:
    return np.vstack([M, [0, 0, 1]])


def _jitter(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """[2, 3] scale, rotation, shift and flip about the crop's middle."""
    k = np.exp(np.clip(rng.normal(0, 0.14), -0.4, 0.3))
    angle = np.deg2rad(rng.normal(0, 8) if rng.random() < 0.9 else rng.uniform(-45, 45))
    c, s = k * np.cos(angle), k * np.sin(angle)
    flip = np.diag([rng.choice([-1.0, 1.0]), 1.0])
    middle = np.array([size[1] - 1, size[0] - 1]) / 2
    R = np.array([[c, -s], [s, c]]) @ flip
    return np.c_[R, middle + rng.normal(0, 0.03, 2) * size[0] - R @ middle]


def _compose(s: Sample, other: Sample, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """The person before the other picture, or the other person pasted beside, behind or before the person."""
    M = _jitter(size, rng) @ _square(person_affine(other.keypoints, size))
    swap = rng.random() < 0.5
    M[:, 2] += rng.choice([-1, 1]) * rng.uniform(0.25, 0.7) * size[1] * (1 if not swap else rng.random()), 0
    o = crop(other, M, size)
    mine = (s.labels > 0) & (s.labels != IGNORE)
    front = not swap and rng.random() < 0.3
    # What the other picture does not cover keeps its own background.
    take = (o.labels != IGNORE) & (swap | (o.labels > 0)) & (front | ~mine)
    soft = cv2.GaussianBlur(take.astype(np.float32), (0, 0), 0.7)[..., None]
    labels = np.where(take, 0, s.labels)
    return Sample((s.rgb * (1 - soft) + o.rgb * soft).astype(np.uint8), labels, s.keypoints)


def has(s: Sample, kind: str) -> bool:
    """Whether the person has a thing of this class that is not small."""
    return int((s.labels == LABEL[kind]).sum()) > LEAST * s.labels.shape[0] ** 2


def _paste(s: Sample, other: Sample, kind: str, size: tuple[int, int], rng: np.random.Generator) -> Sample:
    """The person with the other one's thing (Ghiasi et al. 2021): bags at the same place of the body or at the same
    wrist, accessories about the neck, hats on the head."""
    M = _jitter(size, rng) @ _square(person_affine(other.keypoints, size))
    o = crop(other, M, size)
    if kind != "bag":
        at = list(EYES if kind == "hat" else NECK)
        M[:2, 2] += (s.keypoints[at, :2] - o.keypoints[at, :2]).mean(0)
        o = crop(other, M, size)
    elif (bag := np.argwhere(o.labels == LABEL["bag"])).size and rng.random() < AT_HAND:
        mine, theirs = s.keypoints[list(WRISTS), :2], o.keypoints[list(WRISTS), :2]
        k = int(np.linalg.norm(theirs - bag.mean(0)[::-1], axis=1).argmin())
        mine = mine[mine[:, 0].argsort()][theirs[:, 0].argsort().argsort()]  # a mirrored owner's hands change sides
        M[:2, 2] += mine[k] - theirs[k]
        o = crop(other, M, size)
    take = o.labels == LABEL[kind]
    soft = cv2.GaussianBlur(take.astype(np.float32), (0, 0), 0.7)[..., None]
    rgb = (s.rgb * (1 - soft) + o.rgb * soft).astype(np.uint8)
    return Sample(rgb, np.where(take, o.labels, s.labels), s.keypoints)


def _cover(rgb: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> None:
    """Add occluders in place: rectangles and ellipses of one colour or of noise."""
    h, w = labels.shape
    for _ in range(rng.integers(1, 4)):
        centre = [int(rng.uniform(0, w)), int(rng.uniform(0, h))]
        half = [int(rng.uniform(0.02, 0.16) * h) + 1 for _ in range(2)]
        shape = np.zeros((h, w), np.uint8)
        if rng.random() < 0.5:
            cv2.ellipse(shape, centre, half, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        else:
            box = cv2.boxPoints((centre, [2 * half[0], 2 * half[1]], float(rng.uniform(0, 180))))
            cv2.fillConvexPoly(shape, np.rint(box).astype(np.int32), 1)
        on = shape > 0
        fill = rng.uniform(0, 255, 3) + rng.normal(0, rng.choice([0, 25]), (int(on.sum()), 3))
        rgb[on], labels[on] = fill.clip(0, 255), 0


def _colours(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random gamma, contrast, brightness, white balance, saturation and hue."""
    table = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.2))  # gamma
    table = (table - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5 + rng.normal(0, 0.06)
    table = (table * np.exp(rng.normal(0, 0.06, 3)) * 255).clip(0, 255).astype(np.uint8)
    rgb = cv2.LUT(rgb, table[:, None])
    saturation = 0.0 if rng.random() < 0.03 else np.exp(rng.normal(0, 0.25))
    luma = np.array([0.299, 0.587, 0.114])
    mix = np.eye(3) * saturation + (1 - saturation) * luma
    axis, angle = np.ones(3) / 3**0.5, rng.normal(0, 0.12)  # hue: turn about grey
    K = np.cross(np.eye(3), axis)
    mix = (np.eye(3) + np.sin(angle) * K + (1 - np.cos(angle)) * K @ K) @ mix
    return cv2.transform(rgb, mix.astype(np.float32))


def _camera(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Random low resolution, blur, noise and JPEG compression."""
    h, w = rgb.shape[:2]
    if rng.random() < 0.15:
        k = rng.uniform(0.35, 0.8)
        rgb = cv2.resize(cv2.resize(rgb, (int(w * k), int(h * k)), interpolation=cv2.INTER_AREA), (w, h))
    elif rng.random() < 0.15:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.6))
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(2, 12), (h // 2, w // 2, 3)) if rng.random() < 0.5 else \
            rng.normal(0, rng.uniform(2, 12), (h, w, 3))  # fmt: skip
        rgb = (rgb + cv2.resize(noise, (w, h))).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.25:
        file = cv2.imencode(".jpg", rgb, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])[1]
        rgb = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))
    return rgb


def _noisy(keypoints: np.ndarray, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Keypoints with a detector's errors: noise, some missing, sometimes all missing."""
    out = keypoints.copy()
    out[:, :2] += rng.normal(0, rng.choice([0.004, 0.012]) * size[0], (33, 2))
    out[rng.random(33) < 0.05, 3] = 0
    if rng.random() < 0.08:
        out[:, 3] = 0
    return out
