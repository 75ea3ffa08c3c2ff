"""The surface network on generated people that never trained, by view and posture, and on photos beside good fits.

    dinar synthesize -o heldout --seed 901 --people 60 --views 4 --size 256 --varied --plain --assets DIR --motions DIR
    python benchmarks/surface.py --set heldout [--backgrounds PICTURES] [--photos DIR/photos] [--weights DIR]

Of generated people, before backgrounds and with their true masks: mean distance on the rest-pose surface (metres), the
share of pixels within 10 cm and of the right part, IoU of the visible body, errors of the camera's pitch and of the
body's turn about the vertical (degrees), the correlation of the expected with the true distance. Of the photos of
benchmarks/photos.txt, cut out by the parser: the same distance to the bodies of benchmarks/ccp/fits.npz, where the fit
is surely right. Writes surface.json and a sheet.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body.load import load_body
from dinar.data.photos import load_fits
from dinar.data.scenes import Backgrounds, Draws
from dinar.data.shards import open_set
from dinar.data.surface import SurfaceSet, read_people, whole
from dinar.photo.surface import WEIGHTS, SurfaceMap, load_surface, surface_map
from dinar.scene import interpolate, rasterize
from dinar.train.surface import NEAR, chosen, measure
from dinar.views import SURFACE_CENTRE, SURFACE_UNIT, Views

SURE = {"keypoint_error": 0.6, "iou": 0.75}  # of the fits that photos are held against: at most, at least
VIEWS = {"front": (0, 45), "side": (45, 135), "back": (135, 181)}  # degrees between the body's front and the camera
FIGURES = ("error", "near", "part", "iou", "pitch", "azimuth")


def posture(v: Views) -> str:
    """lying, folded (seated, kneeling, crouching), or upright; "arms before" where a wrist is before the trunk."""
    body = load_body()
    joints = v.params.posed(body).joints[0]
    at = lambda name: joints[body.joint(name)]  # noqa: E731
    trunk = at("neck") - at("pelvis")
    if float(trunk[1] / trunk.norm()) < 0.5:
        return "lying"
    for side in ("left", "right"):
        thigh, shin = at(f"{side}_knee") - at(f"{side}_hip"), at(f"{side}_ankle") - at(f"{side}_knee")
        if float(torch.cosine_similarity(thigh, shin, 0)) < 0.4:
            return "folded"
    front = torch.linalg.cross(at("left_hip") - at("right_hip"), trunk)
    for side in ("left", "right"):
        wrist = at(f"{side}_wrist") - at("pelvis")
        along = float(wrist @ trunk / trunk.norm() ** 2)
        across = (wrist - along * trunk) @ torch.nn.functional.normalize(at("left_hip") - at("right_hip"), dim=0)
        if -0.1 < along < 0.9 and abs(float(across)) < 0.17 and float(wrist @ front) > 0:
            return "arms before"
    return "upright"


def generated(a: argparse.Namespace, net) -> list[dict]:
    rows: list[dict] = []
    source = open_set(a.set)
    people, scenes = SurfaceSet([read_people(source)]), Backgrounds(a.backgrounds)
    views = [(i, k) for i in range(source.num_people or 0) for k in range(source.num_views(i))]
    d = Draws(1, generator=torch.Generator().manual_seed(0))
    for i in range(min(len(people), a.limit or len(people))):
        batch = whole(people, torch.tensor([i]), net.sizes, scenes, d)
        with torch.inference_mode():
            out = net(batch["rgb"].contiguous(memory_format=torch.channels_last), batch["hints"])
        row: dict = {k: float(v[0]) for k, v in measure(out, batch).items()}
        part = batch["part"]
        on = (part > 0) & (part < 255)
        k = out.logits[:, 1:].argmax(1)
        error = (chosen(out.points, k) - batch["points"]).norm(dim=1)[on]
        scale = chosen(out.scale[:, :, None], k)[:, 0][on]
        sure = out.logits.softmax(1)[:, 1:].amax(1)[on]
        expected = 3 * scale + 0.4 * (1 - sure)
        row["known"] = float(np.corrcoef(expected.numpy(), error.numpy())[0, 1])
        front = batch["turn"][0, 2]
        angle = float(torch.rad2deg(torch.atan2(front[[0, 1]].norm(), -front[2])))
        row["view"] = next(n for n, (low, high) in VIEWS.items() if low <= angle < high)
        row["posture"] = posture(source.views(views[i][0], [views[i][1]]))
        rows.append(row)
    return rows


def rest_of(m: SurfaceMap) -> np.ndarray:  # [h, w, 3] metres
    """The point of the likeliest part in every cell."""
    k = m.probability[..., 1:].argmax(-1)
    return np.take_along_axis(m.points, k[..., None, None], 2)[:, :, 0]


def photographed(a: argparse.Namespace, net) -> tuple[list[dict], list[np.ndarray]]:
    from dinar.subject import read_subject

    root = Path(__file__).parent
    fits = load_fits(root / "ccp")
    of = {Path(str(n)).stem: i for i, n in enumerate(fits.name)}
    body, rows, tiles = load_body(), [], []
    for name in (root / "photos.txt").read_text().split()[: a.limit]:
        i = of.get(name)
        if i is None or fits.keypoint_error[i] > SURE["keypoint_error"] or fits.iou[i] < SURE["iou"]:
            continue
        s, fit = read_subject(a.photos / f"{name}.jpg"), fits.fit(i)
        start = time.perf_counter()
        m = surface_map(s.rgb, s.alpha, s.view.keypoints, net)
        seconds = time.perf_counter() - start
        vertices = body(fit.betas[None], fit.pose[None], fit.transl[None]).vertices[0]
        xy, depth = fit.camera.project(vertices)
        f = rasterize(xy[None], depth[None], body.faces, fit.camera.height, fit.camera.width)
        rest = interpolate(f, body.v_template, body.faces)[0].numpy()
        ys, xs = np.where(f.mask[0].numpy() & (s.alpha > 0.5))
        pixels = np.stack([xs, ys], 1) + 0.5
        column, row = m.cells(pixels)
        error = np.linalg.norm(rest_of(m)[row, column] - rest[ys, xs], axis=1)
        agree = m.agreement(pixels, rest[ys, xs])
        rows.append({"photo": name, "error": float(error.mean()), "median": float(np.median(error)),
                     "near": float((error < NEAR).mean()), "agreement": float(agree.mean()),
                     "seconds": seconds})  # fmt: skip
        tiles.append(tile(s.rgb, m))
    return rows, tiles


def tile(rgb: np.ndarray, m: SurfaceMap) -> np.ndarray:
    """[160, 320, 3] uint8: the photo as the network saw it, and its surface."""
    h, w = m.probability.shape[:2]
    picture = cv2.warpAffine(rgb, m.M, (w, h), flags=cv2.INTER_AREA)
    colours = (rest_of(m) - SURFACE_CENTRE) / SURFACE_UNIT + 128
    colours = colours.clip(0, 255) * (m.probability.argmax(-1) > 0)[..., None]
    out = np.full((160, 320, 3), 255, np.uint8)
    out[:h, :w], out[:h, 160 : 160 + w] = picture[:160, :160], colours[:160, :160].astype(np.uint8)
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--set", type=Path, required=True)
    p.add_argument("--backgrounds", type=Path)
    p.add_argument("--photos", type=Path)
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    p.add_argument("--out", type=Path, default=Path("out/surface"))
    p.add_argument("--limit", type=int)
    a = p.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    net = load_surface(a.weights)
    rows = generated(a, net)
    print(f"{'':24s}{'views':>6s}" + "".join(f"{k:>9s}" for k in (*FIGURES, "known")))
    for key in ("", "view", "posture"):
        for kind in sorted({r[key] for r in rows}) if key else ("all",):
            some = [r for r in rows if not key or r[key] == kind]
            print(f"{key + ' ' + kind:24s}{len(some):6d}" +
                  "".join(f"{np.mean([r[k] for r in some]):9.3f}" for k in (*FIGURES, "known")))  # fmt: skip
    photos: list[dict] = []
    if a.photos:
        photos, tiles = photographed(a, net)
        means = {k: np.mean([r[k] for r in photos]) for k in photos[0] if k != "photo"}
        print(f"{len(photos)} photos with good fits: " + "  ".join(f"{k} {v:.3f}" for k, v in means.items()))
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 6)
        sheet = np.vstack([np.hstack(tiles[j : j + 6]) for j in range(0, len(tiles), 6)])
        cv2.imwrite(str(a.out / "photos.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
    (a.out / "surface.json").write_text(json.dumps({"generated": rows, "photos": photos}))


if __name__ == "__main__":
    main()
