"""Forty hard photos, to be looked at: arms and bags before the body, people from the side, legs one before the other.

    python benchmarks/hard.py --photos DIR/photos --out out/hard [--names 0145 0676]

DIR is the Clothing Co-Parsing set; ``hard.txt`` lists the photos. A strip shows the photo, the avatar's front, side and
back, and its rest pose, whose arms are away from the body, from the front and from behind; of the texture sampled
without evidence (above) and with it (below). Sheets have four photos. A stopped run continues; ``--redo`` starts again.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch

import dinar
from dinar.avatar import Avatar
from dinar.body.hands import relaxed_hands
from dinar.cores import physical_cores
from dinar.create import sampled_texture, take_shot
from dinar.errors import DinarError
from dinar.scene.crop import crop_box, warp_crop
from dinar.scene.textured import over, to_uint8
from dinar.texture import restore

TILE, PAGE = 400, 4


def strip(avatar: Avatar, s, fit, name: str) -> np.ndarray:
    box, rest = crop_box(s.alpha > 0.5, TILE), relaxed_hands(avatar.body)
    photo = warp_crop(s.rgb.astype(np.float32) / 255, box, TILE, 1).clip(0, 1)
    front = over(avatar.render(avatar.pose, fit.camera.crop(*box, TILE, TILE), transl=avatar.transl))
    tall = [photo, front, *(over(avatar.render(size=TILE, azimuth=a)) for a in (90, 180))]
    wide = [over(avatar.render(rest, size=TILE, azimuth=a)) for a in (15, 180)]
    cuts = [(x, TILE * 3 // 16) for x in tall] + [(x, TILE // 7) for x in wide]
    out = np.ascontiguousarray(np.hstack([to_uint8(x[:, cut : TILE - cut]) for x, cut in cuts]))
    cv2.putText(out, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200, 0, 0), 1, cv2.LINE_AA)
    return out


def compared(path: Path) -> np.ndarray:
    """Strips of both avatars of a photo."""
    avatar = dinar.create(path, renderer="mesh")
    s, fit = avatar.work.subjects[0], avatar.work.fits[0]
    shot = take_shot(avatar.body, s, fit, avatar.offsets, True, False)
    texture, seen, classes = sampled_texture(avatar.body, [shot], len(avatar.rgb))
    whole = to_uint8(restore(avatar.body, texture, seen, classes))
    before = dataclasses.replace(avatar, rgb=whole, lam=(seen * 255).astype(np.uint8))
    return np.vstack([strip(before, s, fit, f"{path.stem} without"), strip(avatar, s, fit, f"{path.stem} evidence")])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/hard"))
    p.add_argument("--names", nargs="*")
    p.add_argument("--redo", action="store_true")
    a = p.parse_args()
    torch.set_num_threads(physical_cores())
    a.out.mkdir(parents=True, exist_ok=True)
    names = a.names or Path(__file__).with_name("hard.txt").read_text().split()
    for n in names:
        file = a.out / f"{n}.png"
        if not file.exists() or a.redo:
            try:
                cv2.imwrite(str(file), compared(a.photos / f"{n}.jpg")[..., ::-1])
            except DinarError as e:
                print(n, e)
            print(n, flush=True)
    for page in range(0, len(names), PAGE):
        strips = [cv2.imread(str(f)) for n in names[page : page + PAGE] if (f := a.out / f"{n}.png").exists()]
        if strips:
            cv2.imwrite(str(a.out / f"sheet{page // PAGE:02d}.png"), np.vstack(strips))


if __name__ == "__main__":
    main()
