"""The body fit by itself: keypoint error, silhouette, lean and time for several weights of the upright prior.

python benchmarks/fit.py --photos DIR/photos --count 20 --out out/fit.json
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from dinar.body import load_body
from dinar.evaluate import iou
from dinar.fit import objective
from dinar.fit.smplify import fit_body
from dinar.fit.view import is_standing
from dinar.subject import read_subject
from photos import lean, silhouette


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--list", type=Path, default=Path(__file__).with_name("photos.txt"))
    p.add_argument("--count", type=int, default=20)
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    body = load_body()
    views = [read_subject(a.photos / f"{n}.jpg").view for n in a.list.read_text().split()[: a.count]]
    standing = [is_standing(v.keypoints) for v in views]
    rows, chosen = [], objective.UPRIGHT
    print("upright  keypoints %   IoU   torso °  legs °   s a photo, as one batch")
    for weight in (0.0, 4.0, chosen, 20.0):
        objective.UPRIGHT = weight
        start = time.process_time()
        fits = fit_body(body, views, shared_shape=False)
        seconds = (time.process_time() - start) / len(views)
        overlap, leans = [], []
        for f, v, upright in zip(fits, views, standing, strict=True):
            vertices = body(f.betas[None], f.pose[None], f.transl[None]).vertices[0]
            assert v.mask is not None
            overlap.append(iou(silhouette(body, vertices, f.camera), v.mask))
            if upright:
                leans.append(np.abs(lean(body, f)))
        error = float(np.mean([f.keypoint_error for f in fits]))
        torso, legs = np.mean(leans, 0)
        rows.append({"upright": weight, "keypoint_error": error, "iou": float(np.mean(overlap)),
                     "lean_torso": float(torso), "lean_legs": float(legs), "seconds": seconds})  # fmt: skip
        print(
            f"{weight:7.1f} {error:12.3f} {np.mean(overlap):7.4f} {torso:8.1f} {legs:7.1f} {seconds:8.2f}", flush=True
        )
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
