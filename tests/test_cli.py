"""The bad-input table through the command line: one line on stderr, a status that is not 0, nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

import dinar.commands
from dinar.avatar import Avatar
from dinar.cli import main
from dinar.commands.common import say
from dinar.commands.main import NAMES


def run(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> tuple[int, str]:
    """Exit status and the last line on stderr."""
    capsys.readouterr()
    try:
        main([str(a) for a in argv])
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    lines = [line for line in err.splitlines() if line.startswith("dinar: ")]
    assert len(lines) == (1 if status else 0), err
    return status, lines[-1] if lines else ""


def photo(demo: Path) -> np.ndarray:
    return np.asarray(Image.open(demo).convert("RGB"))


class Hostile:
    """A pickle that would leave a file behind if it were executed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


BAD_PHOTOS: dict[str, tuple[Callable[[Path, Path], Path], str]] = {}


def bad_photo(expect: str):
    def register(make: Callable[[Path, Path], Path]) -> Callable[[Path, Path], Path]:
        BAD_PHOTOS[make.__name__] = (make, expect)
        return make

    return register


@bad_photo("no person")
def no_person(demo: Path, tmp: Path) -> Path:
    rng = np.random.default_rng(0)
    Image.fromarray(cv2.resize(rng.integers(0, 255, (9, 7, 3), np.uint8), (480, 640))).save(tmp / "a.png")
    return tmp / "a.png"


