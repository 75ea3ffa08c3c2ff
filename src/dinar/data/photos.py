"""Photo sets: single photos with fits, stored in one small file, and the source that reads both.

A photo set is a folder made by ``dinar fit`` (:mod:`.prepare`)::

    fits.npz      parameters, camera, keypoints and scores of every photo; about 1 kB a photo
    report.json   photos that were left out with reasons, and the distribution of errors (report.txt: as text)
    masks/        NAME.png, [H, W] 8 bit, the person's alpha at working size (with --masks)
    offsets/      NAME.npy, [V, 3] float16 metres at rest: the body widened to the clothes; NAME.json: its
                  skirts, coats, hair and hats, if any (with --masks)
    labels/       NAME.png, [H, W] 8 bit, index into labels.CLASSES (with --masks)
    each/         NAME.npz, what ``dinar create --fit`` takes (with --each)
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ..arrays import Array, is_texts, read_json, read_npy, read_npz
from ..body import Body, load_body
from ..body.shells import Shell, from_header
from ..errors import DinarError
from ..files import replacing
from ..fit.fit_file import Fit
from ..fit.view import LANDMARKS, photo_camera
from ..labels import CLASSES
from ..photo.image import read_photo
from ..photo.mask import load_mask
from ..pictures import read_array
from ..scene.crop import warp_crop
from ..scene.textured import to_uint8
from ..views import Params, Views

FORMAT, VERSION = "dinar-photos", 1
MARGIN = 1.2  # side of the square crop relative to the longer side of the person's box (the released system)
# Fits outside of these limits are doubtful and not used for training (benchmarks/photoset.py, docs/measurements.md).
MAX_ERROR = 1.5  # per cent of the person's height, mean over the large joints
MIN_INSIDE = 0.87  # share of the body's silhouette inside the mask
# Numbers are rounded to multiples of these powers of two, far below the fit's error; this halves the file.
_STEP = {"betas": 2**-8, "pose": 2**-10, "transl": 2**-12, "keypoints": 2**-3, "world": 2**-9, "box": 2**-3,
         "focal": 2**-3, "keypoint_error": 2**-10, "iou": 2**-10, "inside": 2**-10}  # fmt: skip

Parse = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]
"""A human parser: rgb [H, W, 3] uint8 and keypoints [33, 4] -> alpha [H, W] in [0, 1], labels [H, W] uint8 or None."""


@dataclass
class PhotoFits:
    """The table ``fits.npz``: one person in each of M photos."""

    name: np.ndarray  # [M] file names, sorted
    size: np.ndarray  # [M, 2] int32 height and width at working size (read_photo), which all pixels refer to
    betas: np.ndarray  # [M, num_betas]
    pose: np.ndarray  # [M, J, 3]
    transl: np.ndarray  # [M, 3]
    focal: np.ndarray  # [M] pixels; the camera is photo_camera(height, width, focal)
    keypoints: np.ndarray  # [M, 33, 4] BlazePose x, y, z in pixels, visibility
    world: np.ndarray  # [M, 33, 3] metres, as View.world; NaN-free, zeros where unknown
    box: np.ndarray  # [M, 4] x0, y0, x1, y1 of mask and body together
    keypoint_error: np.ndarray  # [M] per cent of the person's height
    iou: np.ndarray  # [M] of the body's silhouette and the mask
    inside: np.ndarray  # [M] share of the body's silhouette inside the mask, without what bags in front hide
    person: np.ndarray  # [M, 2] int32 which person, from the left, of how many
    body: str = "anny"

    def __len__(self) -> int:
        return len(self.name)

    def fit(self, i: int) -> Fit:
        """The fit of row i."""
        t = lambda x: torch.from_numpy(np.array(x[i], np.float32))  # noqa: E731
        camera = photo_camera(int(self.size[i, 0]), int(self.size[i, 1]), float(self.focal[i]))
        return Fit(t(self.betas), t(self.pose), t(self.transl), camera, float(self.keypoint_error[i]))

    def doubts(self) -> list[str]:
        """For each row the reason why its fit is doubtful, or an empty string."""
        out = []
        for error, inside in zip(self.keypoint_error, self.inside, strict=True):
            if error > MAX_ERROR:
                out.append(f"the body misses the keypoints by {error:.1f} % of the height")
            elif inside < MIN_INSIDE:
                out.append(f"only {100 * inside:.0f} % of the body lies inside the mask")
            else:
                out.append("")
        return out

    def take(self, rows: Sequence[int] | np.ndarray) -> PhotoFits:
        rows = np.asarray(rows, np.int64)
        return dataclasses.replace(self, **{k: getattr(self, k)[rows] for k in _COLUMNS})

    def save(self, path: str | Path, **more: str) -> None:
        """Write a compressed npz; the same rows give the same bytes. ``more`` are entries of its json header."""
        header = json.dumps({"format": FORMAT, "version": VERSION, "body": self.body, **more}, sort_keys=True)
        arrays: dict[str, np.ndarray] = {"header": np.array(header)}
        for k in _COLUMNS:
            x = getattr(self, k)
            arrays[k] = x if x.dtype.kind in "iU" else _coarse(x, _STEP[k])
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        with replacing(path) as temporary:
            temporary.write_bytes(buffer.getvalue())


# What the columns must hold (metres, radians, pixels).
_TABLE = {
    "name": Array(np.str_, ("M",)), "size": Array(np.int32, ("M", 2), 1, 1 << 15),
    "betas": Array(np.float32, ("M", None), -100, 100), "pose": Array(np.float32, ("M", None, 3), -100, 100),
    "transl": Array(np.float32, ("M", 3), -1e5, 1e5), "focal": Array(np.float32, ("M",), 1, 1e6),
    "keypoints": Array(np.float32, ("M", 33, 4), -1e6, 1e6), "world": Array(np.float32, ("M", 33, 3), -100, 100),
    "box": Array(np.float32, ("M", 4), -1e6, 1e6), "keypoint_error": Array(np.float32, ("M",), 0, 1e6),
    "iou": Array(np.float32, ("M",), 0, 1), "inside": Array(np.float32, ("M",), 0, 1),
    "person": Array(np.int32, ("M", 2), 0, 1000),
}  # fmt: skip
_COLUMNS = tuple(f.name for f in dataclasses.fields(PhotoFits) if f.name != "body")


def _coarse(x: np.ndarray, step: float) -> np.ndarray:
    return (np.round(np.asarray(x, np.float64) / step) * step).astype(np.float32)


def merge_fits(parts: Sequence[PhotoFits]) -> PhotoFits:
    """One table, sorted by name."""
    if len({(p.betas.shape[1], p.pose.shape[1]) for p in parts}) > 1:
        raise DinarError("expected fits of one body, got some of a body with other joints or shapes: run dinar fit "
                         "again, into another folder")  # fmt: skip
    joined = {k: np.concatenate([getattr(p, k) for p in parts]) for k in _COLUMNS}
    order = np.argsort(joined["name"], kind="stable")
    return PhotoFits(**{k: v[order] for k, v in joined.items()}, body=parts[0].body)


def load_fits(path: str | Path) -> PhotoFits:
    """Read ``fits.npz``, given as a file or as its folder."""
    return read_fits(path)[0]


def read_fits(path: str | Path) -> tuple[PhotoFits, dict[str, str]]:
    """The table, and the photos that were left out with the reasons."""
    path = Path(path) / "fits.npz" if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise DinarError(f"no photo set at {path}: make it with dinar fit PHOTOS -o {path.parent}")
    what = "a photo set made by dinar fit"
    head = read_npz(path, {"header": Array(np.str_, ())}, what=what)["header"]
    header = read_json(str(head).encode("utf-8", "replace"), name=str(path), what=what)
    known = isinstance(header, dict) and isinstance(header.get("body"), str)
    if not known or (header.get("format"), header.get("version")) != (FORMAT, VERSION):
        raise DinarError(f"{path}: expected a photo set of version {VERSION}, got another; run dinar fit again")
    left_out = read_json(str(header.get("left_out", "{}")).encode("utf-8", "replace"), name=str(path), what=what)
    if not is_texts(left_out):
        raise DinarError(f"{path}: expected the reasons of photos that were left out by name; run dinar fit again")
    return PhotoFits(**read_npz(path, _TABLE, what=what), body=header["body"]), left_out


def body_keypoints(body: Body, keypoints: np.ndarray) -> np.ndarray:  # [33, 4] BlazePose
    """BlazePose keypoints in the order of ``Body.keypoints``: [P, 3] x, y, visibility; 0 for points that it lacks."""
    out = np.zeros((len(body.keypoint_names) + body.num_joints, 3), np.float32)
    known = {*body.keypoint_names, *body.joint_names}
    for i, (name, _) in LANDMARKS.items():
        if name in known:
            out[body.keypoint_index(name)] = keypoints[i, [0, 1, 3]]
    return out


def square(box: np.ndarray, size: int, margin: float = MARGIN) -> tuple[float, float, float]:
    """(x0, y0, scale) for warp_crop: the square about a box x0, y0, x1, y1, its longer side times ``margin``."""
    side = max(float(box[2] - box[0]), float(box[3] - box[1]), 1.0) * margin
    return (float(box[0] + box[2]) - side) / 2, (float(box[1] + box[3]) - side) / 2, size / side


def crop_view(
    rgb: np.ndarray,  # [H, W, 3] uint8
    alpha: np.ndarray,  # [H, W] float in [0, 1]
    labels: np.ndarray | None,  # [H, W] uint8
    fit: Fit,
    box: np.ndarray,  # [4] x0, y0, x1, y1 pixels
    size: int,
    keypoints: np.ndarray | None,  # [P, 3] x, y, visibility
    body: str,
    name: str,
    offsets: torch.Tensor | None = None,  # [V, 3] metres at rest
    shells: tuple[Shell, ...] = (),  # that the body with these offsets wears
) -> Views:
    """A picture with its fit as one square view; white outside of the picture."""
    x0, y0, k = crop = square(box, size)
    camera = fit.camera.crop(x0, y0, k, size, size)
    picture = warp_crop(rgb.astype(np.float32) / 255, crop, size, 1.0)
    mask = warp_crop(alpha.astype(np.float32), crop, size, 0.0)
    label = points = None
    if labels is not None:
        A = np.array([[k, 0, -x0 * k + 0.5 * k - 0.5], [0, k, -y0 * k + 0.5 * k - 0.5]])
        label = torch.from_numpy(cv2.warpAffine(labels, A, (size, size), flags=cv2.INTER_NEAREST))[None]
    if keypoints is not None:
        points = torch.from_numpy(np.float32((keypoints - [x0, y0, 0]) * [k, k, 1]))[None]
    return Views(
        rgb=torch.from_numpy(to_uint8(picture))[None],
        alpha=torch.from_numpy(to_uint8(mask))[None],
        K=camera.K[None],
        T_cam_world=camera.T_cam_world[None],
        params=Params(fit.betas, fit.pose[None], fit.transl[None], offsets=offsets, shells=shells),
        labels=label,
        keypoints2d=points,
        body=body,
        name=name,
    ).check()


class Photos:
    """A folder of photos and its fits, as a source of people with one view each."""

    def __init__(
        self,
        photos: str | Path,  # the folder
        fits: str | Path,  # the set made by `dinar fit`
        size: int = 512,  # pixels a side of the person-centred crop
        parse: Parse | None = None,  # computes masks and labels; None: those of the set, or computed as in `create`
        doubtful: bool = False,  # include doubtful fits
    ) -> None:
        self.folder, self.set, self.size, self.parse = Path(photos), Path(fits), size, parse
        table = load_fits(fits)
        self.fits = table.take([i for i, why in enumerate(table.doubts()) if doubtful or not why])
        self.body = self.fits.body
        if not self.folder.is_dir():
            raise DinarError(f"no folder of photos at {photos}")

    @property
    def num_people(self) -> int:
        return len(self.fits)

    def num_views(self, i: int) -> int:
        return 1

    def alpha(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """rgb [H, W, 3] uint8, alpha [H, W] float32, labels [H, W] uint8 or None, at working size."""
        path = self.folder / str(self.fits.name[i])
        mask = self.set / "masks" / f"{path.stem}.png" if self.set.is_dir() else Path()
        photo = read_photo(path)
        if photo.rgb.shape[:2] != tuple(self.fits.size[i]):
            raise DinarError(f"{path}: expected the photo that was fitted, {list(self.fits.size[i])} pixels, got "
                             f"{list(photo.rgb.shape[:2])}; make the set again with dinar fit")  # fmt: skip
        if self.parse is not None:
            alpha, labels = self.parse(photo.rgb, self.fits.keypoints[i])
            return photo.rgb, alpha, labels
        labels = self._labels(path.stem, photo.rgb.shape[:2])
        if mask.is_file():
            return photo.rgb, load_mask(mask, photo.rgb.shape), labels
        from ..subject import read_subject

        s = read_subject(path, int(self.fits.person[i, 0]), whole=True)
        return s.rgb, s.alpha, labels

    def _offsets(self, stem: str) -> torch.Tensor | None:
        path = self.set / "offsets" / f"{stem}.npy"
        if not path.is_file():
            return None
        spec = Array(np.float32, (None, 3), -10, 10)
        return torch.from_numpy(read_npy(path, spec, what="offsets made by dinar fit --masks"))

    def _shells(self, stem: str) -> tuple[Shell, ...]:
        path = self.set / "offsets" / f"{stem}.json"
        return from_header(read_json(path, what="clothes"), str(path)) if path.is_file() else ()

    def _labels(self, stem: str, shape: tuple[int, ...]) -> np.ndarray | None:
        path = self.set / "labels" / f"{stem}.png"
        if not path.is_file():
            return None
        labels = read_array(path)
        if labels is None or labels.shape != shape or labels.dtype != np.uint8 or labels.max() >= len(CLASSES):
            raise DinarError(f"{path}: expected labels {list(shape)} from 0 to {len(CLASSES) - 1}, as 8 bit grey; got "
                             f"{'a damaged file' if labels is None else list(labels.shape)}")  # fmt: skip
        return labels

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        rgb, alpha, labels = self.alpha(i)
        f = self.fits
        names = load_body().keypoint_names if self.body == "anny" else None
        points = body_keypoints(load_body(), f.keypoints[i]) if names else None
        stem = Path(str(f.name[i])).stem
        v = crop_view(rgb, alpha, labels, f.fit(i), f.box[i], self.size, points, self.body, stem, self._offsets(stem),
                      self._shells(stem))  # fmt: skip
        return v if indices is None else v.select(list(indices))
