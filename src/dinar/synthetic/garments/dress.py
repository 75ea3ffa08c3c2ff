"""Make the layers of a dressed person from an outfit and a shape: meshes at rest with attributes for shading.

Garments cut from the tights share its vertices. Layers are ordered by their distance from the body, and covered parts
are removed; therefore nothing intersects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..base.makehuman import Asset
from ..base.nearest import nearest
from ..base.surfaces import LEFT_ARM, LEFT_LEG, RIGHT_ARM, TORSO, Surface, Surfaces, normals_of
from .drape import Drape, grid_of, hang_up
from .garments import FAR, Piece, Spec, piece

GAP = 0.004  # metres between layers
HIDDEN = 0.022  # metres inside a hem from where on what lies below is left out


@dataclass(eq=False)
class Layer:
    """One mesh of a person at rest, float32 on one device."""

    name: str
    material: Any
    label: Tensor  # [F] uint8 class in a parse
    faces: Tensor  # [F, 3] int64
    rest: Tensor  # [V, 3] metres; zeros for a drape
    weights: Tensor  # [V, J]
    p: Tensor  # [V, 3] on the standard body
    tube: Tensor  # [V, 3]
    along: Tensor  # [V]
    limb: Tensor  # [V] int64
    hem: Tensor  # [V] metres from the nearest hem
    uv: Tensor  # [T, 2] v up
    uv_faces: Tensor  # [F, 3] int64
    drape: Drape | None = None
    snap: tuple[Tensor, Tensor, Tensor] | None = None  # at a hem: outer vertices, inner ones, share of the inner
    transparent: bool = False  # has holes in its texture's alpha: hair, brows
    hangs: Tensor | None = None  # [3] what it dangles from at rest, whatever way its joint turns: bags

    def keep(self, faces: Tensor) -> None:
        """Drop all faces but these [F] bool."""
        self.faces, self.label, self.uv_faces = self.faces[faces], self.label[faces], self.uv_faces[faces]

    def snapped(self, a: Tensor) -> Tensor:
        """Attributes [..., V, C] with the vertices just outside a hem moved on to it."""
        if self.snap is None:
            return a
        i, j, t = self.snap
        moved = a[..., i, :] * (1 - t[:, None]) + a[..., j, :] * t[:, None]
        total = torch.zeros_like(a).index_add(a.ndim - 2, i, moved)
        count = a.new_zeros(a.shape[-2]).index_add(0, i, torch.ones_like(t))
        return torch.where((count > 0)[:, None], total / count.clamp(min=1)[:, None], a)


def hem_snap(cut: Tensor, faces: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Faces [F', 3] that are at least partly cloth, and how to move their outer corners on to the hem (cut = 0)."""
    inside = cut > 0
    kept = faces[inside[faces].any(1)]
    e = torch.cat([kept[:, [a, b]] for a in range(3) for b in range(3) if a != b])
    e = torch.unique(e[~inside[e[:, 0]] & inside[e[:, 1]]], dim=0)
    i, j = e.unbind(1)
    return kept, (i, j, (cut[i] / (cut[i] - cut[j]).clamp(max=-1e-9)).clamp(0, 1))


def _layer(s: Surface, name: str, material: Any, label: int, faces: Tensor, rest: Tensor, cut: Tensor,
           **more: Any) -> Layer:  # fmt: skip
    none = torch.zeros(1, 2, device=rest.device)
    full = torch.full((len(faces),), label, dtype=torch.uint8, device=rest.device)
    layer = Layer(name, material, full, faces, rest, s.weights, s.p, s.tube, s.along, s.limb, cut.clamp(min=0), none,
                  torch.zeros_like(faces), **more)  # fmt: skip
    layer.rest, layer.weights = layer.snapped(rest), layer.snapped(s.weights)
    layer.p = layer.snapped(s.p)
    return layer


