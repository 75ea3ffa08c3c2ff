"""Metrics and picture of an atlas: what `build_atlas.py` prints and draws."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from _atlas_flatten import jacobians, rest_frames, signed_area

SUB = 8  # samples a side of a texel


def coverage(uv: np.ndarray, f: np.ndarray, size: int, sub: int) -> np.ndarray:
    """Number of triangles over each sample of a (size * sub)² grid; uv in texels."""
    count = np.zeros((size * sub,) * 2, np.uint8)
    for t in uv[f] * sub - 0.5:
        x0, y0 = np.maximum(np.ceil(t.min(0)), 0).astype(int)
        x1, y1 = np.minimum(np.floor(t.max(0)), size * sub - 1).astype(int) + 1
        if x1 <= x0 or y1 <= y0:
            continue
        x, y = np.arange(x0, x1)[None], np.arange(y0, y1)[:, None]
        a, b, c = t if np.cross(np.r_[t[1] - t[0], 0], np.r_[t[2] - t[0], 0])[2] > 0 else t[::-1]
        edge = [(q[0] - p[0]) * (y - p[1]) - (q[1] - p[1]) * (x - p[0]) for p, q in ((a, b), (b, c), (c, a))]
        count[y0:y1, x0:x1] += (edge[0] > 0) & (edge[1] > 0) & (edge[2] > 0)
    return count


def metrics(v, f, seams, atlas: dict[str, np.ndarray], uv_mirror, size: int = 256) -> None:
    uv, uf, island = atlas["atlas_uv"].astype(float) * size, atlas["atlas_faces"].astype(int), atlas["atlas_island"]
    names = atlas["atlas_island_names"].tolist()
    per = [coverage(uv, uf[island == i], size, SUB) for i in range(len(names))]
    fine = sum(c.astype(int) for c in per)
    exact = [coverage(uv, uf[island == i], size, 1) > 0 for i in range(len(names))]
    used = sum(int(e.sum()) for e in exact)
    marks = [c.reshape(size, SUB, size, SUB).max((1, 3)) > 0 for c in per]
    gutter = frame = 99
    for i, mark in enumerate(marks):
        away = cv2.distanceTransform((~mark).astype(np.uint8), cv2.DIST_C, 3)
        gutter = min([gutter] + [int(away[other].min()) - 1 for other in marks[:i]])
        y, x = np.nonzero(mark)
        frame = min(frame, y.min(), x.min(), size - 1 - y.max(), size - 1 - x.max())
    area = signed_area(uv, uf)
    j = jacobians(rest_frames(v[f].reshape(-1, 3), np.arange(f.size).reshape(-1, 3)), uv[uf])
    s = np.linalg.svd(j, compute_uv=False)
    angle, weight = s[:, 0] / np.maximum(s[:, 1], 1e-12), np.linalg.norm(
        np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1)
    inner = np.array(["cavity" in n or "tongue" in n or "eye_back" in n for n in names])[island]
    print(f"\n{'island':18s}{'texels':>8s}{'of used':>9s}{'of all':>8s}{'texel/cm':>10s}{'angle':>7s}{'p95':>7s}")
    for i, name in enumerate(names):
        k, n = island == i, int(exact[i].sum())
        if not name.endswith("_right"):
            print(f"{name:18s}{n:8d}{n / used:9.1%}{n / size**2:8.1%}"
                  f"{np.sqrt(np.average(s[k].prod(1), weights=weight[k])) / 100:10.2f}"
                  f"{np.average(angle[k], weights=weight[k]):7.3f}{quantile(angle[k], weight[k], 0.95):7.3f}")
    back = np.zeros(len(seams))
    n = np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]])
    n /= np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-20)
    torso = island == names.index("torso")
    for q, (a, b) in enumerate(seams):
        k = np.flatnonzero(((f == a).any(1)) & ((f == b).any(1)))
        back[q] = np.linalg.norm(v[a] - v[b]) if torso[k].all() and n[k, 2].mean() < -0.2 else 0
    print(f"texels used (centre inside a triangle)  {used / size**2:.2%}\n"
          f"head, of used / of all                  {exact[names.index('head')].sum() / used:.1%} / "
          f"{exact[names.index('head')].sum() / size**2:.1%}\n"
          f"flips                                   {int((area >= 0).sum())}\n"
          f"overlap (of used, 8 x 8 samples)        {(fine > 1).sum() / (fine > 0).sum():.4%}\n"
          f"smallest gutter / frame, whole texels   {gutter} / {frame}\n"
          f"angle distortion s1/s2, skin, mean/p95  {np.average(angle[~inner], weights=weight[~inner]):.3f} / "
          f"{quantile(angle[~inner], weight[~inner], 0.95):.3f}\n"
          f"seam on the torso's back                {back.sum():.3f} m of {seam_length(v, seams):.2f} m")
    if uv_mirror is not None:
        error = np.abs(uv[uv_mirror] * [-1, 1] + [size, 0] - uv).max() / size
        print(f"mirror error                            {error:.1e}")


def seam_length(v: np.ndarray, seams: np.ndarray) -> float:
    return float(np.linalg.norm(v[seams[:, 0]] - v[seams[:, 1]], axis=1).sum())


def quantile(x: np.ndarray, weight: np.ndarray, q: float) -> float:
    k = np.argsort(x)
    return float(x[k][np.searchsorted(np.cumsum(weight[k]), q * weight.sum())])


def picture(v, f, fn, seams, atlas: dict[str, np.ndarray], path: Path, height: int = 540) -> None:
    """Layout beside the body from the front and from behind, in a checkerboard of 4 texels with the seams in red."""
    uv, uf, island = atlas["atlas_uv"].astype(float), atlas["atlas_faces"].astype(int), atlas["atlas_island"]
    names = [n.replace("_left", "").replace("_right", "") for n in atlas["atlas_island_names"].tolist()]
    kind = {n: i for i, n in enumerate(dict.fromkeys(names))}
    hue = np.array([[[kind[n] * 67 % 180, 110, 235]] for n in names], np.uint8)
    colour = cv2.cvtColor(hue, cv2.COLOR_HSV2BGR)[:, 0].astype(float)
    layout = np.full((height, height, 3), 40, np.uint8)
    for t, c in zip(np.round((uv[uf] * height - 0.5) * 16).astype(np.int32), colour[island], strict=True):
        cv2.fillConvexPoly(layout, t, c.tolist(), cv2.LINE_8, 4)
    wire = layout.copy()
    for t in np.round((uv[uf] * height - 0.5) * 16).astype(np.int32):
        cv2.polylines(wire, [t], True, (40, 40, 40), 1, cv2.LINE_AA, 4)
    layout = cv2.addWeighted(layout, 0.7, wire, 0.3, 0)
    views = [body(v, f, fn, seams, uv, uf, colour[island], height, side) for side in (1, -1)]
    path.parent.mkdir(exist_ok=True)
    image = np.concatenate([layout, *views], 1)
    Image.fromarray(image[..., ::-1]).save(path, quality=70, optimize=True)


def body(v, f, fn, seams, uv, uf, colour, height: int, side: int) -> np.ndarray:
    x = v * [side, 1, side]
    k = height * 0.96 / np.ptp(v[:, 1])
    width = int(np.ptp(v[:, 0]) * k + 0.06 * height)
    px = np.stack([x[:, 0] * k + width / 2, (v[:, 1].max() - v[:, 1]) * k + 0.02 * height], 1)
    image, depth = np.full((height, width, 3), 255.0), np.full((height, width), -9.0)
    for i in np.flatnonzero(fn[:, 2] * side > 0):
        t = px[f[i]]
        x0, y0 = np.floor(t.min(0)).astype(int)
        x1, y1 = np.ceil(t.max(0)).astype(int) + 1
        gx, gy = np.arange(x0, x1)[None] + 0.5, np.arange(y0, y1)[:, None] + 0.5
        a, b, c = t
        det = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        if abs(det) < 1e-9:
            continue
        w1 = ((gx - a[0]) * (c[1] - a[1]) - (gy - a[1]) * (c[0] - a[0])) / det
        w2 = ((b[0] - a[0]) * (gy - a[1]) - (b[1] - a[1]) * (gx - a[0])) / det
        w = np.stack([1 - w1 - w2, w1, w2], -1)
        z = w @ x[f[i], 2]
        hit = (w > -1e-6).all(-1) & (z > depth[y0:y1, x0:x1])
        q = w @ uv[uf[i]] * 64
        check = 0.6 + 0.4 * ((np.floor(q[..., 0]) + np.floor(q[..., 1])) % 2)
        depth[y0:y1, x0:x1][hit] = z[hit]
        image[y0:y1, x0:x1][hit] = (check[..., None] * colour[i] * (0.4 + 0.6 * np.round(fn[i, 2] * side * 6) / 6))[hit]
    image = image.clip(0, 255).astype(np.uint8)
    for a, b in seams:
        p, q = px[a], px[b]
        at = ((p + q) / 2).astype(int)
        if depth[at[1], at[0]] < (x[a, 2] + x[b, 2]) / 2 + 0.012:
            p, q = (tuple(np.round(e * 16).astype(int).tolist()) for e in (p, q))
            cv2.line(image, p, q, (0, 0, 255), 1, cv2.LINE_8, 4)
    return image
