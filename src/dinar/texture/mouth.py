"""The inside of the mouth, which photos do not show: dark red towards the throat, and a tongue."""

from __future__ import annotations

import numpy as np

from ..body import Body
from .texels import texels

CAVITY, THROAT = (0.36, 0.13, 0.12), (0.05, 0.015, 0.015)  # sRGB behind the lips, and deepest
TONGUE = (0.48, 0.2, 0.19)
DEPTH = 0.05  # metres from the lips to where it is deepest dark


def with_mouth(body: Body, rgb: np.ndarray) -> np.ndarray:
    """The texture [S, S, 3] float32 in [0, 1] with the colours of mouth and tongue. A body without them (SMPL-X): as
    it is."""
    names = list(body.segment_names)
    if "mouth_cavity" not in names:
        return rgb
    t = texels(body.atlas, rgb.shape[0])
    out = rgb.copy().reshape(-1, 3)
    z = t.sample(body.v_template[:, 2:].numpy(), body.faces)[:, 0]
    for name, colour in (("mouth_cavity", CAVITY), ("tongue", TONGUE)):
        on = body.segment[t.face] == names.index(name)
        if not on.any():  # a shell's body may hide it
            continue
        near = np.clip(1 - (z[on].max() - z[on]) / DEPTH, 0, 1)[:, None]
        out[t.index[on]] = near * np.array(colour) + (1 - near) * np.array(THROAT)
    return out.reshape(rgb.shape).astype(rgb.dtype)
