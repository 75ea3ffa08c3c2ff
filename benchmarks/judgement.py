"""How often the judgement of fits is right: on generated people whose bodies are known, and on fits broken on purpose.

    python benchmarks/judgement.py --set out/truth --assets DIR --motions DIR --count 300

The set is that of benchmarks/truth.py. Each person is fitted and judged; then the fit is broken in four ways and judged
again: another person's pose, turned round, all joints and one limb turned at random. Prints, by kind of fit and by the
true error of the joints (MPJPE), the shares that are doubted and refused.
"""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import pairwise

import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from dinar.body.skeleton import BODY
from dinar.fit.fit_file import Fit
from dinar.fit.judgement import judge
from dinar.fit.smplify import fit_body
from truth import CHUNK, arguments, read, seen

ERRORS = (0, 100, 150, 200, math.inf)  # mm
KNOTTED, LIMB = 0.6, 0.9  # radians: standard deviations of the random turns


def broken(body: Body, fit: Fit, other: Fit, rng: np.random.Generator) -> dict[str, Fit]:
    """The fit and what it is broken into."""
    joints = [body.joint(n) for n in BODY[1:]]
    side = ("left", "right")[int(rng.integers(2))]
    limb = [body.joint(f"{side}_{n}") for n in (("shoulder", "elbow"), ("hip", "knee"))[int(rng.integers(2))]]
    poses = {kind: fit.pose.clone() for kind in ("as fitted", "other pose", "turned", "knotted", "one limb")}
    poses["other pose"][1:] = other.pose[1:]
    half = axis_angle_to_matrix(torch.tensor([0, math.pi * 0.999, 0]))
    poses["turned"][0] = matrix_to_axis_angle(axis_angle_to_matrix(fit.pose[0]) @ half)
    for kind, some, sigma in (("knotted", joints, KNOTTED), ("one limb", limb, LIMB)):
        poses[kind][some] += torch.from_numpy(rng.normal(0, sigma, (len(some), 3))).float()
    return {kind: dataclasses.replace(fit, pose=pose) for kind, pose in poses.items()}


def main() -> None:
    a = arguments(__doc__)
    torch.set_num_threads(1)
    body, rng = load_body(), np.random.default_rng(0)
    own = [body.joint(n) for n in BODY]
    views, known, _ = read(a)
    fits = [f for k in range(0, len(views), CHUNK) for f in fit_body(body, views[k : k + CHUNK], shared_shape=False)]
    rows: list[dict] = []
    for view, v, fit in zip(views, known, fits, strict=True):
        other = fits[int(rng.integers(len(fits)))]
        J, _ = seen(body, v.params.betas, v.params.pose[0], v.params.transl[0], v.T_cam_world[0])
        for kind, f in broken(body, fit, other, rng).items():
            j, _ = seen(body, f.betas, f.pose, f.transl, f.camera.T_cam_world)
            error = 1000 * float(np.linalg.norm(j[own] - j[0] - J[own] + J[0], axis=1).mean())
            judged = judge(body, f, view)
            rows.append({"name": v.name, "kind": kind, "mpjpe": error, "doubted": bool(judged.doubts),
                         "refused": bool(judged.nonsense)} | judged.summary())  # fmt: skip
    print(f"{'fit':12s}{'MPJPE mm':>12s}{'n':>5s}{'doubted':>9s}{'refused':>9s}")
    for kind in dict.fromkeys(r["kind"] for r in rows):
        for low, high in pairwise(ERRORS):
            some = [r for r in rows if r["kind"] == kind and low <= r["mpjpe"] < high]
            if some:
                print(
                    f"{kind:12s}{f'{low:.0f} to {high:.0f}':>12s}{len(some):5d}"
                    f"{np.mean([r['doubted'] for r in some]):9.3f}{np.mean([r['refused'] for r in some]):9.3f}"
                )
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
