"""Cut garments from a surface around the body: signed distance to their hems, and distance from the body.

A garment is a :class:`Spec`, sampled by :mod:`.outfit`; :func:`piece` computes it on the standard body.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.surfaces import LEFT_LEG, TORSO, Surface, Surfaces

FAR = 0.3  # metres: "no hem near here"


@dataclass(frozen=True)
class Spec:
    """A garment: its kind, measures in metres on the standard body, cloth, and parsing class."""

    kind: str  # top, bottom, skirt, shoes
    label: int
    fabric: Any  # fabric.Fabric
    measures: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    name: str = ""


@dataclass(frozen=True, eq=False)
class Piece:
    """A garment measured on the tights."""

    spec: Spec
    cut: Tensor  # [V] metres inside the nearest hem, negative outside
    offset: Tensor  # [V] metres off the body
    loose: float  # 0 follows the body, 1 spans its hollows


def waves(p: Tensor, seed: int, frequency: float, terms: int = 12) -> Tensor:
    """[V] smooth noise of unit variance over points [V, 3], from sines of random direction."""
    rng = np.random.default_rng(seed)
    k = torch.from_numpy(rng.normal(size=(terms, 3)) * frequency * 2 * np.pi).to(p)
    phase = torch.from_numpy(rng.uniform(0, 2 * np.pi, terms)).to(p)
    return (p @ k.T + phase).sin().sum(1) * (2 / terms) ** 0.5


def piece(spec: Spec, s: Surfaces) -> Piece:
    """The garment on the tights; skirts are hung by :mod:`.drape`."""
    return {"top": _top, "bottom": _bottom, "shoes": _shoes}[spec.kind](spec, s)


def _neckline(t: Surface, m: dict[str, float], neck: float) -> Tensor:
    """Metres below the neckline: a dip of some depth and width in front, less behind, V or round, or a high collar."""
    x, y, z = t.p[:, 0].abs(), t.p[:, 1] - neck, t.p[:, 2]
    front = ((z - 0.0) / 0.05).clamp(0, 1)
    width = m.get("neck_width", 0.085)
    shape = (1 - (x / width) ** (1 if m.get("v_neck") else 2)).clamp(0, 1)
    line = m.get("collar", 0.0) - 0.012 - front * (0.018 + m.get("neck_depth", 0.0) * shape)
    line = line - (1 - front) * m.get("back_depth", 0.0) * shape
    return torch.where((t.limb == TORSO) & (x < width + 0.04), line - y, FAR)


def _top(spec: Spec, s: Surfaces) -> Piece:
    m, t = spec.measures, s.tights
    on_arm = t.sleeve > 0
    sleeve = torch.where(t.sleeve > -0.5, m["sleeve"] - t.sleeve, FAR)
    hem = torch.where(on_arm & (t.limb != TORSO), torch.full_like(sleeve, FAR), t.p[:, 1] - m["hem"])
    cut = torch.minimum(torch.minimum(sleeve, hem), _neckline(t, m, s.levels["neck"]))
    fit, extra = m["fit"], m.get("extra", 0.0)
    hang = ((s.levels["shoulder"] - 0.2 - t.p[:, 1]) / 0.4).clamp(0, 1) * (t.limb == TORSO)
    down = (t.sleeve / s.arm_length).clamp(0, 1) * (t.limb != TORSO)
    folds = waves(t.p * t.p.new_tensor([1, 1, 0.7]), spec.seed, 2.6)
    offset = 0.005 + extra + fit * (0.35 + 0.9 * hang + m.get("sleeve_fit", 0.7) * down)
    offset = offset + 0.004 * folds * (fit / 0.02 + 0.2)
    if m["sleeve"] > 0.42:  # cuffs close around the wrist
        offset = offset - (offset - 0.005 - extra) * 0.6 * down * (1 - (sleeve / 0.07).clamp(0, 1))
    if "open" in m:  # a jacket's front: narrow below the chin, wide at the hem or the other way round
        drop = ((s.levels["neck"] - t.p[:, 1]) / 0.6).clamp(0, 1)
        gap = m["open"] * (1 - m.get("taper", 0.35) * (1 - drop)) + m.get("lapel", 0.0) * (1 - drop / 0.55).clamp(0, 1)
        middle = t.p[:, 0].abs() - gap
        cut = torch.minimum(cut, torch.where((t.p[:, 2] > 0.0) & (t.limb == TORSO), middle, FAR))
    return Piece(spec, cut, offset.clamp(min=0.003 + extra), m.get("loose", min(1.0, fit / 0.02)))


def _bottom(spec: Spec, s: Surfaces) -> Piece:
    m, t = spec.measures, s.tights
    L, y = s.levels, t.p[:, 1]
    rise = L["hip"] + m.get("rise", 0.1) + 0.015 * (-t.p[:, 2] / 0.1).clamp(-1, 1)  # higher behind
    cut = torch.minimum(rise - y, y - m["hem"])
    cut = torch.where((t.limb == TORSO) | (t.limb >= LEFT_LEG), cut, torch.full_like(cut, -1.0))
    cut = torch.where(t.sleeve > 0, torch.full_like(cut, -1.0), cut)
    down = ((L["hip"] - y) / (L["hip"] - L["ankle"])).clamp(0, 1)
    folds = waves(t.p * t.p.new_tensor([1, 1, 0.6]), spec.seed, 3.5)
    fit = m["fit"]
    taper = m.get("taper", 0.0)  # < 0: narrow ankles
    offset = 0.004 + fit * (down * 3).clamp(0, 1).sqrt() * (1 + taper * down) + m.get("flare", 0.0) * down**2
    offset = offset + 0.003 * folds * (fit / 0.02 + 0.2) * (0.4 + down)
    return Piece(spec, cut, offset.clamp(min=0.002), m.get("loose", min(1.0, fit / 0.02)))


def _shoes(spec: Spec, s: Surfaces) -> Piece:
    m, t = spec.measures, s.tights
    y = t.p[:, 1] - s.levels["sole"]
    cut = torch.where(t.limb >= LEFT_LEG, m["height"] + 0.25 * (0.02 - t.p[:, 2]).clamp(-0.06, 0.06) - y, -1.0)
    offset = 0.006 + 0.004 * (1 - y / 0.1).clamp(0, 1)
    return Piece(spec, cut, offset, 0.6)
