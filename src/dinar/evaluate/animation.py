"""Temporal metrics of animations: flicker, and the warping error along the motion of the body."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import cv2
import numpy as np
import torch

from ..errors import DinarError
from ..scene import Camera, interpolate, rasterize_mesh


def flicker(
    frames: Sequence[np.ndarray],  # [H, W, 3] float32 in [0, 1] each, three or more
    masks: Sequence[np.ndarray] | None = None,  # [H, W] bool each; a pixel counts if all three frames have the person
) -> float:
    """Mean |f(t-1) - 2 f(t) + f(t+1)| in levels of 255; not a published metric. Linear changes of colour are free.

    Moving texture has a flicker even in a perfect film: compare systems on the same motion, or with the truth.

    Raises:
        DinarError: fewer than three frames.
    """
    if len(frames) < 3:
        raise DinarError(f"flicker needs three frames or more, got {len(frames)}")
    total, count = 0.0, 0
    for t in range(1, len(frames) - 1):
        a, b, c = (np.asarray(f, np.float32) for f in frames[t - 1 : t + 2])
        d = np.abs(a - 2 * b + c)
        if masks is not None:
            d = d[masks[t - 1] & masks[t] & masks[t + 1]]
        total, count = total + float(d.sum(dtype=np.float64)), count + d.size
    return 255 * total / count if count else float("nan")


def warp_error(
    frames: Sequence[np.ndarray],  # T of [H, W, 3] float32 in [0, 1]
    flows: Sequence[np.ndarray],  # T - 1 of [H, W, 2] float32 pixels from frame t to t + 1; NaN: not compared
) -> float:
    """Mean over t of the mean square of f(t) − f(t+1) warped to frame t: E_warp of Lai et al. 2018.

    They estimate the flow from the original video. Here it is an argument, for example of :func:`body_motion`.

    Raises:
        DinarError: the number of flows is not one less than that of frames.
    """
    if len(flows) != len(frames) - 1 or not len(flows):
        raise DinarError(f"expected a flow between every two frames, got {len(frames)} frames and {len(flows)} flows")
    errors = []
    for now, after, flow in zip(frames, frames[1:], flows, strict=False):
        y, x = np.mgrid[: now.shape[0], : now.shape[1]].astype(np.float32)
        x, y = x + flow[..., 0], y + flow[..., 1]
        seen = (x >= 0) & (x <= now.shape[1] - 1) & (y >= 0) & (y <= now.shape[0] - 1)  # false for NaN
        x, y = (np.where(seen, i, 0).astype(np.float32) for i in (x, y))
        back = cv2.remap(np.asarray(after, np.float32), x, y, cv2.INTER_LINEAR)
        if seen.any():
            errors.append(float(((now - back)[seen] ** 2).mean(dtype=np.float64)))
    return float(np.mean(errors)) if errors else float("nan")


def body_motion(
    vertices: torch.Tensor,  # [T, V, 3] float32 metres, world: the posed body
    faces: np.ndarray,  # [F, 3] int32
    cameras: Sequence[Camera],  # T, of one size
    slack: float = 0.02,  # metres; a point so far behind the next frame's surface is still visible
) -> list[np.ndarray]:  # T - 1 of [H, W, 2] float32 pixels; NaN outside the body and where the next frame occludes it
    """Optical flow of the body: the motion of each visible point in the image to the next frame."""
    h, w, out = cameras[0].height, cameras[0].width, []
    rasters = []
    for v, camera in zip(vertices, cameras, strict=True):
        xy, z = camera.project(v)
        rasters.append((torch.cat([xy, z[:, None]], 1), rasterize_mesh(v, faces, camera)))
    for (_, now), (later, shown) in pairwise(rasters):
        moved = interpolate(now, later, faces)[0].cpu().numpy()  # [H, W, 3] x, y, depth in the next frame
        y, x = np.mgrid[:h, :w].astype(np.float32) + 0.5
        depth = shown.depth[0].cpu().numpy()
        column, row = (np.clip(np.floor(moved[..., i]), 0, n - 1).astype(int) for i, n in ((0, w), (1, h)))
        front = depth[row, column]  # inf outside the body
        seen = now.mask[0].cpu().numpy() & np.isfinite(front) & (moved[..., 2] <= front + slack)
        flow = moved[..., :2] - np.stack([x, y], -1)
        out.append(np.where(seen[..., None], flow, np.nan).astype(np.float32))
    return out
