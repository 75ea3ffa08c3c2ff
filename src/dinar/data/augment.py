"""Augmentation of views: camera angle and colour shift (§4.2), and the mirror of body, atlas and picture.

All keep what belongs together together: pictures, cameras, bodies, keypoints, normals and depth stay true to each
other. Plain torch, on the device of the views. Randomness comes in as a generator, so a seed repeats it.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..body.rotation import axis_angle_to_matrix
from ..views import Params, Views

# Shift of colours between two cameras that see the same clothes: standard deviations.
GAIN, TINT, GAMMA, SATURATION = 0.1, 0.04, 0.1, 0.12
TURN = (0.05, 0.05, 0.04)  # radians about the camera's x, y, z: pitch, yaw, roll
ZOOM = 0.06  # of the logarithm of the focal length


# --- mirror ---------------------------------------------------------------------------------------------------------


def flip(views: Views, body: Body) -> Views:
    """The mirror image of everything: the person whose left is the other's right, in a world mirrored at x = 0.

    The texture of the mirrored person is the texture mirrored at u = 0.5, which the atlas allows. Shape parameters
    stay: both halves of the default shape space are equal to 0.1 mm a unit of beta. Facial
    actions swap by name; SMPL-X's expression components, which have no sides, stay. Flipping twice is the identity.
    """
    M = views.K.new_tensor([-1, 1, 1])
    K, T = views.K.clone(), views.T_cam_world.clone()
    K[:, 0, 2] = views.size[1] - K[:, 0, 2]
    K[:, 0, 1] = -K[:, 0, 1]
    T[:, :3, :3] = M[:, None] * T[:, :3, :3] * M
    T[:, :3, 3] = M * T[:, :3, 3]
    joints, points, actions = (torch.tensor(i, device=K.device) for i in _swaps(body))

    def params(p: Params) -> Params:
        pose = p.pose[:, joints] * p.pose.new_tensor([1, -1, -1])
        e = None if p.expression is None else p.expression[:, actions[: p.expression.shape[1]]]
        D = None if p.offsets is None else p.offsets[torch.from_numpy(body.mirror).to(M.device)] * M
        return Params(p.betas, pose, p.transl * M, e, D)

    changed: dict = {
        "rgb": views.rgb.flip(2), "alpha": views.alpha.flip(2), "K": K, "T_cam_world": T,
        "params": params(views.params), "fitted": params(views.fitted) if views.fitted else None,
    }  # fmt: skip
    for k in ("labels", "depth"):
        if (x := getattr(views, k)) is not None:
            changed[k] = x.flip(2)
    if views.normals is not None:
        n = views.normals.flip(2)
        changed["normals"] = torch.stack([(256 - n[..., 0].int()).clamp(max=255).to(torch.uint8), n[..., 1], n[..., 2]],
                                         -1)  # fmt: skip
    if views.surface is not None:
        p = views.surface.flip(2)
        x = torch.where(p[..., 0] > 0, 256 - p[..., 0].int(), 0).to(torch.uint8)
        changed["surface"] = torch.stack([x, p[..., 1], p[..., 2]], -1)
    if views.keypoints2d is not None:
        k = views.keypoints2d[:, points].clone()
        k[..., 0] = views.size[1] - k[..., 0]
        changed["keypoints2d"] = k
    if views.keypoints3d is not None:
        changed["keypoints3d"] = views.keypoints3d[:, points] * M
    return dataclasses.replace(views, **changed)


def other_side(name: str) -> str:
    """left_hip -> right_hip, mouth_left -> mouth_right, eyeBlinkLeft -> eyeBlinkRight; names without a side stay."""
    for a, b in (("left", "right"), ("Left", "Right")):
        for x, y in ((a, b), (b, a)):
            if x in name:
                return name.replace(x, y)
    return name


@lru_cache(maxsize=4)
def _swaps(body: Body) -> tuple[list[int], list[int], list[int]]:
    """For joints, keypoints and expressions the index of the one on the other side."""
    tables = []
    joints = list(body.joint_names)
    points = [*(f"point {n}" for n in body.keypoint_names), *joints]
    for names in (joints, points, list(body.expression_names)):
        tables.append([names.index(other_side(n)) for n in names])
    return tables[0], tables[1], tables[2]


# --- camera angle ---------------------------------------------------------------------------------------------------


def turn_camera(
    views: Views,
    angles: Tensor,  # [N, 3] radians, axis-angle in the camera's frame
    zoom: Tensor | None = None,  # [N] factor of the focal length
    anchor: Tensor | None = None,  # [N, 2] pixels that stay where they are; None: the centre of the person's box
) -> Views:
    """The same pictures from cameras turned about their own centres: exact, as no parallax is involved.

    Pixels that the old picture does not show repeat its border and are not the person.
    """
    n, (h, w) = len(views), views.size
    R = axis_angle_to_matrix(angles)
    K = views.K.clone()
    if zoom is not None:
        K[:, :2, :2] = K[:, :2, :2] * zoom[:, None, None]
    if anchor is None:
        anchor = torch.stack([_middle(views.alpha > 127, 2), _middle(views.alpha > 127, 1)], -1)
    back = torch.linalg.inv(views.K)
    at = _homography(K @ R @ back, anchor[:, None])[0][:, 0]
    K[:, :2, 2] += anchor - at  # the turn moves the person out of the frame: move the frame, too
    H = K @ R @ back  # old pixels to new
    ys, xs = torch.meshgrid(torch.arange(h, device=K.device), torch.arange(w, device=K.device), indexing="ij")
    centres = torch.stack([xs, ys], -1).reshape(1, -1, 2).to(K.dtype) + 0.5
    source = _homography(torch.linalg.inv(H), centres.expand(n, -1, -1))[0]
    grid = (source / source.new_tensor([w, h]) * 2 - 1).view(n, h, w, 2)
    inside = (grid.abs() <= 1).all(-1)

    def warp(x: Tensor, mode: str) -> Tensor:
        y = x.float().reshape(n, h, w, -1).permute(0, 3, 1, 2)
        y = F.grid_sample(y, grid, mode=mode, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)
        y = y.reshape(x.shape)
        return y.round().clamp(0, 255).to(torch.uint8) if x.dtype == torch.uint8 else y

    T = views.T_cam_world.clone()
    T[:, :3] = R @ T[:, :3]
    changed: dict = {"rgb": warp(views.rgb, "bilinear"), "K": K, "T_cam_world": T,
                     "alpha": warp(views.alpha, "bilinear") * inside}  # fmt: skip
    if views.labels is not None:
        changed["labels"] = warp(views.labels, "nearest") * inside
    if views.surface is not None:
        changed["surface"] = warp(views.surface, "nearest") * inside[..., None]
    if views.normals is not None:
        unit = (warp(views.normals, "nearest").float() - 128) / 127
        turned = torch.einsum("nij,nhwj->nhwi", R, unit)
        shown = (unit != 0).any(-1, keepdim=True) & inside[..., None]
        changed["normals"] = torch.where(shown, (turned * 127 + 128).round().clamp(0, 255), 128.0).to(torch.uint8)
    if views.depth is not None:
        z = warp(views.depth, "nearest") * inside
        ray = torch.cat([source, torch.ones_like(source[..., :1])], -1) @ back.mT @ R.mT
        changed["depth"] = z * ray[..., 2].view(n, h, w)
    if views.keypoints2d is not None:
        k = views.keypoints2d.clone()
        moved, ahead = _homography(H, k[..., :2])
        k[..., :2], k[..., 2] = moved, k[..., 2] * ahead
        changed["keypoints2d"] = k
    return dataclasses.replace(views, **changed)


def jitter_camera(views: Views, generator: torch.Generator, strength: float = 1.0) -> Views:
    """A small random turn and zoom of every camera."""
    noise = torch.randn(len(views), 4, generator=generator, device=generator.device).to(views.K.device)
    noise = noise.clamp(-2, 2) * strength
    return turn_camera(views, noise[:, :3] * noise.new_tensor(TURN), (noise[:, 3] * ZOOM).exp())


def _middle(mask: Tensor, dim: int) -> Tensor:
    """[N] middle of the mask's extent along rows (1) or columns (2), in pixels; the image's middle if empty."""
    size = mask.shape[dim]
    line = mask.any(3 - dim)
    i = torch.arange(size, device=mask.device)
    low, high = torch.where(line, i, size).amin(1), torch.where(line, i, -1).amax(1)
    return torch.where(line.any(1), (low + high + 1) / 2, torch.full_like(low, 0) + size / 2)


def _homography(H: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [N, P, 2] through [N, 3, 3], and whether they stay in front of the camera [N, P]."""
    p = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ H.mT
    return p[..., :2] / p[..., 2:].clamp(min=1e-6), p[..., 2] > 1e-6


