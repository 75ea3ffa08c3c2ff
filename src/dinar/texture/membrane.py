"""Spread values over the surface by a screened Poisson equation on the mesh, so that atlas seams do not matter."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from ..body import Body
from ..scene.laplacian import cotangent_laplacian, factorise

PULL = 300.0  # weight of known values against cotangent weights of about 1; keeps them to within a per cent


def membrane(
    body: Body,
    known: np.ndarray,  # [V] bool
    value: np.ndarray,  # [V, C], read where known
    fade: float,  # metres over which the values die out where nothing is known
    cuts: tuple[np.ndarray, np.ndarray] | None = None,  # edges [E, 2], and differences of their ends to keep [E, C]
) -> np.ndarray:
    """[V, C] float64: the values where known, smooth elsewhere except for the given differences across cuts."""
    L, mass = _operators(body)
    pull = known * PULL
    b = pull[:, None] * value * known[:, None]
    if cuts is not None and len(cuts[0]):
        (i, j), step = cuts[0].T, cuts[1]
        w = -np.asarray(L[i, j]).reshape(-1, 1)
        np.add.at(b, i, w * step)
        np.add.at(b, j, -w * step)
    return factorise(L + sp.diags(pull + mass / fade**2)).solve(b)


@lru_cache(maxsize=2)
def _operators(body: Body):
    return cotangent_laplacian(body.v_template.cpu().numpy().astype(np.float64), body.faces)
