"""`dinar fit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..data.frames import import_people
from ..data.prepare import describe, prepare
from ..errors import DinarError
from ..files import check_output
from .common import Common, Output, Paths, progress_bar, say


@dataclass
class Fit(Common):
    """Fit the body to photos or videos and write a training set. A stopped run continues when started again."""

    photos: Paths = field(default_factory=list)
    """Photos, folders of photos, or .txt files with one path a line. With --frames: a video or a folder of videos."""
    out: Output = Path("fits")
    """Folder for fits.npz and report.txt, which lists refused photos. With --frames: a multi-view set."""
    jobs: int = 1
    """Number of processes."""
    masks: bool = False
    """Also write person masks and clothes offsets. Training then need not compute them."""
    each: bool = False
    """Also write each/NAME.npz for every photo, the input of `dinar create --fit`."""
    frames: int = 0
    """Fit videos or frame folders of one person each: this number of frames, with one shape. 0: fit photos."""
    size: int = 512
    """With --frames: side of the written pictures in pixels."""


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
