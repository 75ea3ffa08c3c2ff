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
    """Boolean masks over vertices or other points [N]."""

    face: np.ndarray  # in front of the ears, from chin to brow
    face_centre: np.ndarray  # cheeks and nose: always skin
    ears: np.ndarray  # and the head close around them
    auricles: np.ndarray  # the ears without the head above and behind them
    crown: np.ndarray  # the top of the head: usually hair
    skull: np.ndarray  # the head above the neck, with the face
    cavity: np.ndarray  # eyes, mouth, tongue


# Limits in body heights, downwards from the crown where nothing else is said; tuned by eye.
HEAD = 0.12  # of the head without the neck, for its depth and width
BROW, CHIN, HAIRLINE = 0.038, 0.15, 0.035
CHEEKS, CHEEK_WIDTH, CHEEK_DEPTH = (0.078, 0.115), 0.03, 0.05  # heights; from the middle; from the tip of the nose
EARS, EAR_WIDTH, EAR_LINE = (0.05, 0.13), 0.8, 0.42  # heights; of the head's width; from front to back of the head
AURICLE = (0.0625, 0.625)  # height of the ears' top; their back, from front to back of the head
CROWN, NAPE = 0.05, 0.115


@lru_cache(maxsize=4)
def regions(body: Body) -> Regions:
    """The regions of a body's vertices (cached)."""
    cavity = np.zeros(body.num_vertices, bool)
    cavity[np.unique(body.faces[_inner(body)])] = True
    head, shell = body.vertex_part == PARTS.index("head"), _on_head(body)
    return regions_at(body, body.v_template.cpu().numpy(), head & ~shell, cavity, shell)


def regions_at(body: Body, x: np.ndarray, head: np.ndarray, cavity: np.ndarray, shell: np.ndarray) -> Regions:
    """The regions of points [N, 3] of the template, of which are known [N] bool: those of the head without shells of
    hair and hats, those in its cavities, and those of such shells. Their borders are lines that cross the faces."""
    height, top, front, back, width = _measures(body)
    before_ears = x[:, 2] > front - EAR_LINE * (front - back)
    drop, across = (top - x[:, 1]) / height, np.abs(x[:, 0])
    nose = (x[:, 2] > front - CHEEK_DEPTH * height) & (across < CHEEK_WIDTH * height)
    ears = head & (across > EAR_WIDTH * width) & (drop > EARS[0]) & (drop < EARS[1])
    return Regions(
        face=head & before_ears & (drop > BROW) & (drop < CHIN) & ~cavity,
        face_centre=head & nose & (drop > CHEEKS[0]) & (drop < CHEEKS[1]) & ~cavity,
        ears=ears,
        auricles=ears & (drop > AURICLE[0]) & (front - x[:, 2] < AURICLE[1] * (front - back)),
        crown=head & (drop < CROWN) & ~(before_ears & (drop > HAIRLINE)) | shell,
        skull=head & (drop < NAPE) & ~cavity | shell,
        cavity=cavity,
    )


@lru_cache(maxsize=4)
def _measures(body: Body) -> tuple[float, float, float, float, float]:
    """Of the template in metres: the body's height, the crown's, front and back of the head, half of its width."""
    v, shell = body.v_template.cpu().numpy(), _on_head(body)
    head = v[(body.vertex_part == PARTS.index("head")) & ~shell]
    height, top = np.ptp(v[~shell, 1]), head[:, 1].max()
    upper = head[head[:, 1] > top - HEAD * height]
    return height, top, head[:, 2].max(), upper[:, 2].min(), np.abs(upper[:, 0]).max()


def _on_head(body: Body) -> np.ndarray:
    """[V] bool: vertices of shells of hair, and of hats."""
    out = np.zeros(body.num_vertices, bool)
    out[np.unique(body.faces[body.of_segment("hair", "hat")])] = True
    return out


def _inner(body: Body) -> np.ndarray:
    """[F] bool: faces of the eyes and of the mouth."""
    inner = body.segment_names[: len(body.segment_names) - len(body.shells)]
    return np.isin(body.segment, [i for i, n in enumerate(inner) if n != "skin"])


def eyes(body: Body) -> list[tuple[np.ndarray, np.ndarray]]:
    """Vertices of the left and the right eyeball, and of its socket; of a body without sockets (SMPL-X) none."""
    if "eye_cavity" not in body.segment_names:
        return []
    of = lambda *n: np.unique(body.faces[body.of_segment(*n)])  # noqa: E731
    ball, socket = of("eye_front", "eye_back"), of("eye_cavity")
    left = body.v_template[:, 0].cpu().numpy() > 0
    return [(ball[left[ball] == side], socket[left[socket] == side]) for side in (True, False)]
