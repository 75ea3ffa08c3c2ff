"""The body fit against truth: generated people whose bodies are known, by stage of the fit, viewing angle and posture.

python benchmarks/truth.py --assets DIR --motions DIR --count 300 --set out/truth --out out/truth.json [--varied]

The people are made once (into --set) and then fitted as photos are. Errors are in the camera's frame: MPJPE of the 22
body joints with the pelvises together, PA-MPJPE after a similarity, millimetres; the angle between the pelvises'
orientations; how much the torso and the legs lean towards or away from the camera more than they do (signed, degrees);
the error of the camera's pitch, and the correlation of the legs' lean with the true pitch. --sheet shows people beyond
standing: the picture; truth and fit from the camera and from its right; MPJPE and PA-MPJPE.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dinar.body import Body, load_body
from dinar.body.rotation import axis_angle_to_matrix
from dinar.body.skeleton import BODY
from dinar.data.folder import Folder, start_set, write_views
from dinar.errors import DinarError
from dinar.fit.fit_file import Fit
from dinar.fit.smplify import fit_stages
from dinar.fit.view import View
from dinar.pictures import write_picture
from dinar.scene import Camera, interpolate, rasterize_mesh, vertex_normals
from dinar.subject import read_subject
from dinar.synthetic.source import Synthetic
from dinar.views import Views
from surface import posture

CHUNK = 16
TILE, ACROSS, SHOWN = 150, 2, 20  # of the sheet: pixels, people side by side, people
PIXELS = ("labels", "normals", "depth", "surface", "keypoints2d")  # of views, which are not compared
ANGLES = {"front": (0, 45), "side": (45, 135), "back": (135, 181)}
COLUMNS = {"mpjpe": "MPJPE", "pa_mpjpe": "PA", "turn": "turn °", "torso": "torso °", "legs": "legs °",
           "pitch": "pitch °"}  # fmt: skip


def make(a: argparse.Namespace) -> Folder:
    """Person i is of the same seed whatever the count; those that are there are kept."""
    seed = 12 if a.varied else 11
    source = Synthetic(seed, 640, 2, None, a.assets, a.motions, varied=a.varied)
    start_set(a.set, "anny", (640, 640), seed=seed)
    there = {p.name for p in a.set.iterdir()}
    for i in range(a.count):
        if f"{seed}-{i:06d}" not in there:
            write_views(a.set, source.views(i, [1]))
    return Folder(a.set)


def as_read(v: Views, turn: int) -> Views:
    """The people of a picture that was turned to the left by quarters before it was fitted."""
    camera = v.camera(0).turned(turn)
    rgb, alpha = (torch.rot90(a, turn, (1, 2)) for a in (v.rgb, v.alpha))
    return dataclasses.replace(v, rgb=rgb, alpha=alpha, K=camera.K[None], T_cam_world=camera.T_cam_world[None],
                               **dict.fromkeys(PIXELS))  # fmt: skip


def leans(body: Body, joints: np.ndarray) -> tuple[float, float]:
    """Degrees by which torso and legs lean away from the camera; [J, 3] camera frame."""
    mid = lambda n: (joints[body.joint(f"left_{n}")] + joints[body.joint(f"right_{n}")]) / 2  # noqa: E731
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


def seen(body: Body, betas: Tensor, pose: Tensor, transl: Tensor, T: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Joints [J, 3] and the pelvis' rotation [3, 3] in the camera's frame."""
    joints = body(betas[None], pose[None], transl[None]).joints[0]
    R = T[:3, :3] @ axis_angle_to_matrix(pose[0])
    return (joints @ T[:3, :3].T + T[:3, 3]).double().numpy(), R.double().numpy()


def pitch(T: Tensor) -> float:
    """Degrees by which a camera looks down."""
    return math.degrees(math.asin(-float(T[2, 1])))


def stature(body: Body, betas: Tensor) -> float:
    """Metres."""
    v = body.rest(betas[None])[0][0]
    return float(v[:, 1].max() - v[:, 1].min())


