"""The silhouette term of the body fit: the body covers the person mask and nothing else (§4.1)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import KDTree
from torch import Tensor

from .view import View

COVER, COVER_SIGMA = 4000.0, 0.1  # weight of vertices outside the mask; person heights at which one counts half
CONTOUR, CONTOUR_SIGMA = 1500.0, 0.04  # the same of contour points without a vertex nearby
REMATCH = 4  # steps between searches for the vertex nearest to each contour point

# Sizes that trade accuracy for time.
FIELD = 256  # pixels a side of the mask's distance field
POINTS = 250  # contour points of a photo


class MaskTerm:
    """Targets of B photos: distance outside the mask in person heights [B, 1, FIELD, FIELD], contour points
    [B, POINTS, 2] in pixels and their weights, of sum 1 a photo where all are trusted."""

    def __init__(
        self,
        views: list[View],  # B
        heights: Tensor,  # [B] pixels
    ) -> None:
        found = [_targets(v, h) for v, h in zip(views, heights.tolist(), strict=True)]
        fields, contours, trusts, counts = zip(*found, strict=True)
        self.heights = heights
        self.centre = torch.tensor([[v.width / 2, v.height / 2] for v in views])
        self.field = torch.from_numpy(np.stack(fields))[:, None]
        self.contour = torch.from_numpy(np.stack(contours))
        self.weight = torch.from_numpy(np.stack(trusts)) / torch.tensor(counts)[:, None].clamp(min=1)
        self.has_mask = (torch.tensor(counts) > 0).float()
        self.nearest = torch.zeros(0)

    def __call__(
        self,
        x: Tensor,  # [B, V, 2] pixels: the vertices
        step: int,  # of the optimiser
    ) -> Tensor:
        """[B]: vertices outside the mask, and contour points far from the nearest vertex."""
        d = look_up(self.field, x / self.centre[:, None] - 1)
        cover = geman_mcclure(d.square(), COVER_SIGMA).mean(1)
        if step % REMATCH == 0:
            with torch.no_grad():
                self.nearest = _nearest(self.contour, x)
        near = x.gather(1, self.nearest[..., None].expand(-1, -1, 2))
        gap = (near - self.contour).square().sum(-1) / self.heights[:, None] ** 2
        missed = (geman_mcclure(gap, CONTOUR_SIGMA) * self.weight).sum(1) * self.has_mask
        return COVER * cover + CONTOUR * missed


def look_up(field: Tensor, x: Tensor) -> Tensor:  # [B, 1, n, n], [B, V, 2] in [-1, 1] -> [B, V]
    """Bilinear, the border's value outside. Torch's own gradient on CUDA is not repeatable and is refused there."""
    if x.device.type != "cuda":
        return F.grid_sample(field, x[:, None], align_corners=False, padding_mode="border")[:, 0, 0]
    return bilinear(field[:, 0], x)


def bilinear(field: Tensor, x: Tensor) -> Tensor:  # [B, n, n], [B, V, 2] in [-1, 1] -> [B, V]
    n = field.shape[-1]
    at = ((x + 1) * (n / 2) - 0.5).clamp(0, n - 1)
    low = at.detach().floor().clamp(max=n - 2)
    (u, v), (i, j) = (at - low).unbind(-1), low.long().unbind(-1)
    flat, place = field.flatten(1), j * n + i
    a, b, c, d = (flat.gather(1, place + k) for k in (0, 1, n, n + 1))
    return (a * (1 - u) + b * u) * (1 - v) + (c * (1 - u) + d * u) * v


def _nearest(contour: Tensor, x: Tensor) -> Tensor:
    """[B, POINTS] int64 row of the vertex [B, V, 2] nearest to each contour point [B, POINTS, 2]."""
    if x.device.type != "cpu":
        return torch.cdist(contour, x, compute_mode="donot_use_mm_for_euclid_dist").argmin(2)
    pairs = zip(contour.numpy(), x.detach().nan_to_num().numpy(), strict=True)
    return torch.stack([torch.from_numpy(KDTree(v).query(c)[1]) for c, v in pairs])


def geman_mcclure(r2: Tensor, sigma: float) -> Tensor:
    return sigma**2 * r2 / (sigma**2 + r2)


def _targets(v: View, h: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Distance field [FIELD, FIELD], contour points [POINTS, 2] and their trust [POINTS] for a person of ``h`` pixels;
    the first rows are used, as many as the last value says."""
    field, points = np.zeros((FIELD, FIELD), np.float32), np.zeros((POINTS, 2), np.float32)
    trust, count = np.zeros(POINTS, np.float32), 0
    if v.mask is None or not v.mask.any():
        return field, points, trust, count
    k = FIELD / max(v.height, v.width)
    hw = max(2, round(v.height * k)), max(2, round(v.width * k))
    mask = cv2.resize(v.mask.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_AREA)
    covered = mask
    if v.front is not None:  # the body may be behind a bag
        front = cv2.resize(v.front.astype(np.uint8), hw[::-1], interpolation=cv2.INTER_NEAREST)
        covered = np.maximum(mask, front)
    d = np.asarray(cv2.distanceTransform(1 - covered, cv2.DIST_L2, 5) / (h * k), np.float32)
    field = cv2.resize(d, (FIELD, FIELD), interpolation=cv2.INTER_LINEAR)
    found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if found:
        c = max(found, key=cv2.contourArea)[:, 0].astype(np.float32)
        inner = (c > 1).all(1) & (c[:, 0] < hw[1] - 2) & (c[:, 1] < hw[0] - 2)  # not where the picture ends
        c = (c[inner] + 0.5) / k
        c = c[np.linspace(0, len(c) - 1, min(POINTS, len(c))).astype(int)] if len(c) else c
        count = len(c)
        points[:count] = c
        i, j = c[:, 1].astype(int).clip(0, v.height - 1), c[:, 0].astype(int).clip(0, v.width - 1)
        trust[:count] = 1.0 if v.trust is None else v.trust[i, j]
        if v.front is not None:  # the mask's edge at a bag is not the body's
            near = cv2.dilate(v.front.astype(np.uint8), np.ones((9, 9), np.uint8))
            trust[:count] *= near[i, j] == 0
    return field, points, trust, count
