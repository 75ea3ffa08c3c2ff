"""`dinar demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..demo import demo
from ..files import check_output
from .common import Output, Process, given_files, say


@dataclass
class Demo(Process):
    """Make an avatar from one photo, and all outputs: a preview, a turntable video, a walk video and a GLB."""

    photo: Annotated[Path | None, tyro.conf.Positional] = None
    """Photo of one person from head to feet. None: the demo photo, which shows a rendered person."""
    out: Output = Path("out/demo")
    """Folder for all files that are made."""


def run(c: Demo) -> None:

    check_output(c.out, given_files(c.photo), folder=True)
    demo(c.photo, c.out, say)
