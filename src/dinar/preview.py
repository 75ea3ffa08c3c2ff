"""The preview of an avatar: a row of images of the photo, the fit and the avatar from four sides."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .avatar import Avatar
from .body.motion import retarget
from .body.readers import load_motion
from .create import Work
from .scene import rasterize_mesh
from .scene.crop import crop_box, warp_crop
from .scene.textured import over, to_uint8

TILE = 640  # pixels
MASK, MESH = (0.1, 0.8, 0.2), (1.0, 0.25, 0.1)  # colours of outlines, RGB


def preview(avatar: Avatar, work: Work | None = None, tile: int = TILE) -> np.ndarray:
    """[tile, W, 3] uint8: of each photo the photo and the outlines of mask and fit; the avatar's front, left side,
    back and right side; a new pose. Tiles are ``tile`` pixels high and 5/8 of it wide."""
    tiles: list[tuple[str, np.ndarray]] = []
    for s, fit in zip(work.subjects, work.fits, strict=True) if work else ():
        box = crop_box(s.alpha > 0.5, tile)
        picture = np.clip(warp_crop(s.rgb.astype(np.float32) / 255, box, tile, 1.0), 0, 1)
        alpha = warp_crop(s.alpha, box, tile, 0.0)
        v = avatar.vertices(fit.pose, fit.transl)
        mesh = rasterize_mesh(v, avatar.body.faces, fit.camera.crop(*box, tile, tile)).mask[0].numpy()
        tiles += [("photo", picture), ("mask green, mesh red", outlines(picture, alpha > 0.5, mesh))]
    tiles += [(n, over(avatar.render(size=tile, azimuth=a)))
              for n, a in (("front", 0), ("left", 90), ("back", 180), ("right", -90))]  # fmt: skip
    tiles.append(("a new pose", over(avatar.render(new_pose(avatar), size=tile, azimuth=25))))
    cut = tile * 3 // 16  # people are tall: the middle five eighths of each square
    return np.hstack([_label(to_uint8(t[:, cut : tile - cut]), name) for name, t in tiles])


def candidates(avatars: Sequence[Avatar], seed: int, tile: int = TILE) -> np.ndarray:
    """[3 tile, W, 3] uint8: a column for each avatar, labelled with its seed from ``seed`` on: back and both sides."""
    cut = tile * 3 // 16
    columns = []
    for k, avatar in enumerate(avatars):
        views = [over(avatar.render(size=tile, azimuth=a))[:, cut : tile - cut] for a in (180, 90, -90)]
        columns.append(_label(to_uint8(np.vstack(views)), f"--seed {seed + k}"))
    return np.hstack(columns)


def new_pose(avatar: Avatar):
    """Pose [J, 3] axis-angle: a step of the built-in walk."""
    pose, _ = retarget(load_motion("walk"), avatar.body, betas=avatar.betas)
    return pose[len(pose) // 4]


def outlines(picture: np.ndarray, mask: np.ndarray, mesh: np.ndarray) -> np.ndarray:
    """The picture [H, W, 3] float32 in [0, 1], lighter outside the mask, with outlines of mask and mesh."""
    out = np.where(mask[..., None], picture, 0.5 + 0.5 * picture).astype(np.float32)
    for m, colour in ((mask, MASK), (mesh, MESH)):
        found, _ = cv2.findContours(m.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, found, -1, colour, 2)
    return out


def _label(image: np.ndarray, text: str) -> np.ndarray:
    out = np.ascontiguousarray(image)
    cv2.putText(out, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (90, 90, 90), 1, cv2.LINE_AA)
    return out
