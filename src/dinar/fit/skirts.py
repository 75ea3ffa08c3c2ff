"""Decide from a parse whether a skirt is worn, and fit it: hem, width and depth.

Heights are those of the body's template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree
from torch import Tensor

from ..body import Body
from ..body.body import PARTS
from ..body.shells import Shell, wear
from ..body.skirt import ROWS, TOP, TORSO, grid_of, hang, hips, rows_of, with_lining
from ..labels import CLASSES, LABEL
from ..scene import interpolate, rasterize_mesh
from .offsets import Silhouette

CLOTH = tuple(LABEL[n] for n in ("skirt", "outer", "upper"))  # what a skirt may be the lower part of
LEGS = tuple(LABEL[n] for n in ("skin", "lower", "legwear", "shoes"))  # what is seen where no skirt is
BIN = 0.01  # metres: height of a bin of votes
LEAST = 0.14  # metres below the loop that a skirt reaches, at least
LOWEST = -0.88  # metres: height of a hem on the ankles
SINGLE = -0.34  # metres: "upper" that reaches farther down covers legs singly: jumpsuits
LEAST_PIXELS = 200  # of cloth on the legs
AGREE, AGREE_MIDDLE = 0.6, 0.5  # least share of cloth on the pixels of the skirt, and on those of its middle third
WIDTHS = 3  # rounds of the fit of widths
HEMS, SHORTER = 3, 0.85  # rounds of the fit of the hem; share of the length to which it is cut without another one
WIDEST, NARROWEST = 0.6, -0.01  # metres, bounds of the widening of a side
AT_HIPS, FLARE = 0.06, 1.2  # metres that the loop is widened at most, and metres a metre farther down
NARROWS = 0.1  # metres that a side, front or back comes in for a metre farther down, at most
SLEEVE = 0.05  # metres around the arms in which cloth is a sleeve's
UNEVEN = 0.12  # metres that a side may be wider than the other: bags are taken for cloth
ABOVE = 0.15  # metres above the loop up to which the body is widened with it
STEP = 0.005  # metres between samples across and along
BREAK = 0.03  # metres of other classes across which cloth goes on: belts, folds, bracelets
COVERED = 0.5  # least share of cloth between axis and side for a row to tell its width
CULOTTES, LONG = 0.06, -0.8  # metres that trousers are wider than legs at least, in their lower half; lowest hem
DEEPER, FLATTER = 0.6, 0.3  # metres of depth for a metre of width, of a skirt wider or narrower than the legs
BEND, WIDTH_ERROR = 30.0, 0.03  # smoothness of widths down a skirt; metres at which a width counts half
HELD = 3.0  # how many told widths it counts that cloth lies on the hips where the skirt begins
WAVES, HEM_ERROR = (0.0, 1.0, 3.0), 0.08  # priors of the hem's mean and waves; share of the length that counts half
ROBUST_STEPS = 5
INNER = 0.92  # share of the way to a column at which the hem is looked for: outlines are background by a pixel or two
BEYOND = 0.15  # metres below the hem where it is looked for
FACING = 0.35  # least cosine between a column and the camera for it to be seen


def fit_skirt(body: Body, betas: Tensor, views: Sequence[Silhouette]) -> tuple[Body, np.ndarray] | None:
    """The body with the skirt or the culottes that the parses show, if any, and the offsets [V, 3] of its form."""
    naked = body.rest(betas[None])[0][0].numpy()
    views = [without_sleeves(body, betas, s) for s in views]
    found = _fitted(body, betas, views, naked)
    if found is None:  # trousers far wider than legs, which end above the ankles
        as_skirt = lambda x: np.where(np.asarray(x) == LABEL["lower"], LABEL["skirt"], x)  # noqa: E731
        found = _fitted(body, betas, [replace(s, labels=as_skirt(s.labels)) for s in views], naked, LONG)
        if found is None or found.add[ROWS // 2 :].mean() < CULOTTES:
            return None
    return found.dressed, found.offsets()


def _fitted(
    body: Body, betas: Tensor, views: Sequence[Silhouette], naked: np.ndarray, lowest: float = -np.inf
) -> Skirt | None:
    hems = [h for s in views if (h := find_hem(body, betas, s)) is not None]
    if 2 * len(hems) <= len(views):
        return None
    hem = float(np.median(hems))
    if hem < lowest:
        return None
    for _ in range(HEMS):
        skirt = Skirt(body, wear(body, (Shell("skirt", round(hem, 3)),)), betas, naked, hem)
        agree = [skirt.agreement(s) for s in views]
        if np.mean([a for a, _ in agree]) < AGREE or np.mean([m for _, m in agree]) < AGREE_MIDDLE:
            return None
        for _ in range(WIDTHS):
            skirt.widen(views)
        length = skirt.cut(views)
        if length > SHORTER:
            return skirt
        hem = TOP + length * (hem - TOP)  # the legs under a hem so much higher must be there
        if TOP - hem < LEAST:
            break
    return None


def find_hem(body: Body, betas: Tensor, s: Silhouette) -> float | None:
    """Height of the hem in a photo; None: no cloth of a skirt on the legs."""
    labels = np.asarray(s.labels)
    vertices = body(betas[None], s.pose[None], s.transl[None]).vertices[0]
    f = rasterize_mesh(vertices, body.faces, s.camera)
    height = interpolate(f, body.v_template[:, 1:2], body.faces)[0, ..., 0].numpy()
    face = f.face[0].numpy()
    legs = (face >= 0) & hips(body).below[face.clip(0)] & (height < TOP)
    seen, at = labels[legs], ((TOP - height[legs]) / BIN).astype(int)
    kinds = [c for c in CLOTH if (seen == c).sum() > 0]
    vote = np.isin(seen, CLOTH).astype(float) - np.isin(seen, LEGS)
    if np.isin(seen, CLOTH).sum() < LEAST_PIXELS:
        return None
    depth = last(np.bincount(at, vote)) * BIN
    mostly = max(kinds, key=lambda c: int((seen == c).sum()))
    hem = max(TOP - depth, LOWEST)
    if depth < LEAST or (CLASSES[mostly] == "upper" and hem < SINGLE):
        return None
    return hem


def without_sleeves(body: Body, betas: Tensor, s: Silhouette) -> Silhouette:
    """The same with cloth on and around the arms taken for something in front of the skirt."""
    vertices = body(betas[None], s.pose[None], s.transl[None]).vertices[0]
    arms = np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith(("arm", "hand"))])
    face = rasterize_mesh(vertices, body.faces, s.camera).face[0].numpy()
    metre = float(s.camera.to_camera(vertices)[:, 2].mean() / s.camera.K[0, 0])  # of a pixel
    near = distance_transform_edt(~((face >= 0) & arms[body.faces[face.clip(0)]].all(2)))
    assert isinstance(near, np.ndarray)
    labels = np.asarray(s.labels)
    return replace(s, labels=np.where((near * metre < SLEEVE) & np.isin(labels, CLOTH), LABEL["bag"], labels))


def last(votes: np.ndarray) -> int:
    """How many of the first votes have the largest sum."""
    total = np.concatenate([[0], np.cumsum(votes)])
    return int(total.argmax())


def robust(A: np.ndarray, y: np.ndarray, prior: np.ndarray, scale: float) -> np.ndarray:
    """Least squares of A x = y where y is finite, with weights 1 / (1 + (error / scale)²) and a prior x' P x."""
    known = np.isfinite(y)
    A, y, w = A[known], y[known], np.ones(known.sum())
    x = np.zeros(A.shape[1])
    for _ in range(ROBUST_STEPS):
        x = np.linalg.solve((A.T * w) @ A + prior + 1e-9 * np.eye(len(x)), (A.T * w) @ y)
        w = 1 / (1 + ((A @ x - y) / scale) ** 2)
    return x


