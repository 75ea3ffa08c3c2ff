"""Write frames as a video: .mp4 (H.264), .webm (VP9), .gif, or numbered PNG files with transparency."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from ..bounds import check_numbers
from ..errors import DinarError, escape
from ..ffmpeg import RESTRICTED, address
from ..files import check_output, replaced_input, replacing

_MP4 = (
    "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "libx264", "-crf", "18",
    "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-movflags", "+faststart",
)  # fmt: skip
FRAMES = "%04d.png"  # names of pictures in a folder
_NUMBERED = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")
_GIF = (
    "-filter_complex",
    "[0:v]split[a][b];[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=4",
)
_WEBM = (
    "-vf", "scale=out_color_matrix=bt709:out_range=tv,format=yuv420p", "-c:v", "libvpx-vp9", "-crf", "30", "-b:v", "0",
    "-deadline", "good", "-cpu-used", "4",
)  # fmt: skip
_SOUND = {".mp4": ("-c:a", "aac", "-b:a", "160k"), ".webm": ("-c:a", "libopus", "-b:a", "96k")}
_OPTIONS = {".mp4": _MP4, ".webm": _WEBM, ".gif": _GIF}  # of ffmpeg, by suffix


def write_video(
    path: str | Path,
    frames: Iterable[np.ndarray],  # each [H, W, 3] or [H, W, 4] uint8 sRGB, straight alpha
    fps: float,
    total: int | None = None,
    *,
    progress: bool = False,
    sound: str | Path | None = None,
) -> int:
    """Write frames as they come and return their number; a failure or Ctrl-C leaves no part of a file.

    The suffix chooses: ``.mp4``, ``.webm``, ``.gif``, a pattern such as ``shot_%04d.png``, or none for a folder of
    ``0000.png, 0001.png, ...``. PNG keeps transparency; in the others the background is white. ``total`` is for the
    progress bar only. ``sound``: a file whose sound goes into an .mp4 or .webm file.
    """
    path = Path(path)
    check_numbers(fps=fps)
    checked = _progress(_checked(frames), total, path.name) if progress else _checked(frames)
    check_video(path)
    if path.suffix:
        folder, pattern = path.parent, path.name
    else:
        folder, pattern = path, FRAMES
    if path.suffix.lower() in _OPTIONS:
        with replacing(path) as temp:
            return _encode(temp, checked, fps, _OPTIONS[path.suffix.lower()], _heard(path, sound))
    with replacing(folder, folder=True) as temp:
        n = 0
        for frame in checked:
            Image.fromarray(frame).save(temp / (pattern % n), compress_level=4)
            n += 1
        if not n:
            raise DinarError("expected at least one frame, got none")
        return n


def check_video(path: str | Path, inputs: Sequence[str | Path] = ()) -> None:
    """Refuse what :func:`write_video` cannot write, and what would replace an input, before the work begins."""
    path = Path(path)
    numbered = path.suffix.lower() == ".png" and _NUMBERED.fullmatch(path.name)
    if path.suffix and not numbered and path.suffix.lower() not in _OPTIONS:
        raise DinarError(f"expected a name like x.mp4, x.webm, x.gif, x_%04d.png or a folder, got {path.name}")
    if numbered or not path.suffix:
        folder, pattern = (path.parent, path.name) if numbered else (path, FRAMES)
        check_output(folder, () if numbered else inputs, folder=True)
        name = re.compile(re.escape(re.sub(r"%0?\d*d", "\0", pattern)).replace("\0", r"\d+"))
        there = [p for p in folder.iterdir() if name.fullmatch(p.name)] if folder.is_dir() else []
        if lost := replaced_input(there, inputs):
            raise DinarError(f"cannot write {lost}: it is an input. Give another output")
    else:
        check_output(path, inputs)


def _checked(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """The frames as C-contiguous arrays; a frame of another shape than the first is an error."""
    shape = None
    for n, frame in enumerate(frames):
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] not in (3, 4) or 0 in frame.shape:
            raise DinarError(f"expected frames [H, W, 3 or 4] uint8, got {list(frame.shape)} {frame.dtype}")
        shape = shape or frame.shape
        if frame.shape != shape:
            raise DinarError(f"expected frames of one size, got {list(frame.shape)} after {n} of {list(shape)}")
        yield np.ascontiguousarray(frame)


def _opaque(frame: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8 over white, padded to even sizes (required by yuv420p) with its edge pixels."""
    if frame.shape[2] == 4:
        a = frame[..., 3:].astype(np.uint16)
        frame = ((frame[..., :3] * a + 255 * (255 - a) + 127) // 255).astype(np.uint8)
    H, W = frame.shape[:2]
    return np.pad(frame, ((0, H % 2), (0, W % 2), (0, 0)), mode="edge") if H % 2 or W % 2 else frame


def _heard(path: Path, sound: str | Path | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Options of ffmpeg before and after the video's own: the sound's file, and its codec."""
    if sound is None or path.suffix.lower() not in _SOUND:
        return (), ()
    codec = _SOUND[path.suffix.lower()]
    before = (*RESTRICTED, "-i", address(sound))
    return before, ("-map", "0:v", "-map", "1:a", *codec, "-shortest")


def _encode(
    path: Path,
    frames: Iterator[np.ndarray],
    fps: float,
    options: tuple[str, ...],
    sound: tuple[tuple[str, ...], tuple[str, ...]],  # of _heard
) -> int:
    """Pipe frames to ffmpeg and return their number.

    Raises:
        DinarError: ffmpeg failed; the message contains its last line.
    """
    first = next(frames, None)
    if first is None:
        raise DinarError("expected at least one frame, got none")
    first = _opaque(first)
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24",
        "-s", f"{first.shape[1]}x{first.shape[0]}", "-r", f"{fps:.6g}", "-i", "pipe:", *sound[0], *options, *sound[1],
        address(path),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as log:
        # A session of its own: Ctrl-C reaches this process only, which then stops ffmpeg and removes the file.
        pipe = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, start_new_session=os.name == "posix")
        assert pipe.stdin
        n = 0
        try:
            broken = False
            try:
                pipe.stdin.write(first)
                n = 1
                for frame in frames:
                    pipe.stdin.write(_opaque(frame))
                    n += 1
                pipe.stdin.close()
            except BrokenPipeError:  # ffmpeg has gone: it says why in the log
                broken = True
            status = pipe.wait()
        finally:
            if pipe.poll() is None:
                pipe.kill()
                pipe.wait()
        if status or broken:
            log.seek(0)
            lines = [l for l in log.read().decode(errors="replace").splitlines() if l.strip()]
            raise DinarError(f"ffmpeg could not write the video: {lines[-1].strip() if lines else f'status {status}'}")
    return n


def _progress(frames: Iterator[np.ndarray], total: int | None, name: str) -> Iterator[np.ndarray]:
    from rich.markup import escape as plain
    from rich.progress import track

    return iter(track(frames, description=plain(escape(name)), total=total))
