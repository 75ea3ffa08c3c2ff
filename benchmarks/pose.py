"""The pose network alone, without the fit, on generated people that never trained, and drawn over photos.

    dinar synthesize -o heldout --seed 901 --people 60 --views 4 --size 256 --varied --plain --assets DIR --motions DIR
    python benchmarks/pose.py --set heldout --backgrounds PICTURES [--photos DIR/photos --limit 24] [--weights DIR]

By view and posture: MPJPE and PA-MPJPE (millimetres, 22 joints about the pelvis) of the likeliest hypothesis and of the
best, errors of the pelvis' rotation and of the camera's pitch (degrees); of the 12 large joints about the hips the same
beside BlazePose's landmarks in metres. Of photos a sheet: the photo with the likeliest skeleton; the two likeliest and
BlazePose's, from the camera and from the side. Writes pose.json and photos.jpg.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from dinar.body.load import load_body
from dinar.body.skeleton import BODY
from dinar.data.pose import detect, read
from dinar.data.scenes import Backgrounds
from dinar.data.shards import open_set
from dinar.nets.pose import PoseNet
from dinar.photo.pose import WEIGHTS, load_pose, pose_inputs
from dinar.photo.surface import load_surface, surface_map
from dinar.train.pose import Skeleton, aligned, drawn_skeleton, measure, true_rotation
from surface import VIEWS, posture

SIDES, LARGE = ("left", "right"), ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
JOINTS = [BODY.index(f"{side}_{n}") for n in LARGE for side in SIDES]
LANDMARKS = [11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]  # the same of BlazePose
HIPS = [6, 7]  # of the twelve
FIGURES = ("mpjpe", "pa", "best", "best_pa", "turn", "pitch", "large", "large_pa", "blazepose", "blazepose_pa")


def about_hips(joints: Tensor) -> Tensor:  # [B, 12, 3]
    return joints - joints[:, HIPS].mean(1, keepdim=True)


def figures(net: PoseNet, x: dict[str, Tensor], skeleton: Skeleton) -> dict[str, Tensor]:
    out = net(x)
    k = out.weight.argmax(1)
    rows = torch.arange(len(k))
    guess = about_hips(skeleton(out.rotation[rows, k], out.betas[rows, k])[:, JOINTS])
    truth = about_hips(skeleton(true_rotation(x), x["true_betas"])[:, JOINTS])
    found = measure(out, x, skeleton)
    for name, joints in (("large", guess), ("blazepose", about_hips(x["world"][:, LANDMARKS]))):
        found[name] = 1000 * (joints - truth).norm(dim=-1).mean(1)
        found[f"{name}_pa"] = 1000 * (aligned(joints, truth) - truth).norm(dim=-1).mean(1)
    return found


def generated(a: argparse.Namespace, net: PoseNet, skeleton: Skeleton) -> list[dict]:
    source, scenes, surface = open_set(a.set), Backgrounds(a.backgrounds), load_surface()
    rows, kinds = [], []
    for i in range(source.num_people or 0):
        for k in range(source.num_views(i)):
            v = source.views(i, [k])
            x = detect(v, scenes, np.random.default_rng([0, i, k]))
            if x is None:
                continue
            x = read([x], surface)[0]
            front = x["true_root"][:, 2]
            angle = np.degrees(np.arctan2(np.hypot(front[0], front[1]), -front[2]))
            view = next(n for n, (low, high) in VIEWS.items() if low <= angle < high)
            rows.append(x)
            kinds.append({"view": view, "posture": posture(v)})
    x = {k: torch.from_numpy(np.stack([r[k] for r in rows])) for k in rows[0]}
    found = figures(net, x, skeleton)
    return [kinds[i] | {k: float(v[i]) for k, v in found.items()} for i in range(len(rows))]


def photographed(a: argparse.Namespace, net: PoseNet, skeleton: Skeleton) -> list[np.ndarray]:
    from dinar.subject import read_subject

    tiles = []
    for name in (Path(__file__).parent / "photos.txt").read_text().split()[a.skip : a.skip + a.limit]:
        s = read_subject(a.photos / f"{name}.jpg")
        points = s.view.keypoints
        m = surface_map(s.rgb, s.alpha, points)
        x = {k: torch.from_numpy(v)[None] for k, v in pose_inputs(m, points, s.view.world, s.alpha).items()}
        out = net(x)
        best = out.weight[0].argsort(descending=True)[:2]
        bodies = skeleton(out.rotation[0, best], out.betas[0, best])
        tiles.append(tile(s.rgb, points, bodies, float(out.distance[0, best[0]]), x["world"][0], skeleton, name))
    return tiles


def tile(
    rgb: np.ndarray, points: np.ndarray, bodies: Tensor, distance: float, world: Tensor, skeleton: Skeleton, name: str
) -> np.ndarray:
    """[256, 640, 3] uint8."""
    b = bodies[0].numpy()
    q = b[:, :2] * distance / (distance + b[:, 2:])
    own, theirs = q[JOINTS], points[LANDMARKS, :2]
    a, c = own - own.mean(0), theirs - theirs.mean(0)
    xy = (q - own.mean(0)) * (a * c).sum() / (a**2).sum() + theirs.mean(0)
    picture = rgb.copy()
    for j, p in enumerate(skeleton.parents):
        if p >= 0:
            cv2.line(picture, xy[p].astype(int).tolist(), xy[j].astype(int).tolist(), (255, 0, 255), 3, cv2.LINE_AA)
    low, high = points[:, :2].min(0) - 40, points[:, :2].max(0) + 40
    x0, y0 = np.maximum(low, 0).astype(int)
    picture = picture[y0 : int(high[1]), x0 : int(high[0])]
    k = 256 / max(picture.shape[:2])
    picture = cv2.resize(picture, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)[:, :256]
    out = np.full((256, 640, 3), 255, np.uint8)
    out[: picture.shape[0], : picture.shape[1]] = picture
    theirs = torch.zeros(len(BODY), 3)
    theirs[JOINTS] = world[LANDMARKS]
    theirs[[BODY.index(n) for n in ("spine1", "spine2", "spine3")]] = world[[11, 12]].mean(0) / 2
    theirs[[BODY.index(n) for n in ("neck", "left_collar", "right_collar")]] = world[[11, 12]].mean(0)
    theirs[BODY.index("head")] = world[[7, 8]].mean(0)
    for side in SIDES:
        theirs[BODY.index(f"{side}_foot")] = world[31 if side == "left" else 32]
    for row, side in enumerate((False, True)):
        for column, joints in enumerate([*bodies, theirs]):
            y, x = 128 * row, 256 + 128 * column
            out[y : y + 128, x : x + 128] = drawn_skeleton(joints, skeleton.parents, side)
    cv2.putText(out, name, (258, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return out


@torch.inference_mode()
def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--set", type=Path)
    p.add_argument("--backgrounds", type=Path)
    p.add_argument("--photos", type=Path)
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    p.add_argument("--out", type=Path, default=Path("out/pose"))
    p.add_argument("--skip", type=int, default=0)
    p.add_argument("--limit", type=int, default=24)
    a = p.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    net, skeleton = load_pose(a.weights), Skeleton(load_body())
    if a.set:
        rows = generated(a, net, skeleton)
        print(f"{'':22s}{'views':>6s}" + "".join(f"{k:>13s}" for k in FIGURES))
        for key in ("", "view", "posture"):
            for kind in sorted({r[key] for r in rows}) if key else ("all",):
                some = [r for r in rows if not key or r[key] == kind]
                print(f"{key + ' ' + kind:22s}{len(some):6d}" +
                      "".join(f"{np.mean([r[k] for r in some]):13.1f}" for k in FIGURES))  # fmt: skip
        (a.out / "pose.json").write_text(json.dumps(rows))
    if a.photos:
        tiles = photographed(a, net, skeleton)
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 3)
        sheet = np.vstack([np.hstack(tiles[j : j + 3]) for j in range(0, len(tiles), 3)])
        cv2.imwrite(str(a.out / "photos.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