def smooth(found: np.ndarray, held: float = 0.0) -> np.ndarray:
    """[R] a curve with little bend through values [views, R], of which those that are not told are NaN, and, as much as
    it is held, from 0."""
    R = found.shape[1]
    bend = np.diff(np.eye(R), 2, axis=0)
    prior = BEND * bend.T @ bend
    prior[0, 0] += held
    return robust(np.tile(np.eye(R), (len(found), 1)), found.ravel(), prior, WIDTH_ERROR)


def hanging(grid: np.ndarray) -> np.ndarray:
    """A grid [R, C, 3] whose columns come in by NARROWS at most: cloth hangs from what is wide above it. The parse ends
    early where a hem is rounded."""
    middle = grid[0].mean(0)
    out = grid - middle
    for above, row in pairwise(out):
        least = np.abs(above) - NARROWS * np.abs(row - above)[:, 1:2]
        row[:] = np.sign(row) * np.maximum(np.abs(row), least * [1, 0, 1])
    return middle + out


def both_sides(found: np.ndarray) -> np.ndarray:
    """Values [views, R, 2 sides, ...] with those of the other side where one is not told (NaN)."""
    return np.where(np.isfinite(found), found, found[:, :, ::-1])


def across(row: np.ndarray) -> np.ndarray:
    """[C] in [-1, 1]: where the columns of a row [C, 3] are between its right and its left end; in the middle of the
    back they are close."""
    return row[:, 0] / np.abs(row[:, 0]).max()


