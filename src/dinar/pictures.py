"""Picture files: which formats are read, how they are opened within bounds, and how arrays are written.

Files are read and written as bytes: OpenCV takes only names in UTF-8 and crashes at others.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from .errors import DinarError
from .files import PICTURES, check_output, replacing

# Pillow's names, and their suffixes. Not EPS, PDF and the like, which Pillow hands to other programs.
FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe"), "MPO": (".mpo",), "PNG": (".png", ".apng"), "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"), "BMP": (".bmp", ".dib"), "GIF": (".gif",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"), "AVIF": (".avif",),
}  # fmt: skip
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

SOFTWARE = "dinar"  # in every png that is written: `dinar batch` knows its previews by it
LEVEL = 3  # of zlib: half the time of the default 6, 7 % larger
MAX_PIXELS = 200_000_000  # refused above; 12,000 x 12,000 fits
MAX_BYTES = 1 << 31  # of a file; MAX_PIXELS of 16 bit and four channels take 1.6 GB
MAX_SCANS = 100  # of a JPEG: each is a pass over all pixels; libjpeg's own progressions have 10
MAX_EXTRA = 1 << 25  # bytes before the pixels of a JPEG: Pillow's time is quadratic in them; phones write up to 8 MB
MAX_COMMENTS = 1 << 20  # bytes of a GIF's comments, likewise
PPM_HEADER = 4096  # bytes that hold a PPM's header: Pillow reads it byte by byte

_HEIC = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within a JPEG's scan
_open_lock = Lock()
_quiet_lock = Lock()
_quiet_blocks = 0  # that threads are in
_stderr: int | None = None  # a copy of the descriptor, while there are any


@contextmanager
def quiet() -> Iterator[None]:
    """In the block, C libraries write nothing to stderr: they describe the damage that we report in one line, or what
    they are doing. The descriptor belongs to the process, so other threads write nothing either."""
    global _quiet_blocks, _stderr
    with _quiet_lock:
        if not _quiet_blocks:
            _stderr = _without_stderr()
        _quiet_blocks += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_blocks -= 1
            if not _quiet_blocks and _stderr is not None:
                os.dup2(_stderr, 2)
                os.close(_stderr)


def _without_stderr() -> int | None:
    """Point descriptor 2 to nowhere; a copy of it, None where it is closed."""
    try:
        copy, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    except OSError:
        return None
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return copy


def open_picture(path: str | Path) -> Image.Image:
    """The picture with its header read, or a DinarError that says why not; for :func:`decoding`."""
    path = Path(path)
    data = read_bytes(path)
    if data[4:8] == b"ftyp" and data[8:12] in _HEIC and b"avif" not in data[8 : int.from_bytes(data[:4], "big")]:
        raise DinarError(f"{path} is a HEIC photo, which dinar does not read: "
                         "export it as JPEG or PNG first (or set the phone's camera to 'Most compatible')")  # fmt: skip
    _check_time(path, data)
    with _open_lock:  # Pillow's limit is a module variable; ours is checked here, with a clearer message
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            Image.init()
            with quiet():
                image = Image.open(io.BytesIO(data), formats=[f for f in FORMATS if f in Image.OPEN])
        except UnidentifiedImageError as e:
            raise DinarError(f"{path} is not an image that dinar reads: expected JPEG, PNG, WebP, TIFF or BMP") from e
        except Exception as e:  # every decoder has its own
            raise DinarError(f"{path} is damaged: expected a complete image file") from e
        finally:
            Image.MAX_IMAGE_PIXELS = limit
    if image.width * image.height > MAX_PIXELS:
        raise DinarError(f"{path} is too large: {image.width} x {image.height} px; expected at most "
                         f"{MAX_PIXELS // 1_000_000} megapixels. Scale it down first")  # fmt: skip
    return image


@contextmanager
def decoding(path: str | Path, image: Image.Image) -> Iterator[None]:
    """Whatever decoders raise in the block becomes one sentence, and what they print is lost."""
    try:
        with quiet():
            yield
    except DinarError:
        raise
    except MemoryError as e:
        raise DinarError(f"{path}: not enough memory for {image.width} x {image.height} px. Scale it down first") from e
    except Exception as e:
        raise DinarError(f"{path} is damaged or truncated: expected a complete image file") from e


def read_bytes(path: Path) -> bytes:
    """The content of a regular file that may be a picture."""
    try:
        mode, size = (s := os.stat(path)).st_mode, s.st_size
        if stat.S_ISDIR(mode):
            raise DinarError(f"{path} is a folder: expected an image file")
        if not stat.S_ISREG(mode):
            raise DinarError(f"{path} is a pipe or a device: expected an image file")
        if size > MAX_BYTES:
            raise DinarError(f"{path} is too large: {size / 2**30:.1f} GiB; expected at most {MAX_BYTES >> 30} GiB")
        data = path.read_bytes() if size else b""  # files of /proc have none, and may never end
    except (FileNotFoundError, ValueError) as e:  # the latter: a name with a zero byte
        raise DinarError(f"{path} does not exist: expected an image file") from e
    except OSError as e:
        raise DinarError(f"{path} cannot be read: {e.strerror or e}") from e
    if not data:
        raise DinarError(f"{path} is empty: expected an image file")
    return data


def read_array(path: str | Path, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray | None:
    """OpenCV's array (BGR) of a picture in one of :data:`FORMATS`; None where there is none or it is damaged."""
    try:
        open_picture(path)
        return decode_array(read_bytes(Path(path)), flags)
    except DinarError:
        return None


