"""The UV atlas: front cut, back of the torso in one piece, mirror-symmetric about u = 0.5 (§3.1, app. A).

Made by ``scripts/build_atlas.py`` and stored with the body.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Atlas:
    """UV layout of a body; ``faces`` are in the order of the body's faces."""

    uv: np.ndarray  # [T, 2] float32 in [0, 1], image convention: u right, v down
    faces: np.ndarray  # [F, 3] int32 into uv
    vertex: np.ndarray  # [T] int64 mesh vertex of each uv vertex
    island: np.ndarray  # [F] uint8
    island_names: tuple[str, ...]
    under: np.ndarray | None = None  # [T] bool, vertices of faces that only borrow the texels of others (linings)
    name: str = ""  # the hash of a layout that follows from another one (shells)

    @classmethod
    def from_arrays(cls, a: dict[str, np.ndarray]) -> Atlas:
        """From the ``atlas_*`` arrays of a bundle."""
        return cls(
            uv=a["atlas_uv"].astype(np.float32),
            faces=a["atlas_faces"].astype(np.int32),
            vertex=a["atlas_vertex"].astype(np.int64),
            island=a["atlas_island"],
            island_names=tuple(map(str, a["atlas_island_names"])),
        )

    @cached_property
    def hash(self) -> str:
        """Twelve hex digits that change with the layout; an avatar is refused by another layout."""
        return self.name or hashlib.sha256(self.uv.tobytes() + self.faces.tobytes()).hexdigest()[:12]

    def __hash__(self) -> int:
        return hash(self.hash)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Atlas) and self.hash == other.hash
