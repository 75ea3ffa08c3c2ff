"""Samples of `--windows`: the target is a square cut out of a view that is drawn larger than the network's pictures.

A window is the view with another camera (``Camera.crop``): UV render and coverage are rasterised at the window's scale,
and the picture is resampled from the source's. So pictures of S² teach the renderer pictures of 4 S a side. The encoded
view stays the whole person. Sampled colours are looked up in its picture as the source has it, by the rules of
:func:`dinar.texture.gather`: they are as sharp as those that ``create`` gives the renderer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from ..neural.arrays import frontality, mirror_arrays
from ..scene import Fragments, coverage, interpolate, rasterize
from ..texture.merge import SHARPNESS
from ..texture.sample import GRAZING
from ..views import project
from .looks import JOINTS, LOOKED, WHOLE, Looks, mesh, to8
from .people import holes

SCALES = (1.5, 4.0)  # sides of the drawn view, in sides of the window
ENLARGED = 1.5  # a window's pixels for each of the source's picture, at most
PLACED = 0.5  # share of windows around a part or an outline; the others are anywhere on the person
PARTS = {"head": 0.35, "hand": 0.2, "foot": 0.15, "outline": 0.3}  # shares of these
JITTER = 0.25  # of the window's side: how far around the part its centre may be
GRID = 8  # pixels between those among which a place is drawn
SAME = 0.5  # share of a face's box that a window shows, at least; otherwise the window has no face
PICTURE = 3  # sides of pictures that are cropped or rendered for training, in sides of the window


@dataclass(frozen=True)
class Window:
    """A square of a view: window pixel = (view pixel - (x0, y0)) * scale."""

    x0: float
    y0: float
    scale: float
    size: int  # pixels a side


# ---- a sample ------------------------------------------------------------------------------------------------------


def pair(looks: Looks, rng: np.random.Generator, windows: float, complete: float = 0.0, target: bool = False
         ) -> dict[str, np.ndarray]:  # fmt: skip
    """As :meth:`People.pair`: ``in_*``, the whole view to encode, ``out_*``, what is rendered, and ``more_*``.

    A share ``windows`` of the ``out_*`` are windows, the others whole views. ``out_seen`` [4, S, S] are the colours
    that the encoded views show of its pixels, and where. See :func:`floats`.
    """
    people = looks.people
    k, person = people.draw(rng)
    n = looks.num_views(k, person)
    chosen = rng.choice(n, 2, replace=False).tolist() if n > 1 else [0]
    whole = complete > 0 and rng.random() < complete
    third = [i for i in range(n) if i not in chosen] if whole and not target else []
    more = [int(rng.choice(third))] if third else [chosen[-1]] if whole and target else []
    rows = looks(k, person, [*chosen, *more])
    first, out = rows[0], rows[min(1, n - 1)]
    keep = None if n > 1 else holes(people.size, rng)
    w = choose(out, people.size, rng, windows)
    x = one(first, out, w, [(first, keep), *((r, None) for r in rows[len(chosen) :])])
    if keep is not None:
        x["in_sample_mask"] = x["in_sample_mask"] * keep.astype(np.uint8)
    if complete > 0:
        last = rows[-1] if more else first
        x |= {f"more_{name}": last[name] for name in WHOLE}
        if not more:
            x["more_sample_mask"] = x["in_sample_mask"]
        x["complete"] = np.array([whole], np.float32)
    return mirrored(x) if rng.random() < 0.5 else {name: np.ascontiguousarray(a) for name, a in x.items()}


def held_out(looks: Looks, i: int) -> dict[str, np.ndarray]:
    """Held-out person i, without mirroring: even i a whole view, odd i a window."""
    people = looks.people
    person = people.counts[0] + i
    views = list(range(people.sources[0].num_views(person)))
    rows = looks(0, person, views)
    first = int(frontality(people.sources[0].views(person)).argmax())
    rng = np.random.default_rng([i])
    others = [j for j in views if j != first] or views
    out = rows[int(rng.choice(others))]
    w = choose(out, people.size, rng, float(i % 2))
    x = one(rows[first], out, w, [(rows[first], None)])
    return {name: np.ascontiguousarray(a) for name, a in x.items()}


def one(
    first: np.void, out: np.void, w: Window, inputs: Sequence[tuple[np.void, np.ndarray | None]]
) -> dict[str, np.ndarray]:
    """``in_*`` of the first view and ``out_*`` of a window."""
    return {f"in_{name}": first[name] for name in WHOLE} | {f"out_{n}": a for n, a in draw(out, w, inputs).items()}


def mirrored(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The sample with left and right exchanged."""
    out = dict(x)
    for way in ("in", "out", "more"):
        part = {n[len(way) + 1 :]: a[None] for n, a in x.items() if n.startswith(way + "_")}
        if part:
            part.setdefault("face", np.zeros((1, 4), np.float32))
            part = {"body_mask": part.get("sample_mask", part["uv"]), **part}
            flipped = mirror_arrays(part)
            out |= {n: flipped[n[len(way) + 1 :]][0] for n in x if n.startswith(way + "_")}
    return out


