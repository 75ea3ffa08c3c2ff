"""Occlusion outlines: strips in the photo where one limb overlaps another and sampling is unsure (§3.5, fig. 4, 9)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch

from ..body import Body
from ..body.body import PARTS
from ..scene import Fragments, interpolate

WIDTH = 4 / 512  # of the image's width: half the width of the strips
STEP = 0.08  # metres: least depth step inside the body that is an outline
CANNY = (60, 140)  # thresholds of the edge detector, for colours in [0, 255]

# One colour a limb, far apart, so that Canny finds every overlap.
_COLOURS = {"head": (255, 255, 255), "torso": (128, 128, 128), "left_arm": (255, 40, 40), "right_arm": (40, 255, 40),
            "left_hand": (255, 0, 255), "right_hand": (0, 255, 255), "left_leg": (40, 40, 255),
            "right_leg": (255, 220, 0), "left_foot": (0, 0, 0), "right_foot": (0, 90, 0)}  # fmt: skip


@lru_cache(maxsize=4)
def limb_colours(body: Body) -> torch.Tensor:
    """Vertex colours [V, 3] float32 in [0, 255]: one colour a limb, blended by the skin weights where limbs join."""
    from ..body.body import part_of

    colour = torch.tensor([_COLOURS[part_of(n)] for n in body.joint_names], dtype=torch.float32)
    assert set(_COLOURS) == set(PARTS)
    return body.weights.cpu() @ colour


def occlusion_outlines(body: Body, fragments: Fragments) -> np.ndarray:
    """[H, W] bool: a strip along the outlines of body parts that overlap others in the image.

    Edges of the rasterised limb colours (Canny) and depth steps, such as a forearm across its upper arm; without the
    contour of the whole body.
    """
    colour = interpolate(fragments, limb_colours(body), body.faces)[0].numpy().astype(np.uint8)
    depth = fragments.depth[0].numpy()
    on = np.isfinite(depth)
    k = max(1, round(WIDTH * on.shape[1]))
    edges = np.zeros(on.shape, np.uint8)
    for c in range(3):
        edges = np.maximum(edges, cv2.Canny(np.ascontiguousarray(colour[..., c]), *CANNY))
    z = np.where(on, depth, 0).astype(np.float32)
    far, near = cv2.dilate(z, np.ones((3, 3))), -cv2.dilate(np.where(on, -z, -1e3).astype(np.float32), np.ones((3, 3)))
    inner = cv2.erode(on.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # without the body's contour
    outline = inner & ((edges > 0) | (far - near > STEP))
    return cv2.dilate(outline.astype(np.uint8), np.ones((2 * k + 1, 2 * k + 1), np.uint8)) > 0
