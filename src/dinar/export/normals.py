"""Vertex normals of a mesh, and their change by morph targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

STILL_NORMAL = 0.01  # 0.6 degrees; smaller rotations of vertex normals by expressions are left out


def vertex_normals(v: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit float32, area-weighted; (0, 0, 1) where a vertex has no face with an area."""
    return _unit(_area_vectors(v, faces)).astype(np.float32)


def normal_changes(v: np.ndarray, faces: np.ndarray, targets: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The change of the unit normals [V, 3] float32 by each target [V, 3]."""
    rest = _area_vectors(v, faces)
    for d in targets:
        moved = np.abs(d).max(1) > 0
        near = faces[moved[faces].max(1)]
        touched = np.unique(near)
        n = rest + _area_vectors(v + d, near) - _area_vectors(v, near)
        turn = np.zeros_like(v)
        turn[touched] = _unit(n[touched]) - _unit(rest[touched])
        turn[np.linalg.norm(turn, axis=1) < STILL_NORMAL] = 0
        yield turn


def _area_vectors(v: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] float64, for each vertex the sum over its faces of normal times twice the area."""
    a, b, c = v.astype(np.float64)[faces.T]
    n = np.cross(b - a, c - a).repeat(3, 0)
    return np.stack([np.bincount(faces.ravel(), n[:, k], len(v)) for k in range(3)], 1)


def _unit(n: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(n, axis=1, keepdims=True)
    return np.where(length > 1e-15, n / np.maximum(length, 1e-15), [0.0, 0.0, 1.0])
