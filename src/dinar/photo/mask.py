"""Whose pixels, without the parser: the pose network's coarse mask sharpened by GrabCut, or the user's own mask."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import DinarError
from .blazepose import KEYPOINTS, Pose, segment
from .image import MAX_SIDE, Photo, read_image
from .matting import guided

WORK_SIDE = 512  # pixels of the longer side of the person's box in which GrabCut runs
BAND = 0.009  # share of the person's height on either side of the coarse outline that GrabCut may decide
RADIUS = 8  # of the guided filter, pixels at working size

_N = {name: i for i, name in enumerate(KEYPOINTS)}
_LIMBS = [(f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (
    ("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"), ("shoulder", "hip"))]  # fmt: skip


def person_mask(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    pose: Pose,
    soft: np.ndarray | None = None,  # [H, W] float in [0, 1]: a coarse mask to use instead of the pose network's
) -> np.ndarray:
    """Soft alpha [H, W] float32 in [0, 1] of one person: coarse mask, GrabCut in a band, guided filter."""
    if soft is None:
        soft = segment(rgb, pose.region)
    out = np.zeros(soft.shape, np.float32)
    ys, xs = np.nonzero(soft > 0.1)
    if not (soft > 0.5).any():
        return out
    pad = int(0.06 * max(np.ptp(xs), np.ptp(ys))) + 1
    x0, y0 = max(0, xs.min() - pad), max(0, ys.min() - pad)
    box = np.s_[y0 : ys.max() + pad + 1, x0 : xs.max() + pad + 1]
    full = np.ascontiguousarray(rgb[box])
    k = min(1.0, WORK_SIDE / max(full.shape[:2]))
    size = max(1, round(full.shape[1] * k)), max(1, round(full.shape[0] * k))
    image = cv2.resize(full, size, interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(soft[box], size, interpolation=cv2.INTER_AREA)
    bones = _skeleton(pose, (x0, y0), k, coarse.shape)
    cut = _grabcut(image, coarse, bones, pose.height * k)
    # Half of each: GrabCut alone tears where cloth and background look alike, the coarse mask has no edges.
    alpha = guided(image, 0.5 * cut + 0.5 * coarse, full, RADIUS)
    alpha = np.clip(2 * alpha - 0.5, 0, 1)  # steeper, same outline at 0.5
    out[box] = _connected(alpha, cv2.resize(bones, full.shape[1::-1], interpolation=cv2.INTER_NEAREST), pose.height)
    return out


def _skeleton(pose: Pose, origin: tuple[int, int], k: float, shape: tuple[int, ...]) -> np.ndarray:
    """[h, w] uint8, 1 on the torso and along thin lines through the limbs: surely the person."""
    xy = np.rint((pose.keypoints[:, :2] - origin) * k).astype(np.int32)
    seen = pose.visibility > 0.5
    bones = np.zeros(shape, np.uint8)
    thickness = max(1, round(0.012 * pose.height * k))
    for a, b in _LIMBS:
        if seen[_N[a]] and seen[_N[b]]:
            cv2.line(bones, xy[_N[a]].tolist(), xy[_N[b]].tolist(), 1, thickness)
    torso = [_N[n] for n in ("left_shoulder", "right_shoulder", "right_hip", "left_hip")]
    if seen[torso].all():
        cv2.fillConvexPoly(bones, cv2.convexHull(xy[torso]), 1)
    return bones


def _disk(radius: float) -> np.ndarray:
    r = max(1, round(radius))
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * r + 1, 2 * r + 1))


def _grabcut(image: np.ndarray, coarse: np.ndarray, bones: np.ndarray, height: float) -> np.ndarray:
    """[h, w] float32 {0, 1}: GrabCut where the coarse mask is unsure or near its outline."""
    inside = (coarse > 0.5).astype(np.uint8)
    near = cv2.dilate(inside, _disk(BAND * height))
    sure = (cv2.erode(inside, _disk(BAND * height)) > 0) & (coarse > 0.9)
    trimap = np.full(inside.shape, cv2.GC_BGD, np.uint8)
    trimap[near > 0] = cv2.GC_PR_BGD
    trimap[inside > 0] = cv2.GC_PR_FGD
    trimap[sure | (bones > 0)] = cv2.GC_FGD
    if (trimap == cv2.GC_BGD).any() and (trimap == cv2.GC_FGD).any():
        cv2.setRNGSeed(0)  # its colour clusters start at random
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(image, trimap, (0, 0, 1, 1), *models, 2, cv2.GC_INIT_WITH_MASK)
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)


def _connected(alpha: np.ndarray, bones: np.ndarray, height: float) -> np.ndarray:
    """Only what hangs together with the skeleton, with pin holes closed; gaps between arm and body stay open."""
    solid = (alpha > 0.5).astype(np.uint8)
    _, label, stats, _ = cv2.connectedComponentsWithStats(solid, connectivity=4)
    kept = np.unique(label[(bones > 0) & (solid > 0)])
    if not len(kept):
        kept = [1 + stats[1:, cv2.CC_STAT_AREA].argmax()] if len(stats) > 1 else []
    keep = _members(label, kept).astype(np.uint8)
    near = cv2.distanceTransform(1 - keep, cv2.DIST_L2, 3) < 0.01 * height + 1  # soft edges of what is kept
    alpha = np.where(near & (keep >= solid), alpha, 0)
    _, label, stats, _ = cv2.connectedComponentsWithStats(1 - keep, connectivity=4)
    pins = np.flatnonzero(stats[:, cv2.CC_STAT_AREA] < (0.015 * height) ** 2)
    return np.where(_members(label, pins[pins > 0]) & (solid == 0), 1, alpha).astype(np.float32)


def _members(label: np.ndarray, chosen: np.ndarray | list[int]) -> np.ndarray:
    """[H, W] bool: ``np.isin`` by table, which is 20 times faster for labels."""
    table = np.zeros(int(label.max()) + 1, bool)
    table[chosen] = True
    return table[label]


def of_one(
    alpha: np.ndarray,  # [H, W] float in [0, 1]: a cut-out that may hold several people
    mine: np.ndarray,  # [H, W] float in [0, 1]: one person's mask, coarse
    others: np.ndarray,  # [H, W] float in [0, 1]: the others' masks
) -> np.ndarray:
    """The cut-out of one person: pieces of others are dropped, those that hang together are parted by the masks."""
    label = np.asarray(cv2.connectedComponents((alpha > 0.5).astype(np.uint8), connectivity=4)[1], np.int64)
    count = lambda mask: np.bincount(label[mask > 0.5], minlength=int(label.max()) + 1)  # noqa: E731
    m, o = count(mine), count(np.where(mine > others, 0, others))
    foreign, shared = m < 0.1 * o, (m >= 0.1 * o) & (o > 0.1 * m)
    distance = lambda mask: cv2.distanceTransform(1 - mask.astype(np.uint8), cv2.DIST_L2, 3)  # noqa: E731
    nearer = distance((others > 0.5) & (others > mine)) < distance((mine > 0.5) & (mine >= others))
    theirs = cv2.GaussianBlur(nearer.astype(np.float32), (0, 0), 1.0)
    left = np.where(shared[label], alpha * (1 - theirs), alpha)
    gone = foreign[label] & (label > 0)
    near = cv2.dilate(gone.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # their soft edges
    return np.where(gone | (near & (label == 0)), 0, left).astype(np.float32)


def load_mask(path: str | Path, shape: tuple[int, ...], photo: Photo | None = None) -> np.ndarray:
    """A user's mask as [H, W] float32 in [0, 1], for a photo of ``shape`` (H, W, ...), or for a working ``photo``.

    White is the person; of an image with transparency, what is opaque. Any size with the photo's aspect will do.
    """
    path = Path(path)
    image = read_image(path, MAX_SIDE if photo is None or photo.window is None else max(photo.size))
    h, w = shape[:2] if photo is None else photo.original_size[::-1]
    if abs(image.width / image.height / (w / h) - 1) > 0.02:
        raise DinarError(f"{path}: expected a mask with the photo's aspect ({w} x {h} px), "
                         f"got {image.width} x {image.height} px")  # fmt: skip
    alpha = np.array(image.getchannel("A")) if image.mode == "RGBA" else None
    values = alpha if alpha is not None and alpha.min() < 255 else np.array(image.convert("RGB")).max(2)
    if 0 < values.max() <= 128:  # label images: any label is the person
        values = np.where(values > 0, 255, 0).astype(np.uint8)
    mask = values.astype(np.float32) / 255
    if photo is None:
        mask = cv2.resize(mask, (w, h), interpolation=cv2.INTER_AREA)
    else:
        mask = photo.from_file(mask, cv2.INTER_AREA)
    if (mask > 0.5).mean() < 1e-3:
        raise DinarError(f"{path}: the mask is empty; expected white (or opaque) where the person is")
    return mask
