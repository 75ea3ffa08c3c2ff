"""A video of a person as a motion: every frame is fitted, the poses are smoothed, and feet on the ground stay there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..body import Body, load_body
from ..body.motion import Motion, canonical_pose
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle, matrix_to_quaternion, quaternion_to_matrix
from ..errors import DinarError, explain
from ..files import staging
from ..fit.fit_file import Fit
from ..fit.smplify import fit_body
from ..subject import Subject, read_subject
from .frames import read_frames
from .video import frame_rate

RATE = 12.0  # frames a second that are fitted: slower than most limbs turn around
MOST = 240  # frames that are fitted: 20 s; of longer videos fewer a second
BATCH = 16  # frames that are fitted at once; the first of them find the shape
FEWEST = 0.5  # of the frames: with fewer that show a person there is no motion
SMOOTH = 0.1  # seconds: standard deviation of the Gaussian over time
CONTACT = 0.02  # metres: how much higher than the other a foot is that bears e times less
SOLES = ("left_ankle", "left_foot", "right_ankle", "right_foot")


def filmed_motion(
    source: Path, progress: Callable[[int, int], None] = lambda done, total: None, most: int = MOST
) -> Motion:
    """The motion of the person in a video, as its camera sees them.

    Raises:
        DinarError: no video, or no whole person in most of its frames.
    """
    count, rate = frame_rate(source)
    wanted = min(count, most, max(2, round(count / rate * RATE)))
    subjects: dict[int, Subject] = {}
    why = ""
    with staging() as scratch:
        for k, (_, picture) in enumerate(read_frames(source, wanted, scratch)):
            try:
                subjects[k] = read_subject(picture, whole=True)
            except DinarError as e:
                why = explain(e).replace(str(picture), "a frame")
            progress(k + 1, wanted)
    if len(subjects) < max(2, FEWEST * wanted):
        raise DinarError(f"{source}: expected a whole person in most frames, got them in {len(subjects)} of {wanted}"
                         + f"; {why}" * bool(why))  # fmt: skip
    body, fits = load_body(), _fits(list(subjects.values()))
    known = torch.stack([f.pose for f in fits])
    return motion_of(body, fits[0].betas, known, list(subjects), wanted, rate * wanted / count, source.stem)


def _fits(subjects: list[Subject]) -> list[Fit]:
    """Fits of one person."""
    fits: list[Fit] = []
    for k in range(0, len(subjects), BATCH):
        views = [s.view for s in subjects[k : k + BATCH]]
        fits += fit_body(load_body(), views, betas=fits[0].betas if fits else None)
    return fits


def motion_of(
    body: Body,
    betas: Tensor,  # [num_betas]
    known: Tensor,  # [N, J, 3] axis-angle: fitted poses
    frames: list[int],  # their numbers
    count: int,  # frames of the motion
    fps: float,
    name: str,
) -> Motion:
    """The poses at all frames, smoothed, on their feet."""
    q = matrix_to_quaternion(axis_angle_to_matrix(known)).double().numpy()
    for t in range(1, len(q)):  # the same half of the sphere as the frame before
        q[t] *= np.where((q[t] * q[t - 1]).sum(-1, keepdims=True) < 0, -1, 1)
    flat = q.reshape(len(q), -1)
    rows = np.stack([np.interp(np.arange(count), frames, column) for column in flat.T], 1)
    smooth = smoothed(rows, SMOOTH * fps).reshape(count, *q.shape[1:])
    smooth /= np.linalg.norm(smooth, axis=-1, keepdims=True)
    pose = matrix_to_axis_angle(quaternion_to_matrix(torch.from_numpy(smooth).float()))
    return canonical_pose(body, pose, on_its_feet(body, betas, pose), fps, name)


def on_its_feet(body: Body, betas: Tensor, pose: Tensor) -> Tensor:
    """Transl [T, 3] with which the foot that bears the body, of poses [T, J, 3], stays where it is, on y = 0."""
    joints = body(betas[None].expand(len(pose), -1), pose, torch.zeros(len(pose), 3)).joints
    feet = joints[:, [body.joint(n) for n in SOLES]]
    steps, height = feet.diff(dim=0), (feet[1:, :, 1] + feet[:-1, :, 1]) / 2
    bears = torch.softmax(-height / CONTACT, 1)[..., None]
    path = torch.cat([torch.zeros(1, 3), -(bears * steps).sum(1).cumsum(0)])
    path[:, 1] = -feet[..., 1].amin(1)
    return path - path[:1] * torch.tensor([1.0, 0, 1])


def smoothed(rows: np.ndarray, sigma: float) -> np.ndarray:
    """Columns of [T, C] blurred over time with a Gaussian of ``sigma`` frames; ends are continued."""
    r = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-r, r + 1) / max(sigma, 1e-6)) ** 2)
    wide = np.pad(rows, ((r, r), (0, 0)), mode="edge")
    return np.stack([wide[k : k + len(rows)] for k in range(len(kernel))], -1) @ (kernel / kernel.sum())
