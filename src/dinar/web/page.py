"""The viewer's page: one HTML file that holds an avatar, three.js and everything else. It uses no network."""

from __future__ import annotations

import base64
import html
import io
import json
import lzma
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from ..avatar import Avatar
from ..errors import DinarError
from ..export import Clip
from ..export.vrm import PRESETS
from ..files import staging
from ..photo.image import read_photo
from ..version import __version__
from .local import Served

PAGE = Path(__file__).parent / "page"  # sources of the pages; `make web` makes the libraries, *.xz
MODULES = {"three": "three.min.js", **{f"dinar/{n}": n for n in ("dom.js", "layer.js", "viewer.js", "panel.js")}}
# What the neural viewer's worker takes, beside the WebAssembly.
WORKER = {n: "text/javascript" for n in ("neural.js", "picture.js", "raster.js", "resample.js", "ort.min.js")}
WASM, GRAPH = "ort.wasm", "renderer.onnx"
MOTIONS = ("idle", "walk", "wave", "dance", "turn", "look_around")  # clips of the viewer's GLB
AROUND = 0.12  # of the person's height: border of the picture that is compared
HEIGHT = 1280  # largest height of that picture, pixels
ASPECT = 0.02  # how far a photo's may be from the avatar's camera's
POLICY = ("default-src 'none'; script-src 'unsafe-inline' data:; style-src 'unsafe-inline'; img-src data: blob:; "
          "connect-src data: blob:; base-uri 'none'; form-action 'none'")  # fmt: skip
WORKER_POLICY = {"script-src": "script-src 'self' 'wasm-unsafe-eval'", "connect-src": "connect-src 'self'"}


def viewer_page(avatar: Avatar, name: str, photo: str | Path | None = None, neural: str | None = None) -> str:
    """The HTML of a page that shows an avatar; with ``photo``, the one that it was made from, also compares them.

    ``neural``: address of the file of :mod:`.neural` on the server of the page; a page without a server has the mesh.
    """
    about: dict[str, Any] = {"name": name, "presets": expression_presets(), "neural": neural}
    policy = POLICY
    for directive, own in WORKER_POLICY.items() if neural else ():
        policy = policy.replace(directive, own)
    if photo is not None:
        seen, picture = photo_view(avatar, read_photo(photo).rgb, str(photo))
        about["photo"] = {**seen, "src": _data_url("image/jpeg", jpeg(picture))}
    modules = {n: _data_url("text/javascript", asset(f)) for n, f in MODULES.items()}
    return fill(PAGE / "view.html", {
        "policy": policy, "generator": f"dinar {__version__}", "title": html.escape(name),
        "style": (PAGE / "style.css").read_text("utf-8"), "imports": json.dumps({"imports": modules}),
        "about": json.dumps(about).replace("<", "\\u003c"), "glb": base64.b64encode(viewer_glb(avatar)).decode(),
        "script": (PAGE / "view.js").read_text("utf-8"),
    })  # fmt: skip


def worker_files(prefix: str) -> dict[str, Served]:
    """The files that the neural viewer's worker takes, by address."""
    files = {prefix + n: Served(kind, asset(n)) for n, kind in WORKER.items()}
    return files | {prefix + WASM: Served("application/wasm", asset(WASM))}


@cache
def asset(name: str) -> bytes:
    """A file of the pages. Libraries lie compressed: ONNX Runtime Web's program has 21 MB."""
    packed = PAGE / f"{name}.xz"
    return lzma.decompress(packed.read_bytes()) if packed.is_file() else (PAGE / name).read_bytes()


def viewer_glb(avatar: Avatar, clips: Sequence[Clip] = ()) -> bytes:
    """The GLB that the viewer shows: all built-in motions, more clips, and the pose of the photo as a clip."""
    hips = avatar.body.rest(avatar.betas[None], offsets=avatar.offsets)[1][0, 0]
    middle = (avatar.transl[1] * avatar.transl.new_tensor([0, 1, 0]) - hips * hips.new_tensor([1, 0, 1]))[None]
    with staging() as folder:
        avatar.export(folder / "me.glb", [*MOTIONS, *clips, Clip("photo", avatar.pose[None], middle, 30)])
        return (folder / "me.glb").read_bytes()


def photo_view(
    avatar: Avatar,
    rgb: np.ndarray,  # [H, W, 3] uint8: the whole photo at any size
    name: str = "the photo",  # for messages
) -> tuple[dict[str, Any], np.ndarray]:
    """The part of the photo around the person [h, w, 3] uint8, and its camera, for the viewer.

    The camera is in the avatar's world, where the hips are at ``hips``; in a GLB the ground is at y = 0.
    """
    h, w = rgb.shape[:2]
    camera = avatar.camera
    if abs(w / h / (camera.width / camera.height) - 1) > ASPECT:
        raise DinarError(f"{name} is not the photo of this avatar: expected the aspect of {camera.width} x "
                         f"{camera.height} px, got {w} x {h}")  # fmt: skip
    camera = camera.resized(h, w)
    body = avatar.body(avatar.betas[None], avatar.pose[None], avatar.transl[None], offsets=avatar.offsets)
    xy = camera.project(body.vertices[0])[0].numpy()
    low, high = xy.min(0), xy.max(0)
    border = AROUND * float(high[1] - low[1])
    x0, y0 = (max(0, int(v - border)) for v in low)
    x1, y1 = (min(n, int(np.ceil(v + border))) for n, v in zip((w, h), high, strict=True))
    if x1 - x0 < 16 or y1 - y0 < 16:
        raise DinarError(f"{name} does not show this avatar: expected the photo that it was made from")
    k = min(1.0, HEIGHT / (y1 - y0))
    size = round((x1 - x0) * k), round((y1 - y0) * k)
    camera = camera.crop(x0, y0, k, size[1], size[0])
    seen = {
        "width": size[0], "height": size[1], "K": camera.K.tolist(), "T_cam_world": camera.T_cam_world.tolist(),
        "hips": body.joints[0, 0].tolist(),
    }  # fmt: skip
    return seen, cv2.resize(rgb[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)


def expression_presets() -> dict[str, dict[str, float]]:
    """Weights of morph targets by name; an x at the end of VRM's names stands for both sides."""
    sides = lambda n: (f"{n[:-1]}Left", f"{n[:-1]}Right") if n.endswith("x") else (n,)  # noqa: E731
    faces = ("happy", "surprised", "sad", "angry", "blink", "oh")
    return {p: {s: w for n, w in PRESETS[p].items() for s in sides(n)} for p in faces}


def fill(template: Path, values: dict[str, str]) -> str:
    """A template with each ``{{name}}`` replaced once; values are not searched."""
    first, *rest = template.read_text("utf-8").split("{{")
    parts = [r.split("}}", 1) for r in rest]
    return first + "".join(values[name] + text for name, text in parts)


def jpeg(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "jpeg", quality=88)
    return data.getvalue()


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
