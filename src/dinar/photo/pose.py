"""The body in a photo as several hypotheses, from keypoints and surface map (:mod:`dinar.nets.pose`)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body.rotation import matrix_to_axis_angle
from ..body.skeleton import BODY, other_side
from ..nets.pose import PoseNet, PoseOutput, rotation_of
from ..nets.surface import SURFACE_PARTS
from .blazepose import KEYPOINTS
from .surface import WEIGHTS as SURFACE_WEIGHTS
from .surface import SurfaceMap, towards

WEIGHTS = SURFACE_WEIGHTS / "pose"
SPREAD = 0.03  # metres: parts of which less is seen than this do not tell how they are turned
LITTLE = 4.0  # cells: parts of about so few are hardly seen
CLEAR = 0.02  # cells count whose likeliest part is at least so likely
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
    out = both_sides(net or load_pose(), {k: torch.from_numpy(v)[None] for k, v in inputs.items()})
    facing = out.rotation[0][:, 0, :, 2] @ torch.from_numpy(surface.turn[2])
    out.weight = torch.softmax(out.weight.log() + OPPOSED * facing.clamp(max=0), 1)
    best = out.weight[0].argsort(descending=True)
    a = {k: v[0][best].numpy() for k, v in vars(out).items() if k != "rotation"}
    pose = matrix_to_axis_angle(out.rotation[0][best][:, 1:]).numpy()
    return BodyGuess(a["weight"], out.rotation[0][best][:, 0].numpy(), pose, a["betas"], a["up"], a["sigma"],
                     a["distance"], middle.astype(np.float32))  # fmt: skip


def both_sides(net: PoseNet, x: dict[str, Tensor]) -> PoseOutput:
    """The answer to inputs [B, ...]; each hypothesis is averaged with the nearest one to their mirror image."""
    a, b = net(x), net(mirror_image(x))
    M = a.up.new_tensor([-1, 1, 1])
    swap = [BODY.index(other_side(n)) for n in BODY]
    R = b.rotation[:, :, swap] * M * M[:, None]
    near = (a.rotation[:, :, None] - R[:, None]).square().flatten(3).sum(3).argmin(2)  # [B, M]
    rows = torch.arange(len(near), device=near.device)[:, None]
    mean = lambda one, other: (one + other[rows, near]) / 2  # noqa: E731
    weight, columns = mean(a.weight, b.weight), mean(a.rotation, R)[..., 1:].mT.flatten(-2)
    return PoseOutput(weight / weight.sum(1, keepdim=True), rotation_of(columns), mean(a.betas, b.betas),
                      F.normalize(mean(a.up, b.up * M), dim=2), mean(a.distance, b.distance),
                      mean(a.sigma, b.sigma[:, :, swap]))  # fmt: skip


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
    found = {**pointed(keypoints, world, middle, size), "turn": surface.turn, **part_moments(surface, middle, size)}
    return {k: v.astype(np.float32) for k, v in found.items()}


def pointed(keypoints: np.ndarray, world: np.ndarray | None, middle: np.ndarray, size: float) -> dict[str, np.ndarray]:
    """The part of the inputs that keypoints say."""
    points = np.zeros((33, 4))
    seen = keypoints[:, 3:] > 0
    points[:, :2], points[:, 2] = (keypoints[:, :2] - middle) / size, keypoints[:, 2] / size
    points[:, 3] = keypoints[:, 3]
    return {"keypoints": points * seen, "world": np.zeros((33, 3)) if world is None else world * seen}


def part_moments(surface: SurfaceMap, middle: np.ndarray, size: float) -> dict[str, np.ndarray]:
    """:func:`moments` of one photo."""
    first = lambda a: torch.from_numpy(a).movedim((0, 1), (-2, -1))[None]  # noqa: E731  [h, w, ...] -> [1, ..., h, w]
    found = moments(first(surface.probability), first(surface.points), first(surface.scale),
                    torch.from_numpy(surface.M)[None], torch.from_numpy(middle)[None],
                    torch.tensor([size]))  # fmt: skip
    return {k: v[0].numpy() for k, v in found.items()}


def moments(
    probability: Tensor,  # [B, 1 + K, h, w]
    points: Tensor,  # [B, K, 3, h, w] metres
    scale: Tensor,  # [B, K, h, w] metres
    M: Tensor,  # [B, 2, 3] photo pixels (centres at integers) to cells
    middle: Tensor,  # [B, 2] photo pixels
    size: Tensor,  # [B] photo pixels
) -> dict[str, Tensor]:
    """Of each of K parts of B people: how much is seen, where in the picture and how spread, which side of it, and the
    affine map from the rest pose to the picture there, which tells how the part is turned."""
    h, w = scale.shape[2:]
    p, rest, scale = (a.flatten(-2).float() for a in (probability[:, 1:], points, scale))  # cells last
    p = p * (p.amax(1, keepdim=True) > CLEAR)
    M, middle, size = (a.to(p) for a in (M, middle, size))
    y, x = torch.meshgrid(torch.arange(h, device=p.device), torch.arange(w, device=p.device), indexing="ij")
    cell = torch.stack([x, y]).flatten(1).to(p) - M[:, :, 2:]
    at = (torch.linalg.solve(M[:, :, :2], cell) + 0.5 - middle[..., None]) / size[:, None, None]  # [B, 2, cells]
    area = 1 / (torch.linalg.det(M[:, :, :2]) * size**2)  # of a cell
    mass = p.sum(2)
    share = p / (mass[..., None] + LITTLE)
    known = (mass / (mass + LITTLE)).clamp(min=1e-6)[..., None]
    both = torch.cat([at[:, None].expand(-1, p.shape[1], -1, -1), rest], 2)  # [B, K, 5, cells]
    one = (both @ share[..., None])[..., 0]
    off = both - (one / known)[..., None]
    two = (off * share[:, :, None]) @ off.mT  # [B, K, 5, 5]
    own = two[..., 2:, 2:] + SPREAD**2 * torch.eye(3, device=p.device)
    return {"mass": (mass * area[:, None]).sqrt(), "mean": one[..., :2], "rest": one[..., 2:],
            "spread": two[..., :2, :2], "affine": two[..., :2, 2:] @ torch.linalg.inv(own),
            "doubt": (share * scale).sum(2)}  # fmt: skip
