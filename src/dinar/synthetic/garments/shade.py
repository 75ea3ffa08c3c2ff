"""Cloth shaded per pixel, in plain torch on any device: texture reads and arithmetic without branches on the data.

The standard body: y up, pelvis joint at y = 0, neck .58, shoulders .48, waist .11, crotch -.08, knees -.456,
ankles -.905, soles -.985 (the default body's template); legs about x = ±.12 at the hip and ±.195 at the ankle; arms
hang straight down; elbows .28 and wrists .53 along the arm; knees .44 along the leg.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch import Tensor

from ..base.colours import Colour
from ..base.noise import fine_table, fold_table, lookup, slopes
from .cloth import Fabric
from .panels import DEEP, TEXEL

LEVELS = 4  # halvings of sheets, chosen by the size of a pixel
DARK, LIGHT = 0.01, 0.95  # albedo leaves shading within these
REACH = 1.75  # metres along a tube that the profiles cover


@dataclass(eq=False)
class Points:
    """N shading points on one garment, float32 unless said otherwise, on the standard body (see the module)."""

    p: Tensor  # [N, 3] metres; x the person's left, y up, z front
    around: Tensor  # [N] metres of arc around torso, sleeve or leg; 0 at its front centre, + towards the person's left
    along: Tensor  # [N] metres: y on the torso, distance from shoulder or hip joint on limbs
    limb: Tensor  # [N] int: 0 torso, 1 left arm, 2 right arm, 3 left leg, 4 right leg
    facing: Tensor  # [N] in [-1, 1], z of the normal
    hem: Tensor  # [N] metres to the nearest edge of the garment, large inside
    uv: Tensor  # [N, 2] texture coordinates of asset garments, else zeros
    footprint: Tensor  # [N] metres a pixel covers on the surface


def _pyramid(image: np.ndarray, count: int, wrap: bool) -> np.ndarray:
    """[h, w, C <= 4] bytes and its halvings, one after another: [texels, C].

    The halvings are blurred once more: points read one texel, no average of four, and hairlines must not break up.
    """
    levels, x = [image.reshape(-1, image.shape[2])], image
    for _ in range(count - 1):
        x = cv2.resize(x, (x.shape[1] // 2, x.shape[0] // 2), interpolation=cv2.INTER_AREA)
        y = cv2.copyMakeBorder(x, 0, 1, 0, 1, cv2.BORDER_WRAP if wrap else cv2.BORDER_REPLICATE)
        levels.append(cv2.blur(y, (2, 2), anchor=(0, 0))[:-1, :-1].reshape(-1, image.shape[2]))
    return np.concatenate(levels)


def _slope_bytes(gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """[h, w, 2] bytes, 128 is level, 64 a unit."""
    return np.rint(np.stack([gx, gy], -1) * 64 + 128).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=64)
def _swatch_table(fabric: Fabric, device: torch.device) -> Tensor | None:
    """[texels, 3 or 5] bytes: sRGB, and slopes where the swatch has relief."""
    if fabric.swatch is None:
        return None
    count = len(fabric.swatch).bit_length() - 1  # down to two texels: repeats are short
    table = _pyramid(fabric.swatch, count, True)
    if fabric.swatch_height is not None:
        texel = fabric.swatch_size / len(fabric.swatch)
        gx, gy = slopes(fabric.swatch_height)
        table = np.concatenate([table, _pyramid(_slope_bytes(gx / texel, gy / texel), count, True)], 1)
    return torch.from_numpy(table).to(device)


@lru_cache(maxsize=64)
def _sheet_table(fabric: Fabric, device: torch.device) -> tuple[Tensor, int, int] | None:
    """([texels, 6] bytes: sRGB premultiplied, alpha, slopes d/dx and d/dy; height; width); back right of front."""
    if fabric.sheet is None or fabric.sheet_relief is None:
        return None
    unit = 2 ** (LEVELS - 1)
    h, w = (-(-n // unit) * unit for n in fabric.sheet.shape[1:3])
    rgba, z = np.zeros((h, 2 * w, 4), np.uint8), np.full((h, 2 * w), 128, np.uint8)
    for k, (picture, relief) in enumerate(zip(fabric.sheet, fabric.sheet_relief, strict=True)):
        rgba[: len(picture), k * w : k * w + picture.shape[1]] = picture
        z[: len(relief), k * w : k * w + relief.shape[1]] = relief
    # bytes of slope from bytes of height: cv2 adds 128 and rounds in one pass
    gain = DEEP / 127 / TEXEL / 2 * 64
    kernel = np.array([[-gain, 0, gain]], np.float32)
    steep = np.stack([cv2.filter2D(z, -1, kernel, delta=128), cv2.filter2D(z, -1, -kernel.T, delta=128)], -1)
    table = np.concatenate([_pyramid(rgba, LEVELS, False), _pyramid(steep, LEVELS, False)], 1)
    return torch.from_numpy(table).to(device), h, 2 * w


def _light(srgb: Tensor) -> Tensor:
    """sRGB in [0, 1] to linear light; a cubic within 0.002 of the curve, as tables are slow to read."""
    return srgb * (srgb * (srgb * 0.305306 + 0.682171) + 0.012523)


def _level(footprint: Tensor, texel: float, count: int = LEVELS) -> Tensor:
    """[N] int32: the coarsest halving whose texels are no larger than a pixel."""
    return (footprint * (1 / texel)).clamp(min=1).log2().int().clamp(max=count - 1)


@lru_cache(maxsize=4)
def _profiles(device: torch.device) -> Tensor:
    """[3 * 256, 3] by tube (torso, arm, leg) and place along it: where cloth gathers, jeans wear; |x| of the axis."""

    def bump(x: np.ndarray, centre: float, width: float) -> np.ndarray:
        return np.exp(-(((x - centre) / width) ** 2))

    y = np.arange(256) / 256 * REACH - 1
    v = np.arange(256) / 256 * REACH - 0.3
    torso = 0.3 + 0.7 * bump(y, 0.10, 0.09) + 0.35 * bump(y, 0.38, 0.08)
    arm = 0.2 + 0.8 * bump(v, 0.27, 0.08) + 0.6 * bump(v, 0.50, 0.05)
    leg = 0.12 + 0.7 * bump(v, 0.44, 0.08) + 0.6 * bump(v, 0.03, 0.08) + 0.9 * bump(v, 0.86, 0.07)
    worn = bump(v, 0.24, 0.17) + 0.5 * bump(v, 0.6, 0.12)
    axis = 0.118 + 0.085 * v
    columns = [(torso, bump(-0.015 - y, 0.24, 0.17), 0 * y), (arm, 0 * v, 0 * v + 0.2), (leg, worn, axis)]
    return torch.from_numpy(np.concatenate([np.stack(c, -1) for c in columns]).astype(np.float32)).to(device)


def _inside(distance: Tensor, footprint: Tensor) -> Tensor:
    """Coverage of a pixel by the region where ``distance`` (metres) is negative."""
    return (0.5 - distance / footprint).clamp(0, 1)


def _above(x: Tensor, limit: float) -> Tensor:
    """1 where x > limit, else 0, over a millimetre; comparisons cost three times as much."""
    return ((x - limit) * 1e3).clamp(0, 1)


def shade_fabric(fabric: Fabric, points: Points) -> tuple[Tensor, Tensor]:
    """Albedo [N, 3] linear RGB and micro-relief as slopes [N, 2] = d height / d (around, along), dimensionless."""
    f, q, device = fabric, points, points.p.device
    x, y, z = q.p.T.contiguous().unbind()
    limb = q.limb.float()
    torso, leg = (1 - limb).clamp(min=0), (limb - 2).clamp(0, 1)
    arm = 1 - torso - leg
    left = (2 * (limb - 2 * leg) - 3) * (torso - 1)  # limbs: 1 left, -1 right
    front = (q.facing * 1e3 + 0.5).clamp(0, 1)
    width = q.footprint.clamp(min=5e-4)
    v = q.along
    down = 2 * torso - 1  # d y / d along
    low = f.use in ("trousers", "jeans", "shorts", "skirt")

    bins = ((v + (0.3 + 0.7 * torso)) * (256 / REACH)).clamp(0, 255).int() + (256 * (arm + 2 * leg)).int()
    gather, worn, axis = _profiles(device).index_select(0, bins).T.contiguous().unbind()

    # Cloth coordinates. The back is measured from its own centre, so that patterns break at the side seams, as in
    # real clothes, and not along the spine. A tube's arc is its chord, stretched towards the sides.
    edgewise = 1 - q.facing.abs()
    across = (x - left * axis) * (1 + 0.285 * edgewise * (1 + edgewise))
    u = torch.lerp(0.37 - across, q.around, front)
    turn = (4 * q.facing).clamp(-1, 1)  # d u / d around, eased where front and back meet

    # Folds: long ones that hang or run askew, and wrinkles across the limb where it bends and where cloth gathers.
    off = (f.seed * 0.618034) % 1
    k, tilt = 1 / f.fold_size, 0.5 / f.drape
    place = 0.25 * left + off
    a = lookup(fold_table(device), v * (k / f.drape) + place, u * k + v * (tilt * k) + 0.37 * off)
    b = lookup(fold_table(device), (x + 0.6 * z) * (1.7 * k) + place, v * (1.25 * k) + x * (0.5 * k) + 0.7 * off)
    hang, wrinkle = f.folds * (0.7 + 0.3 * gather), f.bunch * gather
    slope_around = hang * turn * a[1] + wrinkle * q.facing * (b[0] + 0.4 * b[1])
    slope_along = hang * (a[0] / f.drape + tilt * a[1]) + wrinkle * b[1]
    hollow = hang * a[2] + wrinkle * b[2]
    if f.pleats:
        phase = torch.lerp(across, q.around, front) * (2 * np.pi / f.pleats)
        slope_around = slope_around + 0.6 * torch.cos(phase) * ((0.12 - y) * 8).clamp(0, 1)
        hollow = hollow + 0.35 * torch.sin(phase)

    table = _swatch_table(f, device)
    if table is None or f.swatch is None:
        rgb = torch.tensor(f.colour, device=device)[:, None]
    else:
        n, cos, sin = len(f.swatch), float(np.cos(f.swatch_angle)), float(np.sin(f.swatch_angle))
        level = _level(width, f.swatch_size / n, n.bit_length() - 1)
        side = n >> level
        start = (4 * n * n - 4 * side * side) // 3  # n² + n²/4 + ... of the levels before
        texels = side / f.swatch_size
        i = ((u * cos + v * sin) * texels).floor().int() & (side - 1)
        j = ((v * cos - u * sin) * texels).floor().int() & (side - 1)
        t = table.index_select(0, start + j * side + i).T.contiguous().float()
        rgb = _light(t[:3] * (1 / 255))
        if len(t) > 3:
            gx, gy = (t[3:] - 128) * (1 / 64)
            slope_around = slope_around + turn * (gx * cos - gy * sin)
            slope_along = slope_along + gx * sin + gy * cos

    def paint(colour: Colour, cover: Tensor) -> None:
        nonlocal rgb
        rgb = rgb + cover * (torch.tensor(colour, device=device)[:, None] - rgb)

    if f.gradient is not None:
        colour, y0, y1 = f.gradient
        paint(colour, ((y - y0) / (y1 - y0)).clamp(0, 1))
    if f.fade:
        # in the plane of the sheet, as trousers are torso above the crotch and legs below
        thigh = (1 - 60 * (x.abs() - (0.117 - 0.085 * y)) ** 2).clamp(min=0) * worn * (0.5 + 0.5 * front)
        whisker = front * (1 - 250 * (y + 0.06) ** 2).clamp(min=0) * torch.sin(95 * (y + 0.45 * x.abs())) * 0.3
        wash = f.fade * ((thigh + (whisker if low else 0)) * (1 + 0.35 * a[3]) + 0.12 * hollow)
        r, g, blue = f.colour
        paint((0.3 + 0.6 * r, 0.34 + 0.6 * g, 0.38 + 0.6 * blue), (wash * 0.55).clamp(-0.12, 0.6))
    # Limbs meet along the edges of triangles; sleeves begin at the armhole seam.
    sleeve = torch.maximum(arm * _above(v, 0.06), _above(x.abs(), 0.168) * _above(y, 0.3))
    if f.sleeves is not None:
        paint(f.sleeves, sleeve)
    for half, colour in f.side:
        outer = _above((x - left * axis) * left, 0)
        paint(colour, _inside(q.facing.abs() * (0.055 + 0.03 * leg) - half, width) * outer)

    drawn = _sheet_table(f, device)
    if drawn is not None:
        texels, h, w = drawn
        half, _, high = f.sheet_box
        level = _level(width, TEXEL)
        lw, lh = w >> level, h >> level
        start = (4 * w * h - 4 * lw * lh) // 3
        scale = torch.exp2(-level.float())
        i = (((x + half) * (1 / TEXEL)).clamp(0, w // 2 - 1) * scale).int() + (1 - front).int() * (lw >> 1)
        j = (((high - y) * (1 / TEXEL)).clamp(0, h - 1) * scale).int()
        t = texels.index_select(0, start + j * lw + i).T.contiguous().float()
        straight = _light((t[:3] / t[3].clamp(min=1)).clamp(max=1))
        rgb = torch.lerp(rgb.expand_as(straight), straight, t[3] * (1 - sleeve) * (1 / 255))
        gx, gy = (t[4:] - 128) * (1 - sleeve) * (1 / 64)
        slope_around = slope_around + q.facing * gx
        slope_along = slope_along + down * gy

    if f.use == "shoes":  # a sole, a seam above it, laces over the instep
        paint(f.accent, _above(-y, 0.966))
        lace = _inside((x - left * 0.2).abs() - 0.017, width) * _above(z, 0.03) * _above(-z, -0.105) * _above(y, -0.95)
        bars = (torch.cos(z * (2 * np.pi / 0.017)) * 1.5).clamp(0, 1) * (0.02 / width - 1).clamp(0, 1)
        paint(f.trim, lace * bars * float(f.laced))

    # Edges: which one a point is near follows from where it is.
    dark = 0.25 * _inside(q.hem - 0.0025, width)
    waist = (1 - leg * _above(v, 0.06)) if low else None
    neck = torso * _above(y, 0.3)
    zones = ((f.waist, waist), (f.hem, 1 - waist)) if low and waist is not None else (
        (f.neck, neck), (f.cuff, arm), (f.hem, (1 - neck - arm) * (1 - _above(y, 0.16))))  # fmt: skip
    for edge, where in zones:
        if edge is None or where is None:
            continue
        if edge.width:
            band = where * _inside(q.hem - edge.width, width)
            if edge.colour is not None:
                paint(edge.colour, band)
            if edge.rib:
                wave = (2 * np.pi / 0.009) * q.around
                seen = band * (0.006 / width - 0.5).clamp(0, 1)
                slope_around = slope_around + 0.5 * seen * torch.cos(wave)
                dark = dark + 0.12 * band - 0.1 * seen * torch.sin(wave)
            dark = dark + 0.4 * where * _inside((q.hem - edge.width).abs() - 0.0016, width)
        if edge.stitch:
            dark = dark + 0.28 * where * _inside((q.hem - edge.stitch).abs() - 0.001, width)
    if f.loops and waist is not None:
        step = (q.around + 0.055).remainder(0.11) - 0.055
        near = torch.maximum(step.abs() - 0.006, q.hem - 0.045)
        dark = dark + waist * 0.35 * _inside(near.abs() - 0.001, width)
    if f.belt is not None and waist is not None:
        strap, buckle = f.belt
        paint(strap, waist * _inside((q.hem - 0.019).abs() - 0.016, width))
        square = torch.maximum(q.around.abs() - 0.022, (q.hem - 0.019).abs() - 0.019)
        paint(buckle, waist * front * (_inside(square, width) - _inside(square + 0.006, width)))

    # Threads, stains, and the light that does not reach the hollows of folds.
    fine = lookup(fine_table(device), u * (1 / 0.32), v * (1 / 0.32))
    grain = f.melange * (fine[0] + 0.6 * fine[1]) + f.stains * a[3] + 0.5 * hollow.clamp(-0.35, 0.3)
    albedo = (rgb * ((1 + grain) * (1 - dark)).clamp(min=0.2)).clamp(DARK, LIGHT)
    return albedo.T, torch.stack([slope_around, slope_along], 1)
