"""The person mask against hand labels, over all labelled photos or every n-th: IoU with and without bags, time.

python benchmarks/masks.py --photos DIR/photos --labels DIR/labels --every 3 --out out/masks.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np

from dinar.errors import DinarError
from dinar.evaluate import iou
from dinar.subject import read_subject
from photos import bag_labels


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--labels", type=Path, required=True)
    p.add_argument("--every", type=int, default=1)
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    bags, rows = bag_labels(a.labels), []
    for label in sorted(a.labels.glob("*.png"))[:: a.every]:
        photo = a.photos / f"{label.stem}.jpg"
        if not photo.exists():
            continue
        start = time.perf_counter()
        try:
            mask = read_subject(photo).alpha > 0.5
        except DinarError as e:
            rows.append({"photo": label.stem, "error": str(e)})
            continue
        seconds = time.perf_counter() - start
        truth = cv2.imread(str(label), cv2.IMREAD_UNCHANGED)
        truth = cv2.resize(truth, mask.shape[::-1], interpolation=cv2.INTER_NEAREST)
        keep = ~np.isin(truth, bags)
        ignored = iou(mask & keep, (truth > 0) & keep)
        rows.append({"photo": label.stem, "iou": iou(mask, truth > 0), "iou_bags_ignored": ignored, "seconds": seconds})
    good = [r for r in rows if "iou" in r]
    for k in ("iou", "iou_bags_ignored", "seconds"):
        v = np.array([r[k] for r in good])
        half = 1.96 * v.std() / len(v) ** 0.5
        print(f"{k:18s} n {len(v)}  mean {v.mean():.4f} ± {half:.4f}  median {np.median(v):.4f}  min {v.min():.3f}")
    print(f"refused: {[r['photo'] for r in rows if 'error' in r]}")
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
