"""`dinar synthesize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..files import PICTURES, check_output
from ..synthetic.export import contact_sheet, synthesize
from ..synthetic.source import Synthetic
from .common import given_files, progress_bar, say


@dataclass
class Synthesize:
    """Make random clothed people to learn from: pictures of many views with bodies, masks, classes, normals, depth."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("people")
    """Folder to write; goes on where it was stopped. With --sheet a picture."""
    people: int = 100
    """How many."""
    views: int = 8
    """Pictures of each."""
    size: int = 512
    """Pixels a side."""
    seed: int = 0
    """The same seed, the same people."""
    assets: Path | None = None
    """MakeHuman's asset folder (the one that holds base/clothes, base/hair, base/skins): richer people."""
    motions: Path | None = None
    """A folder of motion clips for the poses (AMASS npz, BVH, DeepMimic txt, ...)."""
    backgrounds: Path | None = None
    """A folder of pictures to stand in front of."""
    plain: bool = False
    """No background and no camera noise."""
    shards: int = 0
    """People in each tar file (webdataset); 0: a folder of folders."""
    sheet: bool = False
    """Only draw a contact sheet of all people, front and back."""
    jobs: int = 1
    """Processes at once."""
    device: str = "cpu"
    """cpu or cuda."""
    threads: int = 0
    """CPU threads of a process; 0: one for each physical core."""
    debug: bool = False
    """Show the whole traceback of an error."""


def run(c: Synthesize) -> None:

    given = given_files(c.assets, c.motions, c.backgrounds)
    check_output(c.out, given, PICTURES if c.sheet else (), folder=not c.sheet)
    text = lambda p: None if p is None else str(p)  # noqa: E731
    source = Synthetic(c.seed, c.size, c.views, c.people, text(c.assets), text(c.motions), text(c.backgrounds),
                       not c.plain, c.device)  # fmt: skip
    with progress_bar("people") as show:
        if c.sheet:
            contact_sheet(source, c.out, c.people, progress=show)
            say(f"{c.out}: {c.people} people, front and back")
        else:
            made = synthesize(source, c.out, c.people, per_shard=c.shards, jobs=c.jobs, progress=show)
            say(f"{c.out}: {made} people made, {c.people - made} were there")
