"""Parts of the body and the seams between and inside them, from the skinning weights."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from _atlas_mesh import Mesh, components, loops, min_cut, shortest_path, smooth, straightest_cut

UP, FRONT, LEFT = np.eye(3)[[1, 2, 0]]


def joint_groups(m: Mesh, weights: np.ndarray, names: list[str]) -> dict[str, np.ndarray]:
    """Smoothed skinning weight [V] of each group of joints, made mirror-symmetric."""
    def group(name: str) -> str:
        side, _, rest = name.partition("_")
        if name.startswith(("neck", "head", "jaw")) or "eye" in name:
            return "head"
        for part, stems in (("arm", ("shoulder", "elbow")), ("leg", ("hip", "knee")), ("foot", ("ankle", "foot")),
                            ("hand", ("wrist", "index", "middle", "pinky", "ring", "thumb"))):
            if rest.startswith(stems):
                return f"{part}_{side}"
        return "torso"

    total: dict[str, np.ndarray] = {}
    for j, name in enumerate(names):
        total[group(name)] = total.get(group(name), 0) + weights[:, j]
    total = {k: smooth(m, x, 12) for k, x in total.items()}
    swap = {k: k.replace("left", "R").replace("right", "left").replace("R", "right") for k in total}
    return {k: 0.5 * (x + total[swap[k]][m.mirror]) for k, x in total.items()}


def split_parts(m: Mesh, weights: np.ndarray, names: list[str], segment: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Part of each face: skin parts by minimum cuts of the skinning weights, inner parts by `segment` (names, '' for
    skin) and by connectivity. -> part [F], part names."""
    part_names: list[str] = []
    part = np.full(len(m.f), -1)

    def put(name: str, faces: np.ndarray) -> None:
        if name not in part_names:
            part_names.append(name)
        part[faces] = part_names.index(name)

    group = joint_groups(m, weights, names)
    on_face = {k: x[m.f].mean(1) for k, x in group.items()}
    pieces = components(m, np.ones(len(m.f), bool))
    skin = (pieces == np.bincount(pieces).argmax()) & (segment == "")
    for name in np.unique(segment[segment != ""]):
        where = segment == name
        x = m.centre[:, 0]
        if np.ptp(np.sign(x[where])) and name.startswith("eye"):
            put(f"{name}_left", where & (x > 0))
            put(f"{name}_right", where & (x < 0))
        else:
            put(str(name), where)

    for k in np.flatnonzero(np.bincount(pieces) < np.bincount(pieces).max()):
        if not (where := (pieces == k) & (part < 0)).any():
            continue
        if sum(weights[:, j] for j, n in enumerate(names) if "eye" in n)[m.f[where]].mean() > 0.5:
            put(f"eye_front{side_of(m, where)}", front := min_cut(m, where, m.fn[:, 2], -0.1, 0.5))
            put(f"eye_back{side_of(m, where)}", where & ~front)
        else:
            put(f"inner{side_of(m, where)}", where)
    if (segment == "").all():
        for where in cavities(m, skin & (on_face["head"] > 0.5)):
            put(("eye" if (side := side_of(m, where)) else "mouth") + f"_cavity{side}", where)
        skin &= part < 0
    put("head", straightest_cut(m, skin, [on_face["head"]], 0.3, 0.7))
    body = skin & (part < 0)
    for s in ("left", "right"):
        arm = group[f"arm_{s}"] + group[f"hand_{s}"]
        limb = straightest_cut(m, body, [smooth(m, arm, k)[m.f].mean(1) for k in (0, 10, 30)], 0.2, 0.55)
        hand = straightest_cut(m, limb, [on_face[f"hand_{s}"]], 0.3, 0.7)
        put(f"arm_{s}", limb & ~hand)
        put(f"hand_{s}", hand)
    body = skin & (part < 0)
    # The strip between the legs goes to the legs, so that torso and legs meet in a single loop around the hips.
    near = np.abs(m.v[:, 0]) < 0.006
    crotch = m.v[np.unique(m.f[body]), 1][near[np.unique(m.f[body])]].min()
    legs = sum(on_face[f"{p}_{s}"] for p in ("leg", "foot") for s in ("left", "right"))
    height = m.v[:, 1][m.f].mean(1) - crotch
    scores = []
    for strip in (0.015, 0.03, 0.045):
        low = (near & (m.v[:, 1] < crotch + strip))[m.f].any(1)
        for seat in (-0.03, -0.015, 0.0, 0.015, 0.03):  # the seat goes to the torso, whole
            behind = (m.fn[:, 2] < -0.25) & (height > seat)
            scores.append(np.where(low, 1.0, np.where(behind, 0.0, legs)))
    legs = straightest_cut(m, body, scores, 0.25, 0.75)
    put("torso", body & ~legs)
    slope = 0.01 if m.face_mirror is None else 1e-6
    left = min_cut(m, legs, m.centre[:, 0] / slope, -1, 1)
    for s, limb in (("left", left), ("right", legs & ~left)):
        foot = straightest_cut(m, limb, [on_face[f"foot_{s}"]], 0.3, 0.7)
        put(f"leg_{s}", limb & ~foot)
        put(f"foot_{s}", foot)

    normal = smooth(m, m.n, 3)
    for s, out in (("left", LEFT), ("right", -LEFT)):
        hand, foot = (part == part_names.index(f"{p}_{s}") for p in ("hand", "foot"))
        x = m.v[np.unique(m.f[hand])]
        d = np.linalg.svd(x - x.mean(0), full_matrices=False)[2][2]
        d *= np.sign(d @ (UP + 0.5 * out))
        put(f"hand_back_{s}", back := min_cut(m, hand, (normal @ d)[m.f].mean(1), -0.4, 0.4))
        put(f"palm_{s}", hand & ~back)
        put(f"foot_top_{s}", top := min_cut(m, foot, (normal @ UP)[m.f].mean(1), -0.6, 0.2))
        put(f"sole_{s}", foot & ~top)
    if m.face_mirror is not None:
        swap = np.array([part_names.index(mirror_name(p)) for p in part_names])
        right = m.centre[:, 0] < 0
        part[right] = swap[part[m.face_mirror[right]]]
    absorb_strays(m, part)
    return part, part_names


