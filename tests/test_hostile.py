"""Files and folders of public reports that once crashed a reader: one line of refusal each, nothing written outside."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from dinar.avatar import Avatar
from dinar.body import load_body
from dinar.cli import main
from dinar.data.folder import start_set
from dinar.data.frames import import_people
from dinar.data.photos import PhotoFits, merge_fits, read_fits
from dinar.data.shards import open_set
from dinar.data.textures import _open as open_textures
from dinar.errors import DinarError
from dinar.evaluate.people import read_record
from dinar.evaluate.protocol import Protocol
from dinar.fit.fit_file import Fit, load_fit
from dinar.fit.view import View, photo_camera
from dinar.neural.weights import load_networks
from dinar.speech.sound import BANDS
from dinar.train import visemes

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import _fuzz_inputs as inputs
import _fuzz_sets as sets

CASES = Path(__file__).parents[2] / "shared" / "cases" / "hostile"


def case(name: str) -> Path:
    if not (CASES / name).exists():
        pytest.skip("no ../shared/cases here")
    return CASES / name


def refused(read, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(DinarError, match=r"expected|damaged") as e, warnings.catch_warnings():
        warnings.simplefilter("error")
        read()
    text = str(e.value)
    assert len(text) <= 300 and text.isprintable() and capsys.readouterr().out == ""
    return text


@pytest.mark.parametrize(
    "name", ["avatar-camera-null.avatar", "avatar-renderer-blocks.avatar", "avatar-betas-float64.avatar"]
)
def test_avatars(name: str, capsys) -> None:
    refused(lambda: Avatar.load(case(name)), capsys)


@pytest.mark.parametrize("name", ["fit-1e300.npz", "fit-is-npy.npz", "npz-zlib.npz"])
def test_fits(name: str, capsys) -> None:
    view = View(np.zeros((33, 4)), None, np.zeros((64, 48), bool), 64, 48)
    refused(lambda: load_fit(case(name), load_body(), view), capsys)


@pytest.mark.parametrize("name", ["set-empty-picture", "set-path-traversal", "shards-negative-size"])
def test_sets(name: str, capsys) -> None:
    def read() -> None:
        source = open_set(case(name))
        for i in range(source.num_people or 0):
            source.views(i)

    refused(read, capsys)


def test_weights(capsys) -> None:
    refused(lambda: load_networks(case("weights-empty-renderer-config")), capsys)


def test_a_set_cannot_write_outside(tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    shutil.copytree(case("set-path-traversal"), home / "set")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "views", str(home / "set"), "-o", str(home / "out"), "--people", "1"])
    assert stop.value.code == 1 and "file name" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob("*") if p not in before and home / "out" not in (p, *p.parents)]


# The same kinds, made here: they run where ../shared is absent.


def fit(**changes: np.ndarray) -> dict[str, np.ndarray]:
    body, camera = load_body(), photo_camera(64, 48)
    return {
        "betas": np.zeros(body.num_betas),
        "pose": np.zeros((body.num_joints, 3)),
        "transl": np.zeros(3),
        "K": camera.K.numpy(),
        "T_cam_world": camera.T_cam_world.numpy(),
        "size": np.array([64, 48]),
    } | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transl": np.full(3, 1e300)}, "finite numbers in transl"),
        ({"transl": np.full(3, 1e22)}, "numbers from -100000 to 100000 in transl"),
        ({"size": np.array([0, 48])}, "numbers from 1 to"),
        ({"K": -photo_camera(64, 48).K.numpy()}, "focal length above 0"),
        ({"T_cam_world": np.zeros((4, 4))}, "a rotation and a place"),
        ({"T_cam_world": np.diag([1.0, 1, 1, 1e12])}, "a rotation and a place"),
        ({"pose": np.zeros((3, 3))}, "pose of shape"),
        ({"betas": np.array("text")}, "betas of numbers, got text"),
    ],
)
def test_impossible_fits(changes: dict[str, np.ndarray], said: str, tmp_path: Path) -> None:
    view = View(np.zeros((33, 4)), None, np.zeros((64, 48), bool), 64, 48)
    np.savez(tmp_path / "a.npz", **fit(**changes))
    with pytest.raises(DinarError, match=said):
        load_fit(tmp_path / "a.npz", load_body(), view)
    np.savez(tmp_path / "b.npz", **fit())
    assert isinstance(load_fit(tmp_path / "b.npz", load_body(), view), Fit)


def changed_avatar(path: Path, change: Callable[[dict, dict], object]) -> Path:
    """A file whose tensors and header were changed by others."""
    with safetensors.safe_open(str(path), "pt") as f:
        header = json.loads(f.metadata()["dinar"])
    tensors = safetensors.torch.load_file(path)
    change(tensors, header)
    safetensors.torch.save_file(tensors, path, {"dinar": json.dumps(header)})
    return path


CHANGES: dict[str, Callable[[dict, dict], object]] = {
    "no camera": lambda t, h: h.update(camera=None),
    "a camera of no pixels": lambda t, h: h["camera"].update(height=0),
    "a camera of less": lambda t, h: h["camera"].update(width=-1),
    "a camera of too many": lambda t, h: h["camera"].update(width=10**30),
    "a million blocks": lambda t, h: h["neural"]["renderer"].update(blocks=10**6),
    "a renderer of another type": lambda t, h: h["neural"]["renderer"].update(unshuffle="2"),
    "NaN in the header": lambda t, h: h["meta"].update(keypoint_error=[float("nan")]),
    "betas in float64": lambda t, h: t.update(betas=t["betas"].double()),
    "betas of another shape": lambda t, h: t.update(betas=torch.zeros(3, 3)),
    "complex betas": lambda t, h: t.update(betas=torch.zeros(48, dtype=torch.complex64)),
    "a body far away": lambda t, h: t.update(transl=torch.full((3,), 1e22)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_impossible_avatars(name: str, tmp_path: Path, capsys) -> None:
    path = changed_avatar(inputs.neural_avatar(tmp_path), CHANGES[name])
    refused(lambda: Avatar.load(path), capsys)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
def test_avatars_and_networks_of_any_name(tmp_path: Path) -> None:
    """The library of tensors takes names in UTF-8 only."""
    home = tmp_path / os.fsdecode(b"b\xff\x1b[31m")
    home.mkdir()
    path = inputs.avatar(home).rename(home / os.fsdecode(b"\xfe.avatar"))
    a = Avatar.load(path)
    a.save(home / "again.avatar")
    assert (home / "again.avatar").read_bytes() == path.read_bytes()
    for name in (b"\xfe.glb", b"\xfe.fbx", b"\xfe.usdz"):
        a.export(home / os.fsdecode(name), ["idle"])
        assert (home / os.fsdecode(name)).stat().st_size > 10_000
    assert load_networks(inputs.weights(home)).nets


@pytest.mark.parametrize("text", ["{}", "[]", "", '{"network": "FastRenderer"}', '{"widths": [1000000000]}'])
def test_networks_without_their_options(text: str, tmp_path: Path, capsys) -> None:
    folder = inputs.weights(tmp_path)
    (folder / "renderer" / "config.json").write_text(text)
    refused(lambda: load_networks(folder), capsys)


def test_an_empty_picture_in_a_set(tmp_path: Path, capsys) -> None:
    folder = sets.folder_set(tmp_path)
    next(folder.glob("p/rgb/*")).write_bytes(b"")
    assert "rgb" in refused(lambda: open_set(folder).views(0), capsys)


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "a/b", "", "\x1b[31m"])
def test_names_in_sets_are_no_paths(name: str, tmp_path: Path, capsys) -> None:
    home = tmp_path / "home"
    home.mkdir()
    folder = sets.folder_set(home)
    with np.load(folder / "p" / "views.npz") as z:
        arrays = dict(z)
    np.savez(folder / "p" / "views.npz", **(arrays | {"name": np.array(name)}))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "views", str(folder), "-o", str(home / "out"), "--people", "1"])
    assert stop.value.code == 1 and "\x1b" not in (said := capsys.readouterr().err) and "file name" in said
    assert not [p for p in tmp_path.rglob("*") if p not in before and home / "out" not in (p, *p.parents)]


def test_a_shard_whose_sizes_are_negative(tmp_path: Path, capsys) -> None:
    path = next(sets.shards(tmp_path).glob("*.tar"))
    data = bytearray(path.read_bytes())
    data[124:136] = b"\xff" * 11 + b"\x00"  # -256, in the base 256 of GNU tar
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)
    assert "tar" in refused(lambda: open_set(tmp_path / "set").views(0), capsys)


# --- what an earlier run left, damaged ------------------------------------------------------------------------------


def test_damaged_records_of_an_evaluation(tmp_path: Path, capsys) -> None:
    row = {"person": "a", "group": "back", "view": "b", "system": "dinar", "angle": 180.0, "values": {"PSNR": 20.0}}
    whole = {"person": "a", "rows": [row], "skipped": {"03": "blurred"}, "made": {}}
    path = tmp_path / "000000.json"
    path.write_text(json.dumps(whole))
    assert read_record(path) == whole
    for change in ({"rows": [row | {"values": {"PSNR": "x"}}]}, {"rows": [row | {"system": None}]}, {"skipped": ["a"]},
                   {"person": 3}, {"rows": [row | {"values": {"PSNR": 10**400}}]}):  # fmt: skip
        path.write_text(json.dumps(whole | change))
        assert "measures of a person" in refused(lambda: read_record(path), capsys)
    for text in ('["task"]', "3", "{"):
        (tmp_path / "protocol.json").write_text(text)
        assert "protocol" in refused(lambda: Protocol("views", "a set").begin(tmp_path), capsys)


def test_damaged_reports_of_frames(tmp_path: Path, capsys) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "a.mp4").write_bytes(b"")
    start_set(tmp_path / "out", "anny", (64, 64), made_from="frames", frames=2)
    for people in ([], {"a": []}, {"a": {"skipped": {"0": 1}}}, {"a": {"skipped": {}, "left_out": 5}}):
        (tmp_path / "out" / "report.json").write_text(json.dumps({"people": people}))
        read = lambda: import_people(tmp_path / "clips", tmp_path / "out", frames=2, size=64)  # noqa: E731
        assert "the report of dinar fit --frames" in refused(read, capsys)


def test_damaged_tables_of_photos(tmp_path: Path, capsys) -> None:
    body = load_body()
    row = lambda *s: np.zeros((1, *s), np.float32)  # noqa: E731
    fits = PhotoFits(np.array(["a.jpg"]), np.full((1, 2), 64, np.int32), row(body.num_betas), row(body.num_joints, 3),
                     row(3), np.full(1, 99.0), row(33, 4), row(33, 3), row(4), row(), row(), row(),
                     np.ones((1, 2), np.int32))  # fmt: skip
    for left_out in ("[", "[1]", '{"b.jpg": 3}'):
        fits.save(tmp_path / "fits.npz", left_out=left_out)
        refused(lambda: read_fits(tmp_path), capsys)
    fits.save(tmp_path / "fits.npz", left_out='{"b.jpg": "nobody"}')
    assert read_fits(tmp_path)[1] == {"b.jpg": "nobody"}
    with pytest.raises(DinarError, match="fits of one body"):
        merge_fits([fits, dataclasses.replace(fits, pose=row(3, 3))])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_in_sets_are_not_opened(tmp_path: Path, capsys) -> None:
    start_set(tmp_path / "set", "anny", (32, 32))
    (tmp_path / "set" / "a" / "rgb").mkdir(parents=True)
    (tmp_path / "set" / "a" / "views.npz").write_bytes(b"")
    source = open_set(tmp_path / "set")
    (tmp_path / "set" / "a" / "views.npz").unlink()
    os.mkfifo(tmp_path / "set" / "a" / "views.npz")
    assert "a special file" in refused(lambda: source.views(0), capsys)
    start_set(tmp_path / "shards", "anny", (32, 32), layout="shards", per_shard=2)
    os.mkfifo(tmp_path / "shards" / "shard-000000.tar")
    assert open_set(tmp_path / "shards").num_people == 0


def test_damaged_textures_of_training(tmp_path: Path, capsys) -> None:
    shapes = {"rgb": (2, 1, 4, 4, 3), "lam": (2, 1, 4, 4), "front": (2, 1), "position": (2, 3, 4, 4),
              "folded": (2, 4, 4)}  # fmt: skip
    open_textures(tmp_path, shapes, {"size": 4})
    for people, said in (("x", "the number of people"), (-1, "the number of people"), (2, "frontalities")):
        (tmp_path / "textures.json").write_text(json.dumps({"size": 4, "people": people}))
        np.save(tmp_path / "front.npy", np.full((2, 1), 1e18, np.float32))
        assert said in refused(lambda: open_textures(tmp_path, shapes, {"size": 4}), capsys)
    np.save(tmp_path / "front.npy", np.ones((2, 1), np.float32))
    assert "the shells of 2 people" in refused(lambda: open_textures(tmp_path, shapes, {"size": 4}), capsys)
    for name, value in (("folded", 16), ("folded", -1), ("position", np.nan)):
        whole = np.load(tmp_path / f"{name}.npy")
        np.save(tmp_path / f"{name}.npy", np.full_like(whole, value))
        assert "places of texels" in refused(lambda: open_textures(tmp_path, shapes, {"size": 4}), capsys)
        np.save(tmp_path / f"{name}.npy", whole)
    for damage in (b"", b"\x93NUMPY", (tmp_path / "lam.npy").read_bytes()[:140]):
        (tmp_path / "lam.npy").write_bytes(damage)
        assert "lam.npy" in refused(lambda: open_textures(tmp_path, shapes, {"size": 4}), capsys)


def test_damaged_sentences_of_training(tmp_path: Path, capsys) -> None:
    arrays = {"mel": np.zeros((9, BANDS + 1), np.float16), "viseme": np.zeros(9, np.uint8), "held": np.array([0, 1])}
    for start in ([0, 9], [4, 2], [-1, 3], [0, 10**12]):
        np.savez(tmp_path / "spoken.npz", **arrays, start=np.array(start))
        refused(lambda: visemes.said([], tmp_path / "spoken.npz", 2, 0), capsys)
