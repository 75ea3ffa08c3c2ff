"""Metrics of pictures, [H, W, 3] float in [0, 1], sRGB, as published.

``METRICS`` describes them, :class:`Measures` computes them. Metrics with networks are in :mod:`.features`, those of
animations in :mod:`.animation`. docs/evaluation.md explains them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..errors import DinarError
from .features import Dists, FlipReidFeatures, InceptionFeatures, Kid, Lpips, Reid, Vgg16Features

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003
WINDOW, SIGMA = 11, 1.5  # pixels of SSIM's Gaussian window, and its standard deviation (Wang et al. 2004)
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for a peak of 1 (Wang et al. 2004)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; ``where`` [H, W] bool selects pixels. Infinite if equal."""
    d = (np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2
    mse = float(d.mean() if where is None else d[where].mean())
    return float("inf") if mse == 0 else -10 * float(np.log10(mse))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks [H, W] bool; 1 if both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale SSIM (Wang et al. 2003): 11×11 Gaussian without padding, five scales by 2×2 means, mean of RGB.

    Raises:
        DinarError: a side has fewer than 176 pixels.
    """
    if min(a.shape[:2]) < (least := WINDOW * 2 ** (len(MS_SSIM_WEIGHTS) - 1)):
        raise DinarError(f"expected pictures of at least {least} pixels a side for MS-SSIM, got {a.shape[0]} x "
                         f"{a.shape[1]}")  # fmt: skip
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    score = 1.0
    for k, w in enumerate(MS_SSIM_WEIGHTS):
        luminance_contrast, contrast = _ssim(x, y)
        value = luminance_contrast if k == len(MS_SSIM_WEIGHTS) - 1 else contrast
        score = score * np.maximum(value, 0) ** w
        if k < len(MS_SSIM_WEIGHTS) - 1:
            x, y = _halve(x), _halve(y)
    return float(np.mean(score))


def _ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean SSIM and mean contrast-structure term of each channel."""
    edge = slice(WINDOW // 2, -(WINDOW // 2))
    g = lambda z: cv2.GaussianBlur(z, (WINDOW, WINDOW), SIGMA)[edge, edge]  # noqa: E731
    mx, my = g(x), g(y)
    vx, vy, cov = g(x * x) - mx * mx, g(y * y) - my * my, g(x * y) - mx * my
    cs = (2 * cov + C2) / (vx + vy + C2)
    l = (2 * mx * my + C1) / (mx * mx + my * my + C1)
    return (l * cs).mean((0, 1)), cs.mean((0, 1))


def _halve(x: np.ndarray) -> np.ndarray:
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return x[:h, :w].reshape(h // 2, 2, w // 2, 2, -1).mean((1, 3))


# ---- table of metrics ------------------------------------------------------------------------------------------------

FACE = 64  # minimum side of a face crop in pixels: LPIPS was trained on patches of 64


@dataclass(frozen=True)
class Metric:
    """The description of a metric."""

    name: str
    better: Literal["higher", "lower"]
    unit: str
    standard: bool  # a published metric; False: ours, or a substitute
    note: str
    scope: Literal["pair", "set", "animation"] = "pair"
    face: bool = False  # also computed for the face crop, as "face NAME"


_VGG = "ImageNet's VGG16"
METRICS: dict[str, Metric] = {m.name: m for m in (
    Metric("PSNR", "higher", "dB", True, "of the mean square error over the whole picture, background included, peak 1",
           face=True),
    Metric("PSNR-person", "higher", "dB", False, "PSNR over the union of both masks: a plain background adds nothing"),
    Metric("MS-SSIM", "higher", "", True, "Wang et al. 2003, five scales, 11×11 Gaussian, mean of R, G, B"),
    Metric("LPIPS-AlexNet", "lower", "", True, "Zhang et al. 2018, v0.1, at the picture's resolution", face=True),
    Metric("LPIPS-VGG16", "lower", "", True, "Zhang et al. 2018, v0.1, at the picture's resolution", face=True),
    Metric("DISTS", "lower", "", True, "Ding et al. 2020, the shorter side reduced to 256 pixels as the article does",
           face=True),
    Metric("IoU", "higher", "", True, "intersection over union of the silhouettes", face=True),
    Metric("ReID", "lower", "", True, "cosine distance of FlipReID's embeddings of the person's box"),
    Metric("ReID-VGG16 (substitute)", "lower", "", False,
           f"cosine distance of the channel means of {_VGG}'s relu4_3 over the person's box; not comparable with ReID"),
    Metric("KID", "lower", "", True, "Bińkowski et al. 2018, FID's InceptionV3, unbiased, all pictures at once", "set"),
    Metric("KID-VGG16 (substitute)", "lower", "", False,
           f"KID's formula over the channel means of {_VGG}'s relu5_3; not comparable with KID", "set"),
    Metric("flicker", "lower", "of 255", False, "mean absolute second difference of frames, on the person",
           "animation"),
    Metric("warp error", "lower", "", False, "after Lai et al. 2018: mean square error to the next frame taken back by "
           "the motion, which here is not estimated but the body's own", "animation"),
)}  # fmt: skip
_SUBSTITUTE = {"KID": "KID-VGG16 (substitute)", "ReID": "ReID-VGG16 (substitute)"}


class Measures:
    """Computes metrics; networks are loaded once.

    KID and ReID need the user's files; without them, their substitutes are computed. ``names`` are the results' names.
    """

    def __init__(
        self,
        names: Sequence[str] = (),  # keys of METRICS; empty: all
        device: str = "cpu",
        inception: str | Path | None = None,  # TorchScript file or https address, see features.INCEPTION
        reid: str | Path | None = None,  # TorchScript file or https address, see features.FLIPREID
    ) -> None:
        for name in names:
            if name not in METRICS:
                raise DinarError(f"expected metrics among {', '.join(METRICS)}; got {name}")
        missing = {k for k, file in (("KID", inception), ("ReID", reid)) if file is None}
        self.names = tuple(dict.fromkeys(_SUBSTITUTE[n] if n in missing else n for n in (names or METRICS)))
        networks: dict[str, Callable[[], Lpips | Dists | Reid | Kid]] = {
            "LPIPS-AlexNet": lambda: Lpips("alex", device),
            "LPIPS-VGG16": lambda: Lpips("vgg", device),
            "DISTS": lambda: Dists(device),
            "ReID": lambda: Reid(FlipReidFeatures(reid or "", device)),
            "ReID-VGG16 (substitute)": lambda: Reid(Vgg16Features(3, device)),
            "KID": lambda: Kid(InceptionFeatures(inception or "", device)),
            "KID-VGG16 (substitute)": lambda: Kid(Vgg16Features(4, device)),
        }
        self._networks = {n: networks[n]() for n in self.names if n in networks}

    def pair(
        self,
        pred: np.ndarray,  # [H, W, 3] float32 in [0, 1]
        truth: np.ndarray,  # [H, W, 3] float32 in [0, 1]
        pred_mask: np.ndarray,  # [H, W] bool, the person
        truth_mask: np.ndarray,  # [H, W] bool
        face_box: tuple[int, int, int, int] | None = None,  # x0, y0, x1, y1 pixels: adds "face ..." metrics
    ) -> dict[str, float]:
        """The metrics of two pictures. A face box smaller than FACE pixels is widened, not resampled."""
        shapes = {x.shape[:2] for x in (pred, truth, pred_mask, truth_mask)}
        if len(shapes) > 1 or pred.shape != truth.shape:
            raise DinarError(f"expected pictures and masks of one size, got {pred.shape}, {truth.shape}, "
                             f"{pred_mask.shape}, {truth_mask.shape}")  # fmt: skip
        names = [n for n in self.names if METRICS[n].scope == "pair"]
        out = {n: self._pair(n, pred, truth, pred_mask, truth_mask) for n in names}
        if face_box is not None:
            rows, columns = _at_least(face_box[1::2], pred.shape[0]), _at_least(face_box[0::2], pred.shape[1])
            parts = [x[rows, columns] for x in (pred, truth, pred_mask, truth_mask)]
            out |= {f"face {n}": self._pair(n, *parts) for n in names if METRICS[n].face}
        return out

    def sets(self, preds: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> dict[str, float]:
        """The metrics of two sets of at least two pictures (KID)."""
        return {n: net(preds, truths) for n, net in self._networks.items() if isinstance(net, Kid)}

    def _pair(self, name: str, a: np.ndarray, b: np.ndarray, mask_a: np.ndarray, mask_b: np.ndarray) -> float:
        net = self._networks.get(name)
        if isinstance(net, Reid):
            return net(a, b, mask_a, mask_b)
        if isinstance(net, (Lpips, Dists)):
            return net(a, b)
        if name == "PSNR-person":
            union = mask_a | mask_b
            return psnr(a, b, union) if union.any() else float("nan")
        return {"PSNR": psnr, "MS-SSIM": ms_ssim}[name](a, b) if name != "IoU" else iou(mask_a, mask_b)


def _at_least(span: Sequence[int], end: int) -> slice:
    """The pixels from span[0] to span[1], widened to at least FACE pixels within 0 to ``end``."""
    size = min(max(round(span[1] - span[0]), FACE), end)
    start = min(max(round((span[0] + span[1] - size) / 2), 0), end - size)
    return slice(start, start + size)


def interval(
    values: Sequence[float] | np.ndarray,  # one value for each person: pictures of one person are not independent
    seed: int = 0,
    resamples: int = 2000,
) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (percentiles); NaN for fewer than two values."""
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return float("nan"), float("nan")
    means = x[np.random.default_rng(seed).integers(0, len(x), (resamples, len(x)))].mean(1)
    low, high = np.percentile(means, (2.5, 97.5), method="nearest")  # nearest: infinite PSNRs stay infinite
    return float(low), float(high)
