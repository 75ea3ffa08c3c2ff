"""Write a model as a rigged, textured and animated GLB (or VRM) file for engines, Blender and browsers."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import DinarError
from ..version import __version__
from .glb import ARRAY_BUFFER, Glb
from .model import STILL_BONE, Model, Track, moving_bones
from .normals import normal_changes
from .profiles import PROFILES
from .rig import quaternions
from .springs import spring_extension
from .vrm import vrm_extension


def write_glb(
    path: str | Path,
    model: Model,
    *,
    image_format: str = "jpeg",
    vrm_meta: dict[str, Any] | None = None,
) -> None:
    """Write a file with one skinned mesh, its texture, expressions (morph targets) and clips (animations).

    Args:
        image_format: ``jpeg`` (quality 92) or ``png`` (lossless, some three times the size).
        vrm_meta: entries of VRM's ``meta`` that replace the strict defaults, such as ``authors``.
    """
    if image_format not in ("jpeg", "png"):
        raise DinarError(f"expected image_format 'jpeg' or 'png', got {image_format!r}")
    glb = Glb({"generator": f"dinar {__version__}", "extras": {"version": __version__, **model.notes}})
    corner, faces = model.vertex, model.vertex[model.faces]
    attributes = {
        "POSITION": glb.accessor(model.v[corner], ARRAY_BUFFER, bounds=True),
        "NORMAL": glb.accessor(model.normals[corner], ARRAY_BUFFER),
        "TEXCOORD_0": glb.accessor(model.uv, ARRAY_BUFFER),
        "JOINTS_0": glb.accessor(model.joints[corner], ARRAY_BUFFER),
        "WEIGHTS_0": glb.accessor(model.weights[corner], ARRAY_BUFFER),
    }
    primitive: dict[str, Any] = {
        "attributes": attributes,
        "indices": glb.indices(model.faces, len(corner)),
        "material": 0,
    }
    mesh: dict[str, Any] = {"name": model.name, "primitives": [primitive]}
    if model.targets:
        moves = model.targets.values()
        primitive["targets"] = [{"POSITION": glb.sparse_accessor(d[corner], bounds=True)} for d in moves]
        if not model.unlit:  # normals of expressions, for the light on closed lids and folds
            for target, turn in zip(primitive["targets"], normal_changes(model.v, faces, moves), strict=True):
                target["NORMAL"] = glb.sparse_accessor(turn[corner])
        mesh["weights"] = [0.0] * len(model.targets)
        mesh["extras"] = {"targetNames": list(model.targets)}

    # Nodes: the bones, then the armature, then the mesh (mostly a root, as glTF advises for skins).
    B, scale = len(model.bones), model.profile.glb_scale
    nodes = _bone_nodes(model)
    armature: dict[str, Any] = {"name": "Armature", "children": [b for b, p in enumerate(model.parents) if p < 0]}
    if scale != 1:
        armature["scale"] = [1 / scale] * 3
    if model.profile.inside:
        armature["children"].append(B + 1)
    nodes += [armature, {"name": model.name, "mesh": 0, "skin": 0}]
    world = model.rest.copy()
    world[:, :3, :3] /= scale
    bind = np.linalg.inv(world).transpose(0, 2, 1).astype(np.float32)  # column by column
    bind[:, :, 3] = [0, 0, 0, 1]
    skin: dict[str, Any] = {"name": model.name, "inverseBindMatrices": glb.accessor(bind), "joints": [*range(B)]}
    if scale == 1:  # Blender takes the matrices to be relative to the skeleton's node, without its scale
        skin["skeleton"] = B
    glb.json |= {
        "scene": 0,
        "scenes": [{"name": model.name, "nodes": [B] if model.profile.inside else [B, B + 1]}],
        "nodes": nodes,
        "meshes": [mesh],
        "skins": [skin],
    } | _material(glb, model, image_format)
    if model.tracks:
        glb.json["animations"] = [_animation(glb, model, t) for t in model.tracks]
    if model.profile is PROFILES["vrm"]:
        glb.json["extensions"] = {"VRMC_vrm": vrm_extension(model, B + 1, vrm_meta)}
        if model.springs:
            glb.json["extensions"]["VRMC_springBone"] = spring_extension(model.springs)
        glb.json["extensionsUsed"] = [*glb.json["extensions"], *glb.json.get("extensionsUsed", [])]
    glb.write(path)


def _bone_nodes(model: Model) -> list[dict[str, Any]]:
    rotation = quaternions(model.local[None, :, :3, :3])[0]
    nodes: list[dict[str, Any]] = []
    for b, name in enumerate(model.bones):
        t = model.local[b, :3, 3] * model.profile.glb_scale
        node: dict[str, Any] = {"name": name, "translation": t.astype(np.float32).tolist()}
        if np.abs(rotation[b, :3]).max() > STILL_BONE:
            node["rotation"] = rotation[b].tolist()
        if children := [c for c, p in enumerate(model.parents) if p == b]:
            node["children"] = children
        nodes.append(node)
    return nodes


def _animation(glb: Glb, model: Model, track: Track) -> dict[str, Any]:
    """Rotations and translations of moving bones, weights of the morph targets."""
    T = len(track.seconds)
    samplers: list[dict[str, Any]] = []
    channels: list[dict[str, Any]] = []
    inputs: dict[bool, int] = {}

    def channel(node: int, path: str, values: np.ndarray) -> None:  # [T, C] float32
        still = T > 2 and bool(np.abs(values - values[0]).max(initial=0) < STILL_BONE)
        keys = slice(None, None, T - 1) if still else slice(None)  # two equal keys hold a value
        if still not in inputs:
            inputs[still] = glb.accessor(track.seconds[keys], bounds=True)
        rows = values[keys].reshape(-1) if path == "weights" else values[keys]
        channels.append({"sampler": len(samplers), "target": {"node": node, "path": path}})
        samplers.append({"input": inputs[still], "output": glb.accessor(rows), "interpolation": "LINEAR"})

    turning, shifting = moving_bones(model, track)
    for b in turning:
        channel(b, "rotation", track.rotation[:, b])
    scale = np.float32(model.profile.glb_scale)
    for b in shifting if turning or shifting else [0]:
        channel(b, "translation", track.translation[:, b] * scale)
    if track.weights is not None:
        channel(len(model.bones) + 1, "weights", track.weights)
    return {"name": track.name, "samplers": samplers, "channels": channels, "extras": {"lift": track.lift}}


def encoded(texture: np.ndarray, image_format: str) -> bytes:
    """The bytes of a jpeg (quality 92) or png file."""
    data = io.BytesIO()
    how: dict[str, Any] = {"quality": 92, "subsampling": 0} if image_format == "jpeg" else {"optimize": True}
    Image.fromarray(texture).save(data, image_format, **how)
    return data.getvalue()


def _material(glb: Glb, model: Model, image_format: str) -> dict[str, Any]:
    """The texture and the material that shows it."""
    image = glb.view(encoded(model.texture, image_format))
    material: dict[str, Any] = {
        "name": "skin",
        "pbrMetallicRoughness": {"baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 0.9},
    }
    tree: dict[str, Any] = {
        "materials": [material],
        "textures": [{"source": 0, "sampler": 0}],
        "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
        "images": [{"name": "texture", "bufferView": image, "mimeType": f"image/{image_format}"}],
    }
    if model.unlit:
        material["extensions"] = {"KHR_materials_unlit": {}}
        tree["extensionsUsed"] = ["KHR_materials_unlit"]
    return tree
