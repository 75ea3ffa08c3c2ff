"""The light of a photo on the person's surface, so that restored texels are lit as their own place is.

Two things tell most of it (``benchmarks/light.py``): how much of the sky a place sees past the rest of the body, and
whether it looks to the left or to the right. How strong both are differs from photo to photo; what is seen of each
cloth tells, as far as it differs from what is usual.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial import KDTree

from ..body import Body
from ..labels import LABEL
from ..scene import Camera, rasterize, vertex_normals
from .surface import Surface, searchers

DIRECTIONS, PIXELS = 48, 256  # from which the body is looked at, spread evenly; side of each picture
GROUND = 0.35  # its brightness, of the sky's
OUT, ROUND = 0.015, 24  # metres: cloth lies outside of the skin; vertices whose mean normal it has
LEAST = 0.05  # added to the sky that is seen, which has a logarithm then
# Mean and deviation of the exponents of sky and side over photos, and the texels that each photo counts for: they are
# no independent samples. Chosen by colours of 47 photos' hidden parts (benchmarks/light.py).
USUAL, DEVIATION = np.array([0.3, 0.0]), np.array([0.2, 0.1])
EVIDENCE = 100
ROUNDS, UNLIKE = 5, 2.0  # of fits, each without what the one before does not explain: that many median errors
LIT = ("skin", "upper", "outer", "lower", "skirt", "legwear")  # classes that tell: large, and of one colour each
SURE, MANY = 0.2, 1000  # λ from which texels tell; least texels of a class at 512²
MOST = 0.3  # bound of the light's logarithm
DARK, STEP = 0.03, 0.7  # added to brightness before the logarithm; bound of the differences, which are prints beyond


def light(
    body: Body,
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1], read where lam > 0
    lam: np.ndarray,  # [N] float32 in [0, 1]
    worn: np.ndarray | None,  # [N] uint8 of labels.CLASSES where seen; None: no parse, the usual light
) -> np.ndarray:
    """[N, 1] float32 factor of the light at each texel; 1 is the median of the seen ones."""
    x = told(body, s)
    exponents = USUAL if worn is None else _exponents(x, colour, lam, worn, MANY * (s.texels.size / 512) ** 2)
    log = x @ exponents
    if s.in_hat.any():  # its texels border on those of the hat
        flat = np.stack(np.divmod(s.texels.index, s.texels.size), 1)
        log[s.in_hat] = log[s.hat][KDTree(flat[s.hat]).query(flat[s.in_hat])[1]]
    log -= np.median(log[lam > 0])
    return np.exp(MOST * np.tanh(log / MOST))[:, None].astype(np.float32)


def _exponents(x: np.ndarray, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray, many: float) -> np.ndarray:
    """[2] exponents of sky and side."""
    a, b = cloths(x, colour, lam, worn, many)
    if not len(b):
        return USUAL
    prior, out = np.diag(1 / np.square(DEVIATION)), USUAL
    for _ in range(ROUNDS):
        error = b - a @ out
        middle = float(np.median(np.abs(error)))
        like = 1 / (1 + np.square(error / (UNLIKE * middle + 1e-6)))  # prints are not
        count = EVIDENCE * like / like.sum() / max(float((like * np.square(error)).sum() / like.sum()), 1e-6)
        out = np.linalg.solve((a.T * count) @ a + prior, (a.T * count) @ b + prior @ USUAL)
    return out


def cloths(
    x: np.ndarray, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray, many: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of the seen texels of all classes that have ``many``: x [M, 2] of :func:`told`, and the logarithm of
    their brightness [M], both less the mean of their class."""
    A, Y = [np.zeros((0, 2))], [np.zeros(0)]
    for name in LIT:
        own = (lam > SURE) & (worn == LABEL[name])
        if own.sum() >= many:
            y = np.log(colour[own].mean(1) + DARK)
            step = np.clip(y - np.median(y), -STEP, STEP)
            A.append(x[own] - x[own].mean(0))
            Y.append(step - step.mean())
    return np.concatenate(A), np.concatenate(Y)


def told(body: Body, s: Surface) -> np.ndarray:
    """[N, 2]: logarithm of the sky that a texel sees, and the x of its normal."""
    sky, normal = _sky(body)
    values = np.stack([np.log(sky + LEAST), normal[:, 0]], 1).astype(np.float32)
    return s.texels.sample(values, body.faces)


@lru_cache(maxsize=4)
def _sky(body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Of the rest body's vertices: brightness [V] of sky and ground as seen from each, past the body; 1 for a level
    place under the open sky. Normals [V, 3] of the cloth on it."""
    v = body.v_template.cpu()
    normal = vertex_normals(v, body.faces).numpy()
    around = KDTree(v.numpy()).query(v.numpy(), k=ROUND, workers=searchers(len(v)))[1]
    same = (normal[around] * normal[:, None]).sum(2, keepdims=True) > 0  # not the other side of a thin part
    normal = (normal[around] * same).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    place = v + OUT * torch.from_numpy(normal)
    centre = (v.amin(0) + v.amax(0)) / 2
    reach = float((v - centre).norm(dim=1).max()) + 2 * OUT
    total, open_ = np.zeros(len(v)), 0.0
    for d in _directions(DIRECTIONS):
        camera = _towards(centre, d, reach)
        xy, depth = camera.project(v)
        near = rasterize(xy[None], depth[None], body.faces, PIXELS, PIXELS).depth[0]
        xy, depth = camera.project(place)
        j, i = (xy - 0.5).round().long().clamp(0, PIXELS - 1).T
        sees = (near[i, j] > depth).numpy() * np.clip(normal @ d, 0, None)
        bright = 1.0 if d[1] > 0 else GROUND
        total += bright * sees
        open_ += bright * max(d[1], 0)
    return total / open_, normal


def _directions(n: int) -> np.ndarray:
    """[n, 3] unit vectors, spread evenly (a spiral of Fibonacci)."""
    y = 1 - (2 * np.arange(n) + 1) / n
    angle = math.pi * (1 + math.sqrt(5)) * np.arange(n)
    return np.stack([np.cos(angle) * np.sqrt(1 - y * y), y, np.sin(angle) * np.sqrt(1 - y * y)], 1)


def _towards(centre: torch.Tensor, d: np.ndarray, reach: float) -> Camera:
    """The camera that looks at the centre from direction ``d`` [3], without perspective."""
    up = np.array([0.0, 0, 1]) if abs(d[1]) > 0.9 else np.array([0.0, 1, 0])
    x = np.cross(up, d) / np.linalg.norm(np.cross(up, d))
    R = torch.from_numpy(np.stack([x, np.cross(x, d), -d])).float()
    T = torch.eye(4)
    T[:3, :3], T[:3, 3] = R, -R @ centre + torch.tensor([0, 0, 2 * reach])
    scale = PIXELS / 2 / reach
    K = torch.tensor([[scale, 0, PIXELS / 2], [0, scale, PIXELS / 2], [0, 0, 1]])
    return Camera(K, T, PIXELS, PIXELS, orthographic=True)
