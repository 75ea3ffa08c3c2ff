"""Light fixed in the world: a sun or lamp with a shadow map, soft lamps and a sky with ambient occlusion.

Sky and soft lamps are radiance over directions. Each vertex sums their visible part, by a small depth map for each of
some 30 directions. The sun is computed for each pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from ...scene import rasterize
from ..base.colours import triple

SKY_MAP, SUN_MAP, REACH = 160, 768, 1.35  # pixels a side of the maps; metres around the centre of the person


@dataclass(frozen=True)
class Light:
    """Radiance of everything around a person; linear RGB, directions in the world."""

    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    lamps: tuple[tuple[float, ...], ...]  # (direction 3, sharpness, RGB 3): soft lobes
    sun: tuple[float, float, float]  # unit direction towards it
    sun_rgb: tuple[float, float, float]
    directions: int = 22
    softness: float = 1.5  # texels of the sun's shadow map

    def radiance(self, d: Tensor) -> Tensor:
        """[..., 3] from directions [..., 3]."""
        up = (d[..., 1:2] * 2.5).clamp(-1, 1) * 0.5 + 0.5
        out = d.new_tensor(self.sky) * up * (0.7 + 0.3 * d[..., 1:2].clamp(0)) + d.new_tensor(self.ground) * (1 - up)
        for lamp in self.lamps:
            towards = normalize(d.new_tensor(lamp[:3]), dim=0)
            out = out + d.new_tensor(lamp[4:]) * (lamp[3] * ((d @ towards)[..., None] - 1)).exp()
        return out


def sample_light(rng: np.random.Generator) -> Light:
    """Outdoors (sun and sky, overcast) or indoors (lamps, windows); the exposure is about right for white cloth."""
    kind = rng.choice(["sun", "overcast", "indoor", "studio"], p=[0.3, 0.3, 0.2, 0.2])
    azimuth, height = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 1.2)
    if rng.random() < 0.6:
        azimuth = rng.normal(0, 1.0)  # photographers like the light behind them
    direction = (math.sin(azimuth) * math.cos(height), math.sin(height), math.cos(azimuth) * math.cos(height))
    warm = np.array([1.0, rng.uniform(0.86, 0.97), rng.uniform(0.7, 0.93)])
    cool = np.array([rng.uniform(0.82, 1.0), rng.uniform(0.93, 1.0), 1.06])
    ground = np.array([1.0, 0.96, 0.9]) * rng.uniform(0.12, 0.45)
    lamps: list[tuple[float, ...]] = []

    def lamp(strength: float, tint: np.ndarray, sharpness: float) -> None:
        a, h = rng.uniform(0, 2 * np.pi), rng.uniform(-0.1, 1.0)
        lamps.append((math.sin(a) * math.cos(h), math.sin(h), math.cos(a) * math.cos(h), sharpness,
                      *triple(strength * tint)))  # fmt: skip

    if kind == "sun":
        strength = rng.uniform(0.8, 2.0)
        sky, sun = cool * rng.uniform(0.4, 0.75), warm * strength
        if rng.random() < 0.4:
            lamp(rng.uniform(0.1, 0.5), warm, 3.0)
    elif kind == "overcast":
        sky, sun = cool * rng.uniform(0.85, 1.2), warm * rng.uniform(0.0, 0.25)
        lamp(rng.uniform(0.1, 0.5), np.ones(3), 1.5)
    elif kind == "indoor":
        sky, sun = warm * rng.uniform(0.4, 0.7), warm * rng.uniform(0.1, 0.7)
        for _ in range(rng.integers(1, 4)):
            lamp(rng.uniform(0.4, 1.3), warm if rng.random() < 0.6 else cool, rng.uniform(2, 8))
    else:
        sky, sun = np.full(3, rng.uniform(0.45, 0.8)), np.full(3, rng.uniform(0.2, 0.9))
        for _ in range(rng.integers(1, 4)):
            lamp(rng.uniform(0.3, 1.0), np.ones(3), rng.uniform(2, 10))
    return Light(triple(sky), triple(sky * ground), tuple(lamps), triple(direction), triple(sun),
                 softness=float(rng.uniform(0.8, 4.0)))  # fmt: skip


def _sphere(n: int, device: torch.device) -> Tensor:
    """[n, 3] directions spread evenly over the sphere."""
    i = torch.arange(n, device=device, dtype=torch.float32) + 0.5
    y = 1 - 2 * i / n
    phi = i * (math.pi * (3 - math.sqrt(5)))
    r = (1 - y * y).sqrt()
    return torch.stack([phi.cos() * r, y, phi.sin() * r], 1)


def _frames(d: Tensor) -> Tensor:
    """[D, 3, 3] rows: right, down and forward of a camera that looks along -d."""
    up = torch.where(d[:, 1:2].abs() < 0.9, d.new_tensor([0.0, 1, 0]), d.new_tensor([1.0, 0, 0]))
    right = normalize(torch.linalg.cross(up, d), dim=1)
    return torch.stack([right, torch.linalg.cross(right, -d), -d], 1)


def ambient(
    light: Light,
    casters: Tensor,  # [B, V, 3] vertices
    faces: Tensor,  # [F, 3] what throws shadows
    points: Tensor,  # [B, P, 3]
    normals: Tensor,  # [B, P, 3]
    centre: Tensor,  # [B, 3]
) -> Tensor:
    """Irradiance / π [B, P, 3] from sky, ground and soft lamps at points, without the part that the casters occlude."""
    D, B = light.directions, len(casters)
    d = _sphere(D, casters.device)
    R = _frames(d)
    scale = SKY_MAP / 2 / REACH
    # rotate everything into each direction's frame: [B, D, V, 3]
    project = lambda x: torch.einsum("dij,bvj->bdvi", R, x - centre[:, None])  # noqa: E731
    q = project(casters)
    f = rasterize((q[..., :2] * scale + SKY_MAP / 2).flatten(0, 1), (q[..., 2] + 10).flatten(0, 1),
                  _faces(faces), SKY_MAP, SKY_MAP, perspective=False, cull="none")  # fmt: skip
    depth = f.depth.view(B, D, -1)
    cos = (normals @ d.T).permute(0, 2, 1)  # [B, D, P]
    q = project(points + 0.012 * normals)
    at = (q[..., :2] * scale + SKY_MAP / 2).floor().long().clamp(0, SKY_MAP - 1)
    seen = q[..., 2] + 10 < depth.gather(2, at[..., 1] * SKY_MAP + at[..., 0]) + 0.012
    weight = cos.clamp(min=0) * seen  # [B, D, P]
    return torch.einsum("bdp,dc->bpc", weight, light.radiance(d)) * (4 / D)


def open_sky(light: Light, normal: Tensor) -> Tensor:
    """[3] irradiance / π on a plane that nothing shades; ``normal`` [3]."""
    d = _sphere(light.directions, normal.device)
    return ((d @ normal).clamp(min=0)[:, None] * light.radiance(d)).sum(0) * (4 / len(d))


def sun_map(light: Light, casters: Tensor, faces: Tensor, centre: Tensor) -> Tensor:
    """[B, S, S] depth from the sun over REACH metres around the centre."""
    q = (casters - centre[:, None]) @ _frames(casters.new_tensor([light.sun]))[0].T
    scale = SUN_MAP / 2 / REACH
    return rasterize(q[..., :2] * scale + SUN_MAP / 2, q[..., 2] + 10, _faces(faces), SUN_MAP, SUN_MAP,
                     perspective=False, cull="none").depth  # fmt: skip


def sunlit(
    light: Light,
    depth: Tensor,  # [B, S, S] of sun_map
    points: Tensor,  # [P, 3]
    normals: Tensor,  # [P, 3]
    image: Tensor,  # [P] which of the B
    centre: Tensor,  # [B, 3]
) -> Tensor:
    """[P] share of the sun that reaches the points, soft at the edges."""
    q = (points + 0.006 * normals - centre[image]) @ _frames(points.new_tensor([light.sun]))[0].T
    xy, z = q[:, :2] * (SUN_MAP / 2 / REACH) + SUN_MAP / 2, q[:, 2] + 10 - 0.006
    flat, total = depth.reshape(-1), torch.zeros_like(z)
    s = light.softness
    taps = ((0.2, 0.8), (-0.8, 0.3), (0.9, -0.4), (-0.4, -0.9), (1.6, 1.2), (-1.5, 1.4), (1.2, -1.7), (-1.4, -1.3))
    for dx, dy in taps:
        x = (xy[:, 0] + s * dx).long().clamp(0, SUN_MAP - 1)
        y = (xy[:, 1] + s * dy).long().clamp(0, SUN_MAP - 1)
        total += z < flat[(image * SUN_MAP + y) * SUN_MAP + x]
    return total / len(taps)


def _faces(faces: Tensor) -> Tensor | np.ndarray:
    return faces.int().numpy() if faces.device.type == "cpu" else faces
