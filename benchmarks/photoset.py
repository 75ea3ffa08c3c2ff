"""A photo set made by `dinar fit`: distribution of the fits' errors, histograms, and the worst ones to look at.

    dinar fit DIR/photos -o out/ccp --masks
    python benchmarks/photoset.py --photos DIR/photos --set out/ccp --out out/photoset

Writes photoset.json, histogram.png and a contact sheet for the worst by each score (mask green, body red, keypoints
blue).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body import load_body
from dinar.data.photos import MAX_ERROR, MIN_INSIDE, Photos
from dinar.data.prepare import make_report, read_fits
from dinar.preview import outlines
from dinar.scene.textured import to_uint8

TILE = 384
SCORES = {"keypoint_error": (0.0, 3.0, MAX_ERROR), "iou": (0.2, 1.0, None), "inside": (0.4, 1.0, MIN_INSIDE)}


def histogram(x: np.ndarray, name: str, low: float, high: float, limit: float | None) -> np.ndarray:
    """[220, 480, 3] uint8; what lies beyond the axis is in the last bar."""
    counts, edges = np.histogram(np.clip(x, low, high), 40, (low, high))
    image = np.full((220, 480, 3), 255, np.uint8)
    for k, n in enumerate(counts):
        if not n:
            continue
        top = 190 - round(150 * n / counts.max())
        cv2.rectangle(image, (20 + 11 * k, top), (29 + 11 * k, 190), (200, 120, 60), -1)
        if n < counts.max() / 150:
            cv2.line(image, (20 + 11 * k, 189), (29 + 11 * k, 189), (200, 120, 60), 2)
    write = lambda t, at: cv2.putText(image, t, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (60, 60, 60), 1, cv2.LINE_AA)  # noqa: E731
    write(f"{name}   n {len(x)}   mean {x.mean():.3f}   median {np.median(x):.3f}", (20, 18))
    for k in range(0, 41, 10):
        write(f"{edges[k]:.2f}", (10 + 11 * k, 208))
    if limit is not None:
        at = 20 + round(440 * (limit - low) / (high - low))
        cv2.line(image, (at, 30), (at, 190), (0, 0, 220), 1)
    return image


def tile(source: Photos, i: int) -> np.ndarray:
    """The crop with mask, body and keypoints, and its scores."""
    body, fits = load_body(), source.fits
    v = source.views(i)
    mesh = v.raster(body).mask[0].numpy()
    out = outlines(v.rgb[0].numpy().astype(np.float32) / 255, v.alpha[0].numpy() > 127, mesh)
    for x, y, seen in v.keypoints2d[0].tolist() if v.keypoints2d is not None else ():
        if seen > 0.5:
            cv2.circle(out, (round(x), round(y)), 2, (0.1, 0.3, 1.0), -1)
    out = np.ascontiguousarray(to_uint8(out)[:, TILE // 8 : -TILE // 8])
    stem = Path(str(fits.name[i])).stem
    text = f"{stem}  kp {fits.keypoint_error[i]:.2f}  iou {fits.iou[i]:.2f}  in {fits.inside[i]:.2f}"
    cv2.putText(out, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.38, (200, 0, 0), 1, cv2.LINE_AA)
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--set", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/photoset"))
    p.add_argument("--worst", type=int, default=20)
    a = p.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    fits, refused = read_fits(a.set)
    report = make_report(fits, refused)
    print(f"{report['fitted']} of {report['photos']} photos fitted, {report['doubtful']} of them doubtful, "
          f"{report['several_people']} with several people; refused: {len(refused)}")  # fmt: skip
    print(f"{'':16s}" + "".join(f"{k:>9s}" for k in report["iou"]))
    for k in SCORES:
        print(f"{k:16s}" + "".join(f"{v:9.3f}" for v in report[k].values()))
    for why in refused.values():
        print("  refused", why)
    charts = [histogram(getattr(fits, k), k, *SCORES[k]) for k in SCORES]
    cv2.imwrite(str(a.out / "histogram.png"), np.vstack(charts))
    source = Photos(a.photos, a.set, size=TILE, doubtful=True)
    for k in SCORES:
        order = np.argsort(getattr(fits, k), kind="stable")
        order = order[::-1] if k == "keypoint_error" else order
        worst = order[: a.worst]
        report[f"worst_{k}"] = [str(fits.name[i]) for i in worst]
        tiles = [tile(source, int(i)) for i in worst]
        tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 5)
        sheet = np.vstack([np.hstack(tiles[r : r + 5]) for r in range(0, len(tiles), 5)])
        cv2.imwrite(str(a.out / f"worst_{k}.jpg"), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])
    (a.out / "photoset.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
