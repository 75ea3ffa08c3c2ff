"""Drape skirts, also those of dresses and coats: a ring-shaped grid that hangs from the waist over the posed legs.

Quasi-static position-based dynamics with gravity, lengths of warp, weft and bias, tethers to the waist, collisions with
capsules inside the legs and with the planes of the posed surface below.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...scene.edges import unique_edges
from ..base.nearest import nearest
from ..base.surfaces import LEFT_LEG, TORSO, Surface, Surfaces
from .garments import Spec

STEPS, GAP = 32, 0.008  # GAP: metres off what is worn below, at least
LEGS = (("hip", "knee"), ("knee", "ankle"), ("ankle", "foot"))


@lru_cache(maxsize=4)
def grid_of(skirt: Surface) -> tuple[Tensor, Tensor]:
    """Rows and columns [R, C] of the coarse skirt: from the waist down, round from the front to the person's left;
    and for each of its fine vertices the row as a fraction in [0, 1] [V]."""
    faces = skirt.coarse_faces.cpu().numpy()
    n = int(faces.max()) + 1
    unique, _, count = unique_edges(faces)
    border = np.unique(unique[count == 1])
    p = (torch.linalg.pinv(skirt.refine.to_dense().cpu()) @ skirt.p.cpu()).numpy()  # coarse positions
    depth = np.where(np.isin(np.arange(n), border) & (p[:, 1] > p[:, 1].mean()), 0, -1)
    both, k = np.concatenate([unique, unique[:, ::-1]]), 0
    while (depth < 0).any():
        reached = both[(depth[both[:, 0]] == k) & (depth[both[:, 1]] < 0), 1]
        k += 1
        depth[reached] = k
    angle = np.arctan2(p[:, 0], p[:, 2] - p[:, 2].mean())
    rows = [np.flatnonzero(depth == r)[np.argsort(angle[depth == r])] for r in range(k + 1)]
    grid = torch.from_numpy(np.stack(rows)).to(skirt.faces.device)
    row = torch.zeros(n, device=grid.device)
    row[grid.reshape(-1)] = torch.arange(len(rows), device=grid.device).repeat_interleave(grid.shape[1]).float()
    return grid, skirt.refine @ (row / k)[:, None][:, 0]


@dataclass(frozen=True, eq=False)
class Drape:
    """A skirt at rest."""

    rest: Tensor  # [R, C, 3] metres
    weights: Tensor  # [R, C, J] skinning
    pinned: Tensor  # [R] 1 where the cloth sits on the hips, 0 where it hangs
    radii: Tensor  # [3, 2] of the cores of thigh, shin and foot, at both ends
    below: Tensor  # [U, 3] points on what is worn below it, at rest
    below_normals: Tensor  # [U, 3]
    below_weights: Tensor  # [U, J]
    p: Tensor  # [V, 3] fine vertices on the standard body
    cut: Tensor  # [V] metres from the hem


def _resampled(columns: Tensor, y: Tensor) -> Tensor:
    """Values [R, C, k] of columns (k = 3 or more, the second is the height, falling) at other heights y [R']."""
    R, _C, _k = columns.shape
    h = columns[..., 1].mean(1)  # of the rows
    at = torch.searchsorted(-h.contiguous(), -y.contiguous()).clamp(1, R - 1)
    t = ((h[at - 1] - y) / (h[at - 1] - h[at]).clamp(min=1e-6)).clamp(0, 1)[:, None, None]
    return columns[at - 1] * (1 - t) + columns[at] * t


def hang_up(
    spec: Spec,
    s: Surfaces,
    vertices: Tensor,  # [V, 3] the shaped body at rest
    joints: Tensor,  # [J, 3]
    tights: Tensor,  # [V', 3] the shaped tights
    normals: Tensor,  # [V', 3]
    height: Tensor,  # [V'] metres that other garments already stand off the tights
    sewn_on: bool = False,  # to what is worn just below it
) -> Drape:
    """The skirt of a garment on a shape, over the layers below it."""
    m, skirt, device = spec.measures, s.skirt, tights.device
    grid, _ = grid_of(skirt)
    R, C = grid.shape
    hip, t = s.levels["hip"], s.tights
    template = s.helper_template[skirt.coarse][grid]
    top = float(template[0, :, 1].mean())
    y = torch.linspace(min(top, m.get("waist", top)), m["hem"], R, device=device)
    # heights by the template, so that the hem lies at the same place of every shape
    columns = _resampled(torch.cat([template, _coarse_weights(s)[grid]], 2), y)
    p, w = columns[..., :3].clone(), columns[..., 3:]
    p[..., 1] = y[:, None]
    # on to the shape: as the nearest place of the tights moves
    near = (t.limb == TORSO) | (t.limb >= LEFT_LEG)
    near = near & (t.p[:, 1] > m["hem"] - 0.1)
    anchor = torch.cdist(p.reshape(-1, 3), t.rest[near]).topk(6, largest=False)
    k = anchor.indices
    share = torch.softmax(-anchor.values / 0.02, 1)[..., None]
    moved = ((tights - t.rest)[near][k] * share).sum(1).view(R, C, 3)
    for _ in range(3):
        moved = (moved.roll(1, 1) + moved.roll(-1, 1) + 2 * moved) / 4
    rest = p + moved
    # near the hips cloth moves as the body below it does
    close = ((y + 0.22) / 0.1).clamp(0, 1)[:, None, None]
    w = w * (1 - close) + (t.weights[near][k] * share).sum(1).view(R, C, -1) * close
    below = ((hip + 0.02 - y) / (hip - s.levels["ankle"])).clamp(0, 1)[:, None]
    out = rest - rest.mean(1, keepdim=True)
    out = torch.nn.functional.normalize(out * out.new_tensor([1, 0, 1]), dim=2)
    rng = np.random.default_rng(spec.seed)
    angle = torch.linspace(0, 2 * np.pi, C + 1, device=device)[:-1]
    pleats = torch.zeros(C, device=device)
    for _ in range(3):
        pleats = pleats + (angle * int(rng.integers(3, 10)) + rng.uniform(0, 6.28)).sin() / 3
    # outside of everything below it, with room to spare
    lower = (below * 6).clamp(0, 1)
    gap = m.get("extra", 0.0) + (
        0.001 + (0.004 + 0.75 * m["fit"]) * lower if sewn_on else 0.005 + m["fit"] * (0.25 + 0.75 * lower)
    )
    snug = ((y - (hip - 0.09)) / 0.07).clamp(0, 1)[:, None]
    for _ in range(3):
        i = nearest(rest.reshape(-1, 3), tights[near])
        n = normals[near][i]
        stands = ((rest.reshape(-1, 3) - tights[near][i]) * n).sum(1)
        need = (height[near][i] + gap.expand(R, C).reshape(-1) - stands).view(R, C)
        need = torch.maximum(need.clamp(max=0.08), -0.15 * snug)  # the hips wear it close
        need = torch.maximum(need, (need.roll(1, 1) + need.roll(-1, 1)) / 2)
        rest = rest + out * need[..., None]
    rest = rest + out * (m["flare"] * below * (1 + 0.5 * pleats[None]))[..., None]
    pinned = ((y - (hip - 0.02)) / 0.06).clamp(0, 1)
    # bones: a core that nothing may enter, however the legs move
    radii = torch.full((3, 2), 0.035, device=device)
    for i, (a, b) in enumerate(LEGS[:2]):
        A, B = (joints[s.body.joint(f"left_{n}")] for n in (a, b))
        v = vertices[s.body_covered & (t.limb[s.body_cover] == LEFT_LEG)]
        at = ((v - A) @ (B - A)) / ((B - A) @ (B - A))
        d = (v - A - at[:, None] * (B - A)).norm(dim=1)
        for j, u in enumerate(((0.25, 0.95), (0.3, 0.9))[i]):
            close = (at - u).abs() < 0.08
            radii[i, j] = d[close].quantile(0.3) if close.any() else 0.045
    # and the surface below, at the first of the fine vertices: those are the coarse ones
    k = near[: len(t.coarse)] & (t.p[: len(t.coarse), 1] < float(y[0]) + 0.05)
    k = k.nonzero()[:, 0]
    below_it = tights[k] + normals[k] * height[k, None]
    flat = torch.empty(R * C, 3, device=device)
    flat[grid.reshape(-1)] = p.reshape(R * C, 3)
    fine_p = skirt.refine @ flat
    return Drape(rest, w / w.sum(2, keepdim=True), pinned, radii, below_it, normals[k], t.weights[k], fine_p,
                 fine_p[:, 1] - m["hem"])  # fmt: skip


@lru_cache(maxsize=2)
def _coarse_weights(s: Surfaces) -> Tensor:
    """[H', J] skinning of the coarse skirt."""
    dense = s.skirt.refine.to_dense().cpu().double()
    w = torch.linalg.lstsq(dense, s.skirt.weights.cpu().double()).solution.clamp(min=0).float()
    return (w / w.sum(1, keepdim=True)).to(s.skirt.faces.device)


@dataclass(frozen=True, eq=False)
class Sheet:
    """B posed sets of points with normals; cloth collides with their planes."""

    points: Tensor  # [B, U, 3]
    normals: Tensor  # [B, U, 3] unit, outwards
    gap: float  # metres

    def planes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The planes (point and normal [B, N, 3]) that bound x [B, N, 3]."""
        i = nearest(x, self.points)[..., None].expand(-1, -1, 3)
        return self.points.gather(1, i), self.normals.gather(1, i)


def _threads(x: Tensor) -> Tensor:
    """[B, 4 R - 3, C, 3] from each point of a grid [B, R, C, 3] to the next: along weft, warp and both diagonals."""
    after, before = x.roll(-1, 2), x.roll(1, 2)
    return torch.cat([after - x, x[:, 1:] - x[:, :-1], after[:, 1:] - x[:, :-1], before[:, 1:] - x[:, :-1]], 1)


def settle(
    drape: Drape,
    s: Surfaces,
    skinning: Tensor,  # [B, J, 4, 4]
    joints: Tensor,  # [B, J, 3]
    inner: tuple[Sheet, ...] = (),  # drapes that are worn below this one
) -> tuple[Tensor, Sheet]:
    """Fine vertices [B, V, 3] of the skirt over each posed body, and the collision points for the next layer."""
    grid, _ = grid_of(s.skirt)
    R, C = grid.shape
    B = len(skinning)
    table = skinning[:, :, :3].flatten(2)
    pose = lambda w: (w @ table).unflatten(2, (3, 4))  # noqa: E731
    M = pose(drape.weights.reshape(R * C, -1))
    x0 = ((M[..., :3] @ drape.rest.reshape(-1, 3, 1))[..., 0] + M[..., 3]).view(B, R, C, 3)
    M = pose(drape.below_weights)
    normals = torch.nn.functional.normalize((M[..., :3] @ drape.below_normals[..., None])[..., 0], dim=2)
    sheets = (Sheet((M[..., :3] @ drape.below[..., None])[..., 0] + M[..., 3], normals, GAP), *inner)
    names = s.body.joint_names
    ends = [(names.index(f"{side}_{a}"), names.index(f"{side}_{b}"), i) for side in ("left", "right")
            for i, (a, b) in enumerate(LEGS)]  # fmt: skip
    A = joints[:, [e[0] for e in ends]]  # [B, 6, 3]
    D = joints[:, [e[1] for e in ends]] - A
    DD = (D * D).sum(-1).clamp(min=1e-6)
    r0, r1 = (drape.radii[[e[2] for e in ends], k] for k in (0, 1))
    thin = torch.tensor([2.0 * (e[2] == 0) for e in ends], device=x0.device) * r0  # hips are no balls
    rest = drape.rest
    lengths = _threads(rest[None])[0].norm(dim=-1, keepdim=True)
    warp = lengths[R : 2 * R - 1, :, 0]
    stiff = lengths.new_tensor([0.5] * (2 * R - 1) + [0.25] * (2 * R - 2))[:, None, None]
    free = (1 - drape.pinned)[:, None, None]
    down = free * free.new_tensor([0, 1, 0])
    held = x0 * (1 - free)
    top = int((drape.pinned >= 1).sum().clamp(min=1)) - 1  # the row that all the others hang from
    rope = torch.cat([torch.zeros_like(rest[: top + 1, :, 0]), warp[top:].cumsum(0)])[..., None]

    def pull(x: Tensor) -> tuple[Tensor, ...]:
        d = _threads(x)
        now = d.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        moved = d * ((now - lengths).clamp(min=0) / now * stiff)  # cloth buckles rather than resists
        return moved.split([R, R - 1, R - 1, R - 1], 1)

    def tether(x: Tensor) -> Tensor:
        d = x - x0[:, top : top + 1]
        return x0[:, top : top + 1] + d * (rope / d.norm(dim=-1, keepdim=True).clamp(min=1e-6)).clamp(max=1)

    def cores(x: Tensor) -> Tensor:
        q = x[:, :, :, None] - A[:, None, None]  # [B, R, C, 6, 3]
        t = ((q * D[:, None, None]).sum(-1) / DD[:, None, None]).clamp(-0.15, 1.1)
        q = q - t[..., None] * D[:, None, None]
        d = q.norm(dim=-1).clamp(min=1e-6)
        need = (r0 + (r1 - r0) * t.clamp(0, 1) - d - thin * (0.25 - t).clamp(min=0)).clamp(min=0)
        k = need.argmax(-1, keepdim=True)
        push = need.gather(-1, k) / d.gather(-1, k)
        return x + q.gather(3, k[..., None].expand(-1, -1, -1, -1, 3))[:, :, :, 0] * push

    def outside(x: Tensor, planes: list[tuple[Tensor, Tensor]]) -> Tensor:
        y = x.reshape(B, -1, 3)
        for (p, n), sheet in zip(planes, sheets, strict=True):
            lack = (sheet.gap - ((y - p) * n).sum(-1, keepdim=True)).clamp(0, 0.1)
            y = y + n * torch.where((y - p).norm(dim=-1, keepdim=True) < 0.12, lack, 0)
        return y.view_as(x)

    x, planes = x0, []
    for i in range(STEPS):
        x = x + down * (-0.010 * (1 - i / STEPS))
        h, v, b1, b2 = pull(x)
        move = h - h.roll(1, 2)
        move[:, :-1] += v + b1 + b2
        move[:, 1:] -= v + b1.roll(1, 2) + b2.roll(-1, 2)
        x = x + move * (0.45 * free)
        x = x + ((x.roll(1, 2) + x.roll(-1, 2)) / 2 - x) * (0.10 * free)
        x = cores(tether(x) * free + held)
        if i >= STEPS // 4:
            if i % 4 == 0 or i == STEPS - 1:
                planes = [sheet.planes(x.reshape(B, -1, 3)) for sheet in sheets]
            x = outside(x, planes)
    for k in range(3):
        x = x + ((x.roll(1, 2) + x.roll(-1, 2)) / 2 - x) * (0.3 * free)
        for r in range(top + 1, R) if k < 2 else ():  # no longer than it was cut
            d = x[:, r] - x[:, r - 1]
            x[:, r] = x[:, r - 1] + d * (1.03 * warp[r - 1, :, None] / d.norm(dim=-1, keepdim=True)).clamp(max=1)
        x = outside(x, [sheet.planes(x.reshape(B, -1, 3)) for sheet in sheets])
    flat = torch.empty(B, R * C, 3, device=x.device)
    flat[:, grid.reshape(-1)] = x.reshape(B, R * C, 3)
    fine = torch.sparse.mm(s.skirt.refine, flat.permute(1, 0, 2).reshape(R * C, -1))
    n = torch.linalg.cross(torch.gradient(x, dim=1)[0], x.roll(-1, 2) - x.roll(1, 2))
    outer = Sheet(x.reshape(B, -1, 3), torch.nn.functional.normalize(n.reshape(B, -1, 3), dim=2), GAP / 2)
    return fine.view(-1, B, 3).permute(1, 0, 2), outer
