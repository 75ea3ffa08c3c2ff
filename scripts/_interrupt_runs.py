"""Toy runs of dinar's commands for `interrupt.py`, in forks of a process that has imported dinar: no import each time.

A fork counts its file operations (Python's audit events), and copies its folders before each or kills itself at one.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")
TORN = 64  # bytes of a file that are there when a write is broken off
LOGS = ("log.jsonl", "events.out.", "manifest.sqlite")  # grow in place, and hold times
GROWING = (
    "rgb.npy",
    "rules.npy",
    "lam.npy",
    "worn.npy",
    "front.npy",
)  # textures: how many are whole stands beside them
NANO = ("--preset nano --device cpu --size 64 --texture 32 --rgb-size 32 --crop 64 --steps 3 --batch 2 --micro-batch 2 "
        "--views 2 --holdout 1 --workers 0 --loop.log-every 1 --loop.show-every 2 --loop.save-every 2")  # fmt: skip


@dataclass(frozen=True)
class Command:
    """A command line; ``{in}`` and ``{out}`` are the folders of inputs and outputs."""

    words: str
    jobs: bool = False  # has --jobs
    brief: bool = False  # it ends before a signal comes, except while it imports

    def argv(self, given: Path, out: Path, jobs: int = 1) -> list[str]:
        words = self.words + f" --jobs {jobs}" * (self.jobs and jobs > 1)
        return [w.replace("{in}", str(given)).replace("{out}", str(out)) for w in words.split()]


COMMANDS = {
    "create": Command("create {in}/photos/a.png -o {out}/me.avatar --save-fit {out}/fit.npz --size 256"),
    "batch": Command("batch {in}/photos -o {out}", jobs=True),
    "synthesize": Command("synthesize -o {out} --people 2 --views 2 --size 64", jobs=True),
    "shards": Command("synthesize -o {out} --people 2 --views 1 --size 64 --shards 1", jobs=True),
    "fit": Command("fit {in}/photos -o {out} --masks --each", jobs=True),
    "export": Command("export {in}/me.avatar -o {out}/me.glb --motion idle", brief=True),
    # With several threads the last digits of an FBX, which holds 64 bits of each number, differ from run to run.
    "export fbx": Command("export {in}/me.avatar -o {out}/me.fbx --motion idle --threads 1", brief=True),
    "export usdz": Command("export {in}/me.avatar -o {out}/me.usdz --motion idle --threads 1", brief=True),
    "view": Command("view {in}/me.avatar --html {out}/me.html", brief=True),
    "animate": Command("animate {in}/me.avatar -o {out}/me.mp4 --motion wave --fps 10 --size 96"),
    "pictures": Command("animate {in}/me.avatar -o {out}/frames --motion wave --fps 5 --size 96"),
    "alive": Command("alive {in}/photos/a.png -o {out}/alive.mp4 --motion wave --fps 4"),
    "train": Command(f"train avatar --data {{in}}/people --run {{out}} {NANO}"),
    "compression": Command(
        f"train compression --textures --data {{in}}/people --run {{out}} --init {{in}}/avatar/weights {NANO}"
    ),
    "inpainting": Command(
        f"train inpainting --textures --data {{in}}/people --run {{out}} --init {{in}}/compression/weights {NANO}"
    ),
    "candidates": Command(
        "create {in}/photos/a.png -o {out}/me.avatar --size 64 --renderer neural --weights {in}/inpainting/weights "
        "--unseen diffusion --candidates 3 --no-refine"
    ),
}


def make_inputs(folder: Path, commands: Iterable[str] = ()) -> None:
    """Two photos, an avatar and three people; weights of the stages before, if one of ``commands`` reads them."""
    from PIL import Image

    from dinar.demo import PHOTO

    photo = Image.open(PHOTO).convert("RGB")
    small = photo.resize((photo.width * 360 // photo.height, 360))
    (folder / "photos").mkdir(parents=True)
    small.save(folder / "photos/a.png")
    small.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "photos/b.png")
    runs = [
        ["create", str(folder / "photos/a.png"), "-o", str(folder / "me.avatar"), "--size", "128", "--no-preview"],
        ["synthesize", "-o", str(folder / "people"), "--people", "3", "--views", "2", "--size", "64"],
    ]
    needed = {n: f"{{in}}/{n}/weights" for n in ("avatar", "compression", "inpainting")}
    last = max(
        (k for k, w in enumerate(needed.values(), 1) if any(w in COMMANDS[c].words for c in commands)), default=0
    )
    for name in [*needed][:last]:
        runs.append(COMMANDS["train" if name == "avatar" else name].argv(folder, folder / name))
    for argv in runs:
        run = start(argv, folder)
        if run.wait():
            raise SystemExit(f"{argv[0]} failed: {run.said()}")


@dataclass
class Watch:
    """What a fork does at its file operations under ``root``: count them, copy the folder, or die."""

    root: Path
    copies: Path | None = None  # folder for a copy of ``root`` before every operation, and after a part of every write
    at: int = 0  # operation, counted from 1, to die at; 0: none
    count: int = 0
    opened: Path | None = None  # the file that the last operation opened for writing
    busy: bool = False  # the operation is one of the copy

    def __call__(self, event: str, given: tuple) -> None:
        if self.busy or event not in EVENTS or isinstance(given[0], int):
            return
        if event == "open" and not (given[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        path = self._path(given[0], -1 if event in ("open", "os.rename") else given[-1])
        if not path.startswith(f"{self.root}/"):
            return
        self.count += 1
        if self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.copies:
            self.busy = True
            if self.opened and self.opened.is_file():
                torn = self.copies / f"{self.count - 1:04d}+" / self.opened.relative_to(self.root)
                shutil.copytree(self.root, self.copies / f"{self.count - 1:04d}+")
                os.truncate(torn, min(TORN, torn.stat().st_size))
            shutil.copytree(self.root, self.copies / f"{self.count:04d}")
            if event == "os.rename":
                self._note(Path(path), Path(self._path(given[1], -1)))
            self.busy = False
        self.opened = Path(path) if event == "open" else None

    def _note(self, source: Path, target: Path) -> None:
        """What is renamed is whole: its files are versions of results."""
        assert self.copies
        if not target.is_relative_to(self.root / "out"):
            return
        found = digests(source) if source.is_dir() else {"": _digest(source)}
        with open(self.copies.with_suffix(".versions"), "a") as f:
            for name, digest in found.items():
                f.write(f"{digest} {(target / name).relative_to(self.root / 'out')}\n")

    def _path(self, path: object, folder: object) -> str:
        name = os.fsdecode(path)  # type: ignore[arg-type]
        if isinstance(folder, int) and folder >= 0:
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        return os.path.abspath(name)


@dataclass
class Fork:
    """A run in a forked process."""

    process: int
    pipe: int

    def said(self) -> str:
        """All that it wrote to stderr; returns when it has ended, with whom else holds the pipe."""
        with os.fdopen(self.pipe, "rb") as f:
            return f.read().decode(errors="replace")

    def wait(self) -> int:
        """Exit status; negative: the number of the signal that ended it."""
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])


def start(
    argv: list[str],
    root: Path,  # working folder; its ``tmp`` is the folder of temporary files
    watch: Watch | None = None,
    before: Callable[[], None] = lambda: None,  # called in the fork
) -> Fork:
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return Fork(process, reading)
    status = 99
    try:
        os.dup2(writing, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.chdir(root)
        (root / "tmp").mkdir(exist_ok=True)
        os.environ["TMPDIR"] = tempfile.tempdir = str(root / "tmp")
        before()
        if watch:
            sys.addaudithook(watch)
        from dinar import cli
        from dinar.data import prepare

        prepare.CHUNK = 1
        try:
            cli.main(argv)
            status = 0
        except SystemExit as e:
            status = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException as e:
        print(f"Traceback: {type(e).__name__}: {e}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file, by its path in the folder."""
    return {str(p.relative_to(folder)): _digest(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def _digest(path: Path) -> str:
    """sha256 of a file; of a whole checkpoint that of its content, which pickle may write in several ways."""
    data = path.read_bytes()
    if path.suffix == ".pt":
        import torch

        with contextlib.suppress(Exception):  # torn
            data = _flat(torch.load(io.BytesIO(data), weights_only=True))
    return hashlib.sha256(data).hexdigest()


def _flat(content: Any) -> bytes:
    if isinstance(content, dict):
        return b"".join(f"{k}:".encode() + _flat(v) for k, v in content.items())
    if isinstance(content, list | tuple):
        return b"".join(map(_flat, content))
    return content.numpy().tobytes() if hasattr(content, "numpy") else repr(content).encode()


def finished(folder: Path) -> dict[str, str]:
    """Digests of what a user sees as a result: no temporaries (hidden), no logs."""
    hidden = lambda name: any(part.startswith(".") for part in Path(name).parts)  # noqa: E731
    return {n: d for n, d in digests(folder).items() if not hidden(n) and not Path(n).name.startswith(LOGS)}


def temporaries(*folders: Path) -> list[str]:
    return [str(p) for f in folders if f.is_dir() for p in f.rglob("*") if p.name.startswith(".dinar-")]


def emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
