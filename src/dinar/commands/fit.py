"""`dinar fit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from ..data.frames import import_people
from ..data.prepare import describe, prepare
from ..errors import DinarError
from ..files import check_output
from .common import Common, Output, progress_bar, say


@dataclass
class Fit(Common):
    """Fit the body to many photos (a photo set to learn from), or to videos of people; goes on where it was stopped."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos, folders of photos or .txt lists; with --frames a video, or a folder of videos and folders of frames."""
    out: Output = Path("fits")
    """Folder: fits.npz and report.txt (what was left out, and why); with --frames a multi-view folder."""
    jobs: int = 1
    """Processes at once."""
    masks: bool = False
    """Also keep the person masks, which are made again otherwise."""
    each: bool = False
    """Also write each/NAME.npz for every photo, which `dinar create --fit` takes."""
    frames: int = 0
    """Videos or frame folders of one person each: fit so many frames with one shape."""
    size: int = 512
    """Pixels a side of the pictures that --frames writes."""


def run(c: Fit) -> None:

    if not c.photos or (c.frames and len(c.photos) > 1):
        raise DinarError("expected photos: dinar fit FOLDER -o fits" + (", or one folder of videos" * bool(c.frames)))
    check_output(c.out, folder=True)
    body = (c.body, c.body_path)
    with progress_bar("fitting", lines=True) as show:
        if c.frames:
            report = import_people(c.photos[0], c.out, frames=c.frames, size=c.size, jobs=c.jobs, body=body,
                                   progress=show)  # fmt: skip
        else:
            report = prepare(c.photos, c.out, jobs=c.jobs, masks=c.masks, each=c.each, body=body, progress=show)
    if c.frames:
        say(f"{report['fitted']} people fitted" + "".join(f"\n  {n}: {w}" for n, w in report["left_out"].items()))
    else:
        say(describe(report).rstrip())
    if not report["fitted"]:
        raise DinarError(f"nothing could be fitted; {c.out / 'report.json'} says why")
