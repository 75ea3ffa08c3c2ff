"""Skin and eyes: a MakeHuman skin if assets are given, else painted on the standard body; beards, hair roots, lips.

Positions on the head are distances from the eyes and from the hairline of the standard body, in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...body import Body, load_body
from ..base.colours import triple
from ..base.noise import fine_table, lookup
from ..render.materials import Eye, Points, Texture

# linear albedo of skin from pale to dark
TONES = np.array([[0.72, 0.50, 0.40], [0.62, 0.40, 0.29], [0.50, 0.30, 0.20], [0.33, 0.18, 0.11], [0.17, 0.085, 0.05],
                  [0.09, 0.045, 0.03]])  # fmt: skip
IRIS = np.array([[0.10, 0.045, 0.02], [0.05, 0.025, 0.015], [0.16, 0.23, 0.33], [0.12, 0.16, 0.08], [0.20, 0.20, 0.19]])


@lru_cache(maxsize=2)
def landmarks(body: Body) -> dict[str, np.ndarray]:
    """Points of the standard head [3]: eyes (with their pupils), mouth corners, and the forehead's front."""
    v, names = body.v_template.cpu().numpy(), body.segment_names
    out = {}
    front = body.faces[body.segment == names.index("eye_front")]
    ball = np.unique(np.concatenate([front, body.faces[body.segment == names.index("eye_back")]]))
    for side, sign in (("left", 1), ("right", -1)):
        own = ball[v[ball, 0] * sign > 0]
        out[f"{side}_ball"] = (v[own].max(0) + v[own].min(0)) / 2
        out[f"{side}_pupil"] = v[own][v[own, 2].argmax()] * [0, 0, 1] + out[f"{side}_ball"] * [1, 1, 0]
        out[f"{side}_mouth"] = body.keypoint_weights[body.keypoint_index(f"mouth_{side}")].cpu().numpy() @ v
    out["mouth"] = (out["left_mouth"] + out["right_mouth"]) / 2
    out["eyes"] = (out["left_ball"] + out["right_ball"]) / 2
    return out


def hairline(p: Tensor, lift: float = 0.0) -> Tensor:
    """Metres above the hairline, < 0 below it: across the forehead, down the temples, behind the ears, the nape."""
    m = landmarks(load_body())
    eye_y, eye_z = float(m["eyes"][1]), float(m["left_pupil"][2])
    back = eye_z - p[:, 2]
    x = p.new_tensor([-0.03, 0.0, 0.03, 0.055, 0.075, 0.11, 0.2])
    y = p.new_tensor([0.066, 0.062, 0.05, 0.0, -0.02, -0.06, -0.075]) + lift
    k = torch.searchsorted(x, back.contiguous()).clamp(1, len(x) - 1)
    t = ((back - x[k - 1]) / (x[k] - x[k - 1])).clamp(0, 1)
    return p[:, 1] - eye_y - (y[k - 1] + (y[k] - y[k - 1]) * t)


