"""Training samples of the surface network: generated people with surface coordinates, cut out, turned, put before
backgrounds, covered, cropped.

Sets are those of ``dinar synthesize --varied --plain``. Everything that is drawn over a person changes its truth:
pixels of occluders show no part of the body.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree

from ..body.load import load_body
from ..body.skeleton import other_side
from ..errors import DinarError
from ..fit.view import LANDMARKS
from ..labels import LABEL
from ..nets.surface import vertex_surface_parts
from ..photo.blazepose import KEYPOINTS
from ..photo.surface import OUTSIDE, box_affine, corners, hints, towards
from ..pictures import read_array
from ..views import SURFACE_CENTRE, SURFACE_UNIT, Source
from .parsing import _camera, _colours

IGNORE = 255  # in a map of parts: pixels that do not train
_SWAPPED = [KEYPOINTS.index(other_side(n)) for n in KEYPOINTS]
_ARMS, _LEGS = ([i for i, n in enumerate(KEYPOINTS) if n.split("_", 1)[-1] in names] for names in (
    ("elbow", "wrist", "pinky", "index", "thumb"), ("knee", "ankle", "heel", "foot_index")))  # fmt: skip
SOFT = (40, 215)  # alpha between these is neither the person nor the background


@dataclass(frozen=True)
class SurfaceSample:
    """One picture of one person without background."""

    rgb: np.ndarray  # [H, W, 3] uint8 sRGB, colours continued a little outside of the person
    alpha: np.ndarray  # [H, W] uint8, bags and all
    surface: np.ndarray  # [H, W, 3] uint8 views.encode_surface
    turn: np.ndarray  # [3, 3] float32 rows: the world's up, the pelvis' up and front, in the axes of a camera that
    # looks at the middle of the person
    keypoints: np.ndarray  # [33, 4] float32 as BlazePose's: x, y in pixels (centres at integers), 0, visibility


class SurfaceSet:
    """Sample i is view i % views of person i // views; cut to the person's box and kept in memory."""

    def __init__(self, source: Source, people: range | None = None) -> None:
        n = source.num_people or 0
        self.people = people if people is not None else range(n)
        if not len(self.people) or self.people[-1] >= n:
            raise DinarError(f"expected a set of people with surface coordinates, of which {self.people} can be taken; "
                             f"got {n} people")  # fmt: skip
        if source.body != "anny":
            raise DinarError(f"expected people with the default body, got {source.body}")
        self.source, self.views = source, source.num_views(self.people[0])
        self.memory: dict[int, SurfaceSample] = {}
        body = load_body()
        rows = {i: body.keypoint_index(name) for i, (name, _) in LANDMARKS.items()}
        self.ours, self.theirs = list(rows), list(rows.values())

    def __len__(self) -> int:
        return len(self.people) * self.views

    def __getitem__(self, i: int) -> SurfaceSample:
        if i not in self.memory:
            self.memory[i] = self._read(i)
        return self.memory[i]

    def _read(self, i: int) -> SurfaceSample:
        v = self.source.views(self.people[i // self.views], [i % self.views])
        if v.surface is None:
            raise DinarError(f"{v.name}: the surface network learns from views with surface coordinates; "
                             "dinar synthesize --varied --plain makes them")  # fmt: skip
        alpha = v.alpha[0].numpy()
        if (alpha > 127).sum() < 200:
            raise DinarError(f"{v.name}: expected a person in every view, got an empty mask")
        ys, xs = np.where(alpha > 5)
        box = slice(max(0, ys.min() - 4), ys.max() + 5), slice(max(0, xs.min() - 4), xs.max() + 5)
        middle = np.array([(xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2])
        T, K = v.T_cam_world[0].numpy().astype(np.float64), v.K[0].numpy().astype(np.float64)
        pelvis = cv2.Rodrigues(v.params.pose[0, 0].numpy().astype(np.float64))[0]
        turn = np.stack([[0.0, 1, 0], pelvis[:, 1], pelvis[:, 2]]) @ T[:3, :3].T @ towards(K, middle).T
        labels = v.labels
        surface = v.surface[0].numpy()
        if labels is not None:  # of a bag nothing is known but that it is no body
            surface = np.where(labels[0].numpy()[..., None] == LABEL["bag"], 0, surface)
        points = np.zeros((len(KEYPOINTS), 4), np.float32)
        if v.keypoints2d is not None:
            found = v.keypoints2d[0, self.theirs].numpy()
            points[self.ours, :2] = found[:, :2] - 0.5 - [box[1].start, box[0].start]
            points[self.ours, 3] = 0.5 + 0.5 * found[:, 2]  # hidden points are guessed, too
        copy = lambda a: np.ascontiguousarray(a[box])  # noqa: E731
        return SurfaceSample(copy(v.rgb[0].numpy()), copy(alpha), copy(surface), turn.astype(np.float32),
                             points)  # fmt: skip


@lru_cache(maxsize=1)
def part_table() -> np.ndarray:
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
    return table


def parts_of(surface: np.ndarray) -> np.ndarray:  # [..., 3] uint8 -> [...] uint8
    """1 + index into SURFACE_PARTS; 0 where no surface is known."""
    a, b, c = np.moveaxis(surface >> 1, -1, 0)
    return np.where(surface[..., 0] > 0, part_table()[a, b, c] + 1, 0).astype(np.uint8)


def mirrored(s: SurfaceSample) -> SurfaceSample:
    """The mirror image: left is right."""
    surface = s.surface[:, ::-1].copy()
    x = surface[..., 0]
    surface[..., 0] = np.where(x > 0, 256 - x.astype(int), 0)
    points = s.keypoints[_SWAPPED].copy()
    points[:, 0] = s.alpha.shape[1] - 1 - points[:, 0]
    return SurfaceSample(s.rgb[:, ::-1].copy(), s.alpha[:, ::-1].copy(), surface,
                         s.turn * np.array([-1, 1, 1], np.float32), points)  # fmt: skip


# --- crops ----------------------------------------------------------------------------------------------------------


def crop(s: SurfaceSample, M: np.ndarray, size: tuple[int, int]) -> SurfaceSample:
    """The sample through an affine without mirroring."""
    n = size[::-1]
    area = cv2.INTER_AREA if abs(np.linalg.det(M[:, :2])) < 1 else cv2.INTER_LINEAR
    R = np.eye(3)
    R[:2, :2] = M[:, :2] / np.sqrt(np.linalg.det(M[:, :2]))
    points = s.keypoints.copy()
    points[:, :2] = points[:, :2] @ M[:, :2].T + M[:, 2]
    return SurfaceSample(
        cv2.warpAffine(s.rgb, M, n, flags=area, borderMode=cv2.BORDER_REPLICATE),
        cv2.warpAffine(s.alpha, M, n, flags=cv2.INTER_LINEAR),
        cv2.warpAffine(s.surface, M, n, flags=cv2.INTER_NEAREST),
        (s.turn @ R.T).astype(np.float32),
        points,
    )


# --- what is behind and in front ------------------------------------------------------------------------------------


class Backgrounds:
    """Random pictures to stand before: of a folder, or patterns made up."""

    def __init__(self, folder: Path | None = None) -> None:
        self.paths: list[Path] = []
        self.memory: dict[int, np.ndarray] = {}
        if folder is not None:
            self.paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
            if not self.paths:
                raise DinarError(f"{folder}: expected pictures for backgrounds, found none")

    def __call__(self, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
        """[H, W, 3] uint8."""
        kind = rng.random()
        if kind < 0.12:
            return np.full((*size, 3), 255 if rng.random() < 0.5 else rng.uniform(0, 255, 3), np.uint8)
        if not self.paths or kind < 0.3:
            return pattern(size, rng)
        k = int(rng.integers(len(self.paths)))
        if k not in self.memory:
            image = read_array(self.paths[k], cv2.IMREAD_COLOR)
            if image is None:
                raise DinarError(f"{self.paths[k]}: cannot be read as a picture")
            scale = 400 / max(image.shape[:2])
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            self.memory[k] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        image = self.memory[k]
        h, w = image.shape[:2]
        share = rng.uniform(0.35, 1.0) * min(h / size[0], w / size[1])  # background pixels a crop's pixel
        y, x = rng.uniform(0, h - share * size[0]), rng.uniform(0, w - share * size[1])
        M = np.array([[share, 0, x], [0, share, y]])
        if rng.random() < 0.5:
            image = image[:, ::-1]
        return cv2.warpAffine(image, M, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                              borderMode=cv2.BORDER_REFLECT)  # fmt: skip


def pattern(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of several scales, a floor, some boxes: [H, W, 3] uint8."""
    h, w = size
    out = np.zeros((h, w, 3), np.float32) + rng.uniform(30, 225, 3)
    for cells in (2, 5, 12, 40):
        noise = rng.normal(0, rng.uniform(0, 22), (cells, cells, 1 if rng.random() < 0.6 else 3))
        out += np.atleast_3d(cv2.resize(noise.astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC))
    for _ in range(rng.integers(0, 7)):
        _shape(out, rng.uniform(0, 255, 3), rng, 0.5)
    if rng.random() < 0.6:
        out[int(rng.uniform(0.55, 1) * h) :] += rng.normal(0, 40, 3)
    return out.clip(0, 255).astype(np.uint8)


def _shape(out: np.ndarray, colour: np.ndarray, rng: np.random.Generator, largest: float) -> None:
    """A turned box or an ellipse, in place."""
    h, w = out.shape[:2]
    centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
    half = [int(rng.uniform(0.02, largest) * max(h, w)) + 1 for _ in range(2)]
    angle = float(rng.choice([0, 90]) + rng.normal(0, 12))
    value = tuple(float(c) for c in np.atleast_1d(colour))
    if rng.random() < 0.4:
        cv2.ellipse(out, centre, half, angle, 0, 360, value, -1, cv2.LINE_AA)
    else:
        box = cv2.boxPoints((centre, (2 * half[0], 2 * half[1]), angle))
        cv2.fillConvexPoly(out, np.rint(box).astype(np.int32), value, cv2.LINE_AA)


def _paste(s: SurfaceSample, rgb: np.ndarray, over: np.ndarray) -> SurfaceSample:
    """Something in front: colours [H, W, 3] where ``over`` [H, W] float in [0, 1] is."""
    o = over[..., None]
    return replace(s, rgb=(s.rgb * (1 - o) + rgb * o + 0.5).astype(np.uint8),
                   alpha=(s.alpha * (1 - over) + 0.5).astype(np.uint8),
                   surface=np.where(o > 0.5, 0, s.surface).astype(np.uint8))  # fmt: skip


def _bag(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """[H, W] float: a rounded box on a strap."""
    h, w = size
    out = np.zeros(size, np.uint8)
    x, y, r = rng.uniform(0.1, 0.9) * w, rng.uniform(0.2, 0.85) * h, rng.uniform(0.04, 0.13) * h
    box = cv2.boxPoints(((x, y), (2 * r, 2 * r * rng.uniform(0.6, 1.2)), float(rng.normal(0, 10))))
    cv2.fillConvexPoly(out, np.rint(box).astype(np.int32), 255, cv2.LINE_AA)
    top = (int(x + rng.normal(0, 0.15) * w), int(y - rng.uniform(1, 5) * r))
    cv2.line(out, (int(x - r * 0.8), int(y)), top, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    cv2.line(out, (int(x + r * 0.8), int(y)), top, 255, int(rng.integers(1, 4)), cv2.LINE_AA)
    return out / np.float32(255)


NO_KEYPOINTS, NO_MASK = 0.2, 0.2  # share of the samples


# --- all of it ------------------------------------------------------------------------------------------------------


def augment(
    drawn: SurfaceSample,
    other: SurfaceSample,  # somebody else, behind or in front now and then
    size: tuple[int, int],
    degrees: float,
    backgrounds: Backgrounds,
    rng: np.random.Generator,
) -> tuple[SurfaceSample, np.ndarray]:
    """A crop with background, and the person's mask [H, W] float in [0, 1] as a parser would give it; 0: none is known.

    Alpha of the sample that comes back is the person's, without what is in front.
    """
    if rng.random() < 0.5:
        drawn, degrees = mirrored(drawn), -degrees
    M = box_affine(corners(drawn.alpha > 127), size, degrees, rng.uniform(0.02, 0.16))
    middle = np.array(size[::-1]) / 2 - 0.5
    if rng.random() < 0.25:  # cropped edges
        k, at = rng.uniform(1.1, 2.0), middle + rng.uniform(-0.35, 0.35, 2) * size[::-1]
        M = np.c_[k * M[:, :2], k * M[:, 2] + middle - k * at]
    M[:, 2] += rng.normal(0, 0.02, 2) * size[::-1]
    s = crop(drawn, M, size)

    scene = backgrounds(size, rng).astype(np.float32)
    if rng.random() < 0.25:
        o = _passer_by(other, size, rng)
        scene += (o.rgb - scene) * (o.alpha[..., None] / 255)
    bagged = s.alpha.copy()  # the parser takes some bags for the person
    a = s.alpha[..., None] / np.float32(255)
    s = replace(s, rgb=(s.rgb * a + scene * (1 - a) + 0.5).astype(np.uint8))
    held = (s.surface[..., 0] == 0) & (s.alpha > SOFT[1])
    own = np.where(cv2.morphologyEx(held.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3))) > 0, 0, s.alpha)
    s = replace(s, alpha=own)
    if rng.random() < 0.08:
        o = _passer_by(other, size, rng)
        s, bagged = _paste(s, o.rgb, o.alpha / np.float32(255)), bagged * (1 - o.alpha / 255)
    for _ in range(rng.choice(4, p=[0.6, 0.22, 0.12, 0.06])):
        if rng.random() < 0.5:
            over = _bag(size, rng)
        else:
            over = np.zeros(size, np.float32)
            _shape(over, np.ones(1), rng, 0.16)
        s = _paste(s, backgrounds(size, rng), over)
        bagged = np.maximum(bagged * (1 - over), over * 255 * (rng.random() < 0.1))
    rgb = _camera(_colours(s.rgb, rng), rng)
    mask = _rough((s.alpha if rng.random() < 0.75 else bagged).astype(np.float32) / 255, rng)
    if rng.random() < 0.15:  # the picture ends inside the crop
        side, depth = int(rng.integers(4)), rng.uniform(0.03, 0.3)
        rows, columns = (slice(None), slice(None))
        n = int(depth * size[side % 2])
        cut = (slice(0, n) if side < 2 else slice(size[side % 2] - n, None))
        rows, columns = (cut, columns) if side % 2 == 0 else (rows, cut)
        rgb = rgb.copy()
        rgb[rows, columns], mask[rows, columns] = OUTSIDE, 0
        alpha, surface = s.alpha.copy(), s.surface.copy()
        alpha[rows, columns], surface[rows, columns] = 0, 0
        s = replace(s, alpha=alpha, surface=surface)
    return replace(s, rgb=rgb), np.zeros_like(mask) if rng.random() < NO_MASK else mask


def _passer_by(other: SurfaceSample, size: tuple[int, int], rng: np.random.Generator) -> SurfaceSample:
    M = box_affine(corners(other.alpha > 127), size, float(rng.normal(0, 5)), rng.uniform(-0.1, 0.25))
    M[0, 2] += rng.choice([-1, 1]) * rng.uniform(0.25, 0.7) * size[1]
    return crop(other, M, size)


def _rough(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask as it is found: wider or narrower here and there, at times without a piece."""
    h, w = mask.shape
    noise = cv2.resize(rng.normal(0, 1, (h // 24, w // 24)).astype(np.float32), (w, h), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.8, 3.0))
    mask = np.clip((soft - 0.5 + 0.16 * noise) * rng.uniform(3, 12) + 0.5, 0, 1)
    if rng.random() < 0.15:
        hole = np.zeros_like(mask)
        _shape(hole, np.ones(1), rng, 0.12)
        mask = mask * (1 - hole)
    return mask


def found(s: SurfaceSample, rng: np.random.Generator) -> np.ndarray:
    """[33, 4] keypoints as a detector finds them: moved, hidden ones more so, some missing, sides confused, or none."""
    out = s.keypoints.copy()
    if rng.random() < NO_KEYPOINTS:
        out[:, 3] = 0
        return out
    extent = float(np.ptp(out[out[:, 3] > 0, :2], axis=0).max()) if (out[:, 3] > 0).any() else 1.0
    spread = np.where(out[:, 3] > 0.75, rng.choice([0.003, 0.01, 0.025], p=[0.5, 0.35, 0.15]), 0.035)
    out[:, :2] += rng.normal(0, 1, (len(out), 2)) * spread[:, None] * extent
    out[rng.random(len(out)) < 0.05, 3] = 0
    for share, rows in ((0.05, range(len(out))), (0.03, _ARMS), (0.03, _LEGS)):
        if rng.random() < share:
            rows = list(rows)
            out[rows] = out[[_SWAPPED[i] for i in rows]]
    return out


def tensors(s: SurfaceSample, mask: np.ndarray, rng: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """As the network takes it: rgb [3, H, W] and hints [HINTS, H/4, W/4] float32; part [H/2, W/2] int64, points
    [3, H/2, W/2] float32 metres, of one pixel of each output cell at random; turn [3, 3]."""
    y, x = rng.integers(0, 2, 2) if rng is not None else (0, 0)
    surface, alpha = s.surface[y::2, x::2], s.alpha[y::2, x::2]
    part = parts_of(surface)
    part[(part == 0) & (alpha > SOFT[0])] = IGNORE
    points = (surface.astype(np.float32) - 128) * np.float32(SURFACE_UNIT) + np.array(SURFACE_CENTRE, np.float32)
    known = hints(mask, s.keypoints if rng is None else found(s, rng))
    return {"rgb": s.rgb.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1, "hints": known,
            "part": part.astype(np.int64), "points": points.transpose(2, 0, 1).copy(), "turn": s.turn}  # fmt: skip
