"""Visemes, the mouth's shapes of speech, as weights of the body's facial actions.

The names are those of Oculus' lip sync, which talking avatars in browsers and engines look for as ``viseme_aa`` and so
on. The weights were chosen by eye on the default body.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .body import Body

VISEMES = ("sil", "PP", "FF", "TH", "DD", "kk", "CH", "SS", "nn", "RR", "aa", "E", "I", "O", "U")

# An x at the end of a name: Left and Right.
ACTIONS: dict[str, dict[str, float]] = {
    "sil": {},
    "PP": {"mouthClose": 0.05, "mouthPressx": 0.6, "mouthRollLower": 0.35, "mouthRollUpper": 0.35},
    "FF": {"jawOpen": 0.08, "mouthRollLower": 0.6, "mouthUpperUpx": 0.35, "mouthShrugLower": 0.2},
    "TH": {"jawOpen": 0.18, "tongueOut": 0.35, "mouthLowerDownx": 0.15},
    "DD": {"jawOpen": 0.14, "mouthUpperUpx": 0.15, "mouthLowerDownx": 0.25, "mouthStretchx": 0.15},
    "kk": {"jawOpen": 0.2, "mouthLowerDownx": 0.2, "mouthStretchx": 0.2},
    "CH": {"jawOpen": 0.12, "mouthFunnel": 0.5, "mouthPucker": 0.3, "mouthShrugUpper": 0.2},
    "SS": {"jawOpen": 0.06, "mouthStretchx": 0.35, "mouthLowerDownx": 0.3, "mouthUpperUpx": 0.1},
    "nn": {"jawOpen": 0.12, "mouthLowerDownx": 0.2, "mouthStretchx": 0.1},
    "RR": {"jawOpen": 0.14, "mouthFunnel": 0.3, "mouthPucker": 0.3},
    "aa": {"jawOpen": 0.55, "mouthLowerDownx": 0.15, "mouthUpperUpx": 0.1},
    "E": {"jawOpen": 0.3, "mouthStretchx": 0.3, "mouthSmilex": 0.15, "mouthUpperUpx": 0.15},
    "I": {"jawOpen": 0.15, "mouthStretchx": 0.35, "mouthSmilex": 0.25, "mouthUpperUpx": 0.1},
    "O": {"jawOpen": 0.38, "mouthFunnel": 0.6, "mouthPucker": 0.2},
    "U": {"jawOpen": 0.15, "mouthPucker": 0.75, "mouthFunnel": 0.25},
}


def both_sides(weights: dict[str, float]) -> dict[str, float]:
    """Weights of actions by their full names."""
    return {n[:-1] + s if n.endswith("x") else n: w for n, w in weights.items() for s in ("Left", "Right")}


def viseme_weights(body: Body) -> Tensor | None:
    """[VISEMES, num_expression] weights of the body's expressions; None: it has other ones (SMPL-X)."""
    out = torch.zeros(len(VISEMES), body.num_expression)
    for i, name in enumerate(VISEMES):
        for action, w in both_sides(ACTIONS[name]).items():
            if action not in body.expression_names:
                return None
            out[i, body.expression_names.index(action)] = w
    return out
