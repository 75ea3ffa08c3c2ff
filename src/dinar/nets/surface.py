"""The surface network: which point of the rest-pose body every pixel of a person shows, and how the body is turned.

For every pixel a distribution over parts of the body (the first class: none of them, for background, bags and whatever
stands in front) and in each part a point of the template with the scale of its Laplace distribution: a mixture, so that
a left leg that might be a right one is either, not something in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..body import Body
from ..errors import DinarError
from .pyramid import Pyramid

SURFACE_PARTS = ("head", "torso", *(f"{side}_{part}" for part in ("upper_arm", "forearm", "hand", "thigh", "shin",
                                                                   "foot") for side in ("left", "right")))  # fmt: skip
_MOVED_BY = {"shoulder": "upper_arm", "elbow": "forearm", "hip": "thigh", "knee": "shin", "ankle": "foot",
             "foot": "foot"}  # fmt: skip
HINTS = 8  # channels of photo.surface.hints
GAIN = 10.0  # of the hints in the encoder: with 1 they had hardly any effect after 1,500 steps
UNIT = 0.1  # metres of a network's output
SCALES = (0.005, 0.5)  # metres that the Laplace scale stays between


def surface_part(joint: str) -> int:
    """Index into :data:`SURFACE_PARTS` of what a joint of SMPL-X moves."""
    side, _, rest = joint.partition("_")
    if joint in ("neck", "head", "jaw") or "eye" in joint:
        return 0
    if side not in ("left", "right") or rest == "collar":
        return 1
    return SURFACE_PARTS.index(f"{side}_{_MOVED_BY.get(rest, 'hand')}")


def vertex_surface_parts(body: Body) -> np.ndarray:
    """[V] uint8 index into :data:`SURFACE_PARTS`: the part with the largest skin weight."""
    share = np.zeros((len(SURFACE_PARTS), body.num_vertices))
    np.add.at(share, [surface_part(n) for n in body.joint_names], body.weights.cpu().numpy().T)
    return share.argmax(0).astype(np.uint8)


@dataclass
class SurfaceOutput:
    """What the network says of B crops. h = H/2, w = W/2, K parts."""

    logits: Tensor  # [B, 1 + K, h, w] of no part, and of SURFACE_PARTS
    points: Tensor  # [B, K, 3, h, w] metres on the template, if the pixel shows that part
    scale: Tensor  # [B, K, h, w] metres; the mean error of a point is about three times as much
    turn: Tensor  # [B, 3, 3] rows: the world's up, the pelvis' up, the pelvis' front, along the camera's axes


class SurfaceNet(Pyramid):
    """Crop and hints -> :class:`SurfaceOutput`."""

    def __init__(
        self,
        widths: Sequence[int] = (32, 48, 96, 128, 192),  # channels of the pyramid at strides 2, 4, 8, 16, 32
        size: Sequence[int] = (320, 192, 256),  # long and short side of tall and wide crops, side of square ones
        parts: Sequence[str] = SURFACE_PARTS,  # of weights on disk: what their channels mean
    ) -> None:
        super().__init__(widths, HINTS, GAIN, True, size=list(size), parts=list(parts))
        if tuple(parts) != SURFACE_PARTS:
            raise DinarError(f"expected the parts {', '.join(SURFACE_PARTS)}, got {', '.join(parts)}")
        K = len(SURFACE_PARTS)
        self.head = nn.Conv2d(widths[0], 1 + 5 * K, 1)
        self.turn = nn.Sequential(nn.LayerNorm(320 * 2), nn.Linear(320 * 2, 128), nn.GELU(), nn.Linear(128, 9))
        self.centre: Tensor  # [K, 3] metres, the middle of each part; set by `centre_on`
        self.register_buffer("centre", torch.zeros(K, 3))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """Rows and columns of tall, square and wide crops."""
        long, short, square = self.config["size"]
        return (long, short), (square, square), (short, long)

    def centre_on(self, body: Body) -> None:
        """Points start in the middle of their parts."""
        part = torch.from_numpy(vertex_surface_parts(body)).long()
        self.centre.copy_(torch.stack([body.v_template[part == k].mean(0) for k in range(len(SURFACE_PARTS))]))

    def train(self, mode: bool = True) -> SurfaceNet:
        """Stages that learn normalise by their batch: with a parser's statistics kept, deep features grew twentyfold
        in 2,000 steps, and the body's turn was not learned."""
        super().train(mode)
        for stage in list(self.stages)[self.frozen :]:
            stage.train(mode)
        return self

    def forward(
        self,
        rgb: Tensor,  # [B, 3, H, W] in [-1, 1], sRGB; H and W multiples of 32
        hints: Tensor,  # [B, HINTS, H/4, W/4] in [0, 1]: whose surface is meant, their limbs; all 0: not known
    ) -> SurfaceOutput:
        y, deep = self.features(rgb, hints)
        y, deep = self.head(y).float(), deep.float()
        K = len(SURFACE_PARTS)
        points = y[:, 1 + K : 1 + 4 * K].unflatten(1, (K, 3)) * UNIT + self.centre[..., None, None]
        scale = (y[:, 1 + 4 * K :].clamp(-6, 6).exp() * UNIT / 3).clamp(*SCALES)
        pooled = torch.cat([deep.mean((2, 3)), deep.amax((2, 3))], 1)
        turn = self.turn(pooled.to(self.head.weight.dtype)).float().unflatten(1, (3, 3))
        return SurfaceOutput(y[:, : 1 + K], points, scale, nn.functional.normalize(turn, dim=2))
