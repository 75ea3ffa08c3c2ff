"""Many photos: what is done is never done again, failures are single photos', here and elsewhere."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dinar import batch as module
from dinar.avatar import Avatar
from dinar.errors import DinarError
from dinar.manifest import finished, open_manifest, record
from dinar.stores import Store, fetch


class Maker:
    """Stands for `create`: photos whose text is a class of exceptions fail."""

    def __init__(self, avatar: Avatar) -> None:
        self.avatar = avatar
        self.made: list[str] = []

    def __call__(self, studio: object, paths: Sequence[Path]) -> Avatar:
        (path,) = paths
        self.made.append(path.stem)
        fails = {"refuse": DinarError("no person found"), "memory": MemoryError(), "disk": OSError(5, "I/O error")}
        if (what := path.read_text()) in fails:
            raise fails[what]
        return self.avatar


@pytest.fixture
def made(avatar: Avatar, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The photos that avatars were made of."""
    maker = Maker(avatar)
    monkeypatch.setattr(module, "create_in", maker)
    monkeypatch.setattr(module, "preview", lambda *_: np.zeros((4, 4, 3), np.uint8))
    return maker.made


def photos(folder: Path, **texts: str) -> Path:
    folder.mkdir()
    for name, text in texts.items():
        (folder / f"{name}.jpg").write_text(text)
    return folder


def rows(file: Path) -> dict[str, tuple[str, str]]:
    with sqlite3.connect(file) as db:
        return {n: (s, r) for n, s, r in db.execute("SELECT name, state, reason FROM items")}


def test_a_run_goes_on_and_says_what_failed(made: list, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "in", a="x", bad="refuse", c="x"), tmp_path / "out"
    (folder / "notes.md").write_text("x")
    said: list[str] = []
    assert module.batch([folder], out, 1, said.append) == {str(folder / "bad.jpg"): "no person found"}
    assert made == ["a", "bad", "c"]
    assert {p.name for p in out.iterdir()} == {
        "a.avatar", "a.preview.png", "c.avatar", "c.preview.png", "manifest.sqlite"}  # fmt: skip
    assert rows(out / "manifest.sqlite") == {"a": ("done", ""), "bad": ("failed", "no person found"), "c": ("done", "")}
    (folder / "bad.jpg").write_text("x")
    assert not module.batch([folder], out, 1, said.append)
    assert made[3:] == ["bad"] and rows(out / "manifest.sqlite")["bad"] == ("done", "")
    assert "left out 1 that dinar does not read: notes.md" in said and "3 photos, 2 done already" in said


def test_what_a_killed_run_made_is_recorded(made: list, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "in", a="x", b="x"), tmp_path / "out"
    module.batch([folder], out, 1, lambda _: None)
    (out / "manifest.sqlite").unlink()
    (out / "b.avatar").unlink()
    module.batch([folder], out, 1, lambda _: None)
    assert made[2:] == ["b"] and rows(out / "manifest.sqlite") == {"a": ("done", ""), "b": ("done", "")}


def test_a_photo_that_is_tried_again_keeps_what_was_made(made: list, tmp_path: Path) -> None:
    folder = photos(tmp_path / "in", a="x", b="x")
    (tmp_path / "a.avatar").write_text("made before its worker was killed")
    seconds = [module.make(str(folder / f"{n}.jpg"), str(tmp_path)) for n in "ab"]
    assert seconds[0] is None and seconds[1] and made == ["b"]


def test_failures_are_single_photos(made: list, tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "in", a="memory", b="disk", d="x"), tmp_path / "out"
    failed = module.batch([folder], out, 1, lambda _: None)
    assert {Path(p).stem: r for p, r in failed.items()} == {"a": "out of memory", "b": "file: I/O error"}
    assert made == ["a", "b", "d"] and (out / "d.avatar").is_file()


def test_into_its_own_folder(made: list, tmp_path: Path) -> None:
    """Previews do not become photos, and no photo is replaced by a preview."""
    folder = photos(tmp_path / "in", a="x")
    for _ in range(2):
        assert not module.batch([folder], folder, 1, lambda _: None)
        (folder / "a.avatar").unlink()
    assert sorted(p.name for p in folder.iterdir()) == ["a.jpg", "a.preview.png", "manifest.sqlite"]
    (folder / "a.preview.png").write_text("a photo of the user's")
    with pytest.raises(DinarError, match="is an input"):
        module.batch([folder], folder, 1, lambda _: None)
    assert (folder / "a.preview.png").read_text() == "a photo of the user's"


def test_photos_and_avatars_elsewhere(made: list, tmp_path: Path) -> None:
    """fsspec's memory stands for any service: the files are those that a folder would have."""
    here = photos(tmp_path / "in", a="x", bad="refuse", c="x")
    fs = fsspec.filesystem("memory")
    fs.rm("/", recursive=True)
    fs.put(f"{here}/", "/photos/", recursive=True)
    said: list[str] = []
    for source, out in (([here], tmp_path / "out"), (["memory://photos"], "memory://out")):
        failed = module.batch(source, out, 1, said.append)
        assert list(failed.values()) == ["no person found"]
    names = {f"{p.name}" for p in (tmp_path / "out").iterdir()}
    assert Store("memory://out").names() == names == {
        "a.avatar", "a.preview.png", "c.avatar", "c.preview.png", "manifest.sqlite"}  # fmt: skip
    assert fs.cat("/out/a.avatar") == (tmp_path / "out" / "a.avatar").read_bytes()
    made.clear()
    (tmp_path / "list.txt").write_text(f"memory://photos/c.jpg\n{here / 'a.jpg'}\n")
    assert not module.batch([tmp_path / "list.txt"], "memory://out", 1, said.append)
    assert not made and said[-1] == "2 photos, 2 done already"
    assert rows(fetch("memory://out/manifest.sqlite", tmp_path)) == rows(tmp_path / "out" / "manifest.sqlite")


@pytest.mark.parametrize(("name", "words"), [("nowhere://a/b", "Protocol not known"), ("memory://none.jpg", "no file")])
def test_addresses_that_cannot_be_reached(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(DinarError, match=words):
        fetch(name, tmp_path)


def test_a_manifest_takes_any_name_and_the_last_word(tmp_path: Path) -> None:
    file = tmp_path / "manifest.sqlite"
    with open_manifest(file) as db:
        record(db, "caf\udce9", "caf\udce9.jpg", "out of memory")
        record(db, "caf\udce9", "caf\udce9.jpg")
    with open_manifest(file) as db:
        assert finished(db) == {"caf\\udce9"}
    file.write_text("a text of the user's that is no database at all")
    with pytest.raises(DinarError, match="no manifest of dinar"), open_manifest(file):
        pass
    assert file.read_text().startswith("a text")
