"""Decide from a parse whether a long coat is worn open, and fit it: hem, width, and where its front edges are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ..body import Body
from ..body.body import PARTS
from ..body.coat import EDGE, FIRST, opened
from ..body.shells import Shell, wear
from ..body.skirt import ROWS, TOP, hips
from ..labels import LABEL
from ..scene import interpolate, rasterize_mesh
from .offsets import Silhouette
from .skirts import (
    AT_HIPS,
    BIN,
    BREAK,
    CLOTH,
    FLARE,
    LEGS,
    LOWEST,
    NARROWEST,
    STEP,
    WIDEST,
    WIDTHS,
    Skirt,
    across,
    both_sides,
    hanging,
    smooth,
    without_sleeves,
)

COAT = LABEL["outer"]
LEAST = 0.18  # metres below the loop that a coat reaches, at least
BOTH = 0.4  # least length of the shorter side, as a share of the longer one's: jackets over an arm hang on one side
PANEL, MOST = 0.05, 0.12  # metres of cloth beside each other that count as the coat, and that count at most
SLEEVES = 0.6  # least share of outerwear on both arms, from which the coat is worn whatever hides one of its sides
UNEVEN = 0.85  # length of a side, at least, as a share of the other's: the parse loses the inside of coats
SOME = 0.08  # metres in excess of PANEL, summed over bins, from which there is a coat
AROUND = 0.3  # metres around the legs in which its cloth is looked for
OFF = 0.03  # metres off the legs from where it is cloth whatever the parse says
OUTER = 0.4  # least share of outerwear in it
OTHERS = tuple(LABEL[n] for n in ("bag", "hair", "shoes", "lower", "legwear", "skirt"))  # except these
AGREE, FOUND = 0.5, 0.5  # least share of coat on its pixels, and of the seen cloth that it covers
DEEPER = 0.5  # metres of depth for a metre of width
WIDE = 0.96  # of the row's half width, at which the edges are at most


def fit_coat(
    body: Body, betas: Tensor, views: Sequence[Silhouette], skirt: tuple[Body, np.ndarray] | None
) -> tuple[Body, np.ndarray] | None:
    """The body with the open coat that the parses show, if any, and the offsets [V, 3] of its form.

    Args:
        skirt: the same with the skirt that was found; it stays if it is more like the photos.
    """
    if skirt is None:  # the parse takes some of a coat for a skirt
        skirts = lambda x: np.where(np.asarray(x) == LABEL["skirt"], COAT, x)  # noqa: E731
        views = [replace(s, labels=skirts(s.labels)) for s in views]
    found = [f for s in views if (f := find_coat(body, betas, s)) is not None]
    if 2 * len(found) <= len(views):
        return None
    depth = np.median(found, 0)
    views = [without_sleeves(body, betas, with_coat(body, betas, s)) for s in views]
    hem = max(TOP - float(depth.max()), LOWEST)
    naked = body.rest(betas[None])[0][0].numpy()
    coat = Coat(body, wear(body, (Shell("coat", round(hem, 3)),)), betas, naked, hem)
    for _ in range(WIDTHS):
        coat.widen(views)
    coat.shorten((depth / depth.max()).clip(min=UNEVEN))
    worn = coat.dressed, coat.offsets()
    agree, share = like(body, *worn, betas, views)
    if agree < AGREE or share < FOUND or (skirt and np.prod(like(body, *skirt, betas, views)) > agree * share):
        return None
    return worn


def like(
    body: Body, dressed: Body, form: np.ndarray, betas: Tensor, views: Sequence[Silhouette]
) -> tuple[float, float]:
    """Share of cloth on the pixels of skirt or coat that show it or legs or background, and how much of the coat beside
    the legs is covered."""
    out = []
    for s in views:
        on, labels = _shown(dressed, form, betas, s)
        told, cloth = on & np.isin(labels, (0, *CLOTH, *LEGS)), _beside_legs(body, betas, s)[0]
        if not told.any() or not cloth.any():
            return 0.0, 0.0
        out.append((np.isin(labels[told], CLOTH).mean(), on[cloth].mean()))
    return float(np.mean([a for a, _ in out])), float(np.mean([b for _, b in out]))


def coat_share(dressed: Body, form: np.ndarray, betas: Tensor, views: Sequence[Silhouette]) -> float:
    """Share of outerwear in what is seen of the cloth of a skirt or coat."""
    out = []
    for s in views:
        on, labels = _shown(dressed, form, betas, s)
        cloth = labels[on & np.isin(labels, CLOTH)]
        out.append((cloth == COAT).mean() if len(cloth) else 0.0)
    return float(np.mean(out))


def _shown(dressed: Body, form: np.ndarray, betas: Tensor, s: Silhouette) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [H, W] bool of the skirt or coat, which is the last segment, in a photo, and their classes [H, W]."""
    v = dressed(betas[None], s.pose[None], s.transl[None], offsets=torch.from_numpy(form)).vertices[0]
    face = rasterize_mesh(v, dressed.faces, s.camera).face[0].numpy()
    return (face >= 0) & (dressed.segment[face.clip(0)] == len(dressed.segment_names) - 1), np.asarray(s.labels)


