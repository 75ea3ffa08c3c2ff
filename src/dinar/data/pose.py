"""Training samples of the pose network: generated people before backgrounds, read as photos are."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..arrays import Array
from ..body.load import load_body
from ..body.skeleton import BODY, other_side
from ..nets.pose import INPUTS
from ..nets.surface import SurfaceNet
from ..photo import blazepose
from ..photo.pose import extent, mirror_image, moments, pointed
from ..photo.surface import answer, crop_of, load_surface, towards
from ..views import Views
from .scenes import Backgrounds, Draws, bag, camera, colours, shape

JOINTS = [BODY[1:].index(other_side(n)) for n in BODY[1:]]
TRUTH: dict[str, tuple[int | str, ...]] = {
    "true_root": (3, 3),
    "true_pose": (len(BODY) - 1, 3),
    "true_betas": ("S",),
    "true_up": (3,),
    "true_distance": (),
}
"""What is known of a person, as in :class:`dinar.photo.pose.BodyGuess`."""
TABLE = {k: Array(np.float32, ("N", *shape), -1e6, 1e6) for k, shape in {**INPUTS, **TRUTH}.items()}
COVERED = 0.3  # share of the people with something in front


def picture(v: Views, scenes: Backgrounds, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The first view before a background, now and then covered a little: rgb [H, W, 3] uint8 and the person's mask
    [H, W] float32 in [0, 1]."""
    d = Draws(1, generator=torch.Generator().manual_seed(int(rng.integers(2**62))))
    rgb, alpha = v.rgb[:1].movedim(-1, 1) / 255, v.alpha[:1, None] / 255
    size = v.size
    rgb = torch.lerp(scenes(size, d), rgb, alpha)
    over = torch.where(d.chance(0.5, 1, 1, 1), bag(size, d), shape(size, d, 0.12)) * d.chance(COVERED, 1, 1, 1)
    rgb = camera(colours(torch.lerp(rgb, scenes(size, d), over), d), d)
    return (rgb[0].movedim(0, -1) * 255).round().byte().numpy(), (alpha * (1 - over))[0, 0].numpy()


def find(rgb: np.ndarray, alpha: np.ndarray) -> blazepose.Pose | None:
    """BlazePose's answer for the person of the mask; None where it finds none."""
    best, score = None, 0.5
    for d in blazepose.detect_people(rgb):
        pose = blazepose.landmarks(rgb, d)
        inside = pose.segmentation is not None and float((pose.segmentation * alpha).sum() / alpha.sum())
        if pose.score * inside > score:
            best, score = pose, pose.score * inside
    return best


def truth(v: Views, alpha: np.ndarray) -> dict[str, np.ndarray]:
    """The body of the first view in the frame of :class:`dinar.photo.pose.BodyGuess`."""
    body = load_body()
    T, K = v.T_cam_world[0].numpy().astype(np.float64), v.K[0].numpy().astype(np.float64)
    R = towards(K, extent(alpha)[0]) @ T[:3, :3]
    pose = v.params.pose[0].numpy().astype(np.float64)
    own = [body.joint(n) for n in BODY]
    pelvis = v.params.posed(body).joints[0, 0].numpy() @ T[:3, :3].T + T[:3, 3]
    found = {"root": R @ cv2.Rodrigues(pose[0])[0], "pose": pose[own[1:]], "betas": v.params.betas.numpy(),
             "up": R[:, 1], "distance": np.linalg.norm(pelvis)}  # fmt: skip
    return {f"true_{k}": np.asarray(x, np.float32) for k, x in found.items()}


def detect(v: Views, scenes: Backgrounds, rng: np.random.Generator) -> dict[str, np.ndarray] | None:
    """The first view as a picture, what BlazePose finds in it, and the truth; None where nobody is found."""
    rgb, alpha = picture(v, scenes, rng)
    pose = find(rgb, alpha)
    if pose is None:
        return None
    space = np.zeros((33, 3), np.float32) if pose.world is None else pose.world
    return {"rgb": rgb, "alpha": alpha, "points": pose.keypoints, "space": space, **truth(v, alpha)}


@torch.inference_mode()
def read(
    people: Sequence[dict[str, np.ndarray]],  # of detect
    net: SurfaceNet | None = None,  # another one than the shipped
) -> list[dict[str, np.ndarray]]:
    """Inputs by :data:`dinar.nets.pose.INPUTS`, and the truth."""
    net = net or load_surface()
    crops = [crop_of(x["rgb"], x["alpha"], x["points"], net.sizes) for x in people]
    out: list[dict[str, np.ndarray]] = [{} for _ in people]
    for size in net.sizes:
        own = [i for i, c in enumerate(crops) if c.mask.shape == size]
        if not own:
            continue
        y = answer(net, [crops[i] for i in own])
        middle, extents = zip(*(extent(people[i]["alpha"]) for i in own), strict=True)
        M, at, far = (torch.from_numpy(np.stack(a)) for a in ([crops[i].cells for i in own], middle, extents))
        found = moments(y.logits.float().softmax(1), y.points, y.scale, M, at, far) | {"turn": y.turn}
        found = {k: v.float().cpu().numpy() for k, v in found.items()}
        for j, i in enumerate(own):
            x = people[i]
            rows = pointed(x["points"], x["space"], middle[j], extents[j]) | {k: v[j] for k, v in found.items()}
            out[i] = {k: np.asarray(v, np.float32) for k, v in rows.items()} | {k: x[k] for k in TRUTH}
    return out


# --- the same people seen otherwise ---------------------------------------------------------------------------------


def mirrored(x: dict[str, Tensor]) -> dict[str, Tensor]:
    """Inputs and truth [B, ...] of the mirror image."""
    out = x | mirror_image({k: x[k] for k in INPUTS})
    M = x["true_up"].new_tensor([-1, 1, 1])
    out |= {"true_up": x["true_up"] * M, "true_root": x["true_root"] * M * M[:, None]}
    return out | {"true_pose": (x["true_pose"] * -M)[:, JOINTS]}


def rolled(x: dict[str, Tensor], angle: Tensor) -> dict[str, Tensor]:
    """Inputs and truth [B, ...] of the picture turned clockwise by angles [B] in radians."""
    c, s = angle.cos(), angle.sin()
    R = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], -2)  # [B, 2, 2]
    Z = F.pad(R, (0, 1, 0, 1))
    Z[:, 2, 2] = 1
    points = torch.cat([x["keypoints"][..., :2] @ R.mT, x["keypoints"][..., 2:]], -1)
    out = {**x, "keypoints": points, "mean": x["mean"] @ R.mT, "spread": R[:, None] @ x["spread"] @ R[:, None].mT,
           "affine": R[:, None] @ x["affine"], "true_root": Z @ x["true_root"]}  # fmt: skip
    out |= {k: x[k] @ Z.mT for k in ("world", "turn")}
    return out | {"true_up": (Z @ x["true_up"][..., None])[..., 0]}
