"""Videos as people bring them: no duration, varying rates, on their side, damaged."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from dinar.data.frames import find_clips, read_frames
from dinar.data.video import count_frames, video_frames
from dinar.errors import DinarError
from dinar.export import write_video

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


@pytest.mark.parametrize(("options", "shape", "red"), [
    (("-display_rotation", "90"), (64, 48), (-3, 2)), (("-display_rotation", "180"), (48, 64), (-3, -3)),
    (("-display_rotation", "270"), (64, 48), (2, -3)), ((), (48, 64), (2, 2)),
])  # fmt: skip
def test_frames_are_upright(tmp_path: Path, options: tuple[str, ...], shape: tuple[int, int], red: tuple[int, int]
                            ) -> None:  # fmt: skip
    frame = np.full((48, 64, 3), 90, np.uint8)
    frame[:10, :16] = 255, 0, 0
    write_video(tmp_path / "a.mp4", [frame] * 3, 5)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *options, "-i", str(tmp_path / "a.mp4"), "-c", "copy",
               str(tmp_path / "b.mp4")]  # fmt: skip
    subprocess.run(command, check=True)
    (_, found), *_ = video_frames(tmp_path / "b.mp4", [1])
    assert found.shape[:2] == shape and found[red][0] > 200 > 60 > found[red][2]


def test_pixels_become_square(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mp4", "-vf", "setsar=3/2", "-pix_fmt", "yuv420p")
    assert [f.shape for _, f in video_frames(path, [0])] == [(SIZE // 2, SIZE * 3 // 2, 3)]


def test_any_name_is_a_file_and_no_option_or_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = video(Path("a.mp4"))
    names = ["12:30 party.mp4", "-i.mp4", "100% %d \x1b[31m é.mp4", "concat:a.mp4|a.mp4"]
    names += [] if os.name != "posix" else [os.fsdecode(b"\xff\xfe.mp4")]
    for name in names:
        shutil.copy(path, name)
        assert len(list(read_frames(Path(name), 2, tmp_path))) == 2
        write_video(name, [f for _, f in video_frames(path, range(3))], 5)
        assert count_frames(Path(name)) == 3


def test_lists_of_other_files_are_no_videos(tmp_path: Path) -> None:
    """They would be read, wherever they lie."""
    video(tmp_path / "a.mp4")
    for text in ("ffconcat version 1.0\nfile a.mp4\n", "#EXTM3U\n#EXTINF:1,\na.mp4\n#EXT-X-ENDLIST\n"):
        for suffix in (".mp4", ".webm"):
            (tmp_path / f"list{suffix}").write_text(text)
            with pytest.raises(DinarError, match="expected a video, got another"):
                list(read_frames(tmp_path / f"list{suffix}", 2, tmp_path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DinarError, match="a special file"):
        count_frames(tmp_path / "pipe.mp4")
    with pytest.raises(DinarError, match="a special file"):
        find_clips(tmp_path / "pipe.mp4")
    with pytest.raises(DinarError, match="found no video"):
        find_clips(tmp_path)


def test_hidden_pictures_are_no_frames(tmp_path: Path) -> None:
    for name in ("._1.png", "1.png", "2.png", "._2.png"):
        (tmp_path / name).write_bytes(b"")
    assert [n for n, _ in read_frames(tmp_path, 9, tmp_path)] == ["1", "2"]


@pytest.mark.skipif(not CASES.is_dir(), reason="the inputs of real users (../shared/cases) are not here")
@pytest.mark.parametrize(
    "name", ["video/recorder.webm", "video/plain.mp4", "video/rotated.mp4", "hostile/single-video.mp4"]
)
def test_cases_of_users(tmp_path: Path, name: str) -> None:
    frames = dict(video_frames(CASES / name, range(10)))
    assert list(frames) == list(range(10)) and frames[0].dtype == np.uint8
    assert frames[0].shape == ((120, 160, 3) if "single" in name else (400, 300, 3))  # rotated.mp4 is stood up
