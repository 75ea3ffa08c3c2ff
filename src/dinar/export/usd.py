"""Write a model as a USDZ package for Quick Look and other programs that read USD (extra ``usd``).

The first clip is the animation that plays; the others are in the file under their names.
"""

# pyright: reportAttributeAccessIssue=false
# (the modules of pxr have no types)

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DinarError
from ..files import check_output, replacing, staging
from .gltf import encoded
from .model import Model, Track

YEAR_1980 = b"\0\0\x21\0"  # January 1st, as zip files say it


def write_usdz(path: str | Path, model: Model) -> None:
    """Write a package with one skinned mesh (UsdSkel), its texture (UsdPreviewSurface), blend shapes and clips."""
    check_output(path, suffixes=(".usdz",))
    try:
        from pxr import Sdf, Usd
    except ImportError as e:
        raise DinarError("USDZ files need the usd-core package: pip install 'dinar[usd]'") from e
    with staging() as folder, replacing(path) as temp:
        (folder / "texture.jpg").write_bytes(encoded(model.texture, "jpeg"))
        stage = Usd.Stage.CreateNew(str(folder / "avatar.usdc"))
        _fill(stage, model)
        stage.GetRootLayer().Save()
        writer = Sdf.ZipFileWriter.CreateNew(str(folder / "avatar.usdz"))  # the library takes UTF-8 names only
        for name in ("avatar.usdc", "texture.jpg"):  # the first file is the one that is opened
            writer.AddFile(str(folder / name), name)
        writer.Save()
        temp.write_bytes(_without_times((folder / "avatar.usdz").read_bytes()))


def _without_times(package: bytes) -> bytes:
    """A zip file whose members are of 1980, so that the same avatar gives the same bytes."""
    out = bytearray(package)
    with zipfile.ZipFile(io.BytesIO(package)) as z:
        at = z.start_dir  # of the list of members, which says the times once more
        for member in z.infolist():
            for start in (member.header_offset + 10, at + 12):
                out[start : start + 4] = YEAR_1980
            lengths = (int.from_bytes(package[at + k : at + k + 2], "little") for k in (28, 30, 32))
            at += 46 + sum(lengths)
    return bytes(out)


def _fill(stage: Any, model: Model) -> None:
    from pxr import Sdf, UsdGeom, UsdSkel, Vt

    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.y)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = UsdSkel.Root.Define(stage, "/avatar")
    stage.SetDefaultPrim(root.GetPrim())
    stage.GetRootLayer().comment = str(model.notes.get("license", ""))
    joints = _joint_paths(model)
    skeleton = UsdSkel.Skeleton.Define(stage, "/avatar/skeleton")
    skeleton.CreateJointsAttr(joints)
    skeleton.CreateBindTransformsAttr(_matrices(model.rest))
    skeleton.CreateRestTransformsAttr(_matrices(model.local))

    mesh = UsdGeom.Mesh.Define(stage, "/avatar/mesh")
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    mesh.CreateFaceVertexCountsAttr(Vt.IntArray(len(model.faces), 3))
    mesh.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(model.vertex[model.faces].ravel().astype(np.int32)))
    mesh.CreatePointsAttr(_vectors(model.v))
    mesh.CreateNormalsAttr(_vectors(model.normals))
    mesh.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    low, high = model.v.min(0) - 1, model.v.max(0) + 1  # metres; limbs move
    mesh.CreateExtentAttr(_vectors(np.stack([low, high])))
    root.CreateExtentAttr(_vectors(np.stack([low, high])))
    st = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.faceVarying)
    st.Set(Vt.Vec2fArray.FromNumpy((model.uv * [1, -1] + [0, 1]).astype(np.float32)))
    st.SetIndices(Vt.IntArray.FromNumpy(model.faces.ravel().astype(np.int32)))

    binding = UsdSkel.BindingAPI.Apply(mesh.GetPrim())
    binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
    binding.CreateJointIndicesPrimvar(False, 4).Set(Vt.IntArray.FromNumpy(model.joints.ravel().astype(np.int32)))
    binding.CreateJointWeightsPrimvar(False, 4).Set(Vt.FloatArray.FromNumpy(model.weights.ravel()))
    binding.CreateGeomBindTransformAttr(_matrices(np.eye(4)[None])[0])
    for name, d in model.targets.items():
        moved = np.flatnonzero(np.abs(d).max(1))
        shape = UsdSkel.BlendShape.Define(stage, f"/avatar/mesh/{name}")
        shape.CreateOffsetsAttr(_vectors(d[moved]))
        shape.CreatePointIndicesAttr(Vt.IntArray.FromNumpy(moved.astype(np.int32)))
    if model.targets:
        binding.CreateBlendShapesAttr(list(model.targets))
        binding.CreateBlendShapeTargetsRel().SetTargets([f"/avatar/mesh/{n}" for n in model.targets])
    _material(stage, mesh, model)

    UsdSkel.BindingAPI.Apply(root.GetPrim())
    rate = _rate(model.tracks[0]) if model.tracks else 30.0
    stage.SetTimeCodesPerSecond(rate)
    stage.SetFramesPerSecond(rate)
    if model.tracks:
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(round(float(model.tracks[0].seconds[-1]) * rate, 3))
        paths = [_animation(stage, model, t, joints, k, rate) for k, t in enumerate(model.tracks)]
        UsdSkel.BindingAPI.Apply(skeleton.GetPrim()).CreateAnimationSourceRel().SetTargets(paths[:1])


