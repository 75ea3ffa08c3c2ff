"""Whose pixels: the pose network's coarse mask sharpened to the photo's edges, or the user's own mask."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import DinarError
from .blazepose import Pose
from .photo import read_image


def person_mask(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    pose: Pose,
    soft: np.ndarray,  # [H, W] float in [0, 1], the pose network's segmentation
) -> np.ndarray:
    """Soft alpha [H, W] float32 in [0, 1] of one person."""
    m = (soft > 0.5).astype(np.uint8)
    k = max(3, int(0.012 * pose.height))
    K = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * k + 1, 2 * k + 1))
    er, di = cv2.erode(m, K), cv2.dilate(m, K)
    g = np.full(m.shape, cv2.GC_BGD, np.uint8)
    g[di > 0], g[m > 0], g[(er > 0) & (soft > 0.9)] = cv2.GC_PR_BGD, cv2.GC_PR_FGD, cv2.GC_FGD
    cv2.grabCut(np.ascontiguousarray(rgb), g, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    return np.isin(g, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def load_mask(path: str | Path, shape: tuple[int, ...]) -> np.ndarray:
    """A user's mask as [H, W] float32 in [0, 1], for a photo of ``shape`` (H, W, ...) at working size.

    White is the person; of an image with transparency, what is opaque. Any size with the photo's aspect will do.
    """
    path = Path(path)
    image = read_image(path)
    h, w = shape[:2]
    if abs(image.width / image.height / (w / h) - 1) > 0.02:
        raise DinarError(f"{path}: expected a mask with the photo's aspect ({w} x {h} px), "
                         f"got {image.width} x {image.height} px")  # fmt: skip
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    values = alpha if alpha is not None and alpha.min() < 255 else np.array(image.convert("RGB")).max(2)
    if 0 < values.max() <= 128:  # label images: any label is the person
        values = np.where(values > 0, 255, 0).astype(np.uint8)
    mask = cv2.resize(values.astype(np.float32) / 255, (w, h), interpolation=cv2.INTER_AREA)
    if (mask > 0.5).mean() < 1e-3:
        raise DinarError(f"{path}: the mask is empty; expected white (or opaque) where the person is")
    return mask
