"""Export of avatars: GLB and VRM files, videos, the renderer as ONNX."""

from .gltf import write_glb as write_glb
from .model import Clip as Clip
from .model import build_model as build_model
from .video import write_video as write_video
