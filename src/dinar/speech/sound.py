"""Sounds of files, and what the viseme network hears of them."""

from __future__ import annotations

import subprocess
from functools import lru_cache
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from ..errors import DinarError, escape
from ..ffmpeg import RESTRICTED, address

RATE = 16_000  # samples a second
HOP, WINDOW = 160, 400  # samples: 10 and 25 ms
FPS = RATE // HOP  # frames a second
BANDS, LOWEST, HIGHEST = 40, 60.0, 7600.0  # mel bands and their range in Hz
SILENCE = 1e-9  # power of a sound; below it there is nothing to hear
FLOOR = 1e-7  # of the voice's power: what is softer is not told apart
LOUD = 0.9  # quantile of the frames' level that counts as the voice's
MAX_SECONDS = 600  # longer sounds are refused
PATIENCE = 60  # seconds for the decoder


def read_sound(path: str | Path) -> np.ndarray:
    """Samples [N] float32 in [-1, 1] at ``RATE``, one channel, of any sound (or video) that ffmpeg reads.

    Raises:
        DinarError: there is no such file, it holds no sound, or it is longer than ``MAX_SECONDS``.
    """
    path = Path(path)
    if not path.is_file():
        raise DinarError(f"{escape(str(path))}: expected a sound file, found none")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", *RESTRICTED, "-i", address(path),
        "-vn", "-t", str(MAX_SECONDS + 1), "-ac", "1", "-ar", str(RATE), "-f", "f32le", "pipe:",
    ]  # fmt: skip
    try:
        out = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).stdout
    except subprocess.TimeoutExpired:
        raise DinarError(f"{escape(str(path))}: expected a sound that is decoded within {PATIENCE} s; "
                         "save it as a wav file") from None  # fmt: skip
    x = np.frombuffer(out[: len(out) // 4 * 4], np.float32)
    if len(x) < WINDOW:
        raise DinarError(f"{escape(str(path))}: expected a sound (wav, mp3, ogg, m4a, flac or a video with one), got "
                         "another or a damaged file, or less than 25 ms")  # fmt: skip
    if len(x) > MAX_SECONDS * RATE:
        raise DinarError(f"{escape(str(path))}: expected at most {MAX_SECONDS // 60} minutes of sound, got more; "
                         "cut it into parts")  # fmt: skip
    return np.clip(np.nan_to_num(x), -1, 1)


def mel(samples: np.ndarray) -> np.ndarray:
    """[T, BANDS + 1] float32 at ``FPS``, T = N / HOP rounded up: logarithms of the power in mel bands without each
    band's mean over the voice (microphones differ), and that of the whole power against the voice's."""
    n = -(-len(samples) // HOP)
    padded = np.pad(samples, (WINDOW // 2, WINDOW + n * HOP - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: n * HOP : HOP]
    loudness = (frames**2).mean(1)
    voice = max(float(np.quantile(loudness, LOUD)), SILENCE)
    emphasised = frames - 0.97 * np.roll(frames, 1, 1)
    power = np.abs(np.fft.rfft(emphasised * np.hanning(WINDOW), 512)) ** 2 / (WINDOW * voice)
    bands = np.log10(power @ _filters().T + FLOOR)
    level = np.log10(loudness / voice + FLOOR)
    spoken = level > -2
    if spoken.any():
        bands = bands - bands[spoken].mean(0)
    return np.column_stack([bands, level]).astype(np.float32)


@lru_cache(maxsize=1)
def _filters() -> np.ndarray:
    """[BANDS, 257] triangles, equally wide on the mel scale."""
    to_mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    points = 700 * (10 ** (np.linspace(to_mel(LOWEST), to_mel(HIGHEST), BANDS + 2) / 2595) - 1)
    f = np.fft.rfftfreq(512, 1 / RATE)
    rising = (f - points[:-2, None]) / np.diff(points)[:-1, None]
    falling = (points[2:, None] - f) / np.diff(points)[1:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
