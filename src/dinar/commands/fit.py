"""`dinar fit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..data.frames import VIDEOS, import_people
from ..data.prepare import describe, prepare
from ..errors import DinarError
from ..files import check_output
from .common import Common, Output, Paths, progress_bar, say


@dataclass
class Fit(Common):
    """Fit the body model to photos or videos: a training set. A stopped run continues when started again."""

    photos: Paths = field(default_factory=list)
    """Photos, folders of photos, or .txt files with a path on each line. With --frames: a video or a folder of them."""
    out: Output = Path("fits")
    """Folder for fits.npz and report.txt (refused photos and why). With --frames: folder of a multi-view set."""
    jobs: int = 1
    """Number of photos or videos fitted at once, each in a process with --threads CPU threads (0: one)."""
    masks: bool = False
    """Also write masks, labels and the offsets from body to clothes, which training needs. Photos only."""
    each: bool = False
    """Also write OUT/each/NAME.npz for every photo, as input of `dinar create --fit`. Photos only."""
    # Number of frames to fit in each video or folder of frames. A video shows one person, whose body shape is shared by
    # all frames. 0: the inputs are photos.
    frames: int = 0
    size: int = 512
    """With --frames: side of the written pictures in pixels."""
    cluster: str | None = None
    """Ray cluster whose processes fit photos: auto (started on this machine) or its address. None: --jobs processes."""


def run(c: Fit) -> None:

    if not c.photos or (c.frames and len(c.photos) > 1):
        raise DinarError("expected photos: dinar fit FOLDER -o fits" + (", or one folder of videos" * bool(c.frames)))
    if not c.frames and (videos := [p for p in c.photos if p.suffix.lower() in VIDEOS and p.is_file()]):
        raise DinarError(f"{videos[0]} is a video: expected --frames N, the number of its frames to fit")
    if c.frames and (c.masks or c.each):
        raise DinarError("--masks and --each are for photos: expected none of them with --frames")
    check_output(c.out, folder=True)
    body = (c.body, c.body_path)
    with progress_bar("fitting", lines=True) as show:
        if c.frames:
            report = import_people(c.photos[0], c.out, frames=c.frames, size=c.size, jobs=c.jobs,
                                   threads=c.threads or 1, body=body, progress=show)  # fmt: skip
        else:
            report = prepare(c.photos, c.out, jobs=c.jobs, threads=c.threads or 1, cluster=c.cluster, masks=c.masks,
                             each=c.each, body=body, progress=show, tell=say)  # fmt: skip
    if c.frames:
        say(f"{report['fitted']} people fitted", *(f"  {n}: {w}" for n, w in report["left_out"].items()))
    else:
        say(*describe(report))
    if not report["fitted"]:
        raise DinarError(f"nothing could be fitted; {c.out / 'report.json'} says why")