def measure(body: Body, fit: Fit, v: Views) -> dict[str, Any]:
    T, own = v.T_cam_world[0], [body.joint(n) for n in BODY]
    J, R = seen(body, v.params.betas, v.params.pose[0], v.params.transl[0], T)
    j, r = seen(body, fit.betas, fit.pose, fit.transl, fit.camera.T_cam_world)
    x, y = j[own] - j[0], J[own] - J[0]
    facing = -(R @ [0, 0, 1.0])  # the front, seen from the camera
    torso, legs = (g - t for g, t in zip(leans(body, j), leans(body, J), strict=True))
    azimuth = abs(math.degrees(math.atan2(facing[0], facing[2])))
    return {
        "name": v.name, "view": next(n for n, (low, high) in ANGLES.items() if low <= azimuth < high),
        "posture": posture(v), "true_pitch": pitch(T), "pitch": pitch(fit.camera.T_cam_world) - pitch(T),
        "mpjpe": 1000 * float(np.linalg.norm(x - y, axis=1).mean()),
        "pa_mpjpe": 1000 * float(np.linalg.norm(procrustes(x, y) - y, axis=1).mean()),
        "turn": math.degrees(math.acos(np.clip((np.trace(r.T @ R) - 1) / 2, -1, 1))), "torso": torso, "legs": legs,
        "height": stature(body, fit.betas), "true_height": stature(body, v.params.betas),
        "joints": (1000 * np.linalg.norm(x - y, axis=1)).round(1).tolist(),
    }  # fmt: skip


