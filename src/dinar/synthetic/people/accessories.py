"""Glasses, hats, bags and scarves: small meshes attached to a joint or to the trunk."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ...labels import LABEL
from ..base.colours import triple
from ..base.surfaces import LEFT_ARM, RIGHT_ARM, Surfaces, normals_of
from ..garments.dress import Layer, asset_layer
from ..garments.fabric import sample_fabric
from ..garments.garments import FAR
from ..render.materials import Texture
from .closet import Closet
from .hair import cap
from .skin import hairline, landmarks


def tube(path: Tensor, radius: float | Tensor, sides: int = 8, closed: bool = False) -> tuple[Tensor, Tensor]:
    """Vertices and faces of a pipe along a path [N, 3]; radius may be [N] or (across, up) [N, 2]."""
    n = len(path)
    along = path.roll(-1, 0) - path.roll(1, 0)
    if not closed:
        along[0], along[-1] = path[1] - path[0], path[-1] - path[-2]
    along = torch.nn.functional.normalize(along, dim=1)
    up = path.new_tensor([0.0, 1.0, 0.0]).expand(n, 3)
    side = torch.linalg.cross(along, up)
    side = torch.where(side.norm(dim=1, keepdim=True) < 0.1, path.new_tensor([1.0, 0, 0]), side)
    side = torch.nn.functional.normalize(side, dim=1)
    up = torch.linalg.cross(side, along)
    a = torch.arange(sides, device=path.device) * (2 * math.pi / sides)
    r = torch.as_tensor(radius, device=path.device, dtype=path.dtype)
    r = r.expand(n, 2) if r.ndim == 0 else r[:, None].expand(n, 2) if r.ndim == 1 else r
    v = (
        path[:, None]
        + side[:, None] * (a.cos()[None] * r[:, :1])[..., None]
        + up[:, None] * (a.sin()[None] * r[:, 1:])[..., None]
    )
    rows = n if closed else n - 1
    i = torch.arange(rows, device=path.device)[:, None] * sides
    j = (torch.arange(1, rows + 1, device=path.device)[:, None] % n) * sides
    k = torch.arange(sides, device=path.device)[None]
    m = (k + 1) % sides
    f = torch.cat(
        [torch.stack([i + k, i + m, j + k], -1).reshape(-1, 3), torch.stack([i + m, j + m, j + k], -1).reshape(-1, 3)]
    )
    return v.reshape(-1, 3), f


def rounded_box(size: tuple[float, float, float], power: float = 5.0, n: int = 20) -> tuple[Tensor, Tensor]:
    """A superellipsoid: half sizes in metres, the higher the power the squarer."""
    u = torch.linspace(-math.pi / 2, math.pi / 2, n)[:, None]
    w = torch.linspace(0, 2 * math.pi, 2 * n + 1)[None, :-1]
    bend = lambda a: a.sign() * a.abs() ** (2 / power)  # noqa: E731
    x, y, z = bend(u.cos()) * bend(w.cos()), bend(u.sin()).expand(n, 2 * n), bend(u.cos()) * bend(w.sin())
    v = torch.stack([x * float(size[0]), y * float(size[1]), z * float(size[2])], -1).reshape(-1, 3)
    c = 2 * n
    i = torch.arange(n - 1)[:, None] * c
    k, m = torch.arange(c)[None], ((torch.arange(c) + 1) % c)[None]
    f = torch.cat(
        [
            torch.stack([i + k, i + c + k, i + m], -1).reshape(-1, 3),
            torch.stack([i + m, i + c + k, i + c + m], -1).reshape(-1, 3),
        ]
    )
    return v, f


def _rigid(
    s: Surfaces, name: str, material: object, v: Tensor, f: Tensor, joint: str | Tensor, p: Tensor | None = None,
    hangs: Tensor | None = None,
) -> Layer:  # fmt: skip
    device = s.body.v_template.device
    v, f = v.to(device).float(), f.to(device)
    if isinstance(joint, str):
        w = torch.zeros(len(v), s.body.num_joints, device=device)
        w[:, s.body.joint(joint)] = 1
    else:
        w = joint
    zero = torch.zeros(len(v), device=device)
    tube_ = torch.zeros(len(v), 3, device=device)
    p = v if p is None else p.to(device).float()
    tube_[:, 1], tube_[:, 2] = p[:, 2].mean(), 0.12
    label = torch.full((len(f),), LABEL[name], dtype=torch.uint8, device=device)
    return Layer(name, material, label, f, v, w, p, tube_, p[:, 1], zero.long(), zero + FAR,
                 torch.zeros(1, 2, device=device), torch.zeros_like(f), hangs=hangs)  # fmt: skip


def _flat(colour: tuple[float, float, float], specular: float = 0.05, gloss: float = 60.0) -> Texture:
    return Texture(torch.tensor([[[*colour, 1.0]]]), specular=specular, gloss=gloss)


def _glasses(rng: np.random.Generator, s: Surfaces, rest: Tensor, betas: Tensor) -> list[Layer]:
    m = {k: torch.from_numpy(np.asarray(a)).float() for k, a in landmarks(s.body).items()}
    head = s.body.joint("head")
    shift = (s.body.rest(betas[None])[1][0, head] - s.body.j_template[head]).cpu()
    width, height, power = (float(rng.uniform(a, b)) for a, b in ((0.021, 0.028), (0.016, 0.026), (2, 4)))
    a = torch.linspace(0, 2 * math.pi, 29)[:-1]
    bend = lambda x: x.sign() * x.abs() ** (2 / power)  # noqa: E731
    front = float(m["left_pupil"][2]) + 0.016
    parts, lenses = [], []
    for side in ("left", "right"):
        c = m[f"{side}_ball"].clone()
        c[0] += 0.002 * float(c[0].sign())
        ring = torch.stack([c[0] + bend(a.cos()) * width, c[1] - 0.003 + bend(a.sin()) * height,
                            front - 6.0 * (c[0] + a.cos() * width) ** 2], 1)  # fmt: skip
        parts.append(tube(ring, rng.uniform(0.0012, 0.0028) if side == "left" else 0.002, 6, closed=True))
        k = len(ring)
        lens = torch.cat([ring, ring.mean(0, keepdim=True)])
        i = torch.arange(k)
        lenses.append((lens, torch.stack([i, (i + 1) % k, torch.full_like(i, k)], 1)))
        x = float(c[0].sign())
        hinge = torch.tensor(
            [float(c[0]) + x * width, float(c[1]) + 0.006, front - 6.0 * (float(c[0]) + x * width) ** 2]
        )
        ear = torch.tensor([x * 0.079, float(c[1]) + 0.004, front - 0.105])
        t = torch.linspace(0, 1, 8)[:, None]
        parts.append(tube(hinge * (1 - t) + ear * t, 0.002, 6))
    inner = float(m["left_ball"][0]) - width
    t = torch.linspace(-1, 1, 7)
    bridge = torch.stack([t * inner, float(m["eyes"][1]) + 0.004 - 0.003 * t**2, front - 6.0 * (t * inner) ** 2], 1)
    parts.append(tube(bridge, 0.0016, 6))
    colour = [(0.012, 0.011, 0.010), (0.07, 0.03, 0.012), (0.3, 0.29, 0.27), (0.35, 0.22, 0.06)][rng.integers(4)]
    v, f = _merge(parts)
    out = [_rigid(s, "glasses", _flat(colour), v + shift, f, "head")]
    if rng.random() < 0.45:  # sunglasses
        v, f = _merge(lenses)
        tint = rng.uniform(0.006, 0.05) * rng.uniform(0.7, 1.3, 3)
        out.append(_rigid(s, "glasses", _flat(triple(tint), 0.06, 200.0), v + shift, f, "head"))
    return out


def _merge(parts: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    n, f = 0, []
    for v, t in parts:
        f.append(t + n)
        n += len(v)
    return torch.cat([v for v, _ in parts]), torch.cat(f)


def _strap(
    s: Surfaces, tights: Tensor, normals: Tensor, a: Tensor, b: Tensor, over: Tensor, lift: float
) -> tuple[Tensor, Tensor]:
    """A closed band around the trunk through three points on the standard body, and its skinning weights' vertices."""
    n = torch.nn.functional.normalize(torch.linalg.cross(b - a, over - a), dim=0)
    t = s.tights
    trunk = (t.limb == 0) & (t.p[:, 1] > s.levels["crotch"] - 0.02) & (t.p[:, 1] < s.levels["neck"] + 0.02)
    near = trunk & (((t.p - a) @ n).abs() < 0.012)
    i = near.nonzero()[:, 0]
    centre = (a + b + over) / 3
    u = torch.nn.functional.normalize(over - centre, dim=0)
    w = torch.linalg.cross(n, u)
    q = t.p[i] - centre
    order = torch.atan2(q @ w, q @ u).argsort()
    i = i[order]
    path = (tights + normals * lift)[i]
    for _ in range(12):
        path = 0.5 * path + 0.25 * (path.roll(1, 0) + path.roll(-1, 0))
    return path, i


