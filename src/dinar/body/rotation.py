"""Rotations as axis-angles, matrices and quaternions: batched torch functions, differentiable at zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALL = 1e-2  # radians² below which a series is more exact


def axis_angle_to_matrix(a: Tensor) -> Tensor:
    """[..., 3] radians -> [..., 3, 3] (Rodrigues), differentiable at 0, once."""
    return _Rodrigues.apply(a)  # type: ignore[return-value]


class _Rodrigues(torch.autograd.Function):
    """R = cos t I + s [a] + c a aᵀ with s = sin t / t and c = (1 - cos t) / t². Its gradient by hand takes fewer
    operations than autograd's, and the fit of a body is as slow as their number."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        t2 = a.square().sum(-1, keepdim=True)
        small = t2 < SMALL
        t = torch.where(small, 1.0, t2).sqrt()
        s = torch.where(small, 1 - t2 / 6 + t2.square() / 120, t.sin() / t)
        c = torch.where(small, 0.5 - t2 / 24 + t2.square() / 720, 2 * ((t / 2).sin() / t).square())
        ctx.save_for_backward(a, t2, s, c)
        (x, y, z), (k,) = (s * a).unbind(-1), (1 - c * t2).unbind(-1)
        turn = torch.stack([k, -z, y, z, k, -x, -y, x, k], -1).unflatten(-1, (3, 3))
        return turn + (c * a)[..., None] * a[..., None, :]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:  # type: ignore[override]
        a, t2, s, c = ctx.saved_tensors
        small = t2 < SMALL
        safe = torch.where(small, 1.0, t2)
        ds = torch.where(small, -1 / 3 + t2 / 30 - t2.square() / 840, (1 - c * t2 - s) / safe)  # ds / da = ds a
        dc = torch.where(small, -1 / 12 + t2 / 180 - t2.square() / 6720, (s - 2 * c) / safe)
        w = g.mT - g
        twist = torch.stack([w[..., 1, 2], w[..., 2, 0], w[..., 0, 1]], -1)  # <g, d[a] / da>
        both = ((g + g.mT) * a[..., None, :]).sum(-1)
        trace = g.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
        dot = lambda v: (v * a).sum(-1, keepdim=True)  # noqa: E731
        return s * twist + c * both + (ds * dot(twist) + dc * dot(both) / 2 - s * trace) * a


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
