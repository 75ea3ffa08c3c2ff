"""The texels of an atlas: the surface point of each texel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch

from ..body.atlas import Atlas
from ..scene import rasterize


@dataclass(frozen=True)
class Texels:
    """Surface points under the texel centres of a texture; N texels are used."""

    size: int
    index: np.ndarray  # [N] int64 flat index y * size + x
    face: np.ndarray  # [N] int32
    barycentrics: np.ndarray  # [N, 3] float32

    def sample(self, vertex_values: np.ndarray, faces: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Values [N, C] at the texels from values [V, C] at the vertices of faces [F, 3]; with ``rows`` [n] int, at
        these texels."""
        face, w = (self.face, self.barycentrics) if rows is None else (self.face[rows], self.barycentrics[rows])
        return np.einsum("nk,nkc->nc", w, vertex_values[faces[face]])

    @cached_property
    def inside(self) -> np.ndarray:
        """[size, size] bool, texels that lie in an island."""
        m = np.zeros(self.size * self.size, bool)
        m[self.index] = True
        return m.reshape(self.size, self.size)

    @cached_property
    def mirrored(self) -> np.ndarray:
        """[N] flat index of each texel's partner on the other side of the body."""
        y, x = np.divmod(self.index, self.size)
        return y * self.size + (self.size - 1 - x)


@lru_cache(maxsize=8)
def texels(atlas: Atlas, size: int) -> Texels:
    """The texels of a texture of ``size`` texels a side: the atlas rasterised as a flat mesh (cached)."""
    xy = torch.from_numpy(atlas.uv * size)[None]
    depth = torch.ones_like(xy[..., 0])
    if atlas.under is not None:
        depth += torch.from_numpy(atlas.under)
    f = rasterize(xy, depth, atlas.faces, size, size, perspective=False, cull="none")
    face = f.face[0].numpy().reshape(-1)
    index = np.flatnonzero(face >= 0)
    bary = f.barycentrics[0].numpy().reshape(-1, 3)[index]
    return Texels(size, index, face[index], bary)
