"""Per-texel facts about the body in its rest pose: position, body part, regions, and charts of the limbs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial import KDTree

from ..body import Body
from ..body.body import PARTS
from ..body.hair import combed
from ..body.hat import profile
from ..body.regions import regions, regions_at
from ..body.skirt import hips, kind_around_legs
from .texels import Texels, texels

SLICES = 24  # heights of a part at each of which its middle from front to back is found
MIDDLE = 0.02  # quantile of the depths at a height that counts as its front, and as its back
QUERIES = 4000  # of a KDTree for each thread: 3 ms, ten times what a thread takes to start (docs/speed.md)


@dataclass(frozen=True)
class Surface:
    """N texels of one texture size."""

    texels: Texels
    x: np.ndarray  # [N, 3] rest position of the template, metres
    part: np.ndarray  # [N] index into PARTS
    face: np.ndarray  # [N] bool
    face_centre: np.ndarray  # [N] bool; these seven are of body.regions
    crown: np.ndarray  # [N] bool
    skull: np.ndarray  # [N] bool
    ears: np.ndarray  # [N] bool
    auricles: np.ndarray  # [N] bool
    cavity: np.ndarray  # [N] bool
    shell: np.ndarray  # [N] bool: hair with a shape of its own
    hat: np.ndarray  # [N] bool: a hat with a shape of its own
    in_hat: np.ndarray  # [N] bool: scalp that borrows the texels of a hat, between these
    coat: np.ndarray  # [N] bool: an open coat with a shape of its own
    hanging: bool  # a coat or skirt with a shape of its own is worn
    chart: np.ndarray  # [N, 3] along a limb's axis (m), angle about it (rad), radius (m); of a hat body.hat.profile
    top: float  # metres: height of the crown of the head
    vertex_texel: np.ndarray  # [V] row of the texel nearest each vertex in the atlas


def searchers(queries: int) -> int:
    """How many threads a KDTree searches with: no more than torch's."""
    return min(torch.get_num_threads(), 1 + int(queries) // QUERIES)


@lru_cache(maxsize=4)
def surface(body: Body, size: int) -> Surface:
    """The texels of the body's atlas at ``size`` texels a side (cached)."""
    t = texels(body.atlas, size)
    v = body.v_template.cpu().numpy()
    x = t.sample(v, body.faces)
    part = t.sample(body.part_shares, body.faces).argmax(1).astype(np.uint8)
    chart, shell, hat = _cylinders(body, x, part), body.of_segment("hair")[t.face], body.of_segment("hat")[t.face]
    if shell.any():  # along its columns
        chart[shell, :2] = t.sample(combed(body), body.faces)[shell] * [-1, 1]
    if hat.any():
        chart[hat] = t.sample(profile(body), body.faces)[hat]
    cavity = t.sample(regions(body).cavity[:, None].astype(np.float32), body.faces)[:, 0] > 0.5
    r = regions_at(body, x, (part == PARTS.index("head")) & ~shell & ~hat, cavity, shell | hat)
    in_hat = np.zeros(len(x), bool)
    if hat.any() and body.atlas.under is not None:
        borrowing = np.any(body.atlas.under[body.atlas.faces], axis=1)
        in_hat = borrowing[t.face] & (part == PARTS.index("head")) & ~shell & ~hat
    return Surface(
        t, x, part, r.face, r.face_centre, r.crown, r.skull, r.ears, r.auricles, r.cavity, shell, hat, in_hat,
        body.of_segment("coat")[t.face], kind_around_legs(body) is not None, chart, float(_skull(body)[:, 1].max()),
        _vertex_texels(body, t, x),
    )  # fmt: skip


def twins(s: Surface) -> np.ndarray:
    """[N] row of every texel's mirror image; -1: there is none."""
    row = np.full(s.texels.size**2, -1)
    row[s.texels.index] = np.arange(len(s.x))
    return row[s.texels.mirrored]


def opposite(s: Surface) -> np.ndarray:
    """[N] row of the texel on the other side, front or back, of the same part of the body at the same height.

    It is the texel of the part nearest to the point with its depth reflected about the part's middle at that height.
    """
    out = np.arange(len(s.x))
    for part in np.unique(s.part):
        own = np.flatnonzero(s.part == part)
        x, along = s.x[own].astype(np.float64), s.chart[own, 0]
        row = ((along - along.min()) / (np.ptp(along) + 1e-6) * SLICES).astype(int)
        middle = np.zeros(SLICES)
        for k in np.unique(row):
            middle[k] = np.quantile(x[row == k, 2], (MIDDLE, 1 - MIDDLE)).mean()
        reflected = x * [1, 1, -1] + np.stack([0 * x[:, 0], 0 * x[:, 0], 2 * middle[row]], 1)
        out[own] = own[KDTree(x).query(reflected)[1]]
    return out


def _skull(body: Body) -> np.ndarray:
    """[n, 3] vertices of the skull, with hair of its own; under a hat, those of the body without shells."""
    plain = body.bare if "hat" in body.segment_names and body.bare is not None else body
    return plain.v_template.cpu().numpy()[regions(plain).skull]


def _vertex_texels(body: Body, t: Texels, x: np.ndarray) -> np.ndarray:
    """[V] row of the texel in which a vertex has the largest barycentric, so that both are of one part; of the nearest
    texel if there is none."""
    v = body.v_template.cpu().numpy()
    out = np.asarray(KDTree(x, balanced_tree=False, compact_nodes=False).query(v)[1])
    corner = t.barycentrics.argmax(1)
    weight = t.barycentrics[np.arange(len(x)), corner]
    order = np.argsort(weight, kind="stable")
    out[body.faces[t.face[order], corner[order]]] = order  # the largest comes last and stays
    return out


def _cylinders(body: Body, x: np.ndarray, part: np.ndarray) -> np.ndarray:
    """[N, 3] charts of torso, limbs and head: metres along the axis, angle about it from the front, radius in metres.

    Right limbs are mirrored to the left, so that both have the same chart.
    """
    joints = body.j_template.cpu().numpy().astype(np.float64)
    out = np.zeros((len(x), 3), np.float32)
    for kind, chain in (
        ("torso", ("pelvis", "spine2", "spine3", "neck")),
        ("arm", ("left_shoulder", "left_elbow", "left_wrist")),
        ("leg", ("left_hip", "left_knee", "left_ankle")),
    ):
        own = np.isin(part, parts_of(kind))
        q = x[own].astype(np.float64)
        if kind != "torso":
            q[:, 0] = np.abs(q[:, 0])
        line = np.stack([joints[body.joint(n)] for n in chain])
        hanging = kind == "torso" and kind_around_legs(body) is not None
        if hanging:  # cloth around the legs hangs straight down
            line = np.concatenate([[[0, line[0, 1] - 1, hips(body.bare or body).centre]], line])
        start, d = line[:-1], np.diff(line, axis=0)
        length = np.linalg.norm(d, axis=1)
        d /= length[:, None]
        along = ((q[:, None] - start) * d).sum(2)  # [n, segments]
        low, high = np.zeros(len(length)), length.copy()
        low[0], high[-1] = -1, 1  # both ends are prolonged by a metre
        foot = start + np.clip(along, low, high)[..., None] * d
        k = np.linalg.norm(q[:, None] - foot, axis=2).argmin(1)
        row = np.arange(len(q))
        away = q - foot[row, k]
        front = np.array([0, 0, 1.0]) - d[:, 2:] * d
        front /= np.linalg.norm(front, axis=1, keepdims=True)
        side = np.cross(d, front) * (-1 if kind != "torso" else 1)
        phi = np.arctan2((away * side[k]).sum(1), (away * front[k]).sum(1))
        t = (np.concatenate([[0], np.cumsum(length)[:-1]]))[k] + np.clip(along, low, high)[row, k]
        t -= length[0] * hanging
        out[own] = np.stack([t, phi, np.linalg.norm(away, axis=1)], 1)
    # the head: metres down from the crown, negative; the angle about the vertical from the front
    own, skull = np.isin(part, parts_of("head")), _skull(body)
    low, high = skull.min(0), skull.max(0)
    q = x[own] - [0, high[1] - high[0], (low[2] + high[2]) / 2]
    around = np.hypot(q[:, 0], q[:, 2])
    out[own] = np.stack([-np.arctan2(around, q[:, 1]) * high[0], np.arctan2(q[:, 0], q[:, 2]), around], 1)
    return out


def parts_of(kind: str) -> list[int]:
    """Indices into PARTS of a kind of part: "torso", "arm", "leg", "hand", "foot"; left before right."""
    return [i for i, p in enumerate(PARTS) if p.endswith(kind)]


def of_kind(s: Surface, kind: str) -> np.ndarray:
    """[N] bool: texels of a kind of part, both sides."""
    return np.isin(s.part, parts_of(kind))


def least(s: Surface, texels: int) -> float:
    """A number of texels at 512² at the surface's own size, 3 or more, as searches for neighbours need."""
    return max(3, texels * (s.texels.size / 512) ** 2)
