"""Teeth: a mesh of their own beside the body's, so that its vertices, its atlas and files made with it stay the same.

Made by ``scripts/build_teeth.py`` from MakeHuman's base mesh. An affine map that takes the mouth of that mesh to the
body's carries them; so betas and offsets move them with the mouth. The lower ones follow the jaw. Their texels are in a
place of the atlas that has no island.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from importlib import resources

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from .atlas import Atlas
from .body import PARTS, Body

# Metres up and forward from where the base mesh has them, by eye: upper edges show below the lip.
UPPER, LOWER = (-0.003, -0.003), (0.001, -0.005)
LIPS = 0.07  # weight of mouthClose at rest: the body's lips stand 2 mm apart
TEXELS = (0.178, 0.322, 0.228, 0.350)  # left, upper, right, lower end in the atlas


@lru_cache(maxsize=1)
def _bundle() -> dict[str, np.ndarray]:
    with resources.as_file(resources.files("dinar.body") / "data" / "teeth.npz") as file:
        z = np.load(file, allow_pickle=False)
        return {k: z[k] for k in z.files}


def has_teeth(body: Body) -> bool:
    """Whether there are teeth for the body."""
    return body.name == "anny"


@lru_cache(maxsize=4)
def with_teeth(body: Body) -> Body:
    """The body with its teeth as its last vertices and faces (cached); one without teeth as it is."""
    if not has_teeth(body):
        return body
    z, carry = _bundle(), _carry(body)
    V, T, n = body.num_vertices, len(body.atlas.uv), len(z["vertices"])
    template, dirs = carry @ body.v_template, torch.einsum("nv,vdc->ndc", carry, body.shapedirs)
    dirs[:, :, body.num_betas :] = 0
    # In double precision, so that no last digit of float32 depends on where in memory the solver works.
    centred = [np.asarray(x, np.float64) - np.mean(x, 0, np.float64) for x in (z["vertices"], template.numpy())]
    turn = np.linalg.lstsq(*centred, rcond=None)[0]
    template[:, 1:] += torch.tensor(np.where(z["upper"][:, None], UPPER, LOWER)).float()
    for k, name in enumerate(map(str, z["jaw_names"])):
        moved = z["jaw_moves"][:, :, k].astype(np.float64) @ turn
        dirs[:, :, body.num_betas + body.expression_names.index(name)] = torch.from_numpy(moved).float()
    closed = LIPS * body.shapedirs[:, :, body.num_betas + body.expression_names.index("mouthClose")]
    weights = torch.zeros(n, body.num_joints)
    weights[:, body.joint("head")] = 1
    rig, a = body.rig, body.atlas
    x0, y0, x1, y1 = TEXELS
    uv = z["uv"] * [x1 - x0, y1 - y0] + [x0, y0]
    faces = z["faces"].astype(np.int32)
    more = lambda x, value: np.concatenate([x, np.full(len(faces), value, x.dtype)])  # noqa: E731
    return dataclasses.replace(
        body,
        v_template=torch.cat([body.v_template + closed, template]),
        shapedirs=torch.cat([body.shapedirs, dirs]),
        weights=torch.cat([body.weights, weights]),
        faces=np.concatenate([body.faces, faces + V]),
        keypoint_weights=pad(body.keypoint_weights, (0, n)),
        segment=more(body.segment, body.segment_names.index("mouth_cavity")),
        atlas=Atlas(
            uv=np.concatenate([a.uv, uv]).astype(np.float32),
            faces=np.concatenate([a.faces, faces + T]),
            vertex=np.concatenate([a.vertex, np.arange(V, V + n)]),
            island=more(a.island, a.island_names.index("mouth_cavity")),
            island_names=a.island_names,
            under=None if a.under is None else np.concatenate([a.under, np.zeros(n, bool)]),
            name=f"{a.hash}-teeth",
        ),
        mirror=np.concatenate([body.mirror, np.arange(V, V + n)]),
        parts=np.concatenate([body.vertex_part, np.full(n, PARTS.index("head"), np.uint8)]),
        source=np.concatenate([body.numbers, np.arange(n) + body.numbers.max() + 1]),
        rig=None if rig is None else torch.cat([rig, pad(weights, (0, rig.shape[1] - weights.shape[1]))]),
        bare=body.bare,
    )  # fmt: skip


def offsets_with_teeth(body: Body, offsets: Tensor) -> Tensor:  # [V, 3] -> [V + n, 3] metres
    """The offsets of the body, and with them those of its teeth."""
    if not has_teeth(body):
        return offsets
    moved = _carry(body) @ offsets
    # translated with the mouth, not sheared with it
    return torch.cat([offsets, moved.mean(0).expand_as(moved)])


@lru_cache(maxsize=4)
def _carry(body: Body) -> Tensor:
    """[n, V] the teeth as weighted vertices of the body: the affine map from the mouth of MakeHuman's base mesh."""
    z = _bundle()
    at = np.searchsorted(body.numbers, z["carriers"])
    one = lambda p: np.c_[p, np.ones(len(p))].astype(np.float64)  # noqa: E731
    out = np.zeros((len(z["vertices"]), body.num_vertices), np.float32)
    out[:, at] = one(z["vertices"]) @ np.linalg.pinv(one(z["carrier_points"]))
    return torch.from_numpy(out)