@bad_photo("feet")
def upper_half(demo: Path, tmp: Path) -> Path:
    im = photo(demo)
    Image.fromarray(im[: im.shape[0] // 2]).save(tmp / "a.png")
    return tmp / "a.png"


@bad_photo("head")
def lower_half(demo: Path, tmp: Path) -> Path:
    im = photo(demo)
    Image.fromarray(im[im.shape[0] // 4 :]).save(tmp / "a.png")
    return tmp / "a.png"


@bad_photo("too small")
def tiny(demo: Path, tmp: Path) -> Path:
    Image.fromarray(cv2.resize(photo(demo), (20, 20))).save(tmp / "a.png")
    return tmp / "a.png"


@bad_photo("truncated")
def truncated(demo: Path, tmp: Path) -> Path:
    (tmp / "a.jpg").write_bytes(demo.read_bytes()[: demo.stat().st_size // 2])
    return tmp / "a.jpg"


@bad_photo("a.jpg")
def text(demo: Path, tmp: Path) -> Path:
    (tmp / "a.jpg").write_text("hello")
    return tmp / "a.jpg"


@bad_photo("is a folder: expected an image file")
def directory(demo: Path, tmp: Path) -> Path:
    (tmp / "d").mkdir()
    return tmp / "d"


@bad_photo("does not exist")
def missing(demo: Path, tmp: Path) -> Path:
    return tmp / "nowhere.jpg"


@bad_photo("is empty: expected an image file")
def empty(demo: Path, tmp: Path) -> Path:
    (tmp / "a.jpg").write_bytes(b"")
    return tmp / "a.jpg"


@pytest.mark.parametrize("name", list(BAD_PHOTOS))
def test_bad_photos_are_refused(name, demo_photo, tmp_path, pose_network, capsys) -> None:
    make, expect = BAD_PHOTOS[name]
    path = make(demo_photo, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    status, line = run(capsys, "create", path, "-o", tmp_path / "me.avatar")
    assert status == 1 and expect in line
    assert sorted(tmp_path.rglob("*")) == before


def variants(demo: Path, tmp: Path) -> dict[str, Path]:
    """The demo photo in forms that must give the same person."""
    im = Image.open(demo).convert("RGB")
    out: dict[str, Path] = {}

    def save(name: str, image: Image.Image, suffix: str = ".png", **kw) -> None:
        out[name] = tmp / f"{name}{suffix}"
        image.save(out[name], **kw)

    save("grey", im.convert("L"))
    save("palette", im.quantize(256))
    save("cmyk", im.convert("CMYK"), ".jpg", quality=95)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("exif_rotated", im.rotate(90, expand=True), ".jpg", quality=95, exif=exif)
    deep = cv2.cvtColor(np.asarray(im), cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    cv2.imwrite(str(tmp / "deep.png"), deep)
    out["16_bit"] = tmp / "deep.png"
    return out


@pytest.mark.slow
def test_unusual_photos_give_the_same_person(demo_photo, tmp_path, pose_network) -> None:
    from dinar.subject import read_subject

    plain = read_subject(demo_photo)
    for name, path in variants(demo_photo, tmp_path).items():
        s = read_subject(path)
        assert s.rgb.shape == plain.rgb.shape and s.rgb.dtype == np.uint8, name
        a, b = s.alpha > 0.5, plain.alpha > 0.5
        assert (a & b).sum() / (a | b).sum() > 0.93, name
        assert np.abs(s.view.keypoints[11:33, :2] - plain.view.keypoints[11:33, :2]).mean() < 8, name


def test_several_people_and_choosing_one(demo_photo, tmp_path, pose_network, capsys) -> None:
    from dinar.subject import read_subject

    im = photo(demo_photo)
    two = np.concatenate([im, im[:, ::-1]], 1)
    Image.fromarray(two).save(tmp_path / "two.png")
    left, right = (read_subject(tmp_path / "two.png", person=k) for k in (1, 2))
    assert left.count == 2 and (left.index, right.index) == (1, 2)
    half = im.shape[1] * left.rgb.shape[1] / two.shape[1]
    assert left.view.keypoints[23, 0] < half < right.view.keypoints[23, 0]
    status, line = run(capsys, "create", tmp_path / "two.png", "--person", "5", "-o", tmp_path / "me.avatar")
    assert status == 1 and "found 2" in line


@pytest.mark.slow
def test_a_label_map_as_mask(demo_photo, tmp_path, pose_network, capsys, monkeypatch) -> None:
    """Its classes reach the fit and the texture; the command line hands it on, and says in one line what is wrong."""
    from dinar.labels import LABEL
    from dinar.subject import read_subject

    cut = read_subject(demo_photo).alpha > 0.5
    atr = np.where(cut, 4, 0).astype(np.uint8)  # all upper clothes,
    atr[cut.shape[0] // 2 :][cut[cut.shape[0] // 2 :]] = 6  # trousers below,
    ys, xs = np.nonzero(cut)
    bag = np.s_[ys.mean().astype(int) :, xs.max() - 30 :]
    atr[bag] = np.where(cut[bag], 16, 0)  # and a bag
    cv2.imwrite(str(tmp_path / "atr.png"), atr)
    worn, kept = (read_subject(demo_photo, mask=tmp_path / "atr.png", mask_convention="atr", keep_accessories=keep)
                  for keep in (False, True))  # fmt: skip
    person = cut & (atr != 16)
    assert ((worn.alpha > 0.5) & person).sum() / ((worn.alpha > 0.5) | person).sum() > 0.95
    assert kept.alpha.sum() > worn.alpha.sum()
    assert worn.labels is not None and worn.view.trust is not None
    assert ((worn.labels == LABEL["lower"]) == (atr == 6))[person].mean() > 0.97
    assert ((worn.labels == LABEL["bag"]) == (atr == 16))[cut].mean() > 0.97

    asked: dict = {}
    command = sys.modules["dinar.commands.create"]

    def asking(photos, options, **more):
        asked.update(vars(options))
        sys.exit(0)

    monkeypatch.setattr(command, "create", asking)
    argv = ("create", demo_photo, "-o", tmp_path / "x.avatar", "--mask", tmp_path / "atr.png")
    run(capsys, *argv, "--mask-convention", "atr", "--keep-accessories")
    assert asked["mask_convention"] == "atr" and asked["keep_accessories"] and asked["masks"] == (tmp_path / "atr.png",)
    run(capsys, *argv)
    assert asked["mask_convention"] is None and not asked["keep_accessories"]
    monkeypatch.undo()
    cv2.imwrite(str(tmp_path / "strange.png"), atr + 30)
    status, line = run(capsys, *argv[:-1], tmp_path / "strange.png", "--mask-convention", "atr")
    assert status == 1 and "strange.png: expected atr labels 0 .. 17" in line
    status, line = run(capsys, *argv[:4], "--mask-convention", "atr")
    assert status == 1 and "no mask" in line


def test_unwritable_outputs(demo_photo, avatar, tmp_path, capsys) -> None:
    avatar.save(tmp_path / "me.avatar")
    (tmp_path / "folder").mkdir()
    for argv in (
        ("create", demo_photo, "-o", tmp_path / "no" / "where.avatar"),
        ("create", demo_photo, "-o", tmp_path / "folder"),
        ("create", demo_photo, "-o", ""),
        ("render", tmp_path / "me.avatar", "-o", tmp_path / "no" / "x.png"),
        ("turntable", tmp_path / "me.avatar", "-o", tmp_path / "no" / "x.mp4"),
        ("animate", tmp_path / "me.avatar", "-o", tmp_path / "no" / "x.mp4"),
        ("export", tmp_path / "me.avatar", "-o", tmp_path / "no" / "x.glb"),
    ):
        status, line = run(capsys, *argv)
        assert status == 1 and "cannot write" in line


def test_a_full_disk_leaves_nothing(avatar, tmp_path) -> None:
    """A file-size limit acts like a full disk: the write fails half-way."""
    avatar.save(tmp_path / "a.avatar")
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "from dinar.cli import main; resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000));"
        "main(sys.argv[1:])"
    )
    for argv in (["render", "--out", "x.png", "--size", "1024"], ["export", "--out", "x.glb", "--motion", "idle"]):
        done = subprocess.run(
            [sys.executable, "-c", code, argv[0], "a.avatar", *argv[1:]], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.strip().splitlines()[-1].startswith("dinar: cannot write")
        assert [p.name for p in tmp_path.iterdir()] == ["a.avatar"]


def test_help_imports_nothing_that_takes_long_and_knows_every_command() -> None:
    code = (
        "import sys, dinar.cli; dinar.cli.main(['--help']); from dinar.commands import main;"
        "assert not {'torch', 'numpy', 'tyro'} & set(sys.modules), sys.modules;"
        "assert main.commands(['render', 'x']).keys() == {sys.modules['dinar.commands.render'].Render};"
        "assert 'dinar.create' not in sys.modules; assert len(main.commands([])) == len(main.NAMES)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    folder = Path(dinar.commands.__file__).parent
    assert {p.stem for p in folder.glob("*.py")} - {"__init__", "main", "common"} == set(NAMES)
    assert all(re.search(rf"^  {name} +[A-Z].+\.", said, re.M) for name in NAMES)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported(number: signal.Signals) -> None:
    code = f"""
import os, signal, sys
import dinar.cli
class Sends:
    def find_spec(name, path, target):
        assert "torch" not in sys.modules
        if name == "torch":
            os.kill(os.getpid(), {int(number)})
sys.meta_path.insert(0, Sends)
sys.argv = ["dinar", "render", "--help"]
dinar.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 128 + number and done.stdout == ""
    assert done.stderr.strip() == ("interrupted" if number == signal.SIGINT else "")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_command_through_its_clean_up(number: signal.Signals, tmp_path: Path) -> None:
    """Once: further signals do not disturb it, and what libraries would do at the end is left out."""
    code = f"""
import atexit, os, signal, sys, time
import dinar.cli, dinar.commands.main
from dinar.files import replacing
def work(words, begin):
    begin()
    with replacing("out.txt") as temporary:
        temporary.touch()
        try:
            os.kill(os.getpid(), {int(number)})
            time.sleep(60)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            open("cleaned", "x").close()
dinar.commands.main.run = work
atexit.register(time.sleep, 60)
sys.argv = ["dinar", "render"]
dinar.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 128 + number
    assert done.stderr.strip() == ("interrupted" if number == signal.SIGINT else "")
    assert [p.name for p in tmp_path.iterdir()] == ["cleaned"]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_import_of_a_command_is_not_interrupted(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nopen('whole', 'x')\n")
    code = """
import sys, time
import dinar.cli, dinar.commands.main
def work(words, begin):
    begin()
    import slow
    time.sleep(60)
dinar.commands.main.run = work
sys.argv = ["dinar", "render"]
dinar.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 128 + signal.SIGTERM and done.stderr == "" and (tmp_path / "whole").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupt_that_a_library_turns_into_an_error_is_one() -> None:
    code = """
import os, signal, sys
import dinar.cli, dinar.commands.main
def work(words, begin):
    begin()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    except BaseException:
        raise RecursionError from None
dinar.commands.main.run = work
sys.argv = ["dinar", "render"]
dinar.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 128 + signal.SIGTERM and done.stderr == ""


@pytest.mark.parametrize(("error", "said"), [
    (ValueError("\x1b[31m"), r"unexpected error, please report it (--debug shows where): ValueError: \x1b[31m"),
    (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out of memory"),
    (OSError(28, "No space left on device", "/x"), "/x: No space left on device"),
])  # fmt: skip
def test_every_error_is_one_line(error, said, monkeypatch, capsys) -> None:
    def fail(words) -> None:
        raise error

    monkeypatch.setattr("dinar.commands.main.run", fail)
    assert run(capsys, "render") == (1, f"dinar: {said}")
    with pytest.raises(type(error)):
        main(["render", "--debug"])


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="POSIX streams")


@POSIX
@pytest.mark.parametrize(
    ("redirected", "status", "said"),
    [("| (exec <&-; sleep .1)", 128 + 13, ""), (">&-", 0, ""), (">&- 2>&- <&-", 0, "")],
)
def test_streams_that_lead_nowhere(redirected: str, status: int, said: str) -> None:
    """A reader that has gone, as in `| head`; a stdout that was closed."""
    words = f"'{sys.executable}' -u -c 'from dinar.cli import main; main()' --version"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", f"{words} {redirected}"], capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout) == (status, said, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_behind_stdout() -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-c", "from dinar.cli import main; main()", "--version"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "dinar: stdout: No space left on device\n"


@pytest.mark.parametrize(
    "words", [("render", "a", "--\x1b[31m"), ("render", "a", "\x1b]0;b\x07"), ("render", "--size", "\x1b")]
)
def test_words_of_the_command_line_do_not_reach_the_terminal_as_they_are(words, capsys) -> None:
    """A file may be called like an option."""
    with pytest.raises(SystemExit) as stop:
        main(words)
    said = capsys.readouterr().err
    assert stop.value.code == 2 and said and all(line.isprintable() for line in said.splitlines())


def test_help_for_a_narrow_terminal(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "1")
    with pytest.raises(SystemExit) as stop:
        main(["render", "--help"])
    assert stop.value.code == 0 and max(map(len, capsys.readouterr().out.splitlines())) > 20


def test_names_of_files_do_not_reach_the_terminal_as_they_are(capsys) -> None:
    say("1/2 \x1b[31m.jpg", f"a\ndinar: b {'x' * 400}")
    assert capsys.readouterr().err == f"1/2 \\x1b[31m.jpg\na\\ndinar: b {'x' * 400}\n"


def test_create_is_the_function_and_the_module() -> None:
    code = (
        "import sys, dinar; assert 'torch' not in sys.modules;"
        "import dinar.batch; assert dinar.create is sys.modules['dinar.create'].create;"
        "assert dinar.load == dinar.Avatar.load; assert not hasattr(dinar, 'creat')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def bad_avatars(good: Path, tmp: Path) -> dict[str, Path]:
    out = {
        k: tmp / f"{k}.avatar" for k in ("text", "empty", "cut", "foreign", "version", "atlas", "body", "shape", "nan")
    }
    out["text"].write_text("hello")
    out["empty"].write_bytes(b"")
    out["cut"].write_bytes(good.read_bytes()[:5000])
    safetensors.torch.save_file({"x": torch.zeros(3)}, out["foreign"])
    with safetensors.safe_open(str(good), "pt") as f:
        header, t = json.loads(f.metadata()["dinar"]), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
    write = lambda k, h, x: safetensors.torch.save_file(x, out[k], {"dinar": json.dumps(h)})  # noqa: E731
    write("version", header | {"version": 99}, t)
    write("atlas", header | {"atlas": "0" * 12}, t)
    write("body", header | {"body": "smplx"}, t)
    write("shape", header, t | {"betas": torch.zeros(3)})
    write("nan", header, t | {"transl": torch.full((3,), float("nan"))})
    marker = tmp / "executed"
    out["pickle"] = tmp / "pickle.avatar"
    out["pickle"].write_bytes(pickle.dumps(Hostile(marker)))
    return out


BAD_AVATARS = {
    "text": "it is damaged or cut short", "empty": "it is damaged or cut short",
    "cut": "it is damaged or cut short", "pickle": "it is damaged or cut short",
    "foreign": "a safetensors file but not an avatar", "version": "avatar format version 99",
    "atlas": "made with another texture atlas", "body": "needs the smplx body", "shape": "expected betas of shape",
    "nan": "expected finite numbers in transl",
}  # fmt: skip


def test_bad_avatars_are_refused(avatar, tmp_path, capsys) -> None:
    avatar.save(tmp_path / "good.avatar")
    made = bad_avatars(tmp_path / "good.avatar", tmp_path)
    assert set(made) == set(BAD_AVATARS)
    for name, path in made.items():
        status, line = run(capsys, "render", path, "-o", tmp_path / "x.png")
        assert status == 1 and str(path) in line and BAD_AVATARS[name] in line, name
    assert not (tmp_path / "x.png").exists() and not (tmp_path / "executed").exists()


def test_bad_motions_are_refused(avatar, tmp_path, capsys) -> None:
    avatar.save(tmp_path / "me.avatar")
    hostile = tmp_path / "evil.pkl"
    hostile.write_bytes(pickle.dumps(Hostile(tmp_path / "executed")))
    for motion, expect in (("no_such_motion", "no such file"), (hostile, "it may run code")):
        status, line = run(capsys, "animate", tmp_path / "me.avatar", "--motion", motion, "-o", tmp_path / "x.mp4")
        assert status == 1 and expect in line
    assert not (tmp_path / "executed").exists() and not (tmp_path / "x.mp4").exists()


def test_commands_make_their_files(avatar: Avatar, tmp_path, capsys) -> None:
    me = tmp_path / "me.avatar"
    avatar.save(me)
    for argv, name in (
        (("render", me, "--azimuth", "180", "--size", "128"), "x.png"),
        (("render", me, "--source"), "y.jpg"),
        (("turntable", me, "--seconds", "0.2", "--size", "96"), "t.mp4"),
        (("animate", me, "--motion", "wave", "--fps", "4", "--size", "96", "--repeat", "1"), "a.gif"),
        (("export", me, "--motion", "walk"), "me.glb"),
    ):
        status, line = run(capsys, *argv, "-o", tmp_path / name)
        assert status == 0, line
        assert (tmp_path / name).stat().st_size > 500
    assert np.asarray(Image.open(tmp_path / "x.png")).shape == (128, 128, 4)
