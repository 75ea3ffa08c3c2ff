"""The head of avatars of 24 street photos with faces of 60 pixels or more: same-view quality, landmarks, sheets.

    python benchmarks/face.py --photos DIR/photos --out out/face [--limit 3]

DIR is the Clothing Co-Parsing set; ``faces.txt`` lists the photos. The face box holds the 468 landmarks of the photo.
The avatar is rendered from the photo's camera, with the photo's expression, at the photo's own resolution; its
landmarks are those that the same network finds in that picture. Writes ``face.json`` and a sheet of heads for each
photo (photo, same view, front, 30, 60, 90 degrees, smile, open mouth) and prints means.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import torch

import dinar
from dinar.avatar import Avatar
from dinar.body.regions import regions
from dinar.create import Work
from dinar.evaluate import psnr
from dinar.evaluate.features import Lpips
from dinar.photo.landmarks import Landmarks, face_near
from dinar.scene import Camera, orbit
from dinar.scene.textured import over, to_uint8

SIDES = (234, 454)  # landmarks at the ears: the face's width lies between them
LEAST = 64  # pixels a side of a picture that LPIPS compares
TILE = 512
SHEET = (("front", 0, {}), ("30", 30, {}), ("60", 60, {}), ("90", 90, {}),
         ("smile", 15, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8}),
         ("open", 15, {"jawOpen": 0.7}), ("blink", 15, {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}))  # fmt: skip


def pulled(avatar: Avatar, weights: dict[str, float]) -> torch.Tensor:
    """[num_expression] weights by name."""
    out = torch.zeros(avatar.body.num_expression)
    for n, w in weights.items():
        out[avatar.body.expression_names.index(n)] = w
    return out


def box_of(face: Landmarks, height: int, width: int) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 pixels around the landmarks, at least LEAST a side."""
    lo, hi = face.points[:, :2].min(0), face.points[:, :2].max(0)
    side = np.maximum(hi - lo, LEAST)
    lo = np.clip(np.floor((lo + hi - side) / 2), 0, [width - LEAST, height - LEAST]).astype(int)
    hi = np.minimum(np.ceil(lo + side), [width, height]).astype(int)
    return int(lo[0]), int(lo[1]), int(hi[0]), int(hi[1])


def measure(avatar: Avatar, lpips: Lpips) -> dict:
    work: Work = avatar.work
    s, fit = work.subjects[0], work.fits[0]
    assert s.face is not None
    weights = pulled(avatar, avatar.meta["expression"][0])
    h, w = s.rgb.shape[:2]
    rendered = over(avatar.render(avatar.pose, fit.camera, transl=avatar.transl, expression=weights))
    photo = over(np.concatenate([s.rgb.astype(np.float32) / 255, s.alpha[..., None]], 2))
    x0, y0, x1, y1 = box_of(s.face, h, w)
    a, b = rendered[y0:y1, x0:x1], photo[y0:y1, x0:x1]
    row = {"height": float(np.ptp(s.face.points[:, 1])), "psnr": psnr(a, b), "lpips": float(lpips(a, b))}
    own = face_near(to_uint8(rendered), s.face)
    if own is not None:
        span = float(np.linalg.norm(s.face.points[SIDES[1]] - s.face.points[SIDES[0]]))
        apart = own.points[:, :2] - s.face.points[:, :2]
        row["landmarks"] = 100 * float(np.hypot(*apart.T).mean()) / span
        row["landmarks_shape"] = 100 * float(np.hypot(*(apart - apart.mean(0)).T).mean()) / span
    return row


def head_camera(avatar: Avatar, azimuth: float) -> Camera:
    v = avatar.vertices(torch.zeros_like(avatar.pose), torch.zeros(3))
    head = torch.from_numpy(regions(avatar.body).skull & (v[:, 1] > v[:, 1].max() - 0.3).numpy())
    return orbit(v[head], azimuth, height=TILE, width=TILE)


def sheet(avatar: Avatar) -> np.ndarray:
    """[2 TILE, 4 TILE, 3] uint8."""
    s, fit = avatar.work.subjects[0], avatar.work.fits[0]
    lo, hi = s.face.points[:, :2].min(0), s.face.points[:, :2].max(0)
    side = 1.7 * float((hi - lo).max())
    x, y = (lo + hi) / 2 - side / 2 - [0, 0.1 * side]
    k = TILE / side
    photo = cv2.warpAffine(s.rgb, np.array([[k, 0, -x * k], [0, k, -y * k]]), (TILE, TILE), flags=cv2.INTER_CUBIC)
    camera = fit.camera.crop(x, y, k, TILE, TILE)
    weights = pulled(avatar, avatar.meta["expression"][0])
    tiles = [photo, to_uint8(over(avatar.render(avatar.pose, camera, transl=avatar.transl, expression=weights)))]
    still = torch.zeros_like(avatar.pose)
    for _, azimuth, moved in SHEET:
        picture = avatar.render(still, head_camera(avatar, azimuth), transl=torch.zeros(3),
                                expression=pulled(avatar, moved))  # fmt: skip
        tiles.append(to_uint8(over(picture)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % 3)
    return np.vstack([np.hstack(tiles[r : r + 3]) for r in range(0, len(tiles), 3)])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--photos", type=Path, required=True)
    p.add_argument("--out", type=Path, default=Path("out/face"))
    p.add_argument("--list", type=Path, default=Path(__file__).with_name("faces.txt"))
    p.add_argument("--limit", type=int)
    p.add_argument("--redo", action="store_true")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    lpips, rows = Lpips("alex"), []
    for name in a.list.read_text().split()[: a.limit]:
        cache = a.out / f"{name}.json"
        if a.redo or not cache.exists():
            avatar = dinar.create(a.photos / f"{name}.jpg", renderer="mesh")
            cache.write_text(json.dumps({"photo": name, **measure(avatar, lpips)}))
            cv2.imwrite(str(a.out / f"{name}.png"), sheet(avatar)[..., ::-1])
        rows.append(json.loads(cache.read_text()))
        print(*(f"{k} {v:.3f}" if isinstance(v, float) else v for k, v in rows[-1].items()), flush=True)
    mean = {k: float(np.mean([r[k] for r in rows if k in r])) for k in rows[0] if k != "photo"}
    (a.out / "face.json").write_text(json.dumps({"mean": mean, "rows": rows}, indent=1))
    print(f"mean of {len(rows)}:", *(f"{k} {v:.3f}" for k, v in mean.items()))


if __name__ == "__main__":
    main()
