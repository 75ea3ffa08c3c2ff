"""The body in a photo as several hypotheses, from keypoints and surface map (:mod:`dinar.nets.pose`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..body.rotation import matrix_to_axis_angle
from ..body.skeleton import other_side
from ..nets.pose import PoseNet
from ..nets.surface import SURFACE_PARTS
from .blazepose import KEYPOINTS
from .surface import WEIGHTS as SURFACE_WEIGHTS
from .surface import SurfaceMap, towards

WEIGHTS = SURFACE_WEIGHTS / "pose"
SPREAD = 0.03  # metres: parts of which less is seen than this do not tell how they are turned
LITTLE = 4.0  # cells: parts of about so few are hardly seen
OPPOSED = 4.0  # log weight that a hypothesis loses whose pelvis faces the other way than the surface network says: of
# 152 generated people two have such a first hypothesis, both lying; of street photos those that are turned about


@dataclass(frozen=True)
class BodyGuess:
    """M hypotheses about the default body, the likeliest first."""

    weight: np.ndarray  # [M] float32, sum 1
    root: np.ndarray  # [M, 3, 3] float32 the pelvis' rotation along the axes (x right, y down, z away) of a camera that
    # looks at `middle`
    pose: np.ndarray  # [M, 21, 3] float32 axis-angles of skeleton.BODY without the pelvis
    betas: np.ndarray  # [M, num_betas] float32
    up: np.ndarray  # [M, 3] float32 the world's up, along the same axes as `root`
    sigma: np.ndarray  # [M, 22] float32 metres: mean errors of skeleton.BODY, with the pelvis at its place
    distance: np.ndarray  # [M] float32 metres from the camera to the pelvis
    middle: np.ndarray  # [2] float32 photo pixels, centres at .5

    def root_in(self, K: np.ndarray) -> np.ndarray:  # [3, 3] pixels -> [M, 3, 3]
        """``root`` along the axes of the photo's camera."""
        return (towards(K, self.middle).T @ self.root).astype(np.float32)

    def up_in(self, K: np.ndarray) -> np.ndarray:  # [3, 3] pixels -> [M, 3]
        """``up`` along the axes of the photo's camera."""
        return (self.up @ towards(K, self.middle)).astype(np.float32)


def has_pose() -> bool:
    """Whether the weights are there: a checkout may be without."""
    return (WEIGHTS / "config.json").exists()


@cache
def load_pose(folder: Path = WEIGHTS) -> PoseNet:
    """The network, loaded once per process."""
    return PoseNet.from_pretrained(folder)


@torch.inference_mode()
def guess_body(
    surface: SurfaceMap,
    keypoints: np.ndarray,  # [33, 4] BlazePose: x, y, z in pixels, visibility
    world: np.ndarray | None,  # [33, 3] metres, x right, y down, z away from the camera; None: unknown
    alpha: np.ndarray,  # [H, W] float in [0, 1]: the person
    net: PoseNet | None = None,  # another one than the shipped
) -> BodyGuess:
    """The network's hypotheses for one person."""
    middle, _ = extent(alpha)
    inputs = pose_inputs(surface, keypoints, world, alpha)
    out = (net or load_pose())({k: torch.from_numpy(v)[None] for k, v in inputs.items()})
    facing = out.rotation[0][:, 0, :, 2] @ torch.from_numpy(surface.turn[2])
    out.weight = torch.softmax(out.weight.log() + OPPOSED * facing.clamp(max=0), 1)
    best = out.weight[0].argsort(descending=True)
    a = {k: v[0][best].numpy() for k, v in vars(out).items() if k != "rotation"}
    pose = matrix_to_axis_angle(out.rotation[0][best][:, 1:]).numpy()
    return BodyGuess(a["weight"], out.rotation[0][best][:, 0].numpy(), pose, a["betas"], a["up"], a["sigma"],
                     a["distance"], middle.astype(np.float32))  # fmt: skip


