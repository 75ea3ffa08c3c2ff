"""`dinar demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..demo import demo
from ..files import check_output
from .common import Common, Output, given_files, say


@dataclass
class Demo(Common):
    """Make an avatar, a preview, two videos and a GLB from one photo."""

    photo: Annotated[Path | None, tyro.conf.Positional] = None
    """Photo of a whole person. None: the demo photo, a rendered person."""
    out: Output = Path("out/demo")
    """Folder for all files."""


def run(c: Demo) -> None:

    check_output(c.out, given_files(c.photo), folder=True)
    demo(c.photo, c.out, say)
