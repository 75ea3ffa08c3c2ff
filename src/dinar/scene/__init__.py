"""Cameras, rasterisation, interpolation and silhouettes (§3.1, §3.4)."""

from .camera import Camera, intrinsics, look_at, orbit
from .fragments import Fragments
from .interpolate import barycentrics_at, face_normals, interpolate, vertex_normals
from .raster import coverage, rasterize, rasterize_mesh
from .silhouette import signed_distance, soft_silhouette

__all__ = [
    "Camera",
    "Fragments",
    "barycentrics_at",
    "coverage",
    "face_normals",
    "interpolate",
    "intrinsics",
    "look_at",
    "orbit",
    "rasterize",
    "rasterize_mesh",
    "signed_distance",
    "soft_silhouette",
    "vertex_normals",
]
