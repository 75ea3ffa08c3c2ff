"""Flattening of one atlas island: Tutte embedding, then SLIM (Rabinovich et al. 2017) on the symmetric Dirichlet
energy, with a scale per face and with mirrored vertices tied together."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu


def rest_frames(x: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Each triangle laid flat: [F, 3, 2], first corner at 0, first edge along +x."""
    e1, e2 = x[f[:, 1]] - x[f[:, 0]], x[f[:, 2]] - x[f[:, 0]]
    length = np.maximum(np.linalg.norm(e1, axis=1), 1e-9)
    ax = (e2 * e1).sum(1) / length
    ay = np.maximum(np.linalg.norm(np.cross(e1, e2), axis=1) / length, 1e-9)
    zero = np.zeros_like(length)
    return np.stack([np.stack([zero, zero], 1), np.stack([length, zero], 1), np.stack([ax, ay], 1)], 1)


def jacobians(rest: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """[F, 2, 2] of the map from the rest triangles [F, 3, 2] to the uv triangles [F, 3, 2]."""
    a = (rest[:, 1:] - rest[:, :1]).transpose(0, 2, 1)
    b = (uv[:, 1:] - uv[:, :1]).transpose(0, 2, 1)
    return b @ np.linalg.inv(a)


def signed_area(uv: np.ndarray, f: np.ndarray) -> np.ndarray:
    a, b = uv[f[:, 1]] - uv[f[:, 0]], uv[f[:, 2]] - uv[f[:, 0]]
    return 0.5 * (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])


def flatten(
    x: np.ndarray,  # [N, 3] vertices of the island
    f: np.ndarray,  # [M, 3]
    scale: np.ndarray,  # [M] wanted linear scale of each face
    border: list[np.ndarray],  # border loops
    mirror: np.ndarray | None,  # [N] mirrored vertex, for an island that is its own mirror image
    iters: int = 40,
) -> np.ndarray:  # [N, 2] in metres times scale; mirrored vertices have u' = -u
    """A disc with holes is closed by fans, which keep the holes from folding over; fans have little weight."""
    border = sorted(border, key=lambda l: -np.linalg.norm(x[l] - x[np.roll(l, 1)], axis=1).sum())
    n, m = len(x), len(f)
    caps = [np.stack([np.roll(l, -1), l, np.full(len(l), n + k)], 1) for k, l in enumerate(border[1:])]
    x = np.concatenate([x] + [x[l].mean(0)[None] for l in border[1:]])
    f = np.concatenate([f, *caps])
    total = len(x)
    if mirror is not None:
        home = np.full(n, -1)
        for k, l in enumerate(border[1:]):
            home[l] = k
        mirror = np.r_[mirror, [n + home[mirror[l[0]]] for l in border[1:]]].astype(int)
    scale = np.r_[scale, np.ones(len(f) - m)]
    rest = rest_frames(x, f) * scale[:, None, None]
    weight = 0.5 * rest[:, 1, 0] * rest[:, 2, 1]
    size = weight[:m].sum()
    weight[m:] *= 0.02
    uv = tutte(x, f, border[0], mirror)
    uv *= np.sqrt(size / signed_area(uv, f)[:m].sum())
    if (signed_area(uv, f) <= 0).any():
        raise RuntimeError(f"{(signed_area(uv, f) <= 0).sum()} flipped triangles in the Tutte embedding")
    tie = ties(total, mirror)
    return slim(rest, f, uv, weight / size, tie, iters)[:n]


def tutte(x: np.ndarray, f: np.ndarray, loop: np.ndarray, mirror: np.ndarray | None) -> np.ndarray:
    i, j = f[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).T
    a = sp.coo_matrix((np.ones(2 * len(i)), (np.r_[i, j], np.r_[j, i])), shape=(len(x),) * 2).tocsr()
    a.data[:] = 1
    lap = (sp.diags(np.asarray(a.sum(1)).ravel()) - a).tocsr()
    if mirror is not None and (own := np.flatnonzero(mirror[loop] == loop)).size:
        loop = np.roll(loop, -own[0])
    step = np.linalg.norm(x[loop] - x[np.roll(loop, -1)], axis=1)
    if mirror is not None and own.size:  # equal steps on both sides
        step = 0.5 * (step + step[::-1])
    t = 2 * np.pi * np.r_[0, np.cumsum(step)[:-1]] / step.sum()
    uv = np.zeros((len(x), 2))
    uv[loop] = np.stack([-np.sin(t), np.cos(t)], 1)
    inner = np.setdiff1d(np.arange(len(x)), loop)
    if len(inner):
        uv[inner] = splu(lap[inner][:, inner].tocsc()).solve(-(lap[inner][:, loop] @ uv[loop]))
    if mirror is not None:
        uv = 0.5 * (uv + uv[mirror] * [-1, 1])
    return uv


