"""`dinar demo`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..demo import demo
from .common import Common, Output, say


@dataclass
class Demo(Common):
    """Everything at once: avatar, preview, turntable, walk and GLB, from a photo (default: a rendered person)."""

    photo: Annotated[Path | None, tyro.conf.Positional] = None
    out: Output = Path("out/demo")


def run(c: Demo) -> None:

    demo(c.photo, c.out, say)
