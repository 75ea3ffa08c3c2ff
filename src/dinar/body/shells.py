"""Shells: clothes with a shape of their own, as parts of a body.

:func:`wear` returns a body whose mesh is the body's own, without the faces that its shells cover, and the shells.
Everything that reads a body (rasteriser, fit, texture, networks, export) then has the shells too.

A kind of shell is a function that builds its :class:`Piece` on the template. A piece takes the texels of the faces that
it covers, so the islands of the atlas stay as they are and networks keep their meaning.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import torch
from scipy.spatial import KDTree

from ..errors import DinarError
from .atlas import Atlas
from .body import Body
from .coat import build_coat
from .hair import build_hair
from .hat import build_hat
from .skirt import Piece, build_skirt

REVISION = {"hair": 2, "coat": 2}  # of the texels of a kind of shell; files with another one are refused
BESIDE = 0.012  # of the texture's side from a hat's texels, at which hair borrows them

Kind = Literal["skirt", "coat", "hair", "hat"]
BUILD: dict[Kind, Callable[[Body, Any], Piece]] = {"skirt": build_skirt, "coat": build_coat, "hair": build_hair,
                                                  "hat": build_hat}  # fmt: skip


@dataclass(frozen=True)
class Shell:
    """One shell that an avatar wears: what its mesh and texels depend on. Offsets give it its size and form."""

    kind: Kind
    hem: float  # metres on the template above the hip joints: of the hem, or of the line where a hat sits

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind) or not -1 < self.hem < 1:
            raise DinarError(f"expected a shell of kind {', '.join(get_args(Kind))} with its hem in -1 .. 1 m, got "
                             f"{self.kind!r} with {self.hem!r}")  # fmt: skip


def can_wear(body: Body) -> bool:
    """Whether the islands of the body's atlas are known by name, which shells need."""
    return "leg_left" in body.atlas.island_names


def to_header(shells: tuple[Shell, ...]) -> list[dict[str, Any]]:
    """For the header of a file."""
    return [asdict(s) for s in shells]


def from_header(entry: Any, what: str) -> tuple[Shell, ...]:
    """Inverse of :func:`to_header`.

    Raises:
        DinarError: the entry is no list of shells; the message begins with ``what``.
    """
    fields = {f.name for f in dataclasses.fields(Shell)}
    if (
        not isinstance(entry, list)
        or len(entry) > len(get_args(Kind))
        or not all(isinstance(e, dict) and set(e) == fields for e in entry)
    ):
        raise DinarError(f"{what}: expected a list of shells, each with {', '.join(sorted(fields))}")
    if not all(isinstance(e["kind"], str) and type(e["hem"]) in (int, float) for e in entry):
        raise DinarError(f"{what}: expected shells with a kind and a hem in metres")
    return tuple(Shell(**e) for e in entry)