def _joint_paths(model: Model) -> list[str]:
    paths: list[str] = []
    for name, p in zip(model.bones, model.parents, strict=True):
        paths.append(f"{paths[p]}/{name}" if p >= 0 else name)
    return paths


def _animation(stage: Any, model: Model, track: Track, joints: list[str], k: int, rate: float) -> Any:
    from pxr import Sdf, Tf, UsdSkel, Vt

    name = Tf.MakeValidIdentifier(track.name)
    taken = stage.GetPrimAtPath(f"/avatar/{name}")
    animation = UsdSkel.Animation.Define(stage, f"/avatar/{name}_{k}" if taken else f"/avatar/{name}")
    animation.CreateJointsAttr(joints)
    animation.CreateScalesAttr(Vt.Vec3hArray(len(joints), (1, 1, 1)))
    rotations, translations = animation.CreateRotationsAttr(), animation.CreateTranslationsAttr()
    weights = None
    if track.weights is not None:
        animation.CreateBlendShapesAttr(list(model.targets))
        weights = animation.CreateBlendShapeWeightsAttr()
    with Sdf.ChangeBlock():
        for t, seconds in enumerate(track.seconds):
            time = round(float(seconds) * rate, 3)
            rotations.Set(Vt.QuatfArray.FromNumpy(np.ascontiguousarray(track.rotation[t], np.float32)), time)
            translations.Set(_vectors(track.translation[t]), time)
            if weights is not None and track.weights is not None:
                weights.Set(Vt.FloatArray.FromNumpy(np.ascontiguousarray(track.weights[t], np.float32)), time)
    return animation.GetPath()


def _material(stage: Any, mesh: Any, model: Model) -> None:
    from pxr import Sdf, UsdShade

    material = UsdShade.Material.Define(stage, "/avatar/material")
    surface, texture, reader = (
        UsdShade.Shader.Define(stage, f"/avatar/material/{n}") for n in ("surface", "texture", "st")
    )
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set("texture.jpg")
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    for wrap in ("wrapS", "wrapT"):
        texture.CreateInput(wrap, Sdf.ValueTypeNames.Token).Set("clamp")
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(
        reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    )
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(0.9)
    surface.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    colour = texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3)
    shown, dark = ("emissiveColor", "diffuseColor") if model.unlit else ("diffuseColor", "emissiveColor")
    surface.CreateInput(shown, Sdf.ValueTypeNames.Color3f).ConnectToSource(colour)
    surface.CreateInput(dark, Sdf.ValueTypeNames.Color3f).Set((0, 0, 0))
    material.CreateSurfaceOutput().ConnectToSource(surface.CreateOutput("surface", Sdf.ValueTypeNames.Token))
    UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _rate(track: Track) -> float:
    return round(float(1 / track.seconds[1]), 3) if len(track.seconds) > 1 else 30.0


def _vectors(a: np.ndarray) -> Any:
    from pxr import Vt

    return Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(a, np.float32))


def _matrices(m: np.ndarray) -> Any:
    """Matrices [N, 4, 4] as USD's, which act on rows."""
    from pxr import Gf, Vt

    return Vt.Matrix4dArray([Gf.Matrix4d(*map(float, x.T.ravel())) for x in m])
