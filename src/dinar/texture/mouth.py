"""The inside of the mouth, which photos do not show: dark red towards the throat, a tongue, and teeth."""

from __future__ import annotations

import numpy as np

from ..body import Body
from ..body.teeth import TEXELS, has_teeth
from .texels import texels

CAVITY, THROAT = (0.3, 0.1, 0.1), (0.05, 0.015, 0.015)  # sRGB behind the lips, and deepest
TONGUE = (0.48, 0.2, 0.19)
DEPTH = 0.05  # metres from the lips to where it is deepest dark
ENAMEL, GUM = (0.8, 0.75, 0.68), (0.62, 0.33, 0.32)  # sRGB of the front teeth
GUM_ROWS = 0.1  # of the rows from the roots over the edge to the inside
FRONT, SIDE, BACK = 0.25, 0.7, 0.12  # of half an arch: teeth in the light, and from where in the dark; brightness there
TEETH = 14  # in a row
GAP, GAP_SHADE = 0.12, 0.8  # width of the line between two teeth, in teeth, and its brightness


def with_mouth(body: Body, rgb: np.ndarray) -> np.ndarray:
    """The texture [S, S, 3] float32 in [0, 1] with the colours of mouth and tongue. A body without them (SMPL-X): as
    it is."""
    names = list(body.segment_names)
    if "mouth_cavity" not in names:
        return rgb
    t = texels(body.atlas, rgb.shape[0])
    out = rgb.copy().reshape(-1, 3)
    for name, colour in (("mouth_cavity", CAVITY), ("tongue", TONGUE)):
        on = np.flatnonzero(body.segment[t.face] == names.index(name))
        if not len(on):  # a shell's body may hide it
            continue
        z = t.sample(body.v_template[:, 2:].numpy(), body.faces, on)
        near = np.clip(1 - (z.max() - z) / DEPTH, 0, 1)
        out[t.index[on]] = near * np.array(colour) + (1 - near) * np.array(THROAT)
    return out.reshape(rgb.shape).astype(rgb.dtype)


def with_teeth_colours(body: Body, rgb: np.ndarray) -> np.ndarray:
    """The texture [S, S, 3] uint8 with the colours of the teeth in their place."""
    if not has_teeth(body):
        return rgb
    S = rgb.shape[0]
    x0, y0, x1, y1 = (round(S * t) for t in TEXELS)
    along = np.abs(np.linspace(-1, 1, x1 - x0))[None, :, None]  # 0 at the middle of the arch, 1 at its ends
    down = np.linspace(0, 1, y1 - y0)[:, None, None]
    line = 1 - (1 - GAP_SHADE) * np.clip(1 - np.abs((along * TEETH / 2 + 0.5) % 1 - 0.5) / GAP, 0, 1)
    gum = np.clip((GUM_ROWS - down) / GUM_ROWS, 0, 1)
    lit = np.clip((SIDE - along) / (SIDE - FRONT), 0, 1)
    colour = (gum * np.array(GUM) + (1 - gum) * np.array(ENAMEL) * line) * (BACK + (1 - BACK) * lit)
    out = rgb.copy()
    out[y0:y1, x0:x1] = (colour * 255 + 0.5).astype(np.uint8)
    return out
