"""`dinar batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..batch import batch
from ..errors import DinarError
from .common import Common, Output, say


@dataclass
class Batch(Common):
    """Make an avatar of each of many photos; goes on where it was stopped."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos, folders of photos, or .txt lists of paths."""
    out: Output = Path("avatars")
    """Folder for NAME.avatar and NAME.preview.png; failed.json says what could not be made and why."""
    jobs: int = 1
    """Processes at once."""


def run(c: Batch) -> None:

    if c.body != "anny":
        raise DinarError("batch makes avatars with the default body only")
    if not c.photos:
        raise DinarError("expected photos: dinar batch FOLDER -o avatars")
    if failed := batch(c.photos, c.out, c.jobs, say):
        raise DinarError(f"{len(failed)} photos failed; {c.out / 'failed.json'} says why")
