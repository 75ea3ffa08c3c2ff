"""MakeHuman's hm08 base mesh and the assets bound to it: .obj meshes with .mhclo bindings, textures, skins (all CC0).

The body bundle keeps the hm08 index of every vertex it has; an asset's vertex is a weighted sum of three base vertices
plus an offset that scales with the person.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from ...arrays import read_text
from ...errors import DinarError
from ...pictures import read_array

HM08 = 19158  # vertices of MakeHuman's base mesh
FARTHEST = 1e4  # no number of an asset is larger


@dataclass(frozen=True, eq=False)
class Asset:
    """A mesh bound to the base mesh."""

    name: str
    faces: np.ndarray  # [F, 3] int32, counter-clockwise
    uv: np.ndarray  # [T, 2] float32, v up
    uv_faces: np.ndarray  # [F, 3] int32 into uv
    index: Tensor  # [n, 3] int64 base vertices
    weight: Tensor  # [n, 3] float64
    offset: Tensor  # [n, 3] float64 in the units of `scale`
    scale: dict[int, tuple[int, int, float]]  # axis: two base vertices whose distance is that long
    deleted: np.ndarray  # base vertices that it hides

    def fitted(self, base: Tensor) -> Tensor:
        """Vertices [n, 3] on a shaped base mesh [HM08, 3] in its rest pose, metres."""
        size = [(base[a, k] - base[b, k]).abs() / length for k, (a, b, length) in sorted(self.scale.items())]
        return (self.weight.to(base)[..., None] * base[self.index]).sum(1) + self.offset.to(base) * torch.stack(size)

    def mixed(self, attributes: Tensor) -> Tensor:
        """Attributes [n, C] of the asset's vertices from those of the base mesh [HM08, C]."""
        w = self.weight.to(attributes).clamp(min=0)
        return ((w / w.sum(1, keepdim=True).clamp(min=1e-9))[..., None] * attributes[self.index]).sum(1)

    def to(self, device: torch.device | str) -> Asset:
        """The same asset with its binding on another device."""
        moved = {k: getattr(self, k).to(device) for k in ("index", "weight", "offset")}
        return replace(self, **moved)


@cache
def hm08_indices() -> tuple[np.ndarray, np.ndarray]:
    """hm08 indices of the body's vertices [V] and of the helper vertices (tights, skirt, hair) [H]."""
    with resources.as_file(resources.files("dinar.body") / "data" / "anny.npz") as file:
        z = np.load(file, allow_pickle=False)
        return z["hm08_index"].astype(int), z["helper_hm08_index"].astype(int)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(uv [T, 2], triangles [F, 3], their uv indices [F, 3], group names [F])."""
    uv, faces, uv_faces, groups, group = [], [], [], [], ""
    for line in read_text(path, what="a mesh of MakeHuman (obj)").splitlines():
        q = line.split()
        if q[:1] == ["vt"]:
            uv.append([float(x) for x in q[1:3]])
        elif q[:1] == ["g"]:
            group = q[1]
        elif q[:1] == ["f"]:
            c = [[int(t) - 1 for t in corner.split("/")[:2]] for corner in q[1:]]
            for k in range(1, len(c) - 1):
                triangle = np.array([c[0], c[k], c[k + 1]])
                faces.append(triangle[:, 0])
                uv_faces.append(triangle[:, 1])
                groups.append(group)
    return np.array(uv), np.array(faces, np.int32), np.array(uv_faces, np.int32), np.array(groups)


def read_asset(path: Path) -> Asset:
    """The asset of a .mhclo file and its .obj file."""
    try:
        asset = _read_asset(path)
    except (ValueError, IndexError, TypeError, OverflowError) as e:
        raise DinarError(f"{path}: expected a MakeHuman binding with its mesh, got another or a damaged file") from e
    corners = ((asset.faces, len(asset.weight)), (asset.uv_faces, len(asset.uv)), (asset.index, HM08),
               (asset.deleted, HM08))  # fmt: skip
    numbers = (asset.uv, asset.weight, asset.offset, [s[2] for s in asset.scale.values()])
    good = all(((np.asarray(i) >= 0) & (np.asarray(i) < n)).all() for i, n in corners) and all(
        (np.abs(np.asarray(x, np.float64)) < FARTHEST).all() for x in numbers
    )
    if not good or not all(0 <= i < HM08 for s in asset.scale.values() for i in s[:2]):
        raise DinarError(f"{path}: expected vertices of the hm08 mesh (0 to {HM08 - 1}) and sizes below {FARTHEST:g}")
    return asset


def _read_asset(path: Path) -> Asset:
    index, weight, offset, scale, deleted, part = [], [], [], {}, [], ""
    obj = path.with_suffix(".obj")
    if not obj.exists():
        raise DinarError(f"no {obj.name} beside {path}: expected MakeHuman's asset folders, mesh and binding together")
    for line in read_text(path, what="a binding of MakeHuman (mhclo)").splitlines():
        q = line.split()
        if not q or q[0] == "#":
            continue
        if q[0] in ("x_scale", "y_scale", "z_scale"):
            scale["xyz".index(q[0][0])] = (int(q[1]), int(q[2]), float(q[3]))
        elif q[0] in ("verts", "delete_verts"):
            part = q[0]
        elif part == "verts" and len(q) in (1, 9):
            index.append([int(q[0])] * 3 if len(q) == 1 else [int(x) for x in q[:3]])
            weight.append([1, 0, 0] if len(q) == 1 else [float(x) for x in q[3:6]])
            offset.append([0, 0, 0] if len(q) == 1 else [float(x) for x in q[6:]])
        elif part == "delete_verts":
            for a, b in zip(q, [*q[1:], ""], strict=True):
                if a == "-":
                    deleted += range(deleted[-1] + 1, min(int(b), HM08 + 1))
                else:
                    deleted.append(int(a))
    uv, faces, uv_faces, _ = read_obj(obj)
    if not len(faces) or faces.max() >= len(index) or len(scale) < 3:
        raise DinarError(f"{path}: expected a MakeHuman binding with {int(faces.max()) + 1 if len(faces) else 0} "
                         f"vertices and three scales, got {len(index)} and {len(scale)}")  # fmt: skip
    double = lambda a: torch.tensor(a, dtype=torch.float64)  # noqa: E731
    return Asset(path.stem, faces, uv.astype(np.float32), uv_faces, torch.tensor(index), double(weight), double(offset),
                 scale, np.array(deleted, int))  # fmt: skip


def linear(srgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] to linear light, float32."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)


def read_texture(path: Path, size: int | None = None) -> np.ndarray:
    """[h, w, 4] float32 linear RGB and alpha; `size` shrinks it to that many pixels a side."""
    image = read_array(path)
    if image is None:
        raise DinarError(f"cannot read the texture {path}: expected MakeHuman's CC0 assets, pictures included")
    if size is not None and size < max(image.shape[:2]):
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    if image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    rgb = linear(image[..., 2::-1].astype(np.float32) / 255)
    alpha = image[..., 3].astype(np.float32) / 255 if image.shape[2] == 4 else np.ones(rgb.shape[:2], np.float32)
    return np.dstack([rgb, alpha])


def texture_of(mhclo: Path) -> Path | None:
    """The diffuse texture beside an asset, by the names MakeHuman uses."""
    for pattern in ("{}_diffuse.png", "{}_diffuse.jpg", "{}.png", "materials/{}*diffuse*.png", "materials/*diffuse*"):
        found = sorted(mhclo.parent.glob(pattern.format(mhclo.stem)))
        if found:
            return found[0]
    return None