def _bag(rng: np.random.Generator, s: Surfaces, rest: Tensor, betas: Tensor) -> list[Layer]:
    device = rest.device
    leather = sample_fabric(rng, "bag")
    helper = s.helper(betas)
    tights = s.tights.refine @ helper[s.tights.coarse]
    normals = normals_of(s.tights, tights)
    p = lambda *a: torch.tensor(a, device=device)  # noqa: E731
    side = float(rng.choice([-1, 1]))
    kind = rng.choice(["cross", "backpack", "hand", "shoulder"], p=[0.3, 0.25, 0.25, 0.2])
    out: list[Layer] = []
    size = triple(rng.uniform([0.10, 0.08, 0.03], [0.2, 0.16, 0.07]))
    if kind == "hand":
        j = s.body.joint("left_wrist" if side > 0 else "right_wrist")
        wrist, knuckle = (
            s.body.rest(betas[None])[1][0, k] for k in (j, s.body.joint(f"{'left' if side > 0 else 'right'}_middle1"))
        )
        palm = (wrist + knuckle) / 2 + (knuckle - wrist) * 0.35
        turn = p([0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0])  # its width points forwards
        drop = float(rng.uniform(0.1, 0.2)) + size[1]
        v, f = rounded_box(size)
        a = torch.linspace(0, math.pi, 16, device=device)
        high = drop - size[1] * 0.9
        handle = torch.stack([a.cos() * size[0] * 0.5, (a.sin() - 1) * high, a * 0], 1)
        for part, faces in ((v.to(device) - p(0.0, drop, 0.0), f), tube(handle, 0.006, 6)):
            place = part @ turn + palm + p(side * 0.02, 0.0, 0.0)
            out.append(_rigid(s, "bag", leather, place, faces, s.body.joint_names[j], place, palm))
        return out
    fit = float(rng.uniform(0.018, 0.032))
    if kind == "backpack":
        size = triple(rng.uniform([0.12, 0.18, 0.06], [0.17, 0.26, 0.11]))
        at = p(0.0, 0.27, 0.0)
        straps = [(p(x * 0.10, 0.50, 0.0), p(x * 0.12, 0.25, 0.12), p(x * 0.11, 0.25, -0.1)) for x in (-1, 1)]
    else:
        y = rng.uniform(-0.05, 0.12)
        at = p(side * 0.17, y, rng.uniform(-0.02, 0.06))
        over = -side if kind == "cross" else side
        straps = [(p(over * 0.075, 0.53, 0.0), p(side * 0.15, y + 0.02, 0.07), p(side * 0.15, y + 0.02, -0.07))]
    for a, b, c in straps:
        path, i = _strap(s, tights, normals, a, b, c, fit)
        n = len(path)
        if n < 8:
            continue
        v, f = tube(path, torch.tensor([0.004, rng.uniform(0.008, 0.02)], device=device).expand(n, 2), 8, closed=True)
        w = s.tights.weights[i].repeat_interleave(8, 0)
        out.append(_rigid(s, "bag", leather, v, f, w, s.tights.p[i].repeat_interleave(8, 0)))
    v, f = rounded_box(size)
    v = v.to(device)
    trunk = (s.tights.limb != LEFT_ARM) & (s.tights.limb != RIGHT_ARM)  # arms hang beside the hips
    k = torch.where(trunk, (s.tights.p - at).norm(dim=1), 9.0).argmin()
    if kind == "backpack":
        back = (s.tights.limb == 0) & (s.tights.p[:, 2] < 0) & ((s.tights.p[:, 1] - 0.3).abs() < 0.15)
        z = tights[back][:, 2].min() - size[2] - fit * 0.6
        v = v + torch.stack([z * 0, tights[k, 1] + 0.02, z])
        w = "spine3"
    else:
        n = normals[k] * p(1.0, 0.0, 1.0)
        n = torch.nn.functional.normalize(n, dim=0)
        across = torch.linalg.cross(p(0.0, 1.0, 0.0), n)
        R = torch.stack([across, p(0.0, 1.0, 0.0), n], 1)
        v = v @ R.T + tights[k] + n * (size[2] + fit + 0.012) - p(0.0, size[1] * 0.6, 0.0)
        w = "pelvis"
    out.append(_rigid(s, "bag", leather, v, f, w, v))
    return out


