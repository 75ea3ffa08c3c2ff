"""One photo to an avatar, on 100 street photos: success, time, fit, masks, silhouettes, same-view quality, sheets.

    python benchmarks/photos.py --photos DIR/photos --labels DIR/labels --out out/photos [--limit 10]

DIR is the Clothing Co-Parsing set; ``photos.txt`` lists the photos. Writes ``photos.json`` and contact sheets and
prints the table of docs/figures.md. A stopped run continues; ``--redo`` starts again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import dinar
from dinar.body import load_body
from dinar.cores import physical_cores
from dinar.create import Work
from dinar.errors import DinarError
from dinar.evaluate import iou, ms_ssim, psnr
from dinar.fit.view import is_standing
from dinar.preview import new_pose, outlines
from dinar.scene import rasterize_mesh
from dinar.scene.crop import crop_box, warp_crop
from dinar.scene.textured import over, render_textured, to_uint8

SIZE, TILE = 512, 320
GALLERY = 8  # photos in the gallery, evenly spread over the list


def bag_labels(labels: Path) -> list[int]:
    """Numbers of the labels that are carried, not worn."""
    names = (labels.parent / "label_names.txt").read_text().splitlines()
    return [i for i, n in enumerate(names) if n.strip() in ("bag", "purse", "wallet", "accessories")]


def silhouette(body, vertices, camera) -> np.ndarray:
    return rasterize_mesh(vertices, body.faces, camera).mask[0].numpy()


def widened(on: np.ndarray, by: int) -> np.ndarray:  # [H, W] bool, pixels
    return cv2.dilate(on.astype(np.uint8), np.ones((2 * by + 1, 2 * by + 1), np.uint8)) > 0


def sampled(avatar, camera) -> np.ndarray:
    """[H, W] bool: pixels whose colour was sampled from the photo, not restored."""
    seen = np.repeat((avatar.lam > 0)[..., None] * np.uint8(255), 3, 2)
    a = avatar.body.atlas
    rgba = render_textured(avatar.vertices(), avatar.body.faces, a.uv, a.faces, seen, camera)
    return (rgba[..., 0] > 0.99) & (rgba[..., 3] > 0.99)


def lean(body, avatar) -> tuple[float, float]:
    """Degrees by which torso and legs tilt out of the vertical along the camera's depth axis."""
    j = body(avatar.betas[None], avatar.pose[None], avatar.transl[None]).joints[0]
    at = lambda n: (j[body.joint(f"left_{n}")] + j[body.joint(f"right_{n}")]) / 2  # noqa: E731
    hips, shoulders, ankles = at("hip"), at("shoulder"), at("ankle")
    angle = lambda d: float(torch.rad2deg(torch.atan2(d[2], d[1].abs())))  # noqa: E731
    return angle(shoulders - hips), angle(hips - ankles)


