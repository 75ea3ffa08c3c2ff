"""Videos as people bring them: no duration, varying rates, on their side, damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from dinar.data.frames import read_frames
from dinar.data.video import count_frames, video_frames
from dinar.errors import DinarError

CASES = Path(__file__).parents[2] / "shared/cases"
SIZE, GREYS = 64, (20, 60, 100, 140, 180, 220)


def video(path: Path, *options: str) -> Path:
    """Six grey frames of 64 x 32 pixels, brighter and brighter."""
    frames = b"".join(bytes([g]) * (SIZE * SIZE // 2) for g in GREYS)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "gray", "-s",
               f"{SIZE}x{SIZE // 2}", "-r", "5", "-i", "-", *options, str(path)]  # fmt: skip
    subprocess.run(command, input=frames, check=True)
    return path


KINDS = {
    "plain.mp4": ("-pix_fmt", "yuv420p"),
    "recorder.webm": ("-c:v", "libvpx", "-live", "1", "-f", "webm"),  # no duration, as MediaRecorder writes it
    "varying.mkv": ("-vf", "setpts=N*N*0.3/TB", "-fps_mode", "passthrough", "-c:v", "mjpeg"),  # 0, .3, 1.2 ... 7.5 s
}


@pytest.mark.parametrize("name", KINDS)
def test_delivered_frames_are_spread_to_the_end(tmp_path: Path, name: str) -> None:
    path = video(tmp_path / name, *KINDS[name])
    assert count_frames(path) == len(GREYS)
    frames = dict(video_frames(path, range(6)))
    assert [abs(float(f.mean()) - g) < 12 for f, g in zip(frames.values(), GREYS, strict=True)] == [True] * 6
    assert [n for n, _ in read_frames(path, 3, tmp_path)] == ["00000", "00002", "00004"]
    assert [k for k, _ in video_frames(path, [5])] == [5] and not list(video_frames(path, [6]))


def test_others_are_refused_in_one_line(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4")
    for data in (b"", b"no video", path.read_bytes()[:300], b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n"):
        path.write_bytes(data)
        with pytest.raises(DinarError, match="expected a video, got another or a damaged file"):
            list(read_frames(path, 3, tmp_path))


@pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of real users (../shared/cases) are not here")
@pytest.mark.parametrize(
    "name", ["video/recorder.webm", "video/plain.mp4", "video/rotated.mp4", "hostile/single-video.mp4"]
)
def test_cases_of_users(tmp_path: Path, name: str) -> None:
    frames = dict(video_frames(CASES / name, range(10)))
    assert list(frames) == list(range(10)) and frames[0].dtype == np.uint8
    assert frames[0].shape == ((120, 160, 3) if "single" in name else (400, 300, 3))  # rotated.mp4 is stood up
