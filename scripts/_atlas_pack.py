"""Packs mirror-symmetric islands into the unit square: a raster search in the left half (its mirror image is the right
half), then a growth in which islands move, turn, stretch and bulge into the gaps that are left.

Everything is in texels, u right, v down, and deterministic for a given seed and number of rounds."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import scipy.fft as fft

SIZE = 256
GUTTER = 2  # free texels between islands
FRAME = 1  # free texels at the border of the square
SLACK = 0.04  # rise of an island's mean distortion that costs all its area
SUB = 4  # subsamples a side when marking the texels that an island touches


@dataclass
class Piece:
    """An island (with its mirrored twin folded onto it) to be placed in the left half."""

    name: str
    uv: np.ndarray  # [N, 2] texels at factor 1; a centre piece has its axis at u = 0
    f: np.ndarray  # [M, 3]
    loops: list[np.ndarray]  # outer border loops
    rest: np.ndarray  # [M, 3, 2] undistorted triangles
    centre: bool = False  # stands on the axis u = SIZE / 2
    cache: dict = field(default_factory=dict)


def footprint(piece: Piece, uv: np.ndarray) -> tuple[np.ndarray, int, int] | None:
    """Texels touched in the left half -> mask, first row, first column; None outside the square."""
    half = SIZE // 2
    polygons = [uv[l] for l in piece.loops]
    if piece.centre:  # both halves fold onto the left one
        polygons += [np.stack([SIZE - p[:, 0], p[:, 1]], 1) for p in polygons]
    lo = np.floor(np.min([p.min(0) for p in polygons], 0)).astype(int)
    hi = np.ceil(np.max([p.max(0) for p in polygons], 0)).astype(int)
    if piece.centre:
        hi[0] = half
    if lo.min() < 0 or hi[0] > half or hi[1] > SIZE:
        return None
    w, h = hi - lo
    image = np.zeros((h * SUB, w * SUB), np.uint8)
    for p in polygons:
        q = np.round(((p - lo) * SUB - 0.5) * 16).astype(np.int32)
        cv2.fillPoly(image, [q], 1, lineType=8, shift=4)
    # A margin of one sample, as fillPoly leaves out samples that an edge only grazes.
    image = cv2.dilate(image, np.ones((SUB + 2, SUB + 2), np.uint8), anchor=(1, 1))
    return image[::SUB, ::SUB].astype(bool), int(lo[1]), int(lo[0])


def turned(piece: Piece, factor: float, angle: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, its points relative to the corner of the mask, and the transform of the mask."""
    key = round(angle, 4)
    if piece.cache.get("factor") != factor:
        piece.cache.clear()
        piece.cache["factor"] = factor
    if key not in piece.cache:
        c, s = np.cos(angle), np.sin(angle)
        uv = factor * piece.uv @ np.array([[c, s], [-s, c]])
        at = np.array([SIZE // 2, FRAME + 1 - uv[:, 1].min()]) if piece.centre else FRAME + 1 - uv.min(0)
        found = footprint(piece, uv + at)
        if found is None:
            piece.cache[key] = None
        else:
            mask, y, x = found
            pad = np.zeros((SIZE, SIZE // 2), np.float32)
            pad[: mask.shape[0], : mask.shape[1]] = mask
            piece.cache[key] = mask, uv + at - [x, y], np.conj(fft.rfft2(pad))
    return piece.cache[key]


def walls(centre: bool) -> np.ndarray:
    """uint8 [SIZE, SIZE / 2]: the frame and, for pieces beside the axis, half a gutter along it."""
    out = np.zeros((SIZE, SIZE // 2), np.uint8)
    out[:FRAME] = out[-FRAME:] = out[:, :FRAME] = 1
    out[:, SIZE // 2 - (0 if centre else GUTTER // 2) :] = 1
    return out


class Board:
    """The left half of the square."""

    def __init__(self) -> None:
        self.forbidden, self.wall = walls(True), walls(False)

    def spots(self, transform: np.ndarray, shape: tuple[int, int], centre: bool) -> tuple[np.ndarray, np.ndarray]:
        """Where a mask fits [H, W] and how many of its texels would lie close to something there."""
        forbidden = self.forbidden if centre else np.maximum(self.forbidden, self.wall)
        close = cv2.dilate(forbidden, np.ones((5, 5), np.uint8)) & (1 - forbidden)
        hit, near = (fft.irfft2(fft.rfft2(x.astype(np.float32)) * transform, x.shape) for x in (forbidden, close))
        free = hit < 0.5
        free[SIZE - shape[0] + 1 :] = False
        free[:, SIZE // 2 - shape[1] + 1 :] = False
        if centre:
            free[:, : SIZE // 2 - shape[1]] = False
        return free, near

    def put(self, mask: np.ndarray, y: int, x: int) -> None:
        full = np.zeros_like(self.forbidden)
        full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        self.forbidden |= cv2.dilate(full, np.ones((2 * GUTTER + 1,) * 2, np.uint8))


def attempt(pieces: list[Piece], factor: float, rng: np.random.Generator, plan: dict | None) -> dict | None:
    """One greedy packing: the centre column first, then the sides in a random order. -> {name: (uv, plan entry)}"""
    board, out = Board(), {}
    big = sorted((p for p in pieces if p.centre), key=lambda p: -np.ptp(p.uv[:, 1]))
    column, small = big[:2], big[2:]
    side = [p for p in pieces if not p.centre]
    area = {p.name: np.ptp(p.uv, axis=0).prod() for p in pieces}
    if plan is None:
        plan = {
            "flip": rng.random() < 0.5,
            "bottom": rng.random() < 0.6,
            "order": {p.name: np.log(area[p.name]) + rng.normal() * 0.5 for p in side},
            "angles": {p.name: np.r_[np.arange(4) * np.pi / 2, rng.uniform(-np.pi, np.pi, 3)] for p in side},
            "pull": {p.name: rng.normal(size=2) * rng.choice([0.05, 0.5, 2]) for p in side},
        }
    else:  # a neighbour of a good plan
        plan = {k: dict(v) if isinstance(v, dict) else v for k, v in plan.items()}
        if rng.random() < 0.1:
            plan["bottom"] = not plan["bottom"]
        for p in rng.choice(np.array(side, object), rng.integers(1, 4), replace=False):
            what = rng.integers(3)
            if what == 0:
                plan["order"][p.name] += rng.normal() * 0.7
            elif what == 1:
                plan["pull"][p.name] = rng.normal(size=2) * rng.choice([0.05, 0.5, 2])
            else:
                plan["angles"][p.name] = np.r_[np.arange(4) * np.pi / 2, rng.uniform(-np.pi, np.pi, 3)]

    def place(p: Piece, angles, pull) -> bool:
        best = None
        for angle in angles:
            if (shape := turned(p, factor, angle)) is None:
                continue
            mask, uv, transform = shape
            free, near = board.spots(transform, mask.shape, p.centre)
            y, x = np.nonzero(free)
            if not len(y):
                continue
            if p.centre:
                score = y * pull
            else:
                score = near[y, x] + pull[0] * (x + mask.shape[1] / 2) + pull[1] * (y + mask.shape[0] / 2)
            k = score.argmax()
            if best is None or score[k] > best[0]:
                best = score[k], y[k], x[k], mask, uv
        if best is None:
            return False
        _, y, x, mask, uv = best
        board.put(mask, y, x)
        out[p.name] = uv + [x, y]
        return True

    if not place(column[plan["flip"]], [0.0], -1) or not place(column[1 - plan["flip"]], [0.0], 2 * plan["bottom"] - 1):
        return None
    for p in sorted(side, key=lambda p: -plan["order"][p.name]):
        if not place(p, plan["angles"][p.name], plan["pull"][p.name]):
            return None
    for p in small:
        if not place(p, [0.0], -1):
            return None
    return {"uv": out, "plan": plan, "factor": factor}


def search(pieces: list[Piece], rounds: int, seed: int) -> dict:
    """The packing of the largest factor found: random plans first, then changes to the best one."""
    rng = np.random.default_rng(seed)
    factor = np.sqrt(0.85 * SIZE**2 / 2 / sum(area_of(p) * (0.5 if p.centre else 1) for p in pieces))
    best = None
    while best is None:
        for _ in range(6):
            if (best := attempt(pieces, factor, rng, None)) is not None:
                break
        else:
            factor *= 0.97
    for k in range(rounds):
        fresh = k < rounds // 3
        found = attempt(pieces, best["factor"] * (1.004 if fresh else 1.002), rng, None if fresh else best["plan"])
        if found is not None:
            best = found
    return best


def area_of(p: Piece, uv: np.ndarray | None = None) -> float:
    """Area within the outer border, holes included."""
    x, y = (p.uv if uv is None else uv)[p.loops[0]].T
    return float(abs(0.5 * (x @ np.roll(y, -1) - y @ np.roll(x, -1))))


def distortion(p: Piece, uv: np.ndarray) -> float:
    """Mean of (s1/s2 + s2/s1) / 2 over the piece, 1 is none; infinite at a flip. Of large pieces every k-th face."""
    if "inv" not in p.cache:
        k = max(1, len(p.f) // 1200)
        a = (p.rest[::k, 1:] - p.rest[::k, :1]).transpose(0, 2, 1)
        weight = np.abs(np.linalg.det(a))
        p.cache.update(inv=np.linalg.inv(a), weight=weight / weight.sum(), f=p.f[::k])
    q = uv[p.cache["f"]]
    j = (q[:, 1:] - q[:, :1]).transpose(0, 2, 1) @ p.cache["inv"]
    det = j[:, 0, 0] * j[:, 1, 1] - j[:, 0, 1] * j[:, 1, 0]
    if not ((det > 0).all() or (det < 0).all()):
        return np.inf
    half = (j**2).sum((1, 2)) / (2 * np.abs(det))
    return float(p.cache["weight"] @ np.minimum(half, 50))


def warp(p: Piece, uv: np.ndarray, rng: np.random.Generator, size: float) -> np.ndarray:
    """A small random move, turn, stretch or bulge of a placed piece; centre pieces keep their axis."""
    if p.centre:
        mid = np.array([SIZE / 2, 0.5 * (uv[:, 1].min() + uv[:, 1].max())])
        basis = np.eye(2)
    else:
        mid = uv.mean(0)
        basis = np.linalg.svd(uv[:: max(1, len(uv) // 200)] - mid, full_matrices=False)[2]
    q = (uv - mid) @ basis.T
    kind = rng.integers(6)
    amount = rng.normal() * size
    extent = np.abs(q).max(0)
    if kind == 0:  # move
        step = rng.normal(size=2) * size * 40
        q = q + (step if not p.centre else [0, step[1]])
    elif kind == 1:  # grow, whole
        q = q * np.exp(abs(amount))
    elif kind == 2:  # stretch along one axis
        k = rng.integers(2)
        q[:, k] *= np.exp(amount)
    elif kind == 3 and not p.centre:  # turn
        c, s = np.cos(amount), np.sin(amount)
        q = q @ np.array([[c, s], [-s, c]])
    else:  # bulge or (beside the axis) bend, a bump along one axis
        k = rng.integers(2)
        if p.centre:
            k = 1
        at, wide = rng.uniform(-1, 1) * extent[k], rng.uniform(0.15, 0.8) * extent[k]
        bump = amount * np.exp(-0.5 * ((q[:, k] - at) / wide) ** 2)
        if kind == 5 and not p.centre:
            q[:, 1 - k] += 0.5 * bump * extent.max()
        else:
            q[:, 1 - k] *= 1 + 2 * bump
    return q @ basis + mid


def texels(p: Piece, uv: dict) -> int:
    """Texels that the placed piece and its mirror image touch."""
    return 2 * int(footprint(p, uv[p.name])[0].sum())


def grow(pieces: list[Piece], uv: dict, steps: int, seed: int) -> dict:
    """Hill climbing on `warp` moves: a move is kept if it fits and the value, area less a price for distortion, does
    not fall."""
    rng = np.random.default_rng(seed)
    uv = {k: x.copy() for k, x in uv.items()}
    kernel = np.ones((2 * GUTTER + 1,) * 2, np.uint8)
    wall = {c: walls(c) > 0 for c in (True, False)}
    board, spot, value = np.zeros((SIZE, SIZE // 2), np.int16), {}, {}

    def wide(found) -> np.ndarray:
        mask, y, x = found
        full = np.zeros((SIZE, SIZE // 2), np.uint8)
        full[y : y + mask.shape[0], x : x + mask.shape[1]] = mask
        return cv2.dilate(full, kernel)

    start, first = {}, {}
    for p in pieces:
        p.cache.clear()
        first[p.name], start[p.name] = distortion(p, uv[p.name]), area_of(p, uv[p.name])
        spot[p.name] = wide(footprint(p, uv[p.name]))
        board += spot[p.name]
        value[p.name] = start[p.name]
    active = [p for p in pieces if start[p.name] > 60]
    odds = np.array([start[p.name] for p in active]) ** 0.5
    for k in range(steps):
        p = active[rng.choice(len(active), p=odds / odds.sum())]
        q = warp(p, uv[p.name], rng, 0.03 * (1 - k / steps) + 0.004)
        found = footprint(p, q)
        if found is None:
            continue
        mask, y, x = found
        view = (slice(y, y + mask.shape[0]), slice(x, x + mask.shape[1]))
        if (mask & ((board[view] - spot[p.name][view] > 0) | wall[p.centre][view])).any():
            continue
        worse = max(0.0, distortion(p, q) - first[p.name])
        new = area_of(p, q) - start[p.name] * worse / SLACK
        if new < value[p.name] - 1e-9:
            continue
        board -= spot[p.name]
        spot[p.name] = wide(found)
        board += spot[p.name]
        uv[p.name], value[p.name] = q, new
    return uv
