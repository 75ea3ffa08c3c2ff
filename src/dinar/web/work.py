"""One job in its worker process: photos in a folder to an avatar and its files there, with pictures on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..alive.poses import with_free_arm
from ..alive.scene import frames, take_apart
from ..arrays import Array, read_npz
from ..avatar import Avatar
from ..body import load_body
from ..body.motion import retarget
from ..body.readers import load_motion
from ..create import create
from ..data.filmed import filmed_motion
from ..errors import DinarError
from ..export import Clip, write_video
from ..files import replacing
from ..fit.fit_file import Fit
from ..photo.image import read_photo
from ..photo.person import UPRIGHT, Person, find_people, lean
from ..pictures import write_image
from ..preview import preview
from ..scene import interpolate, rasterize_mesh, vertex_normals
from ..scene.crop import crop_box, warp_crop
from ..scene.textured import over, to_uint8
from ..subject import Subject
from .neural import neural_file
from .page import HEIGHT, jpeg, photo_view, viewer_glb

FILM = {
    "pose": Array(np.float32, ("T", "J", 3), -100, 100),
    "transl": Array(np.float32, ("T", 3), -1e6, 1e6),
    "fps": Array(np.float64, (), 0.1, 1000),
}
PROGRESS = "progress.json"  # {"step": text, "share": in [0, 1]}: written here, read by the server
# Files of a job that are served, by name, with what they are.
FILES = {
    "me.glb": "for Blender, engines and the web", "me.vrm": "for VTuber programs and VRChat",
    "me.mp4": "a video of the avatar walking", "alive.mp4": "the photo comes alive",
    "me.preview.png": "a sheet of pictures from all sides",
    "me.avatar": "for dinar itself", "me.neural": "the networks' texture, for the viewer",
    "photo.json": "the camera of the photo", "photo.jpg": "the photo",
    "cutout.png": "the person, cut out", "body.jpg": "the body over the photo",
}  # fmt: skip
# Messages of `create` as steps, with the share of the time before each: mean of six street photos on one core.
STEPS = {
    "reading": ("Finding the person", 0.05), "fitting the body": ("Fitting the body", 0.25),
    "fitting the clothes": ("Fitting the clothes", 0.45), "sampling": ("Taking the colours", 0.53),
    "restoring": ("Filling what nobody saw", 0.58), "writing": ("Preparing the viewer", 0.7),
    "more": ("Making the other files", 0.85),
}  # fmt: skip
CLIP = "clip"  # a video whose motion is to be added
CLIP_FRAMES = 60  # that are fitted: of a clip of more than 5 s fewer a second
CHOICE = 0.5  # of the tallest person's height: smaller people stand in the background and are not offered
TILE, WALK = 640, 480  # pixels a side: pictures on the way, and the video
FPS, ALIVE_FPS = 24, 10


def make(folder: Path) -> dict[str, Any]:
    """Do the job of a folder; what the server adds to it: ``{"state": "done"}``, or whom to choose among."""
    if (folder / CLIP).exists():
        return film(folder)
    job = json.loads((folder / "job.json").read_text("utf-8"))
    photos = sorted(folder.glob("photo-*"))
    step = progress_of(folder)
    step("reading")
    person = job.get("person")
    if person is None and len(photos) == 1 and len(people := offered(photos[0], folder)) > 1:
        return {"state": "choose", "people": people}

    def found(subjects: list[Subject], fits: list[Fit]) -> None:
        if fits:
            write_image(folder / "body.jpg", body_over(subjects[0], fits[0]))
        else:
            write_image(folder / "cutout.png", cutout(subjects[0]))

    drawn = create(photos, person=person, renderer="neural", progress=step, found=found)
    step("writing")
    avatar = without_networks(drawn)
    first = avatar.replace(camera=avatar.work.fits[0].camera)  # of the working picture, as the subject's pixels
    seen, picture = photo_view(first, avatar.work.subjects[0].rgb)
    _write(folder / "photo.jpg", jpeg(picture))
    _write(folder / "photo.json", json.dumps(seen).encode())
    avatar.save(folder / "me.avatar")
    neural = neural_file(drawn, graph=False)
    if neural is not None:
        _write(folder / "me.neural", neural)
    _write(folder / "me.glb", viewer_glb(avatar))
    step("more")
    write_image(folder / "me.preview.png", preview(avatar, avatar.work))
    avatar.export(folder / "me.vrm", ["idle", "walk", "wave"])
    write_walk(folder / "me.mp4", avatar)
    write_alive(folder / "alive.mp4", avatar)
    return {"state": "done"}


def film(folder: Path) -> dict[str, Any]:
    """Add the motion of the person in the clip that was uploaded to the viewer's."""
    avatar = Avatar.load(folder / "me.avatar")

    def show(done: int, total: int) -> None:
        progress = {"step": f"Fitting frame {done} of {total}", "share": round(0.8 * done / total, 2)}
        _write(folder / PROGRESS, json.dumps(progress).encode())

    try:
        pose, transl = retarget(motion := filmed_motion(folder / CLIP, show, CLIP_FRAMES), avatar.body,
                                betas=avatar.betas, offsets=avatar.offsets)  # fmt: skip
    except DinarError as e:
        return {"state": "done", "error": str(e)}
    finally:
        (folder / CLIP).unlink()
    number = len(list(folder.glob("film-*.npz"))) + 1
    with replacing(folder / f"film-{number}.npz") as temporary, temporary.open("wb") as f:
        np.savez(f, pose=pose.numpy(), transl=transl.numpy(), fps=motion.fps)
    _write(folder / "me.glb", viewer_glb(avatar, films(folder)))
    return {"state": "done"}


