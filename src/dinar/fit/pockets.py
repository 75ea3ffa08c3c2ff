"""Hands that the photo does not show: in pockets, in sleeves, behind the back. They lie behind what is seen there.

The body's fit follows their keypoints in the picture, but keypoints do not tell that cloth is before them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body, Posed
from ..body.body import PARTS
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..labels import LABEL
from ..photo.surface import SurfaceMap
from ..scene import rasterize_mesh
from ..scene.crop import crop_box
from .fit_file import Fit
from .offsets import Silhouette

SIZE = 512  # pixels of the crop in which hands are looked at
LEAST = 40  # pixels of a hand to tell
COVERED = 0.85  # least share of cloth on the pixels of a hand for it to be hidden
UNLIKELY = 0.4  # most mean likelihood of a hand there, as the surface network has it
DEEP = 0.015  # metres behind the surface that a hidden hand is moved
FARTHEST = 0.2  # metres that it is moved at most
MOST = 0.9  # quantile of the hand's depth before the surface that has to be covered
STRAIGHT = 0.05  # sine of the bend under which an elbow tells no hinge
ROUNDS = 3  # the hand moves over another part of the surface
CLOTH = [LABEL[n] for n in ("upper", "outer", "lower", "skirt", "legwear")]


def hide_hands(
    body: Body,
    fit: Fit,
    photo: Silhouette,
    offsets: Tensor,  # [V, 3] metres
    surface: SurfaceMap | None = None,
    shown: Iterable[str] = (),  # sides whose hand has been read
) -> Fit:
    """The fit with the arms of hidden hands turned back at the shoulder, until the hand is behind the dressed body."""
    for side in ("left", "right"):
        if photo.labels is not None and side not in shown and _is_hidden(body, fit, photo, offsets, surface, side):
            fit = _hide(body, fit, photo.mask, offsets, side)
    return fit


def _is_hidden(body: Body, fit: Fit, photo: Silhouette, offsets: Tensor, surface: SurfaceMap | None, side: str) -> bool:
    labels = np.asarray(photo.labels)
    box = crop_box(photo.mask, SIZE)
    vertices = body(fit.betas[None], fit.pose[None], fit.transl[None], offsets=offsets).vertices[0]
    f = rasterize_mesh(vertices, body.faces, fit.camera.crop(*box, SIZE, SIZE))
    ys, xs = np.nonzero(_shows(body, f.face[0].numpy(), f"{side}_hand"))
    if len(ys) < LEAST:
        return False
    xy = (np.stack([xs, ys], 1) + 0.5) / box[2] + box[:2]
    i, j = np.clip(np.floor(xy).astype(int), 0, np.array(labels.shape[::-1]) - 1).T
    if np.isin(labels[j, i], CLOTH).mean() < COVERED:
        return False
    return surface is None or surface.hand(xy).mean() < UNLIKELY


def _shows(body: Body, face: np.ndarray, part: str) -> np.ndarray:
    """[H, W] bool: pixels of a raster [H, W] that show the part."""
    return (face >= 0) & (body.vertex_part[body.faces[face.clip(0), 0]] == PARTS.index(part))


def _hide(body: Body, fit: Fit, mask: np.ndarray, offsets: Tensor, side: str) -> Fit:
    camera = fit.camera.crop(*crop_box(mask, SIZE), SIZE, SIZE)
    arm = np.isin(body.vertex_part, [PARTS.index(f"{side}_{p}") for p in ("arm", "hand")])
    others = body.faces[~arm[body.faces].any(1)]
    hand = torch.from_numpy(np.flatnonzero(body.vertex_part == PARTS.index(f"{side}_hand")))
    left = FARTHEST
    for _ in range(ROUNDS):
        posed = body(fit.betas[None], fit.pose[None], fit.transl[None], offsets=offsets)
        surface = rasterize_mesh(posed.vertices[0], others, camera).depth[0].numpy()
        xy, z = (a.numpy() for a in camera.project(posed.vertices[0, hand]))
        x, y = np.clip(np.floor(xy).astype(int), 0, SIZE - 1).T
        behind = surface[y, x] + DEEP - z
        behind = behind[np.isfinite(behind)]
        if not len(behind) or (move := min(float(np.quantile(behind, MOST)), left)) <= 0:
            break
        left -= move
        wrist = posed.joints[0, body.joint(f"{side}_wrist")]
        target = wrist + move * F.normalize(wrist - camera.position, dim=0)
        fit = dataclasses.replace(fit, pose=reach(body, posed, fit.pose, side, target))
    return fit


def reach(
    body: Body,
    posed: Posed,  # of one body
    pose: Tensor,  # [J, 3] axis-angle, its pose
    side: str,
    target: Tensor,  # [3] metres, world
) -> Tensor:
    """The pose [J, 3] with shoulder and elbow turned so that the wrist is at the target, or points there."""
    names = [f"{side}_{n}" for n in ("shoulder", "elbow", "wrist")]
    shoulder, elbow, wrist = (body.joint(n) for n in names)
    S, E, W = (posed.joints[0, j] for j in (shoulder, elbow, wrist))
    upper, fore = E - S, W - E
    a, b, d = upper.norm(), fore.norm(), (target - S).norm()
    bend = torch.acos(((d**2 - a**2 - b**2) / (2 * a * b)).clamp(-1, 1))
    now = torch.acos((upper @ fore / (a * b)).clamp(-1, 1))
    hinge = torch.linalg.cross(upper, fore)
    if hinge.norm() < STRAIGHT * a * b:  # the elbow goes where the hand goes
        hinge = torch.linalg.cross(target - W, upper)
    R = axis_angle_to_matrix(F.normalize(hinge, dim=0) * (bend - now))
    W = E + R @ fore
    axis = torch.linalg.cross(W - S, target - S)
    angle = torch.atan2(axis.norm(), (W - S) @ (target - S))
    out, G = pose.clone(), posed.skinning[0, :, :3, :3]
    for joint, turn in ((elbow, R), (shoulder, axis_angle_to_matrix(F.normalize(axis, dim=0) * angle))):
        out[joint] = matrix_to_axis_angle(G[body.parents[joint]].T @ turn @ G[joint])
    return out