def measure(path: Path, labels: Path | None, bags: list[int]) -> tuple[dict, np.ndarray | None]:
    body = load_body()
    start = time.perf_counter()
    try:
        avatar = dinar.create(path, renderer="mesh")
    except DinarError as e:
        return {"photo": path.stem, "error": str(e)}, None
    seconds = time.perf_counter() - start
    work: Work = avatar.work
    s, fit = work.subjects[0], work.fits[0]
    mask = s.alpha > 0.5
    # the body goes on behind a bag, which the mask leaves out
    beside = np.ones_like(mask) if s.view.front is None else ~widened(s.view.front, mask.shape[0] // 200)
    dressed = silhouette(avatar.body, avatar.vertices(), fit.camera)
    naked = silhouette(body, body(avatar.betas[None], avatar.pose[None], avatar.transl[None]).vertices[0], fit.camera)
    row = {
        "photo": path.stem, "seconds": seconds, "steps": work.seconds, "keypoint_error": fit.keypoint_error,
        "iou_body": iou(naked, mask), "iou_dressed": iou(dressed, mask), "people": s.count,
        "iou_beside_bags": iou(dressed & beside, mask & beside),
        "doubts": avatar.meta["judgement"][0]["doubts"],
    }  # fmt: skip
    if labels and (labels / f"{path.stem}.png").exists():
        truth = cv2.imread(str(labels / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        truth = cv2.resize(truth, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        row |= {"mask_iou": iou(mask, truth > 0), "mask_iou_no_bags": iou(mask, (truth > 0) & ~np.isin(truth, bags)),
                "iou_dressed_labels": iou(dressed, truth > 0)}  # fmt: skip
    box = crop_box(mask, SIZE)
    alpha = warp_crop(s.alpha, box, SIZE, 0)[..., None].clip(0, 1)
    photo = warp_crop(s.rgb.astype(np.float32) / 255, box, SIZE, 1).clip(0, 1)
    masked = photo * alpha + (1 - alpha)
    rgba = avatar.render(avatar.pose, fit.camera.crop(*box, SIZE, SIZE), transl=avatar.transl)
    same = over(rgba)
    row |= {"psnr": psnr(same, masked), "ms_ssim": ms_ssim(same, masked),
            "psnr_inside": psnr(same, masked, (alpha[..., 0] > 0.99) & (rgba[..., 3] > 0.99)),
            "psnr_beside_bags": psnr(same, masked, warp_crop(beside.astype(np.float32), box, SIZE, 1) > 0.5),
            "psnr_sampled": psnr(same, masked, sampled(avatar, fit.camera.crop(*box, SIZE, SIZE)))}  # fmt: skip
    if is_standing(s.view.keypoints):
        row["lean_torso"], row["lean_legs"] = lean(body, avatar)
    mesh = rgba[..., 3] > 0.5
    views = [photo, outlines(photo, alpha[..., 0] > 0.5, mesh), same,
             *(over(avatar.render(size=SIZE, azimuth=a)) for a in (90, 180, -90)),
             over(avatar.render(new_pose(avatar), size=SIZE, azimuth=25))]  # fmt: skip
    cut = (SIZE - SIZE * 5 // 8) // 2
    strip = np.hstack([v[:, cut : SIZE - cut] for v in views])
    strip = cv2.resize(strip, None, fx=TILE / SIZE, fy=TILE / SIZE, interpolation=cv2.INTER_AREA)
    strip = np.ascontiguousarray(to_uint8(strip))
    text = f"{path.stem} {seconds:.1f}s kp {fit.keypoint_error:.2f} iou {row['iou_dressed']:.3f} psnr {row['psnr']:.1f}"
    cv2.putText(strip, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (200, 0, 0), 1, cv2.LINE_AA)
    return row, strip


def summary(rows: list[dict]) -> dict:
    good = [r for r in rows if "error" not in r]
    take = lambda k: np.array([r[k] for r in good if k in r])  # noqa: E731
    out: dict = {"photos": len(rows), "success": len(good), "doubted": sum(bool(r["doubts"]) for r in good)}
    for k in ("seconds", "keypoint_error", "mask_iou", "mask_iou_no_bags", "iou_body", "iou_dressed",
              "iou_beside_bags", "iou_dressed_labels", "psnr", "psnr_beside_bags", "psnr_inside", "psnr_sampled",
              "ms_ssim"):  # fmt: skip
        v = take(k)
        if len(v):
            worst = v.max() if k in ("seconds", "keypoint_error") else v.min()
            out[k] = {"n": len(v), "mean": float(v.mean()), "median": float(np.median(v)), "worst": float(worst)}
    for k in ("lean_torso", "lean_legs"):
        v = np.abs(take(k))
        if len(v):
            out[k] = {"n": len(v), "mean": float(v.mean()), "median": float(np.median(v)), "worst": float(v.max())}
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--labels", type=Path)
    p.add_argument("--out", type=Path, default=Path("out/photos"))
    p.add_argument("--list", type=Path, default=Path(__file__).with_name("photos.txt"))
    p.add_argument("--limit", type=int)
    p.add_argument("--redo", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(physical_cores())  # as the command line does
    names = a.list.read_text().split()[: a.limit]
    (a.out / "strips").mkdir(parents=True, exist_ok=True)
    bags = bag_labels(a.labels) if a.labels else []
    rows = []
    for i, name in enumerate(names):
        cache, strip = a.out / "strips" / f"{name}.json", a.out / "strips" / f"{name}.jpg"
        if cache.exists() and not a.redo:
            rows.append(json.loads(cache.read_text()))
            continue
        row, picture = measure(a.photos / f"{name}.jpg", a.labels, bags)
        if picture is not None:
            cv2.imwrite(str(strip), picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
        cache.write_text(json.dumps(row))
        rows.append(row)
        print(
            f"{i + 1}/{len(names)} {name}",
            row.get("error", f"{row.get('seconds', 0):.1f} s psnr {row.get('psnr', 0):.1f}"),
            flush=True,
        )
    for page in range(0, len(names), 10):
        strips = [cv2.imread(str(f)) for n in names[page : page + 10] if (f := a.out / "strips" / f"{n}.jpg").exists()]
        if strips:
            cv2.imwrite(str(a.out / f"sheet{page // 10:02d}.jpg"), np.vstack(strips), [cv2.IMWRITE_JPEG_QUALITY, 85])
    few = [cv2.imread(str(f)) for f in sorted((a.out / "strips").glob("*.jpg"))[:: max(1, len(names) // GALLERY)]]
    if few:  # docs/gallery.jpg
        small = cv2.resize(np.vstack(few[:GALLERY]), None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(a.out / "gallery.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    result = summary(rows)
    (a.out / "photos.json").write_text(json.dumps({"summary": result, "rows": rows}, indent=1))
    print(f"\n{result['success']} of {result['photos']} photos, {result['doubted']} of them doubted")
    print(f"{'':20s} {'n':>4s} {'mean':>8s} {'median':>8s} {'worst':>8s}")
    for k, v in result.items():
        if isinstance(v, dict):
            print(f"{k:20s} {v['n']:4d} {v['mean']:8.3f} {v['median']:8.3f} {v['worst']:8.3f}")


if __name__ == "__main__":
    main()