def _end(on: np.ndarray) -> int:
    """Index at which the first run of ``on`` [n] bool ends, breaks aside."""
    first, gap = int(on.argmax()), round(BREAK / STEP)
    other = np.convolve(~on[first:], np.ones(gap), "valid") >= gap
    return first + (int(other.argmax()) if other.any() else len(on) - first - 1)


class Skirt:
    """A skirt while it is fitted: its grid [ROWS + 1, C, 3] on the shaped body at rest."""

    def __init__(self, body: Body, dressed: Body, betas: Tensor, naked: np.ndarray, hem: float) -> None:
        self.body, self.dressed, self.betas = body, dressed, betas
        self.C = len(hips(body).loop)
        self.rest = dressed.rest(betas[None])[0][0].numpy()  # without offsets
        self.number = grid_of(dressed)[: ROWS + 1]
        self.own = np.isin(np.arange(dressed.num_vertices), grid_of(dressed))  # the loop too
        legs = naked[np.unique(body.faces[hips(body).below]), 1]
        template = body.v_template.numpy()[np.unique(body.faces[hips(body).below]), 1]
        # heights of the template on the shape: linear between the loop and the soles
        scale = (np.median(naked[hips(body).loop, 1]) - legs.min()) / (
            np.median(body.v_template.numpy()[hips(body).loop, 1]) - template.min()
        )
        heights = rows_of(body, hem)
        self.straight = hang(body, naked, naked[hips(body).loop, 1] + (heights - heights[0]) * scale, feet=False)
        self.grid, self.add = self.straight, np.zeros((ROWS + 1, 2))  # metres that the sides are wider

    def offsets(self) -> np.ndarray:
        """[V, 3] that put the body's skirt where the grid is."""
        D = np.zeros_like(self.rest)
        D[self.number] = self.grid - self.rest[self.number]
        # the hips above the loop are widened with it
        loop, y = self.number[0], self.rest[:, 1]
        hips = np.flatnonzero((self.dressed.vertex_part == TORSO) & (y < y[loop].mean() + ABOVE) & ~self.own)
        near = KDTree(self.rest[loop][:, [0, 2]]).query(self.rest[hips][:, [0, 2]])[1]
        fade = 1 - ((y[hips] - y[loop][near]) / ABOVE).clip(0, 1)
        D[hips] = D[loop][near] * fade[:, None]
        return with_lining(self.dressed, D)

    def posed(self, s: Silhouette) -> Tensor:
        """[V, 3] in a photo."""
        D = torch.from_numpy(self.offsets())
        return self.dressed(self.betas[None], s.pose[None], s.transl[None], offsets=D).vertices[0]

    def agreement(self, s: Silhouette) -> tuple[float, float]:
        """Share of cloth on the pixels of the skirt that show it or legs or background; and in its middle third."""
        f = rasterize_mesh(self.posed(s), self.dressed.faces, s.camera)
        face = f.face[0].numpy()
        on = (face >= 0) & (self.dressed.segment[face.clip(0)] == len(self.dressed.segment_names) - 1)
        seen = np.asarray(s.labels)[on]
        x = np.abs(interpolate(f, self.dressed.v_template[:, :1], self.dressed.faces)[0, ..., 0].numpy()[on])
        told = np.isin(seen, (0, *CLOTH, *LEGS))
        middle = told & (x < np.abs(self.grid[..., 0]).max() / 3)
        if not told.any() or not middle.any():
            return 0.0, 0.0
        return float(np.isin(seen[told], CLOTH).mean()), float(np.isin(seen[middle], CLOTH).mean())

    def widen(self, views: Sequence[Silhouette]) -> None:
        """Move either side of each row to where the cloth ends in the photos."""
        told = np.stack([self._sides(s) for s in views])  # [views, ROWS + 1, 2, 2] metres, NaN where not told
        found, most = both_sides(told[..., 0]), told[..., 1].max(0)
        add = np.stack([smooth(self.add[:, side] + found[..., side], HELD) for side in (0, 1)], 1)
        add = np.minimum(np.minimum(add, add[:, ::-1] + UNEVEN), self.add + most)
        add = add.clip(NARROWEST, WIDEST)
        down = self.straight[0, :, 1].mean() - self.straight[..., 1].mean(1)
        self.add = add = np.minimum(add, AT_HIPS + FLARE * down[:, None])
        way = self.straight - self.straight.mean(1, keepdims=True)
        half = np.abs(way).max(1, keepdims=True)
        across = np.where(way[..., 0] > 0, add[:, :1], add[:, 1:])
        deep = add.mean(1, keepdims=True)
        self.grid = self.straight.copy()
        self.grid[..., 0] += way[..., 0] / half[..., 0] * across
        self.grid[..., 2] += way[..., 2] / half[..., 2] * deep * np.where(deep > 0, DEEPER, FLATTER)
        self.grid = hanging(self.grid)

    def _sides(self, s: Silhouette) -> np.ndarray:
        """[ROWS + 1, 2, 2] metres from the person's left and right side of each row outwards to the end of the cloth,
        NaN where not told, and to the end of the person, infinite where not told."""
        labels = np.asarray(s.labels)
        xy, z = s.camera.project(self.posed(s)[self.number].reshape(-1, 3))
        xy, z = xy.numpy().reshape(ROWS + 1, self.C, 2), z.numpy().reshape(ROWS + 1, self.C)
        metre = float(s.camera.K[0, 0]) / z.mean(1)  # pixels
        out = np.full((ROWS + 1, 2, 2), (np.nan, np.inf))
        quarter = self.C // 4
        left, right = xy[:, quarter], xy[:, self.C - quarter]
        for r in range(ROWS + 1):
            centre, axis = xy[r].mean(0), left[r] - right[r]
            if np.linalg.norm(axis) < 0.1 * metre[r]:  # seen from the side: across is along the picture's rows
                continue
            axis = axis / np.linalg.norm(axis)
            along = (xy[r] - centre) @ axis
            for side, sign in ((0, 1), (1, -1)):
                own = (sign * along).max() / metre[r]
                t = np.arange(0, own + WIDEST, STEP)
                p = centre + sign * axis * t[:, None] * metre[r]
                i = np.rint(p).astype(int).clip(0, [labels.shape[1] - 1, labels.shape[0] - 1])
                seen = labels[i[:, 1], i[:, 0]]
                cloth, person = np.isin(seen, CLOTH), seen != LABEL["background"]
                if person[t < own].mean() > COVERED:
                    out[r, side, 1] = t[_end(person)] - own
                if cloth[t < own].mean() < COVERED:
                    continue
                end = _end(cloth)
                if not person[end] or t[end] > own:  # not behind a hand or a bag
                    out[r, side, 0] = t[end] - own
        return out

    def cut(self, views: Sequence[Silhouette]) -> float:
        """Give the columns the lengths at which the cloth ends in the photos; returns their mean relative to before."""
        found = np.stack([self._hems(s) for s in views])
        if not np.isfinite(found).any():
            return 1.0
        # a hem is a low wave around the skirt; the back of one that is seen from the front is as high as its front
        x = across(self.grid[-1])
        waves = np.stack([np.ones(self.C), x, 1 - 2 * x * x], 1)
        length = waves @ robust(np.tile(waves, (len(found), 1)), found.ravel(), np.diag(WAVES), HEM_ERROR)
        row = np.arange(ROWS + 1)
        for c in range(self.C):
            at = row * length[c]
            inside = np.minimum(at, ROWS)
            g = np.stack([np.interp(inside, row, self.grid[:, c, k]) for k in range(3)], 1)
            self.grid[:, c] = g + np.maximum(at - ROWS, 0)[:, None] * (self.grid[-1, c] - self.grid[-2, c])
        return float(length.mean())

    def _hems(self, s: Silhouette) -> np.ndarray:
        """[C] length of each column relative to now, at which the cloth ends in the photo; NaN where not seen."""
        labels = np.asarray(s.labels)
        p = self.posed(s)[self.number]
        p = torch.cat([p, p[-1:] + (p[-1:] - p[-2:-1])])  # one more row
        step = float((p[1] - p[0]).norm(dim=1).mean())
        beyond = BEYOND / step
        at = np.arange(0, ROWS + beyond, STEP / step)
        low = np.minimum(at.astype(int), ROWS - 1)
        part = torch.from_numpy(at - low)[:, None, None].float()
        q = p[low] * (1 - part) + p[low + 1] * part  # [n, C, 3]
        normal = torch.linalg.cross(*torch.gradient(p[:-1], dim=(0, 1)))
        view = torch.nn.functional.normalize(s.camera.position - p[:-1], dim=-1)
        faces = (torch.nn.functional.normalize(normal, dim=-1) * view).sum(-1).mean(0).numpy() > FACING
        q = q.mean(1, keepdim=True) + INNER * (q - q.mean(1, keepdim=True))
        xy = np.rint(s.camera.project(q.reshape(-1, 3))[0].numpy()).astype(int)
        inside = ((xy >= 0) & (xy < [labels.shape[1], labels.shape[0]])).all(1)
        xy = xy.clip(0, [labels.shape[1] - 1, labels.shape[0] - 1])
        seen = np.where(inside, labels[xy[:, 1], xy[:, 0]], LABEL["bag"]).reshape(len(at), -1)
        vote = np.isin(seen, CLOTH).astype(float) - np.isin(seen, (LABEL["background"], *LEGS))
        out = np.array([at[min(last(v), len(at) - 1)] / ROWS for v in vote.T])
        return np.where(faces & (np.abs(vote[-1 - round(beyond) :]).max(0) > 0), out, np.nan)
