"""Fit the body to photos (§4.1): SMPLify with a segmentation term, one shape for all photos of a person.

The first guess is the pose network's (:mod:`.start`); where two hypotheses are likely, both are tried for some steps.
Adam then minimises :mod:`.objective` in four stages: place, pose, pose and shape, silhouette. Several photos are one
batch.

The camera is :meth:`.view.View.camera`: at the world's origin, looking along -z. Its focal length is known or follows
from the distance that the pose network predicts; its pitch is fitted. Depth is the weak direction of one photo, so
standing people get an upright prior and a knee prior; without the pose network, BlazePose's lean is corrected
(docs/fit.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.hands import relaxed_hands
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..device import repeatable
from ..photo.surface import SURFACE_BODY
from .descent import FLOOR, descend
from .fit_file import Fit
from .objective import BESIDE, Objective, Weights
from .start import TORSO, Start, from_guess, from_landmarks
from .view import View

MAIN = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # the twelve large joints that errors are reported on
LANDMARK_SPAN = 1.55  # metres from the highest to the lowest landmark of an adult
LEAST_SCALE = 0.7  # of the first guess: pixels per metre, over those at which the person spans LANDMARK_SPAN
LIKELY = 0.15  # of the likeliest hypothesis: how likely another has to be, to be tried
DOUBT = 2.0  # weight of the log likelihood of a hypothesis against the objective after the trial (docs/fit.md)
PEOPLE = 16  # photos in a batch of different people: larger batches are hardly faster (docs/speed.md)
TRIAL = (10, 25)  # steps of the trial in the first two stages


T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """Some steps of Adam."""

    name: str  # what has been fitted after it
    steps: int
    rate: float  # learning rate
    rates: dict[str, float]  # parameters that move: their multiples of ``rate``
    weights: Weights


STAGES = (
    Stage("place", 15, 0.06, {"transl": 2}, Weights(sigma=1.0, limbs=1, pose=0.05, shape=1, upright=0)),
    Stage("pose", 80, 0.058, {"root": 1, "transl": 1, "pose": 1, "pitch": 1},
          Weights(sigma=0.3, limbs=2, pose=0.02, shape=1)),
    Stage("shape", 65, 0.035, {"root": 0.5, "transl": 1, "pose": 0.6, "pitch": 1, "betas": 3},
          Weights(sigma=0.1, limbs=0.5, depth=2.3, pose=0.01, shape=0.01)),
    Stage("silhouette", 80, 0.023, {"root": 0.5, "transl": 1, "pose": 0.5, "pitch": 1, "betas": 3},
          Weights(sigma=0.1, limbs=0.3, depth=2.3, pose=0.012, shape=0.01, silhouette=1)),
)  # fmt: skip


def fit_body(
    body: Body,
    views: list[View],
    *,
    betas: Tensor | None = None,  # [num_betas] a known shape, kept
    shared_shape: bool = True,  # False: the views are of different people
    focal: float | None = None,  # pixels; None: of each photo, else predicted
    device: torch.device | str = "cpu",  # a GPU takes longer for one photo, and less for many
    progress: Callable[[str], None] = lambda _: None,
) -> list[Fit]:
    """Fit the body to all views at once. Deterministic; uses one thread.

    Args:
        progress: is called with the name of each stage after it.
    """
    fits: list[Fit] = []
    for name, found in fit_stages(body, views, betas=betas, shared_shape=shared_shape, focal=focal, device=device):
        progress(name)
        fits = found
    return fits


def fit_people(body: Body, views: list[View], device: torch.device | str = "cpu") -> list[Fit]:
    """Fit the body to photos of different people, in batches of PEOPLE that are filled up with copies: how a sum is
    rounded depends on the size of the batch, so the fit of a photo is the same bits whatever the others are."""
    fits: list[Fit] = []
    for k in range(0, len(views), PEOPLE):
        some = views[k : k + PEOPLE]
        fits += fit_body(body, _filled(some), shared_shape=False, device=device)[: len(some)]
    return fits


def _filled(rows: list[T]) -> list[T]:
    """PEOPLE rows: at most so many, and copies of the last."""
    return rows + rows[-1:] * (PEOPLE - len(rows))


def fit_stages(
    body: Body,
    views: list[View],
    *,
    betas: Tensor | None = None,
    shared_shape: bool = True,
    focal: float | None = None,
    device: torch.device | str = "cpu",
) -> Iterator[tuple[str, list[Fit]]]:
    """:func:`fit_body`, with the fits after each stage: "start" (the first guess), and the names of STAGES.

    Without any mask there is no silhouette stage.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the tensors are small: a second thread only waits
    try:
        with repeatable(torch.device(device)):
            starts = first_guesses(body, views, focal, not shared_shape and len(views) == PEOPLE, device)
            problem = Objective(body, views, betas, shared_shape, starts, device)
            with torch.no_grad():
                _place(problem)
            yield "start", _results(problem)
            for stage in STAGES:
                if not stage.weights.silhouette or problem.mask_term.has_mask.any():
                    optimise(problem, stage, stage.steps)
                yield stage.name, _results(problem)
    finally:
        torch.set_num_threads(threads)


