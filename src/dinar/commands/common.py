"""What the commands share: options, progress, opening of bodies and avatars."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from ..avatar import Avatar
from ..body import Body, load_body
from ..body.motion import Motion, retarget
from ..body.readers import ASSUMED_FPS, load_motion
from ..errors import escape
from ..export import write_video
from ..scene.textured import over, to_uint8

MotionRate = Annotated[
    float | None,
    tyro.conf.arg(help="Frames per second of motion files that do not state their rate. None: 30, with a warning."),
]
Track = Annotated[
    str | None,
    tyro.conf.arg(help="Name of the person's track, in motion files of several people. None: the longest track."),
]
Required = tyro.conf.arg(help_behavior_hint="(required)")
Path1 = Annotated[Path, tyro.conf.Positional, Required]
Paths = Annotated[list[Path], tyro.conf.Positional, Required]
Names = Annotated[list[str], tyro.conf.Positional, Required]  # paths and addresses
Output = Annotated[Path, tyro.conf.arg(aliases=["-o"])]
T = TypeVar("T")
Flat = Annotated[T, tyro.conf.arg(name="")]  # a nested dataclass whose flags have no prefix


@dataclass
class Process:
    """Options that every command has."""

    threads: int = 0
    """Number of CPU threads. 0: one for each physical core."""
    device: str = "auto"
    """Where networks and pictures are computed: auto (the CPU; training: all GPUs), cpu, cuda, cuda:N or mps."""
    debug: bool = False
    """Show the Python traceback of an error, for bug reports."""
    verbose: bool = False
    """Report how motion and keypoint files were understood: file layout, frame rate."""


@dataclass
class Common(Process):
    """Options of commands with a body."""

    body: Literal["anny", "smplx"] = "anny"
    """Body model. `smplx` needs your licensed file in --body-path."""
    body_path: Path | None = None
    """SMPL-X model file, for example SMPLX_NEUTRAL.npz. Only for --body smplx."""


def open_body(c: Common) -> Body:
    return load_body(c.body, c.body_path)


def open_avatar(c: Common, path: Path) -> Avatar:
    return Avatar.load(path, None if c.body == "anny" else open_body(c))


def open_motion(name: str, fps: float | None = None, track: str | None = None) -> Motion:
    """A shipped motion, a file of one, or a video of a person or of a face."""
    from ..data.filmed import filmed_motion  # with all that reads photos
    from ..data.filmed_face import filmed_face
    from ..data.frames import VIDEOS

    if Path(name).suffix.lower() not in VIDEOS:
        return load_motion(name, fps=fps, track=track)
    with progress_bar(f"fitting {Path(name).name}") as show:
        return filmed_face(Path(name), show) or filmed_motion(Path(name), show)


def given_files(*names: str | Path | None) -> list[Path]:
    """The options that name a file or folder: a motion may be the name of a shipped one."""
    return [Path(n) for n in names if n is not None and os.path.exists(n)]


def say(*lines: str) -> None:
    """Lines on stderr. Names of files, in which lines may end, do not reach the terminal as they are."""
    print("\n".join(escape(line, sys.maxsize) for line in lines), file=sys.stderr, flush=True)


def first_pose(avatar: Avatar, name: str | None, track: str | None = None):
    """Pose [J, 3] of a static pose or of the first frame of a motion; None: the avatar's own."""
    if name is None:
        return None
    # One frame needs no rate, and no warning that it is missing.
    motion = load_motion(name, fps=ASSUMED_FPS, track=track)
    return retarget(motion.sliced(0, 1 / motion.fps), avatar.body, betas=avatar.betas)[0][0]


@contextmanager
def progress_bar(what: str, lines: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; elsewhere nothing, or with ``lines`` a line for each step."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if bar.disable and lines:
                say(f"{done}/{total}")

        yield show


def write_frames(out: Path, frames: Iterable, fps: float, total: int, sound: Path | None = None) -> None:

    opaque = out.suffix.lower() == ".mp4"
    pictures = (to_uint8(over(f) if opaque else f) for f in frames)
    write_video(out, pictures, fps, total, progress=sys.stderr.isatty(), sound=sound)
