"""What the four stages learn from: views of people of any source, as arrays that a network takes (§3.1, §4.2).

Sources are mixed by weight. Multi-view sets give two different views of one person, one to encode and one to render;
single photos give the same view twice, with holes punched into what the networks see.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body, load_body
from ..body.regions import regions
from ..data.augment import augment
from ..data.views import Source, Views
from ..errors import DinarError
from ..scene import interpolate, vertex_normals
from ..texture.occlusion import occlusion_outlines

FACE_MARGIN = 0.15  # of the face's box, on each side
HOLES = 0.4  # of the known texels, on average, that are hidden where input and target are the same picture


class People:
    """Several sources as one, drawn by weight."""

    def __init__(
        self,
        sources: Sequence[Source],
        weights: Sequence[float] = (),  # how often each is drawn from; none: equally
        size: int = 512,  # pixels a side
        holdout: int = 0,  # the last people of the first source are kept for validation
        augmented: bool = True,  # camera angle, colour shift and mirror (§4.2)
        body: Body | None = None,
    ) -> None:
        self.sources, self.size, self.holdout, self.augmented = list(sources), size, holdout, augmented
        weights = list(weights) or [1.0] * len(self.sources)
        if not self.sources or len(weights) != len(self.sources):
            raise DinarError(f"expected one or more sources of people and a weight for each, got {len(self.sources)} "
                             f"and {len(weights)}")  # fmt: skip
        self.share = np.cumsum(weights) / np.sum(weights)
        self.body = body or load_body(self.sources[0].body)  # type: ignore[arg-type]
        for s in self.sources:
            if s.body != self.body.name:
                raise DinarError(f"expected sources with the {self.body.name} body alone, got one with {s.body}")
        self.counts = [2**31 if s.num_people is None else s.num_people for s in self.sources]
        self.counts[0] -= holdout
        if min(self.counts) < 1:
            raise DinarError(f"expected more than {holdout} people in the first source and some in the others: "
                             f"{holdout} are kept for validation")  # fmt: skip

    def pair(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Two different views of one person: ``in_*`` to encode, ``out_*`` to render; or one view twice."""
        k = min(int((rng.random() >= self.share).sum()), len(self.sources) - 1)
        person = int(rng.integers(self.counts[k]))
        n = self.sources[k].num_views(person)
        chosen = rng.choice(n, 2, replace=False).tolist() if n > 1 else [0]
        return self.arrays(self._views(k, person, chosen, rng), single=n == 1, rng=rng)

    def all_views(self, rng: np.random.Generator, views: int) -> dict[str, np.ndarray]:
        """``in_*`` [views, ...] of one person, the most frontal first, and how many of them are different."""
        k = min(int((rng.random() >= self.share).sum()), len(self.sources) - 1)
        person = int(rng.integers(self.counts[k]))
        n = self.sources[k].num_views(person)
        chosen = rng.permutation(n)[:views].tolist()
        found = self._views(k, person, chosen, rng)
        order = np.argsort(-frontality(found), kind="stable").tolist()
        order = [order[i % len(order)] for i in range(views)]  # a batch needs as many of everybody
        out = self.arrays(found.select(order), every=True)
        return out | {"different": np.float32(len(chosen))}

    def held_out(self, i: int) -> dict[str, np.ndarray]:
        """Validation person i of ``holdout``: the most frontal view, and one far from it."""
        person = self.counts[0] + i
        n = self.sources[0].num_views(person)
        v = self.sources[0].views(person)
        order = np.argsort(-frontality(v), kind="stable")
        # evens: a view near the front; odds: the back
        other = int(order[min(1, n - 1)] if i % 2 == 0 else order[-1])
        return self.arrays(v.select([int(order[0]), other]))

    def _views(self, k: int, person: int, chosen: list[int], rng: np.random.Generator) -> Views:
        v = self.sources[k].views(person, chosen).to("cpu")
        if self.augmented:
            v = augment(v, self.body, torch.Generator().manual_seed(int(rng.integers(2**31))))
        return v

    def arrays(
        self, v: Views, single: bool = False, every: bool = False, rng: np.random.Generator | None = None
    ) -> dict[str, np.ndarray]:
        """Views as arrays. With ``every`` all are ``in_*`` [views, ...]; else the first is, and the last ``out_*``."""
        x = view_arrays(v, self.body, self.size)
        if every:
            return {f"in_{k}": a for k, a in x.items()}
        out = {f"in_{k}": a[0] for k, a in x.items()} | {f"out_{k}": a[-1] for k, a in x.items()}
        keep = holes(self.size, rng) if single and rng is not None else np.ones((1, self.size, self.size), np.float32)
        out["in_body"] = out["in_body"] * keep
        return out


