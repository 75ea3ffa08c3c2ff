"""The multi-view folder, a format for views of people, written by `dinar synthesize` and `dinar fit --frames`.

::

    dataset.json              format, version, body, size, and how it was made (config, seed)
    NAME/                     a folder for each person, created when it is complete
        views.npz             names, cameras, body parameters (and fitted_*), keypoints; no pickles
        rgb/00.jpg            [H, W, 3] sRGB, or png
        mask/00.png           [H, W] 8 bit, 255 = the person
        labels/00.png         [H, W] 8 bit index into labels.CLASSES
        normals/00.png        [H, W, 3] 8 bit, 128 + 127 n in the camera's frame
        depth/00.png          [H, W] 16 bit, 0 outside, else 1 + (depth - depth_near) in units of 0.1 mm
        surface/00.png        [H, W, 3] 8 bit, views.encode_surface of the rest-pose body point that a pixel shows

The last four are optional. The same views give the same bytes. Shards (:mod:`.shards`) hold the same files in tars.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from ..arrays import Array, read_json, read_npz
from ..body.shells import from_header, to_header
from ..errors import DinarError
from ..files import file_name, replacing, staging
from ..pictures import decode_array
from ..scene.camera import check_cameras
from ..views import DEPTH_UNIT, Params, Views

FORMAT, VERSION = "dinar-views", 1
JPEG = 95  # quality, without chroma subsampling; 0 writes png
_ARRAYS = ("K", "T_cam_world", "keypoints2d", "keypoints3d")
_PARAMS = ("betas", "pose", "transl", "expression", "offsets")
_SHARED = ("betas", "offsets")  # equal in all views
_FOLDERS = ("mask", "labels", "normals", "depth", "surface")
MAX_SIDE = 1 << 13  # pixels of a picture of a set
TRIES = 5  # to replace a person's folder, while another run writes the same person


def _table() -> dict[str, Array]:
    """What views.npz must hold (metres, radians, pixels)."""
    number = lambda *shape, most=100.0, **more: Array(np.float32, shape, -most, most, **more)  # noqa: E731
    table = {"version": Array(np.int64, (), 0, 1000), "name": Array(np.str_, ()), "body": Array(np.str_, ()),
             "view_names": Array(np.str_, ("N",)), "size": Array(np.int64, (2,), 1, MAX_SIDE),
             "rgb": Array(np.str_, ()), "kinds": Array(np.str_, (None,)), "K": number("N", 3, 3, most=1e7),
             "T_cam_world": number("N", 4, 4, most=1e7), "keypoints2d": number("N", "P", 3, most=1e7, required=False),
             "keypoints3d": number("N", "P", 3, most=1e7, required=False),
             "depth_near": Array(np.int64, ("N",), 0, 1 << 41, required=False)}  # fmt: skip
    for prefix, need in (("", True), ("fitted_", False)):
        table |= {f"{prefix}betas": number(f"{prefix}B", required=need),
                  f"{prefix}pose": number("N", "J", 3, required=need),
                  f"{prefix}transl": number("N", 3, most=1e5, required=need),
                  f"{prefix}expression": number("N", None, required=False),
                  f"{prefix}offsets": number("V", 3, required=False),
                  f"{prefix}shells": Array(np.str_, (), required=False)}  # fmt: skip
    return table


TABLE = _table()


def encode(views: Views, jpeg: int = JPEG) -> dict[str, bytes]:
    """The files of a person as bytes, by their paths in the person's folder."""
    v = views.check().to("cpu")
    for name in (v.name, *v.view_names):
        file_name(name)
    rgb = ("jpg", [cv2.IMWRITE_JPEG_QUALITY, jpeg, cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
                   cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]) if jpeg else ("png", _PNG)  # fmt: skip
    a: dict[str, Any] = {
        "version": np.array(VERSION),
        "name": np.array(v.name),
        "body": np.array(v.body),
        "view_names": np.array(v.view_names),
        "size": np.array(v.size),
        "rgb": np.array(rgb[0]),
    }
    for k in _ARRAYS:
        if (x := getattr(v, k)) is not None:
            a[k] = x.numpy()
    for prefix, params in (("", v.params), ("fitted_", v.fitted)):
        for k in _PARAMS if params else ():
            if (x := getattr(params, k)) is not None:
                a[prefix + k] = x.numpy().astype(np.float16) if k == "offsets" else x.numpy()
        if params and params.shells:
            a[prefix + "shells"] = np.array(json.dumps(to_header(params.shells)))
    pictures = {f"rgb/{{}}.{rgb[0]}": (v.rgb.numpy()[..., ::-1], rgb[1]), "mask/{}.png": (v.alpha.numpy(), _PNG)}
    if v.labels is not None:
        pictures["labels/{}.png"] = v.labels.numpy(), _PNG
    if v.normals is not None:
        pictures["normals/{}.png"] = v.normals.numpy()[..., ::-1], _PNG
    if v.surface is not None:
        pictures["surface/{}.png"] = v.surface.numpy()[..., ::-1], _PNG
    if v.depth is not None:
        near, steps = _depth_steps(v.depth)
        a["depth_near"] = near
        pictures["depth/{}.png"] = steps, _PNG
    a["kinds"] = np.array([k.split("/")[0] for k in pictures])
    buffer = io.BytesIO()
    np.savez(buffer, **a)
    files = {"views.npz": buffer.getvalue()}
    for pattern, (images, options) in pictures.items():
        for name, image in zip(v.view_names, images, strict=True):
            ok, data = cv2.imencode(Path(pattern).suffix, np.ascontiguousarray(image), options)
            assert ok
            files[pattern.format(name)] = data.tobytes()
    return files