def films(folder: Path) -> list[Clip]:
    """The motions of the clips of a job."""
    found = []
    for path in sorted(folder.glob("film-*.npz")):
        d = read_npz(path, FILM, what="the motion of a clip")
        pose, transl = torch.from_numpy(d["pose"]), torch.from_numpy(d["transl"])
        found.append(Clip(f"video_{len(found) + 1}", pose, transl, float(d["fps"])))
    return found


def without_networks(avatar: Avatar) -> Avatar:
    """The textured mesh alone, as `create` makes it by default."""
    meta = {k: v for k, v in avatar.meta.items() if k != "neural"} | {"renderer": "mesh"}
    return avatar.replace(neural=None, meta=meta)


def progress_of(folder: Path) -> Callable[[str], None]:
    """A function for messages of `create`; it keeps the step in a file of the folder."""

    def step(message: str) -> None:
        for start, (text, share) in STEPS.items():
            if message.startswith(start):
                _write(folder / PROGRESS, json.dumps({"step": text, "share": share}).encode())

    return step


def offered(photo: Path, folder: Path) -> list[dict[str, Any]]:
    """Whom to choose among: the number of each and their box as shares of the picture, which is written."""
    rgb = read_photo(photo).rgb
    h, w = rgb.shape[:2]
    people = [p for p in find_people(rgb) if abs(lean(p.pose)) < UPRIGHT]
    tallest = max((p.pose.height for p in people), default=0)
    people = [p for p in people if p.pose.height >= CHOICE * tallest]
    if len(people) > 1:
        k = min(1.0, HEIGHT / max(h, w))
        _write(folder / "photo.jpg", jpeg(cv2.resize(rgb, (round(w * k), round(h * k)), interpolation=cv2.INTER_AREA)))
    return [{"person": p.index, "box": _shares(p, w, h)} for p in people]


def _shares(person: Person, width: int, height: int) -> list[float]:
    x0, y0, x1, y1 = person.box
    return [round(v, 4) for v in (x0 / width, y0 / height, x1 / width, y1 / height)]


def cutout(s: Subject) -> np.ndarray:
    """[TILE, w, 4] uint8: the person alone."""
    box = crop_box(s.alpha > 0.5, TILE)
    rgb = warp_crop(s.rgb.astype(np.float32) / 255, box, TILE, 1.0)
    alpha = warp_crop(s.alpha, box, TILE, 0.0)
    return _trimmed(to_uint8(np.dstack([rgb, alpha])), alpha)


def body_over(s: Subject, fit: Fit) -> np.ndarray:
    """[TILE, w, 3] uint8: the fitted body, as of clay, over the photo."""
    body = load_body()
    box = crop_box(s.alpha > 0.5, TILE)
    picture = np.clip(warp_crop(s.rgb.astype(np.float32) / 255, box, TILE, 1.0), 0, 1)
    v = body(fit.betas[None], fit.pose[None], fit.transl[None]).vertices[0]
    camera = fit.camera.crop(*box, TILE, TILE)
    f = rasterize_mesh(v, body.faces, camera)
    normal = interpolate(f, vertex_normals(v, body.faces), body.faces)[0].numpy()
    towards = -normal @ camera.forward.numpy()
    clay = (0.35 + 0.6 * np.clip(towards, 0, 1))[..., None] * np.array([0.62, 0.85, 0.82], np.float32)
    shown = 0.82 * f.mask[0].numpy()[..., None]
    alpha = warp_crop(s.alpha, box, TILE, 0.0)
    return _trimmed(to_uint8(shown * clay + (1 - shown) * picture), alpha)


def _trimmed(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Columns around the person."""
    xs = np.nonzero(alpha.max(0) > 0.5)[0]
    border = TILE // 16
    return np.ascontiguousarray(picture[:, max(0, xs.min() - border) : xs.max() + 1 + border])


def write_walk(path: Path, avatar: Avatar) -> None:
    """Four rounds of the walk, while the camera goes around once."""
    motion = load_motion("walk").resampled(FPS)
    turned = avatar.animate(motion, (WALK * 5 // 4, WALK), turn=360, azimuth=0, repeat=4)
    write_video(path, (to_uint8(over(f)) for f in turned), FPS)


def write_alive(path: Path, avatar: Avatar) -> None:
    """The person waves in the photo."""
    subject, fit = avatar.work.subjects[0], avatar.work.fits[0]
    motion = with_free_arm(avatar, subject, fit, load_motion("wave").resampled(ALIVE_FPS))
    scene = take_apart(avatar, subject, fit, motion)
    write_video(path, frames(scene, motion), ALIVE_FPS)


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)
