"""Training samples of the surface network: generated people with surface coordinates, cut out, turned, put before
backgrounds, covered, cropped; B of them at once, on the device that trains.

Sets are those of ``dinar synthesize --varied --plain``. Everything that is drawn over a person changes its truth:
pixels of occluders show no part of the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial import KDTree
from torch import Tensor

from ..body.load import load_body
from ..body.skeleton import other_side
from ..cores import physical_cores
from ..errors import DinarError
from ..fit.view import LANDMARKS
from ..labels import LABEL
from ..nets.surface import vertex_surface_parts
from ..photo.blazepose import KEYPOINTS
from ..photo.surface import MARGIN, OUTSIDE, corners, hints, towards
from ..views import SURFACE_CENTRE, SURFACE_UNIT, Source, Views
from .scenes import Backgrounds, Draws, Pictures, bag, blurred, camera, colours, constant, shape

IGNORE = 255  # in a map of parts: pixels that do not train
SOFT = (40 / 255, 215 / 255)  # alpha between these is neither the person nor the background
NO_KEYPOINTS, NO_MASK = 0.2, 0.2  # share of the samples
HULL = 64  # directions in which a person's outermost pixel is kept
_SWAPPED = tuple(KEYPOINTS.index(other_side(n)) for n in KEYPOINTS)
_ARMS, _LEGS = (tuple(_SWAPPED[i] if n.split("_", 1)[-1] in names else i for i, n in enumerate(KEYPOINTS))
                for names in (("elbow", "wrist", "pinky", "index", "thumb"),
                              ("knee", "ankle", "heel", "foot_index")))  # fmt: skip


@dataclass(frozen=True)
class Person:
    """One picture of one person without background, cut to the person's box."""

    pixels: np.ndarray  # [H, W, 7] uint8: sRGB, continued a little outside of the person; alpha, bags and all;
    # views.encode_surface
    hull: np.ndarray  # [HULL, 2] float32 outermost pixels
    turn: np.ndarray  # [3, 3] float32 rows: the world's up, the pelvis' up and front, in the axes of a camera that
    # looks at the middle of the person
    keypoints: np.ndarray  # [33, 4] float32 as BlazePose's: x, y in pixels (centres at integers), 0, visibility


@cache
def _landmarks() -> tuple[list[int], list[int]]:
    """BlazePose's points that the body has, and theirs of the body."""
    body = load_body()
    rows = {i: body.keypoint_index(name) for i, (name, _) in LANDMARKS.items()}
    return list(rows), list(rows.values())


