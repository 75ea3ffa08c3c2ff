"""The pose network: several hypotheses about a person's pose, shape and camera from what other networks found.

It sees no picture. Its inputs are BlazePose's keypoints and, of every part of the body, what the surface network's
answer says on average (:func:`dinar.photo.pose.pose_inputs`). Its outputs are a mixture: where one photo does not say
enough, the hypotheses differ.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..body.skeleton import BODY
from .pretrained import Network
from .surface import SURFACE_PARTS

K = len(SURFACE_PARTS)
INPUTS: dict[str, tuple[int, ...]] = {
    "keypoints": (33, 4),  # x, y, z in units of the person's extent, visibility
    "world": (33, 3),  # metres about the hips: x right, y down, z away from the camera; zeros: not known
    "turn": (3, 3),  # of the surface network
    "mass": (K,),  # root of the area of a part in the picture
    "mean": (K, 2),  # its middle in the picture
    "rest": (K, 3),  # metres: the middle of what is seen, on the template
    "spread": (K, 2, 2),  # covariance in the picture
    "affine": (K, 2, 3),  # picture over template
    "doubt": (K,),  # metres: mean scale of the surface network
}
SIGMA, FAR = 0.08, 3.0  # metres where the network says 0: error of a joint, distance of the camera
LIMIT = 6.0  # of standardised inputs


@dataclass
class PoseOutput:
    """Of B people, M hypotheses each. Rotations and directions are along the axes of a camera that looks at the person:
    x right, y down, z away."""

    weight: Tensor  # [B, M] sum 1
    rotation: Tensor  # [B, M, 22, 3, 3] of skeleton.BODY: the pelvis' along the axes, the others as in Body
    betas: Tensor  # [B, M, num_betas]
    up: Tensor  # [B, M, 3] the world's up
    distance: Tensor  # [B, M] metres from the camera to the pelvis
    sigma: Tensor  # [B, M, 22] metres: mean error of each joint about the pelvis


class PoseNet(Network):
    """Inputs by the names of :data:`INPUTS` -> :class:`PoseOutput`."""

    def __init__(
        self,
        width: int = 384,
        blocks: int = 3,
        hypotheses: int = 4,
        betas: int = 48,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(width=width, blocks=blocks, hypotheses=hypotheses, betas=betas, dropout=dropout)
        n = sum(math.prod(shape) for shape in INPUTS.values())
        self.middle: Tensor  # [n] and
        self.deviation: Tensor  # [n] of the inputs; set by `standardise`
        self.register_buffer("middle", torch.zeros(n))
        self.register_buffer("deviation", torch.ones(n))
        self.first = nn.Linear(n, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Dropout(dropout),
                          nn.Linear(width, width), nn.Dropout(dropout))
            for _ in range(blocks)
        )  # fmt: skip
        self.shared, self.own = [betas, 3, 1], [1, 6 * len(BODY), len(BODY)]
        self.last = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sum(self.shared) + hypotheses * sum(self.own)))

    def standardise(self, inputs: dict[str, Tensor]) -> None:
        """Take the mean and deviation of the inputs [N, ...] of a training set."""
        x = flat(inputs)
        self.middle.copy_(x.mean(0))
        self.deviation.copy_(x.std(0).clamp(min=0.01))

    def forward(self, inputs: dict[str, Tensor]) -> PoseOutput:
        x = ((flat(inputs) - self.middle) / self.deviation).clamp(-LIMIT, LIMIT)
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        y = self.last(x).float()
        n, B, M = sum(self.shared), len(x), self.config["hypotheses"]
        betas, up, distance = y[:, None, :n].expand(-1, M, -1).split(self.shared, 2)
        weight, turns, sigma = y[:, n:].unflatten(1, (M, -1)).split(self.own, 2)
        start = x.new_tensor([0.0, 1, 0, 0, 0, 1]).repeat(B, 1, len(BODY), 1)
        start[:, 0, 0] = inputs["turn"][:, 1:].flatten(1)  # the pelvis' up and front
        return PoseOutput(
            weight[..., 0].softmax(1),
            rotation_of(start + turns.unflatten(2, (len(BODY), 6))),
            betas,
            F.normalize(inputs["turn"][:, None, 0] + up, dim=2),
            FAR * distance[..., 0].clamp(-3, 3).exp(),
            SIGMA * sigma.clamp(-3, 3).exp(),
        )


def flat(inputs: dict[str, Tensor], names: Sequence[str] = tuple(INPUTS)) -> Tensor:
    """[B, n] the inputs side by side."""
    return torch.cat([inputs[k].flatten(1) for k in names], 1)


def rotation_of(axes: Tensor) -> Tensor:
    """[..., 6] -> [..., 3, 3]: rotations whose second and third column are nearest to the given ones, the second first
    (Zhou et al. 2019)."""
    y = F.normalize(axes[..., :3], dim=-1)
    z = axes[..., 3:] - (axes[..., 3:] * y).sum(-1, keepdim=True) * y
    z = F.normalize(z, dim=-1)
    return torch.stack([torch.linalg.cross(y, z), y, z], -1)