def asset_layer(asset: Asset, s: Surfaces, base: Tensor, weights: Tensor, hanging: Tensor, material: Any,
                label: Tensor | int, **more: Any) -> Layer:  # fmt: skip
    """A MakeHuman asset on a shaped base mesh [HM08, 3]; ``weights`` and ``hanging`` are the base mesh's."""
    rest, p = asset.fitted(base).float(), asset.mixed(hanging)
    device, n = rest.device, len(rest)
    faces = torch.from_numpy(asset.faces.astype(np.int64)).to(device)
    if isinstance(label, int):
        label = torch.full((len(faces),), label, dtype=torch.uint8, device=device)
    uv = asset.uv if len(asset.uv) else np.zeros((1, 2), np.float32)
    zero = torch.zeros(n, device=device)
    return Layer(asset.name, material, label, faces, rest, asset.mixed(weights), p, torch.zeros(n, 3, device=device),
                 p[:, 1], zero.long(), zero + FAR, torch.from_numpy(uv).float().to(device),
                 torch.from_numpy(asset.uv_faces.astype(np.int64)).to(device), **more)  # fmt: skip


def asset_height(layer: Layer, s: Surfaces, tights: Tensor, normals: Tensor) -> Tensor:
    """[V] how far an asset's mesh stands off the tights, 0 where it is not."""
    at = nearest(layer.rest, tights)
    h = ((layer.rest - tights[at]) * normals[at]).sum(1)
    near = (layer.rest - tights[at]).norm(dim=1) < 0.06
    out = tights.new_zeros(len(tights)).scatter_reduce(0, at[near], h[near].clamp(min=0), "amax")
    row, column = s.tights.smooth.to_sparse_coo().indices()
    for _ in range(3):  # its mesh may be coarser
        out = torch.maximum(out, out.new_zeros(len(out)).scatter_reduce(0, row, out[column], "amax") * 0.999)
    return out