_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 3]


def _depth_steps(depth: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Nearest depth of each view [N], and depth above it + 1 [N, H, W] uint16 (0: outside), both in DEPTH_UNIT."""
    steps = np.rint(depth.numpy().astype(np.float64) / DEPTH_UNIT).astype(np.int64)
    on = steps > 0
    near = np.where(on, steps, 1 << 40).min((1, 2))
    near[~on.any((1, 2))] = 0
    return near, np.where(on, np.clip(steps - near[:, None, None] + 1, 0, 65535), 0).astype(np.uint16)


def decode(read: Callable[[str], bytes], indices: Sequence[int] | None, where: str) -> Views:
    """Views from the files of a person. ``read`` returns a file by its path; ``where`` names the person in errors."""
    a = read_arrays(read("views.npz"), f"{where}/views.npz")
    names = [str(n) for n in a["view_names"]]
    try:
        chosen = list(range(len(names))) if indices is None else [range(len(names))[k] for k in indices]
    except IndexError as e:
        raise DinarError(f"{where}: expected indices below {len(names)}, the number of views, got "
                         f"{list(indices or ())}") from e  # fmt: skip
    h, w = (int(x) for x in a["size"])

    def pictures(kind: str, shape: tuple[int, ...], dtype: type = np.uint8) -> np.ndarray:
        found = []
        for k in chosen:
            path = f"{kind}/{names[k]}.{a['rgb'] if kind == 'rgb' else 'png'}"
            image = decode_array(read(path), size=(shape[0], shape[1]))
            if image is None or image.shape != shape or image.dtype != dtype:
                raise DinarError(f"{where}/{path}: expected an image {list(shape)} {np.dtype(dtype)}, got one of "
                                 "another size or kind, or a damaged file")  # fmt: skip
            found.append(image[..., ::-1] if len(shape) == 3 else image)
        return np.stack(found) if found else np.empty((0, *shape), dtype)

    def tensor(key: str) -> Tensor | None:
        if key not in a:
            return None
        x = a[key] if key.endswith(_SHARED) else a[key][chosen]
        return torch.from_numpy(np.ascontiguousarray(x, np.float32))

    def params(prefix: str) -> Params | None:
        p = {k: tensor(prefix + k) for k in _PARAMS}
        if p["betas"] is None:
            return None
        shells = read_json(str(a.get(prefix + "shells", "[]")).encode(), name=where, what="the clothes of a person")
        return Params(**p, shells=from_header(shells, where))  # type: ignore[arg-type]

    kinds = set(a["kinds"].tolist())
    depth = None
    if "depth" in kinds:
        steps = pictures("depth", (h, w), np.uint16).astype(np.int64)
        depth = np.where(steps > 0, steps - 1 + a["depth_near"][chosen][:, None, None], 0) * DEPTH_UNIT
    images = {k: torch.from_numpy(pictures(f, s)) for k, f, s in (
        ("rgb", "rgb", (h, w, 3)), ("alpha", "mask", (h, w)), ("labels", "labels", (h, w)),
        ("normals", "normals", (h, w, 3)), ("surface", "surface", (h, w, 3))) if f in kinds}  # fmt: skip
    known: dict[str, Any] = {k: tensor(k) for k in _ARRAYS}
    known |= {"params": params(""), "fitted": params("fitted_")}
    try:
        return Views(**images, **known, depth=None if depth is None else torch.from_numpy(depth.astype(np.float32)),
                     body=str(a["body"]), name=str(a["name"]),
                     view_names=tuple(names[k] for k in chosen)).check()  # fmt: skip
    except (DinarError, IndexError, TypeError, AttributeError) as e:
        raise DinarError(f"{where}/views.npz: not a person's views ({e})") from e


def read_arrays(data: bytes, where: str) -> dict[str, np.ndarray]:
    """The arrays of a views.npz of this version."""
    a = read_npz(data, TABLE, name=where, what="views written by dinar")
    if (version := int(a["version"])) != VERSION:
        raise DinarError(f"{where}: expected version {VERSION} of the multi-view format, got {version}")
    file_name(str(a["name"]), where)
    for name in a["view_names"]:
        file_name(str(name), where)
    if str(a["rgb"]) not in ("jpg", "png") or not set(a["kinds"].tolist()) <= {"rgb", *_FOLDERS}:
        raise DinarError(f"{where}: expected pictures as jpg or png, got others")
    for prefix in ("", "fitted_"):
        if prefix + "pose" in a and not {prefix + "betas", prefix + "transl"} <= set(a):
            raise DinarError(f"{where}: expected {prefix}betas and {prefix}transl with {prefix}pose")
    if "depth" in a["kinds"] and "depth_near" not in a:
        raise DinarError(f"{where}: expected depth_near with pictures of depth")
    check_cameras(torch.from_numpy(a["K"]), torch.from_numpy(a["T_cam_world"]), where)
    return a


def start_set(folder: str | Path, body: str, size: tuple[int, int], layout: str = "folder", **made: Any) -> None:
    """Create a set's folder and ``dataset.json``, or check that an existing one has the same header.

    ``made`` (config, seed, ...) are json values of the header that describe how the set is made.

    Raises:
        DinarError: the folder has another header, or cannot be written.
    """
    folder = Path(folder)
    header = {"format": FORMAT, "version": VERSION, "layout": layout, "body": body, "size": list(size), **made}
    header = json.loads(json.dumps(header))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DinarError(f"cannot write into {folder}: {e.strerror}") from e
    if (folder / "dataset.json").exists():
        old = read_json(folder / "dataset.json", what="the header of a multi-view set")
        old = old if isinstance(old, dict) else {}
        if old != header:
            keys = sorted(k for k in {*old, *header} if old.get(k) != header.get(k))
            raise DinarError(f"{folder} holds another set: {', '.join(keys)} differ; give another folder to write to, "
                             "or the options of the first run to resume it")  # fmt: skip
        return
    with replacing(folder / "dataset.json") as temporary:
        temporary.write_text(json.dumps(header, indent=1, sort_keys=True) + "\n")


def read_header(folder: str | Path, layout: str | None = None) -> dict[str, Any]:
    """The header in ``dataset.json``.

    Raises:
        DinarError: it is missing, damaged, or of another format or layout.
    """
    path = Path(folder) / "dataset.json"
    if not path.is_file():
        raise DinarError(f"{folder} is not a multi-view set: it has no dataset.json")
    header = read_json(path, what="the header of a multi-view set")
    known = isinstance(header, dict) and all(isinstance(header.get(k), str) for k in ("format", "layout", "body"))
    if not known or (header["format"], header.get("version")) != (FORMAT, VERSION):
        raise DinarError(f"{path}: expected the header of a multi-view set ({FORMAT} {VERSION}), got another")
    if layout not in (None, header["layout"]) or header["layout"] not in ("folder", "shards"):
        raise DinarError(f"{path}: expected a set laid out as {layout or 'folder or shards'}, got {header['layout']}")
    return header


def write_views(folder: str | Path, views: Views, jpeg: int = JPEG) -> Path:
    """Write a person into a set. The person's folder is created atomically and replaces an older one."""
    folder = Path(folder)
    files = encode(views, jpeg)
    final = folder / views.name
    try:
        with staging(folder) as temporary:
            for path, data in files.items():
                (temporary / "new" / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / "new" / path).write_bytes(data)
            _replace(temporary / "new", final, temporary)
    except OSError as e:
        raise DinarError(f"cannot write {final}: {e.strerror or e}") from e
    return final


def _replace(new: Path, final: Path, temporary: Path) -> None:
    """Move a folder to a name that may be taken, also by another run at the same time."""
    for attempt in range(TRIES):
        try:
            with suppress(FileNotFoundError):
                os.rename(final, temporary / f"old{attempt}")
            return os.rename(new, final)
        except OSError:
            if attempt == TRIES - 1:
                raise


def people_in(folder: str | Path) -> list[str]:
    """Sorted names of the people in a set."""
    return sorted(p.name for p in Path(folder).iterdir() if p.name[0] != "." and (p / "views.npz").is_file())


class Folder:
    """A multi-view folder as a source of people."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.header = read_header(folder, "folder")
        self.body: str = self.header["body"]
        self.names = people_in(folder)
        self._counts: dict[int, int] = {}  # of views by person, once read

    @property
    def num_people(self) -> int:
        return len(self.names)

    def _read(self, i: int) -> Callable[[str], bytes]:
        def read(path: str) -> bytes:
            file = self.folder / self.names[i] / path
            if not file.is_file():  # a pipe may never end
                kind = "a special file" if file.exists() else "no such file"
                raise DinarError(f"{file} cannot be read: expected a file, got {kind}; the set is incomplete")
            try:
                return file.read_bytes()
            except OSError as e:
                raise DinarError(f"{file} cannot be read: {e.strerror}; the set is incomplete") from e

        return read

    def num_views(self, i: int) -> int:
        if i not in self._counts:
            a = read_arrays(self._read(i)("views.npz"), f"{self.names[i]}/views.npz")
            self._counts[i] = len(a["view_names"])
        return self._counts[i]

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        return decode(self._read(i), indices, str(self.folder / self.names[i]))
