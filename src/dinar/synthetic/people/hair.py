"""Hair: MakeHuman's assets if given, else a cap on the skull and a curtain of strands."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...body.body import PARTS
from ...body.regions import regions
from ...labels import LABEL
from ...scene import vertex_normals
from ..base.colours import triple
from ..base.nearest import nearest
from ..base.noise import fine_table, lookup
from ..base.surfaces import Surfaces
from ..garments.dress import Layer, asset_layer, hem_snap
from ..garments.garments import FAR, waves
from ..render.materials import Points
from .closet import Closet, recoloured
from .skin import hairline, landmarks

# linear albedo
COLOURS = np.array([[0.012, 0.010, 0.009], [0.035, 0.020, 0.012], [0.075, 0.040, 0.020], [0.15, 0.085, 0.040],
                    [0.36, 0.24, 0.12], [0.16, 0.05, 0.02], [0.30, 0.29, 0.28]])  # fmt: skip
SHARE = [0.26, 0.28, 0.18, 0.11, 0.08, 0.04, 0.05]


@dataclass(frozen=True, eq=False)
class Strands:
    """Hair without a texture: noise drawn out along the strands."""

    colour: tuple[float, float, float]
    seed: int

    def shade(self, pts: Points) -> tuple[Tensor, Tensor, tuple[float, float, float], float, float]:
        p, t = pts.p, pts.p.new_tensor
        m = landmarks_centre()
        angle = torch.atan2(p[:, 0] - m[0], p[:, 2] - m[2])
        fall = (p[:, 1] - m[1]) * 0.9 + 0.05 * (self.seed % 7)
        n = lookup(fine_table(p.device), angle * (0.9 + 0.1 * (self.seed % 3)), fall)
        slow = lookup(fine_table(p.device), angle * 0.22 + 0.3, fall * 0.15)
        albedo = t(self.colour) * (1 + 0.28 * n[0] + 0.22 * slow[1])[:, None].clamp(0.3, 2.2)
        across = pts.across * angle.cos()[:, None]
        normal = torch.nn.functional.normalize(pts.normal + across * (0.22 * n[1] + 0.2 * slow[0])[:, None], dim=1)
        return albedo, normal, (0.2, 0.2, 0.2), 0.04, 22.0


def landmarks_centre() -> tuple[float, float, float]:
    """The middle of the skull on the standard body."""
    from ...body import load_body

    m = landmarks(load_body())
    return 0.0, float(m["eyes"][1]) + 0.035, float(m["eyes"][2]) - 0.075


def cap(s: Surfaces, rest: Tensor, thickness: float, material: object, rng: np.random.Generator, lift: float = 0.0,
        label: str = "hair", floor: float = -0.09) -> Layer:  # fmt: skip
    """The skull pushed outwards above the hairline: short hair, or a knitted hat."""
    body = s.body
    p = s.body_p
    reg = regions(body)
    head = torch.from_numpy((body.vertex_part == PARTS.index("head")) & ~reg.cavity).to(p.device)
    ears = torch.from_numpy(reg.ears).to(p.device)
    above = hairline(p, lift)
    m = landmarks_centre()
    cut = torch.where(head, torch.minimum(above, p[:, 1] - (m[1] + floor)), torch.full_like(above, -1.0))
    if label == "hair":
        cut = torch.where(ears, torch.full_like(cut, -0.01), cut)
    faces = body.face_tensor[(cut[body.face_tensor] > -0.05).all(1)]
    faces, snap = hem_snap(cut, faces)
    n = vertex_normals(rest, body.face_tensor)
    out = thickness * (cut / 0.035).clamp(0.08, 1).sqrt() * (1 + 0.16 * waves(p, int(rng.integers(1 << 30)), 14))
    moved = rest + n * out.clamp(min=0.002)[:, None]
    return _own(s, label, material, faces, moved, cut, snap)


def _own(s: Surfaces, label: str, material: object, faces: Tensor, rest: Tensor, cut: Tensor, snap=None) -> Layer:
    V, device = len(rest), rest.device
    zero = torch.zeros(V, device=device)
    tube = torch.zeros(V, 3, device=device)
    tube[:, 1], tube[:, 2] = landmarks_centre()[2], 0.09
    classes = torch.full((len(faces),), LABEL[label], dtype=torch.uint8, device=device)
    layer = Layer(label, material, classes, faces, rest, s.body.weights, s.body_p, tube, s.body_p[:, 1], zero.long(),
                  cut.clamp(0, FAR), torch.zeros(1, 2, device=device), torch.zeros_like(faces), snap=snap)  # fmt: skip
    layer.rest, layer.weights, layer.p = (layer.snapped(a) for a in (rest, s.body.weights, s.body_p))
    return layer


def curtain(s: Surfaces, rest: Tensor, betas: Tensor, length: float, volume: float, fringe: bool, material: object,
            rng: np.random.Generator) -> Layer:  # fmt: skip
    """Long hair: columns of strands from the crown over the skull, then straight down around neck and shoulders."""
    device = rest.device
    m = torch.tensor(landmarks_centre(), device=device)
    head = s.body.joint("head")
    shift = s.body.rest(betas[None])[1][0, head] - s.body.j_template[head]
    n, rows = 56, 22
    opening = 0.62 if not fringe else 0.5  # radians to either side of the face that stay free
    a = torch.linspace(opening, 2 * torch.pi - opening, n, device=device)
    t = torch.linspace(0, 1, rows, device=device)[:, None]
    skull = torch.tensor([0.083 + volume, 0.118 + volume, 0.105 + volume], device=device)
    over = torch.linspace(0.06, 1.62, rows // 2, device=device)[:, None]  # polar angle down to the widest place
    front = a.cos()  # 1: in front
    x, z = a.sin() * over.sin() * skull[0], front * over.sin() * skull[2]
    y = over.cos() * skull[1].expand(rows // 2, n)
    down = torch.linspace(0, 1, rows - rows // 2 + 1, device=device)[1:, None]
    drop = (
        length
        * (1 - 0.22 * front.clamp(min=0))
        * (1 + 0.05 * waves(torch.stack([a, a * 0, a * 0], 1), int(rng.integers(1 << 30)), 1.5))
    )
    flow = 0.012 * waves(
        torch.stack(
            [
                a.expand(rows - rows // 2, n).reshape(-1),
                (down * 2).expand(-1, n).reshape(-1),
                torch.zeros(n * (rows - rows // 2), device=device),
            ],
            1,
        ),
        int(rng.integers(1 << 30)),
        0.9,
    )
    flow = flow.view(-1, n)
    inwards = 1 - 0.22 * (down * length / 0.14).clamp(0, 1) + 0.25 * ((down * length - 0.16) / 0.2).clamp(0, 1)
    x2 = a.sin() * (skull[0] * inwards + flow)
    z2 = front * (skull[2] * inwards + flow) - 0.02 * ((down * length - 0.12) / 0.15).clamp(0, 1)
    y2 = y[-1:] - down * drop
    grid = torch.stack([torch.cat([x, x2]), torch.cat([y, y2]), torch.cat([z, z2])], -1)
    local = grid.reshape(-1, 3) + m
    v = local + shift
    R = rows
    i = torch.arange((R - 1) * n, device=device).view(R - 1, n)[:, :-1]
    i = i.reshape(-1)
    faces = torch.cat([torch.stack([i, i + n, i + 1], 1), torch.stack([i + 1, i + n, i + n + 1], 1)])
    weights = torch.zeros(len(v), s.body.num_joints, device=device)
    low = ((float(m[1]) - 0.13 - local[:, 1]) / 0.12).clamp(0, 1)
    weights[:, head], weights[:, s.body.joint("spine3")] = 1 - low, low
    # off the shoulders: push out of the shaped body's vertices around
    near = rest[(rest[:, 1] > float(v[:, 1].min()) - 0.05) & (s.body_p[:, 0].abs() < 0.25)]
    normal = vertex_normals(rest, s.body.face_tensor)
    normal = normal[(rest[:, 1] > float(v[:, 1].min()) - 0.05) & (s.body_p[:, 0].abs() < 0.25)]
    for _ in range(2):
        k = nearest(v, near)
        inside = 0.036 - ((v - near[k]) * normal[k]).sum(1)
        close = (v - near[k]).norm(dim=1) < 0.07
        v = v + normal[k] * torch.where(close, inside.clamp(min=0), torch.zeros_like(inside))[:, None]
    zero = torch.zeros(len(v), device=device)
    hem = (t.expand(rows, n).reshape(-1) * 0 + 1) * FAR
    return Layer("hair", material, torch.full((len(faces),), LABEL["hair"], dtype=torch.uint8, device=device), faces, v,
                 weights, local, torch.zeros(len(v), 3, device=device), local[:, 1], zero.long(), hem,
                 torch.zeros(1, 2, device=device), torch.zeros_like(faces))  # fmt: skip


def sample_hair(
    rng: np.random.Generator, s: Surfaces, closet: Closet, male: bool, rest: Tensor, betas: Tensor, base: Tensor,
    weights: Tensor, hanging: Tensor, colour: tuple[float, float, float],
) -> list[Layer]:  # fmt: skip
    """Layers of hair and brows; none for a bald head."""
    out: list[Layer] = []
    if closet.brows:
        item = closet.brows[rng.integers(len(closet.brows))]
        if item.texture is not None:
            dark = triple(0.6 * c for c in colour)
            out.append(asset_layer(item.asset, s, base, weights, hanging, recoloured(item.texture, dark),
                                   LABEL["face"], transparent=True))  # fmt: skip
    seed = int(rng.integers(1 << 30))
    strands = Strands(colour, seed)
    if male and rng.random() < 0.1:
        return out
    if closet.hair and rng.random() < 0.75:
        names = {"short01", "short02", "short04", "afro01", "short03"} if male else {
            "long01", "bob01", "bob02", "ponytail01", "braid01", "short03", "afro01"}  # fmt: skip
        chosen = [i for i in closet.hair if i.asset.name in names]
        p = np.array([0.25 if i.asset.name == "afro01" else 1.0 for i in chosen])
        item = chosen[rng.choice(len(chosen), p=p / p.sum())]
        if item.texture is None:
            out.append(asset_layer(item.asset, s, base, weights, hanging, strands, LABEL["hair"]))
        else:
            out.append(asset_layer(item.asset, s, base, weights, hanging, recoloured(item.texture, colour),
                                   LABEL["hair"], transparent=True))  # fmt: skip
        return out
    if male or rng.random() < 0.15:
        out.append(cap(s, rest, rng.uniform(0.006, 0.022), strands, rng))
    else:
        out.append(cap(s, rest, 0.012, strands, rng))
        out.append(curtain(s, rest, betas, float(rng.uniform(0.08, 0.42)), float(rng.uniform(0.006, 0.022)),
                           bool(rng.random() < 0.3), strands, rng))  # fmt: skip
    return out
