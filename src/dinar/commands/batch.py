"""`dinar batch`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import tyro

from ..batch import batch
from ..errors import DinarError
from ..manifest import NAME
from ..stores import Store
from .common import Names, Process, say


@dataclass
class Batch(Process):
    """Make an avatar, with default options, of each photo in a folder. A stopped run continues when started again."""

    photos: Names = field(default_factory=list)
    """Photos, folders of photos, or .txt files with a path on each line; also addresses such as s3://bucket/photos."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "avatars"
    """Folder or address for NAME.avatar, NAME.preview.png and manifest.sqlite: what is done, and why photos failed."""
    preview: bool = True
    """Write the previews: pictures of the body fit and of the avatar from all sides."""
    jobs: int = 1
    """Number of photos processed at once, each in a process with --threads CPU threads (0: one)."""
    cluster: str | None = None
    """Ray cluster that does the work: auto (started on this machine) or its address. None: --jobs processes."""


def run(c: Batch) -> None:

    if not c.photos:
        raise DinarError("expected photos: dinar batch FOLDER -o avatars")
    if failed := batch(c.photos, c.out, c.jobs, say, c.threads or 1, c.cluster, pictures=c.preview):
        raise DinarError(f"{len(failed)} photos failed; {Store(c.out).at(NAME)} says why")
