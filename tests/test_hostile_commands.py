"""The hostile files of public reports through the command line: one line, status 1, nothing outside of the output."""

from __future__ import annotations

from pathlib import Path

import pytest

from dinar.avatar import Avatar
from dinar.cli import main

CASES = Path(__file__).parents[2] / "shared" / "cases" / "hostile"
NANO = ("--run", "OUT", "--preset", "nano", "--steps", "1", "--holdout", "0")

# For each the words of a command; CASE, AVATAR, PHOTO and OUT are paths.
COMMANDS = {
    "avatar-betas-float64.avatar": ("render", "CASE", "-o", "OUT.png"),
    "avatar-camera-null.avatar": ("export", "CASE", "-o", "OUT.glb"),
    "avatar-renderer-blocks.avatar": ("view", "CASE", "--html", "OUT.html"),
    "avif-damaged.jpg": ("create", "CASE", "-o", "OUT.avatar"),
    "bvh-escape.bvh": ("render", "AVATAR", "-o", "OUT.png", "--pose", "CASE"),
    "fit-1e300.npz": ("create", "PHOTO", "-o", "OUT.avatar", "--fit", "CASE"),
    "fit-is-npy.npz": ("create", "PHOTO", "-o", "OUT.avatar", "--fit", "CASE"),
    "keypoints-deep.json": ("segment", "PHOTO", "-o", "OUT.png", "--keypoints", "CASE"),
    "keypoints-empty.npz": ("segment", "PHOTO", "-o", "OUT.png", "--keypoints", "CASE"),
    "label-map-eps.png": ("segment", "PHOTO", "-o", "OUT.png", "--label-map", "CASE"),
    "motion-bomb-68kB-to-7.6GB.npz": ("animate", "AVATAR", "-o", "OUT.mp4", "--motion", "CASE"),
    "motion-fps-tiny.npz": ("animate", "AVATAR", "-o", "OUT.mp4", "--motion", "CASE"),
    "npz-zlib.npz": ("create", "PHOTO", "-o", "OUT.avatar", "--keypoints", "CASE"),
    "pickle-laughs.pkl": ("export", "AVATAR", "-o", "OUT.glb", "--motion", "CASE"),
    "pickle-tuple-hash.pkl": ("alive", "PHOTO", "-o", "OUT.mp4", "--motion", "CASE"),
    "set-empty-picture": ("train", "avatar", "--data", "CASE", *NANO),
    "set-path-traversal": ("evaluate", "views", "CASE", "-o", "OUT", "--people", "1"),
    "shards-negative-size": ("evaluate", "ablation", "CASE", "-o", "OUT", "--people", "1"),
    "single-video.mp4": ("fit", "CASE", "-o", "OUT", "--frames", "3"),  # of a test pattern: there is nobody in it
    "weights-empty-renderer-config": ("create", "PHOTO", "-o", "OUT.avatar", "--renderer", "neural", "--weights",
                                      "CASE"),
}  # fmt: skip


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
def test_every_hostile_file_has_its_command() -> None:
    assert {p.name for p in CASES.iterdir()} == {*COMMANDS}


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
@pytest.mark.parametrize("name", COMMANDS)
def test_hostile_files_are_refused(name: str, avatar: Avatar, demo_photo: Path, tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    home.mkdir()
    avatar.save(home / "me.avatar")
    places = {"CASE": CASES / name, "AVATAR": home / "me.avatar", "PHOTO": demo_photo, "OUT": home / "out"}
    words = [w if w.split(".")[0] not in places else w.replace(k := w.split(".")[0], str(places[k]))
             for w in COMMANDS[name]]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(words)
    said = capsys.readouterr().err.splitlines()
    lines = [line for line in said if line.startswith("dinar: ")]
    assert stop.value.code == 1 and len(lines) == 1 and "unexpected" not in lines[0] and len(lines[0]) <= 310
    assert all(line.isprintable() for line in said)
    assert {p.name for p in home.iterdir()} <= {"me.avatar", "out"} and {*tmp_path.iterdir()} == {home}
