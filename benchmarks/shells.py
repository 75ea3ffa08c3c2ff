"""Shells (fit/shells.py) against truth: generated people in skirts, open coats or with long hair, from one view.

    dinar synthesize -o people --plain --people 100 --seed 911 --views 6 --size 256 --assets DIR --motions DIR
    python benchmarks/shells.py people --kind skirt --lpips [--count 12] [--sheet skirts.png]
    python benchmarks/shells.py --poke

Body, pose and parse are true, so only the shells count. Of each person whose avatar wears a shell of the kind: IoU of
the silhouette (without the pixels of bags, which avatars do not carry) with and without shells in the frontal view, and
in the other views, which have other poses; also within the box of what the kind shows, and of the whole if all were
right within this box: shells cannot do more. --lpips: of the textured avatar in the other views, AlexNet, 256² crops.
The share of the gap to 1 (of LPIPS: to 0) that shells close is printed beside.

--poke: pixels that show a covered leg in front of the outside of a skirt on the template, in percent of the person's
pixels, in a walk and in sitting, by hem; posed by the body, and by the joints of a file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.body.body import PARTS
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.body.shells import Shell, wear
from dinar.body.skirt import ROWS, clear_legs, grid_of, tuck_legs
from dinar.create import sampled_texture
from dinar.data.folder import decode
from dinar.export.profiles import profile
from dinar.export.rig import Rig
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.shells import finish, fit_shells
from dinar.labels import LABEL
from dinar.nets.perceptual import LPIPS
from dinar.neural.arrays import frontality
from dinar.photo.traits import cloth_patterns
from dinar.scene import orbit, rasterize_mesh
from dinar.scene.crop import crop_box, warp_crop
from dinar.scene.textured import over, render_textured
from dinar.texture import restore, shoot
from dinar.views import Views

CROP, TEXTURE = 512, 512  # pixels of the crop that is sampled, and texels
AROUND = 4  # pixels around the true hair
CLASS = {"hair": "hair", "skirt": "skirt", "coat": "outer"}  # class of the pixels that the kind shows
HEMS = (-0.3, -0.45, -0.6, -0.8)  # metres, of --poke
AZIMUTHS, FRAMES = (0, 60, 180, 270), 8
SEAT = 1.45  # radians that hips and knees are bent in sitting
HIPS = -0.08  # metres: height on the template under which legs are covered


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
    patterns = None if v.labels is None else cloth_patterns(v.rgb[k].numpy(), v.labels[k].numpy())
    return (restore(body, texture, seen, classes, patterns=patterns) * 255 + 0.5).astype(np.uint8)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def crop(image: np.ndarray, alpha: np.ndarray) -> torch.Tensor:
    x = warp_crop(image.astype(np.float32), crop_box(alpha > 0.5, 256), 256, 1.0)
    return torch.from_numpy(x.clip(0, 1)).permute(2, 0, 1)[None]


def poke_through(body: Body, v: torch.Tensor) -> float:
    """Percent of the person's pixels that show covered legs in front of the outside of the skirt; v [V, 3] posed."""
    cloth = body.segment == body.segment_names.index("skirt")
    outside = body.faces[cloth][: 2 * ROWS * grid_of(body).shape[1]]
    height = body.v_template.numpy()[body.faces][:, :, 1].max(1)
    arms = np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith(("arm", "hand"))])[body.faces].any(1)
    covered = ~cloth & ~arms & (height > body.shells[0].hem) & (height < HIPS)
    bad = person = 0
    for azimuth in AZIMUTHS:
        camera = orbit(v, azimuth, height=256, width=256)
        face = rasterize_mesh(v, body.faces, camera).face[0].numpy()
        behind = rasterize_mesh(v, outside, camera).mask[0].numpy()
        bad += ((face >= 0) & covered[face.clip(0)] & behind).sum()
        person += (face >= 0).sum()
    return 100 * float(bad) / float(person)


