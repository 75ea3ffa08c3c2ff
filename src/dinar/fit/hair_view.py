"""A photo around the head: what of it is hair, and where rendered hair differs from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..body.comb import CAP, COLUMNS, HALF, HANGING, HEAD, ROWS, head
from ..body.hair import faces_of_hair
from ..body.regions import regions
from ..labels import CLASSES, LABEL
from ..scene import Camera, rasterize_mesh
from .offsets import Silhouette

HAIR = (LABEL["hair"], LABEL["hat"])  # a hat without a shape of its own counts as hair
BARE = (LABEL["skin"], LABEL["face"])
SIZE = 160  # pixels of the crop in which styles are compared
AROUND = 0.12  # metres around the head and the hair that are looked at
# Cost of a pixel where hair is rendered and this class is seen; 1 for others. Of hair that is seen and not rendered.
WRONG = {"face": 1.5, "glasses": 1.5, "upper": 0.8, "outer": 0.8, "bag": 0.0, "accessory": 0.3, "hat": 0.0}
MISSED, ON_FACE = 1.0, 0.2  # where the body's face is behind it, it may be painted on it
SIDES_UP = 55.0, 105.0  # degrees from up, around the head's middle in the photo, at which the sides' volume is seen
TOP_UP = 35.0  # degrees from up at which that of the top is
BREAK = 0.015  # metres of something else across which hair goes on
IN, OUT = (-0.06, 0.05), (-0.06, 0.12)  # metres: bounds of the moves of rows
FRONTAL = 0.7  # least foreshortening of the head's width for rows to be measured


@dataclass(frozen=True)
class Around:
    """A square part of a photo, S pixels a side."""

    camera: Camera
    scale: float  # pixels a pixel of the photo
    labels: np.ndarray  # [S, S] uint8 classes
    inside: np.ndarray  # [S, S] bool, in the photo
    hidden: np.ndarray  # [S, S] bool, behind things in front of the person

    def costs(self, of: dict[str, float]) -> np.ndarray:
        """[S, S] the costs of the classes, 1 for others; 0 where the photo does not tell."""
        return np.array([of.get(n, 1.0) for n in CLASSES])[self.labels] * self.inside * ~self.hidden


def look_around(s: Silhouette, xy: np.ndarray, margin: float, size: int) -> Around:
    """The part of a photo with a parse around points [n, 2], with a margin; pixels."""
    low, high = xy.min(0) - margin, xy.max(0) + margin
    side = float(max(high - low))
    x0, y0 = (low + high - side) / 2
    k = size / side
    labels = np.asarray(s.labels)
    j = np.floor((np.arange(size) + 0.5) / k + x0).astype(int)
    i = np.floor((np.arange(size) + 0.5) / k + y0).astype(int)
    inside = ((i >= 0) & (i < labels.shape[0]))[:, None] & ((j >= 0) & (j < labels.shape[1]))
    at = np.ix_(i.clip(0, labels.shape[0] - 1), j.clip(0, labels.shape[1] - 1))
    hidden = np.zeros_like(inside) if s.ignore is None else s.ignore[at]
    return Around(s.camera.crop(float(x0), float(y0), k, size, size), k, labels[at], inside, hidden)


class View:
    """A photo around the head: what is seen, and the body without hair."""

    def __init__(self, body: Body, betas: Tensor, s: Silhouette, lowest: float, hat: bool = False) -> None:
        posed = body(betas[None], s.pose[None], s.transl[None])
        v = posed.vertices[0]
        self.skinning = posed.skinning[0, :, :3].numpy()
        h, metre = head(body), None
        own = np.concatenate([h.scalp, h.torso[body.v_template.numpy()[h.torso, 1] > lowest]])
        xy, z = s.camera.project(v)
        metre = float(s.camera.K[0, 0]) / float(z[h.centre].mean())  # pixels
        around = look_around(s, xy[own].numpy(), AROUND * metre, SIZE)
        self.camera, seen = around.camera, around.labels
        self.hair = np.isin(seen, HAIR[:1] if hat else HAIR) & around.inside
        f = rasterize_mesh(v, body.faces, self.camera)
        self.depth = f.depth[0].numpy()
        self.on_head = np.append((body.vertex_part == HEAD)[body.faces].all(1), False)[f.face[0].numpy()]
        face = np.append(regions(body).face[body.faces].all(1), False)[f.face[0].numpy()]
        self.wrong = around.costs(WRONG) * ~self.hair
        self.missed = np.where(face, ON_FACE, MISSED) * self.hair
        self.metre = metre * around.scale
        # what is below the chin, along the head's up
        at = self.camera.project(v)[0].numpy()
        r = regions(body).face & ~regions(body).cavity
        chin = at[r][np.argsort(body.v_template.numpy()[r, 1])[:20]].mean(0)
        up = at[h.slices[0]].mean(0) - chin
        y, x = np.mgrid[:SIZE, :SIZE] + 0.5
        self.below = (x - chin[0]) * up[0] + (y - chin[1]) * up[1] < 0
        self.hangs = float((self.hair & self.below).sum()) / self.metre**2

        # the ears, and the directions of up and of the person's left
        ears = [regions(body).ears & (body.v_template[:, 0].numpy() * sign > 0) for sign in (1, -1)]
        shown = [np.append(e[body.faces].all(1), False)[f.face[0].numpy()] for e in ears]
        self.ears = [float(np.isin(seen[e], BARE).mean()) if e.sum() > 5 else 0.0 for e in shown]
        self.centre = at[h.centre].mean(0)
        self.up = up / np.linalg.norm(up)
        sides = [np.flatnonzero(e) for e in ears]
        left = at[sides[0]].mean(0) - at[sides[1]].mean(0)
        width = float((v[sides[0]].mean(0) - v[sides[1]].mean(0)).norm()) * self.metre
        self.left = left / width  # shorter than 1 if the head is turned

    def posed(self, grid: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[n, 3] points of hair at rest with their skin weights, in the photo's world."""
        T = (weights @ self.skinning.reshape(len(self.skinning), -1)).reshape(-1, 3, 4)
        return (np.einsum("nij,nj->ni", T[..., :3], grid) + T[..., 3]).astype(np.float32)

    def rendered(self, points: np.ndarray) -> np.ndarray:
        """[SIZE, SIZE] bool: where hair is seen."""
        f = rasterize_mesh(torch.from_numpy(points), faces_of_hair(), self.camera)
        return (f.face[0].numpy() >= 0) & (f.depth[0].numpy() < self.depth)

    def outline(self, rendered: np.ndarray) -> tuple[float, float, float]:
        """Metres from the rendered to the seen outline of the hair on the head: left, right, top; NaN: not seen."""
        angle = np.deg2rad(np.arange(-SIDES_UP[1], SIDES_UP[1] + 1, 5.0))
        side = np.array([-self.up[1], self.up[0]])  # in the photo, 90 degrees from up
        way = np.cos(angle)[:, None] * self.up + np.sin(angle)[:, None] * side
        t = np.arange(0, 0.3 * self.metre)
        p = np.rint(self.centre + way[:, None] * t[:, None] - 0.5).astype(int).clip(0, SIZE - 1)
        ends = []
        for m in (rendered | (self.depth < np.inf) & self.on_head, self.hair):
            on = m[p[..., 1], p[..., 0]]
            ends.append(np.where(on.any(1), on.shape[1] - 1 - on[:, ::-1].argmax(1), np.nan))
        gap = (ends[1] - ends[0]) / self.metre
        to_left = np.sign(side @ self.left) * angle > 0
        beside = np.abs(angle) > np.deg2rad(SIDES_UP[0])
        pick = lambda k: float(np.nanmedian(gap[k])) if np.isfinite(gap[k]).any() else np.nan  # noqa: E731
        return pick(beside & to_left), pick(beside & ~to_left), pick(np.abs(angle) < np.deg2rad(TOP_UP))

    def rows(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[2, HANGING] metres outwards from the edge, and from the farthest column, of each hanging row of either side
        to those of the hair that is seen; NaN where it is not told."""
        out = np.full((2, 2, HANGING), np.nan)
        if np.linalg.norm(self.left) < FRONTAL:
            return out[0], out[1]
        xy = self.camera.project(torch.from_numpy(points))[0].numpy().reshape(-1, COLUMNS, 2)[len(CAP) : ROWS]
        scale = float(np.linalg.norm(self.left)) * self.metre
        axis = self.left / np.linalg.norm(self.left)
        gap = max(1, round(BREAK * self.metre))
        for s, sign in ((0, 1), (1, -1)):
            half = xy[:, : HALF + 1] if s == 0 else xy[:, HALF:][:, ::-1]
            for r, line in enumerate(half):
                along = sign * ((line - self.centre) @ axis)
                edge, far = along[0], along.max()
                at = line[: int(along.argmax()) + 1].mean(0)
                base = at - axis * ((at - self.centre) @ axis)
                t = np.arange(0, far + OUT[1] * scale)
                p = np.rint(base + sign * axis * t[:, None] - 0.5).astype(int)
                inside = ((p >= 0) & (p < SIZE)).all(1)
                p = p.clip(0, SIZE - 1)
                on = self.hair[p[:, 1], p[:, 0]] & inside
                on = np.convolve(on, np.ones(gap), "same") > 0 if on.any() else on
                near = np.flatnonzero(on & (t > edge + IN[0] * scale))
                if not len(near):
                    continue
                # the run of hair that overlaps the row most
                starts = near[np.diff(near, prepend=-9) > 1]
                stops = near[np.diff(near, append=10**6) > 1]
                overlap = np.minimum(stops, far) - np.maximum(starts, edge)
                k = int(overlap.argmax())
                if overlap[k] < -0.03 * scale:
                    continue
                out[0, s, r], out[1, s, r] = (starts[k] + gap // 2 - edge) / scale, (stops[k] - gap // 2 - far) / scale
        return out[0], out[1]
