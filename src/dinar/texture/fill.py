"""Push-pull: fill unknown pixels from coarser levels of an image pyramid."""

from __future__ import annotations

import cv2
import numpy as np


def push_pull(
    image: np.ndarray,  # [S, S, C] float32, S a power of two
    known: np.ndarray,  # [S, S] bool
) -> np.ndarray:
    """The image [S, S, C] float32 with smooth colours where unknown; known pixels are unchanged."""
    levels = [(image * known[..., None], known.astype(np.float32))]
    while levels[-1][0].shape[0] > 1:
        c, w = levels[-1]
        n = c.shape[0] // 2
        w2 = w.reshape(n, 2, n, 2).sum((1, 3))
        c2 = (c * w[..., None]).reshape(n, 2, n, 2, -1).sum((1, 3)) / np.maximum(w2, 1e-6)[..., None]
        levels.append((c2, np.minimum(w2, 1)))
    out = levels[-1][0]
    for c, w in reversed(levels[:-1]):
        up = cv2.resize(out, c.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(c.shape)
        out = np.where((w > 0)[..., None], c, up)
    return out.astype(np.float32)
