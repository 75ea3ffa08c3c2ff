"""Regions of the head as vertex masks, for offsets and texture restoration.

Found on a body's template by proportions, so any body with the joints of SMPL-X has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .body import PARTS, Body


@dataclass(frozen=True)
class Regions:
    """Boolean masks over vertices [V]."""

    face: np.ndarray  # in front of the ears, from chin to brow
    face_centre: np.ndarray  # cheeks and nose: always skin
    ears: np.ndarray
    crown: np.ndarray  # the top of the head: usually hair
    skull: np.ndarray  # the head above the neck, with the face
    cavity: np.ndarray  # eyes, mouth, tongue


@lru_cache(maxsize=4)
def regions(body: Body) -> Regions:
    """The regions of a body (cached). Limits are shares of the body's height or the head's depth, tuned by eye."""
    v = body.v_template.cpu().numpy()
    head = body.vertex_part == PARTS.index("head")
    height = np.ptp(v[:, 1])
    top, x, z = v[head, 1].max(), np.abs(v[:, 0]), v[:, 2]
    upper = head & (v[:, 1] > top - 0.12 * height)
    front, back = v[head, 2].max(), v[upper, 2].min()
    ear_line = front - 0.42 * (front - back)
    drop = (top - v[:, 1]) / height  # how far below the crown, in body heights
    cavity_faces = np.isin(body.segment, [i for i, n in enumerate(body.segment_names) if n != "skin"])
    cavity = np.zeros(len(v), bool)
    cavity[np.unique(body.faces[cavity_faces])] = True
    return Regions(
        face=head & (z > ear_line) & (drop > 0.038) & (drop < 0.15) & ~cavity,
        face_centre=head
        & (z > front - 0.05 * height)
        & (drop > 0.078)
        & (drop < 0.115)
        & (x < 0.03 * height)
        & ~cavity,
        ears=head & (x > 0.8 * x[upper].max()) & (drop > 0.05) & (drop < 0.13),
        crown=head & (drop < 0.05) & ~((z > ear_line) & (drop > 0.035)),
        skull=head & (drop < 0.115) & ~cavity,
        cavity=cavity,
    )
