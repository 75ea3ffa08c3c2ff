"""Chains of joints of shells, for programs that have no solver of ours: in clips and as spring bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Chain:
    """A row of joints from the root to the tip: one more point than joints, the last is the end of its bone."""

    name: str  # of its joints, with their number behind it
    parent: str  # joint of the body that it hangs from
    points: np.ndarray  # [n + 1] vertices
    stiffness: tuple[float, ...]  # [n] of the spring bones, and their weight, in VRM's units
    gravity: tuple[float, ...]  # [n]
    colliders: tuple[str, ...]  # joints of the body whose bones it does not enter
    from_joint: bool = False  # the first point is the parent, not a vertex; in clips it follows it as cloth does

    @property
    def joint_names(self) -> list[str]:
        return [f"{self.name}_{k}" for k in range(1, len(self.points))]
