"""How often the judgement of fits is right: on generated people whose bodies are known, and on fits broken on purpose.

    python benchmarks/judgement.py --set out/truth --assets DIR --motions DIR --first 100 --count 300
    python benchmarks/judgement.py --photos DIR/photos --count 100

The set is that of benchmarks/truth.py, the photos those of ``photos.txt``. Each person is fitted and judged; then the
fit is broken in four ways and judged again: another person's pose, turned round, all joints and one limb turned at
random. Prints, by kind of fit and by the true error of the joints (MPJPE; on photos the distance from the fit), the
shares that are doubted and refused, and which fits are doubted.
"""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from dinar.body.skeleton import BODY
from dinar.fit.fit_file import Fit
from dinar.fit.judgement import judge
from dinar.fit.smplify import fit_body
from dinar.fit.view import View
from dinar.subject import read_subject
from dinar.views import Views
from truth import CHUNK, arguments, read, seen

ERRORS = (0, 100, 150, 200, math.inf)  # mm
AS_FITTED = "as fitted"
KNOTTED, LIMB = 0.6, 0.9  # radians: standard deviations of the random turns


def broken(body: Body, fit: Fit, other: Fit, rng: np.random.Generator) -> dict[str, Fit]:
    """The fit and what it is broken into."""
    joints = [body.joint(n) for n in BODY[1:]]
    side = ("left", "right")[int(rng.integers(2))]
    limb = [body.joint(f"{side}_{n}") for n in (("shoulder", "elbow"), ("hip", "knee"))[int(rng.integers(2))]]
    poses = {kind: fit.pose.clone() for kind in (AS_FITTED, "other pose", "turned", "knotted", "one limb")}
    poses["other pose"][1:] = other.pose[1:]
    half = axis_angle_to_matrix(torch.tensor([0, math.pi * 0.999, 0]))
    poses["turned"][0] = matrix_to_axis_angle(axis_angle_to_matrix(fit.pose[0]) @ half)
    for kind, some, sigma in (("knotted", joints, KNOTTED), ("one limb", limb, LIMB)):
        poses[kind][some] += torch.from_numpy(rng.normal(0, sigma, (len(some), 3))).float()
    return {kind: dataclasses.replace(fit, pose=pose) for kind, pose in poses.items()}


def judged(body: Body, views: list[View], names: list[str], known: list[Views] | None) -> list[dict[str, Any]]:
    """A row for each fit and each broken fit; without known bodies the fits are the truth of the broken ones."""
    rng, own = np.random.default_rng(0), [body.joint(n) for n in BODY]
    fits = [f for k in range(0, len(views), CHUNK) for f in fit_body(body, views[k : k + CHUNK], shared_shape=False)]
    rows: list[dict[str, Any]] = []
    for i, (view, fit) in enumerate(zip(views, fits, strict=True)):
        other = fits[int(rng.integers(len(fits)))]
        J, _ = seen(body, fit.betas, fit.pose, fit.transl, fit.camera.T_cam_world)
        if known:
            p = known[i].params
            J, _ = seen(body, p.betas, p.pose[0], p.transl[0], known[i].T_cam_world[0])
        for kind, f in broken(body, fit, other, rng).items():
            j, _ = seen(body, f.betas, f.pose, f.transl, f.camera.T_cam_world)
            error = 1000 * float(np.linalg.norm(j[own] - j[0] - J[own] + J[0], axis=1).mean())
            found = judge(body, f, view)
            rows.append({"name": names[i], "kind": kind, "mpjpe": error, "doubted": bool(found.doubts),
                         "refused": bool(found.nonsense)} | found.summary())  # fmt: skip
    return rows


def main() -> None:
    a = arguments(__doc__, photos=True)
    torch.set_num_threads(1)
    if a.photos:
        names = Path(__file__).with_name("photos.txt").read_text().split()[a.first : a.count]
        views, known = [read_subject(a.photos / f"{n}.jpg").view for n in names], None
    else:
        views, known, _ = read(a)
        names = [v.name for v in known]
    rows = judged(load_body(), views, names, known)
    print(f"{'fit':12s}{'MPJPE mm':>12s}{'n':>5s}{'doubted':>9s}{'refused':>9s}")
    for kind in dict.fromkeys(r["kind"] for r in rows):
        for low, high in pairwise(ERRORS):
            some = [r for r in rows if r["kind"] == kind and low <= r["mpjpe"] < high]
            if some:
                print(
                    f"{kind:12s}{f'{low:.0f} to {high:.0f}':>12s}{len(some):5d}"
                    f"{np.mean([r['doubted'] for r in some]):9.3f}{np.mean([r['refused'] for r in some]):9.3f}"
                )
    for r in rows:
        if r["kind"] == AS_FITTED and r["doubted"]:
            print(r["name"], f"{r['mpjpe']:.0f} mm:", "; ".join(r["doubts"]))
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
