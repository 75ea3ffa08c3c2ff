"""Forty photos of skirts and dresses, open coats, long hair and hats (a line each), to be looked at.

    python benchmarks/shell_photos.py --photos DIR/photos --out out/shells [--names 0141 0916]

DIR is the Clothing Co-Parsing set; ``shell_photos.txt`` lists the photos. A strip shows the photo, the avatar's front,
45 degrees, side and back, a step of the walk from in front and from the side, and sitting; without shells (above) and
with them (below). Prints what is worn, and the seconds that it took to find it. A stopped run continues.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

import dinar
from dinar.avatar import Avatar
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.cores import physical_cores
from dinar.errors import DinarError
from dinar.scene.crop import crop_box, warp_crop
from dinar.scene.textured import over, to_uint8

TILE, PAGE, TEXTURE = 300, 4, 512
SEAT = 1.4  # radians that hips and knees are bent in sitting
ARMS = 0.7  # radians that shoulders are lowered


def sitting(avatar: Avatar) -> torch.Tensor:
    body = avatar.body
    pose = torch.zeros(body.num_joints, 3)
    for side, sign in (("left", 1), ("right", -1)):
        pose[body.joint(f"{side}_hip"), 0], pose[body.joint(f"{side}_knee"), 0] = -SEAT, SEAT
        pose[body.joint(f"{side}_shoulder"), 2] = -ARMS * sign
    return pose


def strip(avatar: Avatar, photo: np.ndarray, name: str) -> np.ndarray:
    pose, transl = retarget(load_motion("walk"), avatar.body, betas=avatar.betas)
    k = len(pose) // 8
    drawn = [over(avatar.render(size=TILE, azimuth=a)) for a in (0, 45, 90, 180)]
    drawn += [over(avatar.render(pose[k], transl=transl[k], size=TILE, azimuth=a)) for a in (20, 110)]
    drawn.append(over(avatar.render(sitting(avatar), size=TILE, azimuth=30)))
    out = np.ascontiguousarray(np.hstack([to_uint8(x[:, TILE // 6 : -TILE // 6]) for x in (photo, *drawn)]))
    cv2.putText(out, name, (4, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200, 0, 0), 1, cv2.LINE_AA)
    return out


def compared(path: Path, fit: Path) -> np.ndarray:
    """Strips of the avatar of a photo without and with shells; the fit of the body is saved on the way."""
    worn = dinar.create(path, renderer="mesh", size=TEXTURE)
    worn.work.fits[0].save(fit)
    bare = dinar.create(path, renderer="mesh", size=TEXTURE, fits=(fit,), shells=False)
    s = worn.work.subjects[0]
    photo = warp_crop(s.rgb.astype(np.float32) / 255, crop_box(s.alpha > 0.5, TILE), TILE, 1).clip(0, 1)
    kinds = ", ".join(x.kind for x in worn.body.shells) or "no shell"
    print(f"{path.stem}: {kinds}, {worn.work.seconds['shells']:.1f} s", flush=True)
    return np.vstack([strip(bare, photo, path.stem), strip(worn, photo, f"{path.stem} {kinds}")])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/shells"))
    p.add_argument("--names", nargs="*")
    a = p.parse_args()
    torch.set_num_threads(physical_cores())
    a.out.mkdir(parents=True, exist_ok=True)
    names = a.names or Path(__file__).with_suffix(".txt").read_text().split()
    for n in names:
        file = a.out / f"{n}.png"
        if not file.exists():
            try:
                cv2.imwrite(str(file), compared(a.photos / f"{n}.jpg", a.out / f"{n}.npz")[..., ::-1])
            except DinarError as e:
                print(n, e)
    for page in range(0, len(names), PAGE):
        files = [f for n in names[page : page + PAGE] if (f := a.out / f"{n}.png").exists()]
        if strips := [x for f in files if (x := cv2.imread(str(f))) is not None]:
            cv2.imwrite(str(a.out / f"sheet{page // PAGE:02d}.png"), np.vstack(strips))


if __name__ == "__main__":
    main()
