"""Fingers and faces: MediaPipe's hand and face landmark models on crops that the body's keypoints point at.

Both are optional for the fit: a hand or a face that is small, hidden or doubtful is None.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .blazepose import KEYPOINTS, Pose, Region, cut, load_net, sigmoid

HAND_SIZE, FACE_SIZE = 224, 192  # pixels, fixed by the models
MIN_HAND, MIN_FACE = 24, 32  # pixels: below, the models answer with an average hand or face
MIN_PRESENCE = 0.5
MIN_WRIST = 0.3  # visibility: below, the region would be a guess

_N = {name: i for i, name in enumerate(KEYPOINTS)}
# Wrist, thumb base, and each finger's base and first joint: the palm, which says where to look again.
_PALM = [0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18]
_EYE_CORNERS = 33, 263  # outer corners of the right and the left eye in the face mesh


@dataclass(frozen=True)
class Landmarks:
    """Points of one hand (21, MediaPipe's order: wrist, then thumb to little finger) or of one face (468)."""

    points: np.ndarray  # [N, 3] float32: x, y in pixels of the photo; z in pixels, smaller is nearer
    world: np.ndarray | None  # [21, 3] float32 metres about the hand's centre: x right, y down, z away; None for faces
    presence: float  # in [0, 1]
    right: float | None  # hands: the model's own probability of a right hand; None for faces


def hand_landmarks(rgb: np.ndarray, pose: Pose) -> dict[str, Landmarks | None]:  # [H, W, 3] uint8 sRGB
    """``left`` and ``right`` hand of a person, each None where it cannot be read."""
    return {side: _hand(rgb, pose, side) for side in ("left", "right")}


def _hand(rgb: np.ndarray, pose: Pose, side: str) -> Landmarks | None:
    wrist, index, pinky = (pose.keypoints[_N[f"{side}_{p}"], :2] for p in ("wrist", "index", "pinky"))
    if min(pose.visibility[_N[f"{side}_{p}"]] for p in ("wrist", "index", "pinky")) < MIN_WRIST:
        return None
    middle = (2 * index + pinky) / 3
    along = middle - wrist
    # BlazePose's finger points are knuckles: the hand is about twice as long as the way to them.
    size = 2 * float(np.hypot(*along))
    angle = float(np.arctan2(along[0], -along[1]))
    for zoom in (2.0, 1.5, 2.7):  # a fist, or a hand seen end-on, is shorter or longer than its knuckles suggest
        hand = _hand_once(rgb, Region(float(middle[0]), float(middle[1]), zoom * size, angle))
        if hand.presence >= MIN_PRESENCE:
            hand = _hand_once(rgb, _hand_region(hand.points[:, :2]))
        # Far from the body's wrist: the model latched on to the other hand, or on to somebody else's.
        near = np.hypot(*(hand.points[0, :2] - wrist)) < 0.08 * pose.height
        if hand.presence >= MIN_PRESENCE and near and np.ptp(hand.points[:, :2], axis=0).max() >= MIN_HAND:
            return hand
    return None


def _hand_region(xy: np.ndarray) -> Region:  # [21, 2] pixels
    """The square to look at again, as MediaPipe's tracker makes it: twice the palm, shifted to the fingers."""
    target = ((xy[6] + xy[14]) / 2 + xy[10]) / 2
    angle = float(np.arctan2(target[0] - xy[0, 0], xy[0, 1] - target[1]))
    c, s = np.cos(angle), np.sin(angle)
    R = np.array([[c, s], [-s, c]])  # photo -> upright hand
    palm = xy[_PALM] @ R.T
    lo, hi = palm.min(0), palm.max(0)
    x, y = ((lo + hi) / 2 - (0, 0.1 * (hi - lo)[1])) @ R
    return Region(float(x), float(y), 2 * float((hi - lo).max()), angle)


def _hand_once(rgb: np.ndarray, region: Region) -> Landmarks:
    M = region.to_crop(HAND_SIZE)
    out = load_net("hand_landmark_full.tflite")(cut(rgb, M, HAND_SIZE) / 255.0)
    world = out["Identity_3"].reshape(21, 3).copy()
    c, s = np.cos(region.angle), np.sin(region.angle)
    world[:, :2] = world[:, :2] @ np.array([[c, s], [-s, c]])
    points = _to_photo(out["Identity"].reshape(21, 3), M, region.size / HAND_SIZE)
    return Landmarks(points, world.astype(np.float32), float(out["Identity_1"][0]), float(out["Identity_2"][0]))


def face_landmarks(rgb: np.ndarray, pose: Pose) -> Landmarks | None:  # [H, W, 3] uint8 sRGB
    """The 468 points of a person's face, or None where it is turned away, hidden or under ``MIN_FACE`` px."""
    eyes = pose.keypoints[[_N["right_eye"], _N["left_eye"]], :2]
    mouth = pose.keypoints[[_N["mouth_left"], _N["mouth_right"]], :2].mean(0)
    centre, across = (eyes.mean(0) + mouth) / 2, eyes[1] - eyes[0]
    down = float(np.hypot(*(mouth - eyes.mean(0))))
    region = Region(float(centre[0]), float(centre[1]), 4.5 * max(down, float(np.hypot(*across))),
                    float(np.arctan2(across[1], across[0])))  # fmt: skip
    if pose.visibility[[_N["nose"], _N["right_eye"], _N["left_eye"]]].min() < MIN_WRIST or region.size < MIN_FACE:
        return None
    face = _face_once(rgb, region)
    if face.presence < MIN_PRESENCE:
        return None
    face = face_near(rgb, face)
    return face if face is not None and np.ptp(face.points[:, 1]) >= MIN_FACE else None


def face_near(rgb: np.ndarray, face: Landmarks) -> Landmarks | None:  # [H, W, 3] uint8 sRGB
    """The 468 points of the face where another one was found, in this picture or in one like it."""
    xy = face.points[:, :2]
    lo, hi = xy.min(0), xy.max(0)
    across = xy[_EYE_CORNERS[1]] - xy[_EYE_CORNERS[0]]
    x, y = (lo + hi) / 2
    found = _face_once(rgb, Region(float(x), float(y), 1.5 * float((hi - lo).max()),
                                   float(np.arctan2(across[1], across[0]))))  # fmt: skip
    return found if found.presence >= MIN_PRESENCE else None


def _face_once(rgb: np.ndarray, region: Region) -> Landmarks:
    M = region.to_crop(FACE_SIZE)
    out = load_net("face_landmark.tflite")(cut(rgb, M, FACE_SIZE) / 255.0)
    points = _to_photo(out["conv2d_21"].reshape(468, 3), M, region.size / FACE_SIZE)
    return Landmarks(points, None, float(sigmoid(out["conv2d_31"].ravel()[0])), None)


def _to_photo(points: np.ndarray, M: np.ndarray, scale: float) -> np.ndarray:
    """Crop pixels to photo pixels, z scaled alike."""
    inverse = cv2.invertAffineTransform(M)
    return np.c_[points[:, :2] @ inverse[:, :2].T + inverse[:, 2], points[:, 2] * scale].astype(np.float32)
