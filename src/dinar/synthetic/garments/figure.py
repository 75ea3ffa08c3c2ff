"""Join the layers of a dressed person into one mesh and pose it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..base.surfaces import Surfaces, hanging_pose
from .drape import Sheet, settle
from .dress import Layer

ATTRIBUTES = ("p", "tube", "along", "hem")  # columns 0-2, 3-5, 6, 7 of Figure.attributes


@dataclass(eq=False)
class Figure:
    """All layers of one person at rest."""

    layers: list[Layer]
    faces: Tensor  # [F, 3] int64; opaque ones first
    opaque: int  # how many of the faces are opaque
    face_layer: Tensor  # [F] int64
    face_label: Tensor  # [F] uint8
    rest: Tensor  # [V, 3]
    weights: Tensor  # [V, J]
    attributes: Tensor  # [V, 8] ATTRIBUTES
    limb: Tensor  # [V] int64
    uv: Tensor  # [T, 2]
    uv_faces: Tensor  # [F, 3]
    casters: Tensor  # [C, 3] faces that throw shadows
    drapes: list[tuple[Layer, Tensor, Tensor]]  # layer, its kept vertices, their places
    dangling: list[tuple[Tensor, Tensor]]  # places of vertices, and what they hang from at rest


def join(layers: list[Layer]) -> Figure:
    """One mesh of all layers, opaque ones first."""
    layers = sorted(layers, key=lambda l: l.transparent)
    faces, face_layer, labels, uv_faces, columns, drapes, casters = [], [], [], [], [], [], []
    rest, weights, limb, uv, dangling = [], [], [], [], []
    V = T = opaque = 0
    for k, l in enumerate(layers):
        used, f = torch.unique(l.faces, return_inverse=True)
        faces.append(f.view(-1, 3) + V)
        face_layer.append(torch.full((len(l.faces),), k, device=used.device))
        labels.append(l.label)
        uv_faces.append(l.uv_faces + T)
        columns.append(torch.cat([l.p, l.tube, l.along[:, None], l.hem[:, None]], 1)[used])
        rest.append(l.rest[used])
        weights.append(l.weights[used])
        limb.append(l.limb[used])
        uv.append(l.uv)
        if l.drape is not None:
            drapes.append((l, used, torch.arange(V, V + len(used), device=used.device)))
        if l.hangs is not None:
            dangling.append((torch.arange(V, V + len(used), device=used.device), l.hangs))
        if not l.transparent:
            opaque += len(l.faces)
            casters.append(faces[-1])
        elif (solid := getattr(l.material, "solid_faces", None)) is not None:
            casters.append(faces[-1][solid(l)])
        V, T = V + len(used), T + len(l.uv)
    cat = torch.cat
    return Figure(layers, cat(faces), opaque, cat(face_layer), cat(labels), cat(rest), cat(weights), cat(columns),
                  cat(limb), cat(uv), cat(uv_faces), cat(casters), drapes, dangling)  # fmt: skip


@dataclass
class Standing:
    """A figure in B poses."""

    vertices: Tensor  # [B, V, 3] metres, world
    across: Tensor  # [B, V, 3] where the standard body's x axis points
    up: Tensor  # [B, V, 3] where its y axis points
    joints: Tensor  # [B, J, 3]


def stand(figure: Figure, s: Surfaces, betas: Tensor, pose: Tensor, transl: Tensor) -> Standing:
    """The figure in poses [B, J, 3]; betas [num_betas]."""
    rest_joints = s.body.rest(betas[None])[1]
    A, joints = s.body.skinning(rest_joints.expand(len(pose), -1, -1), pose, transl)
    hang = s.body.skinning(s.body.j_template[None], hanging_pose(s.body).to(pose.device))[0][0, :, :3, :3]
    turn = A[..., :3, :3] @ hang.mT  # from the standard body to the pose
    table = torch.cat([A[..., :3, :].flatten(2), turn[..., :2].mT.flatten(2)], 2)  # [B, J, 18]
    M = figure.weights @ table
    v = (M[..., :12].unflatten(2, (3, 4))[..., :3] @ figure.rest[..., None])[..., 0] + M[..., 3:12:4]
    inner: tuple[Sheet, ...] = ()
    for layer, used, at in figure.drapes:  # from the skin outwards
        assert layer.drape is not None
        hung, sheet = settle(layer.drape, s, A, joints, inner)
        inner = (*inner, sheet)
        v[:, at] = layer.snapped(hung)[:, used]
    for at, grip in figure.dangling:  # gravity turns them upright; their heading stays
        one = M[:, at[0]]
        R = one[:, :12].unflatten(1, (3, 4))
        yaw = torch.atan2(one[:, 14], one[:, 12])
        zero, y = torch.zeros_like(yaw), torch.ones_like(yaw)
        turn = torch.stack([yaw.cos(), zero, -yaw.sin(), zero, y, zero, yaw.sin(), zero, yaw.cos()], 1).view(-1, 3, 3)
        v[:, at] = (figure.rest[at] - grip) @ turn + (R[:, :, :3] @ grip + R[:, :, 3])[:, None]
    return Standing(v, M[..., 12:15], M[..., 15:18], joints)
