"""What tells a hat with a brim from caps, for photos to look at (docs/measurements.md).

    python benchmarks/hats.py --photos DIR/photos --out out/hats [NAME...]

DIR is the Clothing Co-Parsing set. Without names: ``hats.txt``, whose lines are photos of the benchmark with brims and
with caps, then further ones with brims and without. Prints what ``fit/hats.py`` measures and the CPU seconds of its
search; the sheet shows each head in the photo, in the same view of the avatar, and from the front, 45 degrees, either
side and behind.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch

import dinar
from dinar.avatar import Avatar
from dinar.body import load_body
from dinar.body.comb import HEAD
from dinar.errors import DinarError
from dinar.fit.hats import fit_hat
from dinar.fit.offsets import Silhouette
from dinar.scene import orbit
from dinar.scene.crop import warp_crop
from dinar.scene.textured import over, to_uint8

TILE, AROUND, ROWS = 200, 1.25, 8


def strip(avatar: Avatar, name: str) -> np.ndarray:
    s, fit, head = avatar.work.subjects[0], avatar.work.fits[0], avatar.body.vertex_part == HEAD
    xy = fit.camera.project(avatar.vertices(avatar.pose, avatar.transl)[head])[0].numpy()
    side = AROUND * float(np.ptp(xy, axis=0).max())
    x0, y0 = ((xy.min(0) + xy.max(0) - side) / 2).tolist()
    box = (x0, y0, TILE / side)
    photo = warp_crop(s.rgb.astype(np.float32) / 255, box, TILE, 1.0).clip(0, 1)
    drawn = [photo, over(avatar.render(avatar.pose, fit.camera.crop(*box, TILE, TILE), transl=avatar.transl))]
    pose, transl = torch.zeros_like(avatar.pose), torch.zeros(3)
    v = avatar.vertices(pose, transl)[head]
    for azimuth in (0, 45, 90, -90, 180):
        drawn.append(over(avatar.render(pose, orbit(v, azimuth, height=TILE, width=TILE), transl=transl)))
    out = np.ascontiguousarray(np.hstack([to_uint8(x) for x in drawn]))
    cv2.putText(out, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (200, 0, 0), 1, cv2.LINE_AA)
    return out


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/hats"))
    p.add_argument("names", nargs="*")
    a = p.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    body, strips = load_body(), list[np.ndarray]()
    print(
        "| photo | shell | gain | IoU | top | brim | wider | CPU s |\n| --- | --- | --- | --- | --- | --- | --- | --- |"
    )
    for name in a.names or Path(__file__).with_suffix(".txt").read_text().split():
        try:
            avatar = dinar.create(a.photos / f"{name}.jpg", renderer="mesh", size=512)
        except DinarError as e:
            print(name, e)
            continue
        s, fit = avatar.work.subjects[0], avatar.work.fits[0]
        silhouette = Silhouette(s.alpha > 0.5, fit.pose, fit.transl, fit.camera, s.view.front, s.labels)
        start = time.process_time()
        f = fit_hat(body, fit.betas, [silhouette])
        seconds = time.process_time() - start
        told = " | | | | " if f is None else (f"{f.gain:.2f} | {f.agree:.2f} | {f.form.top:.3f} | {f.form.brim:.3f} | "
                                              f"{f.wider:.3f}")  # fmt: skip
        worn = any(x.kind == "hat" for x in avatar.body.shells)
        print(f"| {name} | {'hat' if worn else ''} | {told} | {seconds:.2f} |", flush=True)
        strips.append(strip(avatar, f"{name} {'hat' if worn else ''}"))
    for i in range(0, len(strips), ROWS):
        cv2.imwrite(str(a.out / f"sheet{i // ROWS}.png"), np.vstack(strips[i : i + ROWS])[..., ::-1])


if __name__ == "__main__":
    main()
