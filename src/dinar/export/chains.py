"""The movement of chains of joints: they follow the shells that the body poses by itself.

Those around the legs move as the cloth there; others turn, each from the one before, to where their ends are in the
posed mesh.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.chains import Chain
from ..body.swing import swing, turn


def points_of(body: Body, chain: Chain, v: Tensor, joints: Tensor) -> Tensor:
    """[B, n + 1, 3] of a chain, from the mesh [B, V, 3] (its rows at ``points`` are read) and joints [B, J, 3]."""
    points = v[:, chain.points]
    if chain.leg is not None:
        points[:, 0] = joints[:, body.joint(chain.parent)]
    return points


def follow(
    body: Body,
    rest: Tensor,  # [V, 3] the mesh at rest
    joints: Tensor,  # [J, 3] at rest
    skinning: Tensor,  # [B, J, 4, 4] of the body
    posed: Tensor,  # [B, J, 3] joints
) -> Tensor:
    """Skinning transforms [B, K, 4, 4] of the joints of all chains, in the order of the chains."""
    out = []
    at = np.unique(np.concatenate([c.points for c in body.chains]))
    v = rest.new_zeros(len(skinning), len(rest), 3)
    v[:, at] = body.place(rest[None], joints[None], skinning, posed, torch.from_numpy(at))
    hung = swing(body.joint_names, body.chains, rest[None], joints[None], posed, skinning)
    for chain in body.chains:
        start = points_of(body, chain, rest[None], joints[None])[0]
        end = points_of(body, chain, v, posed)
        A = skinning[:, body.joint(chain.parent)]
        for k in range(len(chain.points) - 1):
            if chain.leg is not None:
                A = hung[:, len(out)]
            else:
                root = A[:, :3, :3] @ start[k] + A[:, :3, 3]
                R = turn(A[:, :3, :3] @ (start[k + 1] - start[k]), end[:, k + 1] - root) @ A[:, :3, :3]
                A = torch.zeros_like(A)
                A[:, :3, :3], A[:, 3, 3] = R, 1
                A[:, :3, 3] = root - R @ start[k]
            out.append(A)
    return torch.stack(out, 1)
