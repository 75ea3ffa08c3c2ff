"""Read an asset folder in MakeHuman's layout once: suits, shoes, hats, hair, brows and skins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...errors import DinarError
from ...labels import LABEL
from ..base.makehuman import Asset, read_asset, read_texture, texture_of
from ..base.surfaces import Surfaces
from ..render.materials import Texture

TEXTURE = 1024  # texels a side at most


@dataclass(frozen=True, eq=False)
class Item:
    """An asset, or one piece of a suit, with its picture."""

    asset: Asset
    kind: str  # suit, shoes, hat, hair, brows
    male: bool | None  # None: for anybody
    label: np.ndarray  # [F] uint8 class of each face
    texture: Tensor | None  # [h, w, 4] linear


@dataclass(frozen=True, eq=False)
class Closet:
    """Lists of items by kind; empty without an asset folder."""

    suits: tuple[Item, ...] = ()
    shoes: tuple[Item, ...] = ()
    hats: tuple[Item, ...] = ()
    hair: tuple[Item, ...] = ()
    brows: tuple[Item, ...] = ()
    skins: tuple[tuple[str, Tensor], ...] = ()


def _components(faces: np.ndarray, n: int) -> np.ndarray:
    """[n] the smallest vertex of each vertex's connected piece."""
    own = np.arange(n)
    while True:
        low = own[faces].min(1)
        new = own.copy()
        for k in range(3):
            np.minimum.at(new, faces[:, k], low)
        new = new[new]
        if (new == own).all():
            return own
        own = new


def _suit_labels(asset: Asset, base: Tensor, s: Surfaces) -> np.ndarray:
    """[F] upper, lower, skirt or shoes, by where a suit's connected pieces lie on the template."""
    v = asset.fitted(base).cpu().numpy()
    piece = _components(asset.faces, len(v))[asset.faces[:, 0]]
    out = np.zeros(len(asset.faces), np.uint8)
    for k in np.unique(piece):
        x, y = v[np.unique(asset.faces[piece == k]), :2].T
        between = np.abs(x[y < s.levels["crotch"] - 0.2])  # the legs: only cloth that spans them is there
        if y.max() < s.levels["knee"] - 0.1:
            name = "shoes"
        elif (y.max() + y.min()) / 2 > s.levels["hip"] - 0.02:
            name = "upper"
        else:
            name = "skirt" if len(between) and between.min() < 0.02 else "lower"
        out[piece == k] = LABEL[name]
    return out


@lru_cache(maxsize=2)
def open_closet(folder: str | None, s: Surfaces) -> Closet:
    """All assets under ``folder/base`` (a few seconds); an empty closet without a folder."""
    if folder is None:
        return Closet()
    root = Path(folder)
    root = root / "base" if (root / "base").is_dir() else root
    if not (root / "clothes").is_dir():
        raise DinarError(f"{folder}: expected MakeHuman's asset layout (base/clothes, base/hair, base/skins); "
                         "leave out --assets to dress people procedurally")  # fmt: skip
    device = s.body.v_template.device
    base = s.base(s.body.v_template, s.helper_template).double()

    def texture(path: Path | None) -> Tensor | None:
        return None if path is None else torch.from_numpy(read_texture(path, TEXTURE)).to(device)

    def items(pattern: str, kind: str, label: Callable[[Asset], np.ndarray]) -> tuple[Item, ...]:
        out = []
        for path in sorted(root.glob(pattern)):
            asset = read_asset(path).to(device)
            name = path.stem
            male = True if name.startswith("male") else False if name.startswith("female") else None
            out.append(Item(asset, kind, male, label(asset), texture(texture_of(path))))
        return tuple(out)

    def all_of(name: str) -> Callable[[Asset], np.ndarray]:
        return lambda a: np.full(len(a.faces), LABEL[name], np.uint8)

    suits = items("clothes/*male_*/*.mhclo", "suit", lambda a: _suit_labels(a, base, s))
    skins = tuple((p.stem, t) for p in sorted(root.glob("skins/textures/*diffuse*"))
                  if (t := texture(p)) is not None)  # fmt: skip
    return Closet(suits, items("clothes/shoes*/*.mhclo", "shoes", all_of("shoes")),
                  items("clothes/fedora*/*.mhclo", "hat", all_of("hat")),
                  items("hair/*/*.mhclo", "hair", all_of("hair")), items("eyebrows/*/*.mhclo", "brows", all_of("face")),
                  skins)  # fmt: skip


def part_of(item: Item, label: int) -> Item:
    """Only the faces of one class: the trousers of a suit, say."""
    keep = item.label == label
    a = item.asset
    return replace(item, asset=replace(a, faces=a.faces[keep], uv_faces=a.uv_faces[keep]), label=item.label[keep])


def recoloured(texture: Tensor, colour: tuple[float, float, float]) -> Texture:
    """A hair texture in another colour: its light and dark strands, its holes."""
    grey = texture[..., :3].mean(-1, keepdim=True)
    on = texture[..., 3:] > 0.5
    mean = grey[on].mean() if on.any() else grey.mean()
    strands = (grey / mean.clamp(min=1e-3)).clamp(0, 3) ** 0.8
    image = torch.cat([strands * grey.new_tensor(colour), texture[..., 3:]], -1)
    return Texture(image, specular=0.035, gloss=18.0, wrap=(0.25, 0.25, 0.25), cut=0.08)