def _scarf(rng: np.random.Generator, s: Surfaces, betas: Tensor) -> list[Layer]:
    cloth = sample_fabric(rng, "scarf")
    joints = s.body.rest(betas[None])[1][0]
    neck = joints[s.body.joint("neck")]
    device = neck.device
    out = []
    for turn in range(int(rng.integers(1, 3))):
        a = torch.linspace(0, 2 * math.pi, 33, device=device)[:-1]
        y = 0.024 * turn - 0.006 - 0.03 * a.cos() - 0.012 * (a * 2 + turn).sin()
        r = 0.082 + 0.012 * turn
        ring = neck + torch.stack([a.sin() * r, y + 0.0, a.cos() * (r + 0.008) + 0.012], 1)
        v, f = tube(ring, torch.tensor([0.021, 0.032], device=device).expand(32, 2), 12, closed=True)
        out.append(_rigid(s, "accessory", cloth, v, f, "neck", v))
    return out


def _hat(rng: np.random.Generator, s: Surfaces, rest: Tensor, betas: Tensor, closet: Closet, base: Tensor,
         weights: Tensor, hanging: Tensor) -> list[Layer]:  # fmt: skip
    cloth = sample_fabric(rng, "hat")
    if closet.hats and rng.random() < 0.35:
        item = closet.hats[rng.integers(len(closet.hats))]
        material = cloth if item.texture is None else Texture(item.texture, specular=0.02)
        return [asset_layer(item.asset, s, base, weights, hanging, material, LABEL["hat"])]
    crown = cap(
        s, rest, rng.uniform(0.026, 0.034), cloth, rng, lift=float(rng.uniform(-0.015, 0.0)), label="hat", floor=-0.03
    )
    if rng.random() < 0.5:
        return [crown]
    m = landmarks(s.body)
    head = s.body.joint("head")
    shift = s.body.rest(betas[None])[1][0, head] - s.body.j_template[head]
    back = rng.random() < 0.15
    a = torch.linspace(-1.0, 1.0, 21)
    rows = torch.linspace(0, 1, 6)[:, None]
    reach = 0.07 * (1 - (a / 1.15) ** 2).clamp(min=0).sqrt()
    x = 0.086 * (a * 1.05).sin().expand(6, 21)
    z = 0.098 * (a * 1.05).cos() + rows * reach
    y = 0.050 - 0.016 * rows - 0.030 * a**2 * (0.4 + 0.6 * rows)
    v = torch.stack([x, y.expand(6, 21), z], -1).reshape(-1, 3)
    if back:
        v = v * torch.tensor([-1.0, 1.0, -1.0])
    v = v + torch.tensor([0, float(m["eyes"][1]), float(m["eyes"][2]) - 0.075]) + shift.cpu()
    i = (torch.arange(5)[:, None] * 21 + torch.arange(20)[None]).reshape(-1)
    f = torch.cat([torch.stack([i, i + 21, i + 1], 1), torch.stack([i + 1, i + 21, i + 22], 1)])
    return [crown, _rigid(s, "hat", cloth, v, f, "head")]


def accessories(
    rng: np.random.Generator, s: Surfaces, extras: list[str], rest: Tensor, betas: Tensor, hair: list[Layer],
    closet: Closet, base: Tensor, weights: Tensor, hanging: Tensor,
) -> list[Layer]:  # fmt: skip
    """Layers of the accessories; a hat removes the hair above its rim."""
    out: list[Layer] = []
    if "glasses" in extras:
        out += _glasses(rng, s, rest, betas)
    if "bag" in extras:
        out += _bag(rng, s, rest, betas)
    if "scarf" in extras:
        out += _scarf(rng, s, betas)
    if "hat" in extras:
        out += _hat(rng, s, rest, betas, closet, base, weights, hanging)
        for layer in hair:
            if (layer.label == LABEL["hair"]).any():
                layer.keep(~(hairline(layer.p, -0.005) > 0)[layer.faces].all(1))
    return out
