"""Interpolate vertex attributes over the pixels of a rasterised mesh; normals.

Differentiable in the attributes, and in the barycentrics where these carry gradients (:func:`barycentrics_at`).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import DinarError
from .fragments import Fragments, face_index


def interpolate(
    fragments: Fragments,
    attributes: Tensor,  # [V, C] or [B, V, C] float
    faces: np.ndarray | Tensor,  # [F, 3] int into attributes: the mesh's faces, or an atlas' own (UV)
) -> Tensor:
    """Attributes [B, H, W, C] at the pixels, 0 in the background.

    ``faces`` may index other vertices than the rasterised ones, if face f is the same triangle. So attributes with
    seams need no cut mesh: ``interpolate(fragments, atlas.uv, atlas.faces)``.
    """
    B, H, W = fragments.face.shape
    a = attributes if attributes.ndim == 3 else attributes[None]
    if a.ndim != 3 or len(a) not in (1, B):
        raise DinarError(f"expected attributes [V, C] or [{B}, V, C], got {list(attributes.shape)}")
    wants_grad = torch.is_grad_enabled() and (a.requires_grad or fragments.barycentrics.requires_grad)
    if not wants_grad and a.device.type == "cpu" and a.dtype == torch.float32:
        from ._numba import interpolate_numba

        return interpolate_numba(fragments.face, fragments.barycentrics, faces, a)
    pixel, batch, face = _covered(fragments.face)
    corner = face_index(faces, a.device)[face]
    if len(a) > 1:
        corner = corner + (batch * a.shape[1])[:, None]
    values = a.reshape(-1, a.shape[2])[corner.reshape(-1)].view(*corner.shape, -1)
    blended = (fragments.barycentrics.reshape(-1, 3)[pixel].to(a.dtype)[..., None] * values).sum(1)
    return blended.new_zeros(B * H * W, a.shape[2]).index_copy(0, pixel, blended).view(B, H, W, -1)


def barycentrics_at(
    face: Tensor,  # [B, H, W] int, -1 in the background
    xy: Tensor,  # [B, V, 2] pixels
    depth: Tensor,  # [B, V] metres
    faces: np.ndarray | Tensor,  # [F, 3] int
    perspective: bool = True,
) -> Tensor:
    """Perspective-correct barycentrics [B, H, W, 3] of the pixel centres in given faces, 0 in the background.

    Differentiable in ``xy`` and ``depth``: with these in a copy of the fragments, :func:`interpolate` has gradients to
    the vertices. The triangle is not snapped to the rasteriser's grid, so they differ from the rasteriser's by up to
    1/512 pixel and may be slightly negative.
    """
    B, H, W = face.shape
    pixel, batch, index = _covered(face)
    corner = face_index(faces, xy.device)[index] + (batch * xy.shape[1])[:, None]
    place = pixel % (H * W)
    centre = torch.stack([place % W, place // W], -1).to(xy.dtype) + 0.5
    x, y = (xy.reshape(-1, 2)[corner] - centre[:, None]).unbind(-1)
    i, j = [1, 2, 0], [2, 0, 1]
    area = x[:, i] * y[:, j] - y[:, i] * x[:, j]  # of the triangle between the pixel and the edge opposite a corner
    if perspective:
        area = area / depth.reshape(-1)[corner]
    total = area.sum(1, keepdim=True)
    b = area / torch.where(total == 0, torch.ones_like(total), total)
    return b.new_zeros(B * H * W, 3).index_copy(0, pixel, b).view(B, H, W, 3)


def _covered(face: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Flat index, image and face [N] int64 of the pixels with a face."""
    flat = face.reshape(-1)
    pixel = (flat >= 0).nonzero()[:, 0]
    return pixel, pixel // (face.shape[1] * face.shape[2]), flat[pixel].long()


def face_normals(
    vertices: Tensor,  # [..., V, 3]
    faces: np.ndarray | Tensor,  # [F, 3] int
) -> Tensor:
    """Unit normals [..., F, 3], outward for counter-clockwise faces; 0 for faces without area."""
    return F.normalize(_area_normals(vertices, face_index(faces, vertices.device)), dim=-1)


def vertex_normals(
    vertices: Tensor,  # [..., V, 3]
    faces: np.ndarray | Tensor,  # [F, 3] int
) -> Tensor:
    """Unit normals [..., V, 3]: the area-weighted mean of the adjacent faces'; 0 for vertices without a face."""
    tri = face_index(faces, vertices.device)
    n = _area_normals(vertices, tri)
    total = torch.zeros_like(vertices)
    for i in range(3):
        total = total.index_add(-2, tri[:, i], n)
    return F.normalize(total, dim=-1)


def _area_normals(vertices: Tensor, tri: Tensor) -> Tensor:
    a, b, c = (vertices.index_select(-2, tri[:, i]) for i in range(3))
    return torch.linalg.cross(b - a, c - a)
