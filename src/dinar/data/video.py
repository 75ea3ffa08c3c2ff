"""Frames of a video file by number, each as often as the file delivers it.

Frames are counted by decoding them: recordings of browsers have no duration, and where rates vary a number of frames
says nothing about times.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np

from ..errors import DinarError

MAX_PIXELS = 1 << 26  # of a frame; 8K has half of them


def count_frames(source: Path) -> int:
    """How many frames a video delivers."""
    with _damage_refused(source):
        return imageio_ffmpeg.count_frames_and_secs(str(source))[0] or 0


def video_frames(source: Path, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Number and picture [H, W, 3] uint8 of the wanted frames, upright, in the order of the video."""
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns of videos that are stored on their side
    with _damage_refused(source):
        width, height = iio.immeta(source, plugin="FFMPEG")["size"]
        if width * height > MAX_PIXELS:
            raise DinarError(f"{source}: expected a video of at most {MAX_PIXELS >> 20} megapixels a frame, got "
                             f"{width} x {height}")  # fmt: skip
        last = max(wanted, default=-1)
        for k, frame in enumerate(iio.imiter(source, plugin="FFMPEG", output_params=_as_delivered())):
            if k in wanted:
                yield k, frame
            if k >= last:
                return


@contextmanager
def _damage_refused(source: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, StopIteration):
        raise DinarError(f"{source}: expected a video, got another or a damaged file") from None


def _as_delivered() -> list[str]:
    """Options of ffmpeg that hand on every frame once."""
    version = re.search(r"(\d+)\.(\d+)", imageio_ffmpeg.get_ffmpeg_version())
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ["-vsync", "0"] if old else ["-fps_mode", "passthrough"]
