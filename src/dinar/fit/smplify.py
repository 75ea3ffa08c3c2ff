"""Fit the body to photos (§4.1): SMPLify with a segmentation term, one shape for all photos of a person.

The first guess is the pose network's (:mod:`.start`); where two hypotheses are likely, both are tried for some steps.
Adam then minimises :mod:`.objective` in four stages: place, pose, pose and shape, silhouette.

The camera is :meth:`.view.View.camera`: at the world's origin, looking along -z. Its focal length is known or follows
from the distance that the pose network predicts; its pitch is fitted. Depth is the weak direction of one photo, so
standing people get an upright prior and a knee prior; without the pose network, BlazePose's lean is corrected
(docs/fit.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.hands import relaxed_hands
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..photo.surface import SURFACE_BODY
from .descent import FLOOR, descend
from .fit_file import Fit
from .objective import BESIDE, Objective
from .start import TORSO, Start, from_guess, from_landmarks
from .terms import Weights
from .view import View

MAIN = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)  # the twelve large joints that errors are reported on
LANDMARK_SPAN = 1.55  # metres from the highest to the lowest landmark of an adult
LEAST_SCALE = 0.7  # of the first guess: pixels per metre, over those at which the person spans LANDMARK_SPAN
LIKELY = 0.15  # of the likeliest hypothesis: how likely another has to be, to be tried
DOUBT = 2.0  # weight of the log likelihood of a hypothesis against the objective after the trial (docs/fit.md)
TRIAL = (10, 25)  # steps of the trial in the first two stages


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
    progress: Callable[[str], None] = lambda _: None,
) -> list[Fit]:
    """Fit the body to all views at once. Deterministic; the fit of a person does not depend on those of others.

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
    problem = Objective(body, views, betas, shared_shape, first_guesses(body, views, focal))
    _place(problem)
    yield "start", _results(problem)
    for stage in STAGES:
        if not stage.weights.silhouette or problem.has_mask:
            optimise(problem, stage, stage.steps)
        yield stage.name, _results(problem)


def first_guesses(body: Body, views: list[View], focal: float | None = None) -> list[Start]:
    """Of each photo the guess that explains it best after some steps."""
    out = []
    for v in views:
        if v.guess is None or body.name != SURFACE_BODY:
            out.append(from_landmarks(body, v, focal))
            continue
        weight = v.guess.weight
        likely = np.flatnonzero(weight >= LIKELY * weight.max()).tolist()
        guesses = [from_guess(body, v, m, focal) for m in likely]
        cost = [0.0] if len(likely) == 1 else _trial(body, v, guesses) - DOUBT * np.log(weight[likely])
        out.append(guesses[int(np.argmin(cost))])
    return out


def _trial(body: Body, view: View, guesses: list[Start]) -> np.ndarray:
    """The objective of each hypothesis after some steps."""
    p = Objective(body, [view] * len(guesses), None, False, guesses)
    _place(p)
    for stage, steps in zip(STAGES, TRIAL, strict=False):
        optimise(p, stage, steps)
    return p.loss(STAGES[len(TRIAL) - 1].weights)[0]


def _place(p: Objective) -> None:
    """Translation from the 2D landmarks' centre and scale; then, which landmarks are trusted."""
    torso = [p.row[i] for i in TORSO]
    for i, t in enumerate(p.targets):
        J = p.posed(i).points
        x, y, w = J[:, :2] * [1, -1], t.x2, t.weight[:, None]  # y is down in pictures
        x0, y0 = (x * w).sum(0) / w.sum(), (y * w).sum(0) / w.sum()
        scale = ((x - x0) * (y - y0) * w).sum() / ((x - x0) ** 2 * w).sum()  # pixels per metre
        scale = max(scale, LEAST_SCALE * t.height / LANDMARK_SPAN)
        u, v = (y[torso].mean(0) - t.camera[1:]) / scale - x[torso].mean(0)
        p.transl[i] = u, -v, -t.camera[0] / scale - J[torso, 2].mean()
    p.distrust()


def optimise(p: Objective, stage: Stage, steps: int) -> None:
    """Some steps of Adam with cosine decay."""
    moved = p.parameters()
    params = [(moved[k], stage.rate * x) for k, x in stage.rates.items() if not (k == "betas" and p.fixed_shape)]

    def gradients(step: int) -> list[np.ndarray]:
        slopes = p.loss(stage.weights, step)[1]
        return [slopes[k] for k in stage.rates if not (k == "betas" and p.fixed_shape)]

    descend(params, stage.rate * FLOOR, steps, (0.9, 0.99), gradients)


def _results(p: Objective) -> list[Fit]:
    main = [p.row[i] for i in MAIN]
    index = [p.full.joint(n) for n in p.joint_names]
    fits = []
    for i, (v, t) in enumerate(zip(p.views, p.targets, strict=True)):
        seen = (v.keypoints[list(MAIN), 3] > 0.5) & (p.beside(i)[main] < BESIDE)
        error = (p.off(i)[main] * seen).sum() / max(seen.sum(), 1) / t.height * 100
        betas, fitted, moved = (torch.from_numpy(x).float() for x in p.of(i))
        pose = relaxed_hands(p.full)
        for j, name, a in zip(index, p.joint_names, fitted, strict=True):
            if not name.endswith("1") or name.startswith("spine"):  # the knuckles are keypoints, they do not bend
                pose[j] = a
        pitch = float(p.pitch[i, 0])
        G = axis_angle_to_matrix(torch.tensor([-pitch, 0, 0]))  # takes the fit's frame to a world whose y is up
        pose[0] = matrix_to_axis_angle(G @ axis_angle_to_matrix(pose[0]))
        J0 = p.full.rest_joints(p.full.coefficients(betas[None]))[0, 0]
        transl = G @ (moved + J0) - J0
        fits.append(Fit(betas.clone(), pose, transl, v.camera(float(t.camera[0]), pitch), float(error), v.whole))
    return fits
