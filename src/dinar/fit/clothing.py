"""What the classes of a parse say about the body underneath: a coat's outline is not the body's, bare skin's is."""

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

# How much the outline of a class is the body's own: weights of the contour term of the fit.
TRUST = {
    "background": 1.0, "skin": 1.0, "face": 1.0, "legwear": 1.0, "lower": 0.8, "upper": 0.7, "shoes": 0.7,
    "accessory": 0.5, "outer": 0.35, "skirt": 0.2, "hair": 0.1, "glasses": 0.3, "hat": 0.1, "bag": 0.0,
}  # fmt: skip
# How strongly offsets hold to the body, times the prior: skin is the body, hair and skirts are anything but.
HOLD = {"skin": 40.0, "face": 100.0, "legwear": 8.0, "hair": 0.3, "hat": 0.3, "skirt": 0.5, "outer": 0.6}
COVERED = 0.5  # share of an ear, and of both, that has to be hair or hat for the ear to be under it
UNSEEN = 255


def _table(values: dict[str, float], default: float) -> np.ndarray:
    return np.array([values.get(name, default) for name in CLASSES], np.float32)


def outline_trust(labels: np.ndarray) -> np.ndarray:
    """[H, W] float32 from classes [H, W] uint8: that of the person's class at or beside each pixel."""
    near = cv2.dilate(labels, np.ones((5, 5), np.uint8))  # the outline's own pixels may be background already
    return _table(TRUST, 1.0)[np.where(labels > 0, labels, near)]


def in_front(labels: np.ndarray, person: np.ndarray) -> np.ndarray:
    """[H, W] bool: bags and held things that touch the person and hide what is behind them."""
    bag = (labels == LABEL["bag"]).astype(np.uint8)
    n, piece = cv2.connectedComponents(bag)
    k = max(3, round(0.004 * max(labels.shape)) * 2 + 1)
    touched = np.unique(piece[cv2.dilate(person.astype(np.uint8), np.ones((k, k), np.uint8)) > 0])
    return np.isin(piece, touched[touched > 0]) if n > 1 else bag > 0


def vertex_classes(
    body: Body,
    vertices: torch.Tensor,  # [V, 3] world
    camera: Camera,
    labels: np.ndarray,  # [H, W] uint8 in the camera's pixels
) -> np.ndarray:
    """[V] uint8 class seen at each vertex; the twin's where it is hidden itself, UNSEEN where both are."""
    h, w = labels.shape
    f = rasterize_mesh(vertices, body.faces, camera)
    xy, depth = camera.project(vertices)
    x, y = xy.long().unbind(1)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    x, y = x.clamp(0, w - 1), y.clamp(0, h - 1)
    seen = (inside & (depth < f.depth[0, y, x] + 0.012)).numpy()
    classes = np.where(seen, labels[y.numpy(), x.numpy()], UNSEEN).astype(np.uint8)
    classes[classes == LABEL["background"]] = UNSEEN
    return np.where(classes == UNSEEN, classes[body.mirror], classes)


def hold(body: Body, classes: np.ndarray) -> np.ndarray:
    """[V] float64 factors for the stiffness of the offsets, from classes [V], a little smoothed over the mesh."""
    k = np.append(_table(HOLD, 1.0), np.ones(256 - len(CLASSES)))[classes]
    log = np.log(k.astype(np.float64))
    for _ in range(3):
        total, count = log.copy(), np.ones(len(log))
        for a, b in face_edges(body.faces).transpose(1, 2, 0):
            for i, j in ((a, b), (b, a)):
                np.add.at(total, i, log[j])
                np.add.at(count, i, 1)
        log = total / count
    return np.exp(log)


def ears_under_hair(body: Body, classes: Sequence[np.ndarray]) -> np.ndarray:
    """[V] bool: ears that hair or a hat hides in every picture, of whose vertices ``classes`` [V] are."""
    ears = regions(body).ears
    sides = [ears & (body.v_template[:, 0].numpy() * sign > 0) for sign in (1, -1)]
    told = np.array([[np.isin(w[e & (w != UNSEEN)], [LABEL["hair"], LABEL["hat"]]).mean() for e in sides]
                     for w in classes if all((w[e] != UNSEEN).sum() > 20 for e in sides)])  # fmt: skip
    covered = np.zeros_like(ears)
    if len(told) and told.mean(1).min() >= COVERED:  # where one is told to be bare, few hairs say little of the other
        for ear, share in zip(sides, told.min(0), strict=True):
            covered |= ear & (share > COVERED)
    return covered