def view_arrays(v: Views, body: Body, size: int) -> dict[str, np.ndarray]:
    """For N views [N, ...]: rgb [3, S, S] on white, mask [1, S, S], uv [2, S, S], body and sure [1, S, S] (without
    occlusion outlines), facing [1, S, S], face [4] the box of the face in [0, 1]."""
    r = v.raster(body, size, fitted=True)
    rgb = v.rgb.permute(0, 3, 1, 2).float() / 255
    alpha = v.alpha[:, None].float() / 255
    if v.size != (size, size):
        rgb, alpha = (F.interpolate(t, size=(size, size), mode="area") for t in (rgb, alpha))
    cosines = _facing(v, r.vertices, body)
    facing = interpolate(r.fragments, cosines[..., None], body.faces).permute(0, 3, 1, 2)
    on = r.mask[:, None].float()
    sure = on.clone()
    for i in range(len(v)):
        one = type(r.fragments)(*(getattr(r.fragments, k)[i : i + 1] for k in ("face", "barycentrics", "depth")))
        sure[i, 0] *= torch.from_numpy(~occlusion_outlines(body, one))
    tensors = {"rgb": rgb * alpha + 1 - alpha, "mask": alpha, "uv": r.uv.permute(0, 3, 1, 2), "drawn": on, "body": sure,
               "facing": facing, "face": face_boxes(r.fragments.face, body)}  # fmt: skip
    return {k: t.contiguous().numpy() for k, t in tensors.items()}


def _facing(v: Views, vertices: Tensor, body: Body) -> Tensor:
    """[N, V] cosine between normal and direction to the camera, λ of §3.2."""
    R, t = v.T_cam_world[:, :3, :3], v.T_cam_world[:, :3, 3]
    eye = -(R.mT @ t[..., None])[..., 0]
    to_camera = F.normalize(eye[:, None] - vertices, dim=-1)
    return (vertex_normals(vertices, body.faces) * to_camera).sum(-1).clamp(min=0)


def frontality(v: Views) -> np.ndarray:
    """[N] cosine between where the hips face and where the camera is, seen from above."""
    from ..body.rotation import axis_angle_to_matrix

    forward = axis_angle_to_matrix(v.fit.pose[:, 0])[:, :, 2]  # the body faces +z
    back = -v.T_cam_world[:, 2, :3]
    forward, back = (F.normalize(x[:, [0, 2]], dim=-1) for x in (forward, back))
    return (forward * back).sum(-1).numpy()


def face_boxes(face: Tensor, body: Body) -> Tensor:  # [N, H, W] int32 face index -> [N, 4] x0, y0, x1, y1 in [0, 1]
    """Box of what is seen of the face, with a margin; zeros where less than 12 pixels are."""
    on = torch.from_numpy(_face_triangles(body))[face.clamp(min=0).long()] & (face >= 0)
    n, h, w = face.shape
    out = torch.zeros(n, 4)
    for i in range(n):
        ys, xs = on[i].nonzero(as_tuple=True)
        if len(ys) < 12:
            continue
        x0, x1, y0, y1 = (float(q) for q in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1))
        m = FACE_MARGIN * max(x1 - x0, y1 - y0)
        out[i] = torch.tensor([(x0 - m) / w, (y0 - m) / h, (x1 + m) / w, (y1 + m) / h]).clamp(0, 1)
    return out


@lru_cache(maxsize=2)
def _face_triangles(body: Body) -> np.ndarray:
    return regions(body).face[body.faces].any(1)


def holes(size: int, rng: np.random.Generator) -> np.ndarray:
    """[1, S, S] {0, 1}: random boxes are 0, so that a single photo's own view is not a mere copy."""
    keep = np.ones((1, size, size), np.float32)
    hidden = rng.uniform(0, 2 * HOLES)
    while (keep == 0).mean() < hidden:
        h, w = (rng.uniform(0.08, 0.35, 2) * size).astype(int)
        y, x = int(rng.integers(-h // 2, size - h // 2)), int(rng.integers(-w // 2, size - w // 2))
        keep[:, max(0, y) : max(0, y + h), max(0, x) : max(0, x + w)] = 0
    return keep


def open_people(
    data: Sequence[Path], weights: Sequence[float], size: int, holdout: int, augmented: bool = True, seed: int = 0
) -> People:
    """Sources by path: multi-view folders and shards (``dinar synthesize``, ``dinar fit --frames``), PHOTOS:FITS for a
    folder of photos and its set (``dinar fit``), and the word ``synthetic`` for endless people made on the way."""
    from ..data.photos import Photos
    from ..data.shards import open_set
    from ..data.synthetic import Synthetic

    sources: list[Source] = []
    for path in data:
        if str(path) == "synthetic":
            sources.append(Synthetic(seed, size))
        elif ":" in str(path):
            photos, fits = str(path).split(":", 1)
            sources.append(Photos(photos, fits, size))
        else:
            sources.append(open_set(path))
    if not sources:
        raise DinarError("expected --data: multi-view folders (dinar synthesize), PHOTOS:FITS, or the word synthetic")
    return People(sources, weights, size, holdout, augmented)
