"""Heads against truth: generated people whose faces are known, from one picture each.

    python benchmarks/heads.py --assets DIR --motions DIR --count 40 --out out/heads.json

The picture is read and the body fitted as in `create`, up to the head (expression, turn, shape by the landmarks;
without the offsets of clothes). Errors are those of the vertices of the face (in front of the ears) and of the whole
head without eyes and mouth, at rest, after a rigid and after a similarity alignment, millimetres: of the mean head, of
the head that the fit of the body gives, and of that with the shape by the landmarks. Expression: the vertices of the
face move from neutral by the true and by the fitted actions; of both movements the error, and that of a neutral face,
where some move by MOVED or more; and the correlation of what is measured of the mouth (width, corners, gap).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body import load_body
from dinar.body.regions import regions
from dinar.errors import DinarError
from dinar.fit.face import ACTIONS, fit_expression, responses
from dinar.fit.likeness import fit_likeness, turn_head
from dinar.fit.smplify import fit_body
from dinar.subject import read_subject
from dinar.synthetic.source import Synthetic
from truth import procrustes

SEED, SIZE = 13, 1280  # of the people; pixels a side of their pictures
ASIDE = 0.25  # radians: standard deviation of the camera from the person's front
MOVED = 0.004  # metres by which the expression moves some vertex of the face
WHAT = ("width", "corners", "gap")


class Front(Synthetic):
    """People seen from in front."""

    def shots(self, i: int, indices: Sequence[int], azimuths: Sequence[float] | None = None):
        aside = np.random.default_rng([self.seed, i, 7]).normal(0, ASIDE, len(indices))
        return super().shots(i, indices, aside.tolist() if azimuths is None else azimuths)


def rigid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x [n, 3] turned and moved on to y."""
    a, b = x - x.mean(0), y - y.mean(0)
    u, _, vt = np.linalg.svd(a.T @ b)
    u[:, -1] *= np.sign(np.linalg.det(u @ vt))
    return a @ u @ vt + y.mean(0)


def errors(x: np.ndarray, y: np.ndarray, some: np.ndarray) -> dict[str, float]:
    """Mean distances, millimetres."""
    return {n: 1000 * float(np.linalg.norm(align(x[some], y[some]) - y[some], axis=1).mean())
            for n, align in (("rigid", rigid), ("similar", procrustes))}  # fmt: skip


def measure(source: Synthetic, i: int) -> dict | None:
    """None: no whole person or no face is found in the picture."""
    body, v = load_body(), source.views(i, [0])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "person.png"
        cv2.imwrite(str(file), v.rgb[0].numpy()[..., ::-1])
        try:
            s = read_subject(file)
        except DinarError:
            return None
    if s.face is None:
        return None
    fit = fit_body(body, [s.view])[0]
    found, none = fit_expression(body, s.face), torch.zeros(body.num_vertices, 3)
    fit = turn_head(body, fit, s.face, found, none)
    offsets = torch.from_numpy(fit_likeness(body, [fit], [s.face], [found], none))
    at_rest = lambda betas, D=None, e=None: body.rest(betas[None], e, D)[0][0].double().numpy()  # noqa: E731
    true = at_rest(v.params.betas)
    heads = {"mean": at_rest(torch.zeros_like(fit.betas)), "body": at_rest(fit.betas),
             "head": at_rest(fit.betas, offsets)}  # fmt: skip
    r = regions(body)
    places = {"face": r.face, "whole": (r.face | r.skull | r.ears) & ~r.cavity}
    row: dict = {"name": v.name, "pixels": float(np.ptp(s.face.points[:, 1]))}
    for p, some in places.items():
        for h, x in heads.items():
            row |= {f"{p}_{h}_{k}": e for k, e in errors(x, true, some).items()}
    moves = body.shapedirs[:, :, body.num_betas :]
    given = (torch.zeros(body.num_expression) if v.params.expression is None else v.params.expression[0]).cpu()
    far, near = (torch.einsum("vde,e->vd", moves, e).double().numpy()[r.face] for e in (given, found))
    if np.linalg.norm(far, axis=1).max() > MOVED:
        length = lambda x: 1000 * float(np.linalg.norm(x, axis=1).mean())  # noqa: E731
        row |= {"neutral": length(far), "expression": length(near - far)}
    pairs = [[body.expression_names.index(n) for n in pair] for pair in ACTIONS]
    moved = np.stack([responses(body) @ [float(e[p].mean()) for p in pairs] for e in (given, found)])
    return row | {f"true_{w}": float(a) for w, a in zip(WHAT, moved[0], strict=True)} | {
        f"found_{w}": float(a) for w, a in zip(WHAT, moved[1], strict=True)}  # fmt: skip


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets")
    p.add_argument("--motions")
    p.add_argument("--count", type=int, default=40)
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    source, rows = Front(SEED, SIZE, 1, None, a.assets, a.motions), []
    for i in range(a.count):
        row = measure(source, i)
        if row is not None:
            rows.append(row)
            print(*(f"{k} {v:.2f}" if isinstance(v, float) else v for k, v in row.items()), flush=True)
    mean = {k: float(np.mean([r[k] for r in rows if k in r])) for r in rows for k, v in r.items() if k != "name"}
    pair = lambda w: np.array([[r[f"true_{w}"], r[f"found_{w}"]] for r in rows]).T  # noqa: E731
    mean |= {f"correlation_{w}": float(np.corrcoef(pair(w))[0, 1]) for w in WHAT}
    print(f"{len(rows)} faces of {a.count} people")
    print("\n".join(f"{k:24s}{v:8.2f}" for k, v in mean.items()))
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps({"mean": mean, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
