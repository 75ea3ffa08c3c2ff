"""Weights by class of a parse, for the silhouette term of the body fit and for the stiffness of the offsets."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from ..body import Body
from ..body.regions import regions
from ..labels import CLASSES, LABEL
from ..scene import Camera, rasterize_mesh
from ..scene.edges import face_edges

# Weight of the contour term of the fit by class: the outline of skin is the body's, that of a coat is not.
TRUST = {
    "background": 1.0, "skin": 1.0, "face": 1.0, "legwear": 1.0, "lower": 0.8, "upper": 0.7, "shoes": 0.7,
    "accessory": 0.5, "outer": 0.35, "skirt": 0.2, "hair": 0.1, "glasses": 0.3, "hat": 0.1, "bag": 0.0,
}  # fmt: skip
# Stiffness of the offsets by class, times that of the body part; 1 for classes not named.
CLASS_STIFFNESS = {
    "skin": 450.0, "face": 1100.0, "legwear": 2.0, "hair": 0.3, "hat": 0.3, "skirt": 0.5, "outer": 0.6, "shoes": 0.3,
}  # fmt: skip
SMOOTHINGS = 3  # times that the logarithm of the stiffness is averaged over neighbours
COVERED = 0.5  # least share of hair or hat on an ear, and on both together, for the ear to be hidden
MIN_EAR = 20  # vertices of an ear that have to be seen for a photo to tell
BEHIND = 0.012  # metres behind the visible surface that still count as seen
TOUCH = 0.004  # of the longer side of the picture: how near a bag has to be to the person to count as held
UNSEEN = 255  # class of a vertex that is not seen


def _per_class(values: dict[str, float], default: float) -> np.ndarray:
    return np.array([values.get(name, default) for name in CLASSES], np.float32)


def outline_trust(labels: np.ndarray) -> np.ndarray:
    """TRUST [H, W] float32 of the classes [H, W] uint8; in the background, of a class within two pixels, because the
    pixels of the outline may be background already."""
    near = cv2.dilate(labels, np.ones((5, 5), np.uint8))
    return _per_class(TRUST, 1.0)[np.where(labels > 0, labels, near)]


def in_front(labels: np.ndarray, person: np.ndarray) -> np.ndarray:
    """[H, W] bool: bags and held things that touch the person [H, W] bool, from classes [H, W] uint8."""
    bag = (labels == LABEL["bag"]).astype(np.uint8)
    n, piece = cv2.connectedComponents(bag)
    k = max(3, round(TOUCH * max(labels.shape)) * 2 + 1)
    touched = np.unique(piece[cv2.dilate(person.astype(np.uint8), np.ones((k, k), np.uint8)) > 0])
    return np.isin(piece, touched[touched > 0]) if n > 1 else bag > 0


def vertex_classes(
    body: Body,
    vertices: torch.Tensor,  # [V, 3] world
    camera: Camera,
    labels: np.ndarray,  # [H, W] uint8 in the camera's pixels
) -> np.ndarray:
    """[V] uint8 class seen at each vertex. A vertex that is not seen has the class of its mirror vertex, or UNSEEN."""
    h, w = labels.shape
    f = rasterize_mesh(vertices, body.faces, camera)
    xy, depth = camera.project(vertices)
    x, y = xy.long().unbind(1)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    x, y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    seen = (inside & (depth < f.depth[0, y, x] + BEHIND)).numpy()
    classes = np.where(seen, labels[y.numpy(), x.numpy()], UNSEEN).astype(np.uint8)
    classes[classes == LABEL["background"]] = UNSEEN
    return np.where(classes == UNSEEN, classes[body.mirror], classes)


def class_stiffness(body: Body, classes: np.ndarray) -> np.ndarray:
    """[V] float64 factors of the offsets' stiffness from classes [V], smoothed over the mesh."""
    k = np.append(_per_class(CLASS_STIFFNESS, 1.0), np.ones(256 - len(CLASSES)))[classes]
    log = np.log(k.astype(np.float64))
    for _ in range(SMOOTHINGS):
        total, count = log.copy(), np.ones(len(log))
        for a, b in face_edges(body.faces).transpose(1, 2, 0):
            for i, j in ((a, b), (b, a)):
                np.add.at(total, i, log[j])
                np.add.at(count, i, 1)
        log = total / count
    return np.exp(log)


def ears_under_hair(body: Body, classes: Sequence[np.ndarray]) -> np.ndarray:
    """[V] bool: vertices of the ears that hair or a hat hides in every photo.

    Args:
        classes: of each photo, [V] of :func:`vertex_classes`. Photos that do not show both ears are left out.
    """
    ears = regions(body).ears
    sides = [ears & (body.v_template[:, 0].numpy() * sign > 0) for sign in (1, -1)]
    told = np.array([[np.isin(w[e & (w != UNSEEN)], [LABEL["hair"], LABEL["hat"]]).mean() for e in sides]
                     for w in classes if all((w[e] != UNSEEN).sum() > MIN_EAR for e in sides)])  # fmt: skip
    covered = np.zeros_like(ears)
    if len(told) and told.mean(1).min() >= COVERED:  # one bare ear makes it likely that the other is bare too
        for ear, share in zip(sides, told.min(0), strict=True):
            covered |= ear & (share > COVERED)
    return covered
