"""A mask whose edges are a few pixels off -> a soft alpha with the photo's own edges, without a cut through a graph.

First the colours vote: where the mask is unsure, a colour that is common inside it makes a pixel the person's. Then the
guided filter makes the mask locally linear in the colours, which is what the alpha of hair and cloth is.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

WORK_SIDE = 512  # pixels of the longer side at which it is solved
RADIUS = 0.01  # of the guided filter, share of the person's height
EPSILON = 1e-3  # of squared colours in [0, 1]: edges of less contrast are smoothed over
STEEP = 3.0  # how much steeper the alpha becomes about its outline, which stays where it is
BINS = 16  # a channel of the colour histograms
VOTE = 0.3  # exponent of the colours' odds; of .2 to 1 the best person IoU on 40 validation photos
UNSURE = 0.05, 0.95  # where the colours vote


def sharpen(
    rgb: np.ndarray,  # [H, W, 3] uint8 guide
    soft: np.ndarray,  # [h, w] float32 in [0, 1], of any size with the guide's aspect
    height: float,  # the person's, pixels of the guide
) -> np.ndarray:
    """[H, W] float32 alpha in [0, 1]."""
    h, w = rgb.shape[:2]
    k = min(1.0, WORK_SIDE / max(h, w))
    size = max(1, round(w * k)), max(1, round(h * k))
    image = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    p = cv2.resize(soft, size, interpolation=cv2.INTER_AREA if soft.shape[0] > size[1] else cv2.INTER_LINEAR)
    alpha = guided(image, vote(image, p), rgb, RADIUS * height * k)
    return np.clip(STEEP * (alpha - 0.5) + 0.5, 0, 1)


def vote(
    image: np.ndarray,  # [h, w, 3] uint8
    p: np.ndarray,  # [h, w] float32 in [0, 1]
) -> np.ndarray:
    """[h, w] float32: ``p`` times the odds of every pixel's colour inside against outside, where ``p`` is unsure."""
    q = image.astype(np.int32) * BINS >> 8
    colour = ((q[..., 0] * BINS + q[..., 1]) * BINS + q[..., 2]).ravel()

    def density(weights: np.ndarray) -> np.ndarray:
        counts = np.bincount(colour, weights.ravel(), BINS**3).reshape(BINS, BINS, BINS)
        return gaussian_filter(counts, 1.0).ravel() / max(counts.sum(), 1.0) + 1e-6

    odds = np.clip(density(p) / density(1 - p), np.exp(-3), np.exp(3)) ** VOTE
    inside = p * odds.astype(np.float32)[colour].reshape(p.shape)
    return np.where((p > UNSURE[0]) & (p < UNSURE[1]), inside / (inside + 1 - p), p)


def guided(
    image: np.ndarray,  # [h, w, 3] uint8 guide at working size
    mask: np.ndarray,  # [h, w] float32
    full: np.ndarray,  # [H, W, 3] uint8 the same guide at full size
    radius: float,  # pixels at working size
) -> np.ndarray:
    """[H, W] float32: the fast guided filter (He & Sun 2015), whose coefficients are found at working size."""
    window = 2 * max(2, round(radius)) + 1
    mean = lambda x: np.asarray(cv2.blur(x, (window, window), borderType=cv2.BORDER_REFLECT))  # noqa: E731
    I = image.astype(np.float32) / 255
    channels = cv2.split(I)
    m, m_p = cv2.split(mean(I)), mean(mask)
    c = [mean(x * mask) - y * m_p for x, y in zip(channels, m, strict=True)]
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    rr, rg, rb, gg, gb, bb = (mean(channels[i] * channels[j]) - m[i] * m[j] + EPSILON * (i == j) for i, j in pairs)
    # The inverse of the symmetric 3 x 3 covariance by cofactors.
    A, B, C = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    D, E, F = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    det = rr * A + rg * B + rb * C
    a = [(q[0] * c[0] + q[1] * c[1] + q[2] * c[2]) / det for q in ((A, B, C), (B, D, E), (C, E, F))]
    offset = m_p - a[0] * m[0] - a[1] * m[1] - a[2] * m[2]
    fit = cv2.resize(mean(cv2.merge([*a, offset])), full.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    r, g, b = cv2.split(full)
    a_r, a_g, a_b, offset = cv2.split(fit)
    return (a_r * r + a_g * g + a_b * b) / 255 + offset
