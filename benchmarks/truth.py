"""The body fit against truth: generated people whose bodies are known, by stage of the fit and by viewing angle.

python benchmarks/truth.py --assets DIR --motions DIR --count 300 --set out/truth --out out/truth.json

The people are made once (into --set) and then fitted as photos are. Errors are in the camera's frame: MPJPE of the 22
body joints with the pelvises together, PA-MPJPE after a similarity, millimetres; the angle between the pelvises'
orientations; how much the torso and the legs lean towards or away from the camera more than they do (signed, degrees).
"""

from __future__ import annotations

import argparse
import json
import math
import time
from importlib import import_module
from pathlib import Path

import numpy as np
import torch

from dinar.body import load_body
from dinar.body.rotation import axis_angle_to_matrix
from dinar.body.skeleton import BODY
from dinar.data.folder import Folder, start_set, write_views
from dinar.errors import DinarError
from dinar.fit.smplify import fit_stages
from dinar.fit.view import is_standing
from dinar.subject import read_subject
from dinar.synthetic.source import Synthetic

CHUNK = 16


def make(a: argparse.Namespace) -> Folder:
    source = Synthetic(11, 640, 2, None, a.assets, a.motions)
    start_set(a.set, "anny", (640, 640), seed=11)
    there = {p.name for p in a.set.iterdir()}
    for i in range(a.count):
        if f"11-{i:06d}" not in there:
            write_views(a.set, source.views(i, [1]))
    return Folder(a.set)


def leans(joints: np.ndarray, names: dict[str, int]) -> tuple[float, float]:
    """Degrees by which torso and legs lean away from the camera; [J, 3] camera frame."""
    mid = lambda n: (joints[names[f"left_{n}"]] + joints[names[f"right_{n}"]]) / 2  # noqa: E731
    torso, legs = mid("shoulder") - mid("hip"), mid("hip") - mid("ankle")
    return tuple(math.degrees(math.atan2(d[2], math.hypot(d[0], d[1]))) for d in (torso, legs))  # type: ignore


def procrustes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x [n, 3] turned, moved and scaled on to y."""
    a, b = x - x.mean(0), y - y.mean(0)
    u, s, vt = np.linalg.svd(a.T @ b)
    d = np.sign(np.linalg.det(u @ vt))
    s[-1] *= d
    u[:, -1] *= d
    return a @ u @ vt * (s.sum() / (a**2).sum()) + y.mean(0)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets")
    p.add_argument("--motions")
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--set", type=Path, default=Path("out/truth"))
    p.add_argument("--out", type=Path)
    p.add_argument("--no-parser", action="store_true", help="masks as before the parser: pose network and GrabCut")
    a = p.parse_args()
    torch.set_num_threads(1)
    if a.no_parser:
        setattr(import_module("dinar.create"), "has_parser", lambda: False)  # noqa: B010
    people, body = make(a), load_body()
    names = {n: i for i, n in enumerate(body.joint_names)}
    own = [names[n] for n in BODY]

    def camera_frame(betas, pose, transl, T):  # joints [J, 3] and the pelvis' rotation in the camera's frame
        joints = body(betas[None], pose[None], transl[None]).joints[0]
        R = T[:3, :3] @ axis_angle_to_matrix(pose[0])
        return (joints @ T[:3, :3].T + T[:3, 3]).double().numpy(), R.double().numpy()

    subjects, truth, refused = [], [], {}
    for i in range(min(a.count, people.num_people)):
        v = people.views(i)
        picture = next((a.set / v.name / "rgb").iterdir())
        try:
            subjects.append(read_subject(picture))
        except DinarError as e:
            refused[v.name] = str(e)
            continue
        truth.append((v, *camera_frame(v.params.betas, v.params.pose[0], v.params.transl[0], v.T_cam_world[0])))
    rows: dict[str, list[dict]] = {}
    start = time.process_time()
    for k in range(0, len(subjects), CHUNK):
        chunk = [s.view for s in subjects[k : k + CHUNK]]
        for stage, fits in fit_stages(body, chunk, shared_shape=False):
            for f, (v, J, R) in zip(fits, truth[k : k + CHUNK], strict=True):
                j, r = camera_frame(f.betas, f.pose, f.transl, f.camera.T_cam_world)
                x, y = j[own] - j[0], J[own] - J[0]
                facing = -(R @ [0, 0, 1.0])  # the front, seen from the camera
                torso, legs = (g - t for g, t in zip(leans(j, names), leans(J, names), strict=True))
                turn = math.acos(np.clip((np.trace(r.T @ R) - 1) / 2, -1, 1))
                rows.setdefault(stage, []).append({
                    "name": v.name, "azimuth": abs(math.degrees(math.atan2(facing[0], facing[2]))),
                    "mpjpe": 1000 * np.linalg.norm(x - y, axis=1).mean(),
                    "pa_mpjpe": 1000 * np.linalg.norm(procrustes(x, y) - y, axis=1).mean(),
                    "turn": math.degrees(turn), "torso": torso, "legs": legs,
                    "standing": is_standing(subjects[len(rows[stage]) if stage in rows else 0].view.keypoints),
                    "height": float(np.linalg.norm(j[own][:, 1].max() - j[own][:, 1].min()) / np.ptp(J[own][:, 1]) - 1),
                })  # fmt: skip
    seconds = (time.process_time() - start) / max(len(subjects), 1)
    print(f"{len(subjects)} people fitted, {len(refused)} refused, {seconds:.2f} s each (CPU)")
    angles = {"all": (0, 181), "front": (0, 45), "side": (45, 135), "back": (135, 181)}
    table: dict[str, dict] = {}
    print("stage       view    n  MPJPE  PA-MPJPE  turn °  torso ° (mean, abs)  legs ° (mean, abs)")
    for stage, found in rows.items():
        for angle, (low, high) in angles.items():
            r = [x for x in found if low <= x["azimuth"] < high]
            get = lambda key, r=r: np.array([x[key] for x in r])  # noqa: E731
            e = {"n": len(r), "mpjpe": get("mpjpe").mean(), "mpjpe_median": np.median(get("mpjpe")),
                 "pa_mpjpe": get("pa_mpjpe").mean(), "turn": np.median(get("turn")), "torso": get("torso").mean(),
                 "torso_abs": np.abs(get("torso")).mean(), "legs": get("legs").mean(),
                 "legs_abs": np.abs(get("legs")).mean()}  # fmt: skip
            table.setdefault(stage, {})[angle] = {k: float(x) for k, x in e.items()}
            print(f"{stage:11s} {angle:6s} {e['n']:3d} {e['mpjpe']:6.1f} {e['pa_mpjpe']:8.1f} {e['turn']:8.1f} "
                  f"{e['torso']:9.1f} {e['torso_abs']:6.1f} {e['legs']:11.1f} {e['legs_abs']:6.1f}")  # fmt: skip
    worst = sorted(rows["silhouette"], key=lambda x: -x["mpjpe"])[:20]
    print("worst:", " ".join(f"{x['name']} {x['mpjpe']:.0f}" for x in worst))
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps({"table": table, "refused": refused, "seconds": seconds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