@dataclass(frozen=True, eq=False)
class Skin:
    """The skin of a person."""

    texture: Texture | None
    tone: tuple[float, float, float]  # linear albedo, where there is no texture
    hair: tuple[float, float, float]
    roots: float  # darkening of the scalp by hair, 0 to 1
    beard: float
    lips: float  # make-up
    seed: int
    specular: float = 0.03

    def shade(self, pts: Points) -> tuple[Tensor, Tensor, tuple[float, float, float], float, float]:
        p = pts.p
        t = p.new_tensor
        m = landmarks(load_body())
        if self.texture is not None:
            albedo = self.texture.look_up(pts.uv)[:, :3] * t(self.texture.tint)
        else:
            albedo = self._painted(p)
        hair = t(self.hair)
        head = (p[:, 1] > float(m["mouth"][1]) - 0.06) & (p[:, 0].abs() < 0.12)
        if self.roots:
            h = ((hairline(p, 0.004) / 0.012 + 0.5).clamp(0, 1) * head * self.roots)[:, None]
            albedo = albedo * (1 - h) + hair * 0.8 * h
        if self.beard:
            x, y, z = p[:, 0].abs(), p[:, 1] - float(m["mouth"][1]), p[:, 2]
            low = ((0.02 + 0.55 * (x - 0.035).clamp(min=0) - y) / 0.012).clamp(0, 1) * ((y + 0.055) / 0.012).clamp(0, 1)
            lip = (1 - ((x / 0.024) ** 2 + ((y - 0.001) / 0.009) ** 2)).clamp(min=-1)
            front = ((z - float(m["eyes"][2]) + 0.075) / 0.02).clamp(0, 1)
            b = (low * front * (1 - (lip * 3 + 0.5).clamp(0, 1)) * head * self.beard)[:, None]
            grain = 0.75 + 0.5 * _grain(p, 12.0)[:, None]
            albedo = albedo * (1 - b) + hair * 0.7 * b * grain
        if self.lips:
            x, y = p[:, 0].abs(), p[:, 1] - float(m["mouth"][1])
            lip = (1.4 - ((x / 0.026) ** 2 + ((y - 0.001) / 0.010) ** 2)).clamp(0, 1)
            front = ((p[:, 2] - float(m["mouth"][2]) + 0.02) / 0.01).clamp(0, 1)
            k = (lip * front * self.lips)[:, None]
            albedo = albedo * (1 - k) + albedo * t([1.1, 0.35, 0.4]) * k
        return albedo.clamp(0.005, 0.95), pts.normal, (0.32, 0.13, 0.08), self.specular, 16.0

    def _painted(self, p: Tensor) -> Tensor:
        t, m = p.new_tensor, landmarks(load_body())
        albedo = t(self.tone) * (0.94 + 0.12 * _grain(p, 1.5)[:, None])
        eyes, mouth = m["eyes"], m["mouth"]
        x, y, z = p[:, 0].abs(), p[:, 1] - float(eyes[1]), p[:, 2]
        face = ((z - float(eyes[2]) + 0.02) / 0.03).clamp(0, 1)

        def blend(k: Tensor, colour: Tensor) -> None:
            nonlocal albedo
            k = (k * face)[:, None]
            albedo = albedo * (1 - k) + colour * k

        ex = float(m["left_ball"][0])
        brow = ((y - 0.021 - 0.004 * ((x - ex) * 60).cos()) / 0.0045) ** 4
        blend((-brow).exp() * ((x - ex).abs() < 0.025) * 0.8, t(self.hair) * 0.6)
        blend((-((x - ex - 0.012) ** 2 + (y + 0.045) ** 2) / 0.02**2).exp() * 0.22, albedo * t([1.06, 0.66, 0.62]))
        blend((-((((x - ex) / 0.019) ** 2 + (y / 0.012) ** 2) ** 2)).exp() * 0.3, albedo * 0.55)
        ly = p[:, 1] - float(mouth[1])
        lips = (1.3 - ((x / 0.025) ** 2 + ((ly - 0.001) / 0.009) ** 2)).clamp(0, 1)
        blend(lips * 0.7, albedo * t([0.95, 0.55, 0.55]))
        return albedo


def _grain(p: Tensor, frequency: float) -> Tensor:
    """[N] about in [0, 1]: noise over the standard body, ``frequency`` tiles a metre."""
    n = lookup(fine_table(p.device), (p[:, 0] + 0.6 * p[:, 2]) * frequency, (p[:, 1] + 0.4 * p[:, 2]) * frequency)
    return (0.5 + 0.2 * n[1]).clamp(0, 1)


def sample_skin(
    rng: np.random.Generator,
    male: bool,
    hair: tuple[float, float, float],
    bald: bool,
    texture: Texture | None,
    dark: bool,
) -> Skin:
    at = rng.uniform(0, len(TONES) - 1.01)
    k = int(at)
    tone = TONES[k] * (1 - at + k) + TONES[k + 1] * (at - k)
    if texture is not None:
        light = rng.uniform(0.62, 1.1) if dark else rng.uniform(0.55, 1.02)
        warm = rng.uniform(0.93, 1.05)
        texture = Texture(texture.image, (light * warm, light, light / warm * (0.97 if not dark else 1.0)))
    beard = float(rng.choice([0, 0.25, 0.5, 0.85], p=[0.5, 0.2, 0.15, 0.15])) if male else 0.0
    lips = 0.0 if male or rng.random() < 0.5 else float(rng.uniform(0.2, 0.8))
    return Skin(texture, triple(tone), hair, 0.0 if bald else 0.85, beard, lips, int(rng.integers(1 << 30)),
                float(rng.uniform(0.02, 0.045)))  # fmt: skip


def sample_eye(rng: np.random.Generator) -> Eye:
    m = landmarks(load_body())
    iris = IRIS[rng.choice(len(IRIS), p=[0.35, 0.3, 0.15, 0.1, 0.1])] * rng.uniform(0.7, 1.3)
    left, right = (tuple(np.concatenate([m[f"{s}_pupil"], m[f"{s}_ball"]]).tolist()) for s in ("left", "right"))
    return Eye(triple(iris), (left, right))
