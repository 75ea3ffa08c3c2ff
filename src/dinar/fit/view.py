"""The input of the body fit: landmarks and mask of one photo, and the camera that photos are fitted with."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..photo.pose import BodyGuess
from ..photo.surface import SurfaceMap
from ..scene import Camera
from ..scene.crop import Whole

FOCAL = 1.3  # focal length over the longer image side: a phone at 3 to 4 m

# BlazePose landmark -> (keypoint of the body, weight of its 2D error)
LANDMARKS: dict[int, tuple[str, float]] = {
    0: ("nose", 0.6), 2: ("left_eye", 0.4), 5: ("right_eye", 0.4), 7: ("left_ear", 0.6), 8: ("right_ear", 0.6),
    9: ("mouth_left", 0.4), 10: ("mouth_right", 0.4), 11: ("left_shoulder", 1), 12: ("right_shoulder", 1),
    13: ("left_elbow", 1), 14: ("right_elbow", 1), 15: ("left_wrist", 1), 16: ("right_wrist", 1),
    23: ("left_hip", 0.6), 24: ("right_hip", 0.6),
    25: ("left_knee", 1), 26: ("right_knee", 1), 27: ("left_ankle", 1), 28: ("right_ankle", 1),
    29: ("left_heel", 0.5), 30: ("right_heel", 0.5), 31: ("left_big_toe", 0.5), 32: ("right_big_toe", 0.5),
    17: ("left_pinky1", 0.3), 18: ("right_pinky1", 0.3), 19: ("left_index1", 0.3), 20: ("right_index1", 0.3),
}  # fmt: skip
PASSER_BY = 0.02  # of a person's height outside of the mask, from which a keypoint may be another person's

# Least lengths in the picture of a standing person's parts, as shares of the height over all landmarks.
THIGH, SHIN, TRUNK = 0.17, 0.15, 0.15


@dataclass
class View:
    """What is known of one photo."""

    keypoints: np.ndarray  # [33, 4] BlazePose x, y in pixels, z, visibility in [0, 1]
    world: np.ndarray | None  # [33, 3] metres, x right, y down, z away from the camera; None: unknown
    mask: np.ndarray | None  # [H, W] bool, the person
    height: int  # pixels
    width: int  # pixels
    trust: np.ndarray | None = None  # [H, W] float32 in [0, 1], weight of the mask's outline; None: 1 everywhere
    front: np.ndarray | None = None  # [H, W] bool, things in front of the person: bags
    surface: SurfaceMap | None = None  # which point of the default body each pixel shows; None: unknown
    guess: BodyGuess | None = None  # hypotheses about the default body; None: unknown
    whole: Whole | None = None  # the whole photo, where this is a part of it
    focal: float | None = None  # pixels; None: unknown
    build: float | None = None  # from -1, surely a woman's, to 1, surely a man's; None: unknown
    heels: float | None = None  # in [0, 1], how likely the shoes have heels; None: unknown

    def camera(self, focal: float | None = None, pitch: float = 0.0) -> Camera:
        """:func:`photo_camera`; of the whole photo, cut to this part, where the focal length is known: its axis goes
        through the middle of the whole. Else it does not depend on what lies around the person."""
        if self.whole is None or self.focal is None:
            return photo_camera(self.height, self.width, focal or self.focal, pitch)
        k = self.whole.scale
        camera = photo_camera(self.whole.height, self.whole.width, (focal or self.focal) * k, pitch)
        return self.whole.cut(camera, self.height, self.width)


def photo_camera(height: int, width: int, focal: float | None = None, pitch: float = 0.0) -> Camera:
    """The camera that photos are fitted with: at the origin, level or looking down by ``pitch`` radians, towards -z;
    ``focal`` in pixels."""
    f = focal or FOCAL * max(height, width)
    K = torch.tensor([[f, 0, width / 2], [0, f, height / 2], [0, 0, 1.0]])
    c, s = math.cos(pitch), math.sin(pitch)
    T = torch.tensor([[1.0, 0, 0, 0], [0, -c, s, 0], [0, -s, -c, 0], [0, 0, 0, 1]])
    return Camera(K, T, height, width)


def is_standing(
    keypoints: np.ndarray,  # [33, 4] of :class:`View`
) -> bool:
    """True if, in the picture, both legs are stretched downwards and the shoulders are above the hips."""
    y = keypoints[:, 1]
    h = np.ptp(y)
    sides = ((23, 25, 27), (24, 26, 28))
    legs = all(y[knee] - y[hip] > THIGH * h and y[ankle] - y[knee] > SHIN * h for hip, knee, ankle in sides)
    return bool(legs and min(y[11:13]) < min(y[23:25]) - TRUNK * h)


def of_person(
    keypoints: np.ndarray,  # [33, 4] x, y, z in pixels, visibility
    on: np.ndarray,  # [H, W] bool: the person and things before it, not empty
) -> np.ndarray:
    """Keypoints [33, 4] of which those outside of the person are not visible."""
    x, y = (keypoints[:, k].round().astype(int) for k in (0, 1))
    inside = (x >= 0) & (x < on.shape[1]) & (y >= 0) & (y < on.shape[0])
    away = cv2.distanceTransform((~on).astype(np.uint8), cv2.DIST_L2, 5)
    rows = np.flatnonzero(on.any(1))
    out = keypoints.copy()
    out[inside, 3] *= away[y[inside], x[inside]] <= PASSER_BY * (rows[-1] + 1 - rows[0])
    return out
