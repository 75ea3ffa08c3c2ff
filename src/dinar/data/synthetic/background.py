"""Backgrounds for synthetic photos: studio paper, walls, streets, parks, halls, or a user's own pictures.

A place is a floor and what stands behind it: a wall that faces the camera, or a painted cylinder all around. Rays are
cast in closed form at half resolution, floors keep their perspective, and what is far from the person is out of focus.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import DinarError
from ...scene import Camera
from .colours import linear
from .places import FLOORS, PANORAMAS, WALLS, Material

KINDS = {"studio": 0.2, "room": 0.2, "wall": 0.22, "street": 0.24, "park": 0.08, "hall": 0.06}
FAR = 60.0  # metres; rays that go further end there
LEVELS = 5


@dataclass(frozen=True, eq=False)
class Place:
    """A background that several cameras can look at."""

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
    warm = rng.normal(0, 0.03)
    r, g, b = 1 + warm, 1.0, 1 - warm
    common = {"gain": rng.uniform(0.65, 1.15), "tint": (r, g, b), "falloff": rng.uniform(0, 0.35),
              "spot": (rng.uniform(-0.7, 0.7), rng.uniform(-0.8, 0.3)), "yaw": 0.0, "sweep": 0.0}  # fmt: skip
    if folder is not None and rng.random() < 0.5:
        files = _pictures(str(folder))
        name = files[int(rng.integers(len(files)))]
        image = cv2.imread(name, cv2.IMREAD_COLOR)
        if image is None:
            raise DinarError(f"expected a picture, got {name}, which cannot be read: remove it from --backgrounds")
        return Place("picture", None, None, FAR, blur=rng.uniform(0, 0.01), picture=image[..., ::-1].copy(), **common)
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    if kind == "studio":
        v = rng.uniform(0.2, 0.95) if rng.random() < 0.6 else rng.uniform(0.85, 0.97)
        hue = rng.normal(0, 0.04, 3) if rng.random() < 0.2 else rng.normal(0, 0.012) * np.array([1, 0.2, -1])
        paper = np.clip(v + hue, 0.05, 0.97)
        sheet = Material(np.full((32, 32, 3), np.rint(paper * 255), np.uint8), 1.0)
        return Place(kind, sheet, sheet, rng.uniform(1.0, 2.5), blur=0.0, **(common | {"sweep": rng.uniform(0.3, 1)}))
    if kind in PANORAMAS:
        radius = rng.uniform(9, 26) if kind != "hall" else rng.uniform(7, 14)
        floor = FLOORS.get(kind, FLOORS["room"])
        return Place(kind, floor[int(rng.integers(len(floor)))](rng), PANORAMAS[kind](rng, radius), radius,
                     blur=rng.choice([0.002, 0.006, 0.015]) * rng.uniform(0.7, 1.4), **(common | {"yaw": rng.uniform(0, 2 * math.pi)}))  # fmt: skip
    floor, wall = FLOORS[kind], WALLS[kind]
    return Place(kind, floor[int(rng.integers(len(floor)))](rng), _furnished(rng, wall[int(rng.integers(len(wall)))](rng), kind),
                 rng.uniform(0.6, 3.5), blur=rng.uniform(0, 0.005), **(common | {"yaw": rng.normal(0, 0.25)}))  # fmt: skip


@lru_cache(maxsize=8)
def _pictures(folder: str) -> list[str]:
    files = sorted(str(p) for p in Path(folder).glob("**/*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if not files:
        raise DinarError(f"--backgrounds expects a folder with .jpg or .png pictures, got none in {folder}: name another")
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
    x = srgb.float() * (1 / 255)
    return x * (x * (x * 0.305306 + 0.682171) + 0.012523)


def _read(material: Material, u: Tensor, v: Tensor, footprint: Tensor) -> Tensor:
    """[N, 3] of a tile at (u, v) metres, both above -64 tiles; ``v`` runs up from the tile's lowest row."""
    h, w = material.rgb.shape[:2]
    level = (footprint * (w / material.size)).clamp(min=1).log2().round().int().clamp(max=LEVELS - 1)
    lw, lh = w >> level, h >> level
    start = (4 * w * h - 4 * lw * lh) // 3
    i = ((u * (1 / material.size) + 64) * lw).int().remainder(lw)
    j = ((64 - v * (1 / material.size)) * lh).int().remainder(lh)
    return _light(_table(material, u.device).index_select(0, start + j * lw + i))


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