def side_of(m: Mesh, faces: np.ndarray) -> str:
    x = m.centre[faces, 0].mean()
    return "" if abs(x) < 0.005 else "_left" if x > 0 else "_right"


def cavities(m: Mesh, faces: np.ndarray) -> list[np.ndarray]:
    """Mouth and eye sockets in a mesh without labels: larger pieces of `faces` that see nothing of the outside."""
    import igl  # libigl, from the extra `build`; our own body has labels and does not need it

    k = np.flatnonzero(faces)
    hidden = np.zeros(len(m.f))
    hidden[k] = np.ravel(igl.ambient_occlusion(m.v, m.f, m.centre[k] + 1e-5 * m.fn[k], m.fn[k], 100))
    if m.face_mirror is not None:
        hidden = 0.5 * (hidden + hidden[m.face_mirror])
    piece = components(m, min_cut(m, faces, hidden, 0.9, 0.99))
    area = 0.5 * np.linalg.norm(np.cross(*(m.v[m.f[:, i]] - m.v[m.f[:, 0]] for i in (1, 2))), axis=1)
    return [piece == i for i in range(piece.max() + 1) if area[piece == i].sum() > 8e-4]


def mirror_name(name: str) -> str:
    for a, b in (("_left", "_right"), ("_right", "_left")):
        if a in name:
            return name.replace(a, b)
    return name


def absorb_strays(m: Mesh, part: np.ndarray) -> None:
    """Gives all but the largest piece of each part to the neighbour with the longest contact, in place."""
    a, b = m.edge_faces[(m.edge_faces >= 0).all(1)].T
    for p in np.unique(part):
        piece = components(m, part == p)
        size = np.bincount(piece[piece >= 0])
        for k in np.flatnonzero(size < size.max()):
            inside = piece == k
            other = np.r_[part[b[inside[a] & ~inside[b]]], part[a[inside[b] & ~inside[a]]]]
            if len(other):
                part[inside] = np.bincount(other).argmax()


def find_seams(m: Mesh, part: np.ndarray, names: list[str]) -> np.ndarray:
    """bool [E]: borders between parts, and the cuts that open each part to a disc (or a disc with holes)."""
    ok = (m.edge_faces >= 0).all(1)
    seam = ok & (part[m.edge_faces[:, 0]] != part[m.edge_faces[:, 1]])
    lookup = {tuple(e): i for i, e in enumerate(m.edges.tolist())}
    off = 1 + 2000 * np.abs(m.v[:, 0])
    if m.face_mirror is not None:
        off[m.mirror != np.arange(len(off))] += 1e4

    def cut(path: list[int], mirrored: bool) -> None:
        for q in [path, m.mirror[path].tolist()] if mirrored else [path]:
            for a, b in pairwise(q):
                if (min(a, b), max(a, b)) in lookup:
                    seam[lookup[min(a, b), max(a, b)]] = True

    both = m.face_mirror is not None
    for i, name in enumerate(names):
        faces = part == i
        if not faces.any() or (both and name.endswith("_right")):
            continue
        border = sorted(loops(m.f[faces]), key=lambda l: -m.v[l, 1].mean())
        if name == "torso":
            top, bottom = border[0], border[-1]
            a, b = (l[np.argmax(m.v[l, 2] - 20 * np.abs(m.v[l, 0]))] for l in (top, bottom))
            cut(shortest_path(m, faces, a, b, off + np.where(m.n @ FRONT < -0.3, 200, 0)), False)
        elif name == "head":
            neck, vs = border[-1], np.unique(m.f[faces])
            a = neck[np.argmin(m.v[neck, 2] + 20 * np.abs(m.v[neck, 0]))]
            # Ending a little in front of the crown takes a third off the distortion of the head.
            b = vs[np.argmax(m.v[vs] @ (UP + 0.35 * FRONT) - 20 * np.abs(m.v[vs, 0]))]
            cut(shortest_path(m, faces, a, b, off + np.where(m.n @ FRONT > 0.5, 200, 0)), False)
        elif name.startswith(("arm", "leg")):
            a, b = border[0], border[-1]
            axis = m.v[b].mean(0) - m.v[a].mean(0)
            axis /= np.linalg.norm(axis)
            inner = -LEFT * (1 if name.endswith("left") else -1)
            d = inner - axis * (inner @ axis)
            d /= np.linalg.norm(d)
            cut(shortest_path(m, faces, a[np.argmax(m.v[a] @ d)], b, 1 + 6 * (1 - m.n @ d) ** 2, axis), both)
        elif name.startswith("foot_top") and len(border) > 1:
            a, b = border[0], border[-1]
            d = -FRONT
            cut(shortest_path(m, faces, a[np.argmin(m.v[a, 2])], b, 1 + 6 * (1 - m.n @ d) ** 2), both)
        elif not border:  # closed: tongue, eyeball without segments
            vs = np.unique(m.f[faces])
            paired = "_" in name
            z, side = m.v[vs, 2], 0 if paired else 20 * np.abs(m.v[vs, 0])
            a, b = vs[np.argmin(z + side)], vs[np.argmax(z - side)]
            cut(shortest_path(m, faces, a, b, np.ones(len(off)) if paired else off), both and paired)
    return seam
