"""Files and folders of public reports that once crashed a reader: one line of refusal each, nothing written outside."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import load_body
from dinar.cli import main
from dinar.data.shards import open_set
from dinar.errors import DinarError
from dinar.fit.fit_file import Fit, load_fit
from dinar.fit.view import View, photo_camera
from dinar.neural.weights import load_networks

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


@pytest.mark.parametrize("name", ["avatar-camera-null.avatar", "avatar-renderer-blocks.avatar"])
def test_avatars(name: str, capsys) -> None:
    refused(lambda: Avatar.load(case(name)), capsys)


def test_an_avatar_with_wider_numbers_is_read() -> None:
    """float64 is no fault where the numbers are possible."""
    a = Avatar.load(case("avatar-betas-float64.avatar"))
    assert a.betas.dtype == torch.float32 and bool(torch.isfinite(a.vertices()).all())


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
    return {"betas": np.zeros(body.num_betas), "pose": np.zeros((body.num_joints, 3)), "transl": np.zeros(3),
            "K": camera.K.numpy(), "T_cam_world": camera.T_cam_world.numpy(), "size": np.array([64, 48])} | changes


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transl": np.full(3, 1e300)}, "finite numbers in transl"),
        ({"transl": np.full(3, 1e22)}, "numbers from -100000 to 100000 in transl"),
        ({"size": np.array([0, 48])}, "numbers from 1 to"),
        ({"K": -photo_camera(64, 48).K.numpy()}, "focal length above 0"),
        ({"T_cam_world": np.zeros((4, 4))}, "a rotation and a place"),
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