def fitted(
    body: Body, views: list[View], people: list[Views], last: list[Fit] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """Rows of :func:`measure` for each stage; ``last`` receives the fits of the last one."""
    rows: dict[str, list[dict]] = {}
    for k in range(0, len(views), CHUNK):
        fits: list[Fit] = []
        for stage, fits in fit_stages(body, views[k : k + CHUNK], shared_shape=False):
            found = [measure(body, f, v) for f, v in zip(fits, people[k : k + CHUNK], strict=True)]
            rows.setdefault(stage, []).extend(found)
        if last is not None:
            last.extend(fits)
    return rows


def clay(body: Body, vertices: Tensor, side: bool) -> np.ndarray:  # [V, 3] in a camera's frame, about the pelvis
    """[TILE, TILE, 3] uint8: the body from the camera, or from its right."""
    turn = torch.tensor([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]) if side else torch.eye(3)
    K = torch.tensor([[4.3 * TILE, 0, TILE / 2], [0, 4.3 * TILE, TILE / 2], [0, 0, 1]])
    camera = Camera(K, torch.eye(4), TILE, TILE)
    v = vertices @ turn.T + torch.tensor([0.0, 0, 9])
    f = rasterize_mesh(v, body.faces, camera)
    light = -interpolate(f, vertex_normals(v[None], body.faces)[0], body.face_tensor)[0, ..., 2]
    out = torch.where(f.mask[0], 70 + 150 * light.clamp(0, 1), torch.tensor(255.0))
    return out[..., None].expand(-1, -1, 3).to(torch.uint8).numpy()


def sheet(
    body: Body, views: list[View], people: list[Views], fits: list[Fit], rows: list[dict[str, Any]]
) -> np.ndarray:
    """The first people who do not just stand, [H, W, 3] uint8."""
    tiles = []
    for view, v, fit, row in zip(views, people, fits, rows, strict=True):
        if row["posture"] == "upright" or len(tiles) == SHOWN:
            continue
        T = v.T_cam_world[0]
        truth = v.params.posed(body), T
        found = body(fit.betas[None], fit.pose[None], fit.transl[None]), fit.camera.T_cam_world
        about = [(p.vertices[0] - p.joints[0, 0]) @ M[:3, :3].T for p, M in (truth, found)]
        ys, xs = np.nonzero(view.mask)
        side = 1.1 * max(np.ptp(xs), np.ptp(ys))
        corner = (xs.min() + xs.max() - side) / 2, (ys.min() + ys.max() - side) / 2
        A = np.array([[TILE / side, 0, -corner[0] * TILE / side], [0, TILE / side, -corner[1] * TILE / side]])
        picture = cv2.warpAffine(v.rgb[0].numpy(), A, (TILE, TILE), flags=cv2.INTER_AREA, borderValue=(255,) * 3)
        bodies = [clay(body, a, turned) for turned in (False, True) for a in about]
        tile = np.hstack([picture, *bodies])
        text = f"{row['name'][-3:]}  {row['mpjpe']:.0f}  {row['pa_mpjpe']:.0f}"
        tiles.append(cv2.putText(tile, text, (4 * TILE + 4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 160)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % ACROSS)
    return np.vstack([np.hstack(tiles[i : i + ACROSS]) for i in range(0, len(tiles), ACROSS)])


def summary(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Means; of signed errors also of their absolute values; medians of angles of the pelvis."""
    get = lambda key: np.array([r[key] for r in rows])  # noqa: E731
    out = {"n": len(rows), "mpjpe": get("mpjpe").mean(), "mpjpe_median": np.median(get("mpjpe")),
           "pa_mpjpe": get("pa_mpjpe").mean(), "pa_mpjpe_median": np.median(get("pa_mpjpe")),
           "turn": np.median(get("turn"))}  # fmt: skip
    for key in ("torso", "legs", "pitch"):
        out |= {key: np.abs(get(key)).mean(), f"{key}_bias": get(key).mean()}
    corr = lambda a, b: np.corrcoef(get(a), get(b))[0, 1] if len(rows) > 2 else math.nan  # noqa: E731
    out |= {"legs_with_pitch": corr("legs", "true_pitch"), "height_known": corr("height", "true_height")}
    return {k: float(v) for k, v in out.items()}


def report(rows: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, dict[str, float]]]:
    """Print and return the table of all stages, and of the last one by view and posture."""
    table: dict[str, dict] = {}
    print(f"{'stage':11s}{'people':13s}{'n':>4s}" + "".join(f"{c:>8s}" for c in COLUMNS.values()) +
          "  medians: MPJPE, PA; correlation of legs and pitch, of heights")  # fmt: skip
    for stage, found in rows.items():
        groups = {"all": found}
        if stage == list(rows)[-1]:
            groups |= {g: [r for r in found if r[key] == g] for key in ("view", "posture")
                       for g in sorted({r[key] for r in found})}  # fmt: skip
        for name, some in groups.items():
            e = table.setdefault(stage, {})[name] = summary(some)
            print(f"{stage:11s}{name:13s}{e['n']:4.0f}" + "".join(f"{e[c]:8.1f}" for c in COLUMNS) +
                  f"  {e['mpjpe_median']:6.1f} {e['pa_mpjpe_median']:6.1f} {e['legs_with_pitch']:6.2f} "
                  f"{e['height_known']:6.2f}", flush=True)  # fmt: skip
    worst = sorted(rows[list(rows)[-1]], key=lambda r: -r["mpjpe"])[:20]
    print("worst:", " ".join(f"{r['name']} {r['mpjpe']:.0f}" for r in worst))
    return table


def arguments(about: str | None, photos: bool = False) -> argparse.Namespace:
    p = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets")
    p.add_argument("--motions")
    if photos:
        p.add_argument("--photos", type=Path, help="folder of photos, instead of generated people")
    p.add_argument("--count", type=int, default=300)
    p.add_argument("--set", type=Path, default=Path("out/truth"))
    p.add_argument("--out", type=Path)
    p.add_argument("--first", type=int, default=0, help="people before this one are left out")
    p.add_argument("--varied", action="store_true", help="all postures, cameras from all sides and heights")
    p.add_argument("--sheet", type=Path, help="picture of people beyond standing, their truth and their fits")
    return p.parse_args()


def read(a: argparse.Namespace) -> tuple[list[View], list[Views], dict[str, str]]:
    """The pictures of the set as photos are read, their people, and why others were refused."""
    people = make(a)
    views, known, refused = [], [], {}
    for i in range(a.first, min(a.count, people.num_people)):
        v = people.views(i)
        try:
            s = read_subject(next((a.set / v.name / "rgb").iterdir()))
            views.append(s.view)
            known.append(as_read(v, s.turn))
        except DinarError as e:
            refused[v.name] = str(e)
    return views, known, refused


def main() -> None:
    a = arguments(__doc__)
    torch.set_num_threads(1)
    body = load_body()
    views, known, refused = read(a)
    start = time.process_time()
    fits: list[Fit] = []
    rows = fitted(body, views, known, fits)
    seconds = (time.process_time() - start) / max(len(views), 1)
    print(f"{len(views)} people fitted, {len(refused)} refused, {seconds:.2f} s each (CPU)")
    table = report(rows)
    if a.sheet:
        write_picture(a.sheet, sheet(body, views, known, fits, rows[list(rows)[-1]]))
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps({"table": table, "refused": refused, "seconds": seconds, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
