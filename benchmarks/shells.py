"""Shells (fit/shells.py) against truth: generated people in skirts or with long hair, avatar from their frontal view.

    dinar synthesize -o people --plain --people 40 --seed 911 --views 6 --size 256 --assets DIR --motions DIR
    python benchmarks/shells.py people --kind hair --count 12 [--lpips] [--sheet hair.png]

Body, pose and parse are true, so only the shells count. Of each person whose avatar wears a shell of the kind: IoU of
the silhouette with and without shells in the frontal view, and in the other views, which have other poses; with --kind
hair also within the box of the true hair. --lpips: of the textured avatar in the other views, AlexNet, 256² crops.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.create import sampled_texture
from dinar.data.folder import decode
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.shells import finish, fit_shells
from dinar.labels import LABEL
from dinar.nets.perceptual import LPIPS
from dinar.neural.arrays import frontality
from dinar.scene import rasterize_mesh
from dinar.scene.crop import crop_box, warp_crop
from dinar.scene.textured import over, render_textured
from dinar.texture import restore, shoot
from dinar.views import Views

CROP, TEXTURE = 512, 512  # pixels of the crop that is sampled, and texels
AROUND = 4  # pixels around the true hair
CLASS = {"hair": "hair", "skirt": "skirt"}  # class of the pixels that the kind shows


def silhouette(v: Views, k: int) -> Silhouette:
    return Silhouette(v.alpha[k].numpy() > 127, v.params.pose[k], v.params.transl[k], v.camera(k), None,
                      v.labels[k].numpy() if v.labels is not None else None)  # fmt: skip


def posed(body: Body, v: Views, k: int, D: torch.Tensor) -> torch.Tensor:
    p = v.params
    return body(p.betas[None], p.pose[k][None], p.transl[k][None], offsets=D).vertices[0]


def dressed(plain: Body, v: Views, k: int, shells: bool) -> tuple[Body, torch.Tensor]:
    """The avatar's body and its offsets from view k."""
    s, betas = silhouette(v, k), v.params.betas
    body, form = fit_shells(plain, betas, [s] if shells else [])
    D = fit_offsets(body, betas, [s], start=form)
    return body, torch.from_numpy(finish(body, plain, betas, form, D))


def textured(body: Body, v: Views, k: int, D: torch.Tensor) -> np.ndarray:
    """[TEXTURE, TEXTURE, 3] uint8, sampled from view k and restored."""
    alpha = v.alpha[k].numpy().astype(np.float32) / 255
    box = crop_box(alpha > 0.5, CROP)
    rgb = warp_crop(v.rgb[k].numpy().astype(np.float32) / 255, box, CROP, 1.0).clip(0, 1)
    shot = shoot(body, posed(body, v, k, D), v.camera(k).crop(*box, CROP, CROP), rgb,
                 warp_crop(alpha, box, CROP, 0.0) > 0.5)  # fmt: skip
    if v.labels is not None:
        at = [((np.arange(CROP) + 0.5) / box[2] + o).astype(int).clip(0, n - 1)
              for o, n in zip((box[1], box[0]), v.labels.shape[1:], strict=True)]  # fmt: skip
        shot.labels = v.labels[k].numpy()[np.ix_(*at)]
    texture, seen, classes = sampled_texture(body, [shot], TEXTURE)
    return (restore(body, texture, seen, classes) * 255 + 0.5).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def crop(image: np.ndarray, alpha: np.ndarray) -> torch.Tensor:
    x = warp_crop(image.astype(np.float32), crop_box(alpha > 0.5, 256), 256, 1.0)
    return torch.from_numpy(x.clip(0, 1)).permute(2, 0, 1)[None]


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("people", type=Path)
    p.add_argument("--kind", choices=list(CLASS), default="hair")
    p.add_argument("--count", type=int, default=12)
    p.add_argument("--lpips", action="store_true")
    p.add_argument("--sheet", type=Path)
    o = p.parse_args()
    plain, critic = load_body(), LPIPS("alex") if o.lpips else None
    rows, pictures = [], []
    for folder in sorted(f for f in o.people.iterdir() if (f / "views.npz").exists()):
        v = decode(lambda name, f=folder: (f / name).read_bytes(), None, folder.name)
        front = int(np.argmax(frontality(v)))
        if o.kind not in [s.kind for s in fit_shells(plain, v.params.betas, [silhouette(v, front)])[0].shells]:
            continue
        row, sheet = [], [v.rgb[front].numpy()]
        for shells in (False, True):
            body, D = dressed(plain, v, front, shells)
            texture = textured(body, v, front, D) if critic or o.sheet else None
            whole, part, lpips = [], [], []
            for k in range(len(v)):
                mesh, alpha = posed(body, v, k, D), v.alpha[k].numpy() / 255
                m, t = rasterize_mesh(mesh, body.faces, v.camera(k)).mask[0].numpy(), alpha > 0.5
                whole.append(iou(m, t))
                assert v.labels is not None
                hair = np.argwhere(v.labels[k].numpy() == LABEL[CLASS[o.kind]])
                if len(hair):
                    (y0, x0), (y1, x1) = (hair.min(0) - AROUND).clip(0), hair.max(0) + AROUND + 1
                    part.append((k, iou(m[y0:y1, x0:x1], t[y0:y1, x0:x1])))
                if texture is None:
                    continue
                drawn = over(render_textured(mesh, body.faces, body.atlas.uv, body.atlas.faces, texture, v.camera(k)))
                true = v.rgb[k].numpy() / 255 * alpha[..., None] + 1 - alpha[..., None]
                if critic and k != front:
                    with torch.no_grad():
                        lpips.append(float(critic(crop(drawn, alpha), crop(true, alpha)).mean()))
                sheet += [(drawn * 255).astype(np.uint8)] + [(true * 255).astype(np.uint8)] * shells
            others = [x for k, x in enumerate(whole) if k != front]
            others_part = [x for k, x in part if k != front]
            row.append([whole[front], np.mean(others), np.mean(others_part), np.mean(lpips) if lpips else np.nan])
        rows.append(row)
        print(folder.name, np.round(row, 4).tolist(), flush=True)
        pictures.append(np.concatenate(sheet, 1))
        if o.sheet:
            cv2.imwrite(str(o.sheet), np.concatenate(pictures)[..., ::-1])
        if len(rows) == o.count:
            break
    if not rows:
        raise SystemExit(f"nobody in {o.people} wears {o.kind} that gets a shell")
    mean = np.mean(rows, 0)
    print(f"{len(rows)} people, without and with shells:")
    for name, (a, b) in zip(("IoU, frontal view", "IoU, other views", f"the same near the {o.kind}", "LPIPS"), mean.T,
                            strict=True):  # fmt: skip
        print(f"{name}: {a:.4f} {b:.4f}")


if __name__ == "__main__":
    main()
