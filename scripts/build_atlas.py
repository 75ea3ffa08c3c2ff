"""Front-cut, mirror-symmetric UV atlas of a body mesh, made from its skinning weights alone.

The torso is cut along its front centre line and the head along the back of the head, so that the back of the torso
and the face are both free of seams; arms and legs are cut on the inner side, hands into back and palm, feet into top
and sole. Borders between the parts are minimum cuts (the shortest loops in a band of the skinning weights); islands
are flattened by SLIM (symmetric Dirichlet energy) with mirrored vertices tied together, and packed by `_atlas_pack`.
Flipping a texture left to right mirrors the body.

    python scripts/build_atlas.py                                   # src/dinar/body/data/anny.npz, in place
    python scripts/build_atlas.py SMPLX_NEUTRAL.npz -o smplx_atlas.npz

Metres, y up, the body faces +z, its left is +x. Needs scipy and opencv.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import cKDTree

import _atlas_pack as pack
import _atlas_report as report
from _atlas_flatten import flatten, rest_frames
from _atlas_mesh import Mesh, loops, make_mesh, split_vertices
from _atlas_parts import FRONT, UP, find_seams, mirror_name, split_parts

ROOT = Path(__file__).resolve().parents[1]
_SIDES = ("left", "right")
_FINGERS = [f"{s}_{f}{k}" for s in _SIDES for f in ("index", "middle", "pinky", "ring", "thumb") for k in (1, 2, 3)]
_PAIRS = {k: [f"{s}_{k}" for s in _SIDES] for k in (
    "hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist", "eye_smplhf")}  # fmt: skip
SMPLX_JOINTS = [
    "pelvis", *_PAIRS["hip"], "spine1", *_PAIRS["knee"], "spine2", *_PAIRS["ankle"], "spine3", *_PAIRS["foot"], "neck",
    *_PAIRS["collar"], "head", *_PAIRS["shoulder"], *_PAIRS["elbow"], *_PAIRS["wrist"], "jaw", *_PAIRS["eye_smplhf"],
    *_FINGERS,
]  # fmt: skip

# Texels per metre of each part, relative to the torso; the search packs all of them at one common factor.
DENSITY = {
    "head": 1.68, "torso": 1.0, "arm": 0.93, "leg": 0.85, "hand_back": 1.1, "palm": 1.1, "foot_top": 0.75,
    "sole": 0.65, "eye_front": 2.2, "eye_back": 0.22, "eye_cavity": 0.12, "mouth_cavity": 0.12, "tongue": 0.12,
}  # fmt: skip
# Wanted linear scale at eyes, nose and mouth against the rest of the head; the flattening keeps 1.4 of it, as the back
# of a head that is cut open once spreads out.
FACE_GAIN = 2.0


def face_scale(m: Mesh, weights: np.ndarray, names: list[str]) -> np.ndarray:
    """[F] wanted linear scale: FACE_GAIN around eyes, nose and mouth, 1 from the ears on."""
    eyes = [j for j, name in enumerate(names) if "eye" in name]
    at = m.v[weights[:, eyes].sum(1) > 0.5].mean(0) - 0.03 * UP + 0.02 * FRONT
    t = np.clip((0.115 - np.linalg.norm(m.centre - at, axis=1)) / 0.065, 0, 1)
    return 1 + (FACE_GAIN - 1) * t * t * (3 - 2 * t)


def make_pieces(m, part, names, uv_faces, vertex, uv_mirror, scale) -> tuple[list[pack.Piece], dict]:
    """Flattens the islands. -> pieces to pack, and the uv vertices of each: its own, then its folded twin's.

    A left island brings its right twin along: as its exact image, or, where the mesh is not mirrored exactly,
    flattened on its own, reflected and laid over it."""
    pieces, where = [], {}
    present = {names[i] for i in np.unique(part)}
    for name in sorted(present, key=names.index):
        twin = mirror_name(name)
        if name.endswith("_right") and twin in present:
            continue
        faces, centre = part == names.index(name), twin == name
        ids, f, x, uv, s, border = lay_flat(name, faces, uv_faces, vertex, m, scale, uv_mirror if centre else None)
        if centre and uv_mirror is None:
            uv = uv @ axis_up(m, vertex[ids], uv)
            uv -= [np.median(uv[:, 0] + uv[nearest(m, vertex[ids]), 0]) / 2, 0]
        uv = uv * np.sign(-upright(x, f, uv, name)) if centre else uv @ straight(uv)
        rest = rest_frames(x, f) * s[:, None, None]
        outer = [max(border, key=lambda l: np.ptp(uv[l], axis=0).prod())]
        where[name] = [ids, np.zeros(0, int) if uv_mirror is None or centre else uv_mirror[ids]]
        if not centre and uv_mirror is None and twin in present:
            faces = part == names.index(twin)
            ids2, f2, x2, uv2, s2, border2 = lay_flat(twin, faces, uv_faces, vertex, m, scale, None)
            uv2 = overlay(uv2 * [-1, 1], uv[cKDTree(x).query(x2 * [-1, 1, 1])[1]])
            outer.append(max(border2, key=lambda l: np.ptp(uv2[l], axis=0).prod()) + len(uv))
            rest = np.concatenate([rest, rest_frames(x2, f2) * s2[:, None, None] * [-1, 1]])
            f, uv = np.concatenate([f, f2 + len(uv)]), np.concatenate([uv, uv2])
            where[name][1] = ids2
        gain = next((g for k, g in DENSITY.items() if name.startswith(k)), 0.2)
        pieces.append(pack.Piece(name, uv * gain, f, outer, rest * gain, centre))
        print(f"  {name:16s} {len(f):5d} faces, distortion {pack.distortion(pieces[-1], uv * gain):.3f}", flush=True)
    return pieces, where


def lay_flat(name, faces, uv_faces, vertex, m, scale, uv_mirror):
    """-> uv vertex ids [N], local faces [M, 3], positions [N, 3], uv [N, 2] v down, scale [M], border loops"""
    ids, f = np.unique(uv_faces[faces], return_inverse=True)
    f = f.reshape(-1, 3)
    x = m.v[vertex[ids]]
    s = scale[faces] if name == "head" else np.ones(len(f))
    border = loops(f)
    image = None if uv_mirror is None else np.searchsorted(ids, uv_mirror[ids])
    return ids, f, x, flatten(x, f, s, border, image) * [1, -1], s, border


def nearest(m: Mesh, vertex: np.ndarray) -> np.ndarray:
    """For the vertices of an island that crosses the middle: which of them lies nearest to each one's mirror image."""
    return cKDTree(m.v[vertex]).query(m.v[vertex] * [-1, 1, 1])[1]


