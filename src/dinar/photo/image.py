"""Read a photo as people have it: any common format, orientation, depth and colour space -> 8-bit sRGB.

Everything that cannot be used is refused here with one sentence, before any model runs.
"""

from __future__ import annotations

import codecs
import io
import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import ExifTags, Image, ImageCms

from ..errors import DinarError
from ..manifest import NAME as MANIFEST
from ..pictures import SOFTWARE, SUFFIXES, decoding, open_picture
from ..scene.crop import Whole
from ..stores import is_address, listed, local, name_of
from .exif import focal_length

MAX_SIDE = 2048  # working size: the person is cropped to 1,024 px at most later, and heads are read again
MIN_LONG, MIN_SHORT = 128, 48  # smaller images cannot hold a person of 96 px
PREVIEW = ".preview.png"  # of NAME.avatar: NAME.preview.png
NAMED = 20  # files that are left out, named in a message
_QUARTERS = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}  # to the left
_TURN = {  # EXIF orientation: what makes it upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


Window = tuple[int, int, int, int]
"""x0, y0, x1, y1: a part of a picture, pixels."""


@dataclass(frozen=True)
class Photo:
    """The working picture: a photo, or the part of it around a person, upright, in sRGB."""

    rgb: np.ndarray  # [H, W, 3] uint8 sRGB, white where alpha is 0
    alpha: np.ndarray | None  # [H, W] float32 in [0, 1] when the file is a cut-out, else None
    path: Path
    original_size: tuple[int, int]  # (width, height) of the file as it lies, upright by its own word; pixels
    scale: float  # working pixels per original pixel, <= 1
    turn: int = 0  # quarter turns to the left after which ``window`` is taken
    window: Window | None = None  # the part of the turned file that the working picture shows; None: all of it
    focal: float | None = None  # of the camera, pixels of the file; None: unknown

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the turned file, pixels."""
        width, height = self.original_size
        return (height, width) if self.turn % 2 else (width, height)

    @property
    def whole(self) -> Whole | None:
        """Where the working picture lies in the photo at working size; None: it is that."""
        if self.window is None:
            return None
        k = min(1.0, MAX_SIDE / max(self.size))
        x0, y0 = self.window[:2]
        width, height = (max(1, round(n * k)) for n in self.size)
        return Whole(-x0 * self.scale, -y0 * self.scale, k / self.scale, height, width)

    def from_file(self, image: np.ndarray, interpolation: int) -> np.ndarray:
        """A picture [h, w] that lies as the file does, of any size with its aspect, as [H, W] like the working one."""
        image = np.rot90(image, self.turn)
        if self.window is not None:
            kx, ky = image.shape[1] / self.size[0], image.shape[0] / self.size[1]
            x0, y0, x1, y1 = np.rint(np.array(self.window) * (kx, ky, kx, ky)).astype(int)
            image = image[min(y0, len(image) - 1) : max(y1, y0 + 1), min(x0, image.shape[1] - 1) : max(x1, x0 + 1)]
        height, width = self.rgb.shape[:2]
        return cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=interpolation)

    def to_file(self, image: np.ndarray, interpolation: int) -> np.ndarray:
        """The reverse, at the file's own size: [H, W] -> [h, w], zeros outside of the window."""
        if self.window is None:
            out = cv2.resize(image, self.size, interpolation=interpolation)
        else:
            x0, y0, x1, y1 = self.window
            out = np.zeros(self.size[::-1], image.dtype)
            out[y0:y1, x0:x1] = cv2.resize(image, (x1 - x0, y1 - y0), interpolation=interpolation)
        return np.ascontiguousarray(np.rot90(out, -self.turn))


def read_photo(path: str | Path, max_side: int = MAX_SIDE, turn: int = 0, window: Window | None = None) -> Photo:
    """Read an image file, turned to the left ``turn`` times, or a window of it, at most ``max_side`` pixels long."""
    path = Path(path)
    image, size, focal = _read(path, max_side, turn, window)
    if max(size) < MIN_LONG or min(size) < MIN_SHORT:
        raise DinarError(f"{path} is too small: {size[0]} x {size[1]} px; expected at least {MIN_LONG} px on the "
                         f"longer and {MIN_SHORT} px on the shorter side")  # fmt: skip
    rgb, alpha = _split(image)
    longest = max(size) if window is None else max(window[2] - window[0], window[3] - window[1])
    return Photo(rgb, alpha, path, size, max(rgb.shape[:2]) / longest, turn, window, focal)


def read_image(path: str | Path, max_side: int = MAX_SIDE) -> Image.Image:
    """Like :func:`read_photo` for any image, of any size: upright, in mode RGB (sRGB) or RGBA."""
    return _read(Path(path), max_side)[0]


def _read(
    path: Path, max_side: int, turn: int = 0, window: Window | None = None
) -> tuple[Image.Image, tuple[int, int], float | None]:
    """The image at working size in mode RGB (sRGB) or RGBA; width and height of the upright file; its focal length."""
    with open_picture(path) as image, decoding(path, image):
        width, height = image.size
        if image.format in ("JPEG", "MPO") and window is None:
            # decode at 1/2, 1/4 or 1/8, never below twice the working size
            factor = max(image.size) / (2 * max_side)
            if factor >= 2:
                image.draft(None, (int(image.width / factor), int(image.height / factor)))
        image.load()
        profile = image.info.get("icc_profile")
        orientation = image.getexif().get(ExifTags.Base.Orientation)  # after load: PNGs may have it at the end
        focal = focal_length(image, (width, height))
        upright = _to_known_mode(image)
        steps = [_TURN[orientation]] if orientation in _TURN else []
        steps += [_QUARTERS[turn]] if turn else []
        if window is not None:
            for step in steps:
                upright = upright.transpose(step)
            upright, steps = upright.crop(window), []
        upright = _to_srgb(_reduce(upright, max_side), profile)
        for step in steps:
            upright = upright.transpose(step)
    swapped = orientation in (5, 6, 7, 8)
    return upright, (height, width) if swapped else (width, height), focal


def _to_known_mode(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _to_8_bit(image)
    if image.has_transparency_data:
        return image.convert("RGBA")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _reduce(image: Image.Image, max_side: int) -> Image.Image:
    """At most ``max_side`` pixels long."""
    if (by := max(image.size) // (2 * max_side)) >= 2:
        image = image.reduce(by)
    if max(image.size) > max_side:
        k = max_side / max(image.size)
        size = max(1, round(image.width * k)), max(1, round(image.height * k))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Grey of 16 or 32 bits, or float, scaled (not clipped) to 8 bits."""
    a = np.asarray(image)
    if a.dtype.kind == "f":
        most = float(np.max(a, initial=0, where=np.isfinite(a)))
        top = 1.0 if most <= 1 else 255.0 if most <= 255 else 65535.0
    else:
        top = 65535.0 if image.mode != "I" or a.max() <= 65535 else float(2**31 - 1)
    out = np.empty(a.shape, np.uint8)
    for y in range(0, len(a), 256):  # in bands: a float copy of a large image would not fit
        band = np.nan_to_num(a[y : y + 256].astype(np.float32), posinf=top, neginf=0)
        out[y : y + 256] = np.clip(band * (255 / top) + 0.5, 0, 255).astype(np.uint8)
    return Image.fromarray(out)


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """To RGB through the embedded ICC profile where there is a usable one. Alpha is kept."""
    alpha = image.getchannel("A") if image.mode == "RGBA" else None
    colour = image.convert("RGB") if alpha else image
    out = None
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            out = ImageCms.profileToProfile(colour, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
            out = None  # a damaged profile, or one of another colour space than the pixels
    out = out or colour.convert("RGB")
    if alpha:
        out.putalpha(alpha)
    return out


def _split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """RGB, and alpha where it cuts something out: not opaque (almost) everywhere, not transparent everywhere."""
    a = np.array(image)
    if a.shape[2] == 3:
        return a, None
    rgb, alpha = np.ascontiguousarray(a[..., :3]), a[..., 3]
    opaque = (alpha > 127).mean()
    if opaque > 0.98 or opaque == 0:  # rounded corners of screenshots; writers that leave alpha at 0
        return rgb, None
    if _is_rectangle(alpha > 127):  # a window with a shadow around it
        share = alpha[..., None].astype(np.float32) / 255
        return np.rint(rgb * share + 255 * (1 - share)).astype(np.uint8), None
    rgb[alpha == 0] = 255  # what lies under full transparency is arbitrary
    return rgb, alpha.astype(np.float32) / 255


def _is_rectangle(mask: np.ndarray) -> bool:  # [H, W] bool
    """Whether the mask fills its box but for rounded corners: no person does."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return bool(mask[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].mean() > 0.97)


def photos_of(sources: Sequence[str | Path], tell: Callable[[str], None] = lambda _: None) -> list[str]:
    """Files as they are, the pictures of folders, and the lines of ``.txt`` lists; duplicate names are refused. All of
    them may be addresses (:mod:`..stores`).

    ``tell`` is told which files of the folders are left out. Hidden files, and what `dinar batch` wrote, are not named.
    """
    out: list[str] = []
    left_out: list[str] = []
    for source in sources:
        s, path = local(source), Path(local(source))
        files = None
        if is_address(s):
            names = listed(s) or []
            previews = {f"{Path(n).stem}{PREVIEW}" for n in map(name_of, names) if n.endswith(".avatar")}
            files = None if not names else [n for n in names if not _is_named_ours(name_of(n), previews)]
        elif path.is_dir():
            files = [str(p) for p in sorted(path.iterdir()) if not p.name.startswith(".") and not is_ours(p)]
        elif path.suffix.lower() == ".txt" and path.is_file():
            out += _listed(path)
            continue
        out += [s] if files is None else [f for f in files if _may_be_photo(f)]
        left_out += [name_of(f) for f in files or [] if not _may_be_photo(f)]
    names = Counter(Path(name_of(p)).stem for p in out)
    if twice := sorted(n for n, count in names.items() if count > 1):
        raise DinarError(f"two photos are called {twice[0]}: avatars are named after their photos; rename one")
    if left_out:
        tell(f"left out {len(left_out)} that dinar does not read: {', '.join(left_out[:NAMED])}"
             + ", ..." * (len(left_out) > NAMED))  # fmt: skip
    if not out:
        raise DinarError("expected photos, folders of photos or .txt lists, found no photo in them")
    return out


def _listed(path: Path) -> list[str]:
    """The lines of a list: names of files in the system's encoding, or in UTF-16, as PowerShell writes them."""
    data = path.read_bytes()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        data = os.fsencode(data.decode("utf-16", "replace"))
    if b"\0" in data:
        raise DinarError(f"{path}: expected a text file with a path on each line, got a binary file")
    lines = (line.strip() for line in data.removeprefix(codecs.BOM_UTF8).splitlines())
    return [local(os.fsdecode(line)) for line in lines if line]


def _may_be_photo(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and (is_address(name) or Path(name).is_file())


def is_ours(path: Path) -> bool:
    """Whether `dinar batch` or `dinar create` wrote the file, and no user."""
    if _is_named_ours(path.name, ()):
        return True
    if not path.name.endswith(PREVIEW):
        return False
    if path.with_name(path.name.removesuffix(PREVIEW) + ".avatar").exists():
        return True
    try:
        return open_picture(path).info.get("Software") == SOFTWARE
    except DinarError:
        return False


def _is_named_ours(name: str, previews: Collection[str]) -> bool:
    return name.endswith(".avatar") or name.startswith(MANIFEST) or name in previews  # sqlite has a journal beside it