def poke(plain: Body) -> None:
    """Print the table of --poke."""
    print("hem, m | walk: body | walk: file | sitting: body | sitting: file")
    for hem in HEMS:
        body, betas = wear(plain, (Shell("skirt", hem),)), torch.zeros(1)
        assert body.rig is not None
        rest, joints = (x[0] for x in body.rest(betas[None]))
        naked = rest.numpy()
        D = clear_legs(body, naked, tuck_legs(body, naked, np.zeros((body.num_vertices, 3), np.float32)))
        rest, D = rest + torch.from_numpy(D), torch.from_numpy(D)
        rig = Rig(body, rest, joints, body.rig.numpy(), profile("three"), "rest")
        walk, transl = retarget(load_motion("walk"), body)
        every = torch.arange(0, len(walk), max(1, len(walk) // FRAMES))[:FRAMES]
        sit = torch.zeros(1, body.num_joints, 3)
        for side in ("left", "right"):
            sit[0, body.joint(f"{side}_hip"), 0], sit[0, body.joint(f"{side}_knee"), 0] = -SEAT, SEAT
        row = []
        for pose, at in ((walk[every], transl[every]), (sit, torch.zeros(1, 3))):
            own = body(betas[None].expand(len(pose), -1), pose, at, offsets=D).vertices
            A = rig._skinning(pose, at).float()
            T = (body.rig @ A[:, :, :3].flatten(2)).unflatten(2, (3, 4))
            file = (T[..., :3] * rig.v[:, None, :]).sum(-1) + T[..., 3]
            row += [np.mean([poke_through(body, v) for v in which]) for which in (own, file)]
        print(f"{hem:.2f} | " + " | ".join(f"{x:.3f}" for x in row), flush=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("people", type=Path, nargs="*", help="folders of dinar synthesize")
    p.add_argument("--poke", action="store_true")
    p.add_argument("--kind", choices=list(CLASS), default="hair")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--lpips", action="store_true")
    p.add_argument("--sheet", type=Path)
    o = p.parse_args()
    plain, critic = load_body(), LPIPS("alex") if o.lpips else None
    if o.poke:
        return poke(plain)
    rows, pictures = [], []
    for folder in sorted(f for people in o.people for f in people.iterdir() if (f / "views.npz").exists()):
        v = decode(lambda name, f=folder: (f / name).read_bytes(), None, folder.name)
        front = int(np.argmax(frontality(v)))
        if o.kind not in [s.kind for s in fit_shells(plain, v.params.betas, [silhouette(v, front)])[0].shells]:
            continue
        row, sheet = [], [v.rgb[front].numpy()]
        for shells in (False, True):
            body, D = dressed(plain, v, front, shells)
            texture = textured(body, v, front, D) if critic or o.sheet else None
            whole, part, most, lpips = [], [], [], []
            for k in range(len(v)):
                mesh, alpha = posed(body, v, k, D), v.alpha[k].numpy() / 255
                assert v.labels is not None
                own = v.labels[k].numpy() != LABEL["bag"]
                m, t = rasterize_mesh(mesh, body.faces, v.camera(k)).mask[0].numpy() & own, (alpha > 0.5) & own
                whole.append(iou(m, t))
                hair = np.argwhere(v.labels[k].numpy() == LABEL[CLASS[o.kind]])
                if len(hair):
                    (y0, x0), (y1, x1) = (hair.min(0) - AROUND).clip(0), hair.max(0) + AROUND + 1
                    part.append((k, iou(m[y0:y1, x0:x1], t[y0:y1, x0:x1])))
                    m[y0:y1, x0:x1] = t[y0:y1, x0:x1]
                most.append(iou(m, t))
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
            right, seen = np.mean([x for k, x in enumerate(most) if k != front]), np.mean(lpips) if lpips else np.nan
            row.append([whole[front], np.mean(others), right, np.mean(others_part), seen])
        rows.append(row)
        print(folder.name, np.round(row, 4).tolist(), flush=True)
        pictures.append(np.concatenate(sheet, 1))
        if o.sheet:
            cv2.imwrite(str(o.sheet), np.concatenate(pictures)[..., ::-1])
        if len(rows) == o.count:
            break
    if not rows:
        raise SystemExit(f"nobody in {', '.join(map(str, o.people))} wears {o.kind} that gets a shell")
    mean = np.nanmean(rows, 0)
    print(f"{len(rows)} people, without and with shells, share of the gap that is closed:")
    near = f"near the {o.kind}"
    names = ("IoU, frontal view", "IoU, other views", f"the same, were all right {near}", f"IoU {near}", "LPIPS")
    for name, (a, b) in zip(names, mean.T, strict=True):
        gap = (b - a) / (1 - a) if "LPIPS" not in name else (a - b) / a
        print(f"{name}: {a:.4f} {b:.4f}, {gap:.2f}")


if __name__ == "__main__":
    main()
