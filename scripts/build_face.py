"""Where the 468 landmarks of the face mesh lie on the default body: the network's answers on pictures of bodies.

    python scripts/build_face.py SKINS src/dinar/body/data/face.npz

SKINS is the folder ``base/skins/textures`` of MakeHuman's assets (CC0). Bodies of random shape with these skins are
seen from several sides; the mean place of each landmark on the surface is stored, with its spread.
"""

import sys
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.body import load_body
from dinar.body.regions import regions
from dinar.files import replacing
from dinar.photo.blazepose import Region
from dinar.photo.landmarks import MIN_PRESENCE, _face_once
from dinar.scene import orbit, rasterize_mesh, vertex_normals

PEOPLE, AZIMUTHS = 12, (-30, -15, 0, 15, 30)
SIZE = 384  # pixels
FACING = 0.35  # least cosine to the camera of a place that counts
IRIS, PUPIL = 0.0058, 0.0026  # metres


def main(skins: str, target: str) -> None:
    body, rng = load_body(), np.random.default_rng(0)
    with resources.as_file(resources.files("dinar.synthetic.base") / "hm08.npz") as file:
        z = np.load(file, allow_pickle=False)
        uv, uv_faces = z["uv"].astype(np.float32) / 65535, z["uv_faces"].astype(int)
    textures = [cv2.imread(str(p))[..., ::-1] for p in sorted(Path(skins).glob("*.jpg"))]
    template, face = body.v_template.numpy(), regions(body).skull | regions(body).face | regions(body).cavity
    eye = np.isin(body.segment, [body.segment_names.index(n) for n in ("eye_front", "eye_back")])
    ball = template[np.unique(body.faces[eye])]
    pupils = np.array([ball[s * ball[:, 0] > 0][ball[s * ball[:, 0] > 0, 2].argmax()] for s in (1, -1)])
    found: list[list[np.ndarray]] = [[] for _ in range(468)]
    for k in range(PEOPLE):
        betas = torch.from_numpy(rng.normal(0, 0.7, (1, body.num_betas))).float()
        v = body.rest(betas)[0][0]
        texture = textures[k % len(textures)]
        for azimuth in AZIMUTHS:
            head = v[face]
            camera = orbit(head[head[:, 1] > head[:, 1].max() - 0.28], azimuth + float(rng.normal(0, 4)), height=SIZE,
                           width=SIZE, margin=0.15)  # fmt: skip
            f = rasterize_mesh(v, body.faces, camera)
            hit, bary = f.face[0].numpy(), f.barycentrics[0].numpy()
            on = hit >= 0
            at = np.einsum("nk,nkc->nc", bary[on], uv[uv_faces[hit[on]]])
            h, w = texture.shape[:2]
            rgb = np.full((SIZE, SIZE, 3), 200, np.uint8)
            rgb[on] = texture[
                np.clip((1 - at[:, 1]) * h, 0, h - 1).astype(int), np.clip(at[:, 0] * w, 0, w - 1).astype(int)
            ]
            rest = np.zeros((SIZE, SIZE, 3), np.float32)
            rest[on] = np.einsum("nk,nkc->nc", bary[on], template[body.faces[hit[on]]])
            white = on & eye[hit]
            r = np.linalg.norm(rest[..., None, :2] - pupils[:, :2], axis=3).min(2)
            rgb[white] = (225, 220, 215)
            rgb[white & (r < IRIS)] = (70, 45, 30)
            rgb[white & (r < PUPIL)] = (10, 10, 10)
            rgb = cv2.GaussianBlur(rgb, (0, 0), 0.8)
            answer = _face_once(rgb, Region(SIZE / 2, SIZE * 0.55, SIZE * 0.75, 0.0))
            if answer.presence < MIN_PRESENCE:
                print("no face", k, azimuth)
                continue
            normals = vertex_normals(v[None], body.faces)[0].numpy()
            to_camera = (camera.position - v).numpy()
            cosine = (normals * to_camera).sum(1) / np.linalg.norm(to_camera, axis=1)
            px = np.clip(answer.points[:, :2], 0, SIZE - 1).astype(int)
            for i, (x, y) in enumerate(px):
                if hit[y, x] >= 0 and cosine[body.faces[hit[y, x]]].mean() > FACING:
                    found[i].append(rest[y, x])
    corner, weights, spread = np.zeros((468, 3), np.uint16), np.zeros((468, 3), np.float32), np.zeros(468, np.float32)
    triangles = np.flatnonzero(face[body.faces].all(1) & (body.segment == body.segment_names.index("skin")))
    corners = template[body.faces[triangles]].astype(np.float64)
    for i, places in enumerate(found):
        p = np.array(places)
        middle = np.median(p, 0)
        kept = p[np.linalg.norm(p - middle, axis=1) < 0.02]
        middle, spread[i] = kept.mean(0), np.sqrt(kept.var(0).sum())
        w, distance = closest(corners, middle)
        best = int(distance.argmin())
        corner[i], weights[i] = body.faces[triangles[best]], w[best]
    with replacing(Path(target)) as part, part.open("wb") as file:
        np.savez_compressed(
            file, vertices=corner, barycentrics=weights.astype(np.float16), spread=spread.astype(np.float16)
        )
    print(f"{target}: spread median {1000 * np.median(spread):.1f} mm, largest {1000 * spread.max():.1f} mm, "
          f"{min(map(len, found))} pictures or more a landmark")  # fmt: skip


def closest(corners: np.ndarray, point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Barycentrics [n, 3] in [0, 1] near the point on each triangle [n, 3, 3], and distances [n]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    e, f, d = b - a, c - a, point - a
    ee, ef, ff = (e * e).sum(1), (e * f).sum(1), (f * f).sum(1)
    de, df = (d * e).sum(1), (d * f).sum(1)
    det = np.maximum(ee * ff - ef * ef, 1e-18)
    u, w = (ff * de - ef * df) / det, (ee * df - ef * de) / det
    weights = np.clip(np.stack([1 - u - w, u, w], 1), 0, None)
    weights /= weights.sum(1, keepdims=True)
    return weights, np.linalg.norm(np.einsum("nk,nkc->nc", weights, corners) - point, axis=1)


if __name__ == "__main__":
    main(*sys.argv[1:])
