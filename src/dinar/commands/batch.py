"""`dinar batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..batch import batch
from ..errors import DinarError
from .common import Output, Paths, Process, say


@dataclass
class Batch(Process):
    """Make an avatar, with default options, of each photo in a folder. A stopped run continues when started again."""

    photos: Paths = field(default_factory=list)
    """Photos, folders of photos, or .txt files with a path on each line."""
    out: Output = Path("avatars")
    """Folder for NAME.avatar and NAME.preview.png. failed.json says why photos have no avatar."""
    jobs: int = 1
    """Number of photos processed at once, each in a process with --threads CPU threads (0: one)."""


def run(c: Batch) -> None:

    if not c.photos:
        raise DinarError("expected photos: dinar batch FOLDER -o avatars")
    if failed := batch(c.photos, c.out, c.jobs, say, c.threads or 1):
        raise DinarError(f"{len(failed)} photos failed; {c.out / 'failed.json'} says why")
