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
    """Everything at once: avatar, preview, turntable, walk and GLB, from a photo (default: a rendered person)."""

    photo: Annotated[Path | None, tyro.conf.Positional] = None
    out: Output = Path("out/demo")


def run(c: Demo) -> None:

    check_output(c.out, given_files(c.photo), folder=True)
    demo(c.photo, c.out, say)