@lru_cache(maxsize=4)
def wear(body: Body, shells: tuple[Shell, ...]) -> Body:
    """The body with shells: its joints, betas and vertices' order stay; covered faces and their vertices are left out,
    and the vertices of the shells come last (cached)."""
    if not shells:
        return body
    if not can_wear(body):
        raise DinarError(f"expected a body whose atlas has named islands for shells, got the {body.name} body")
    pieces = [BUILD[s.kind](body, s) for s in shells]
    kinds = [s.kind for s in shells]
    if "hat" in kinds and "hair" in kinds:  # both have the texels of the scalp's top
        hair, hat = (pieces[kinds.index(k)] for k in ("hair", "hat"))
        borrows = KDTree(hat.uv).query(hair.uv)[0] < BESIDE
        pieces[kinds.index("hair")] = dataclasses.replace(hair, under=hair.under | borrows)
    V, T = body.num_vertices, len(body.atlas.uv)
    shown = ~np.any([p.hidden for p in pieces], 0)
    faces, uv_faces, uv_vertex = [body.faces[shown]], [body.atlas.faces[shown]], [body.atlas.vertex]
    segment, island, mirror = [body.segment[shown]], [body.atlas.island[shown]], [body.mirror]
    for i, p in enumerate(pieces):
        place = lambda x, v=V: np.where(x < body.num_vertices, x, x - body.num_vertices + v)  # noqa: E731
        faces.append(place(p.faces))
        uv_faces.append(p.uv_faces + T)
        uv_vertex.append(place(p.uv_vertex))
        mirror.append(place(p.mirror))
        segment.append(np.full(len(p.faces), len(body.segment_names) + i))
        island.append(np.full(len(p.faces), len(body.atlas.island_names) + i))
        V, T = V + len(p.vertices), T + len(p.uv)
    parts = body.vertex_part
    for p in pieces:
        own, more = p.parts[: body.num_vertices], p.parts[body.num_vertices :]
        changed = np.where(own != body.vertex_part, own, parts[: body.num_vertices])
        parts = np.concatenate([changed, parts[body.num_vertices :], more])
    own_uv, behind = body.atlas.uv.copy(), np.zeros(len(body.atlas.uv), bool)
    for p in pieces:
        own_uv[p.moved[0]], behind[p.moved[0]] = p.moved[1], True
    used, new_faces = np.unique(np.concatenate(faces), return_inverse=True)
    uv_used, new_uv_faces = np.unique(np.concatenate(uv_faces), return_inverse=True)
    place = np.full(V, -1)
    place[used] = np.arange(len(used))

    def rows(own: torch.Tensor, of_pieces: list[np.ndarray]) -> torch.Tensor:
        return torch.cat([own, *(torch.from_numpy(x.astype(np.float32)).to(own) for x in of_pieces)])[used]

    kw = torch.cat([body.keypoint_weights, body.keypoint_weights.new_zeros(len(body.keypoint_weights), V)], 1)[:, used]
    posedirs = body.posedirs
    if posedirs is not None:
        d = posedirs.reshape(len(posedirs), -1, 3)
        d = torch.cat([d, d.new_zeros(len(d), V - d.shape[1], 3)], 1)
        posedirs = d[:, used].reshape(len(posedirs), -1)
    rig, chains = _rig(body, pieces), []
    V = body.num_vertices
    for p in pieces:
        own = lambda x, v=V: place[np.where(x < body.num_vertices, x, x - body.num_vertices + v)]  # noqa: E731
        chains += [dataclasses.replace(c, points=own(c.points)) for c in p.chains]
        V += len(p.vertices)
    names = tuple(s.kind for s in shells)
    revisions = "".join(f" {k} {REVISION[k]}" for k in names if k in REVISION)
    return dataclasses.replace(
        body,
        v_template=rows(body.v_template, [p.vertices for p in pieces]),
        shapedirs=rows(body.shapedirs, [p.dirs for p in pieces]),
        weights=rows(body.weights, [p.weights for p in pieces]),
        faces=new_faces.reshape(-1, 3).astype(np.int32),
        posedirs=posedirs,
        keypoint_weights=kw / kw.sum(1, keepdim=True).clamp(min=1e-9),
        segment=np.concatenate(segment).astype(np.uint8),
        segment_names=(*body.segment_names, *names),
        atlas=Atlas(
            uv=np.concatenate([own_uv, *(p.uv for p in pieces)])[uv_used].astype(np.float32),
            faces=new_uv_faces.reshape(-1, 3).astype(np.int32),
            vertex=place[np.concatenate(uv_vertex)[uv_used]],
            island=np.concatenate(island).astype(np.uint8),
            island_names=(*body.atlas.island_names, *names),
            under=np.concatenate([behind, *(p.under for p in pieces)])[uv_used],
            name=hashlib.sha256(f"{body.atlas.hash} {to_header(shells)}{revisions}".encode()).hexdigest()[:12],
        ),
        mirror=place[np.concatenate(mirror)[used]],
        shells=shells,
        parts=parts[used],
        source=used,
        chains=tuple(chains),
        rig=rig[used] if chains else None,
        bare=body,
    )


def carried(form: np.ndarray, dressed: Body, worn: Body) -> np.ndarray:
    """Offsets [V, 3] of a dressed body, of the same body that wears more; 0 of what is new."""
    numbered = np.zeros((int(max(worn.numbers.max(), dressed.numbers.max())) + 1, 3), np.float32)
    numbered[dressed.numbers] = form
    return numbered[worn.numbers]


def _rig(body: Body, pieces: list[Piece]) -> torch.Tensor:
    """[V, J + K] skin weights in files: of the body's vertices, then those of the pieces."""
    K = [sum(len(c.joint_names) for c in p.chains) for p in pieces]
    rows = [np.pad(body.weights.cpu().numpy(), ((0, 0), (0, sum(K))))]
    for i, p in enumerate(pieces):
        own = np.zeros((len(p.vertices), body.num_joints + sum(K)), np.float32)
        own[:, : body.num_joints] = p.weights if p.rig is None else p.rig[:, : body.num_joints]
        if p.rig is not None:
            first = body.num_joints + sum(K[:i])
            own[:, first : first + K[i]] = p.rig[:, body.num_joints :]
        rows.append(own)
    return torch.from_numpy(np.concatenate(rows)).to(body.weights)
