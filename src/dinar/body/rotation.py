"""Rotations as axis-angles, matrices and quaternions: batched torch functions, differentiable at zero."""

from __future__ import annotations

import torch
from torch import Tensor


def axis_angle_to_matrix(a: Tensor) -> Tensor:
    """[..., 3] radians -> [..., 3, 3] (Rodrigues), differentiable at 0."""
    t2 = (a * a).sum(-1, keepdim=True)[..., None]
    small = t2 < 1e-6
    safe = torch.where(small, torch.ones_like(t2), t2)
    t = safe.sqrt()
    s = torch.where(small, 1 - t2 / 6, t.sin() / t)  # sin t / t
    c = torch.where(small, 0.5 - t2 / 24, (1 - t.cos()) / safe)  # (1 - cos t) / t²
    x, y, z = a.unbind(-1)
    o = torch.zeros_like(x)
    K = torch.stack([o, -z, y, z, o, -x, -y, x, o], -1).unflatten(-1, (3, 3))
    return torch.eye(3, dtype=a.dtype, device=a.device) + s * K + c * (K @ K)


def matrix_to_axis_angle(R: Tensor) -> Tensor:
    """[..., 3, 3] rotation matrices -> [..., 3] radians, |angle| <= π."""
    q = matrix_to_quaternion(R)
    w, v = q[..., :1], q[..., 1:]
    n = v.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(n, w)
    return torch.where(n < 1e-7, 2 * v, v * angle / n.clamp(min=1e-12))


def matrix_to_quaternion(R: Tensor) -> Tensor:
    """[..., 3, 3] -> [..., 4] unit quaternions (w, x, y, z), w >= 0. Picks the best-conditioned of four formulas."""
    m = R.flatten(-2)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = m.unbind(-1)
    cand = torch.stack(
        [
            torch.stack([1 + xx + yy + zz, zy - yz, xz - zx, yx - xy], -1),
            torch.stack([zy - yz, 1 + xx - yy - zz, xy + yx, xz + zx], -1),
            torch.stack([xz - zx, xy + yx, 1 - xx + yy - zz, yz + zy], -1),
            torch.stack([yx - xy, xz + zx, yz + zy, 1 - xx - yy + zz], -1),
        ],
        -2,
    )
    best = torch.stack([xx + yy + zz, xx - yy - zz, yy - xx - zz, zz - xx - yy], -1).argmax(-1)
    q = cand.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    q = q / q.norm(dim=-1, keepdim=True)
    return torch.where(q[..., :1] < 0, -q, q)


def quaternion_to_matrix(q: Tensor) -> Tensor:
    """[..., 4] quaternions (w, x, y, z), any length > 0 -> [..., 3, 3]."""
    w, x, y, z = (q / q.norm(dim=-1, keepdim=True)).unbind(-1)
    return torch.stack(
        [
            1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
            2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
            2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
        ],
        -1,
    ).unflatten(-1, (3, 3))  # fmt: skip


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Spherical interpolation of unit quaternions [..., 4] by t [...] in [0, 1], along the shorter arc."""
    d = (a * b).sum(-1, keepdim=True)
    b = torch.where(d < 0, -b, b)
    d = d.abs().clamp(max=1 - 1e-7)
    w = torch.acos(d)
    t = t[..., None]
    q = (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)
    return q / q.norm(dim=-1, keepdim=True)


def kabsch(a: Tensor, b: Tensor) -> Tensor:
    """Rotation [3, 3] of centred points a [N, 3] that is nearest to b [N, 3] (least squares)."""
    U, _, Vt = torch.linalg.svd(b.T @ a)
    d = torch.ones(3, dtype=a.dtype, device=a.device)
    d[2] = torch.sign(torch.linalg.det(U @ Vt))
    return (U * d) @ Vt
