"""Textures of the views of people: sampled once, kept in files that training reads without memory.

People of a single photo have several inputs, in each of which another part of what the photo shows is hidden: networks
learn the colours of photos, although nobody is photographed from all sides.

A set is a folder with ``textures.json`` and arrays of P people with V views: ``rgb.npy`` and ``rules.npy``
[P, V, S, S, 3], ``lam.npy`` and ``worn.npy`` [P, V, S, S] uint8, ``front.npy`` [P, V] float32; and of everyone's body
with its shells ``position.npy`` [P, 3, S, S] float16 and ``folded.npy`` [P, S, S] int32 of ``neural/condition.py``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap

from ..arrays import Array, read_json, read_npy
from ..body import Body
from ..body.shells import Shell, can_wear, from_header, to_header, wear
from ..errors import DinarError
from ..files import remove_stale, replacing
from ..labels import CLASSES
from ..neural.arrays import view_arrays
from ..neural.condition import geometry
from ..neural.texture import sample, scatter
from ..scene import vertex_normals
from ..texture.restore import rules
from ..texture.sample import GRAZING
from ..texture.surface import surface
from ..views import Source, Views
from .dressing import dressed

FILE = "textures.json"
VERSION = 5  # of what the arrays hold
DTYPES = {"front": np.float32, "position": np.float16, "folded": np.int32}  # of others uint8
LIMIT = (GRAZING, 0.45)  # range of λ up to which texels of an input are not seen
NO_PARSE = 0.15  # share of inputs without classes
INPUTS = 4  # of a single photo
DIRECTIONS, FACING = 16, 0.3  # hidden: what faces one of these horizontal directions, by the cosine
MOST = 1 << 24  # people of a set, and views of a person
HIDDEN = (0.15, 0.7)  # share of the seen texels that are hidden


@dataclass(frozen=True)
class TextureSet:
    """Textures of P people with V views each, memory-mapped."""

    rgb: np.ndarray  # [P, V, S, S, 3] uint8
    lam: np.ndarray  # [P, V, S, S] uint8, 255 λ of §3.2; 0: not seen
    worn: np.ndarray  # [P, V, S, S] uint8 of labels.CLASSES; 0: no parse, or not seen
    rules: np.ndarray  # [P, V, S, S, 3] uint8 texture.restore.rules of what :func:`shown` leaves of each view
    front: np.ndarray  # [P, V] float32 in [-1, 1], frontality of the view; -inf: no such view
    position: np.ndarray  # [P, 3, S, S] float16, and
    folded: np.ndarray  # [P, S, S] int32: of neural.condition.Geometry
    shells: tuple[tuple[Shell, ...], ...]  # that each of the P people wears
    parts: np.ndarray | None = None  # :func:`parts` if the views are inputs of a single photo
    style: np.ndarray | None = None  # [P, D] float16, the encoder's answer to the most frontal view

    def __len__(self) -> int:
        return len(self.rgb)

    def people(self, rows: slice) -> TextureSet:
        """Some people of the set."""
        names = ("rgb", "lam", "worn", "rules", "front", "position", "folded", "shells")
        style = None if self.style is None else self.style[rows]
        return dataclasses.replace(self, style=style, **{n: getattr(self, n)[rows] for n in names})


@lru_cache(maxsize=2)
def parts(body: Body, size: int) -> np.ndarray:
    """[DIRECTIONS, S, S] bool: the texels of the rest body that face each direction."""
    s = surface(body, size)
    angle = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    normal = s.texels.sample(vertex_normals(body.v_template.cpu(), body.faces).numpy(), body.faces)
    facing = np.stack([np.sin(angle), 0 * angle, np.cos(angle)], 1) @ normal.T > FACING
    out = np.zeros((DIRECTIONS, size * size), bool)
    out[:, s.texels.index] = facing
    return out.reshape(DIRECTIONS, size, size)


def shown(
    lam: np.ndarray,  # [S, S] in [0, 1]
    worn: np.ndarray,  # [S, S]
    person: int,
    view: int,
    parts: np.ndarray | None = None,  # [K, S, S] bool; one of them is hidden
) -> tuple[np.ndarray, np.ndarray]:
    """λ and classes of a view as an input of training: texels up to a random λ are not seen, as where a fit is off, and
    some views have no parse. The same view is always the same."""
    threshold, parsed, direction = drawn(lam * np.float32(255), person, view, parts)
    lam = np.where(lam > threshold, lam, 0).astype(np.float32)
    if parts is not None and direction >= 0:
        lam = np.where(parts[int(direction)], 0, lam).astype(np.float32)
    return lam, worn * (lam > 0) * bool(parsed)


def drawn(
    lam: np.ndarray,  # [S, S] in [0, 255]
    person: int,
    view: int,
    parts: np.ndarray | None = None,  # [K, S, S] bool
) -> tuple[float, float, float]:
    """What :func:`shown` does to a view: up to which λ in [0, 1] texels are not seen, whether there is a parse, and
    which of the parts is hidden (-1: none)."""
    rng = np.random.default_rng([person, view])
    threshold, parsed, direction = rng.uniform(*LIMIT), rng.random() >= NO_PARSE, -1
    if parts is not None:
        seen = lam > np.float32(255 * threshold)
        for k in rng.permutation(len(parts)).tolist():
            if HIDDEN[0] <= (parts[k] & seen).sum() / max(seen.sum(), 1) <= HIDDEN[1]:
                direction = k
                break
    return float(np.float32(threshold)), float(parsed), float(direction)


def view_textures(v: Views, body: Body, size: int) -> dict[str, np.ndarray]:
    """The arrays of one person: N views at ``size`` texels a side. Bags are no part of the person, as in ``create``."""
    x = view_arrays(v, body, v.size[0], bags=False)
    t = {k: torch.from_numpy(a) for k, a in x.items()}
    part = sample(t["rgb"], t["mask"], t["uv"], t["sample_mask"], t["facing"], size)
    lam = (part.lam * part.fill)[:, 0]
    worn = torch.zeros(lam.shape, dtype=torch.uint8)
    if v.labels is not None:
        each = torch.nn.functional.one_hot(v.labels.long(), len(CLASSES)).permute(0, 3, 1, 2).float()
        on = (each.argmax(1, keepdim=True) > 0) & (t["mask"] > 0.5) & (t["sample_mask"] > 0.5)
        share, _, _ = scatter(each, t["uv"], on, size)
        worn = (share.argmax(1) * (lam > 0)).to(torch.uint8)
    to8 = lambda a: (a * 255).round().to(torch.uint8).numpy()  # noqa: E731
    return {"rgb": to8(part.rgb.permute(0, 2, 3, 1)), "lam": np.where(lam > 0, np.maximum(to8(lam), 1), 0),
            "worn": worn.numpy(), "front": x["front"]}  # fmt: skip


def sampled_textures(
    source: Source,
    body: Body,
    size: int,
    folder: Path,  # of the set; what is there already is kept
    people: int | None = None,  # None: all of the source
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TextureSet:
    """The textures of a source. A stopped call goes on where it was; a longer source adds its new people."""
    n = people or source.num_people
    if not n:
        raise DinarError("expected a set of people, got an endless source or an empty one: make one with dinar "
                         "synthesize")  # fmt: skip
    views = source.num_views(0)
    hidden = parts(body, size) if views == 1 else None
    views = INPUTS if views == 1 else views
    about = {"size": size, "views": views, "atlas": body.atlas.hash, "version": VERSION}
    arrays, done, shells = _open(folder, _shapes(n, views, size), about)
    single = {"single": hidden is not None}
    for i in range(done, n):
        v = source.views(i).to("cpu")
        k = views if hidden is not None else min(views, len(v))
        v = dressed(v.select(range(min(k, len(v)))), body)
        own = wear(body, v.fit.shells) if can_wear(body) else body
        shells = [*shells[:i], own.shells]
        g = geometry(own, size)
        arrays["position"][i], arrays["folded"][i] = g.position.numpy(), g.folded.view(size, size).numpy()
        for name, a in view_textures(v, body, size).items():
            arrays[name][i, :k] = a
        for j in range(k):
            lam, worn = shown(arrays["lam"][i, j] / np.float32(255), arrays["worn"][i, j], i, j, hidden)
            rgb = np.where(lam[..., None] > 0, arrays["rgb"][i, j] / np.float32(255), 0)
            guess = rules(own, rgb, lam, worn if worn.any() else None)
            arrays["rules"][i, j] = (guess.clip(0, 1) * 255).round()
        if i % 16 == 15 or i == n - 1:
            for a in arrays.values():
                a.flush()
            _write(folder, about | single | {"people": i + 1, "shells": [to_header(x) for x in shells]})
        progress(i + 1, n)
    return TextureSet(**arrays, shells=tuple(shells), parts=hidden)


def open_textures(folder: Path, body: Body, size: int) -> TextureSet:
    """A folder that :func:`sampled_textures` wrote, without its source."""
    about = read_json(folder / FILE, what="sampled textures")
    about = about if isinstance(about, dict) else {}
    n, v = about.get("people"), about.get("views")
    if about.get("version") != VERSION or about.get("size") != size or about.get("atlas") != body.atlas.hash or \
            type(n) is not int or type(v) is not int or not (1 <= n <= MOST and 1 <= v <= MOST):  # fmt: skip
        raise DinarError(f"{folder}: expected textures of {size}² of the {body.name} body, got others: sample them "
                         "again from their pictures")  # fmt: skip
    arrays = {}
    for name, shape in _shapes(n, v, size).items():
        arrays[name] = _old(folder / f"{name}.npy", DTYPES.get(name, np.uint8), shape[1:], n)[:n]
    _check(folder, arrays)
    hidden = parts(body, size) if about.get("single") else None
    shells = _shells(folder, about, n)
    return TextureSet(**arrays, shells=shells, parts=hidden, style=read_style(folder, n))


def _shapes(n: int, views: int, size: int) -> dict[str, tuple[int, ...]]:
    return {"rgb": (n, views, size, size, 3), "lam": (n, views, size, size), "worn": (n, views, size, size),
            "rules": (n, views, size, size, 3), "front": (n, views), "position": (n, 3, size, size),
            "folded": (n, size, size)}  # fmt: skip


def _shells(folder: Path, about: dict, n: int) -> tuple[tuple[Shell, ...], ...]:
    found = about.get("shells")
    if not isinstance(found, list) or len(found) < n:
        raise DinarError(f"{folder / FILE}: expected the shells of {n} people, got others; delete the folder")
    return tuple(from_header(x, str(folder / FILE)) for x in found[:n])


def read_style(folder: Path, n: int) -> np.ndarray | None:
    """[n, D] float16 of ``style.npy``, if there is one."""
    path = folder / "style.npy"
    if not path.is_file():
        return None
    style = read_npy(path, Array(np.float16, (None, None)), what="style vectors")
    if len(style) < n:
        raise DinarError(f"{path}: expected {n} style vectors, got {len(style)}; delete it")
    return style[:n]


def _open(
    folder: Path, shapes: dict[str, tuple[int, ...]], about: dict
) -> tuple[dict[str, np.memmap], int, list[tuple[Shell, ...]]]:
    """The arrays of a folder, grown to these shapes, how many people are in them, and their shells."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    found = read_json(folder / FILE, what="sampled textures") if (folder / FILE).is_file() else {}
    same = isinstance(found, dict) and {k: found.get(k) for k in about} == about
    done = found.get("people", 0) if same else 0
    if not same:
        (folder / FILE).unlink(missing_ok=True)  # before the arrays that it tells of are replaced
    if type(done) is not int or done < 0:
        raise DinarError(f"{folder / FILE}: expected the number of people, got something else; delete the folder")
    arrays = {}
    for name, shape in shapes.items():
        path = folder / f"{name}.npy"
        dtype = DTYPES.get(name, np.uint8)
        old = _old(path, dtype, shape[1:], done) if done else None
        if old is None or old.shape != shape:
            with replacing(path) as grown:
                a = open_memmap(grown, "w+", dtype, shape)
                if name == "front":
                    a[:] = -np.inf
                if old is not None:
                    k = min(len(old), shape[0])
                    a[:k] = old[:k]
                a.flush()
                del a, old
        arrays[name] = open_memmap(path, "r+")
    done = min(done, len(arrays["rgb"]))
    _check(folder, {n: a[:done] for n, a in arrays.items()})
    return arrays, done, list(_shells(folder, found, done)) if done else []


