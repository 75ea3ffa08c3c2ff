"""Refine the fit by hand and face landmarks: fingers and wrists (§4.1, SMPL-X), and the face's 2D keypoints."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F

from ..body import Body
from ..body.hands import relaxed_hands
from ..photo.landmarks import Landmarks
from .descent import FLOOR, descend
from .fit_file import Fit
from .posing import posed, pulled, skeleton

FINGERS = ("thumb", "index", "middle", "ring", "pinky")
STEPS, RATE = 60, 0.06  # of Adam, with cosine decay to a tenth
SIGMA = 0.35  # radians: standard deviation about the relaxed hand
PRIOR = 0.02  # weight of the squared deviation against 1 - cosine of each bone
# BlazePose landmark -> face mesh points whose mean it is (eyes: their corners)
FACE = {0: (1,), 2: (362, 263), 5: (33, 133), 9: (291,), 10: (61,)}


def sharpen_face(keypoints: np.ndarray, face: Landmarks | None) -> np.ndarray:
    """BlazePose landmarks [33, 4] with nose, eyes and mouth corners moved to the face mesh's; None: unchanged."""
    if face is None:
        return keypoints
    out = keypoints.copy()
    for row, points in FACE.items():
        out[row, :2] = face.points[list(points), :2].mean(0)
        out[row, 3] = 1
    return out


def fit_fingers(body: Body, fit: Fit, hands: dict[str, Landmarks | None]) -> Fit:
    """The fit with wrists and fingers turned so that their bones have the directions of the hand landmarks.

    A hand that is None keeps relaxed fingers and the wrist of the body fit.
    """
    found = {s: h for s, h in hands.items() if h is not None and h.world is not None}
    if not found:
        return fit
    small = body.reduced(body.keypoint_support).neutral()
    move, a, b, target = [], [], [], []
    for side, hand in found.items():
        assert hand.world is not None
        world = torch.from_numpy(hand.world).float() @ fit.camera.T_cam_world[:3, :3]  # along the world's axes
        wrist = len(body.keypoint_names) + body.joint(f"{side}_wrist")
        move.append(body.joint(f"{side}_wrist"))
        for f, finger in enumerate(FINGERS):
            chain = [len(body.keypoint_names) + body.joint(f"{side}_{finger}{k}") for k in (1, 2, 3)]
            if f"{side}_{finger}_tip" in body.keypoint_names:
                chain.append(body.keypoint_index(f"{side}_{finger}_tip"))
            move += [body.joint(f"{side}_{finger}{k}") for k in (1, 2, 3)]
            rows = [0, *range(1 + 4 * f, 1 + 4 * f + len(chain))]
            for (p, q), (i, j) in zip(zip([wrist, *chain], chain, strict=False), pairwise(rows), strict=True):
                a.append(p)
                b.append(q)
                target.append(world[j] - world[i])
    direction = F.normalize(torch.stack(target), dim=-1).double().numpy()
    rest = relaxed_hands(body).double().numpy()
    wrists = [body.joint(f"{s}_wrist") for s in found]
    rest[wrists] = fit.pose[wrists].double().numpy()
    delta = np.zeros((len(move), 3))
    bones = skeleton(small, [*a, *b])
    start, betas, transl = (x.double().numpy() for x in (fit.pose, fit.betas, fit.transl))
    betas = np.pad(betas, (0, len(bones.dirs) - len(betas)))

    def gradients(step: int) -> list[np.ndarray]:
        pose = start.copy()
        pose[move] = rest[move] + delta
        p = posed(bones, betas, pose, transl)
        along = p.points[len(a) :] - p.points[: len(a)]
        length = np.linalg.norm(along, axis=1, keepdims=True)
        along = along / length
        pull = (along * (along * direction).sum(1, keepdims=True) - direction) / length  # of 1 - cosine
        g = np.zeros_like(pose)
        pulled(bones, p, pose, np.concatenate([-pull, pull]), np.zeros_like(p.vertices), np.zeros((3, 3)),
               np.zeros_like(betas), g, np.zeros(3))  # fmt: skip
        return [g[move] + 2 * PRIOR / SIGMA**2 * delta]

    descend([(delta, RATE)], RATE * FLOOR, STEPS, (0.9, 0.999), gradients)
    pose = fit.pose.clone()
    pose[move] = torch.from_numpy(rest[move] + delta).float()
    return dataclasses.replace(fit, pose=pose)
