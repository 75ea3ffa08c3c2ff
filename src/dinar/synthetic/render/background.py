"""Backgrounds for generated photos: studio paper, walls, streets, parks, halls, or a user's pictures.

A place is a floor and a wall that faces the camera, or a floor and a painted cylinder. Rays are intersected in closed
form at half resolution; floors are in perspective, and distant parts are out of focus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DinarError
from ...pictures import read_array
from ...scene import Camera
from ..base.colours import linear
from .panoramas import PANORAMAS
from .tiles import FLOORS, WALLS, Material

KINDS = {"studio": 0.2, "room": 0.2, "wall": 0.22, "street": 0.24, "park": 0.08, "hall": 0.06}
FAR = 60.0  # metres; rays that go further end there
REACH = 6.0  # metres from the person to which shadows may fall
LEVELS = 5


@dataclass(frozen=True, eq=False)
class Place:
    """A background for one or more cameras."""

    kind: str
    floor: Material | None
    wall: Material | None
    distance: float  # metres from the person to the wall, or the panorama's radius
    yaw: float  # radians the wall is turned from facing the camera; azimuth of the panorama
    sweep: float  # metres over which floor and wall run into each other
    gain: float  # brightness
    tint: tuple[float, float, float]
    falloff: float  # how much darker the picture gets away from its brightest spot
    spot: tuple[float, float]  # that spot, in [-1, 1] of the picture
    blur: float  # out of focus far away, a share of the picture's width
    picture: np.ndarray | None = None  # [h, w, 3] uint8 sRGB: a user's own


def sample_place(rng: np.random.Generator, folder: str | Path | None = None) -> Place:
    """A random place; with ``folder``, half of them are its pictures (jpg, png)."""
    u = rng.uniform
    warm = rng.normal(0, 0.03)
    bare = Place("studio", None, None, FAR, yaw=0.0, sweep=0.0, gain=u(0.65, 1.15), tint=(1 + warm, 1.0, 1 - warm),
                 falloff=u(0, 0.35), spot=(u(-0.7, 0.7), u(-0.8, 0.3)), blur=0.0)  # fmt: skip
    if folder is not None and rng.random() < 0.5:
        files = _pictures(str(folder))
        name = files[int(rng.integers(len(files)))]
        image = read_array(name, cv2.IMREAD_COLOR)
        if image is None:
            raise DinarError(f"expected a picture, got {name}, which cannot be read: remove it from --backgrounds")
        return replace(bare, kind="picture", blur=u(0, 0.01), picture=image[..., ::-1].copy())
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "studio":
        v = u(0.2, 0.95) if rng.random() < 0.6 else u(0.85, 0.97)
        hue = rng.normal(0, 0.04, 3) if rng.random() < 0.2 else rng.normal(0, 0.012) * np.array([1, 0.2, -1])
        paper = np.rint(np.clip(v + hue, 0.05, 0.97) * 255)
        sheet = Material(np.full((32, 32, 3), paper, np.uint8), 1.0)
        return replace(bare, floor=sheet, wall=sheet, distance=u(1.0, 2.5), sweep=u(0.3, 1))
    floors = FLOORS.get(kind, FLOORS["room"])
    floor = floors[int(rng.integers(len(floors)))](rng)
    if kind in PANORAMAS:
        radius = u(9, 26) if kind != "hall" else u(7, 14)
        blur = float(rng.choice([0.005, 0.009, 0.016])) * u(0.7, 1.4)
        return replace(bare, kind=kind, floor=floor, wall=PANORAMAS[kind](rng, radius), distance=radius, blur=blur,
                       yaw=u(0, 2 * math.pi))  # fmt: skip
    wall = _furnished(rng, WALLS[kind][int(rng.integers(len(WALLS[kind])))](rng), kind)
    return replace(bare, kind=kind, floor=floor, wall=wall, distance=u(0.6, 3.5), blur=u(0, 0.005),
                   yaw=rng.normal(0, 0.25))  # fmt: skip


@lru_cache(maxsize=8)
def _pictures(folder: str) -> list[str]:
    files = sorted(str(p) for p in Path(folder).glob("**/*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise DinarError(
            f"--backgrounds expects a folder with .jpg or .png pictures, got none in {folder}: name another"
        )
    return files


def _furnished(rng: np.random.Generator, wall: Material, kind: str) -> Material:
    """The wall as a 6 m x 6 m picture with doors, windows, frames or a plinth on it; it repeats sideways."""
    n, side = 512, 6.0
    reps = max(1, round(side / wall.size))
    cell = cv2.resize(wall.rgb, (n // reps, n // reps), interpolation=cv2.INTER_AREA)
    im = np.tile(cell, (reps + 1, reps + 1, 1))[:n, :n].copy()
    scale = n / side

    def box(x: float, w: float, low: float, high: float, colour: np.ndarray) -> None:
        cv2.rectangle(im, (int(x * scale), n - int(high * scale)), (int((x + w) * scale), n - 1 - int(low * scale)),
                      (np.clip(colour, 0, 1) * 255).tolist(), -1)  # fmt: skip

    def grey(low: float, high: float) -> np.ndarray:
        return np.clip(rng.uniform(low, high) + rng.normal(0, 0.03) * np.array([1, 0.2, -1]), 0.03, 1)

    if rng.random() < 0.6:
        box(0, side, 0, rng.uniform(0.06, 0.16) if kind == "room" else rng.uniform(0.1, 0.5), grey(0.2, 0.9))
    for x in np.cumsum(rng.uniform(1.2, 3, 3)):
        what = rng.choice(["door", "window", "frame", "nothing"], p=[0.2, 0.25, 0.15, 0.4])
        if what == "door":
            box(x - 0.07, 1.04, 0, 2.12, grey(0.5, 0.95))
            box(x, 0.9, 0, 2.05, grey(0.1, 0.8))
        elif what == "window":
            w, low, high = rng.uniform(0.8, 1.8), rng.uniform(0.7, 1.2), rng.uniform(1.9, 2.5)
            box(x - 0.06, w + 0.12, low - 0.06, high + 0.06, grey(0.4, 0.95))
            box(x, w, low, high, grey(0.1, 0.9))
            box(x + w / 2 - 0.02, 0.04, low, high, grey(0.4, 0.95))
        elif what == "frame":
            w, low, h = rng.uniform(0.3, 1), rng.uniform(1, 1.5), rng.uniform(0.3, 0.8)
            box(x, w, low, low + h, grey(0.05, 0.9))
            box(x + 0.04, w - 0.08, low + 0.04, low + h - 0.04, 0.5 * grey(0.2, 0.9) + 0.5 * rng.uniform(0.2, 0.9, 3))
    return Material(im, side)


@lru_cache(maxsize=16)
def _table(material: Material, device: torch.device) -> Tensor:
    """[texels, 3] uint8 sRGB: the picture and its halvings, one after another."""
    levels = [material.rgb]
    for _ in range(LEVELS - 1):
        h, w = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (w // 2, h // 2), interpolation=cv2.INTER_AREA))
    return torch.from_numpy(np.concatenate([x.reshape(-1, 3) for x in levels])).to(device)


def _light(srgb: Tensor) -> Tensor:
    """uint8 sRGB to linear light; a cubic within 0.002 of the curve, as tables are slow to read."""
    x = srgb.contiguous().float() * (1 / 255)
    return x * (x * (x * 0.305306 + 0.682171) + 0.012523)


def _read(material: Material, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """[3, N] of a tile at (u, v) metres, both above -64 tiles; ``v`` runs up from the tile's lowest row."""
    h, w = material.rgb.shape[:2]
    level = (footprint * (w / material.size)).clamp(min=1).log2().round().int().clamp(max=LEVELS - 1)
    lw, lh = w >> level, h >> level
    start = (4 * w * h - 4 * lw * lh) // 3
    i = ((u * (1 / material.size) + 64) * lw).int().remainder(lw)
    j = ((64 - v * (1 / material.size)) * lh).int().remainder(lh)
    return _light(_table(material, u.device).index_select(0, start + j * lw + i).T)


