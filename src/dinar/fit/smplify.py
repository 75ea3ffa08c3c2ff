"""Fit the body to photos (§4.1): SMPLify with a segmentation term, one shape for all photos of a person.

Adam minimises :mod:`.objective` in four stages: rigid, pose, pose and shape, silhouette. Several photos are one batch.

The camera is :func:`.view.photo_camera`: at the world's origin, horizontal, looking along -z, of a fixed focal length.
Depth is the weak direction of one photo, so standing people get an upright prior, a knee prior and a correction of
BlazePose's lean (docs/fit.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..body import Body
from ..body.hands import relaxed_hands
from ..body.rotation import kabsch, matrix_to_axis_angle
from .fit_file import Fit
from .objective import Objective, Weights
from .view import View, photo_camera

MAIN = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # the twelve large joints that errors are reported on
TORSO = (11, 12, 23, 24)  # shoulders and hips
LANDMARK_SPAN = 1.55  # metres from the highest to the lowest landmark of an adult
LEAST_SCALE = 0.7  # of the first guess: pixels per metre, over those at which the person spans LANDMARK_SPAN
FLOOR = 0.1  # of the learning rate, at the end of its cosine decay


@dataclass(frozen=True)
class Stage:
    """Some steps of Adam."""

    name: str  # what has been fitted after it
    steps: int
    rate: float  # learning rate
    rates: dict[str, float]  # parameters that move: their multiples of ``rate``
    weights: Weights


STAGES = (
    Stage("rigid", 30, 0.06, {"root": 1, "transl": 2}, Weights(sigma=1.0, limbs=1, pose=0.05, shape=1, upright=0)),
    Stage("pose", 80, 0.058, {"root": 1, "transl": 1, "pose": 1}, Weights(sigma=0.3, limbs=2, pose=0.02, shape=1)),
    Stage("shape", 65, 0.035, {"root": 0.5, "transl": 1, "pose": 0.6, "betas": 3},
          Weights(sigma=0.1, limbs=0.5, pose=0.01, shape=0.03)),
    Stage("silhouette", 80, 0.023, {"root": 0.5, "transl": 1, "pose": 0.5, "betas": 3},
          Weights(sigma=0.1, limbs=0.3, pose=0.012, shape=0.03, silhouette=1)),
)  # fmt: skip


def fit_body(
    body: Body,
    views: list[View],
    *,
    betas: Tensor | None = None,  # [num_betas] a known shape, kept
    shared_shape: bool = True,  # False: the views are of different people
    focal: float | None = None,  # pixels; None: FOCAL of each photo's longer side
    progress: Callable[[str], None] = lambda _: None,
) -> list[Fit]:
    """Fit the body to all views at once. Deterministic; uses one thread.

    Args:
        progress: is called with the name of each stage after it.
    """
    fits: list[Fit] = []
    for name, found in fit_stages(body, views, betas=betas, shared_shape=shared_shape, focal=focal):
        progress(name)
        fits = found
    return fits


def fit_stages(
    body: Body,
    views: list[View],
    *,
    betas: Tensor | None = None,
    shared_shape: bool = True,
    focal: float | None = None,
) -> Iterator[tuple[str, list[Fit]]]:
    """:func:`fit_body`, with the fits after each stage: "start" (the first guess), and the names of STAGES.

    Without any mask there is no silhouette stage.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small: a second thread only waits
    try:
        problem = Objective(body, views, betas, shared_shape, focal)
        with torch.no_grad():
            _first_guess(problem)
        yield "start", _results(problem)
        for stage in STAGES:
            if not stage.weights.silhouette or problem.has_mask.any():
                optimise(problem, stage, stage.steps)
            yield stage.name, _results(problem)
    finally:
        torch.set_num_threads(threads)


def _first_guess(p: Objective) -> None:
    """Orientation from the torso's 3D landmarks, translation from the 2D landmarks' centre and scale."""
    torso = torch.tensor([p.row[i] for i in TORSO])
    left, right = p.row[11], p.row[12]
    J = p.points()
    for i in range(len(p.views)):
        a, c = J[i, torso] - J[i, torso].mean(0), p.x3[i, torso] - p.x3[i, torso].mean(0)
        if p.known3d[i]:
            p.root[i] = matrix_to_axis_angle(kabsch(a, c))
        elif p.x2[i, left, 0] < p.x2[i, right, 0]:  # the left shoulder is on the left: seen from behind
            p.root[i] = torch.tensor([0, torch.pi * 0.999, 0])
    J = p.points()
    for i in range(len(p.views)):
        x, y, w = J[i, :, :2] * torch.tensor([1.0, -1]), p.x2[i], p.weight[i, :, None]
        x0, y0 = (x * w).sum(0) / w.sum(), (y * w).sum(0) / w.sum()
        scale = ((x - x0) * (y - y0) * w).sum() / ((x - x0).square() * w).sum()  # pixels per metre
        scale = scale.clamp(min=LEAST_SCALE * float(p.height[i]) / LANDMARK_SPAN)
        t = (y[torso].mean(0) - p.centre[i]) / scale - x[torso].mean(0)
        p.transl[i] = torch.stack([t[0], -t[1], -p.focal[i] / scale - J[i, torso, 2].mean()])


def optimise(p: Objective, stage: Stage, steps: int) -> None:
    """Some steps of Adam with cosine decay."""
    params = {k: getattr(p, k).requires_grad_(True) for k in stage.rates if not (k == "betas" and p.fixed_shape)}
    groups = [{"params": [x], "lr": stage.rate * stage.rates[k]} for k, x in params.items()]
    opt = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps, eta_min=stage.rate * FLOOR)
    p.body = p.surface if stage.weights.silhouette else p.skeleton
    for p.step in range(steps):
        opt.zero_grad()
        p.loss(stage.weights).backward()
        opt.step()
        schedule.step()
    for x in params.values():
        x.requires_grad_(False)


@torch.no_grad()
def _results(p: Objective) -> list[Fit]:
    main = torch.tensor([p.row[i] for i in MAIN])
    error = (p.project(p.points()) - p.x2).norm(dim=-1)[:, main] / p.height[:, None]
    seen = (p.visible[:, main] > 0.5).float()
    error = (error * seen).sum(1) / seen.sum(1).clamp(min=1) * 100
    index = [p.full.joint(n) for n in p.body.joint_names]
    fits = []
    for i, v in enumerate(p.views):
        pose = relaxed_hands(p.full)
        fitted = torch.cat([p.root[i][None], p.pose[i]])
        for j, name, a in zip(index, p.body.joint_names, fitted, strict=True):
            if not name.endswith("1") or name.startswith("spine"):  # the knuckles are keypoints, they do not bend
                pose[j] = a
        camera = photo_camera(v.height, v.width, float(p.focal[i]))
        b = p.betas[min(i, len(p.betas) - 1)].clone()
        fits.append(Fit(b, pose, p.transl[i].clone(), camera, float(error[i]), v.whole))
    return fits
