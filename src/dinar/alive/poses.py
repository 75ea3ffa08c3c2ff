"""A motion that begins and ends in the pose of the photo."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..avatar import Avatar
from ..body.body import PARTS
from ..body.motion import Motion, retarget
from ..body.rotation import (
    axis_angle_to_matrix,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    quaternion_to_matrix,
    slerp,
)
from ..fit.fit_file import Fit
from ..labels import CLASSES
from ..subject import Subject

HOLD = 0.4  # seconds in the pose of the photo, before and after
EASE = 0.6  # seconds from that pose into the motion, and back
HELD = 0.02  # of the person's height: a bag this near to a hand is held by it
IN_SIGHT = 0.15  # of a hand's vertices, on skin, gloves or background in the photo: with fewer it is in a pocket
BUSY = 25  # degrees: an arm or the legs that turn further in a motion take its rotations, others keep the photo's

_ARMS = {side: [f"{side}_{joint}" for joint in ("collar", "shoulder", "elbow", "wrist")] for side in ("left", "right")}
_LEGS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot"))


def from_photo(avatar: Avatar, motion: Motion) -> tuple[Tensor, Tensor]:
    """Pose [T, J, 3] and transl [T, 3] of every frame.

    What the motion hardly moves keeps the photo's pose and sways with the motion. So the feet of a waving person stay
    where they are.
    """
    body = avatar.body
    pose, transl = retarget(motion, body, betas=avatar.betas, offsets=avatar.offsets)
    hold, T = round(HOLD * motion.fps), len(pose)
    frames = torch.cat([torch.zeros(hold, dtype=torch.long), torch.arange(T), torch.full((hold,), T - 1)])
    weight = _weights(len(frames), hold, max(1, round(EASE * motion.fps)))
    R, photo = axis_angle_to_matrix(pose[frames]), axis_angle_to_matrix(avatar.pose)
    delta = R @ R[:1].mT
    walking = _busy(avatar, R, _LEGS)
    arms = [side for side, joints in _ARMS.items() if _busy(avatar, R, joints)]
    names = body.joint_names
    own = torch.tensor([(n in _LEGS and walking) or side_of_arm(n) in arms for n in names])  # take the motion's
    still = torch.tensor([(n in _LEGS or j == 0) and not walking for j, n in enumerate(names)])  # keep the photo's
    target = torch.where(own[:, None, None], R, delta @ photo)
    target = torch.where(still[:, None, None], photo, target)
    turned = matrix_to_axis_angle(_between(photo.expand_as(target), target, weight))
    place = avatar.transl.expand(len(frames), 3)
    if walking:
        place = place + weight[:, None] * (transl[frames] - transl[:1])
    return turned, place


def with_free_arm(avatar: Avatar, subject: Subject, fit: Fit, motion: Motion) -> Motion:
    """The motion, or its mirror image where it moves one arm alone and the other is freer: farther from the body in the
    photo. An arm is not free whose hand holds a bag or is in a pocket; if neither is, the arms do not move."""
    arms = moving_arms(avatar, motion)
    if len(arms) != 1:
        return motion
    v, body = fit.camera.project(avatar.vertices())[0], avatar.body
    of = lambda *parts: v[torch.from_numpy(np.isin(body.vertex_part, [PARTS.index(p) for p in parts]))]  # noqa: E731
    nearest = lambda a, b: torch.cdist(a[::7], b[::7]).amin(1)  # noqa: E731
    rest = of("torso", "left_leg", "right_leg")
    free = {side: float(nearest(of(f"{side}_arm", f"{side}_hand"), rest).mean()) for side in _ARMS}
    if subject.labels is not None:
        held = HELD * float(np.ptp(v[:, 1].numpy()))
        free = {side: d for side, d in free.items() if _free(subject.labels, of(f"{side}_hand"), held)}
    if not free:
        return without_arms(motion)
    return motion if max(free, key=lambda side: free[side]) == arms[0] else mirrored(motion)


def _free(labels: np.ndarray, hand: Tensor, held: float) -> bool:
    """Whether a hand, vertices [N, 2] in the picture, holds no bag, nearer than ``held`` pixels, and is in sight."""
    bag = np.argwhere(labels == CLASSES.index("bag"))[:, ::-1].copy()
    if len(bag) and float(torch.cdist(hand[::7], torch.from_numpy(bag[::7]).float()).min()) <= held:
        return False
    x, y = np.clip(np.floor(hand.numpy()).astype(int), 0, [labels.shape[1] - 1, labels.shape[0] - 1]).T
    return bool(
        np.isin(labels[y, x], [CLASSES.index(c) for c in ("background", "skin", "accessory")]).mean() > IN_SIGHT
    )


def without_arms(motion: Motion) -> Motion:
    """The motion with the arms and fingers as in its first frame."""
    arms = torch.tensor([side_of_arm(name) is not None for name in motion.joint_names])
    R = torch.where(arms[:, None, None], motion.rotations[:1], motion.rotations)
    return dataclasses.replace(motion, rotations=R)


def mirrored(motion: Motion) -> Motion:
    """Left and right exchanged."""
    other: dict[str, str] = {"left": "right", "right": "left"}
    swap = lambda n: re.sub("left|right", lambda m: other[m[0]], n)  # noqa: E731
    across = motion.rotations.new_tensor([-1, 1, 1])
    index = [motion.joint_names.index(swap(n)) for n in motion.joint_names]
    return dataclasses.replace(motion, rotations=motion.rotations[:, index] * across[:, None] * across,
                               transl=motion.transl * across, expression=None)  # fmt: skip


def moving_arms(avatar: Avatar, motion: Motion) -> list[str]:
    """Left, right: the arms that take a motion's rotations."""
    R = axis_angle_to_matrix(retarget(motion, avatar.body, betas=avatar.betas)[0])
    return [side for side, joints in _ARMS.items() if _busy(avatar, R, joints)]


def legs_move(avatar: Avatar, motion: Motion) -> bool:
    """Whether the legs take a motion's rotations: else the person stands."""
    return _busy(avatar, axis_angle_to_matrix(retarget(motion, avatar.body, betas=avatar.betas)[0]), _LEGS)


def _busy(avatar: Avatar, R: Tensor, joints: Sequence[str]) -> bool:
    """Whether some of the joints turn further than BUSY from the first of the frames R [T, J, 3, 3]."""
    index = [avatar.body.joint_names.index(n) for n in joints]
    return bool(torch.rad2deg(matrix_to_axis_angle((R @ R[:1].mT)[:, index]).norm(dim=-1)).max() > BUSY)


def side_of_arm(joint: str) -> str | None:
    """Left or right for joints of an arm and its hand."""
    side = joint.split("_")[0]
    return side if side in _ARMS and joint not in _LEGS and "eye" not in joint else None


def _weights(count: int, hold: int, ease: int) -> Tensor:
    """[count]: 0 while held, smoothly to 1 and back."""
    t = torch.arange(count, dtype=torch.float32)
    x = (torch.minimum(t - hold, count - 1 - hold - t) / ease).clamp(0, 1)
    return x * x * (3 - 2 * x)


def _between(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Rotations [T, J, 3, 3] from a (0) to b (1)."""
    q = slerp(matrix_to_quaternion(a), matrix_to_quaternion(b), t[:, None].expand(a.shape[:2]))
    return quaternion_to_matrix(q)
