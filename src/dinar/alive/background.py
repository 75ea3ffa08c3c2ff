"""A photo without its person: patch-based completion, coarse to fine (Wexler et al. 2007; PatchMatch's propagation).

Every unknown pixel is the mean of patches that agree on it, each copied from the known part of the photo. On a coarse
picture the nearest patches are found among all; on finer ones they are sought near where the coarse ones lie.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

PATCH = 7  # pixels a side
COARSE = 88  # pixels of the longer side up to which all patches are compared
ROUNDS = (8, 2, 1)  # of matching and voting: on the coarsest picture, the next one, finer ones
CHUNK = 8192  # patches that are compared at once
SHARP = 1.3  # a pixel's trust falls by this with each pixel into the hole


def without(
    rgb: np.ndarray,  # [H, W, C] uint8: colours, and what belongs to them, such as alpha
    hole: np.ndarray,  # [H, W] bool: what is taken out
) -> np.ndarray:
    """The picture [H, W, C] uint8 with the hole filled from around it; pixels outside are unchanged."""
    if not hole.any():
        return rgb
    levels = [(rgb.astype(np.float32) / 255, hole)]
    while max(levels[-1][1].shape) > COARSE:
        levels.append(tuple(map(_halved, levels[-1])))  # type: ignore[arg-type]
    image, hole_ = levels[-1]
    channels = [cv2.inpaint((c * 255).astype(np.uint8), hole_.astype(np.uint8), 3, cv2.INPAINT_TELEA)
                for c in np.moveaxis(image, 2, 0)]  # fmt: skip
    image = np.where(hole_[..., None], np.dstack(channels).astype(np.float32) / 255, image)
    offsets: Tensor | None = None
    for k, (known, hole_) in enumerate(reversed(levels)):
        if k:
            up = cv2.resize(image, known.shape[1::-1], interpolation=cv2.INTER_LINEAR)
            image = np.where(hole_[..., None], up, known)
        image, offsets = _completed(image, hole_, offsets, ROUNDS[min(k, len(ROUNDS) - 1)])
    return np.where(hole[..., None], (image * 255 + 0.5).clip(0, 255), rgb).astype(np.uint8)


def _halved(image: np.ndarray) -> np.ndarray:
    """Half the size; a mask covers whatever it touches."""
    size = max(PATCH * 2, image.shape[1] // 2), max(PATCH * 2, image.shape[0] // 2)
    if image.dtype == bool:
        return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _completed(
    image: np.ndarray,  # [h, w, C] float32 with a first guess in the hole
    hole: np.ndarray,
    offsets: Tensor | None,  # [h', w', 2] of the coarser picture: from each pixel to its patch
    rounds: int,
) -> tuple[np.ndarray, Tensor]:
    r = PATCH // 2
    h, w = hole.shape
    inside = np.zeros_like(hole)
    inside[r : h - r, r : w - r] = True
    square = np.ones((PATCH, PATCH), np.uint8)
    touching = cv2.dilate(hole.astype(np.uint8), square) > 0
    sources, targets = inside & ~touching, torch.from_numpy(np.argwhere(inside & touching))
    if not sources.any() or not len(targets):  # nothing to copy from: the guess stays
        return image, torch.zeros(h, w, 2, dtype=torch.long)
    allowed = torch.from_numpy(sources)
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    trust = torch.from_numpy(SHARP ** -np.minimum(depth, 40)).float()
    field = None if offsets is None else _finer(offsets, targets, (h, w))
    for _ in range(rounds):
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        if field is None:
            found, cost = _nearest(pixels, targets, torch.from_numpy(np.argwhere(sources)))
        else:
            found, cost = _near(pixels, targets, field, allowed)
        image = _voted(pixels, hole, targets, found, cost, trust)
        if field is not None:
            field = _field(targets, found, (h, w))
    return image, _field(targets, found, (h, w))


def _patches(pixels: Tensor, at: Tensor) -> Tensor:
    """[N, PATCH² C]: the patches around pixels (row, column) [N, 2]."""
    r = PATCH // 2
    step = torch.arange(-r, r + 1)
    rows = at[:, 0, None, None] + step[:, None]
    columns = at[:, 1, None, None] + step
    return pixels[rows, columns].flatten(1)


def _nearest(pixels: Tensor, targets: Tensor, sources: Tensor) -> tuple[Tensor, Tensor]:
    """The best of all sources for each target: places [N, 2], and squared differences [N]."""
    b = _patches(pixels, sources)
    norm = (b * b).sum(1)
    best, cost = [], []
    for part in targets.split(CHUNK // 8):
        a = _patches(pixels, part)
        d = norm - 2 * a @ b.T + (a * a).sum(1, keepdim=True)
        low, i = d.min(1)
        best.append(sources[i])
        cost.append(low.clamp(min=0))
    return torch.cat(best), torch.cat(cost)


def _near(pixels: Tensor, targets: Tensor, field: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The best of the places that the field [h, w, 2] tells for a target and its neighbours, and of those beside it."""
    h, w = allowed.shape
    top = torch.tensor([h - 1, w - 1])
    best = torch.empty_like(targets)
    cost = torch.full((len(targets),), torch.inf)
    for start in range(0, len(targets), CHUNK):
        part = targets[start : start + CHUNK]
        a = _patches(pixels, part)
        low, place = torch.full((len(part),), torch.inf), part.clone()
        for move in ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0), (0, 2), (2, 0), (0, -2), (-2, 0)):
            step = torch.tensor(move)
            at = (part + step).clamp(min=0).minimum(top)
            there = part + field[at[:, 0], at[:, 1]]
            for candidate in (there, there - step) if any(move) else (there,):
                c = candidate.clamp(min=0).minimum(top)
                ok = allowed[c[:, 0], c[:, 1]]
                d = torch.full((len(part),), torch.inf)
                d[ok] = (a[ok] - _patches(pixels, c[ok])).square().sum(1)
                better = d < low
                low, place = torch.where(better, d, low), torch.where(better[:, None], c, place)
        best[start : start + CHUNK], cost[start : start + CHUNK] = place, low
    return best, cost


