"""Reflection of materials: cloth, skin, eyes, hair, textured assets. Linear RGB; Lambert, with a wrapped
terminator for skin; Blinn-Phong with Schlick's Fresnel term.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from ..garments import fabric as cloth
from .light import Light


@dataclass(eq=False)
class Points:
    """N visible points of one figure. All [N] or [N, k] float32."""

    position: Tensor  # [N, 3] world
    normal: Tensor  # [N, 3] unit, towards the viewer
    view: Tensor  # [N, 3] unit, towards the camera
    ambient: Tensor  # [N, 3] irradiance / π of all but the sun
    across: Tensor  # [N, 3] where the standard body's x points here
    up: Tensor  # [N, 3] where its y points
    p: Tensor  # [N, 3] on the standard body
    tube: Tensor  # [N, 3] centre x, z and radius of the limb
    along: Tensor  # [N]
    hem: Tensor  # [N]
    limb: Tensor  # [N] int64
    uv: Tensor  # [N, 2] v up
    footprint: Tensor  # [N] metres a pixel
    picture: Tensor  # [N] int64

    def at(self, i: Tensor) -> Points:
        return Points(**{f.name: getattr(self, f.name)[i] for f in dataclasses.fields(self)})


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture on texture coordinates."""

    image: Tensor  # [h, w, 4] linear RGB and alpha
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    specular: float = 0.025
    gloss: float = 12.0
    wrap: tuple[float, float, float] = (0.0, 0.0, 0.0)
    cut: float = 0.0  # opacity below it is none, above it rises fast

    def look_up(self, uv: Tensor) -> Tensor:
        """[N, 4] bilinear, wrapped around."""
        at = uv.remainder(1.0) * 2 - 1
        at = torch.stack([at[:, 0], -at[:, 1]], 1)[None, None]
        image = self.image.to(uv.device).permute(2, 0, 1)[None]
        return grid_sample(image, at, padding_mode="border", align_corners=False)[0, :, 0].T

    def solid_faces(self, layer) -> Tensor:
        """[F] bool: where the middle of a face is more than half opaque."""
        middle = layer.uv[layer.uv_faces].mean(1)
        return self.look_up(middle)[:, 3] > 0.5


@dataclass(frozen=True)
class Eye:
    """An eyeball, painted by the angle from its axis; ``pole`` is the pupil on the standard body."""

    iris: tuple[float, float, float]
    poles: tuple[tuple[float, ...], tuple[float, ...]]  # left, right: pupil 3, centre 3


def respond(material: Any, pts: Points, light: Light, sun: Tensor) -> tuple[Tensor, Tensor]:
    """Reflected light [N, 3] and opacity [N]; ``sun`` [N] is the share of the sun that arrives."""
    n, zero = len(pts.along), (0.0, 0.0, 0.0)
    opacity = torch.ones(n, device=sun.device)
    normal, wrap, specular, gloss = pts.normal, zero, 0.02, 10.0
    if isinstance(material, Texture):
        rgba = material.look_up(pts.uv)
        albedo = rgba[:, :3] * rgba.new_tensor(material.tint)
        wrap, specular, gloss = material.wrap, material.specular, material.gloss
        if material.cut:
            opacity = ((rgba[:, 3] - material.cut) / (1 - material.cut) * 1.6).clamp(0, 1)
    elif isinstance(material, Eye):
        albedo = _eye(material, pts)
        specular, gloss = 0.04, 300.0
    elif hasattr(material, "shade"):
        albedo, normal, wrap, specular, gloss = material.shade(pts)
    else:
        albedo, normal, specular, gloss = _cloth(material, pts)

    out = pts.ambient
    if normal is not pts.normal:  # the sky over a wrinkle: as much more or less as the bare light says
        smooth = light.radiance(pts.normal).mean(1)
        more = light.radiance(normal).mean(1) - smooth
        out = out * (1 + 0.8 * (more / smooth.clamp(min=1e-3)).clamp(-0.6, 0.6))[:, None]
    towards = normal.new_tensor(light.sun)
    cos = (normal * towards).sum(1)
    w = normal.new_tensor(wrap)
    direct = ((cos[:, None] + w) / (1 + w)).clamp(min=0) * sun[:, None]
    half = normalize(pts.view + towards, dim=1)
    rgb = normal.new_tensor(light.sun_rgb)
    glint = (normal * half).sum(1).clamp(1e-4, 1) ** gloss * (gloss + 8) / 8 * cos.clamp(min=0) * sun
    fresnel = specular + (1 - specular) * 0.5 * (1 - (pts.view * normal).sum(1).clamp(0, 1)) ** 5
    mirror = normalize(2 * (normal * pts.view).sum(1, keepdim=True) * normal - pts.view, dim=1)
    sheen = (
        light.radiance(mirror)
        * (fresnel * min(1.0, gloss / 40))[:, None]
        * (pts.ambient.mean(1, keepdim=True)).clamp(0, 1)
    )
    return albedo * (out + direct * rgb) + specular * glint[:, None] * rgb + sheen, opacity


def _cloth(fabric: object, pts: Points) -> tuple[Tensor, Tensor, float, float]:
    angle = torch.atan2(pts.p[:, 0] - pts.tube[:, 0], pts.p[:, 2] - pts.tube[:, 1])
    facing = angle.cos()
    points = cloth.Points(p=pts.p, around=angle * pts.tube[:, 2].clamp(min=0.03), along=pts.along, limb=pts.limb,
                          facing=facing, hem=pts.hem, uv=pts.uv, footprint=pts.footprint)  # fmt: skip
    albedo, gradient = cloth.shade_fabric(fabric, points)[:2]  # type: ignore[arg-type]
    # tangents of the tube on the standard body, turned into the pose
    out = torch.linalg.cross(pts.across, pts.up)
    around = pts.across * facing[:, None] - out * angle.sin()[:, None]
    along = pts.up * torch.where(pts.limb == 0, 1.0, -1.0)[:, None]
    normal = pts.normal - around * gradient[:, :1] - along * gradient[:, 1:]
    return (
        albedo,
        normalize(normal, dim=1),
        float(getattr(fabric, "specular", 0.02)),
        float(getattr(fabric, "gloss", 10.0)),
    )


def _eye(eye: Eye, pts: Points) -> Tensor:
    left = pts.p[:, 0] > 0
    pole = torch.where(left[:, None], pts.p.new_tensor(eye.poles[0]), pts.p.new_tensor(eye.poles[1]))
    axis = normalize(pole[:, :3] - pole[:, 3:], dim=1)
    angle = (normalize(pts.p - pole[:, 3:], dim=1) * axis).sum(1).clamp(-1, 1).acos()
    white, iris = pts.p.new_tensor([0.62, 0.58, 0.56]), pts.p.new_tensor(eye.iris)
    ring = ((angle - 0.50) / 0.06).clamp(0, 1)[:, None]
    streaks = 0.75 + 0.5 * (angle / 0.5).clamp(0, 1)[:, None]
    out = iris * streaks * (1 - ring) + white * ring
    rim = (1 - ((angle - 0.49) / 0.05).abs()).clamp(0, 1)[:, None]
    return (out * (1 - 0.6 * rim)) * ((angle - 0.2) / 0.03).clamp(0.02, 1)[:, None]