def person_of(v: Views) -> Person:
    """The first view."""
    if v.surface is None:
        raise DinarError(f"{v.name}: the surface network learns from views with surface coordinates; "
                         "dinar synthesize --varied --plain makes them")  # fmt: skip
    alpha = v.alpha[0].numpy()
    if (alpha > 127).sum() < 200:
        raise DinarError(f"{v.name}: expected a person in every view, got an empty mask")
    ys, xs = np.where(alpha > 5)
    box = slice(max(0, ys.min() - 4), ys.max() + 5), slice(max(0, xs.min() - 4), xs.max() + 5)
    corner = np.array([box[1].start, box[0].start])
    middle = np.array([(xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2])
    T, K = v.T_cam_world[0].numpy().astype(np.float64), v.K[0].numpy().astype(np.float64)
    pelvis = cv2.Rodrigues(v.params.pose[0, 0].numpy().astype(np.float64))[0]
    turn = np.stack([[0.0, 1, 0], pelvis[:, 1], pelvis[:, 2]]) @ T[:3, :3].T @ towards(K, middle).T
    surface = v.surface[0].numpy()
    if v.labels is not None:  # of a bag nothing is known but that it is no body
        surface = np.where(v.labels[0].numpy()[..., None] == LABEL["bag"], 0, surface)
    points = np.zeros((len(KEYPOINTS), 4), np.float32)
    if v.keypoints2d is not None:
        ours, theirs = _landmarks()
        found = v.keypoints2d[0, theirs].numpy()
        points[ours, :2] = found[:, :2] - 0.5 - corner
        points[ours, 3] = 0.5 + 0.5 * found[:, 2]  # hidden points are guessed, too
    edge = corners(alpha > 127) - corner
    angle = np.arange(HULL) * 2 * np.pi / HULL
    hull = edge[(edge @ np.stack([np.cos(angle), np.sin(angle)])).argmax(0)]
    pixels = np.concatenate([v.rgb[0].numpy(), alpha[..., None], surface], 2)[box]
    return Person(pixels, hull.astype(np.float32), turn.astype(np.float32), points)


def read_people(source: Source, people: range | None = None) -> list[Person]:
    """All views of these people, by default of all."""
    n = source.num_people or 0
    people = range(n) if people is None else people
    if not len(people) or people[-1] >= n:
        raise DinarError(f"expected a set of {max(people.stop, 1)} people or more with surface coordinates, got {n}")
    if source.body != "anny":
        raise DinarError(f"expected people with the default body, got {source.body}")
    views = [(i, k) for i in people for k in range(source.num_views(i))]
    with ThreadPoolExecutor(physical_cores()) as pool:
        return list(pool.map(lambda v: person_of(source.views(v[0], [v[1]])), views))


class SurfaceSet:
    """People of one or several sources, in memory. ``share`` says how often each source is drawn from."""

    def __init__(self, sources: Sequence[Sequence[Person]], share: Sequence[float] = ()) -> None:
        self.ends = np.cumsum([len(some) for some in sources])
        share = list(share) or [1.0] * len(sources)
        self.share = np.cumsum(share) / np.sum(share)
        people = [p for some in sources for p in some]
        self.pictures = Pictures([p.pixels for p in people])
        self.hull, self.turn, self.keypoints = (torch.from_numpy(np.stack([getattr(p, k) for p in people]))
                                                for k in ("hull", "turn", "keypoints"))  # fmt: skip

    def __len__(self) -> int:
        return len(self.turn)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """[n] random views of one source."""
        k = min(int((rng.random() >= self.share).sum()), len(self.share) - 1)
        return rng.integers(self.ends[k - 1] if k else 0, self.ends[k], n)

    def to(self, device: torch.device) -> SurfaceSet:
        self.pictures.to(device)
        self.hull, self.turn, self.keypoints = (a.to(device) for a in (self.hull, self.turn, self.keypoints))
        return self


@cache
def part_table(device: torch.device) -> Tensor:
    """[128, 128, 128] uint8: the part of the body nearest to a point, by the halves of its three bytes."""
    body = load_body()
    v = body.v_template.numpy()
    steps = np.rint((v - SURFACE_CENTRE) / SURFACE_UNIT + 128)
    low, high = (steps.min(0) // 2 - 1).astype(int), (steps.max(0) // 2 + 2).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    points = (cells.reshape(-1, 3) * 2 + 1 - 128) * SURFACE_UNIT + SURFACE_CENTRE
    near = KDTree(v).query(points)[1]
    table = np.zeros((128, 128, 128), np.uint8)
    table[tuple(cells.reshape(-1, 3).T)] = vertex_surface_parts(body)[near]
    return torch.from_numpy(table).to(device)


def parts_of(surface: Tensor) -> Tensor:  # [..., 3] uint8 -> [...] int64
    """1 + index into SURFACE_PARTS; 0 where no surface is known."""
    a, b, c = (surface >> 1).long().unbind(-1)
    return torch.where(surface[..., 0] > 0, part_table(surface.device)[a, b, c].long() + 1, 0)


# --- crops ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Crops:
    """Of B people."""

    rgb: Tensor  # [B, 3, H, W] float32 in [0, 1] sRGB
    alpha: Tensor  # [B, 1, H, W] float32 in [0, 1]
    surface: Tensor  # [B, H, W, 3] uint8
    turn: Tensor  # [B, 3, 3]
    keypoints: Tensor  # [B, 33, 4]


def boxes(points: Tensor, size: tuple[int, int], radians: Tensor, margin: Tensor) -> Tensor:
    """:func:`dinar.photo.surface.box_affine` of points [B, P, 2], angles [B] and margins [B]: [B, 2, 3]."""
    c, s = radians.cos(), radians.sin()
    R = torch.stack([torch.stack([c, -s], 1), torch.stack([s, c], 1)], 1)
    p = points @ R.mT
    low, high = p.amin(1), p.amax(1)
    sides = constant(tuple(map(float, size[::-1])), points.device)
    k = ((sides - 2 * margin[:, None] * min(size)) / (high - low).clamp(min=1e-6)).amin(1)[:, None]
    return torch.cat([k[..., None] * R, (sides / 2 - 0.5 - k * (low + high) / 2)[..., None]], 2)


def best_sizes(points: Tensor, sizes: Sequence[tuple[int, int]], radians: Tensor) -> Tensor:
    """[B] which crop shows the points largest."""
    A = torch.stack([boxes(points, s, radians, MARGIN + 0 * radians)[..., :2] for s in sizes])
    return torch.linalg.det(A).argmax(0)


def _mirrored(people: SurfaceSet, i: Tensor, mirror: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Outlines, directions and keypoints of views i [B], of the mirror image where ``mirror`` [B] is."""
    width = people.pictures.size[i, 1, None].float()
    hull, turn, points = people.hull[i], people.turn[i], people.keypoints[i]
    flip = lambda p: torch.cat([width[..., None] - 1 - p[..., :1], p[..., 1:]], -1)  # noqa: E731
    other = flip(hull), turn * constant((-1, 1, 1), i.device), flip(points[:, constant(_SWAPPED, i.device)])
    m = mirror[:, None, None]
    return torch.where(m, other[0], hull), torch.where(m, other[1], turn), torch.where(m, other[2], points)


def crop(people: SurfaceSet, i: Tensor, M: Tensor, size: tuple[int, int], mirror: Tensor) -> Crops:
    """Views i [B], mirrored where ``mirror`` [B] is, through affines [B, 2, 3] without mirroring."""
    _, turn, points = _mirrored(people, i, mirror)
    A = torch.linalg.inv_ex(M[..., :2])[0]  # does not wait for the device
    h, w = size
    y, x = torch.meshgrid(torch.arange(h, device=i.device), torch.arange(w, device=i.device), indexing="ij")
    at = (torch.stack([x, y], -1).float() - M[:, None, None, :, 2]) @ A[:, None].mT
    x, y = at.unbind(-1)
    height, width = people.pictures.size[i].T[..., None, None]
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    x = torch.where(mirror[:, None, None], width - 1 - x, x)
    soft = people.pictures.linear(i, x, y)[:, :4]
    surface = people.pictures.nearest(i, x.round(), y.round())[..., 4:] * inside[..., None]
    first = surface[..., :1]
    other = torch.cat([-first, surface[..., 1:]], -1)  # bytes: 256 - x
    R = F.pad(M[..., :2] / torch.linalg.det(M[..., :2])[:, None, None].sqrt(), (0, 1, 0, 1))
    R[:, 2, 2] = 1
    points = torch.cat([points[..., :2] @ M[..., :2].mT + M[:, None, :, 2], points[..., 2:]], -1)
    return Crops(soft[:, :3], soft[:, 3:] * inside[:, None], torch.where(mirror[:, None, None, None], other, surface),
                 turn @ R.mT, points)  # fmt: skip


# --- what is behind and in front ------------------------------------------------------------------------------------


def _paste(s: Crops, rgb: Tensor, over: Tensor) -> Crops:
    """Something in front: colours [B, 3, H, W] where ``over`` [B, 1, H, W] in [0, 1] is."""
    return replace(s, rgb=torch.lerp(s.rgb, rgb, over), alpha=s.alpha * (1 - over),
                   surface=torch.where(over[:, 0, ..., None] > 0.5, 0, s.surface))  # fmt: skip


def _opened(x: Tensor) -> Tensor:
    """[B, 1, H, W] float: without what is narrower than 3 pixels."""
    return F.max_pool2d(-F.max_pool2d(-x, 3, 1, 1), 3, 1, 1)


def body_alpha(s: Crops) -> Tensor:
    """[B, 1, H, W] alpha without the things that a person carries."""
    held = (s.surface[..., 0] == 0)[:, None] & (s.alpha > SOFT[1])
    return torch.where(_opened(held.float()) > 0, 0.0, s.alpha)


def augment(
    people: SurfaceSet,
    drawn: Tensor,  # [B, T] int64 views, of which the first that fills the crop is taken
    other: Tensor,  # [B] int64 somebody else, behind or in front now and then
    sizes: Sequence[tuple[int, int]],
    want: int,  # index into sizes
    backgrounds: Backgrounds,
) -> tuple[Crops, Tensor]:
    """Crops with background, and the people's masks [B, H, W] in [0, 1] as a parser would give them; 0: none is known.

    Alpha of what comes back is the person's, without what is in front.
    """
    B, T = drawn.shape
    size, d = sizes[want], Draws(B, drawn.device)
    h, w = size
    mirror, kind = d.chance(0.5), d.uniform(0, 1, T)
    degrees = torch.where(kind < 0.9, d.uniform(-180, 180, T), 90.0 * (1 + d.index(3, T)) + d.normal(6, T))
    radians = torch.where(kind < 0.8, d.normal(10, T), degrees).deg2rad()
    hull = _mirrored(people, drawn.flatten(), mirror.repeat_interleave(T))[0]
    fits = best_sizes(hull, sizes, radians.flatten()).unflatten(0, (B, T)) == want
    pick = torch.where(fits, torch.arange(T, device=drawn.device), T - 1).amin(1, keepdim=True)
    hull = hull.unflatten(0, (B, T))[torch.arange(B, device=drawn.device), pick[:, 0]]
    M = boxes(hull, size, radians.gather(1, pick)[:, 0], d.uniform(0.02, 0.16))
    sides = constant((float(w), float(h)), d.device)
    k = torch.where(d.chance(0.25), d.uniform(1.1, 2), 1.0)[:, None]  # cropped edges
    t = (sides / 2 - 0.5) * (1 - k) - k * d.uniform(-0.35, 0.35, 2) * sides * (k > 1)
    M = torch.cat([k[..., None] * M[..., :2], (k * M[..., 2] + t + d.normal(0.02, 2) * sides)[..., None]], 2)
    s = crop(people, drawn.gather(1, pick)[:, 0], M, size, mirror)

    scene = backgrounds(size, d)
    fill = scene.roll(1, 0) + d.normal(0.1, 3, 1, 1)  # of things in front: another scene
    N = boxes(people.hull[other], size, d.normal(5).deg2rad(), d.uniform(-0.1, 0.25))
    N[:, 0, 2] += d.sign() * d.uniform(0.25, 0.7) * w
    o = crop(people, other, N, size, d.chance(0))
    where = d.uniform(0, 1, 1, 1, 1)
    scene = torch.lerp(scene, o.rgb, o.alpha * (where < 0.25))
    s = replace(s, rgb=torch.lerp(scene, s.rgb, s.alpha))
    bagged = s.alpha  # the parser takes some bags for the person
    s = replace(s, alpha=body_alpha(s))
    before = o.alpha * (where > 0.92)
    s, bagged = _paste(s, o.rgb, before), bagged * (1 - before)
    for share in (0.4, 0.18, 0.06):
        over = torch.where(d.chance(0.5, 1, 1, 1), bag(size, d), shape(size, d, 0.16)) * d.chance(share, 1, 1, 1)
        s = _paste(s, fill.clamp(0, 1), over)
        bagged = torch.maximum(bagged * (1 - over), over * d.chance(0.1, 1, 1, 1))
        fill = fill.roll(1, 0)
    rgb = camera(colours(s.rgb, d), d)
    mask = _rough(torch.where(d.chance(0.75, 1, 1, 1), s.alpha, bagged), d)
    y, x = torch.arange(h, device=d.device)[:, None], torch.arange(w, device=d.device)
    side, depth = d.index(4, 1, 1), d.uniform(0.03, 0.3, 1, 1)
    gap = torch.stack(torch.broadcast_tensors(y / h, x / w, 1 - (y + 1) / h, 1 - (x + 1) / w))
    out = (gap[side[:, 0, 0]] < depth) & d.chance(0.15, 1, 1)  # the picture ends inside the crop
    keep = ~out[:, None]
    s = replace(s, rgb=torch.where(keep, rgb, OUTSIDE / 255), alpha=s.alpha * keep,
                surface=s.surface * keep[:, 0, ..., None])  # fmt: skip
    return s, (mask * keep * ~d.chance(NO_MASK, 1, 1, 1))[:, 0]


def _rough(mask: Tensor, d: Draws) -> Tensor:
    """A mask as it is found: wider or narrower here and there, at times without a piece."""
    size = (mask.shape[2], mask.shape[3])
    noise = F.interpolate(d.normal(1, 1, size[0] // 24, size[1] // 24), size, mode="bicubic")
    soft = blurred(mask, d.one(0.8, 3.0))
    mask = ((soft - 0.5 + 0.16 * noise) * d.uniform(3, 12, 1, 1, 1) + 0.5).clamp(0, 1)
    return mask * (1 - shape(size, d, 0.12) * d.chance(0.15, 1, 1, 1))


def found(points: Tensor) -> Tensor:
    """[B, 33, 4] keypoints as a detector finds them: moved, hidden ones more so, some missing, sides confused, or
    none."""
    d = Draws(len(points), points.device)
    known = points[..., 3:] > 0
    far = points[..., :2].abs().amax() + 1
    low, high = (torch.where(known, points[..., :2], x * far) for x in (1, -1))
    extent = (high.amax(1) - low.amin(1)).amax(1).clamp(min=1)[:, None, None]
    kind = d.uniform(0, 1, 1, 1)
    spread = torch.where(kind < 0.5, 0.003, torch.where(kind < 0.85, 0.01, 0.025))
    spread = torch.where(points[..., 3:] > 0.75, spread, 0.035)
    xy = points[..., :2] + d.normal(1, 33, 2) * spread * extent
    seen = points[..., 3:] * ~d.chance(0.05, 33, 1) * ~d.chance(NO_KEYPOINTS, 1, 1)
    out = torch.cat([xy, points[..., 2:3], seen], -1)
    for share, rows in ((0.05, _SWAPPED), (0.03, _ARMS), (0.03, _LEGS)):
        out = torch.where(d.chance(share, 1, 1), out[:, constant(rows, d.device)], out)
    return out


def tensors(s: Crops, mask: Tensor, keypoints: Tensor, y: int = 0, x: int = 0) -> dict[str, Tensor]:
    """As the network takes it: rgb [B, 3, H, W] and hints [B, HINTS, H/4, W/4] float32; part [B, H/2, W/2] int64,
    points [B, 3, H/2, W/2] float32 metres, of the pixel y, x of each output cell; turn [B, 3, 3]."""
    surface, alpha = s.surface[:, y::2, x::2], s.alpha[:, 0, y::2, x::2]
    part = parts_of(surface)
    part = torch.where((part == 0) & (alpha > SOFT[0]), IGNORE, part)
    points = (surface.float() - 128) * SURFACE_UNIT + constant(SURFACE_CENTRE, s.rgb.device)
    return {"rgb": 2 * s.rgb - 1, "hints": hints(mask, keypoints), "part": part, "points": points.movedim(-1, 1),
            "turn": s.turn}  # fmt: skip


def whole(
    people: SurfaceSet, i: Tensor, sizes: Sequence[tuple[int, int]], backgrounds: Backgrounds, d: Draws
) -> dict[str, Tensor]:
    """Views i [B], for all of which the same crop is best, as ``photo`` would show them to the network: whole, upright,
    with their masks, before backgrounds."""
    hull, flat = people.hull[i], torch.zeros(len(i), device=i.device)
    size = sizes[int(best_sizes(hull, sizes, flat)[0])]
    s = crop(people, i, boxes(hull, size, flat, flat + MARGIN), size, flat > 0)
    s = replace(s, rgb=torch.lerp(backgrounds(size, d), s.rgb, s.alpha), alpha=body_alpha(s))
    return tensors(s, s.alpha[:, 0], s.keypoints)
