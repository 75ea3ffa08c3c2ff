"""From a sound to the face that says it: visemes of a network, blinks, glances and small movements of the head."""

from __future__ import annotations

import dataclasses
import math
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.motion import Motion
from ..body.rotation import axis_angle_to_matrix
from ..body.visemes import VISEMES, viseme_weights
from ..errors import DinarError
from ..nets.visemes import VisemeNet
from .sound import FPS, mel

WEIGHTS = Path(str(resources.files("dinar") / "weights" / "visemes"))
QUIET = -2.0  # log10 power under the voice's level: no speech
SMOOTH = {"PP": 0.02, "FF": 0.025}  # standard deviation in seconds; lips that close or touch the teeth are quick
SMOOTH_OTHER = 0.04
CLOSED = 0.1  # probability of closed lips from which they close wholly: 76 % of closings are met, of 0.3 53 %
SOFT, FULL = 0.7, 1.1  # opening of the mouth, relative, of soft and of loud parts
SOFT_LEVEL, FULL_LEVEL = -1.2, 0.0  # log10 power of those, against the voice's level
BLINK_EVERY, BLINK = (1.8, 5.0), 0.16  # seconds between blinks; how long one takes
GLANCE_EVERY, GLANCE = (0.8, 2.6), 0.12  # seconds between glances; how far they go, of an action's full weight
NOD = np.deg2rad(2.5)  # of the head with the loudness
SWAY = np.deg2rad(2.0)  # of the head, slowly


def heard(samples: np.ndarray, net: VisemeNet | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the visemes [T, VISEMES] and level [T] (log10 power against the voice's), 100 a second."""
    net = net or VisemeNet.from_pretrained(WEIGHTS)
    x = mel(samples)
    with torch.no_grad():
        p = net(torch.from_numpy(x.T)[None]).softmax(1)[0].T.numpy()
    quiet = x[:, -1] < QUIET
    p[quiet] = np.eye(len(VISEMES))[0]
    return p, x[:, -1]


def mouth(p: np.ndarray, level: np.ndarray, fps: float) -> np.ndarray:
    """Weights of the visemes [frames, VISEMES] from their probabilities: smooth as a mouth moves, less open in soft
    parts, and closed where lips close, whatever stands beside."""
    smooth = np.stack([_smoothed(p[:, i], SMOOTH.get(n, SMOOTH_OTHER) * FPS) for i, n in enumerate(VISEMES)], 1)
    lips = VISEMES.index("PP")
    smooth[:, lips] = np.clip(_smoothed(p[:, lips], SMOOTH["PP"] * FPS) / CLOSED, 0, 1)
    others = [i for i in range(len(VISEMES)) if i != lips]
    smooth[:, others] *= (1 - smooth[:, lips : lips + 1]) / np.maximum(smooth[:, others].sum(1, keepdims=True), 1e-6)
    loud = _smoothed(np.clip(level, SOFT_LEVEL, FULL_LEVEL), 0.06 * FPS)
    open_ = SOFT + (FULL - SOFT) * (loud - SOFT_LEVEL) / (FULL_LEVEL - SOFT_LEVEL)
    smooth[:, others] *= open_[:, None]
    at = np.arange(math.ceil(len(p) / FPS * fps)) / fps * FPS
    return np.stack([np.interp(at, np.arange(len(p)), s) for s in smooth.T], 1)


def talking(samples: np.ndarray, body: Body, motion: Motion, seed: int = 0) -> Motion:
    """The motion, as long as the sound, with a face that says it; a loop goes on, others stand still at their end.

    Raises:
        DinarError: the body has no facial actions.
    """
    weights = viseme_weights(body)
    if weights is None:
        raise DinarError(f"expected a body with the 52 facial actions to speak, got {body.name}")
    p, level = heard(samples)
    fps, rng = motion.fps, np.random.default_rng(seed)
    face = torch.from_numpy(mouth(p, level, fps)).float() @ weights
    T = len(face)
    for name, curve in {**_blinks(T, fps, rng), **_glances(T, fps, rng)}.items():
        if name in body.expression_names:
            face[:, body.expression_names.index(name)] += torch.from_numpy(curve).float()
    frames = torch.arange(T) % len(motion) if motion.loop else torch.arange(T).clamp(max=len(motion) - 1)
    turned = _head(motion.rotations[frames], motion.joint_names, level, fps, rng)
    if "head" not in motion.joint_names:
        motion = dataclasses.replace(motion, joint_names=(*motion.joint_names, "head"), rotations=turned[: len(motion)])
    return dataclasses.replace(motion, rotations=turned, transl=motion.transl[frames], loop=False,
                               expression=face.clamp(0, 1), expression_names=body.expression_names)  # fmt: skip


def _smoothed(x: np.ndarray, sigma: float) -> np.ndarray:
    r = max(1, int(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-r, r + 1) / sigma) ** 2)
    return np.convolve(np.pad(x, r, mode="edge"), kernel / kernel.sum(), "valid")


def _blinks(T: int, fps: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Both lids, [T] each."""
    lid, t, at = np.zeros(T), np.arange(T) / fps, rng.uniform(0.5, 2)
    while at < T / fps:
        lid = np.maximum(lid, np.clip(1 - np.abs(t - at) / (BLINK / 2), 0, 1) ** 0.5)
        at += rng.uniform(*BLINK_EVERY)
    return {"eyeBlinkLeft": lid, "eyeBlinkRight": lid}


def _glances(T: int, fps: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Both eyes' directions, [T] each: they jump, stay, and come back to the middle."""
    x, y, at = np.zeros(T), np.zeros(T), 0.0
    while at < T / fps:
        first = int(at * fps)
        x[first:], y[first:] = rng.normal(0, GLANCE), rng.normal(0, GLANCE / 2)
        at += rng.uniform(*GLANCE_EVERY)
    left, right, up, down = np.clip(x, 0, 1), np.clip(-x, 0, 1), np.clip(y, 0, 1), np.clip(-y, 0, 1)
    return {"eyeLookOutLeft": left, "eyeLookInRight": left, "eyeLookInLeft": right, "eyeLookOutRight": right,
            "eyeLookUpLeft": up, "eyeLookUpRight": up, "eyeLookDownLeft": down, "eyeLookDownRight": down}  # fmt: skip


def _head(R: Tensor, names: tuple[str, ...], level: np.ndarray, fps: float, rng: np.random.Generator) -> Tensor:
    """The motion's rotations [T, J, 3, 3] with a head that nods with the voice and sways; a head that the motion lacks
    is added."""
    T = len(R)
    loud = _smoothed(np.clip(level, -1.5, 0.3), 0.25 * FPS)
    nod = np.interp(np.arange(T) / fps * FPS, np.arange(len(loud)), loud - loud.mean())
    t = np.arange(T) / fps
    wave = lambda: np.sin(2 * np.pi * (rng.uniform(0.1, 0.25) * t + rng.uniform()))  # noqa: E731
    turn = np.stack([NOD * nod + SWAY / 2 * wave(), SWAY * wave(), SWAY / 2 * wave()], 1)
    more = axis_angle_to_matrix(torch.from_numpy(turn).to(R))
    if "head" not in names:
        return torch.cat([R, more[:, None]], 1)
    k = names.index("head")
    return torch.cat([R[:, :k], (R[:, k] @ more)[:, None], R[:, k + 1 :]], 1)
