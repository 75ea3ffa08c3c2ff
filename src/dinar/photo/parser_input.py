"""What the human parser looks at: a crop about the keypoints, and the keypoints drawn as heat maps."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from ..scene.crop import warp_affine
from .blazepose import KEYPOINTS

_N = {name: i for i, name in enumerate(KEYPOINTS)}
ABOVE, BELOW, BESIDE = 0.17, 0.07, 0.12  # margins around the keypoints, shares of their extent
LYING = np.deg2rad(40)  # a torso that leans more is turned upright first
SEEN = 0.3  # visibility from which a point is drawn
STRIDE = 4  # crop pixels per heat map pixel

# Channels of the heat maps: lines through these points; the torso is filled, the head and hands are dots.
_SIDES = ("left", "right")
_HEAD = [_N[n] for n in ("nose", "left_eye", "right_eye", "left_ear", "right_ear", "mouth_left", "mouth_right")]
_TORSO = [_N[n] for n in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
_ARMS = [[_N[f"{s}_{p}"] for p in ("shoulder", "elbow", "wrist")] for s in _SIDES]
_HANDS = [[_N[f"{s}_{p}"] for p in ("wrist", "index", "pinky", "thumb")] for s in _SIDES]
_LEGS = [[_N[f"{s}_{p}"] for p in ("hip", "knee", "ankle")] for s in _SIDES]
_FEET = [[_N[f"{s}_{p}"] for p in ("heel", "foot_index", "ankle")] for s in _SIDES]


def person_affine(
    keypoints: np.ndarray,  # [33, 4] x, y, z in pixels, visibility
    size: tuple[int, int],  # rows and columns of the crop
) -> np.ndarray:
    """[2, 3] affine from photo pixels to the crop that holds the whole person, upright."""
    xy = keypoints[keypoints[:, 3] > 0, :2].astype(np.float64)
    up = keypoints[_TORSO[:2], :2].mean(0) - keypoints[_TORSO[2:], :2].mean(0)
    angle = float(np.arctan2(up[0], -up[1])) if (keypoints[_TORSO, 3] > 0).all() else 0.0
    angle = angle if abs(angle) > LYING else 0.0
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, s], [-s, c]])
    p = xy @ R.T
    lo, hi = p.min(0), p.max(0)
    extent = float(np.linalg.norm(hi - lo))
    lo, hi = lo - (BESIDE * extent, ABOVE * extent), hi + (BESIDE * extent, BELOW * extent)
    k = min(size[0] / (hi[1] - lo[1]), size[1] / (hi[0] - lo[0]))
    centre = (lo + hi) / 2
    return np.c_[k * R, np.array([size[1], size[0]]) / 2 - 0.5 - k * centre]


def warp(
    image: np.ndarray,  # [H, W] or [H, W, C]
    M: np.ndarray,  # [2, 3] photo to crop
    size: tuple[int, int],
    nearest: bool = False,
    border: int = 0,
) -> np.ndarray:
    """The crop of ``size`` (rows, columns) that ``M`` makes; colours are area-averaged where it shrinks them."""
    if nearest:
        return cv2.warpAffine(image, M, size[::-1], flags=cv2.INTER_NEAREST, borderValue=(border,) * 4)
    return warp_affine(image, M, size, border)


def heatmaps(
    keypoints: np.ndarray,  # [33, 4] x, y in crop pixels; points of visibility under SEEN are left out
    size: tuple[int, int],  # rows and columns of the crop
) -> np.ndarray:
    """[6, rows/4, columns/4] float32 in [0, 1]: head, torso, arms, hands, legs, feet."""
    shape = size[0] // STRIDE, size[1] // STRIDE
    xy = (keypoints[:, :2] + 0.5) / STRIDE - 0.5
    points = np.clip(np.rint(xy), -(2**14), 2**14).astype(np.int32)
    seen = (keypoints[:, 3] > SEEN) & np.isfinite(xy).all(1)
    r = max(1, round(shape[0] / 80))
    maps = np.zeros((6, *shape), np.uint8)
    for i in _HEAD:
        if seen[i]:
            cv2.circle(maps[0], points[i].tolist(), r, 255, -1)
    if seen[_TORSO].all():
        cv2.fillConvexPoly(maps[1], cv2.convexHull(points[_TORSO]), 255)
    for channel, chains in zip(range(2, 6), (_ARMS, _HANDS, _LEGS, _FEET), strict=True):
        for chain in chains:
            for a, b in pairwise(chain):
                if seen[a] and seen[b]:
                    cv2.line(maps[channel], points[a].tolist(), points[b].tolist(), 255, 2 * r - 1)
    return np.stack([cv2.GaussianBlur(m, (0, 0), 0.8 * r) for m in maps]).astype(np.float32) / 255