def decode_array(data: bytes, flags: int = cv2.IMREAD_UNCHANGED, size: tuple[int, int] | None = None
                 ) -> np.ndarray | None:  # fmt: skip
    """OpenCV's array of a picture in memory; None where it is damaged, or not of ``size`` (height, width).

    The size is read from the header: a larger picture is never unpacked.
    """
    try:
        if size is not None and Image.open(io.BytesIO(data), formats=["JPEG", "PNG"]).size[::-1] != size:
            return None
        with quiet():
            return cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except Exception:  # every decoder has its own
        return None


def write_array(path: Path, image: np.ndarray, options: Sequence[int] = ()) -> None:
    """Write OpenCV's array (grey or BGR) by the suffix; not atomic, see :func:`dinar.files.replacing`."""
    _, data = cv2.imencode(path.suffix, image, options)
    path.write_bytes(data.tobytes())


def write_picture(path: Path, image: np.ndarray) -> None:  # [H, W(, 3 or 4)] uint8 RGB
    """Write png, with our name in it, or jpg, by the suffix; not atomic, see :func:`dinar.files.replacing`."""
    mark = PngInfo()
    mark.add_text("Software", SOFTWARE)
    options: dict[str, Any] = {"pnginfo": mark, "compress_level": LEVEL} if path.suffix.lower() == ".png" else {}
    Image.fromarray(image).save(path, **options)


def write_image(path: str | Path, image: np.ndarray) -> None:
    """Write [H, W, 3 or 4] uint8 as PNG or JPEG, by the suffix; never a part of it."""
    check_output(path, suffixes=PICTURES)
    with replacing(path) as temporary:
        write_picture(temporary, image)


def _check_time(path: Path, data: bytes) -> None:
    """Refuse what would keep Pillow busy for minutes."""
    if data[:2] == b"\xff\xd8":
        extra, scans = _jpeg_parts(data)
        if scans > MAX_SCANS:
            raise DinarError(f"{path} has more than {MAX_SCANS} scans: expected a JPEG as cameras write it; "
                             "save it again with another program")  # fmt: skip
        if extra > MAX_EXTRA:
            raise DinarError(f"{path} has more than {MAX_EXTRA >> 20} MiB of metadata: save it without")
    elif data[:3] == b"GIF" and _gif_comments(data) > MAX_COMMENTS:
        raise DinarError(f"{path} has more than {MAX_COMMENTS >> 20} MiB of comments: save it without")
    elif re.match(rb"P[1-7FfyM]", data) and len(data) > PPM_HEADER and len(_words(data[:PPM_HEADER])) < 4:
        raise DinarError(f"{path} has a header of more than {PPM_HEADER} bytes: save it without comments")


def _words(header: bytes) -> list[bytes]:
    """Of a PPM, without comments: kind, width, height, largest value."""
    return re.sub(rb"#[^\r\n]*([\r\n]|$)", b" ", header).split()


def _jpeg_parts(data: bytes) -> tuple[int, int]:
    """Bytes of the segments before the first scan, and the number of scans (counted a little beyond MAX_SCANS)."""
    at, extra, scans = 2, 0, 0
    while scans <= MAX_SCANS and extra <= MAX_EXTRA:
        marker = _NEXT_MARKER.search(data, at)
        if marker is None or data[marker.start() + 1] == 0xD9 or marker.end() + 2 > len(data):
            break
        length = int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        at = marker.end() + max(2, length)
        scans += data[marker.start() + 1] == 0xDA
        extra += length if not scans else 0
    return extra, scans


def _gif_comments(data: bytes) -> int:
    """Bytes of the extensions before the first picture (counted a little beyond MAX_COMMENTS)."""
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    start = at
    while at + 2 < len(data) and data[at] == 0x21 and at - start <= MAX_COMMENTS:
        at += 2
        while at < len(data) and data[at] and at - start <= MAX_COMMENTS:
            at += 1 + data[at]
        at += 1
    return at - start
