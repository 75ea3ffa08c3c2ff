"""The head's own layer: its texels take their colours from the file, at the file's resolution.

The crop that the whole texture is sampled from shows a person of 1,024 pixels, and a head of some 130. Larger files are
read once more, around the head.
"""

from __future__ import annotations

import numpy as np
import torch

from ..body import Body
from ..photo.image import read_photo
from .sample import Shot, sample_bilinear
from .texels import Texels

GAIN = 1.25  # how many more pixels the file must have for a length than the crop
SHARE = 0.7  # of the texture's side: pixels around the head that its texels can hold
MARGIN = 0.1  # of the head's longer side, around it
FADE = (0.3, 0.9)  # the head's skin weight from where to where its own layer comes in


def with_closer_head(
    body: Body,
    shot: Shot,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1], as the crop has it
    lam: np.ndarray,  # [N], 0: not seen
    texels: Texels,
) -> np.ndarray:
    """The colours [N, 3] with the file's own of the head, where it shows the head larger than the crop does."""
    if shot.source is None:
        return colour
    photo, camera = shot.source
    if camera.K[0, 0] < GAIN * photo.scale * shot.camera.K[0, 0]:
        return colour
    weight = body.weights[:, body.joint("head")].numpy()
    seen = np.flatnonzero(lam > 0)
    share = texels.sample(weight[:, None], body.faces, seen)[:, 0]
    share = np.clip((share - FADE[0]) / (FADE[1] - FADE[0]), 0, 1)
    rows, share = seen[share > 0], share[share > 0]
    if not len(rows):
        return colour
    left, top = (0, 0) if photo.window is None else photo.window[:2]
    points = texels.sample(shot.vertices.numpy(), body.faces, rows)
    xy = camera.project(torch.from_numpy(points))[0].numpy() / photo.scale + [left, top]  # pixels of the turned file
    (x0, y0), (x1, y1) = xy.min(0), xy.max(0)
    edge = MARGIN * max(x1 - x0, y1 - y0)
    window = (max(0, int(x0 - edge)), max(0, int(y0 - edge)),
              min(photo.size[0], int(x1 + edge) + 1), min(photo.size[1], int(y1 + edge) + 1))  # fmt: skip
    closer = read_photo(photo.path, round(SHARE * texels.size), photo.turn, window)
    own = sample_bilinear(closer.rgb.astype(np.float32) / 255, ((xy - window[:2]) * closer.scale).astype(np.float32))
    out = colour.copy()
    out[rows] += share[:, None].astype(np.float32) * (own - colour[rows])
    return out
