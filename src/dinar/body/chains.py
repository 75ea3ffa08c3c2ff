"""Chains of joints of shells, for programs that have no solver of ours: in clips and as spring bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The chains around the legs from the front by the person's left, and where they are.
AROUND = {"front_left": (0.0, 0.0, 1.0), "left": (1.0, 0.0, 0.0), "back_left": (0.0, 0.0, -1.0),
          "back_right": (0.0, 0.0, -1.0), "right": (-1.0, 0.0, 0.0), "front_right": (0.0, 0.0, 1.0)}  # fmt: skip


@dataclass(frozen=True)
class Chain:
    """A row of joints from the root to the tip: one more point than joints, the last is the end of its bone."""

    name: str  # of its joints, with their number behind it
    parent: str  # joint of the body that it hangs from
    points: np.ndarray  # [n + 1] vertices
    stiffness: tuple[float, ...]  # [n] of the spring bones, and their weight, in VRM's units
    gravity: tuple[float, ...]  # [n]
    colliders: tuple[str, ...]  # joints of the body whose bones it does not enter
    # of those around the legs, which move as cloth does (swing.py) from the parent, not from their first point: metres
    # on the template from the bone to the last point, of cloth that is not widened; and from the hip to the first point
    leg: tuple[float, float] | None = None

    @property
    def joint_names(self) -> list[str]:
        return [f"{self.name}_{k}" for k in range(1, len(self.points))]