def rays(camera: Camera, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Origin [3] and directions [height, width, 3] (depth 1, not unit) of a pinhole's pixels at another resolution."""
    c = camera.resized(height, width).to(device)
    x = (torch.arange(width, device=device) + 0.5 - c.K[0, 2]) / c.K[0, 0]
    y = (torch.arange(height, device=device) + 0.5 - c.K[1, 2]) / c.K[1, 1]
    R = c.T_cam_world[:3, :3]
    return c.position, x[None, :, None] * R[0] + y[:, None, None] * R[1] + R[2]


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
    eye, d = rays(camera, H, W, device)
    t = (floor_y - eye[1]) / d[..., 1].clamp(max=-1e-4)
    below = d[..., 1] < -1e-4
    floor = eye + t[..., None] * d
    if place.picture is not None:
        return _own_picture(place, H, W, device), torch.zeros(H, W, dtype=torch.bool, device=device), floor
    h, w = max(1, H // 2), max(1, W // 2)
    eye, d = rays(camera, h, w, device)
    dx, dy, dz = d.reshape(-1, 3).T.contiguous().unbind()
    ex, ey, ez = (float(v) for v in camera.position.tolist())
    ex, ey, ez = ex - centre[0], ey - floor_y, ez - centre[1]
    pixel = 2 / float(camera.K[0, 0])  # size of a pixel at depth 1

    t_floor = (-ey / dy.clamp(max=-1e-4)).clamp(0, FAR)
    if place.wall is not None and place.wall.size == 0:  # a cylinder around the person
        a, b = dx**2 + dz**2, ex * dx + ez * dz
        c = ex**2 + ez**2 - max(place.distance, 1.3 * math.hypot(ex, ez)) ** 2
        t_wall = (-b + (b * b - a * c).clamp(min=0).sqrt()) / a.clamp(min=1e-6)
    else:  # a wall behind the person, seen from the camera
        fx, fz = -ex, -ez
        n = math.hypot(fx, fz) or 1.0
        cos, sin = math.cos(place.yaw), math.sin(place.yaw)
        fx, fz = (fx * cos + fz * sin) / n, (fz * cos - fx * sin) / n
        ahead = dx * fx + dz * fz
        t_wall = (place.distance - ex * fx - ez * fz) / ahead.clamp(min=1e-3)
    t_wall = t_wall.clamp(0, FAR)
    on_floor = (0.5 + (t_wall - t_floor) / (t_floor * pixel * 4).clamp(min=1e-3)).clamp(0, 1)[:, None]

    fx_, fz_ = ex + t_floor * dx, ez + t_floor * dz
    size = t_floor * pixel / (-dy / (dx**2 + dy**2 + dz**2).sqrt()).clamp(min=0.05)
    assert place.floor is not None and place.wall is not None
    ground = _read(place.floor, fx_, fz_, 0.5 * size)
    wx, wy, wz = ex + t_wall * dx, ey + t_wall * dy, ez + t_wall * dz
    if place.wall.size == 0:
        turn = torch.atan2(wx, wz) / (2 * math.pi) + place.yaw / (2 * math.pi) + 1
        ph, pw = place.wall.rgb.shape[:2]
        metre = pw / (2 * math.pi * place.distance)
        row = (ph - 1 - wy * metre).clamp(0, ph - 1).int()
        upright = _light(_table(place.wall, device).index_select(0, row * pw + (turn * pw).int().remainder(pw)))
    else:
        along = wx * fz - wz * fx
        upright = _read(place.wall, along, wy.clamp(min=0.001) if place.kind != "studio" else wy, t_wall * pixel)
        corner = torch.exp(-wy.abs() / 0.25) * (0.0 if place.kind == "studio" else 0.3)
        upright = upright * (1 - corner[:, None])
    if place.sweep:  # seamless paper: the light changes over a curve and not at a line
        bend = torch.exp(-(((t_floor - t_wall) * (1 / place.sweep)) ** 2))[:, None]
        ground = ground * (1.04 - 0.08 * bend)
        upright = upright * (0.98 - 0.02 * bend)
        on_floor = (0.5 + (t_wall - t_floor)[:, None] / place.sweep).clamp(0, 1)

    def plane(x: Tensor) -> Tensor:
        return x.T.reshape(3, h, w)

    far = _blurred(plane(upright * (1 - on_floor) + ground * on_floor), place.blur)
    depth = torch.minimum(t_floor, t_wall)
    person = math.hypot(ex, ez)
    out_of_focus = ((depth - person - 0.4) / (0.5 * place.distance)).clamp(0, 1) * (1 - 0.9 * on_floor[:, 0] * (depth < person + 1))
    image = torch.lerp(plane(upright * (1 - on_floor) + ground * on_floor), far, out_of_focus.reshape(1, h, w)) if place.blur else far
    gx = torch.linspace(-1, 1, w, device=device)[None] - place.spot[0]
    gy = torch.linspace(-1, 1, h, device=device)[:, None] - place.spot[1]
    light = place.gain * (1 - place.falloff * 0.5 * (gx**2 + gy**2)).clamp(min=0.3)
    image = image * light * torch.tensor(place.tint, device=device)[:, None, None]
    image = F.interpolate(image[None], size=(H, W), mode="bilinear", align_corners=False)[0]
    reach = (floor[..., 0] - centre[0]) ** 2 + (floor[..., 2] - centre[1]) ** 2
    mask = below & (t > 0) & (reach < min(place.distance, 6.0) ** 2)
    return image.permute(1, 2, 0).clamp(0, 1).contiguous(), mask, floor


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


def sample_background(
    rng: np.random.Generator,
    height: int,
    width: int,
    camera: Camera,
    floor_y: float,
    device: torch.device | str = "cpu",
    folder: str | Path | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """A place of its own for one view: see :func:`render_place`. Views of one scene share a :func:`sample_place`."""
    return render_place(sample_place(rng, folder), camera.resized(height, width), floor_y, device)
