"""Learn how far hair and cloth lie from the body (src/dinar/fit/thickness.py) from generated people.

    python scripts/build_thickness.py --assets DIR [--people 2200]       # some 20 minutes of one core

DIR is MakeHuman's CC0 asset tree. Of every person, at rest, the height of the outermost surface over each vertex of the
body. Of every class a factor model, by expectation maximisation, because nobody covers all vertices: its mean, and
modes for the classes that outlines tell enough of. Prints how far heights are from them, and writes
src/dinar/weights/thickness/model.safetensors: mean and modes of one half of the body in bytes, and their scales.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import sparse as sp
from scipy.spatial import KDTree

from dinar.body import Body, load_body
from dinar.body.body import PARTS
from dinar.fit.offsets import NORMALS, smooth_normals
from dinar.fit.thickness import WEIGHTS
from dinar.labels import LABEL
from dinar.scene.laplacian import cotangent_laplacian, factorise
from dinar.synthetic.base.surfaces import load_surfaces
from dinar.synthetic.garments.figure import stand
from dinar.synthetic.people.people import Person
from dinar.synthetic.source import Synthetic

LIMBS = ("left_arm", "right_arm", "left_leg", "right_leg")
# Modes by class, and the parts of the body on which a class counts. Modes of hair did not help (docs/measurements.md).
KINDS = {
    "hair": (0, ("head", "torso")),
    "upper": (4, ("torso", *LIMBS)),
    "outer": (4, ("torso", *LIMBS)),
    "lower": (4, ("torso", "left_leg", "right_leg")),
    "skirt": (0, ("torso",)),
}
CARRIED = ("bag", "accessory", "glasses")
FAR, SLANTED, NEAR = 0.16, 0.7, 0.01  # metres from the body; most of a height that is sideways; metres where any may be
LEAST = 20  # people whose heights a vertex needs, and vertices that a person needs
PIECES = 60  # independent heights of a person
STEPS = 40  # of the expectation maximisation
SMOOTH, FADE = 0.015, (0.02, 0.07)  # metres over which fields are smoothed, and away from known vertices die out


def heights(body: Body, p: Person) -> tuple[np.ndarray, np.ndarray]:
    """[V] metres of the outermost surface over each vertex at rest, NaN where there is none, and its class [V]."""
    at_rest = torch.zeros(1, body.num_joints, 3), torch.zeros(1, 3)
    x = stand(p.figure, load_surfaces(), p.betas, *at_rest).vertices[0].double().numpy()
    rest = body.rest(p.betas[None], p.expression[None])[0][0].double().numpy()
    normals = smooth_normals(rest, body.faces, *cotangent_laplacian(rest, body.faces), NORMALS)
    worn = ~np.isin(p.figure.face_label.numpy(), [LABEL[c] for c in CARRIED])
    label = np.zeros(len(x), np.uint8)
    label[p.figure.faces.numpy()[worn].ravel()] = np.repeat(p.figure.face_label.numpy()[worn], 3)
    x, label = x[label > 0], label[label > 0]
    distance, k = (np.asarray(a) for a in KDTree(rest).query(x))
    h = ((x - rest[k]) * normals[k]).sum(1)
    sideways = np.sqrt(np.maximum(distance**2 - h**2, 0))
    some = np.flatnonzero((distance < FAR) & (sideways < np.maximum(NEAR, SLANTED * np.abs(h))))
    some = some[np.argsort(h[some])]  # the highest is written last
    out, classes = np.full(len(rest), np.nan, np.float32), np.zeros(len(rest), np.uint8)
    out[k[some]], classes[k[some]] = h[some], label[some]
    return out, classes


def factors(y: np.ndarray, on: np.ndarray, modes: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean [v], modes [v, modes] in standard deviations, and the root mean square of what is left, of heights y [n, v]
    that are known where ``on`` [n, v] is."""
    on = on.astype(np.float32)
    y, mean, left = y * on, (y * on).sum(0) / on.sum(0), 1e-4
    W = np.random.default_rng(0).normal(0, 0.003, (y.shape[1], modes)).astype(np.float32)
    share = np.minimum(PIECES / on.sum(1), 1)[:, None]
    for _ in range(STEPS if modes else 0):
        A = np.einsum("nv,vq,vp->nqp", on, W, W, optimize=True) * share[..., None] / left + np.eye(modes)
        z = np.linalg.solve(A, ((((y - mean) * on) @ W) * share / left)[..., None])[..., 0]
        spread = np.linalg.inv(A)
        S = np.einsum("nv,nqp->vqp", on, z[:, :, None] * z[:, None] + spread, optimize=True)
        W = np.linalg.solve(S + 1e-5 * len(y) * np.eye(modes), (((y - mean) * on).T @ z)[..., None])[..., 0]
        mean = ((y - z @ W.T) * on).sum(0) / on.sum(0)
        left = float((((y - mean - z @ W.T) * on) ** 2).sum() / on.sum())
    if not modes:
        return mean, W, float(np.sqrt((((y - mean) * on) ** 2).sum() / on.sum()))
    W = W @ np.linalg.cholesky(z.T @ z / len(z) + spread.mean(0))
    u, s, _ = np.linalg.svd(W, full_matrices=False)
    return mean, u * s, float(np.sqrt(left))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets", type=Path, required=True)
    p.add_argument("--people", type=int, default=2200)
    p.add_argument("--seed", type=int, default=77)
    p.add_argument("--out", type=Path, default=WEIGHTS)
    o = p.parse_args()
    torch.set_num_threads(1)
    body, source, rows = load_body(), Synthetic(seed=o.seed, assets=str(o.assets)), []
    for i in range(o.people):
        rows.append(heights(body, source.person(i)))
        if i % 100 == 99:
            print(f"{i + 1} of {o.people} people", flush=True)
    h, classes = (np.stack(a) for a in zip(*rows, strict=True))
    h, classes = np.concatenate([h, h[:, body.mirror]]), np.concatenate([classes, classes[:, body.mirror]])
    x = body.v_template.double().numpy()
    laplacian, mass = cotangent_laplacian(x, body.faces)
    smooth = factorise(sp.diags(mass) + SMOOTH**2 * laplacian)
    half = np.unique(np.minimum(np.arange(len(x)), body.mirror))
    tensors = {}
    for name, (modes, parts) in KINDS.items():
        on = (classes == LABEL[name]) & np.isfinite(h) & np.isin(np.array(PARTS)[body.vertex_part], parts)
        known = np.flatnonzero(on.sum(0) >= LEAST)
        people = on[:, known].sum(1) >= LEAST
        if people.sum() < LEAST:
            raise SystemExit(f"expected {LEAST} people or more in {name}, got {people.sum() // 2}; add --people")
        y, on = np.nan_to_num(h[people][:, known]), on[people][:, known]
        mean, W, left = factors(y, on, modes)
        spread = factors(y, on, 0)[2]
        print(f"{name}: {people.sum() // 2} people, mean {1000 * np.average(mean, weights=on.sum(0)):.1f} mm, "
              f"heights are {1000 * spread:.1f} mm from it, with {modes} modes {1000 * left:.1f} mm")  # fmt: skip
        away, near = KDTree(x[known]).query(x)
        fields = np.concatenate([mean[None], W.T])[:, near] * np.interp(away, FADE, (1, 0))
        fields = smooth.solve(mass[:, None] * fields.T).T
        fields = ((fields + fields[:, body.mirror]) / 2)[:, half]
        scale = np.abs(fields).max(1) / 127
        tensors[name] = torch.from_numpy(np.rint(fields / scale[:, None]).astype(np.int8, "C"))
        tensors[f"{name}_scale"] = torch.from_numpy(scale.astype(np.float32))
    o.out.mkdir(parents=True, exist_ok=True)
    save_file(tensors, o.out / "model.safetensors")


if __name__ == "__main__":
    main()
