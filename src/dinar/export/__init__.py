"""Export of avatars: GLB, VRM, FBX and USDZ files, videos, the renderer as ONNX."""

from __future__ import annotations

from pathlib import Path

from .fbx import write_fbx as write_fbx
from .gltf import write_glb as write_glb
from .model import Clip as Clip
from .model import Model as Model
from .model import build_model as build_model
from .usd import write_usdz as write_usdz
from .video import write_video as write_video


def write_model(path: str | Path, model: Model) -> None:
    """Write a model in the format that the suffix names."""
    write = {".glb": write_glb, ".vrm": write_glb, ".fbx": write_fbx, ".usdz": write_usdz}
    write[Path(path).suffix.lower()](path, model)
