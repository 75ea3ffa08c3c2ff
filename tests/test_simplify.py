"""Fewer triangles: topology, orientation, seams and the attributes of what remains."""

from __future__ import annotations

import numpy as np
import torch

from dinar.body import load_body
from dinar.export import build_model
from dinar.export.simplify import SIZES, collapse, simplified

N, M = 30, 16  # segments of the torus


def torus() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, faces of corners, vertex of each corner and uv; seams around both ways fill the unit square."""
    i, j = np.meshgrid(np.arange(N + 1), np.arange(M + 1), indexing="ij")
    a, b = 2 * np.pi * i / N, 2 * np.pi * j / M
    v = np.stack([(2 + np.cos(b)) * np.cos(a), (2 + np.cos(b)) * np.sin(a), np.sin(b)], -1)[:N, :M].reshape(-1, 3)
    vertex = ((i % N) * M + j % M).ravel()
    uv = np.stack([i / N, j / M], -1).reshape(-1, 2)
    c = (i * (M + 1) + j)[:N, :M]
    quad = np.stack([c, c + M + 1, c + M + 2, c + 1], -1).reshape(-1, 4)
    return v, np.concatenate([quad[:, [0, 1, 2]], quad[:, [0, 2, 3]]]), vertex, uv


def edges(fv: np.ndarray) -> np.ndarray:
    """[E] how many faces share each edge."""
    pairs = np.sort(np.stack([fv, np.roll(fv, -1, 1)], -1).reshape(-1, 2), axis=1)
    return np.unique(pairs, axis=0, return_counts=True)[1]


def uv_areas(uv: np.ndarray, faces: np.ndarray) -> np.ndarray:
    a, b, c = (uv[faces[:, k]] for k in range(3))
    return ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2


def test_a_torus_stays_one() -> None:
    v, faces, vertex, uv = torus()
    left = collapse(v, np.zeros((len(v), 1)), faces, vertex, uv, 240)
    assert 230 <= len(left) <= 240 < len(faces)
    fv = vertex[left]
    shared = edges(fv)
    assert (shared == 2).all() and len(np.unique(fv)) - len(shared) + len(left) == 0  # closed, Euler's number 0
    areas = uv_areas(uv, left)
    assert (areas > 0).all() and abs(areas.sum() - 1) < 1e-9  # the seams stay where they are, without gap or overlap
    a, b, c = (v[fv[:, k]] for k in range(3))
    volume = lambda x, y, z: (np.cross(x, y) * z).sum() / 6  # noqa: E731
    assert abs(volume(a, b, c) / volume(*(v[vertex[faces[:, k]]] for k in range(3))) - 1) < 0.1


def test_what_moves_differently_is_kept() -> None:
    v, faces, vertex, uv = torus()
    moving = v[:, 0] > 0
    traits = np.where(moving[:, None], np.random.default_rng(0).normal(size=(len(v), 2)), 0)
    left = np.unique(vertex[collapse(v, traits, faces, vertex, uv, 300)])
    assert moving[left].sum() > 2 * (~moving[left]).sum()


def test_sizes_of_an_avatar() -> None:
    body = load_body()
    texture = np.random.default_rng(0).integers(0, 255, (600, 600, 3), np.uint8)
    model = build_model(body, torch.zeros(1), None, texture)
    small = simplified(model, "small")
    triangles, side = SIZES["small"]
    assert 0.98 * triangles < len(small.faces) <= triangles and small.texture.shape == (side, side, 3)
    rows = {tuple(p): k for k, p in enumerate(model.v)}
    origin = np.array([rows[tuple(p)] for p in small.v])  # vertices are old ones, with all that they had
    for name in ("normals", "joints", "weights"):
        assert np.array_equal(getattr(small, name), getattr(model, name)[origin])
    assert all(np.array_equal(small.targets[n], d[origin]) for n, d in model.targets.items())
    assert (uv_areas(small.uv, small.faces) <= 1e-12).sum() <= (uv_areas(model.uv, model.faces) <= 1e-12).sum()
    old = {(int(a), *map(float, b)) for a, b in zip(model.vertex, model.uv, strict=True)}
    assert {(int(origin[a]), *map(float, b)) for a, b in zip(small.vertex, small.uv, strict=True)} <= old
    assert edges(small.vertex[small.faces]).max() == 2
    face = model.targets["mouthSmileLeft"].any(1)
    assert face[origin].mean() > face.mean()  # the face keeps more than its share
    assert np.abs(np.ptp(small.v, 0) - np.ptp(model.v, 0)).max() < 0.01  # metres
    full = simplified(model, "full")
    assert full.faces is model.faces and full.texture.shape == texture.shape
