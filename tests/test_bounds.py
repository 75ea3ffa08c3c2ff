"""Numbers that no option takes."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.batch import batch
from dinar.body.readers import load_motion
from dinar.bounds import BOUNDS, check_device
from dinar.cli import main
from dinar.commands.main import commands
from dinar.create import create
from dinar.errors import DinarError
from dinar.export import write_video
from dinar.synthetic.export import synthesize
from dinar.synthetic.source import Synthetic

BAD = {
    "create x.jpg": ("--threads -1", "--threads 1000000", "--seed -1", "--person 0", "--seed 99999999999999999999"),
    "render x.avatar": ("--size 0", "--size -5", "--size 1000000000", "--azimuth inf", "--azimuth nan",
                        "--elevation 91"),
    "turntable x.avatar": ("--seconds 0", "--seconds nan", "--seconds 1e9", "--fps 0", "--fps -3", "--size 9999"),
    "animate x.avatar": ("--turn inf", "--repeat 0", "--repeat -1", "--fps 1000000000"),
    "batch x.jpg": ("--jobs 0", "--jobs -1", "--jobs 1000000"),
    "fit x.jpg": ("--size 63", "--frames -1", "--jobs 0"), "fit x.mp4 --frames 4": ("--masks", "--each"),
    "segment x.jpg": ("--person -1",),
    "synthesize": ("--people -1", "--people 0", "--views 0", "--size 0", "--device foo", "--device cuda:99"),
    "train parser --data x --run y": ("--lr nan", "--lr 0", "--steps 0", "--batch -1", "--weights -1", "--ema 2"),
    "evaluate views x": ("--size 0", "--erode -1", "--people 0", "--device foo"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "option"), [(c, o) for c, options in BAD.items() for o in options])
def test_options_are_checked_when_they_are_parsed(command, option, tmp_path, monkeypatch, capsys):
    """Before anything is read, written or found missing, in one line that names the option."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as e:
        main([*command.split(), *option.split()])
    said = capsys.readouterr().err.splitlines()
    assert e.value.code == 1 and len(said) == 1 and option.split()[0] in said[0]
    assert not list(tmp_path.iterdir())


def numbers(command: type) -> set[str]:
    """Options of a command that take numbers."""
    found = set()
    for name, hint in typing.get_type_hints(command, include_extras=False).items():
        kinds = {hint, *typing.get_args(hint)}
        if kinds & {int, float}:
            found.add(name)
        found |= {n for k in kinds if dataclasses.is_dataclass(k) and isinstance(k, type) for n in numbers(k)}
    return found


def test_every_number_has_bounds():
    assert not set().union(*map(numbers, commands([]))) - set(BOUNDS)


def frames(count: int) -> list[np.ndarray]:
    return [np.zeros((16, 16, 3), np.uint8)] * count


CALLS: dict[str, Callable[[Avatar, Path], object]] = {
    "size between 16": lambda a, _: a.render(size=0),
    "size to be a whole": lambda a, _: a.render(size=(64, 64.5)),  # type: ignore[arg-type]
    "size between": lambda a, _: a.render(size=np.int64(10**9)),  # type: ignore[arg-type]
    "azimuth between": lambda a, _: a.render(azimuth=float("inf")),
    "width of the camera": lambda a, _: a.render(camera=a.camera.crop(0, 0, 1, 64, 10**9)),
    "frames between": lambda a, _: next(a.turntable(10**9)),
    "repeat between": lambda a, _: next(a.animate(load_motion("idle"), 64, repeat=0)),
    "turn between": lambda a, _: next(a.animate(load_motion("idle"), 64, turn=float("nan"))),
    "fps between": lambda a, out: write_video(out / "x.gif", frames(2), 1e6),
    "fps to be a number": lambda a, out: write_video(out / "x.gif", frames(2), "30"),  # type: ignore[arg-type]
    "jobs between": lambda a, out: batch([out / "x.jpg"], out / "out", 0, print),
    "people between": lambda a, out: synthesize(Synthetic(size=64), out / "out", 0),
    "views between": lambda a, _: Synthetic(views_per_person=0),
    "--size between 16": lambda a, out: create(out / "x.jpg", size=8),
}  # fmt: skip


@pytest.mark.parametrize("said", list(CALLS))
def test_arguments_of_functions_have_the_same_bounds(said, avatar, tmp_path):
    with pytest.raises(DinarError, match=f"expected .*{said}"):
        CALLS[said](avatar, tmp_path)


def test_devices(monkeypatch):
    check_device("cpu")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device("cuda:1")
    with pytest.raises(DinarError, match="there is no cuda:2 here"):
        check_device("cuda:2")
