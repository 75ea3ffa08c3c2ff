"""Outputs: what may be written, and that nothing of the user's is replaced."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from dinar import files
from dinar.cli import main
from dinar.errors import DinarError
from dinar.files import check_output, check_outputs, replacing, staging


def same_names(path: Path) -> dict[str, Path]:
    """Other names of a file."""
    folder = path.parent
    (folder / "soft").symlink_to(path)
    os.link(path, folder / "hard")
    (folder / "loop").symlink_to(folder)
    return {"itself": path, "spelling": folder / "." / path.name, "link": folder / "soft", "hard link": folder / "hard",
            "folder link": folder / "loop" / path.name, "relative": Path(os.path.relpath(path))}  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_an_input_is_no_output(tmp_path):
    (tmp_path / "me.jpg").write_bytes(b"photo")
    for name in same_names(tmp_path / "me.jpg").values():
        with pytest.raises(DinarError, match="is an input"):
            check_output(name, [tmp_path / "other.jpg", tmp_path / "me.jpg"])
    check_output(tmp_path / "new.jpg", [tmp_path / "me.jpg"])
    check_output(tmp_path / "soft", [])


def test_another_case_is_the_same_file_where_the_file_system_says_so(tmp_path, monkeypatch):
    (tmp_path / "me.jpg").write_bytes(b"photo")
    lower = lambda p: str(p).lower()  # noqa: E731
    monkeypatch.setattr(os.path, "samefile", lambda a, b: lower(a) == lower(b))
    with pytest.raises(DinarError, match="is an input"):
        check_output(tmp_path / "ME.JPG", [tmp_path / "me.jpg"])


def test_two_outputs_are_two_files(tmp_path):
    with pytest.raises(DinarError, match="different outputs"):
        check_outputs([(tmp_path / "a.png", ()), (tmp_path / "." / "a.png", ())])
    check_outputs([(tmp_path / "a.png", ()), (tmp_path / "b.png", ())])


def test_suffixes(tmp_path):
    for name in ("me", "me.fbx", "me.glb.txt"):
        with pytest.raises(DinarError, match=r"\.glb or \.vrm"):
            check_output(tmp_path / name, suffixes=(".glb", ".vrm"))
    check_output(tmp_path / "ME.GLB", suffixes=(".glb", ".vrm"))


def special_files(folder: Path) -> dict[str, Path]:
    """A pipe, a socket and, for root, the null device under another name."""
    os.mkfifo(folder / "pipe.png")
    out = {"a pipe": folder / "pipe.png", "a folder": folder / "folder.png"}
    out["a folder"].mkdir()
    where = os.getcwd()
    os.chdir(folder)  # addresses are short
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("socket.png")
    os.chdir(where)
    out["a socket"] = folder / "socket.png"
    if os.geteuid() == 0:
        try:
            os.mknod(folder / "device.png", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
            out["a device"] = folder / "device.png"
        except OSError:  # not in every container
            pass
    return out


@pytest.mark.skipif(os.name != "posix", reason="there are none elsewhere")
def test_special_files_are_no_outputs(tmp_path):
    for kind, path in special_files(tmp_path).items():
        before = os.lstat(path)
        with pytest.raises(DinarError, match=f"it is {kind}"):
            check_output(path)
        with pytest.raises(DinarError, match=f"it is {kind}"), replacing(path) as temp:
            temp.write_bytes(b"x")
        (path.parent / f"{path.stem}.link").symlink_to(path)
        with pytest.raises(DinarError, match=f"it is {kind}"):
            check_output(path.parent / f"{path.stem}.link")
        if kind != "a folder":
            with pytest.raises(DinarError, match=f"it is {kind}"):
                check_output(path, folder=True)
        assert os.lstat(path).st_mode == before.st_mode


def test_folders(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    check_output(tmp_path / "new" / "er", folder=True)
    assert not (tmp_path / "new").exists()
    for path in (tmp_path / "file", tmp_path / "file" / "in"):
        with pytest.raises(DinarError, match="cannot write"):
            check_output(path, folder=True)
    with pytest.raises(DinarError, match="there is no folder"):
        check_output(tmp_path / "new" / "a.png")
    with pytest.raises(DinarError, match="cannot write"):
        check_output(tmp_path / ("x" * 4000))


COMMANDS = {
    "create": ("create", "me.jpg", "-o", "me.jpg"),
    "create --preview": ("create", "me.preview.png", "-o", "me.avatar"),
    "create --save-fit": ("create", "me.jpg", "--fit", "fit.npz", "--save-fit", "fit.npz"),
    "create --save-fit FIT": ("create", "me.jpg", "--save-fit", "fit"),
    "render": ("render", "me.avatar", "-o", "me.avatar"),
    "render x": ("render", "me.avatar", "-o", "x"),
    "turntable": ("turntable", "me.avatar", "-o", "me.avatar"),
    "turntable mp4": ("turntable", "me.mp4", "-o", "me.mp4"),
    "animate": ("animate", "me.avatar", "-o", "me.gif", "--motion", "me.gif"),
    "export": ("export", "me.avatar", "-o", "me.avatar"),
    "export glb": ("export", "me.avatar", "-o", "me.glb", "--motion", "me.glb"),
    "export fbx": ("export", "me.avatar", "-o", "me.xyz"),
    "segment": ("segment", "me.png", "-o", "me.png"),
    "segment --labels": ("segment", "me.jpg", "-o", "x.png", "--labels", "x.png"),
    "batch": ("batch", "me.jpg", "-o", "me.jpg"),
    "fit": ("fit", "me.jpg", "-o", "me.jpg"),
    "synthesize": ("synthesize", "--backgrounds", "folder", "-o", "folder"),
    "synthesize --sheet": ("synthesize", "--sheet", "-o", "x"),
    "train": ("train", "parser", "--data", "folder", "--run", "folder"),
    "evaluate": ("evaluate", "views", "folder", "-o", "folder"),
    "demo": ("demo", "me.jpg", "-o", "me.jpg"),
    "demo into its folder": ("demo", "preview.png", "-o", "."),
    "alive": ("alive", "me.gif", "-o", "me.gif"),
    "alive, pictures": ("alive", "shot_0001.png", "-o", "shot_%04d.png"),
    "alive, a folder": ("alive", "pictures/0000.png", "-o", "pictures"),
    "animate x": ("animate", "me.avatar", "-o", "me.xyz"),
    "animate --speech": ("animate", "me.avatar", "-o", "me.mp4", "--speech", "me.mp4"),
    "view": ("view", "me.avatar", "--html", "me.avatar"),
    "view --photo": ("view", "me.avatar", "--html", "me.html", "--photo", "me.html"),
    "view x": ("view", "me.avatar", "--html", "me.xyz"),
    "serve": ("serve", "--no-open", "--port", "0", "-o", "me.jpg"),
    "fit --masks": ("fit", "masks", "-o", ".", "--masks"),
    "evaluate renders": ("evaluate", "renders", "pictures/other", "truth", "-o", ".", "--crop", "full"),
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_writes_over_its_input(name, tmp_path, monkeypatch, capsys):
    """Before any work: the inputs here are no photos and no avatars, which would be another error."""
    for file in ("me.jpg", "me.png", "me.preview.png", "me.avatar", "me.mp4", "me.gif", "me.glb", "fit.npz", "fit",
                 "me.html", "preview.png", "shot_0001.png", "pictures/0000.png", "pictures/other/0.png", "truth/0.png",
                 "masks/me.png"):  # fmt: skip
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(file.encode())
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as e:
        main(list(COMMANDS[name]))
    said = capsys.readouterr().err.splitlines()
    assert e.value.code == 1 and len(said) == 1
    assert said[0].startswith(("dinar: cannot write", "dinar: expected different outputs", "dinar: expected a name"))
    there = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert all(p.read_bytes() == str(p.relative_to(tmp_path)).encode() for p in there) and len(there) == 16
    assert not list((tmp_path / "folder").iterdir()) and not (tmp_path / "x").exists()


def test_an_avatar_does_not_replace_what_it_was_made_from(avatar, tmp_path):
    avatar.save(tmp_path / "me.avatar")
    loaded = type(avatar).load(tmp_path / "me.avatar", avatar.body)
    (tmp_path / "me.glb").symlink_to("me.avatar")
    for write in (lambda: loaded.save(tmp_path / "me.avatar"), lambda: loaded.export(tmp_path / "me.glb"),
                  lambda: avatar.save(tmp_path / "me.jpg"), lambda: avatar.export(tmp_path / "me.fbx2")):  # fmt: skip
        with pytest.raises(DinarError, match="cannot write"):
            write()
    loaded.save(tmp_path / "you.avatar")
    assert (tmp_path / "you.avatar").read_bytes() == (tmp_path / "me.avatar").read_bytes()


def test_a_folder_is_staged_inside_of_itself(tmp_path):
    """It may be a mount point, beside which nothing can be renamed into it."""
    (tmp_path / "shots").mkdir()
    with replacing(tmp_path / "shots", folder=True) as temp:
        assert temp.parent == tmp_path / "shots"
        (temp / "0.png").write_bytes(b"x")
    assert [p.name for p in (tmp_path / "shots").iterdir()] == ["0.png"]


@pytest.mark.skipif(os.name != "posix", reason="process numbers cannot be asked for elsewhere")
def test_staging_folders_of_killed_runs_are_removed(tmp_path):
    code = "import os, sys; from dinar.files import staging\nwith staging(sys.argv[1]) as t: os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    other = tmp_path / ".dinar-00000000-1-abc"  # of another machine
    other.mkdir()
    assert len(list(tmp_path.iterdir())) == 2
    files.remove_stale.cache_clear()
    with staging(tmp_path) as temp:
        assert set(tmp_path.iterdir()) == {temp, other}
        files.remove_stale.cache_clear()
        with staging(tmp_path) as second:  # what is in use stays
            assert set(tmp_path.iterdir()) == {temp, other, second}
        os.utime(other, (0, 0))
        files.remove_stale.cache_clear()
        with staging(tmp_path):
            assert not other.exists()
    other.mkdir()
    os.utime(other, (0, 0))
    files.remove_stale.cache_clear()
    check_output(tmp_path / "shots", folder=True)  # also where nothing is left to be written
    assert not other.exists()


@pytest.mark.skipif(os.name != "posix", reason="process numbers cannot be asked for elsewhere")
def test_what_a_new_folder_was_staged_in_is_removed_when_it_is_there(tmp_path):
    """By the run after one that was killed while it moved files into the folder."""
    code = """import os, sys
from dinar.files import replacing
with replacing(sys.argv[1], folder=True) as t:
    (t / "0.png").write_bytes(b"x")
    os.mkdir(sys.argv[1])
    os.kill(os.getpid(), 9)"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "frames")])
    assert sorted(p.name[:7] for p in tmp_path.iterdir()) == [".dinar-", "frames"]
    files.remove_stale.cache_clear()
    check_output(tmp_path / "frames", folder=True)
    assert [p.name for p in tmp_path.iterdir()] == ["frames"]
