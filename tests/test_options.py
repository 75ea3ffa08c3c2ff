"""Options: one list of them for Python and the command line; old and misspelt names are refused with the right one."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import tyro

import dinar
from dinar.avatar import Avatar
from dinar.body import Body
from dinar.cli import main
from dinar.commands import create as create_command
from dinar.commands import train as train_command
from dinar.create import CreateOptions
from dinar.data.folder import start_set
from dinar.errors import DinarError
from dinar.fit.view import photo_camera
from dinar.sources import open_source
from dinar.synthetic.source import Synthetic
from dinar.train import presets, stages


def error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    assert stop.value.code == 1
    return capsys.readouterr().err.strip()


@pytest.mark.parametrize(("words", "now"), [
    (("--learned",), "--renderer neural"), (("--classical",), "--renderer mesh"),
    (("--unseen", "classical"), "--unseen restoration"), (("--unseen=classical",), "--unseen restoration"),
])  # fmt: skip
def test_old_flags_name_the_new_ones(words: tuple[str, ...], now: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = error(capsys, "create", "x.jpg", *words)
    assert line == f"dinar: {' '.join(words).replace('=', ' ')} has another name now: {now}"


@pytest.mark.parametrize(("changes", "message"), [
    ({"learned": False}, "renderer='mesh'"), ({"learned": True}, "renderer='neural'"),
    ({"unseen": "classical"}, "unseen='restoration'"), ({"renderr": "mesh"}, "no option renderr: expected renderer"),
    ({"mask": ["a.png"]}, "expected masks"), ({"blend": "mean"}, "expected blend to be one of softmax, poisson"),
    ({"renderer": "mesh", "weights": "folder"}, "weights are of the neural renderer"),
    ({"size": 0}, "--size between 16 and 8192"), ({"focal": 2}, "--focal between 5 and 2000"),
    ({"heels": 0.2}, "--heels between 0 and 0.15"),
    ({"masks": ["a.png", "b.png"]}, "1 photos, 2 masks"),
])  # fmt: skip
def test_wrong_options_of_create_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DinarError, match=message):
        dinar.create("x.jpg", **changes)


def test_every_option_of_create_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    """In Python and on the command line the same values come out."""
    files = ("--mask", "a.png", "--keypoints", "k.json", "--fit", "f.npz", "--weights", "w", "--regressor", "r")
    switches = ("--keep-accessories", "--no-evidence", "--no-offsets", "--no-shells", "--no-occlusion", "--no-neural",
                "--no-rgb", "--no-refuse", "--hair", "--refine", "True")  # fmt: skip
    words = ("--person", "2", "--mask-convention", "lip", "--blend", "poisson", "--size", "64", "--renderer", "neural",
             "--unseen", "regression", "--refine-adversarial", "0.01", "--seed", "3", "--focal", "28",
             "--build", "man", "--heels", "0.08")  # fmt: skip
    given = CreateOptions(
        person=2, masks=("a.png",), mask_convention="lip", keep_accessories=True, keypoints="k.json",  # type: ignore
        fits=("f.npz",), offsets=False, occlusion=False, blend="poisson", size=64, renderer="neural", weights="w",  # type: ignore
        neural=False, rgb=False, unseen="regression", regressor="r", refine=True, refine_adversarial=0.01, seed=3,  # type: ignore
        evidence=False, shells=False, hair=True, refuse=False, focal=28, build="man", heels=0.08,
    )  # fmt: skip
    parsed = tyro.cli(create_command.Create, args=["x.jpg", *files, *switches, *words])
    assert parsed.options == given
    default = dataclasses.asdict(CreateOptions())
    assert all(v != default[k] for k, v in dataclasses.asdict(given).items())  # none was left out above
    assert CreateOptions(weights=Path("w")).renderer == "neural"


def test_words_of_older_files(body: Body, tmp_path: Path) -> None:
    old = {"texture": "learned", "learned": {"unseen": "classical", "seed": 1}}
    pose, colours = torch.zeros(body.num_joints, 3), np.zeros((16, 16, 3), np.uint8)
    Avatar(body, torch.zeros(body.num_betas), torch.zeros(body.num_vertices, 3), colours, colours[..., 0], pose,
           torch.zeros(3), photo_camera(32, 32), old).save(tmp_path / "old.avatar")  # fmt: skip
    now = {"renderer": "neural", "neural": {"unseen": "restoration", "seed": 1}}
    assert dinar.load(tmp_path / "old.avatar").meta == now


def train(monkeypatch: pytest.MonkeyPatch, *argv: str) -> Any:
    """The options that a training would run with."""
    seen: list[Any] = []
    monkeypatch.setattr(stages, "train", lambda stage, data, run, options, **_: not seen.append(options))
    for name in ("train_parser", "train_surface", "train_pose", "train_regression", "train_visemes"):
        monkeypatch.setattr(train_command, name, lambda data, run, options, **_: not seen.append(options))
    main(["train", argv[0], "--data", "people", "--run", "out/run", *argv[1:]])
    return seen[0]


def test_every_option_of_a_preset_is_a_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    for stage, table in presets.PRESETS.items():
        assert train(monkeypatch, stage, "--preset=nano") == table["nano"]
        assert train(monkeypatch, stage) == table["base"]
    c = train(monkeypatch, "avatar", "--preset", "nano", "--losses.face", "0.3", "--loop.clip", "1", "--lr", "1e-4",
              "--batch", "4", "--micro-batch", "2", "--precision", "bf16", "--workers", "1", "--seed", "5",
              "--texture", "32", "--lpips", "alex", "--views", "2")  # fmt: skip
    nano = presets.PRESETS["avatar"]["nano"]
    loop = dataclasses.replace(nano.loop, clip=1.0, batch=4, micro_batch=2, precision="bf16", workers=1, seed=5)
    losses = dataclasses.replace(nano.losses, face=0.3)
    assert c == dataclasses.replace(nano, loop=loop, losses=losses, lr=1e-4, texture=32, lpips="alex", views=2)
    assert train(monkeypatch, "parser", "--sizes", "1", "128", "96", "--frozen", "1").sizes == ((1.0, 128, 96),)


def test_what_follows_from_options(monkeypatch: pytest.MonkeyPatch) -> None:
    c = train(monkeypatch, "avatar", "--size", "256", "--steps", "1000", "--no-augmented")
    assert (c.crop, c.rgb_size, c.cached) == (128, 256, presets.CACHED)
    assert (c.loop.warmup, c.loop.show_every, c.loop.save_every) == (100, 100, 100)
    c = train(monkeypatch, "avatar", "--size", "256", "--crop", "64", "--steps", "1000", "--loop.warmup", "7")
    assert (c.crop, c.rgb_size, c.cached, c.loop.warmup, c.loop.show_every) == (64, 256, 0, 7, 100)


def test_sources_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    s = open_source("synthetic", 64, seed=3)
    assert isinstance(s, Synthetic) and (s.seed, s.size, s.num_people) == (3, 64, None)
    assert open_source("synthetic", 64, people=5).num_people == 5
    start_set(tmp_path / "set", "anny", (64, 64))
    assert open_source(tmp_path / "set", 64).num_people == 0
    with pytest.raises(DinarError, match="no photo set at fits"):
        open_source("photos:fits", 64)
    for part in ("rgb", "segm", "smplx"):
        (tmp_path / "theirs" / part).mkdir(parents=True)
    with pytest.raises(DinarError, match="add --body smplx --body-path"):
        open_source(tmp_path / "theirs", 64)
