"""A sheet of real photos: the textured mesh beside the neural renderer, from three sides.

    python benchmarks/neural.py --photos CCP/photos [--count 24] [--weights DIR] [--unseen ...] [--out out/neural]

Photos are validation photos of the parser, evenly spread, so none trained anything here, or those of --names. Columns:
the photo; front, 60° and back of the textured mesh; the same of the neural renderer. Avatars are kept in OUT, and made
once. The json holds seconds, and of the front view in the photo's camera, --sizes pixels a side, PSNR and LPIPS
(AlexNet; VGG16) against the cut-out photo on white, and the silhouette's IoU with its mask, of both; with --frames, the
flicker and the warp error (x 1000) of so many frames of a walk, --sizes pixels a side.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar import Avatar, create
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.errors import DinarError
from dinar.evaluate.animation import body_motion, flicker, warp_error
from dinar.files import replacing
from dinar.nets.perceptual import LPIPS
from dinar.scene import orbit
from dinar.scene.crop import crop_box, warp_crop
from dinar.subject import Subject, read_subject
from dinar.train.parser import validation_names

SIDES, TILE = (0, 60, 180), 320


def on_white(picture: np.ndarray) -> np.ndarray:  # [H, W, 4] -> [H, W, 3]
    return picture[..., :3] * picture[..., 3:] + 1 - picture[..., 3:]


def measures(avatar: Avatar, s: Subject, lpips: dict[str, LPIPS], size: int) -> dict[str, float]:
    box = crop_box(s.alpha > 0.5, size)
    alpha = warp_crop(s.alpha.astype(np.float32), box, size, 0.0)[..., None]
    truth = warp_crop(s.rgb.astype(np.float32) / 255, box, size, 1.0) * alpha + 1 - alpha
    picture = avatar.render(avatar.pose, avatar.camera.crop(*box, size, size), transl=avatar.transl)
    ours, a, b = on_white(picture), picture[..., 3] > 0.5, alpha[..., 0] > 0.5
    pair = [torch.from_numpy(np.float32(x)).permute(2, 0, 1)[None] for x in (ours, truth)]
    with torch.no_grad():
        distances = {k: float(net(*pair)) for k, net in lpips.items()}
    return {"psnr": float(-10 * np.log10(np.square(ours - truth).mean())), **distances,
            "iou": float((a & b).sum() / (a | b).sum())}  # fmt: skip


def steadiness(avatar: Avatar, size: int, count: int) -> dict[str, float]:
    """Flicker, and warp error x 1000, of the first frames of a walk at its own rate."""
    walk = load_motion("walk")
    motion = replace(walk, rotations=walk.rotations[:count], transl=walk.transl[:count], loop=False)
    frames = list(avatar.animate(motion, size))
    pose, transl = retarget(motion, avatar.body, betas=avatar.betas)
    vertices = torch.stack([avatar.vertices(p, t) for p, t in zip(pose, transl, strict=True)])
    camera = orbit(torch.cat([*vertices[:: max(1, len(pose) // 12), ::7]]), 20.0, height=size, width=size)
    flows = body_motion(vertices, avatar.body.faces, [camera] * len(vertices))
    pictures = [on_white(f) for f in frames]
    return {"flicker": flicker(pictures, [f[..., 3] > 0.5 for f in frames]), "warp": 1000 * warp_error(pictures, flows)}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--count", type=int, default=24)
    p.add_argument("--names", nargs="*", help="instead of validation photos")
    p.add_argument("--sizes", type=int, nargs="*", default=[512])
    p.add_argument("--weights", type=Path)
    p.add_argument("--unseen", choices=("diffusion", "restoration", "nothing"))
    p.add_argument("--no-refine", action="store_true")
    p.add_argument("--rows", type=int, default=6, help="photos on a sheet")
    p.add_argument("--frames", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", type=Path, default=Path("out/neural"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    names = [n for n in a.names or sorted(validation_names()) if (a.photos / f"{n}.jpg").is_file()]
    names = names if a.names else names[:: max(1, len(names) // a.count)][: a.count]
    a.out.mkdir(parents=True, exist_ok=True)
    lpips, rows, result = {"lpips": LPIPS("alex"), "lpips_vgg": LPIPS("vgg")}, [], {}
    for name in names:
        photo, file = a.photos / f"{name}.jpg", a.out / f"{name}.avatar"
        start = time.perf_counter()
        try:
            if not file.exists():
                refine = False if a.no_refine else None  # None: as the weights say
                create(photo, renderer="neural", weights=a.weights, unseen=a.unseen, refine=refine).save(file)
        except DinarError as e:
            print(e)
            continue
        neural = Avatar.load(file)
        seconds = time.perf_counter() - start
        both = {"mesh": neural.replace(neural=None), "neural": neural}
        s = read_subject(photo)
        result[name] = {f"{k} {size}": measures(v, s, lpips, size) for size in a.sizes for k, v in both.items()}
        if a.frames:
            walks = {f"{k} walk {n}": steadiness(v, n, a.frames) for n in a.sizes for k, v in both.items()}
            result[name] |= walks
        box = crop_box(s.alpha > 0.5, TILE)
        row = [warp_crop(s.rgb.astype(np.float32) / 255, box, TILE, 1.0)]
        row += [on_white(v.render(azimuth=side, size=TILE)) for v in both.values() for side in SIDES]
        rows.append(np.concatenate(row, 1))
        result[name]["create"] = {"seconds": seconds}
        print(name, json.dumps(result[name]), flush=True)
    for k in range(0, len(rows), a.rows):
        sheet = (np.concatenate(rows[k : k + a.rows]).clip(0, 1) * 255).astype(np.uint8)
        cv2.imwrite(str(a.out / f"sheet_{k // a.rows}.png"), sheet[..., ::-1])
    first = next(iter(result.values()))
    mean = {k: {m: round(float(np.mean([r[k][m] for r in result.values()])), 4) for m in v} for k, v in first.items()}
    with replacing(a.out / "neural.json") as temp:
        temp.write_text(json.dumps({"mean": mean, "photos": result}, indent=1))
    print(json.dumps(mean))


if __name__ == "__main__":
    main()
