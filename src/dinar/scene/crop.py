"""Square crops around a mask: the box, the resampled picture, the camera."""

from __future__ import annotations

import cv2
import numpy as np

from . import Camera


def crop_to(camera: Camera, mask: np.ndarray, size: int, margin: float = 0.06) -> tuple[Camera, np.ndarray]:
    """A square crop around the mask: its camera and the mask [size, size] bool in it."""
    box = crop_box(mask, size, margin)
    return camera.crop(*box, size, size), warp_crop(mask.astype(np.float32), box, size, 0.0) > 0.5


def crop_box(mask: np.ndarray, size: int, margin: float = 0.06) -> tuple[float, float, float]:
    """(x0, y0, scale) of the square around the mask, ``margin`` of its longer side on each side."""
    ys, xs = np.nonzero(mask)
    side = max(np.ptp(xs), np.ptp(ys), 1) * (1 + 2 * margin)
    return float((xs.min() + xs.max() + 1 - side) / 2), float((ys.min() + ys.max() + 1 - side) / 2), size / side


def warp_crop(image: np.ndarray, box: tuple[float, float, float], size: int, border: float) -> np.ndarray:
    """Resample an image [H, W(, C)] float32 to the square ``box`` of :func:`crop_box`: [size, size(, C)]."""
    x0, y0, k = box
    # between pixel edges, as cameras count; cv2 counts between pixel centres
    A = np.array([[k, 0, -x0 * k + 0.5 * k - 0.5], [0, k, -y0 * k + 0.5 * k - 0.5]])
    if k < 0.8:
        image = cv2.GaussianBlur(image, (0, 0), max(0.4 / k, 0.3))
    flags = cv2.INTER_CUBIC if k > 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, A, (size, size), flags=flags, borderValue=(border,) * 4)
