"""Sampling by evidence (texture/agreement.py) against truth: generated people, fitted from one picture.

    python benchmarks/agreement.py --out out/agreement --count 80 --assets DIR --motions DIR [--backgrounds PICTURES]

Texels that `create` would sample from the picture are compared with the point of the body that their pixel shows: right
within 8 cm, wrong beyond 15 cm (bags and background included), printed where a forearm or a hand hides the head, the
trunk or a thigh, visible where the print's colour differs by more than .2 from that of the right texels about it. The
table has the shares of these that limbs' outlines (§3.5) and the evidence leave out, and the PSNR of the mesh avatar in
the person's other picture, in its true pose, where both show the person. The fits are made once, into --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.spatial import KDTree

from dinar.avatar import Avatar
from dinar.body.load import load_body
from dinar.create import sampled_texture, take_shot
from dinar.data.surface import parts_of
from dinar.errors import DinarError
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.smplify import Fit, fit_body
from dinar.fit.view import View
from dinar.nets.surface import SURFACE_PARTS, vertex_surface_parts
from dinar.photo.surface import surface_map
from dinar.photo.traits import cloth_patterns
from dinar.scene import Camera
from dinar.subject import Subject, read_subject
from dinar.synthetic.source import Synthetic
from dinar.texture import gather, restore, texels
from dinar.views import decode_surface

SEED, SIZE, TEXELS, CROP = 902, 640, 512, 512
RIGHT, WRONG = 0.08, 0.15  # metres
VISIBLE, ABOUT = 0.2, 64  # difference of colours; right texels that are compared
CHOICES = {"nothing": (False, False), "outlines": (True, False), "evidence": (False, True), "both": (True, True)}
BEHIND = [i for i, n in enumerate(SURFACE_PARTS) if n in ("head", "torso") or n.endswith("thigh")]
LIMB = [1 + i for i, n in enumerate(SURFACE_PARTS) if n.endswith(("forearm", "hand"))]
FITTED = ("betas", "pose", "transl", "K", "T", "D")


def fitted(source: Synthetic, i: int, out: Path) -> dict[str, np.ndarray] | None:
    """Picture, truth and fit of person i, from disk where they are; None: refused."""
    file = out / f"{i:03d}.npz"
    if not file.exists():
        body, v = load_body(), source.views(i, [1])
        assert v.surface is not None
        cv2.imwrite(str(out / f"{i:03d}.png"), v.rgb[0].numpy()[..., ::-1])
        try:
            s = read_subject(out / f"{i:03d}.png")
            fit = fit_body(body, [s.view])[0]
        except DinarError as e:
            print(i, e)
            return None
        assert s.labels is not None, "the parser's weights are needed"
        own = Silhouette(s.alpha > 0.5, fit.pose, fit.transl, fit.camera, s.view.front, s.labels)
        D = fit_offsets(body, fit.betas, [own])
        np.savez_compressed(file, rgb=s.rgb, alpha=s.alpha.astype(np.float16), labels=s.labels,
                            keypoints=s.view.keypoints, surface=v.surface[0].numpy(), betas=fit.betas, pose=fit.pose,
                            transl=fit.transl, K=fit.camera.K, T=fit.camera.T_cam_world, D=D)  # fmt: skip
    with np.load(file) as z:
        return {k: z[k] for k in z.files}


def measure(source: Synthetic, i: int, z: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For each of CHOICES: texels right, wrong, printed, visible; PSNR."""
    body, t = load_body(), texels(load_body().atlas, TEXELS)
    betas, pose, transl, K, T, D = (torch.from_numpy(z[k].astype(np.float32)) for k in FITTED)
    h, w = z["alpha"].shape
    alpha = z["alpha"].astype(np.float32)
    fit = Fit(betas, pose, transl, Camera(K, T, h, w), 0.0)
    surface = surface_map(z["rgb"], alpha, z["keypoints"])
    view = View(z["keypoints"], None, alpha > 0.5, h, w, surface=surface)
    s = Subject(z["rgb"], alpha, view, "", {}, 1, 1, z["labels"])
    corner = body.face_tensor[torch.from_numpy(t.face.astype(np.int64))]
    bary = torch.from_numpy(t.barycentrics)[..., None]
    rest = (body.v_template[corner] * bary).sum(1).numpy()
    posed = body(betas[None], pose[None], transl[None], offsets=D).vertices[0]
    xy = fit.camera.project((posed[corner] * bary).sum(1))[0].numpy()
    pixel = np.clip(np.floor(xy).astype(int), 0, [w - 1, h - 1])
    points, known = (a.numpy() for a in decode_surface(torch.from_numpy(z["surface"])))
    at = pixel[:, 1], pixel[:, 0]
    error = np.where(known[at], np.linalg.norm(points[at] - rest, axis=1), np.inf)
    behind = np.isin(vertex_surface_parts(body)[corner[:, 0].numpy()], BEHIND)
    printed = behind & np.isin(parts_of(torch.from_numpy(z["surface"][at])).numpy(), LIMB)
    right = np.flatnonzero(error < RIGHT)
    visible = printed.copy()
    if printed.any() and len(right) > ABOUT:
        colour = z["rgb"][at] / 255.0
        about = KDTree(rest[right]).query(rest[printed], k=ABOUT)[1]
        visible[printed] = np.abs(colour[printed] - colour[right][about].mean(1)).max(1) > VISIBLE
    other = source.views(i, [0])
    truth, mask = other.rgb[0].numpy() / 255.0, other.alpha[0].numpy() > 127
    rows = {}
    for name, (occlusion, evidence) in CHOICES.items():
        shot = take_shot(body, s, fit, D, occlusion, evidence, CROP)
        seen = gather(body, shot, t)[1] > 0
        texture, lam, classes = sampled_texture(body, [shot], TEXELS)
        patterns = cloth_patterns(z["rgb"], z["labels"], surface.arms(z["labels"].shape))
        whole = restore(body, texture, lam, classes, patterns=patterns)
        avatar = Avatar(body, betas, D, (whole * 255).astype(np.uint8), (lam * 255).astype(np.uint8), pose,
                        transl, fit.camera, {})  # fmt: skip
        picture = avatar.render(other.params.pose[0], other.camera(0), transl=other.params.transl[0])
        both = mask & (picture[..., 3] > 0.5)
        square = ((picture[..., :3] - truth)[both] ** 2).mean()
        counts = [(seen & x).sum() for x in (error < RIGHT, error > WRONG, printed, visible)]
        rows[name] = np.array([*counts, -10 * np.log10(square)])
    return rows


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets")
    p.add_argument("--motions")
    p.add_argument("--backgrounds")
    p.add_argument("--count", type=int, default=80)
    p.add_argument("--out", type=Path, default=Path("out/agreement"))
    a = p.parse_args()
    torch.set_num_threads(1)
    a.out.mkdir(parents=True, exist_ok=True)
    source = Synthetic(SEED, SIZE, 2, None, a.assets, a.motions, a.backgrounds, varied=True)
    rows = []
    for i in range(a.count):
        if (z := fitted(source, i, a.out)) is not None:
            rows.append(measure(source, i, z))
    total = {k: np.stack([r[k] for r in rows]) for k in CHOICES}
    before = total["nothing"][:, :4].sum(0)
    print(
        f"{len(rows)} people; of the texels sampled with nothing left out, {before[0] / 1e3:.0f} k are right, "
        f"{before[1] / 1e3:.0f} k wrong, {before[2] / 1e3:.0f} k printed, {before[3] / 1e3:.0f} k visible"
    )
    print(f"{'left out by':12s}{'right':>8s}{'wrong':>8s}{'printed':>9s}{'visible':>9s}{'PSNR, other picture':>21s}")
    for k, v in total.items():
        left = 1 - v[:, :4].sum(0) / before
        gain = v[:, 4] - total["nothing"][:, 4]
        half = 1.96 * gain.std() / len(gain) ** 0.5
        shares = "".join(f"{x:9.1%}" for x in left)[1:]
        print(f"{k:12s}{shares}{v[:, 4].mean():9.2f} ({gain.mean():+.2f} ± {half:.2f})")


if __name__ == "__main__":
    main()