def dress(
    outfit: list[Spec],  # from the skin outwards
    s: Surfaces,
    vertices: Tensor,  # [V, 3] the shaped body at rest
    helper: Tensor,  # [H, 3] the shaped helper vertices
    joints: Tensor,  # [J, 3] the shaped joints at rest
    heights: Tensor | None = None,  # [V'] of asset garments already on the tights, metres
) -> tuple[list[Layer], Tensor, Tensor]:
    """Layers of the garments, the body's vertices [V] that they hide, and each vertex' depth below cloth in metres."""
    t, device = s.tights, vertices.device
    tights = t.refine @ helper[t.coarse]
    normals = normals_of(t, tights)
    height = torch.zeros(len(tights), device=device) if heights is None else heights.clone()
    layers: list[Layer] = []
    pieces: list[tuple[Piece, int]] = []
    hidden = torch.zeros(len(vertices), dtype=torch.bool, device=device)
    depth = torch.zeros(len(vertices), device=device)
    covers: list[tuple[int, Spec]] = []
    for spec in outfit:
        if spec.kind == "skirt":
            sewn_on = bool(pieces) and pieces[-1][0].spec.fabric is spec.fabric  # to the top of the same garment
            drape = hang_up(spec, s, vertices, joints, tights, normals, height, sewn_on)
            cut, snap, faces = drape.cut, None, s.skirt.faces
            if "open" in spec.measures:
                cut = _opening(spec, s, drape.p)
                faces, snap = hem_snap(cut, faces)
                cut = torch.minimum(cut, drape.cut)
            layer = _layer(s.skirt, spec.name, spec.fabric, spec.label, faces, torch.zeros_like(s.skirt.p), cut,
                           drape=drape, snap=snap)  # fmt: skip
            layer.p, layer.along = layer.snapped(drape.p), drape.p[:, 1]
            layers.append(layer)
            covers.append((len(layers) - 1, spec))
            under = torch.where(s.body_covered, _under_skirt(spec, s, s.body_p, s.tights.limb[s.body_cover]), 0)
            hidden |= under > HIDDEN
            depth = torch.maximum(depth, under)
            # how far it stands off the tights at the hips, for what is worn over it
            fine = s.skirt.refine @ _flat(drape, s)
            near = (t.limb == TORSO) | (t.limb >= LEFT_LEG)
            near = (
                near & (t.p[:, 1] < float(drape.p[:, 1].max()) - 0.005) & (t.p[:, 1] > max(-0.2, spec.measures["hem"]))
            )
            h = ((fine[nearest(tights[near], fine)] - tights[near]) * normals[near]).sum(1)
            height[near] = torch.maximum(height[near], h.clamp(0, 0.05))
            continue
        g = piece(spec, s)
        here = g.cut > -0.04
        if g.loose > 0:
            trunk = tights
            for _ in range(int(4 + 14 * g.loose)):
                trunk = trunk + 0.6 * (t.smooth @ trunk - trunk)
            bridge = ((trunk - tights) * normals).sum(1).clamp(0, 0.035) * g.loose
            bridge = torch.where(t.p[:, 1] > s.levels["sole"] + 0.13, bridge, bridge.clamp(max=0.004))
        else:
            bridge = torch.zeros_like(height)
        offset = torch.maximum(g.offset + bridge, torch.where(height > 0, height + GAP, height))
        for _ in range(2):
            offset = torch.maximum(offset, 0.5 * offset + 0.5 * (t.smooth @ offset[:, None])[:, 0])
        rest = tights + normals * offset[:, None]
        if spec.kind == "bottom":  # the legs of wide trousers do not cross
            side = torch.where(t.limb == LEFT_LEG, 1.0, -1.0)
            apart = side * torch.maximum(rest[:, 0] * side, torch.full_like(side, 0.003))
            rest[:, 0] = torch.where(t.limb >= LEFT_LEG, apart, rest[:, 0])
        if spec.kind == "shoes":  # a flat sole
            down = (-normals[:, 1] - 0.4).clamp(0, 0.5) * 2
            low = tights[:, 1].min() - spec.measures["sole"]
            flat = torch.where(tights[:, 1] < tights[:, 1].min() + 0.06, down, torch.zeros_like(down))
            rest[:, 1] = rest[:, 1] * (1 - flat) + low * flat
        faces, snap = hem_snap(g.cut, t.faces)
        layers.append(_layer(t, spec.name, spec.fabric, spec.label, faces, rest, g.cut, snap=snap))
        pieces.append((g, len(layers) - 1))
        height = torch.where(here, offset, height)
        under = torch.where(s.body_covered, g.cut[s.body_cover], 0)
        hidden |= under > HIDDEN
        depth = torch.maximum(depth, under)
    for k, layer in enumerate(layers):  # what other garments cover
        cover = torch.full_like(layer.hem, -1.0)
        if layer.drape is None:
            for g, n in pieces:
                if n > k:
                    cover = torch.maximum(cover, g.cut)
        for n, spec in covers:
            if n > k:
                cover = torch.maximum(cover, _under_skirt(spec, s, layer.p, layer.limb))
        layer.keep(~(cover > HIDDEN)[layer.faces].all(1))
    return layers, hidden, depth


def _opening(spec: Spec, s: Surfaces, p: Tensor) -> Tensor:
    """Metres from the open front of a coat's skirt, for points on the standard body."""
    m = spec.measures
    drop = ((s.levels["neck"] - p[:, 1]) / 0.6).clamp(0, 2)
    gap = m["open"] * (1 - m.get("taper", 0.35) * (1 - drop))
    return torch.where(p[:, 2] > 0.0, p[:, 0].abs() - gap, FAR)


def _under_skirt(spec: Spec, s: Surfaces, p: Tensor, limb: Tensor) -> Tensor:
    """Metres that points on the standard body are deep under a skirt, counted from some way above its hem."""
    m = spec.measures
    margin = 0.07 * min(1.0, max(0.0, -0.1 - m["hem"]) / 0.2)  # hems of long skirts swing
    depth = torch.minimum(p[:, 1] - m["hem"] - margin, m.get("waist", 0.12) + 0.01 - p[:, 1])
    if "open" in m:
        depth = torch.minimum(depth, _opening(spec, s, p) - 0.04)
    return torch.where((limb == LEFT_ARM) | (limb == RIGHT_ARM), -1.0, depth)


def _flat(drape: Drape, s: Surfaces) -> Tensor:
    """Coarse vertices of a drape at rest in the surface's own order."""
    grid, _ = grid_of(s.skirt)
    out = torch.empty(grid.numel(), 3, device=drape.rest.device)
    out[grid.reshape(-1)] = drape.rest.reshape(-1, 3)
    return out
