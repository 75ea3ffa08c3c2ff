"""Joint positions told from rotations: three numbers a joint both, in arrays of one shape."""

from __future__ import annotations

import numpy as np

from .skeleton import BODY

# Proportions of people, wide: what axis-angle vectors make of all of them at once is never a person.
_PROPORTIONS = (
    (("left_knee", "left_ankle"), 0.7, 1.5),  # shin
    (("left_shoulder", "left_elbow"), 0.4, 1.1),
    (("left_elbow", "left_wrist"), 0.4, 1.0),
    (("left_shoulder", "right_shoulder"), 0.4, 1.6),
    (("left_hip", "right_hip"), 0.1, 0.8),
    (("neck", "left_hip"), 0.8, 1.9),
)  # lengths, in thighs
# With these, none of 2,838 frames of rotations (DeepMimic clips, built-in motions) is taken for positions alone, and
# positions with 4 cm of noise still are.
_MIRRORED = 0.25  # left and right differ by less
_CONSTANT = 0.25  # standard deviation of a bone over its mean; generated joints reach 0.05


def are_positions(x: np.ndarray) -> bool:  # [T, J, 3], [J, 3] or flat, J >= 22, in the order of SMPL
    """Whether the bones of the arms and legs keep their lengths, and the lengths are those of a person."""
    if x.ndim == 4 or x.shape[-1] % 3:
        return False
    x = x.reshape(-1, x.shape[-2], 3) if x.shape[-1] == 3 and x.ndim > 1 else x.reshape(-1, x.shape[-1] // 3, 3)
    if x.shape[1] < len(BODY):
        return False
    length = lambda a, b: np.linalg.norm(x[:, BODY.index(a)] - x[:, BODY.index(b)], axis=1)  # noqa: E731
    thigh = length("left_hip", "left_knee")
    if thigh.mean() < 1e-6:
        return False
    for (a, b), low, high in _PROPORTIONS:
        if not low < length(a, b).mean() / thigh.mean() < high:
            return False
    for a, b in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist")):
        left, right = length(f"left_{a}", f"left_{b}"), length(f"right_{a}", f"right_{b}")
        if abs(left.mean() - right.mean()) > _MIRRORED * left.mean():
            return False
        if max(left.std(), right.std()) > _CONSTANT * left.mean():
            return False
    return True
