"""PSNR, MS-SSIM, IoU: identities, orderings, independent computations."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dinar.evaluate import iou, ms_ssim, psnr


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.random((24, 24, 3)), (256, 256), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def test_identity(picture: np.ndarray) -> None:
    assert psnr(picture, picture) == float("inf")
    assert ms_ssim(picture, picture) == pytest.approx(1)


def test_psnr_of_a_known_error(picture: np.ndarray) -> None:
    assert psnr(np.zeros((8, 8, 3)), np.full((8, 8, 3), 0.1)) == pytest.approx(20)


def test_more_blur_is_worse(picture: np.ndarray) -> None:
    blurred = [cv2.GaussianBlur(picture, (0, 0), s) for s in (1, 2, 4, 8)]
    for metric in (psnr, ms_ssim):
        values = [metric(picture, b) for b in blurred]
        assert values == sorted(values, reverse=True)


def test_ssim_against_direct_windows(picture: np.ndarray) -> None:
    """One scale of the definition, computed window by window."""
    from dinar.evaluate.metrics import _ssim

    x, y = picture[:24, :24], cv2.GaussianBlur(picture, (0, 0), 2)[:24, :24]
    g = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(g, g) / g.sum() ** 2
    out = []
    for i in range(14):
        for j in range(14):
            p, q = x[i : i + 11, j : j + 11, 0], y[i : i + 11, j : j + 11, 0]
            mp, mq = (w * p).sum(), (w * q).sum()
            vp, vq, c = (w * p * p).sum() - mp**2, (w * q * q).sum() - mq**2, (w * p * q).sum() - mp * mq
            out.append((2 * mp * mq + 1e-4) * (2 * c + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    assert _ssim(x, y)[0][0] == pytest.approx(np.mean(out), abs=1e-9)


def test_iou() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert iou(a, b) == pytest.approx(1 / 3) and iou(a & b & ~a, a & ~a) == 1.0
