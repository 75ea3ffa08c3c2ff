"""The other half of a person who is seen from the side: what is worn is alike left and right."""

from __future__ import annotations

import numpy as np

from ..body.body import PARTS
from .fold import CONFIDENT
from .surface import Surface, of_kind, twins

# How much less one half of the trunk is seen than the other, as a share: from which it is filled from the other half,
# and wholly. From in front it is about 0, from the side 1 (benchmarks/patterns.py).
ASIDE = (0.45, 0.75)


def aside(s: Surface, lam: np.ndarray) -> float:
    """How much less one half of the trunk is seen than the other, 0 to 1, by λ [N]."""
    torso = of_kind(s, "torso")
    halves = [(lam[torso & half] > CONFIDENT).mean() for half in (s.x[:, 0] < 0, s.x[:, 0] > 0)]
    return float(1 - min(halves) / max(*halves, 1e-6))


def with_other_half(
    s: Surface, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Colours [N, 3], λ [N] and classes [N] or None with those of the other half below the head where it alone is seen,
    and the share [N] of these that is to be used: 0 elsewhere, and everywhere if both halves are seen about alike."""
    share = np.interp(aside(s, lam), ASIDE, (0, 1))
    twin = twins(s)
    body = s.part != PARTS.index("head")
    taken = body & (lam == 0) & (twin >= 0) & (lam[twin] > 0) & (share > 0)

    def both(x: np.ndarray) -> np.ndarray:
        out = x.copy()
        out[taken] = x[twin[taken]]
        return out

    other = None if worn is None else both(worn)
    return both(colour), both(lam), other, np.where(taken, share, 0).astype(np.float32)
