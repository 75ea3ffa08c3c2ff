"""Several photos, one texture (§3.2, eq. 5)."""

from __future__ import annotations

import numpy as np

SHARPNESS = 10.0  # 1/τ of the released system


def merge(
    textures: np.ndarray,  # [views, ..., C]
    lam: np.ndarray,  # [views, ...] in [0, 1]; 0 where a view does not see the texel
    sharpness: float = SHARPNESS,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 5: T = Σ Tⁱ wⁱ with w = softmax(λ/τ) over the views that see a texel. Returns T and the largest λ."""
    seen = lam > 0
    e = np.where(seen, np.exp(sharpness * (lam - lam.max(0, keepdims=True))), 0)
    w = e / np.maximum(e.sum(0, keepdims=True), 1e-12)
    return (textures * w[..., None]).sum(0), lam.max(0)
