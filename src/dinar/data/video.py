"""Frames of a video file by number, each as often as the file delivers it.

Frames are counted by decoding them: recordings of browsers have no duration, and where rates vary a number of frames
says nothing about times.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np

from ..errors import DinarError
from ..ffmpeg import RESTRICTED, address

SQUARE = "scale=iw*sar:ih,setsar=1"  # pixels of anamorphic videos become square
MAX_PIXELS = 1 << 26  # of a frame; 8K has half of them


def count_frames(source: Path) -> int:
    """How many frames a video delivers."""
    with _opened(source, ["-vf", "scale=2:2"]) as (_, frames):
        return sum(1 for _ in frames)


def frame_rate(source: Path) -> tuple[int, float]:
    """How many frames a video delivers, and how many a second."""
    count = count_frames(source)
    with _opened(source) as (about, _):
        rate, seconds = float(about.get("fps") or 0), float(about.get("duration") or 0)
    if not count or not (rate > 0 or seconds > 0):
        raise DinarError(f"{source}: expected a video with a frame rate, got {count} frames of none")
    return count, count / seconds if seconds > 0 else rate


def video_frames(source: Path, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    """Number and picture [H, W, 3] uint8 of the wanted frames, upright, in the order of the video."""
    with _opened(source, ["-vf", SQUARE]) as (about, frames):
        width, height = about["size"]
        if width * height > MAX_PIXELS:
            raise DinarError(f"{source}: expected a video of at most {MAX_PIXELS >> 20} megapixels a frame, got "
                             f"{width} x {height}")  # fmt: skip
        last = max(wanted, default=-1)
        for k, frame in enumerate(frames):
            if k in wanted:
                yield k, np.frombuffer(frame, np.uint8).reshape(height, width, 3)
            if k >= last:
                return


@contextmanager
def _opened(source: Path, options: Sequence[str] = ()) -> Iterator[tuple[dict[str, Any], Iterator[bytes]]]:
    """What the file says, with the size of a frame, and all frames."""
    if not source.is_file():  # a pipe may never end
        raise DinarError(f"{source}: expected a video file, found {'a special file' if source.exists() else 'none'}")
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # it warns of sizes, also of videos on their side
    frames = imageio_ffmpeg.read_frames(address(source), input_params=[*RESTRICTED],
                                        output_params=[*_as_delivered(), *options])  # fmt: skip
    try:
        with closing(frames):
            about = next(frames)
            yield {**about, "size": tuple(about["size"])}, frames
    except (OSError, ValueError, KeyError, IndexError, RuntimeError, StopIteration):
        raise DinarError(f"{source}: expected a video, got another or a damaged file") from None


def _as_delivered() -> list[str]:
    """Options of ffmpeg that hand on every frame once."""
    version = re.search(r"(\d+)\.(\d+)", imageio_ffmpeg.get_ffmpeg_version())
    old = version is not None and (int(version[1]), int(version[2])) < (5, 1)
    return ["-vsync", "0"] if old else ["-fps_mode", "passthrough"]