def mirror_image(x: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs [B, ...] of the mirror image."""
    points, parts = ([names.index(other_side(n)) for n in names] for names in (KEYPOINTS, SURFACE_PARTS))
    sign = {"keypoints": [-1, 1, 1, 1], "spread": [[1, -1], [-1, 1]], "affine": [[1, -1, -1], [-1, 1, 1]],
            "mean": [-1, 1], "world": [-1, 1, 1], "turn": [-1, 1, 1], "rest": [-1, 1, 1]}  # fmt: skip
    order = dict.fromkeys(("mass", "mean", "rest", "spread", "affine", "doubt"), parts)
    order |= {"keypoints": points, "world": points}
    out = {k: v[:, order[k]] if k in order else v for k, v in x.items()}
    return {k: v * v.new_tensor(sign[k]) if k in sign else v for k, v in out.items()}


def extent(alpha: np.ndarray) -> tuple[np.ndarray, float]:
    """The middle of the mask's box [2], pixels with centres at .5, and the standard deviation of its pixels."""
    ys, xs = np.nonzero(alpha > 0.5)
    middle = np.array([xs.min() + xs.max() + 1, ys.min() + ys.max() + 1]) / 2
    return middle, float(np.hypot(xs.std(), ys.std()))


def pose_inputs(
    surface: SurfaceMap,
    keypoints: np.ndarray,  # [33, 4]
    world: np.ndarray | None,  # [33, 3]
    alpha: np.ndarray,  # [H, W]
) -> dict[str, np.ndarray]:
    """What the network is told, float32, by the names of :data:`dinar.nets.pose.INPUTS`: lengths in the picture in
    units of the person's extent, from the middle."""
    middle, size = extent(alpha)
    points = np.zeros((33, 4))
    seen = keypoints[:, 3:] > 0
    points[:, :2], points[:, 2] = (keypoints[:, :2] - middle) / size, keypoints[:, 2] / size
    points[:, 3] = keypoints[:, 3]
    found = {"keypoints": points * seen, "world": np.zeros((33, 3)) if world is None else world * seen,
             "turn": surface.turn, **part_moments(surface, middle, size)}  # fmt: skip
    return {k: v.astype(np.float32) for k, v in found.items()}


def part_moments(surface: SurfaceMap, middle: np.ndarray, size: float) -> dict[str, np.ndarray]:
    """Of each of K parts: how much is seen, where in the picture and how spread, which side of it, and the affine map
    from the rest pose to the picture there, which tells how the part is turned."""
    _, w, K = surface.scale.shape
    p = surface.probability[..., 1:].reshape(-1, K).T  # [K, cells]
    on = p.max(0) > 0.02
    p = p[:, on]
    rest = surface.points.reshape(-1, K, 3)[on].transpose(1, 2, 0)  # [K, 3, cells]
    y, x = np.divmod(np.flatnonzero(on), w)
    M = surface.M
    at = np.linalg.solve(M[:, :2], np.stack([x, y]) - M[:, 2:])  # photo pixels, centres at integers
    at = (at + 0.5 - middle[:, None]) / size
    area = 1 / (float(np.linalg.det(M[:, :2])) * size**2)  # of a cell
    mass = p.sum(1)
    share = p / (mass[:, None] + LITTLE)
    known = (mass / (mass + LITTLE))[:, None]
    mean, centre = share @ at.T, (share[:, None] * rest).sum(2)
    dx = at[None] - (mean / known.clip(1e-6))[..., None]
    dr = rest - (centre / known.clip(1e-6))[..., None]
    spread = np.einsum("kn,kin,kjn->kij", share, dx, dx, optimize=True)
    cross = np.einsum("kn,kin,kjn->kij", share, dx, dr, optimize=True)
    own = np.einsum("kn,kin,kjn->kij", share, dr, dr, optimize=True) + SPREAD**2 * np.eye(3)
    doubt = (share * surface.scale.reshape(-1, K)[on].T).sum(1)
    return {"mass": np.sqrt(mass * area), "mean": mean, "rest": centre, "spread": spread,
            "affine": cross @ np.linalg.inv(own), "doubt": doubt}  # fmt: skip
