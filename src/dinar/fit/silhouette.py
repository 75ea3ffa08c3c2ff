"""The person's outline for the body fit: it covers the person mask and nothing else (§4.1)."""

from __future__ import annotations

import cv2
import numpy as np

from .view import View

# Sizes that trade accuracy for time.
FIELD = 256  # pixels a side of the mask's distance field
POINTS = 250  # contour points of a photo


def outline(v: View, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distance outside the mask [FIELD, FIELD] in person heights of ``h`` pixels, contour points [POINTS, 2] in pixels
    and their weights [POINTS], of sum 1 where all are trusted; float64. Without a mask all are zeros."""
    field, points, trust = np.zeros((FIELD, FIELD)), np.zeros((POINTS, 2)), np.zeros(POINTS)
    if v.mask is None or not v.mask.any():
        return field, points, trust
    k = FIELD / max(v.height, v.width)
    hw = max(2, round(v.height * k)), max(2, round(v.width * k))
    mask = cv2.resize(v.mask.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_AREA)
    covered = mask
    if v.front is not None:  # the body may be behind a bag
        front = cv2.resize(v.front.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST)
        covered = np.maximum(mask, front)
    d = np.asarray(cv2.distanceTransform(1 - covered, cv2.DIST_L2, 5) / (h * k), np.float32)
    field = cv2.resize(d, (FIELD, FIELD), interpolation=cv2.INTER_LINEAR).astype(np.float64)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if found:
        c = max(found, key=cv2.contourArea)[:, 0].astype(np.float32)
        inner = (c > 1).all(1) & (c[:, 0] < hw[1] - 2) & (c[:, 1] < hw[0] - 2)  # not where the picture ends
        c = (c[inner] + 0.5) / k
        c = c[np.linspace(0, len(c) - 1, min(POINTS, len(c))).astype(int)] if len(c) else c
        count = len(c)
        points[:count] = c
        i, j = c[:, 1].astype(int).clip(0, v.height - 1), c[:, 0].astype(int).clip(0, v.width - 1)
        trust[:count] = 1.0 if v.trust is None else v.trust[i, j]
        if v.front is not None:  # the mask's edge at a bag is not the body's
            near = cv2.dilate(v.front.astype(np.uint8), np.ones((9, 9), np.uint8))
            trust[:count] *= near[i, j] == 0
        trust /= max(count, 1)
    return field, points, trust