def _check(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    front, folded = arrays["front"], arrays["folded"]
    if not ((np.abs(front) <= 1) | (front == -np.inf)).all():
        raise DinarError(f"{folder / 'front.npy'}: expected frontalities from -1 to 1, got others; delete its folder")
    inside = not folded.size or 0 <= folded.min() <= folded.max() < folded[0].size
    if not inside or not np.isfinite(arrays["position"]).all():
        raise DinarError(f"{folder}: expected places of texels in folded.npy and position.npy, got others; delete it")


def _old(path: Path, dtype: type, row: tuple[int, ...], done: int) -> np.ndarray:
    """An array of an earlier run, with at least ``done`` rows of this type and shape."""
    try:
        a = open_memmap(path, "c")  # torch wants arrays that could be written
    except Exception:  # numpy, ast and mmap raise a dozen kinds
        raise DinarError(f"{path}: expected an array of sampled textures, got a damaged file or none; delete its "
                         "folder") from None  # fmt: skip
    if a.dtype != dtype or a.shape[1:] != row or len(a) < done:
        raise DinarError(f"{path}: expected {done} rows {list(row)} of {np.dtype(dtype)}, got {a.dtype} "
                         f"{list(a.shape)}; delete its folder")  # fmt: skip
    return a


def _write(folder: Path, about: dict) -> None:
    with replacing(folder / FILE) as temp:
        temp.write_text(json.dumps(about, sort_keys=True))
