"""A body whose pose is known, as a photo's landmarks and mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from dinar.body import Body, Posed
from dinar.export import Clip
from dinar.fit.view import LANDMARKS, View, photo_camera
from dinar.scene import Camera, rasterize_mesh

H, W = 720, 480
BETAS, TRANSL = torch.tensor([0.5, -0.5, 0.3]), torch.tensor([0.0, 0.05, -2.7])


def silhouette(body: Body, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    return rasterize_mesh(vertices, body.faces, camera).mask[0].numpy()


def subject(
    body: Body,
    yaw: float = 0.0,  # degrees
    pitch: float = 0.0,  # degrees, positive leans forward
    arms: float = -0.35,  # radians downwards
    noise: float = 0.0,  # pixels
    joints: Mapping[str, Sequence[float]] | None = None,  # axis-angle of other joints
    offsets: torch.Tensor | None = None,  # [V, 3] metres
) -> tuple[View, torch.Tensor, Posed]:
    """A known person in front of :func:`photo_camera`: view, pose [J, 3], and the body itself."""
    pose = torch.zeros(1, body.num_joints, 3)
    pose[0, 0, :2] = torch.deg2rad(torch.tensor([pitch, yaw]))
    pose[0, body.joint("left_shoulder"), 2], pose[0, body.joint("right_shoulder"), 2] = arms, -arms
    for name, turn in (joints or {}).items():
        pose[0, body.joint(name)] = torch.tensor(turn)
    betas = torch.zeros(1, body.num_betas)
    betas[0, :3] = BETAS
    camera = photo_camera(H, W)
    posed = body(betas, pose, TRANSL[None], offsets=offsets)
    points = body.keypoints(posed)[0]
    xy, _ = camera.project(points)
    keypoints, world = np.zeros((33, 4), np.float32), np.zeros((33, 3), np.float32)
    rng = np.random.default_rng(0)
    for i, (name, _) in LANDMARKS.items():
        k = body.keypoint_index(name)
        keypoints[i] = *(xy[k].numpy() + noise * rng.normal(size=2)), 0, 1
        world[i] = points[k].numpy() * [1, -1, -1]
    return View(keypoints, world, silhouette(body, posed.vertices[0], camera), H, W), pose[0], posed


def bow(body: Body, turns: Mapping[str, Sequence[float]], expression: np.ndarray | None = None) -> Clip:
    """Three frames: at rest, and twice a bow with an elbow, a knee and the joints of ``turns`` (axis-angle) bent."""
    pose = np.zeros((3, body.num_joints, 3), np.float32)
    bent = {"spine2": [0.5, 0, 0], "left_elbow": [0, -0.9, 0.2], "right_knee": [1.1, 0, 0]}
    for name, turn in {**bent, **turns}.items():
        pose[1:, body.joint(name)] = turn
    return Clip("bow", pose, np.array([[0, 0, 0], [0.2, 0.1, 0], [0.2, 0.1, 0]], np.float32), 30, expression)