def _beside_legs(body: Body, betas: Tensor, s: Silhouette) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Pixels [H, W] bool of outerwear on and beside the legs, heights [H, 1] on the template, whether the left leg is
    the nearest [H, W], and metres of a pixel. What is off the legs and no background is taken for outerwear, too."""
    v = body(betas[None], s.pose[None], s.transl[None]).vertices[0]
    f = rasterize_mesh(v, body.faces, s.camera)
    at = interpolate(f, body.v_template[:, :2], body.faces)[0].numpy()
    face = f.face[0].numpy()
    legs = (face >= 0) & hips(body).below[face.clip(0)]
    metre = float(s.camera.to_camera(v)[:, 2].mean() / s.camera.K[0, 0])
    nearest = distance_transform_edt(face < 0, return_indices=True)
    assert nearest is not None
    far, near = nearest
    height = np.array([np.median(y[on]) if on.any() else np.nan for y, on in zip(at[..., 1], legs, strict=True)])[
        :, None
    ]
    labels = np.asarray(s.labels)
    cloth = (labels == COAT) | ((far * metre > OFF) & (labels > 0) & ~np.isin(labels, OTHERS))
    cloth &= legs[near[0], near[1]] & (far * metre < AROUND) & (height < TOP)
    return cloth, height, at[near[0], near[1], 0] > 0, metre


def with_coat(body: Body, betas: Tensor, s: Silhouette) -> Silhouette:
    """The same with what is taken for the coat in its labels."""
    return replace(s, labels=np.where(_beside_legs(body, betas, s)[0], COAT, np.asarray(s.labels)))


def find_coat(body: Body, betas: Tensor, s: Silhouette) -> tuple[float, float] | None:
    """Metres below the loop that the coat reaches in a photo, left and right; None: no outerwear beside both legs."""
    if not (np.asarray(s.labels) == COAT).any():
        return None
    cloth, height, left, metre = _beside_legs(body, betas, s)
    if (np.asarray(s.labels)[cloth] == COAT).sum() <= OUTER * cloth.sum():
        return None
    depth = []
    for side in (left, ~left):
        width = (
            np.bincount((np.broadcast_to(TOP - height, side.shape)[cloth & side] / BIN).astype(int)) * metre**2 / BIN
        )
        above = np.cumsum(np.append(0, np.minimum(width, MOST) - PANEL))
        begin = np.minimum.accumulate(above)
        end = int((above - begin).argmax())  # of the heights with most cloth in all
        depth.append(end * BIN * bool((above - begin)[end] > SOME))
    longer = max(depth)
    if longer < LEAST:
        return None
    if min(depth) < BOTH * longer:
        return (longer, longer) if _in_sleeves(body, betas, s) else None
    return depth[0], depth[1]


def _in_sleeves(body: Body, betas: Tensor, s: Silhouette) -> bool:
    """Whether both arms are in the sleeves of outerwear."""
    face = rasterize_mesh(body(betas[None], s.pose[None], s.transl[None]).vertices[0], body.faces, s.camera).face[0]
    part = body.vertex_part[body.faces[face.numpy().clip(0)]][..., 0]
    shown = lambda name: np.asarray(s.labels)[(face.numpy() >= 0) & (part == PARTS.index(name))]  # noqa: E731
    arms = [shown(f"{side}_arm") for side in ("left", "right")]
    return all(len(arm) > 0 and (arm == COAT).mean() > SLEEVES for arm in arms)


class Coat(Skirt):
    """An open coat while it is fitted: its closed grid [ROWS + 1, C, 3], as it hangs and widened."""

    def __init__(self, body: Body, dressed: Body, betas: Tensor, naked: np.ndarray, hem: float) -> None:
        super().__init__(body, dressed, betas, naked, hem)
        self.straight = self.closed = self.grid
        self.add = np.zeros((ROWS + 1, 2))  # metres that the sides are wider
        half = self.closed.shape[1] // 2
        self.open(np.full((ROWS + 1, 2), EDGE * half))

    def open(self, edge: np.ndarray) -> None:
        """Put the front edges at these columns [ROWS + 1, 2]."""
        C = self.closed.shape[1]
        self.grid = opened(self.closed, edge)[:, FIRST : C - FIRST + 1]

    def shorten(self, length: np.ndarray) -> None:
        """Give the left and the right side these lengths [2] relative to now."""
        length = length.mean() + (length[0] - length[1]) / 2 * across(self.grid[-1])
        self.grid[1:] += (self.grid[:1] - self.grid[1:]) * (1 - length)[:, None] * [0, 1, 0]

    def widen(self, views: Sequence[Silhouette]) -> None:
        """Move sides and front edges to where the cloth ends in the photos."""
        found = np.stack([self._panels(s) for s in views])  # [views, ROWS + 1, 2 sides, 2]
        found = both_sides(found)
        half = self.straight.shape[1] // 2
        down = self.straight[0, :, 1].mean() - self.straight[..., 1].mean(1)
        self.add += np.stack([smooth(found[:, :, side, 1]) for side in (0, 1)], 1)
        self.add = np.minimum(self.add.clip(NARROWEST, WIDEST), AT_HIPS + FLARE * down[:, None])
        way = self.straight - self.straight.mean(1, keepdims=True)
        most, add = np.abs(way).max(1), self.add
        self.closed = self.straight.copy()
        self.closed[..., 0] += way[..., 0] / most[:, :1] * np.where(way[..., 0] > 0, add[:, :1], add[:, 1:])
        self.closed[..., 2] += way[..., 2] / most[:, 2:] * DEEPER * add.mean(1, keepdims=True)
        self.closed = hanging(self.closed)
        edge = np.full((ROWS + 1, 2), EDGE * half)
        for side, sign in ((0, 1), (1, -1)):
            if not np.isfinite(found[..., 0]).any():
                break
            inner = smooth(found[:, :, side, 0])
            for r in range(ROWS + 1):
                x = np.maximum.accumulate(sign * self.closed[r, (sign * np.arange(half // 2 + 1)), 0])
                edge[r, side] = np.interp(min(inner[r], WIDE) * x[-1], x, np.arange(len(x)))
        self.open(np.maximum(edge, 1))

    def _panels(self, s: Silhouette) -> np.ndarray:
        """[ROWS + 1, 2, 2] of the left and the right panel: share of the way from the middle to its end where its front
        edge is, and metres from the side outwards to its end; NaN where not told."""
        labels = np.asarray(s.labels)
        xy, z = s.camera.project(self.posed(s)[self.number].reshape(-1, 3))
        xy, z = xy.numpy().reshape(*self.number.shape, 2), z.numpy().reshape(self.number.shape)
        metre = float(s.camera.K[0, 0]) / z.mean(1)  # pixels
        out = np.full((ROWS + 1, 2, 2), np.nan)
        for r in range(ROWS + 1):
            x = self.grid[r, :, 0]  # metres from the middle
            sides = int(x.argmax()), int(x.argmin())
            axis = xy[r, sides[0]] - xy[r, sides[1]]
            if np.linalg.norm(axis) < 0.1 * metre[r]:  # seen from the side
                continue
            centre = xy[r, sides[0]] - axis * x.max() / np.ptp(x)
            axis *= metre[r] / np.linalg.norm(axis)
            for side, sign in ((0, 1), (1, -1)):
                own = float(np.linalg.norm(xy[r, sides[side]] - centre)) / metre[r]
                t = np.arange(0, own + WIDEST, STEP)
                i = np.rint(centre + sign * axis * t[:, None]).astype(int)
                i = i.clip(0, [labels.shape[1] - 1, labels.shape[0] - 1])
                seen = labels[i[:, 1], i[:, 0]]
                first, end = panel(seen == COAT, t, own)
                if end - first < PANEL:
                    continue
                behind = np.isin(
                    seen[max(0, round(first / STEP) - 1)], (COAT, 0, *LEGS, LABEL["upper"], LABEL["skirt"])
                )
                ends = seen[min(round(end / STEP), len(t) - 1)]
                out[r, side, 0] = first / end if behind else np.nan  # not where a hand or a bag is before it
                out[r, side, 1] = end - own if ends == 0 or end > own else np.nan
        return out


def panel(cloth: np.ndarray, t: np.ndarray, own: float) -> tuple[float, float]:
    """Where the longest run of cloth [n] bool at distances t [n] begins and ends, breaks aside; it is at least partly
    outside of half of ``own``."""
    gap = round(BREAK / STEP)
    at = np.flatnonzero(cloth)
    if not len(at):
        return 0.0, 0.0
    runs = [r for r in np.split(at, np.flatnonzero(np.diff(at) > gap) + 1) if t[r[-1]] > own / 2]
    if not runs:
        return 0.0, 0.0
    run = max(runs, key=len)
    return float(t[run[0]]), float(t[run[-1]] + STEP)