def ties(n: int, mirror: np.ndarray | None) -> sp.csr_matrix:
    """[2n, k]: all (u..., v...) from the free ones; mirrored vertices share v and have opposite u."""
    if mirror is None:
        return sp.identity(2 * n, format="csr")
    i = np.arange(n)
    lead = np.minimum(i, mirror)
    sign = np.where(i == mirror, 0.0, np.where(i == lead, 1.0, -1.0))
    place = np.arange(2 * n), np.r_[lead, lead + n]
    t = sp.coo_matrix((np.r_[sign, np.ones(n)], place), shape=(2 * n, 2 * n)).tocsc()
    return t[:, np.flatnonzero(np.asarray(abs(t).sum(0)).ravel())].tocsr()


def energy(rest: np.ndarray, tri: np.ndarray, weight: np.ndarray) -> float:
    """Symmetric Dirichlet |J|² + |J⁻¹|², infinite at a flip."""
    j = jacobians(rest, tri)
    det = j[:, 0, 0] * j[:, 1, 1] - j[:, 0, 1] * j[:, 1, 0]
    if (det <= 0).any():
        return np.inf
    return float((weight * (j**2).sum((1, 2)) * (1 + det**-2)).sum())


def slim(rest, f, uv, weight, tie, iters: int) -> np.ndarray:
    n, m = len(uv), len(f)
    inv = np.linalg.inv((rest[:, 1:] - rest[:, :1]).transpose(0, 2, 1))  # [F, 2(corner), 2(xy)]
    g = np.concatenate([-inv.sum(1, keepdims=True), inv], 1)  # [F, 3, 2] gradients of the hat functions
    rows = np.repeat(np.arange(m), 3)
    dx, dy = (sp.csr_matrix((g[:, :, k].ravel(), (rows, f.ravel())), shape=(m, n)) for k in range(2))
    now = energy(rest, uv[f], weight)
    root = np.sqrt(weight)
    for _ in range(iters):
        j = jacobians(rest, uv[f])
        p, s, q = np.linalg.svd(j)
        flip = np.linalg.det(p @ q) < 0
        p[flip, :, 1] *= -1
        s[flip, 1] *= -1
        s = np.maximum(s, 1e-6)
        d = s - 1
        w = np.sqrt(np.where(np.abs(d) < 1e-6, 4.0, (s - s**-3) / np.where(np.abs(d) < 1e-6, 1, d)))
        w = (p * w[:, None, :]) @ p.transpose(0, 2, 1) * root[:, None, None]
        target = w @ (p @ q)
        diag = [[sp.diags(w[:, r, c]) for c in range(2)] for r in range(2)]
        a = sp.vstack([sp.hstack([diag[r][0] @ op, diag[r][1] @ op]) for op in (dx, dy) for r in range(2)]).tocsr()
        b = np.concatenate([target[:, r, c] for c in range(2) for r in range(2)])
        a = a @ tie
        z0 = np.asarray((tie.T @ uv.T.ravel()) / np.maximum(np.asarray(abs(tie).sum(0)).ravel(), 1e-12))
        h = a.T @ a
        eps = 1e-8 * h.diagonal().mean()
        z = splu((h + eps * sp.identity(h.shape[0])).tocsc()).solve(a.T @ b + eps * z0)
        step = (tie @ z).reshape(2, n).T - uv
        t = min(1.0, 0.8 * first_flip(uv, step, f))
        new = energy(rest, (uv + t * step)[f], weight)
        while new > now and t > 1e-8:
            t *= 0.6
            new = energy(rest, (uv + t * step)[f], weight)
        if new >= now:
            break
        uv = uv + t * step
        if now - new < 1e-6 * now:
            break
        now = new
    return uv


def first_flip(uv: np.ndarray, step: np.ndarray, f: np.ndarray) -> float:
    """Smallest t > 0 at which a triangle of uv + t step loses its area."""
    a, b = uv[f[:, 1]] - uv[f[:, 0]], uv[f[:, 2]] - uv[f[:, 0]]
    p, q = step[f[:, 1]] - step[f[:, 0]], step[f[:, 2]] - step[f[:, 0]]
    cross = lambda s, t: s[:, 0] * t[:, 1] - s[:, 1] * t[:, 0]  # noqa: E731
    c0, c1, c2 = cross(a, b), cross(a, q) + cross(p, b), cross(p, q)
    best = np.inf
    with np.errstate(all="ignore"):
        root = np.sqrt(c1 * c1 - 4 * c0 * c2)
        for t in ((-c1 + root) / (2 * c2), (-c1 - root) / (2 * c2), -c0 / c1):
            # the linear root only stands in where the quadratic term vanishes
            good = np.isfinite(t) & (t > 0) & (np.abs(c0 + t * c1 + t * t * c2) < 1e-9 * np.abs(c0) + 1e-18)
            if good.any():
                best = min(best, float(t[good].min()))
    return best
