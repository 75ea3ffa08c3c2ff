"""Picture metrics on numpy images [H, W, 3] float in [0, 1]. Definitions are the published ones, named exactly."""

from __future__ import annotations

import cv2
import numpy as np

MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang, Simoncelli, Bovik 2003


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB for a peak of 1; ``where`` [H, W] bool restricts the mean."""
    d = (np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2
    mse = float(d.mean() if where is None else d[where].mean())
    return float("inf") if mse == 0 else -10 * float(np.log10(mse))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two masks; 1 if both are empty."""
    union = (a | b).sum()
    return float((a & b).sum() / union) if union else 1.0


def ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Multi-scale SSIM: 11×11 Gaussian (σ 1.5, valid), K = (.01, .03), five scales by 2×2 mean, channels averaged."""
    if min(a.shape[:2]) < 11 * 2 ** (len(MS_SSIM_WEIGHTS) - 1):
        raise ValueError(f"MS-SSIM needs at least 176 pixels a side, got {a.shape[:2]}")
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    score = 1.0
    for k, w in enumerate(MS_SSIM_WEIGHTS):
        luminance_contrast, contrast = _ssim(x, y)
        value = luminance_contrast if k == len(MS_SSIM_WEIGHTS) - 1 else contrast
        score = score * np.maximum(value, 0) ** w
        if k < len(MS_SSIM_WEIGHTS) - 1:
            x, y = _halve(x), _halve(y)
    return float(np.mean(score))


def _ssim(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean SSIM and mean contrast-structure term per channel."""
    g = lambda z: cv2.GaussianBlur(z, (11, 11), 1.5)[5:-5, 5:-5]  # noqa: E731
    mx, my = g(x), g(y)
    vx, vy, cov = g(x * x) - mx * mx, g(y * y) - my * my, g(x * y) - mx * my
    cs = (2 * cov + 0.03**2) / (vx + vy + 0.03**2)
    l = (2 * mx * my + 0.01**2) / (mx * mx + my * my + 0.01**2)
    return (l * cs).mean((0, 1)), cs.mean((0, 1))


def _halve(x: np.ndarray) -> np.ndarray:
    h, w = x.shape[0] // 2 * 2, x.shape[1] // 2 * 2
    return x[:h, :w].reshape(h // 2, 2, w // 2, 2, -1).mean((1, 3))