def choose(view: np.void, size: int, rng: np.random.Generator, windows: float) -> Window:
    """A window of a view, or the whole view: with probability ``windows`` the former."""
    alpha = view["picture"][..., 3]
    side = len(alpha)
    if rng.random() >= windows:
        return Window(0.0, 0.0, size / side, size)
    low, high = (np.log(s) for s in SCALES)
    scale = min(float(np.exp(rng.uniform(low, high))) * size / side, ENLARGED)
    width = size / scale  # of the window, in the view's pixels
    kind = str(rng.choice(list(PARTS), p=list(PARTS.values()))) if rng.random() < PLACED else "person"
    if kind in JOINTS:
        first = 2 * list(JOINTS).index(kind)
        centre = view["parts"][first : first + 2].mean(0) if kind == "head" else view["parts"][first + rng.integers(2)]
        centre = centre + rng.uniform(-JITTER, JITTER, 2) * width
    else:
        on = alpha[::GRID, ::GRID] > 127
        if kind == "outline":
            on = on & (cv2.erode(on.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
        places = np.argwhere(on)
        place = places[rng.integers(len(places))] if len(places) else np.array([side, side]) / (2 * GRID)
        centre = (place[::-1] + 0.5) * GRID
    x0, y0 = np.clip(np.asarray(centre, np.float64) - width / 2, 0, max(side - width, 0))
    return Window(float(x0), float(y0), scale, size)


def draw(view: np.void, w: Window, inputs: Sequence[tuple[np.void, np.ndarray | None]]) -> dict[str, np.ndarray]:
    """The arrays of a window as :func:`dinar.neural.arrays.view_arrays` names them, and ``seen`` [4, S, S]:
    the colours that other views (with masks [1, s, s] of what is not hidden in them, or None) show there, and 1 where
    one does."""
    s = w.size
    A = torch.tensor([[w.scale, 0.0, -w.scale * w.x0], [0, w.scale, -w.scale * w.y0], [0, 0, 1]])
    K, T = torch.from_numpy(view["K"])[None], torch.from_numpy(view["T"])[None]
    vertices, faces, atlas, uv_faces = mesh(view)
    xy, z = project(torch.from_numpy(vertices)[None], A @ K, T)
    on = near(xy[0].numpy(), faces, s)
    faces, uv_faces = faces[on], uv_faces[on]
    f = rasterize(xy, z, faces, s, s)
    uv = interpolate(f, torch.from_numpy(atlas), uv_faces)[0].permute(2, 0, 1)
    picture = resampled(view["picture"], w)
    side = view["picture"].shape[0]
    return {
        "rgb": picture[..., :3].transpose(2, 0, 1), "mask": picture[None, ..., 3], "uv": uv.numpy().astype(np.float16),
        "body_mask": f.mask.numpy() * np.uint8(255), "cover": to8(coverage(xy, z, faces, s, s).numpy()),
        "face": face_in(view["face"] * side, w), "seen": seen(f, faces, inputs, w.scale),
    }  # fmt: skip


def near(xy: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    """[F] bool: faces that may touch a picture of ``size`` pixels."""
    x, y = xy.T
    beyond = (x < 0) + 2 * (x > size) + 4 * (y < 0) + np.uint8(8) * (y > size)
    return np.asarray(np.bitwise_and.reduce(beyond.astype(np.uint8)[faces], 1) == 0)


def resampled(picture: np.ndarray, w: Window) -> np.ndarray:
    """A window of a picture [H, W, 4] uint8, smoothed first where it shrinks: [size, size, 4] uint8."""
    side, k = w.size / w.scale, w.scale
    pad = 4
    x0, y0 = max(int(w.x0) - pad, 0), max(int(w.y0) - pad, 0)
    part = picture[y0 : int(w.y0 + side) + pad + 1, x0 : int(w.x0 + side) + pad + 1]
    if k < 1:
        part = cv2.GaussianBlur(part, (0, 0), max(0.4 / k, 0.3))
    A = np.array([[k, 0, (x0 - w.x0) * k + 0.5 * k - 0.5], [0, k, (y0 - w.y0) * k + 0.5 * k - 0.5]])
    flags = cv2.INTER_CUBIC if k > 1 else cv2.INTER_LINEAR
    return cv2.warpAffine(part, A, (w.size, w.size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def face_in(box: np.ndarray, w: Window) -> np.ndarray:
    """A face's box (pixels of the view) in a window, [4] in [0, 1]; zeros if most of it is outside."""
    moved = (box - [w.x0, w.y0, w.x0, w.y0]) * w.scale / w.size
    inside = moved.clip(0, 1)
    area = lambda b: (b[2] - b[0]) * (b[3] - b[1])  # noqa: E731
    good = area(moved) > 0 and area(inside) > SAME * area(moved)
    return np.asarray(inside if good else np.zeros(4), np.float32)


def seen(
    f: Fragments, faces: np.ndarray, inputs: Sequence[tuple[np.void, np.ndarray | None]], scale: float
) -> np.ndarray:
    """[4, S, S] uint8: colours of rasterised faces in other views, merged by eq. 5 where several show them; 255 where
    any does."""
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for view, keep in inputs:
        side, n = view["picture"].shape[0], view["wall"].shape[0]
        vertices = mesh(view)[0]
        xy, z = project(torch.from_numpy(vertices)[None], *(torch.from_numpy(view[m])[None] for m in "KT"))
        values = torch.cat([xy[0], z[0, :, None], torch.from_numpy(view["cosine"][: len(vertices), None])], 1)
        at = interpolate(f, values, faces)[0].numpy()
        x, y, z_at, lam = np.ascontiguousarray(at.transpose(2, 0, 1))
        wall = (
            view["wall"]
            if keep is None
            else np.where(keep[0].repeat(LOOKED, 0).repeat(LOOKED, 1) > 0, view["wall"], -1)
        )
        behind = cv2.remap(wall, x * (n / side) - 0.5, y * (n / side) - 0.5, cv2.INTER_NEAREST, borderValue=-1)
        on = (f.face[0].numpy() >= 0) & (lam > GRAZING) & (z_at < behind)
        picture, k = view["picture"], 1.0
        if scale < 0.6:  # colours shrink: look them up in a smaller picture
            picture, k = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 0.5
        rgb = cv2.remap(picture, x * k - 0.5, y * k - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rgb[..., 3] = on * np.uint8(255)
        parts.append((rgb, np.where(on, lam, 0)))
    out = parts[0][0]
    if len(parts) > 1:
        weight = np.stack([np.where(lam > 0, np.exp(SHARPNESS * (lam - 1)), 0) for _, lam in parts])[..., None]
        total = weight.sum(0)
        mean = sum(rgb * w for (rgb, _), w in zip(parts, weight, strict=True)) / np.where(total > 0, total, 1)
        out = mean.round().astype(np.uint8)
    out[..., :3] *= out[..., 3:] > 0
    return out.transpose(2, 0, 1)


def floats(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """A batch with float32 in place of float16 and of bytes."""
    return {k: v.float() / 255 if v.dtype == torch.uint8 else v.float() for k, v in batch.items()}
