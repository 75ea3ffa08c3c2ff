"""`dinar synthesize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ..device import current
from ..files import PICTURES, check_output
from ..synthetic.export import contact_sheet, synthesize
from ..synthetic.source import Synthetic
from .common import Process, given_files, progress_bar, say


@dataclass
class Synthesize(Process):
    """Render a training set of random clothed people, with body fits, masks, class maps, normals and depth."""

    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("people")
    """Folder to write; a stopped run continues when started again. With --sheet: the picture file to write."""
    people: int = 100
    """Number of people."""
    views: int = 8
    """Number of pictures of each person."""
    size: int = 512
    """Side of the pictures in pixels."""
    seed: int = 0
    """Random seed. The same seed gives the same people."""
    assets: Path | None = None
    """MakeHuman's asset folder, with base/clothes, base/hair and base/skins. None: without these."""
    motions: Path | None = None
    """Folder of motion clips (AMASS npz, BVH, DeepMimic txt, ...) for 30 % of the poses. None: generated poses only."""
    backgrounds: Path | None = None
    """Folder of background pictures. None: generated surroundings."""
    plain: bool = False
    """Leave out the background (black instead) and the camera noise."""
    # A set for `dinar train surface`: people also sit, kneel, crouch and lie, and cameras are on all sides and at all
    # heights. Surface coordinates (the body point of each pixel) are written in place of body fits.
    varied: bool = False
    shards: int = 0
    """Number of people in each tar file (webdataset). 0: a folder for each person, no tar files."""
    sheet: bool = False
    """Write only one picture that shows all people from the front and the back, and no training set."""
    jobs: int = 1
    """Number of people made at once, in processes. If more than 1, each has --threads CPU threads (0: one)."""
    cluster: str | None = None
    """Ray cluster that does the work: auto (started on this machine) or its address. None: --jobs processes."""


def run(c: Synthesize) -> None:

    given = given_files(c.assets, c.motions, c.backgrounds)
    check_output(c.out, given, PICTURES if c.sheet else (), folder=not c.sheet)
    text = lambda p: None if p is None else str(p)  # noqa: E731
    source = Synthetic(c.seed, c.size, c.views, c.people, text(c.assets), text(c.motions), text(c.backgrounds),
                       not c.plain, "cuda" if current().type == "cuda" else "cpu", varied=c.varied)  # fmt: skip
    with progress_bar("people") as show:
        if c.sheet:
            contact_sheet(source, c.out, c.people, progress=show)
            say(f"{c.out}: {c.people} people, front and back")
        else:
            made = synthesize(source, c.out, c.people, per_shard=c.shards, jobs=c.jobs, threads=c.threads,
                              cluster=c.cluster, progress=show)  # fmt: skip
            say(f"{c.out}: {made} people made, {c.people - made} were there")
