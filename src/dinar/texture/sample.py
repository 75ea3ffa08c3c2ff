"""Sample the texture of a photo: algorithm 1 (app. A) with its masks B_smp and B_fill, and frontality λ (§3.2).

:func:`scatter` is the paper's: every pixel adds its colour to the 256² neural texture. :func:`gather` looks every texel
up in the photo, so that the 1024² RGB layer has no gaps.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..body import Body
from ..photo.image import Photo
from ..scene import Camera, interpolate, rasterize_mesh, vertex_normals
from .texels import Texels, texels_under_brim

GRAZING = 0.2  # λ up to which texels are not sampled: a pixel covers many of them
BEHIND = 0.012  # metres behind the visible surface that still count as seen
ERODE = 2 / 512  # of the crop's width, taken off the mask: pixels at its edge mix with the background


@dataclass
class Shot:
    """A square crop of a photo, with the posed mesh rasterised over it and the pixels that may be sampled."""

    rgb: np.ndarray  # [S, S, 3] float32 in [0, 1]
    mask: np.ndarray  # [S, S] bool, the person
    usable: np.ndarray  # [S, S] bool: person, not at its edge, not on an occlusion outline
    camera: Camera
    vertices: torch.Tensor  # [V, 3] world, metres
    uv: np.ndarray  # [S, S, 2] float32 in [0, 1], 0 outside the mesh
    face: np.ndarray  # [S, S] int32, -1 outside the mesh
    depth: np.ndarray  # [S, S] float32 metres, inf outside
    facing: np.ndarray  # [S, S] float32 in [0, 1]: cosine between normal and direction to the camera
    labels: np.ndarray | None = None  # [S, S] uint8 classes of the person's parse
    source: tuple[Photo, Camera] | None = None  # the picture that the crop is of, and its camera


def shoot(body: Body, vertices: torch.Tensor, camera: Camera, rgb: np.ndarray, mask: np.ndarray) -> Shot:
    """Rasterise the posed mesh [V, 3] over a crop: UV render, depth and frontality per pixel."""
    f = rasterize_mesh(vertices, body.faces, camera)
    uv = interpolate(f, torch.from_numpy(body.atlas.uv), body.atlas.faces)[0].numpy()
    cosine = facing_camera(vertices, vertex_normals(vertices[None], body.faces)[0], camera)
    facing = interpolate(f, cosine[:, None], body.faces)[0, ..., 0].numpy()
    k = max(1, round(ERODE * camera.width))
    core = cv2.erode(mask.astype(np.uint8), np.ones((2 * k + 1, 2 * k + 1), np.uint8)) > 0
    return Shot(rgb, mask, core, camera, vertices, uv, f.face[0].numpy(), f.depth[0].numpy(), facing)


def facing_camera(points: torch.Tensor, normals: torch.Tensor, camera: Camera) -> torch.Tensor:
    """Cosine [N] between normals and the direction to the camera, clamped at 0: the λ of §3.2."""
    to_camera = F.normalize(camera.position - points, dim=-1)
    return (normals * to_camera).sum(-1).clamp(min=0)


def scatter(
    uv: np.ndarray,  # [N, 2] in [0, 1], one row a pixel
    values: np.ndarray,  # [N, C]
    size: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Algorithm 1: texture [size, size, C] float32, B_smp and B_fill [size, size] bool.

    Every texel is the mean of the pixels whose UV lies in it or in one of its eight neighbours; a texel hit exactly
    has the last such pixel in raster order. Texels without a pixel are 0.
    """
    x = np.clip((uv * size).astype(np.int64), 0, size - 1)
    total, count = np.zeros((size * size, values.shape[1])), np.zeros(size * size)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            tx, ty = x[:, 0] + dx, x[:, 1] + dy
            ok = (tx >= 0) & (tx < size) & (ty >= 0) & (ty < size)
            i = (ty * size + tx)[ok]
            count += np.bincount(i, minlength=size * size)
            for c in range(values.shape[1]):
                total[:, c] += np.bincount(i, values[ok, c], minlength=size * size)
    texture = total / np.maximum(count, 1)[:, None]
    exact = x[:, 1] * size + x[:, 0]
    last = np.full(size * size, -1)
    np.maximum.at(last, exact, np.arange(len(exact)))
    sampled = last >= 0
    texture[sampled] = values[last[sampled]]
    shape = (size, size)
    return texture.reshape(*shape, -1).astype(np.float32), sampled.reshape(shape), (count > 0).reshape(shape)


