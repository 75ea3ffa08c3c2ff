"""Augmentation of views: camera angle and colour shift (§4.2), and mirroring.

Pictures, cameras, bodies, keypoints, normals and depth are changed together and stay consistent. All functions run on
the device of the views; their randomness comes from a generator.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..body.rotation import axis_angle_to_matrix
from ..body.skeleton import other_side
from ..views import Params, Views

# Standard deviations of the colour shift, for the difference between two cameras.
GAIN, TINT, GAMMA, SATURATION = 0.1, 0.04, 0.1, 0.12
TURN = (0.05, 0.05, 0.04)  # radians, standard deviations about the camera's x, y, z: pitch, yaw, roll
ZOOM = 0.06  # standard deviation of the logarithm of the focal length
MAX_SIGMA = 2  # standard deviations at which noise is clamped


# --- mirror ---------------------------------------------------------------------------------------------------------


def flip(views: Views, body: Body) -> Views:
    """Mirror views, body and world at x = 0. Flipping twice is the identity.

    The texture of the mirrored person is the texture mirrored at u = 0.5. Shape parameters are unchanged: the halves of
    the default shape space differ by at most 0.1 mm for a unit of beta. Facial actions are swapped by name; SMPL-X's
    expression components have no sides and are unchanged.
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
        D = None if p.offsets is None else p.offsets[torch.from_numpy(p.worn(body).mirror).to(M.device)] * M
        return Params(p.betas, pose, p.transl * M, e, D, p.shells)

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


@lru_cache(maxsize=4)
def _swaps(body: Body) -> tuple[list[int], list[int], list[int]]:
    """For joints, keypoints and expressions: the index of each one's counterpart on the other side."""
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
    anchor: Tensor | None = None,  # [N, 2] pixels that keep their place; None: the centre of the person's box
) -> Views:
    """Rotate and zoom cameras about their centres. The warp is exact, as there is no parallax.

    Pixels outside the old picture repeat its border; their alpha is 0.
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
    K[:, :2, 2] += anchor - at  # shift the frame so that the person stays in it
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
    """A small random rotation and zoom of each camera (§4.2)."""
    noise = torch.randn(len(views), 4, generator=generator, device=generator.device).to(views.K.device)
    noise = noise.clamp(-MAX_SIGMA, MAX_SIGMA) * strength
    return turn_camera(views, noise[:, :3] * noise.new_tensor(TURN), (noise[:, 3] * ZOOM).exp())


def _middle(mask: Tensor, dim: int) -> Tensor:
    """[N] middle of the mask's extent along rows (1) or columns (2), in pixels; the image's middle for empty masks."""
    size = mask.shape[dim]
    line = mask.any(3 - dim)
    i = torch.arange(size, device=mask.device)
    low, high = torch.where(line, i, size).amin(1), torch.where(line, i, -1).amax(1)
    return torch.where(line.any(1), (low + high + 1) / 2, torch.full_like(low, 0) + size / 2)


def _homography(H: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [N, P, 2] transformed by H [N, 3, 3], and True for those in front of the camera [N, P]."""
    p = torch.cat([xy, torch.ones_like(xy[..., :1])], -1) @ H.mT
    return p[..., :2] / p[..., 2:].clamp(min=1e-6), p[..., 2] > 1e-6


# --- colour ---------------------------------------------------------------------------------------------------------


def shift_colours(views: Views, generator: torch.Generator, strength: float = 1.0, per_view: bool = False) -> Views:
    """Random gain, tint, gamma and saturation (§4.2), the same in all views; ``per_view``: different in each view."""
    n = len(views) if per_view else 1
    noise = torch.randn(n, 6, generator=generator, device=generator.device).to(views.rgb.device)
    noise = noise.clamp(-MAX_SIGMA, MAX_SIGMA) * strength
    noise = noise[:, None, None]
    gain = (noise[..., :1] * GAIN + noise[..., 1:4] * TINT).exp()
    gamma, saturation = (noise[..., 4:5] * GAMMA).exp(), (noise[..., 5:6] * SATURATION).exp()
    x = views.rgb.float() / 255
    grey = (x * x.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
    x = (grey + (x - grey) * saturation).clamp(0, 1) ** gamma * gain
    return dataclasses.replace(views, rgb=(x * 255).round().clamp(0, 255).to(torch.uint8))


def augment(views: Views, body: Body, generator: torch.Generator, mirror: bool = True) -> Views:
    """Shift colours and cameras; mirror with probability .5."""
    views = jitter_camera(shift_colours(views, generator), generator)
    draw = torch.rand((), generator=generator, device=generator.device)
    return flip(views, body) if mirror and float(draw) < 0.5 else views