def _blurred(image: Tensor, share: float) -> Tensor:
    """[3, h, w] out of focus by a disc-like kernel of that share of the width."""
    k = share * image.shape[2]
    if k < 0.6:
        return image
    down = max(1, int(k / 2))
    x = F.avg_pool2d(image[None], down, ceil_mode=True, count_include_pad=False) if down > 1 else image[None]
    for _ in range(2):  # two boxes make a soft disc
        x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return F.interpolate(x, size=image.shape[1:], mode="bilinear", align_corners=False)[0]


def rays(camera: Camera, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """World x, y, z [height, width] of the directions, depth 1, of a pinhole's pixels at another resolution."""
    c = camera.resized(height, width).to(device)
    x = (torch.arange(width, device=device) + 0.5 - c.K[0, 2]) / c.K[0, 0]
    y = (torch.arange(height, device=device) + 0.5 - c.K[1, 2]) / c.K[1, 1]
    R = c.T_cam_world[:3, :3]
    dx, dy, dz = (x[None] * R[0, k] + (y[:, None] * R[1, k] + R[2, k]) for k in range(3))
    return dx, dy, dz


def render_place(
    place: Place,
    camera: Camera,
    floor_y: float,  # metres, the height of the floor in the world
    device: torch.device | str,
    centre: tuple[float, float] = (0.0, 0.0),  # x and z of the person, metres
) -> tuple[Tensor, Tensor, Tensor]:
    """Picture [H, W, 3] in linear light (1 is white), floor mask [H, W] bool, floor points [H, W, 3] metres.

    The floor reaches as far as shadows may fall; its points are finite everywhere and meaningless off the mask.
    """
    device = torch.device(device)
    H, W = camera.height, camera.width
    x, y, z = camera.position.tolist()
    eye = (x - centre[0], y - floor_y, z - centre[1])  # seen from the person's feet
    dx, dy, dz = rays(camera, H, W, device)
    t = eye[1] / (-dy).clamp(min=1e-4)
    floor = torch.stack([x + t * dx, torch.full_like(t, floor_y), z + t * dz], -1)
    away = (eye[0] + t * dx) ** 2 + (eye[2] + t * dz) ** 2
    mask = (dy < -1e-4) & (away < min(place.distance, REACH) ** 2)
    if place.floor is None or place.wall is None:
        return _own_picture(place, H, W, device), torch.zeros_like(mask), floor
    h, w = max(1, H // 2), max(1, W // 2)
    image = _scene(place, place.floor, place.wall, rays(camera, h, w, device), eye, 2 / float(camera.K[0, 0]))
    gx = torch.linspace(-1, 1, w, device=device)[None] - place.spot[0]
    gy = torch.linspace(-1, 1, h, device=device)[:, None] - place.spot[1]
    light = place.gain * (1 - place.falloff * 0.5 * (gx**2 + gy**2)).clamp(min=0.3)
    image = (image * light * torch.tensor(place.tint, device=device)[:, None, None]).clamp(0, 1)
    image = image[None].contiguous(memory_format=torch.channels_last)  # resizes twice as fast
    image = F.interpolate(image, size=(H, W), mode="bilinear", align_corners=False)[0]
    return image.permute(1, 2, 0).contiguous(), mask, floor


def _scene(
    place: Place,
    ground: Material,
    wall: Material,
    directions: tuple[Tensor, Tensor, Tensor],  # [h, w] each
    eye: tuple[float, float, float],  # metres from the person's feet
    pixel: float,  # size of a pixel at depth 1
) -> Tensor:
    """[3, h, w]: floor and what stands behind it, out of focus behind the person."""
    h, w = directions[0].shape
    dx, dy, dz = (d.reshape(-1) for d in directions)
    ex, ey, ez = eye
    person = max(math.hypot(ex, ez), 1e-3)
    round_about = wall.size == 0
    if round_about:  # a cylinder around the person; it grows where the camera would be outside
        a, b = dx * dx + dz * dz, ex * dx + ez * dz
        c = person**2 - max(place.distance, 1.3 * person) ** 2
        far = (-b + (b * b - a * c).clamp(min=0).sqrt()) / a.clamp(min=1e-6)
        fx, fz = 0.0, 0.0
    else:  # a wall that faces the camera but for its yaw
        cos, sin = math.cos(place.yaw), math.sin(place.yaw)
        fx, fz = (-ex * cos - ez * sin) / person, (-ez * cos + ex * sin) / person
        far = (place.distance - ex * fx - ez * fz) / (dx * fx + dz * fz).clamp(min=1e-3)
    far = far.clamp(0, FAR)
    near = (ey / (-dy).clamp(min=1e-4)).clamp(0, FAR)
    on_floor = (0.5 + (far - near) / (near * (4 * pixel)).clamp(min=1e-3)).clamp(0, 1)

    size = near * near * (0.5 * pixel / max(ey, 0.05))  # a grazing look covers more floor
    low = _read(ground, ex + near * dx, ez + near * dz, size)
    wx, wy, wz = ex + far * dx, ey + far * dy, ez + far * dz
    if round_about:
        rows, columns = wall.rgb.shape[:2]
        turn = torch.atan2(wx, wz) * (1 / (2 * math.pi)) + (place.yaw / (2 * math.pi) + 1)
        row = (rows - 1 - wy * (columns / (2 * math.pi * place.distance))).clamp(0, rows - 1).int()
        column = (turn * columns).int().remainder(columns)
        high = _light(_table(wall, dx.device).index_select(0, row * columns + column).T)
    else:
        high = _read(wall, wx * fz - wz * fx, wy.clamp(min=1e-3), far * pixel)
        if place.kind != "studio":  # little light reaches the corner
            high = high * (1 - 0.3 * torch.exp(-4 * wy.abs()))
    if place.sweep:  # seamless paper: the light changes over a curve and not at a line
        on_floor = (0.5 + (far - near) / place.sweep).clamp(0, 1)
        low, high = low * 1.03, high * 0.98

    sharp = torch.lerp(high, low, on_floor).view(3, h, w)
    if not place.blur:
        return sharp
    depth = torch.minimum(near, far)
    blurred = ((depth - person - 0.4) * (2 / place.distance)).clamp(0, 1)
    return torch.lerp(sharp, _blurred(sharp, place.blur), blurred.view(h, w))


def _own_picture(place: Place, height: int, width: int, device: torch.device) -> Tensor:
    """The middle of a user's picture in the frame's shape, linear."""
    assert place.picture is not None
    h, w = place.picture.shape[:2]
    s = min(h / height, w / width)
    ch, cw = max(1, int(s * height)), max(1, int(s * width))
    i, j = (h - ch) // 2, int((w - cw) * (0.5 + 0.5 * place.spot[0]) * 0.999)
    crop = cv2.resize(place.picture[i : i + ch, j : j + cw], (width, height), interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(linear(crop / 255).astype(np.float32)).to(device).permute(2, 0, 1)
    return (_blurred(image, place.blur) * place.gain).clamp(0, 1).permute(1, 2, 0).contiguous()