def scatter_shot(shot: Shot, size: int = 256) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Algorithm 1 on a shot: RGB [size, size, 3], B_smp, B_fill [size, size] bool, λ [size, size]."""
    on = (shot.face >= 0) & shot.usable
    values = np.concatenate([shot.rgb[on], shot.facing[on][:, None]], 1)
    t, sampled, filled = scatter(shot.uv[on], values, size)
    return t[..., :3], sampled, filled, t[..., 3]


def gather(body: Body, shot: Shot, texels: Texels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Look every texel up in the shot: RGB [N, 3] float32 in [0, 1], λ [N] float32 in [0, 1], and class [N]
    uint8; all 0 where not seen, the class also without a parse. A brim that is seen from below alone has the colours of
    its underside."""
    out, under = _gather(body, shot, texels), texels_under_brim(body, texels.size)
    if under is not None:
        _, row, below = np.intersect1d(texels.index, under.index, assume_unique=True, return_indices=True)
        seen, unseen = _gather(body, shot, under), out[1][row] == 0
        for values, there in zip(out, seen, strict=True):
            values[row[unseen]] = there[below[unseen]]
    return out


def _gather(body: Body, shot: Shot, texels: Texels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    v = shot.vertices
    normals = vertex_normals(v[None], body.faces)[0]
    towards = (facing_camera(v, normals, shot.camera) > 0)[body.face_tensor].any(1).numpy()
    rows = np.flatnonzero(towards[texels.face])  # others are not seen; rows that are not are left out step by step

    def at(values: torch.Tensor) -> torch.Tensor:  # [V, C] -> [n, C]
        tri = body.face_tensor[torch.from_numpy(texels.face[rows]).long()]
        w = torch.from_numpy(texels.barycentrics[rows])
        return sum((values.index_select(0, tri[:, k]) * w[:, k, None] for k in range(3)), torch.zeros(()))

    points = at(v)
    xy, z = (x.numpy() for x in shot.camera.project(points))
    px = np.floor(np.nan_to_num(xy)).astype(np.int64)
    h, wd = shot.mask.shape
    inside = (px >= 0).all(1) & (px[:, 0] < wd) & (px[:, 1] < h)
    px = np.clip(px, 0, [wd - 1, h - 1])
    kept = inside & shot.usable[px[:, 1], px[:, 0]] & (z < shot.depth[px[:, 1], px[:, 0]] + BEHIND)
    rows, points, xy, px = rows[kept], points[torch.from_numpy(kept)], xy[kept], px[kept]
    cosine = facing_camera(points, F.normalize(at(normals), dim=-1), shot.camera).numpy()
    kept = cosine > GRAZING
    rows, xy, px = rows[kept], xy[kept], px[kept]
    n = len(texels.index)
    colour, lam, classes = np.zeros((n, 3), np.float32), np.zeros(n, np.float32), np.zeros(n, np.uint8)
    colour[rows], lam[rows] = sample_bilinear(shot.rgb, xy), cosine[kept]
    if shot.labels is not None:
        classes[rows] = shot.labels[px[:, 1], px[:, 0]]
    return colour, lam, classes


def sample_bilinear(image: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Colours [N, C] of an image [H, W, C] float32 at pixel positions [N, 2] (centres at .5), borders repeated."""
    n = len(xy)
    rows = -(-n // 4096)
    grid = np.zeros((rows * 4096, 2), np.float32)
    grid[:n] = xy - 0.5
    grid = grid.reshape(rows, 4096, 2)
    out = cv2.remap(image, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out.reshape(rows * 4096, -1)[:n]
