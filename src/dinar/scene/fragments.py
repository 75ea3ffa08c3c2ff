"""The result of the rasteriser, and the limits of its coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import DinarError

GUARD = 32768.0  # pixels: float32 still resolves 1/256 there, and edge products stay under 2^51
FAR = 1e9  # metres: inverse depth times inverse area stays a normal float32


@dataclass
class Fragments:
    """The visible face at each pixel centre of B images."""

    face: Tensor  # [B, H, W] int32, -1 in the background
    barycentrics: Tensor  # [B, H, W, 3] float32 in [0, 1], perspective-correct, sum 1; 0 in the background
    depth: Tensor  # [B, H, W] float32 camera z in metres, inf in the background

    @property
    def mask(self) -> Tensor:
        """[B, H, W] bool, True where a face is visible."""
        return self.face >= 0


def checked_index(faces: np.ndarray | Tensor, vertices: int, device: torch.device) -> Tensor:
    """:func:`face_index`, of faces whose vertices exist; waits for the device."""
    tri = face_index(faces, device)
    if tri.numel():
        low, high = torch.stack(tri.aminmax()).tolist()
        if low < 0 or high >= vertices:
            raise DinarError("faces index vertices that do not exist; pass the faces that belong to these vertices")
    return tri


def face_index(faces: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """Faces [F, 3] as int64 on ``device``."""
    tri = torch.from_numpy(faces.astype(np.int64)) if isinstance(faces, np.ndarray) else faces
    return tri.to(device, torch.int64)