def _voted(pixels: Tensor, hole: np.ndarray, targets: Tensor, found: Tensor, cost: Tensor, trust: Tensor) -> np.ndarray:
    """Unknown pixels as the mean of the patches over them; those that fit well, near the known part, count most."""
    h, w = hole.shape
    finite = torch.isfinite(cost)
    targets, found, cost = targets[finite], found[finite], cost[finite]
    width = cost.quantile(0.5).clamp(min=1e-4) if len(cost) < 1 << 24 else cost.mean()
    weight = torch.exp(-cost / (2 * width)) * trust[targets[:, 0], targets[:, 1]] + 1e-9
    total, sums = torch.zeros(h * w), torch.zeros(h * w, pixels.shape[2])
    r = PATCH // 2
    for dy in range(-r, r + 1):
        for dx in range(-r, r + 1):
            i = (targets[:, 0] + dy) * w + targets[:, 1] + dx
            sums.index_add_(0, i, weight[:, None] * pixels[found[:, 0] + dy, found[:, 1] + dx])
            total.index_add_(0, i, weight)
    mean = (sums / total.clamp(min=1e-12)[:, None]).view(h, w, -1).numpy()
    filled = hole & (total.view(h, w) > 0).numpy()
    return np.where(filled[..., None], mean, pixels.numpy())


def _field(targets: Tensor, found: Tensor, shape: tuple[int, int]) -> Tensor:
    field = torch.zeros(*shape, 2, dtype=torch.long)
    field[targets[:, 0], targets[:, 1]] = found - targets
    return field


def _finer(field: Tensor, targets: Tensor, shape: tuple[int, int]) -> Tensor:
    """The field at twice the size."""
    h, w = field.shape[:2]
    rows = (torch.arange(shape[0]) * h // shape[0]).clamp(max=h - 1)
    columns = (torch.arange(shape[1]) * w // shape[1]).clamp(max=w - 1)
    return field[rows][:, columns] * 2