def axis_up(m: Mesh, vertex: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Rotation [2, 2] (on the right) that makes the mirror axis of a centre island vertical."""
    z = (uv - uv.mean(0)) @ [1, 1j]
    turn = np.sum(-np.conj(z[nearest(m, vertex)] * z))  # e^2ia z = -conj(z mirrored), in the mean
    c, s = np.cos(np.angle(turn) / 2), np.sin(np.angle(turn) / 2)
    return np.array([[c, s], [-s, c]])


def overlay(uv: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """uv turned and moved to lie over `onto` in the least-squares sense."""
    a, b = (uv - uv.mean(0)) @ [1, 1j], (onto - onto.mean(0)) @ [1, 1j]
    t = np.angle(np.sum(b * np.conj(a)))
    return (uv - uv.mean(0)) @ np.array([[np.cos(t), np.sin(t)], [-np.sin(t), np.cos(t)]]) + onto.mean(0)


def upright(x: np.ndarray, f: np.ndarray, uv: np.ndarray, name: str) -> float:
    """Sign of dv / d(up) over the faces of the head's front or the torso's back."""
    side = x[f].mean(1) @ FRONT * (1 if name == "head" else -1)
    keep = f[side > np.median(side)]
    y, v = x[keep][..., 1], uv[keep][..., 1]
    return float(((y - y.mean(1, keepdims=True)) * (v - v.mean(1, keepdims=True))).sum())


def straight(uv: np.ndarray) -> np.ndarray:
    """Rotation [2, 2] (on the right) that stands the smallest box around the points on its short side."""
    _, (w, h), angle = cv2.minAreaRect(uv.astype(np.float32))
    angle = np.deg2rad(angle + (90 if w > h else 0))
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def read_body(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str], np.ndarray]:
    """Vertices, faces, dense weights, joint names and segment name of each face, from our npz or from SMPL-X's."""
    with np.load(path, allow_pickle=False) as d:
        if "v_template" not in d or ("faces" not in d and "f" not in d):
            raise SystemExit(f"{path}: expected v_template and faces (ours) or f (SMPL-X); it has {', '.join(d)}")
        v = d["v_template"].astype(np.float64)
        f = d["faces" if "faces" in d else "f"].astype(np.int64)
        if "weight_index" in d:
            names = [str(x) for x in d["joint_names"]]
            weights = np.zeros((len(v), len(names)))
            for k in range(d["weight_index"].shape[1]):
                np.add.at(weights, (np.arange(len(v)), d["weight_index"][:, k]), d["weights"][:, k])
        else:
            names, weights = SMPLX_JOINTS, d["weights"].astype(np.float64)
            if weights.shape != (len(v), len(names)):
                raise SystemExit(f"{path}: expected SMPL-X weights {(len(v), len(names))}, got {weights.shape}")
        segment = np.full(len(f), "", dtype="U24")
        if "segment" in d:
            segment = d["segment_names"].astype("U24")[d["segment"]]
            segment[segment == "skin"] = ""
    return v, f, weights, names, segment


def save(src: Path, dst: Path, arrays: dict[str, np.ndarray]) -> None:
    """Adds the arrays to what `src` holds by now, and writes it whole or not at all."""
    with np.load(src, allow_pickle=False) as d:
        every = {k: d[k] for k in d if not k.startswith("atlas_")} if "weight_index" in d else {}
    temp = dst.with_name(dst.name + ".tmp.npz")
    np.savez_compressed(temp, **every, **arrays)
    os.replace(temp, dst)


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("body", nargs="?", type=Path, default=ROOT / "src/dinar/body/data/anny.npz")
    args.add_argument("-o", "--out", type=Path, help="default: into the body file itself")
    args.add_argument("--picture", type=Path, help="layout and checkerboard; default: docs/atlas.jpg for our body")
    args.add_argument("--tries", type=int, default=4, help="packings, of which the best is kept")
    args.add_argument("--rounds", type=int, default=200, help="layouts in the search for each packing")
    args.add_argument("--grow", type=int, default=60000, help="growth steps for the best; a twentieth for each try")
    args.add_argument("--seed", type=int, default=0)
    a = args.parse_args()
    cv2.setNumThreads(1)
    start = time.time()
    v, f, weights, joint_names, segment = read_body(a.body)
    m = make_mesh(v, f)
    print(f"{len(v)} vertices, {len(f)} faces, {'exactly' if m.face_mirror is not None else 'not'} mirror-symmetric")
    part, names = split_parts(m, weights, joint_names, segment)
    seam = find_seams(m, part, names)
    uv_faces, vertex, uv_mirror = split_vertices(m, seam)
    scale = face_scale(m, weights, joint_names)
    pieces, where = make_pieces(m, part, names, uv_faces, vertex, uv_mirror, scale)
    tries = []
    for seed in range(a.seed, a.seed + a.tries):
        found = pack.search(pieces, a.rounds, seed)
        tries.append(pack.grow(pieces, found["uv"], a.grow // 20, seed))
        print(f"  try {seed}: {sum(pack.texels(p, tries[-1]) for p in pieces)} texels, {time.time() - start:.0f} s")
    placed = max(tries, key=lambda uv: sum(pack.texels(p, uv) for p in pieces))
    placed = pack.grow(pieces, placed, a.grow, a.seed)
    uv = np.zeros((len(vertex), 2))
    for name, (own, twin) in where.items():
        q = placed[name] / pack.SIZE
        uv[own] = q[: len(own)]
        uv[twin] = q[-len(twin) :] * [-1, 1] + [1, 0] if len(twin) else 0
    used = np.unique(part)
    arrays = {
        "atlas_uv": uv.astype(np.float32),
        "atlas_faces": uv_faces.astype(np.uint16 if len(uv) < 65536 else np.int32),
        "atlas_vertex": vertex.astype(np.uint16 if len(v) < 65536 else np.int32),
        "atlas_island": np.searchsorted(used, part).astype(np.uint8),
        "atlas_island_names": np.array([names[i] for i in used]),
        "atlas_mirror": m.mirror.astype(np.uint16 if len(v) < 65536 else np.int32),
    }
    save(a.body, a.out or a.body, arrays)
    picture = a.picture or (ROOT / "docs/atlas.jpg" if a.out is None else None)
    report.metrics(v, f, m.edges[seam], arrays, uv_mirror)
    print(f"{time.time() - start:.0f} s")
    if picture:
        report.picture(v, f, m.fn, m.edges[seam], arrays, picture)


if __name__ == "__main__":
    main()
