"""Export of avatars: GLB and VRM files, videos, the renderer as ONNX."""

from .gltf import Clip as Clip
from .gltf import write_glb as write_glb
from .video import write_video as write_video