def first_guesses(
    body: Body,
    views: list[View],
    focal: float | None = None,
    filled: bool = False,
    device: torch.device | str = "cpu",
) -> list[Start]:
    """Of each photo the guess that explains it best after some steps, in batches of PEOPLE with ``filled``."""
    guesses: list[dict[int, Start]] = []
    for v in views:
        if v.guess is None or body.name != SURFACE_BODY:
            guesses.append({0: from_landmarks(body, v, focal)})
        else:
            likely = np.flatnonzero(v.guess.weight >= LIKELY * v.guess.weight.max()).tolist()
            guesses.append({m: from_guess(body, v, m, focal) for m in likely})
    tried = [(v, s) for v, g in zip(views, guesses, strict=True) if len(g) > 1 for s in g.values()]
    if filled:
        chunks = [tried[k : k + PEOPLE] for k in range(0, len(tried), PEOPLE)]
        losses = iter([x for c in chunks for x in _trial(body, _filled(c), device)[: len(c)]])
    else:
        losses = iter(_trial(body, tried, device) if tried else [])
    out = []
    for v, g in zip(views, guesses, strict=True):
        best = next(iter(g))
        if len(g) > 1:
            assert v.guess is not None
            cost = {m: next(losses) - DOUBT * math.log(v.guess.weight[m]) for m in g}
            best = min(cost, key=lambda m: cost[m])
        out.append(g[best])
    return out


def _trial(body: Body, tried: list[tuple[View, Start]], device: torch.device | str) -> list[float]:
    """The objective of each hypothesis after some steps."""
    p = Objective(body, [v for v, _ in tried], None, False, [s for _, s in tried], device)
    with torch.no_grad():
        _place(p)
    for stage, steps in zip(STAGES, TRIAL, strict=False):
        optimise(p, stage, steps)
    with torch.no_grad():
        return p.loss(STAGES[len(TRIAL) - 1].weights).tolist()


def _place(p: Objective) -> None:
    """Translation from the 2D landmarks' centre and scale; then, which landmarks are trusted."""
    torso = torch.tensor([p.row[i] for i in TORSO])
    J = p.points()
    for i in range(len(p.views)):
        x, y, w = J[i, :, :2] * p.flip, p.x2[i], p.weight[i, :, None]
        x0, y0 = (x * w).sum(0) / w.sum(), (y * w).sum(0) / w.sum()
        scale = ((x - x0) * (y - y0) * w).sum() / ((x - x0).square() * w).sum()  # pixels per metre
        scale = scale.clamp(min=LEAST_SCALE * float(p.height[i]) / LANDMARK_SPAN)
        t = (y[torso].mean(0) - p.centre[i]) / scale - x[torso].mean(0)
        p.transl[i] = torch.stack([t[0], -t[1], -p.focal[i] / scale - J[i, torso, 2].mean()])
    p.distrust()


def optimise(p: Objective, stage: Stage, steps: int) -> None:
    """Some steps of Adam with cosine decay."""
    params = [(getattr(p, k), stage.rate * x) for k, x in stage.rates.items() if not (k == "betas" and p.fixed_shape)]
    p.body = p.surface if stage.weights.silhouette else p.skeleton
    descend(params, stage.rate * FLOOR, steps, (0.9, 0.99), lambda step: p.loss(stage.weights, step).sum())


@torch.no_grad()
def _results(p: Objective) -> list[Fit]:
    main = torch.tensor([p.row[i] for i in MAIN])
    error = (p.project(p.points()) - p.x2).norm(dim=-1)[:, main] / p.height[:, None]
    seen = ((p.visible > 0.5) & (p.beside() < BESIDE))[:, main].float()
    error = (error * seen).sum(1) / seen.sum(1).clamp(min=1) * 100
    index = [p.full.joint(n) for n in p.body.joint_names]
    fits = []
    betas, root, joints, moved = p.betas.cpu(), p.root.cpu(), p.pose.cpu(), p.transl.cpu()
    J0 = p.full.rest_joints(p.full.coefficients(betas))[:, 0].expand(len(p.views), 3)
    for i, v in enumerate(p.views):
        pose = relaxed_hands(p.full)
        fitted = torch.cat([root[i][None], joints[i]])
        for j, name, a in zip(index, p.body.joint_names, fitted, strict=True):
            if not name.endswith("1") or name.startswith("spine"):  # the knuckles are keypoints, they do not bend
                pose[j] = a
        pitch = float(p.pitch[i])
        G = axis_angle_to_matrix(torch.tensor([-pitch, 0, 0]))  # takes the fit's frame to a world whose y is up
        pose[0] = matrix_to_axis_angle(G @ axis_angle_to_matrix(pose[0]))
        transl = G @ (moved[i] + J0[i]) - J0[i]
        camera = v.camera(float(p.focal[i]), pitch)
        b = betas[min(i, len(betas) - 1)].clone()
        fits.append(Fit(b, pose, transl, camera, float(error[i]), v.whole))
    return fits
