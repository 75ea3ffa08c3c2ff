"""Square crops around a mask: the box, the resampled image, the camera."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from . import Camera

MARGIN = 0.06  # of the mask's longer side
SHARP = 0.8  # scale under which the image is smoothed before it is resampled


class Whole(NamedTuple):
    """The picture that a working picture is cut from, as the arguments of :meth:`Camera.crop`: its pixels are
    (working pixels - (x0, y0)) * scale."""

    x0: float
    y0: float
    scale: float
    height: int
    width: int

    def cut(self, camera: Camera, height: int, width: int) -> Camera:
        """The camera of the working picture of this size, from that of the whole picture at any size."""
        camera = camera.resized(self.height, self.width)
        return camera.crop(-self.x0 * self.scale, -self.y0 * self.scale, 1 / self.scale, height, width)


def crop_to(camera: Camera, mask: np.ndarray, size: int, margin: float = MARGIN) -> tuple[Camera, np.ndarray]:
    """The camera of a square crop around the mask [H, W] bool, and the mask [size, size] bool in it."""
    box = crop_box(mask, size, margin)
    return camera.crop(*box, size, size), warp_crop(mask.astype(np.float32), box, size, 0.0) > 0.5


def crop_box(mask: np.ndarray, size: int, margin: float = MARGIN) -> tuple[float, float, float]:
    """x0, y0 (pixels) and scale of the square around the mask [H, W] bool, to ``size`` pixels.

    Each border is ``margin`` of the mask's longer side wide. New pixel = (old pixel - (x0, y0)) * scale.
    """
    ys, xs = np.nonzero(mask)
    side = max(np.ptp(xs), np.ptp(ys), 1) * (1 + 2 * margin)
    return float((xs.min() + xs.max() + 1 - side) / 2), float((ys.min() + ys.max() + 1 - side) / 2), size / side


def warp_crop(image: np.ndarray, box: tuple[float, float, float], size: int, border: float) -> np.ndarray:
    """Resample an image [H, W(, C)] float32 to the square ``box`` of :func:`crop_box`: [size, size(, C)] float32.

    Outside the image all channels are ``border``.
    """
    x0, y0, k = box
    # cameras have pixel centres at .5, cv2 has them at 0
    A = np.array([[k, 0, -x0 * k + 0.5 * k - 0.5], [0, k, -y0 * k + 0.5 * k - 0.5]])
    if k < SHARP:
        image = cv2.GaussianBlur(image, (0, 0), max(0.4 / k, 0.3))
    flags = cv2.INTER_CUBIC if k > 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(image, A, (size, size), flags=flags, borderValue=(border,) * 4)


def warp_affine(
    image: np.ndarray,  # [H, W] or [H, W, C]
    M: np.ndarray,  # [2, 3] image to crop, pixel centres at integers
    size: tuple[int, int],  # rows and columns of the crop
    border: int = 0,  # outside of the image, in all channels
) -> np.ndarray:
    """A crop whose pixels are area-averaged where it shrinks: a bilinear warp alone would alias. It depends on nothing
    else of the image: one that is reduced first depends on where it begins."""
    n = max(1, int(1 / np.sqrt(abs(np.linalg.det(M[:, :2])))))
    M = np.c_[M[:, :2] * n, M[:, 2] * n + (n - 1) / 2]
    crop = cv2.warpAffine(image, M, (n * size[1], n * size[0]), flags=cv2.INTER_LINEAR, borderValue=(border,) * 4)
    return crop if n == 1 else cv2.resize(crop, size[::-1], interpolation=cv2.INTER_AREA)
