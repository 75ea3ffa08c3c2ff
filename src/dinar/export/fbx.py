"""Write a model as a binary FBX file: mesh, material with embedded texture, skeleton, skin, blend shapes, clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from .fbx_file import Long, Node, write_fbx_file
from .fbx_scene import Scene, header, time, vector
from .gltf import encoded
from .model import STILL_BONE, Model, Track

LINEAR = 4  # interpolation of a key
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y up, facing z -> z up, facing -y


def write_fbx(path: str | Path, model: Model) -> None:
    """Write a file with one skinned mesh, its embedded texture, blend shapes and one animation stack for each clip.

    A bone's ``PreRotation`` is its rotation at rest: its own rotation is 0 in the rest pose.
    """
    model = in_units(model)
    scene = Scene()
    mesh = scene.object("Model", model.name, "Mesh")
    mesh.add("Version", 232)
    mesh.settings(vector("Lcl Scaling", [1.0, 1.0, 1.0]), ("DefaultAttributeIndex", "int", "Integer", "", 0))
    mesh.add("Shading", True)
    mesh.add("Culling", "CullingOff")
    scene.connect(mesh)
    geometry = _geometry(scene, model)
    scene.connect(geometry, mesh)
    scene.connect(_material(scene, model), mesh)
    bones = _bones(scene, model)
    _skin(scene, model, geometry, bones, mesh)
    channels = _blend_shapes(scene, model, geometry)
    for track in model.tracks:
        _animation(scene, model, track, bones, channels)
    write_fbx_file(path, [*header(model), *scene.nodes(model)])


def in_units(model: Model) -> Model:
    """The model in the units and axes of its profile's FBX files. Bones with the world's axes get those of the file."""
    how = model.profile
    C = Z_UP if how.z_up else np.eye(3)
    own = C if how.axes == "world" else np.eye(3)  # axes of bones change, too

    def placed(m: np.ndarray, top: np.ndarray) -> np.ndarray:  # [..., B, 4, 4], [B] bones without parent
        first = np.where(top[:, None, None], C, own)
        out = m.copy()
        out[..., :3, :3] = first @ m[..., :3, :3] @ own.T
        out[..., :3, 3] = how.scale * (first @ m[..., :3, 3, None])[..., 0]
        return out

    top = np.array(model.parents) < 0
    tracks = []
    for t in model.tracks:
        m = np.zeros((*t.rotation.shape[:2], 4, 4))
        m[..., :3, :3] = Rotation.from_quat(t.rotation.reshape(-1, 4)).as_matrix().reshape(*m.shape[:2], 3, 3)
        m[..., :3, 3] = t.translation
        m = placed(m, top)
        q = Rotation.from_matrix(m[..., :3, :3].reshape(-1, 3, 3)).as_quat().reshape(*m.shape[:2], 4)
        tracks.append(replace(t, rotation=q, translation=m[..., :3, 3]))
    return replace(
        model,
        v=(how.scale * model.v @ C.T).astype(np.float64),
        normals=model.normals @ C.T,
        targets={n: how.scale * d @ C.T for n, d in model.targets.items()},
        rest=placed(model.rest, np.ones(len(top), bool)),
        local=placed(model.local, top),
        tracks=tracks,
    )


def _geometry(scene: Scene, model: Model) -> Node:
    geometry = scene.object("Geometry", model.name, "Mesh")
    corners = model.faces.reshape(-1)
    polygons = model.vertex[model.faces].astype("i4")
    polygons[:, 2] = ~polygons[:, 2]  # the last vertex of a polygon
    geometry.add("GeometryVersion", 124)
    geometry.add("Vertices", model.v.ravel())
    geometry.add("PolygonVertexIndex", polygons.ravel())
    layers = {
        "LayerElementNormal": ("ByVertice", "Direct", {"Normals": model.normals.astype("f8").ravel()}),
        "LayerElementUV": ("ByPolygonVertex", "IndexToDirect", {
            "UV": (model.uv * [1, -1] + [0, 1]).astype("f8").ravel(), "UVIndex": corners.astype("i4")}),
        "LayerElementSmoothing": ("ByPolygon", "Direct", {"Smoothing": np.ones(len(polygons), "i4")}),
        "LayerElementMaterial": ("AllSame", "IndexToDirect", {"Materials": np.zeros(1, "i4")}),
    }  # fmt: skip
    for kind, (mapping, reference, arrays) in layers.items():
        layer = geometry.add(kind, 0)
        layer.add("Version", 102 if kind == "LayerElementSmoothing" else 101)
        layer.add("Name", "UVMap" if kind == "LayerElementUV" else "")
        layer.add("MappingInformationType", mapping)
        layer.add("ReferenceInformationType", reference)
        for name, array in arrays.items():
            layer.add(name, array)
    layer = geometry.add("Layer", 0)
    layer.add("Version", 100)
    for kind in layers:
        element = layer.add("LayerElement")
        element.add("Type", kind)
        element.add("TypedIndex", 0)
    return geometry


def _material(scene: Scene, model: Model) -> Node:
    material = scene.object("Material", "skin", "")
    material.add("Version", 102)
    material.add("ShadingModel", "lambert")
    material.add("MultiLayer", 0)
    material.settings(
        ("DiffuseColor", "Color", "", "A", 1.0, 1.0, 1.0), ("AmbientColor", "Color", "", "A", 0.0, 0.0, 0.0),
        ("EmissiveColor", "Color", "", "A", 0.0, 0.0, 0.0),
    )  # fmt: skip
    file = f"{model.name}.jpg"
    video = scene.object("Video", "texture", "Clip")
    video.add("Type", "Clip")
    video.settings(("Path", "KString", "XRefUrl", "", file))
    video.add("UseMipMap", 0)
    video.add("Filename", file)
    video.add("RelativeFilename", file)
    video.add("Content", encoded(model.texture, "jpeg"))
    texture = scene.object("Texture", "texture", "")
    texture.add("Type", "TextureVideoClip")
    texture.add("Version", 202)
    texture.add("TextureName", "texture\0\1Texture")
    texture.settings(("UVSet", "KString", "", "", "UVMap"), ("UseMaterial", "bool", "", "", 1))
    texture.add("Media", "texture\0\1Video")
    texture.add("FileName", file)
    texture.add("RelativeFilename", file)
    scene.connect(video, texture)
    scene.connect(texture, material, "DiffuseColor")
    return material


def _bones(scene: Scene, model: Model) -> list[Node]:
    bones = []
    pre = Rotation.from_matrix(model.local[:, :3, :3]).as_euler("xyz", degrees=True)
    for b, name in enumerate(model.bones):
        attribute = scene.object("NodeAttribute", name, "LimbNode")
        attribute.settings(("Size", "double", "Number", "", model.profile.scale * 0.05))
        attribute.add("TypeFlags", "Skeleton")
        bone = scene.object("Model", name, "LimbNode")
        bone.add("Version", 232)
        bone.settings(
            ("RotationActive", "bool", "", "", 1), ("InheritType", "enum", "", "", 1),
            vector("PreRotation", pre[b], "Vector3D"), vector("Lcl Translation", model.local[b, :3, 3]),
            vector("Lcl Rotation", [0.0, 0.0, 0.0]), vector("Lcl Scaling", [1.0, 1.0, 1.0]),
        )  # fmt: skip
        bone.add("Shading", True)
        bone.add("Culling", "CullingOff")
        scene.connect(attribute, bone)
        bones.append(bone)
    for b, p in enumerate(model.parents):
        scene.connect(bones[b], bones[p] if p >= 0 else None)
    return bones


def _skin(scene: Scene, model: Model, geometry: Node, bones: list[Node], mesh: Node) -> None:
    skin = scene.object("Deformer", model.name, "Skin")
    skin.add("Version", 101)
    skin.add("Link_DeformAcuracy", 50.0)
    scene.connect(skin, geometry)
    for b, bone in enumerate(bones):
        rows, slots = np.nonzero((model.joints == b) & (model.weights > 0))
        if not len(rows):
            continue
        cluster = scene.object("Deformer", model.bones[b], "Cluster", "SubDeformer")
        cluster.add("Version", 100)
        cluster.add("UserData", "", "")
        cluster.add("Indexes", rows.astype("i4"))
        cluster.add("Weights", model.weights[rows, slots].astype("f8"))
        cluster.add("Transform", np.linalg.inv(model.rest[b]).T.ravel())  # column by column
        cluster.add("TransformLink", model.rest[b].T.ravel())
        scene.connect(cluster, skin)
        scene.connect(bone, cluster)
    pose = scene.object("Pose", model.name, "BindPose")
    pose.add("Type", "BindPose")
    pose.add("Version", 100)
    pose.add("NbPoseNodes", len(bones) + 1)
    for node, matrix in zip([mesh, *bones], [np.eye(4), *model.rest], strict=True):
        entry = pose.add("PoseNode")
        entry.add("Node", node.properties[0])
        entry.add("Matrix", matrix.T.ravel())


def _blend_shapes(scene: Scene, model: Model, geometry: Node) -> list[Node]:
    if not model.targets:
        return []
    deformer = scene.object("Deformer", model.name, "BlendShape")
    deformer.add("Version", 100)
    scene.connect(deformer, geometry)
    channels = []
    for name, d in model.targets.items():
        moved = np.flatnonzero(np.abs(d).max(1))
        shape = scene.object("Geometry", name, "Shape")
        shape.add("Version", 100)
        shape.add("Indexes", moved.astype("i4"))
        shape.add("Vertices", d[moved].astype("f8").ravel())
        shape.add("Normals", np.zeros(3 * len(moved)))
        channel = scene.object("Deformer", name, "BlendShapeChannel", "SubDeformer")
        channel.add("Version", 100)
        channel.add("DeformPercent", 0.0)
        channel.add("FullWeights", np.array([100.0]))
        scene.connect(channel, deformer)
        scene.connect(shape, channel)
        channels.append(channel)
    return channels


def _animation(scene: Scene, model: Model, track: Track, bones: list[Node], channels: list[Node]) -> None:
    """Every bone's rotation and moving bones' translations: a clip leaves nothing of the one before."""
    stop = time(track.seconds[-1])
    stack = scene.object("AnimationStack", track.name, "", "AnimStack")
    span = {"LocalStart": Long(0), "LocalStop": stop, "ReferenceStart": Long(0), "ReferenceStop": stop}
    stack.settings(*((n, "KTime", "Time", "", t) for n, t in span.items()))
    layer = scene.object("AnimationLayer", track.name, "", "AnimLayer")
    scene.connect(layer, stack)
    times = np.array([time(s) for s in track.seconds], "i8")

    def curves(target: Node, attribute: str, short: str, values: np.ndarray, parts: str = "XYZ") -> None:  # [T, C]
        named = parts if len(parts) > 1 else attribute
        node = scene.object("AnimationCurveNode", short, "", "AnimCurveNode")
        labels = [f"d|{p}" for p in parts] if named is parts else [f"d|{attribute}"]
        node.settings(*((n, "Number", "", "A", float(x)) for n, x in zip(labels, values[0], strict=True)))
        scene.connect(node, layer)
        scene.connect(node, target, attribute)
        for k, label in enumerate(labels):
            still = len(values) > 2 and np.ptp(values[:, k]) < STILL_BONE
            keys = slice(None, None, len(values) - 1) if still else slice(None)
            scene.connect(_curve(scene, times[keys], values[keys, k]), node, label)

    pre = Rotation.from_matrix(model.local[:, :3, :3])
    for b, bone in enumerate(bones):
        own = pre[b].inv() * Rotation.from_quat(track.rotation[:, b])
        curves(bone, "Lcl Rotation", "R", continuous(own.as_euler("xyz", degrees=True)))
        if model.parents[b] < 0 or np.abs(track.translation[:, b] - model.local[b, :3, 3]).max() > 10 * STILL_BONE:
            curves(bone, "Lcl Translation", "T", track.translation[:, b])
    if track.weights is not None:
        for channel, w in zip(channels, track.weights.T, strict=True):
            curves(channel, "DeformPercent", "DeformPercent", 100.0 * w[:, None], "1")


def _curve(scene: Scene, times: np.ndarray, values: np.ndarray) -> Node:
    curve = scene.object("AnimationCurve", "", "", "AnimCurve")
    curve.add("Default", float(values[0]))
    curve.add("KeyVer", 4008)
    curve.add("KeyTime", times)
    curve.add("KeyValueFloat", values.astype("f4"))
    curve.add("KeyAttrFlags", np.array([LINEAR], "i4"))
    curve.add("KeyAttrDataFloat", np.zeros(4, "f4"))
    curve.add("KeyAttrRefCount", np.array([len(times)], "i4"))
    return curve


def continuous(euler: np.ndarray) -> np.ndarray:
    """The same rotations [T, 3] in degrees, each in the form nearest to the one before."""
    out = euler.copy()
    for t in range(1, len(out)):
        a = out[t]
        forms = np.stack([a, [a[0] + 180, 180 - a[1], a[2] + 180]])
        forms -= 360 * np.round((forms - out[t - 1]) / 360)
        out[t] = forms[np.abs(forms - out[t - 1]).sum(1).argmin()]
    return out
