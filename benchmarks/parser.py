"""The human parser on the 150 validation photos that never trained, beside the mask it replaces (pose + GrabCut).

    python benchmarks/parser.py --data CCP_FOLDER --out out/parser [--weights DIR] [--limit 10] [--no-old]

Prints person IoU without bags (mean, median, worst), class IoU with 95 % bootstrap intervals over photos, and seconds a
photo with the keypoints; writes parser.json and a sheet of 60 photos whose first 20 are the worst.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.data.ccp import ccp_classes, labelled_pose, read_ccp_labels
from dinar.errors import DinarError
from dinar.evaluate import iou
from dinar.labels import CLASSES, LABEL, palette
from dinar.photo.image import read_photo
from dinar.photo.mask import person_mask
from dinar.photo.parser_input import person_affine, warp
from dinar.photo.parsing import WEIGHTS, class_probabilities, load_parser, parse_person
from dinar.photo.person import find_person
from dinar.train.parser import validation_names

NOT_PERSON = (LABEL["background"], LABEL["bag"])
TILE = 240, 160  # rows and columns


def measure(path: Path, labels: Path, net, old: bool) -> tuple[dict, np.ndarray]:
    photo = read_photo(path)
    own = read_ccp_labels(labels)
    refused = ""
    start = time.perf_counter()
    try:
        person = find_person(photo.rgb)
        keypoints, middle = person.pose.keypoints, time.perf_counter()
        old_alpha = person_mask(photo.rgb, person.pose, person.mask_soft) if old else None
    except DinarError as e:
        refused, middle, old_alpha = str(e), time.perf_counter(), None
        pose = labelled_pose(photo.rgb, own > 0)
        if pose is None:
            return {"photo": path.stem, "error": refused}, np.zeros((*TILE, 3), np.uint8)
        keypoints = pose.keypoints
    old_seconds = time.perf_counter() - start
    begun = time.perf_counter()
    parse = parse_person(photo.rgb, keypoints, net=net, coarse=None if refused else person.mask_soft)
    seconds = middle - start + time.perf_counter() - begun
    truth = ccp_classes(own, keypoints)
    person_truth = ~np.isin(truth, NOT_PERSON)
    box, p = class_probabilities(photo.rgb, keypoints, net)
    raw = np.zeros(truth.shape, bool)
    raw[box] = 1 - p[..., NOT_PERSON].sum(-1) > 0.5
    n = len(CLASSES)
    confusion = np.bincount(truth.astype(int).ravel() * n + parse.labels.ravel(), minlength=n * n)
    row = {"photo": path.stem, "seconds": seconds, "iou": iou(parse.alpha > 0.5, person_truth),
           "iou_with_bags": iou((parse.alpha > 0.5) | (parse.labels == LABEL["bag"]), truth > 0),
           "iou_parser_alone": iou(raw, person_truth), "refused": refused,
           "confusion": confusion.reshape(n, n).tolist()}  # fmt: skip
    if old_alpha is not None:
        row |= {"old_iou": iou(old_alpha > 0.5, person_truth), "old_seconds": old_seconds,
                "old_iou_with_bags": iou(old_alpha > 0.5, truth > 0)}  # fmt: skip
    return row, tile(photo.rgb, keypoints, parse, truth, row)


def tile(rgb: np.ndarray, keypoints: np.ndarray, parse, truth: np.ndarray, row: dict) -> np.ndarray:
    M = person_affine(keypoints, TILE)
    alpha = parse.alpha[..., None]
    cut = (rgb * alpha + 255 * (1 - alpha)).astype(np.uint8)
    painted = [(rgb * 0.35 + palette()[x] * 0.65).astype(np.uint8) for x in (parse.labels, truth)]
    out = np.hstack([warp(x, M, TILE) for x in (rgb, cut, *painted)])
    text = f"{row['photo']} {row['iou']:.3f} old {row.get('old_iou', float('nan')):.3f}"
    return cv2.putText(out, text, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 30, 30), 1, cv2.LINE_AA)


def class_iou(confusion: np.ndarray) -> np.ndarray:  # [classes, classes] truth, guess -> [classes], NaN where absent
    both = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - both
    return np.where(confusion.sum(1) > 0, both / np.maximum(union, 1), np.nan)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/parser"))
    p.add_argument("--weights", type=Path, default=WEIGHTS)
    p.add_argument("--limit", type=int)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--no-old", action="store_true", help="leave out the old mask")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    net = load_parser(a.weights)
    rows, tiles = [], []
    for name in sorted(validation_names())[: a.limit]:
        row, t = measure(a.data / "photos" / f"{name}.jpg", a.data / "labels" / f"{name}.png", net, not a.no_old)
        rows.append(row)
        tiles.append(t)
    good = [i for i, r in enumerate(rows) if "iou" in r]
    report(rows, good)
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "parser.json").write_text(json.dumps(rows))
    order = sorted(good, key=lambda i: rows[i]["iou"])
    chosen = order[:20] + order[20 :: max(1, (len(order) - 20) // 40)][:40]
    blank = np.full_like(tiles[0], 255)
    chosen = [tiles[i] for i in chosen] + [blank] * (-len(chosen) % 3)
    sheet = np.vstack([np.hstack(chosen[i : i + 3]) for i in range(0, len(chosen), 3)])
    cv2.imwrite(str(a.out / "sheet.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


def report(rows: list[dict], good: list[int]) -> None:
    rng = np.random.default_rng(0)

    def interval(draw) -> str:
        samples = [draw(rng.choice(good, len(good))) for _ in range(1000)]
        lo, hi = np.nanpercentile(samples, [2.5, 97.5])
        return f"{draw(np.array(good)):.3f} [{lo:.3f}, {hi:.3f}]"

    for key in ("iou", "iou_with_bags", "iou_parser_alone", "old_iou", "old_iou_with_bags", "seconds", "old_seconds"):
        v = np.array([rows[i].get(key, np.nan) for i in good], float)
        v = v[~np.isnan(v)]
        if len(v):
            half = 1.96 * v.std() / len(v) ** 0.5
            worst = np.sort(v)[:3] if "iou" in key else np.sort(v)[-3:]
            under = f"  under .80: {(v < 0.8).sum()}" if "iou" in key else ""
            print(
                f"{key:22s} n {len(v)}  mean {v.mean():.4f} ± {half:.4f}  median {np.median(v):.4f}  "
                f"worst {', '.join(f'{x:.3f}' for x in worst)}{under}"
            )
    C = np.array([r.get("confusion", np.zeros((len(CLASSES),) * 2)) for r in rows])
    print(f"mIoU over classes      {interval(lambda i: np.nanmean(class_iou(C[i].sum(0))))}")
    for k, name in enumerate(CLASSES):
        share = int((C[:, k].sum(1) > 0).sum())
        print(f"  {name:12s} in {share:3d} photos  {interval(lambda i, k=k: class_iou(C[i].sum(0))[k])}")
    print("refused by find_person:", {r["photo"]: r.get("refused") or r.get("error") for r in rows
                                      if r.get("refused") or "error" in r})  # fmt: skip


if __name__ == "__main__":
    main()
