"""Shoes with heels: how high they are, the pose of feet that stand on them, and their shape.

Whether heels are worn, the picture tells (:func:`dinar.photo.traits.heels_worn`), and the fitted body, whose bare feet
point down as the shoes make them. Of some heights, that is taken with which the shoes end where the mask does. On
heels, feet are turned down in the rest pose, so that they stand level wherever a motion lets bare feet stand.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from ..body import Body
from ..body.body import PARTS
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from .fit_file import Fit
from .shoes import ramp
from .view import View

# Probability of heels from which level feet get some; what a degree that both feet point down adds to its logit (293
# labelled photos, docs/measurements.md).
LIKELY, DEGREE = 0.86, 0.15
HEIGHTS, MIDDLE = np.linspace(0.04, 0.10, 7), 0.07  # metres that heels are high; where the picture does not tell
SEAT, BLOCK = 0.03, 0.052  # metres from the end of the foot to the middle of the heel, and to its front
WALL = (0.004, 0.022)  # metres above the sole: what is below comes down to the ground, what is above stays
TAPER = 0.3  # share by which heels get narrower down to the ground
SIDES = ("left", "right")


def heel_height(body: Body, fits: Sequence[Fit], views: Sequence[View]) -> float:
    """Metres that the heels of the shoes are high; 0: flat shoes."""
    said = [v.heels for v in views if v.heels is not None]
    if not said:
        return 0.0
    down = float(np.mean([min(_pitch(body, f, side) for side in SIDES) for f in fits]))
    if logit(np.mean(said)) + DEGREE * np.rad2deg(down) < logit(LIKELY):
        return 0.0
    gaps = [np.concatenate([_gaps(body, f, v, h) for f, v in zip(fits, views, strict=True)]) for h in HEIGHTS]
    far = [np.inf if np.isnan(g).all() else float(np.nanmean(np.abs(g))) for g in gaps]
    return float(HEIGHTS[np.argmin(far)]) if np.isfinite(far).any() else MIDDLE


def on_heels(body: Body, fit: Fit, heel: float) -> Fit:
    """The fit whose bare feet point down, for feet that do so by themselves: ankles give back what heels do. Feet do
    not point up thereby."""
    pose = fit.pose.clone()
    for side in SIDES if heel > 0 else ():
        back = min(max(_pitch(body, fit, side), 0.0), _angle(heel, _lever(body, fit.betas, side)))
        j = body.joint(f"{side}_ankle")
        pose[j] = matrix_to_axis_angle(axis_angle_to_matrix(pose[j]) @ torch.from_numpy(_turn(-back)).to(pose))
    return dataclasses.replace(fit, pose=pose)


def lift_heels(
    body: Body,
    v: np.ndarray,  # [V, 3] metres, rest pose: bare feet or flat shoes
    joints: np.ndarray,  # [J, 3] metres
    heel: float,  # metres
) -> np.ndarray:
    """[V, 3] with feet that stand on heels: turned down at the ankle, up at the toes, with a block at the back."""
    out = v.copy()
    for side in SIDES if heel > 0 else ():
        ankle, foot = (body.joint(f"{side}_{n}") for n in ("ankle", "foot"))
        weight = body.weights[:, [ankle, foot]].cpu().numpy().astype(np.float64)
        own = body.vertex_part == PARTS.index(f"{side}_foot")
        end = v[own, 2].min()
        R = _turn(_angle(heel, joints[foot, 2] - end - SEAT))
        A, T = joints[ankle], R @ (joints[foot] - joints[ankle]) + joints[ankle]
        x = out + weight.sum(1, keepdims=True) * ((out - A) @ R.T + A - out)
        x += weight[:, 1:] * ((x - T) @ R + T - x)
        block = own & (v[:, 2] < end + BLOCK)
        share = (1 - ramp(v[:, 1] - v[block, 1].min(), WALL)) * block
        x[:, 1] += share * (x[own, 1].min() - x[:, 1])
        middle = (x[block].min(0) + x[block].max(0)) / 2
        x[:, [0, 2]] += TAPER * share[:, None] * (middle - x)[:, [0, 2]]
        out = x
    return out


def _gaps(body: Body, fit: Fit, view: View, heel: float) -> np.ndarray:
    """[2] metres by which the mask goes on below either foot, if it stands on such a heel; NaN: that is not seen."""
    out = np.full(2, np.nan)
    if view.mask is None:
        return out
    rest, joints = (x[0].numpy().astype(np.float64) for x in body.rest(fit.betas[None]))
    offsets = torch.from_numpy((lift_heels(body, rest, joints, heel) - rest).astype(np.float32))
    f = on_heels(body, fit, heel)
    vertices = body(f.betas[None], f.pose[None], f.transl[None], offsets=offsets).vertices[0]
    xy, z = (x.numpy() for x in f.camera.project(vertices))
    for k, side in enumerate(SIDES):
        own = body.vertex_part == PARTS.index(f"{side}_foot")
        (left, top), (right, _) = (np.floor(q(xy[own], 0)).astype(int).clip(0) for q in (np.min, np.max))
        rows = np.flatnonzero(view.mask[top:, left : right + 1].any(1))
        if len(rows) and (end := top + rows[-1] + 1) < view.height:
            out[k] = (end - xy[own, 1].max()) * np.median(z[own]) / float(f.camera.K[1, 1])
    return out


def _pitch(body: Body, fit: Fit, side: str) -> float:
    """Radians that a foot points down from the level."""
    G = body(fit.betas[None], fit.pose[None], fit.transl[None]).skinning[0, body.joint(f"{side}_ankle"), :3, :3]
    return float(torch.asin((-G[1, 2]).clamp(-1, 1)))


def _lever(body: Body, betas: Tensor, side: str) -> float:
    """Metres from the middle of the heel to the joint of the toes."""
    v, joints = body.rest(betas[None])
    own = torch.from_numpy(body.vertex_part == PARTS.index(f"{side}_foot"))
    return float(joints[0, body.joint(f"{side}_foot"), 2] - v[0, own, 2].min()) - SEAT


def _angle(heel: float, lever: float) -> float:
    """Radians that the sole rises to the heel."""
    return float(np.arcsin(min(heel / lever, 0.9)))


def _turn(angle: float) -> np.ndarray:
    """[3, 3] rotation that points feet down by ``angle`` radians."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0, 0], [0, c, -s], [0, s, c]])
