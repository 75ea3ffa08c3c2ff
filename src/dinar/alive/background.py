"""A photo without its person: patch-based completion, coarse to fine.

On a coarse picture the unknown is peeled from its border inwards, each pixel copied from where the known part looks
like its surroundings (Criminisi et al. 2004). On finer ones the same copies are made, and the best patches near them
found and averaged (Wexler et al. 2007, with the propagation of PatchMatch). At last the copies' differences of
neighbours are joined, not their colours (Pérez et al. 2003).
"""

from __future__ import annotations

import cv2
import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from ..scene._numba import compiled
from ..scene.laplacian import factorise

PATCH = 7  # pixels a side
COARSE = 88  # pixels of the longer side at which all patches are compared
CLOSE = 0.02  # squared difference of colours that a patch on the picture's other side is worse by
FAITH = 0.002  # pull towards the copies' own colours: steps die out over its inverse square root, 22 pixels
TEAR = 0.3  # steps of a colour channel from here on are edges of things: they stay
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
    image, offsets = _peeled(*levels[-1])
    for known, hole_ in reversed(levels[:-1]):
        up = cv2.resize(image, known.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        image, offsets = _refined(np.where(hole_[..., None], up, known), hole_, offsets)
    if len(levels) > 1:
        image = _blended(image, hole, offsets.numpy())
    return np.where(hole[..., None], (image * 255 + 0.5).clip(0, 255), rgb).astype(np.uint8)


def _halved(image: np.ndarray) -> np.ndarray:
    """Half the size; a mask covers whatever it touches."""
    size = max(PATCH * 2, image.shape[1] // 2), max(PATCH * 2, image.shape[0] // 2)
    if image.dtype == bool:
        return cv2.resize(image.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _peeled(
    image: np.ndarray,  # [h, w, C] float32
    hole: np.ndarray,  # [h, w] bool
) -> tuple[np.ndarray, Tensor]:
    """A first guess, and where each pixel was copied from: from the border inwards, each unknown pixel is the middle
    of the known patch that is most like what is known around it, and near."""
    r = PATCH // 2
    pad = ((r, r), (r, r))
    pixels = torch.from_numpy(np.pad(image, (*pad, (0, 0)), mode="edge"))
    known = torch.from_numpy(np.pad(~hole, pad))
    touching = cv2.dilate(np.pad(hole, pad).astype(np.uint8), np.ones((PATCH, PATCH), np.uint8)) > 0
    touching[:r], touching[-r:], touching[:, :r], touching[:, -r:] = True, True, True, True
    sources = torch.from_numpy(np.argwhere(~touching))
    if not len(sources):  # nothing to copy from
        mean = image[~hole].mean(0) if not hole.all() else image.mean((0, 1))
        return np.where(hole[..., None], mean, image).astype(np.float32), torch.zeros(*hole.shape, 2, dtype=torch.long)
    field = torch.zeros(*pixels.shape[:2], 2, dtype=torch.long)
    b = _patches(pixels, sources)
    left = torch.from_numpy(np.pad(hole, pad))
    while left.any():
        around = cv2.dilate(known.numpy().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        edge = torch.from_numpy(np.argwhere(left.numpy() & around))
        m = _patches(known[..., None].expand_as(pixels).float(), edge)
        a = _patches(pixels, edge) * m
        d = ((a * a).sum(1, keepdim=True) - 2 * a @ b.T + m @ (b * b).T) / m.sum(1, keepdim=True)
        far = torch.cdist(edge.float(), sources.float()) / max(hole.shape)
        best = sources[(d + CLOSE * far).argmin(1)]
        pixels[edge[:, 0], edge[:, 1]] = pixels[best[:, 0], best[:, 1]]
        field[edge[:, 0], edge[:, 1]] = best - edge
        known[edge[:, 0], edge[:, 1]] = True
        left[edge[:, 0], edge[:, 1]] = False
    return pixels[r:-r, r:-r].numpy(), field[r:-r, r:-r]


def _refined(
    image: np.ndarray,  # [h, w, C] float32, enlarged in the hole
    hole: np.ndarray,  # [h, w] bool
    offsets: Tensor,  # [h', w', 2] of the coarser picture: from each pixel to where it was copied from
) -> tuple[np.ndarray, Tensor]:
    """The same copies at this size, then the best patches near them, whose mean is sharp where they agree."""
    r = PATCH // 2
    h, w = hole.shape
    inside = np.zeros_like(hole)
    inside[r : h - r, r : w - r] = True
    touching = cv2.dilate(hole.astype(np.uint8), np.ones((PATCH, PATCH), np.uint8)) > 0
    sources, targets = torch.from_numpy(inside & ~touching), torch.from_numpy(np.argwhere(inside & touching))
    field = _finer(offsets, (h, w))
    if not sources.any() or not len(targets):  # nothing to copy from: the guess stays
        return image, field
    pixels = torch.from_numpy(np.ascontiguousarray(image))
    unknown = torch.from_numpy(np.argwhere(hole))
    there = unknown + field[unknown[:, 0], unknown[:, 1]]
    ok = (there >= 0).all(1) & (there < torch.tensor([h, w])).all(1)
    ok[ok.clone()] = torch.from_numpy(~hole)[there[ok][:, 0], there[ok][:, 1]]
    pixels[unknown[ok][:, 0], unknown[ok][:, 1]] = pixels[there[ok][:, 0], there[ok][:, 1]]
    found, cost = _near(pixels, targets, field, sources)
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3)
    trust = torch.from_numpy(SHARP ** -np.minimum(depth, 40)).float()
    image = _voted(pixels, hole, targets, found, cost, trust)
    field[targets[:, 0], targets[:, 1]] = found - targets
    return image, field


def _blended(
    image: np.ndarray,  # [H, W, C] float32, filled
    hole: np.ndarray,  # [H, W] bool
    offsets: np.ndarray,  # [H, W, 2] from each pixel to where it was copied from
) -> np.ndarray:
    """The copies without steps of brightness between them and at the hole's border: what has the differences of
    neighbours that the copies have at their sources, and else is near the fill (screened Poisson equation)."""
    h, w = hole.shape
    index = np.full((h, w), -1)
    index[hole] = np.arange(hole.sum())
    flat = image.reshape(-1, image.shape[2])
    L, b = sp.diags(np.full(len(flat[hole.ravel()]), FAITH)), FAITH * flat[hole.ravel()]
    rows = np.indices((h, w))
    for axis in (0, 1):
        step = np.array([1 - axis, axis])
        p = np.argwhere((hole | np.roll(hole, -1, axis)) & (rows[axis] < hole.shape[axis] - 1))
        q = p + step
        wanted, count = np.zeros((len(p), image.shape[2])), np.zeros((len(p), 1))
        for end in (p, q):  # both ends' copies: where they differ, the mean
            shift = offsets[end[:, 0], end[:, 1]]
            at, beside = p + shift, q + shift
            ok = hole[end[:, 0], end[:, 1]] & (at >= 0).all(1) & (beside < [h, w]).all(1)
            at, beside = at[ok], beside[ok]
            known = ~hole[at[:, 0], at[:, 1]] & ~hole[beside[:, 0], beside[:, 1]]
            ok[ok.copy()] = known
            at, beside = at[known], beside[known]
            wanted[ok] += image[beside[:, 0], beside[:, 1]] - image[at[:, 0], at[:, 1]]
            count[ok] += 1
        own = image[q[:, 0], q[:, 1]] - image[p[:, 0], p[:, 1]]
        wanted = np.where(count > 0, wanted / count.clip(1), own)
        weight = 1 - (np.abs(own - wanted).max(1) / TEAR).clip(0, 1) ** 2
        i, j = index[p[:, 0], p[:, 1]], index[q[:, 0], q[:, 1]]
        both = (i >= 0) & (j >= 0)
        cross = np.r_[-weight[both], -weight[both]], (np.r_[i[both], j[both]], np.r_[j[both], i[both]])
        L = L + sp.coo_matrix(cross, (len(b), len(b)))
        for here, other, sign in ((i, q, -1), (j, p, 1)):
            inside, border = here >= 0, (here >= 0) & ~both
            L = L + sp.diags(np.bincount(here[inside], weight[inside], len(b)))
            np.add.at(b, here[inside], sign * (weight[:, None] * wanted)[inside])
            np.add.at(b, here[border], (weight[:, None] * image[other[:, 0], other[:, 1]])[border])
    out = image.copy()
    out[hole] = factorise(sp.csc_matrix(L)).solve(np.ascontiguousarray(b))
    return out


def _patches(pixels: Tensor, at: Tensor) -> Tensor:
    """[N, PATCH² C]: the patches around pixels (row, column) [N, 2]."""
    r = PATCH // 2
    step = torch.arange(-r, r + 1)
    rows = at[:, 0, None, None] + step[:, None]
    columns = at[:, 1, None, None] + step
    return pixels[rows, columns].flatten(1)


def _near(pixels: Tensor, targets: Tensor, field: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """The best of the places that the field [h, w, 2] tells for a target and its neighbours, and of those beside it;
    and how far its patch differs."""
    best, cost = torch.empty_like(targets), torch.empty(len(targets))
    _best(pixels.numpy(), targets.numpy(), field.numpy(), allowed.numpy(), PATCH // 2, best.numpy(), cost.numpy())
    return best, cost


@compiled
def _best(pixels, targets, field, allowed, r, best, cost):  # pragma: no cover
    """Writes ``best`` [N, 2] and ``cost`` [N] of :func:`_near`."""
    h, w = allowed.shape
    for n in range(len(targets)):
        y, x = targets[n]
        low = np.float32(np.inf)
        best[n] = targets[n]
        for move in range(9):  # the target itself, then its neighbours one pixel away, then two
            length = 0 if move == 0 else 1 if move < 5 else 2
            dy = length * ((move % 4 == 2) - (move % 4 == 0))
            dx = length * ((move % 4 == 1) - (move % 4 == 3))
            shift = field[min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)]
            for beside in range(1 + (move > 0)):
                cy = min(max(y + shift[0] - beside * dy, 0), h - 1)
                cx = min(max(x + shift[1] - beside * dx, 0), w - 1)
                if not allowed[cy, cx]:
                    continue
                d = np.float32(0)
                for i in range(-r, r + 1):
                    for j in range(-r, r + 1):
                        for c in range(pixels.shape[2]):
                            e = pixels[y + i, x + j, c] - pixels[cy + i, cx + j, c]
                            d += e * e
                    if d >= low:
                        break
                if d < low:
                    low = d
                    best[n, 0], best[n, 1] = cy, cx
        cost[n] = low


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


def _finer(field: Tensor, shape: tuple[int, int]) -> Tensor:
    """The field at twice the size."""
    h, w = field.shape[:2]
    rows = (torch.arange(shape[0]) * h // shape[0]).clamp(max=h - 1)
    columns = (torch.arange(shape[1]) * w // shape[1]).clamp(max=w - 1)
    return field[rows][:, columns] * 2
