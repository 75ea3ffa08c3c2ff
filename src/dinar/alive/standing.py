"""A person who stands and sways: the picture without the arms that will move, warped by a smooth field."""

from __future__ import annotations

import cv2
import numpy as np

from ..avatar import Avatar
from ..scene import Camera
from ..scene.textured import render_textured

GRID = 160  # cells that the person is high: displacements are collected in them
SMOOTH = 0.02  # of the person's height: standard deviation of the blur of the field
REACH = 0.02, 0.15  # likewise: how far from the person the field is whole, and where it has ended
SEAM = 1.5  # pixels: softness of the border between the photo and what was behind an arm


def behind_arms(
    avatar: Avatar,
    camera: Camera,
    arms: np.ndarray,  # [V] bool: vertices of the arms that will move
    rest: np.ndarray,  # [H, W] float32: alpha of the person without them
    background: np.ndarray,  # [H, W, 3] float32
) -> np.ndarray:
    """[H, W, 3] float32: the texture of the person without those arms, in the photo's pose, over the background."""
    keep = ~arms[avatar.body.faces].any(1)
    v, atlas = avatar.vertices(), avatar.body.atlas
    drawn = render_textured(v, avatar.body.faces[keep], atlas.uv, atlas.faces[keep], avatar.rgb, camera)
    alpha = (drawn[..., 3] * np.clip(2 * rest, 0, 1))[..., None]
    return alpha * drawn[..., :3] + (1 - alpha) * background


def joined(photo: np.ndarray, behind: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The photo [H, W, 3] float32, and in the mask [H, W] bool what is behind."""
    share = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), SEAM)[..., None] if mask.any() else 0.0
    return photo + share * (behind - photo)


def swayed(
    picture: np.ndarray,  # [H, W, 3] float32
    place: np.ndarray,  # [N, 2] pixels: where points of the person are in the picture
    now: np.ndarray,  # [N, 2] and where they are to be
    person: np.ndarray,  # [H, W] bool
    height: float,  # of the person, pixels
) -> np.ndarray:
    """[H, W, 3] float32: the picture with its points moved; far from the person nothing moves."""
    h, w = person.shape
    k = min(1.0, GRID / height)
    size = max(1, round(w * k)), max(1, round(h * k))
    column = np.clip(now[:, 0] * k, 0, size[0] - 1).astype(int)
    row = np.clip(now[:, 1] * k, 0, size[1] - 1).astype(int)
    total = np.zeros((size[1], size[0], 3), np.float32)
    np.add.at(total, (row, column), np.column_stack([place - now, np.ones(len(now))]))
    known = total[..., 2] > 0
    mean = total[..., :2] / np.maximum(total[..., 2:], 1)
    i, j = nearest(known)
    field = cv2.GaussianBlur(mean[i, j], (0, 0), SMOOTH * height * k)
    far = cv2.distanceTransform((~person).astype(np.uint8), cv2.DIST_L2, 3) / height
    share = np.clip((REACH[1] - far) / (REACH[1] - REACH[0]), 0, 1)
    share = share * share * (3 - 2 * share)
    field = cv2.resize(field, (w, h), interpolation=cv2.INTER_LINEAR) * share[..., None]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    return cv2.remap(picture, x + field[..., 0], y + field[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def nearest(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the nearest pixel in the mask [H, W] bool, for every pixel: its own inside."""
    _, label = cv2.distanceTransformWithLabels((~mask).astype(np.uint8), cv2.DIST_L2, 3,
                                               labelType=cv2.DIST_LABEL_PIXEL)  # fmt: skip
    row, column = np.nonzero(mask)
    label = np.asarray(label, np.int64)
    order = np.zeros(int(label.max()) + 1, np.int64)
    order[label[row, column]] = np.arange(len(row))
    return row[order[label]], column[order[label]]
