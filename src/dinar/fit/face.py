"""The expression of a photographed face: smile and open mouth, from the face landmarks.

The body's own face is an average one, so landmarks are compared with those of other people, not with its vertices. The
expression is used where the texture is sampled: the avatar's own face is neutral.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor

from ..body import Body
from ..body.regions import regions
from ..photo.landmarks import Landmarks

# Points of the face mesh: corners of the mouth, inner edges of the lips, outer and inner corners of the eyes, from the
# forehead to the chin.
CORNERS, LIPS, EYES, UPRIGHT = (61, 291), (13, 14), ((33, 133), (263, 362)), (152, 10)
# Width of the mouth, height of its corners above the middle of the lips, gap between them, in distances of the eyes: of
# 30 unsmiling faces of street photos, and their standard deviation.
NEUTRAL = np.array([0.81, -0.01, 0.015])
SPREAD = np.array([0.05, 0.02, 0.02])
# Pairs are moved alike: landmarks of a face that is turned away do not tell sides apart.
ACTIONS = (("mouthSmileLeft", "mouthSmileRight"), ("mouthStretchLeft", "mouthStretchRight"),
           ("mouthUpperUpLeft", "mouthUpperUpRight"), ("mouthLowerDownLeft", "mouthLowerDownRight"),
           ("jawOpen",))  # fmt: skip
USUAL = np.array([0.5, 0.5, 1.0, 1.0, 0.25])  # standard deviation of each action: lips show teeth before jaws open
TURNED = 0.7  # most sine between the face's front and the camera: 45 degrees
SLIT = 0.01  # metres, of a lip's edge from the middle


def fit_expression(body: Body, face: Landmarks | None) -> Tensor:
    """[num_expression] float32 in [0, 1]; 0 where the face is not seen or the body has no such expressions."""
    out = torch.zeros(body.num_expression)
    if face is None or not {n for pair in ACTIONS for n in pair} <= set(body.expression_names):
        return out
    measured = measure(face.points * [1, -1, -1])
    if measured is None:
        return out
    A, b = responses(body) / SPREAD[:, None], (measured - NEUTRAL) / SPREAD
    prior = np.diag(1 / USUAL)
    value = nnls(np.vstack([A, prior]), np.append(b, np.zeros(len(ACTIONS))))[0].clip(0, 1)
    for pair, x in zip(ACTIONS, value, strict=True):
        for n in pair:
            out[body.expression_names.index(n)] = float(x)
    return out


def measure(p: np.ndarray, most: float = TURNED) -> np.ndarray | None:  # [468, 3] x right, y up, z to the camera
    """Width, height and gap of the mouth, as in NEUTRAL; None: the face is turned away by more than that sine."""
    across, up, front = upright(p).T
    if abs(front[0]) > most:
        return None
    eyes = np.linalg.norm(p[list(EYES[1])].mean(0) - p[list(EYES[0])].mean(0))
    right, left, upper, lower = p[[*CORNERS, *LIPS]]
    lifted = (right + left - upper - lower) / 2
    return np.array([(left - right) @ across, lifted @ up, (upper - lower) @ up]) / eyes


def upright(p: np.ndarray) -> np.ndarray:  # [468, 3] x right, y up, z to the camera
    """[3, 3] whose columns point across the face (to its left), up, and to its front."""
    across = p[EYES[1][0]] - p[EYES[0][0]]
    across = across / np.linalg.norm(across)
    up = p[UPRIGHT[1]] - p[UPRIGHT[0]]
    up = up - (up @ across) * across
    up = up / np.linalg.norm(up)
    return np.stack([across, up, np.cross(across, up)], 1)


@lru_cache(maxsize=4)
def responses(body: Body, actions: tuple[tuple[str, ...], ...] = ACTIONS) -> np.ndarray:
    """[3, actions] how the numbers of :func:`measure` change with each of the actions."""
    v = body.v_template.cpu().numpy()
    point = {n: body.keypoint_weights[body.keypoint_names.index(n)].cpu().numpy()
             for n in ("mouth_left", "mouth_right", "left_eye", "right_eye")}  # fmt: skip
    moves = lambda n: body.shapedirs[:, :, body.num_betas + body.expression_names.index(n)].cpu().numpy()  # noqa: E731
    upper, lower = _lips(body, v, moves("jawOpen")[:, 1])
    eyes = np.linalg.norm((point["left_eye"] - point["right_eye"]) @ v)
    out = []
    for pair in actions:
        d = np.sum([moves(n) for n in pair], 0)
        left, right = point["mouth_left"] @ d, point["mouth_right"] @ d
        out.append(
            [left[0] - right[0], (left[1] + right[1] - d[upper, 1] - d[lower, 1]) / 2, d[upper, 1] - d[lower, 1]]
        )
    return np.array(out).T / eyes


def _lips(body: Body, v: np.ndarray, opened: np.ndarray) -> tuple[int, int]:
    """Vertices of the inner edges of the upper and the lower lip: where the jaw begins to move."""
    corner = v[[body.keypoint_weights[body.keypoint_names.index("mouth_left")].argmax()]][0]
    middle = np.flatnonzero((np.abs(v[:, 0]) < 1e-4) & (np.abs(v[:, 1] - corner[1]) < SLIT)
                            & (v[:, 2] > corner[2] + SLIT) & ~regions(body).cavity)  # fmt: skip
    down = opened[middle] < opened.min() / 2
    return int(middle[~down][v[middle[~down], 1].argmin()]), int(middle[down][v[middle[down], 1].argmax()])
