"""The texels of an atlas: the surface point of each texel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import cv2
import numpy as np
import torch

from ..body import Body
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

    def distance(self, on: np.ndarray) -> np.ndarray:
        """[N] texels from each texel to the nearest one that is ``on`` [N] bool, across gutters, too."""
        off = np.ones(self.size**2, np.uint8)
        off[self.index[on]] = 0
        return cv2.distanceTransform(off.reshape(self.size, -1), cv2.DIST_L2, 5).reshape(-1)[self.index]


@lru_cache(maxsize=8)
def texels(atlas: Atlas, size: int) -> Texels:
    """The texels of a texture of ``size`` texels a side: the atlas rasterised as a flat mesh (cached)."""
    xy = torch.from_numpy(atlas.uv * size)[None]
    depth = torch.ones_like(xy[..., 0])
    if atlas.under is not None:
        depth += torch.from_numpy(atlas.under)
    return _texels(xy, depth, atlas.faces, size)


@lru_cache(maxsize=4)
def texels_under_brim(body: Body, size: int) -> Texels | None:
    """Of the texels of a hat's brim, the points on its underside, which borrows them; None: no hat is worn."""
    a = body.atlas
    inside = np.flatnonzero(body.of_segment("hat") & (a.under[a.faces].all(1) if a.under is not None else False))
    if not len(inside):
        return None
    xy = torch.from_numpy(a.uv * size)[None]
    t = _texels(xy, torch.ones_like(xy[..., 0]), a.faces[inside], size)
    return replace(t, face=inside[t.face].astype(np.int32))


def _texels(xy: torch.Tensor, depth: torch.Tensor, faces: np.ndarray, size: int) -> Texels:
    """Those under faces in a texture, by the places [1, T, 2] in texels and depths [1, T] of their corners."""
    f = rasterize(xy, depth, faces, size, size, perspective=False, cull="none")
    face = f.face[0].numpy().reshape(-1)
    index = np.flatnonzero(face >= 0)
    bary = f.barycentrics[0].numpy().reshape(-1, 3)[index]
    return Texels(size, index, face[index], bary)