# --- colour ---------------------------------------------------------------------------------------------------------


def shift_colours(views: Views, generator: torch.Generator, strength: float = 1.0, per_view: bool = False) -> Views:
    """Another camera's colours: gain, tint, gamma and saturation, the same in all views (they show one person).

    ``per_view`` draws them for each view instead: for stages that should not trust colours between views.
    """
    n = len(views) if per_view else 1
    noise = torch.randn(n, 6, generator=generator, device=generator.device).to(views.rgb.device).clamp(-2, 2) * strength
    noise = noise[:, None, None]
    gain = (noise[..., :1] * GAIN + noise[..., 1:4] * TINT).exp()
    gamma, saturation = (noise[..., 4:5] * GAMMA).exp(), (noise[..., 5:6] * SATURATION).exp()
    x = views.rgb.float() / 255
    grey = (x * x.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    x = (grey + (x - grey) * saturation).clamp(0, 1) ** gamma * gain
    return dataclasses.replace(views, rgb=(x * 255).round().clamp(0, 255).to(torch.uint8))


def augment(views: Views, body: Body, generator: torch.Generator, mirror: bool = True) -> Views:
    """All of it: colours and cameras shifted, and every second person mirrored."""
    views = jitter_camera(shift_colours(views, generator), generator)
    toss = torch.rand((), generator=generator, device=generator.device)
    return flip(views, body) if mirror and float(toss) < 0.5 else views
