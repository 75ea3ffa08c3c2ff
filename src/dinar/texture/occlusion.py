"""Where limbs hide the body in the photo, sampling is unsure: occlusion outlines (§3.5, fig. 4 and 9)."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch

from ..body import Body
from ..body.body import PARTS
from ..scene import Fragments, interpolate

WIDTH = 4 / 512  # of the image: half the width of the strip that is not sampled
STEP = 0.08  # metres: a depth step inside the body that counts as an outline too

# One colour a limb, far apart, so that Canny sees every overlap.
_COLOURS = {"head": (255, 255, 255), "torso": (128, 128, 128), "left_arm": (255, 40, 40), "right_arm": (40, 255, 40),
            "left_hand": (255, 0, 255), "right_hand": (0, 255, 255), "left_leg": (40, 40, 255),
            "right_leg": (255, 220, 0), "left_foot": (0, 0, 0), "right_foot": (0, 90, 0)}  # fmt: skip


@lru_cache(maxsize=4)
def limb_colours(body: Body) -> torch.Tensor:
    """Colour map [V, 3] in [0, 255]: each limb its own colour; skin weights make the gradient where limbs join."""
    from ..body.body import part_of

    colour = torch.tensor([_COLOURS[part_of(n)] for n in body.joint_names], dtype=torch.float32)
    assert set(_COLOURS) == set(PARTS)
    return body.weights.cpu() @ colour


def occlusion_outlines(body: Body, fragments: Fragments) -> np.ndarray:
    """[H, W] bool: a strip along the outlines of body parts that overlap others in the image.

    The colour map is rasterised, Canny finds its edges, and the person's own contour is taken out of them. Depth
    steps (a forearm across its upper arm has one colour) are added.
    """
    colour = interpolate(fragments, limb_colours(body), body.faces)[0].numpy().astype(np.uint8)
    depth = fragments.depth[0].numpy()
    on = np.isfinite(depth)
    k = max(1, round(WIDTH * on.shape[1]))
    edges = np.zeros(on.shape, np.uint8)
    for c in range(3):
        edges = np.maximum(edges, cv2.Canny(np.ascontiguousarray(colour[..., c]), 60, 140))
    z = np.where(on, depth, 0).astype(np.float32)
    far, near = cv2.dilate(z, np.ones((3, 3))), -cv2.dilate(np.where(on, -z, -1e3).astype(np.float32), np.ones((3, 3)))
    inner = cv2.erode(on.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # the contour itself is taken out
    outline = inner & ((edges > 0) | (far - near > STEP))
    return cv2.dilate(outline.astype(np.uint8), np.ones((2 * k + 1, 2 * k + 1), np.uint8)) > 0
