"""Sources of people by name, for `dinar train --data` and `dinar evaluate`."""

from __future__ import annotations

import os
from pathlib import Path

from .body import load_body
from .data.photos import Photos
from .data.release import PARTS, Released
from .data.shards import open_set
from .errors import DinarError
from .synthetic.source import Synthetic
from .views import Source

SYNTHETIC = "synthetic"  # the name of people that are generated when they are asked for


def open_source(
    name: str | Path,
    size: int,  # pixels a side of pictures that are cropped or rendered here; sets on disk have a size of their own
    *,
    seed: int = 0,  # of generated people
    people: int | None = None,  # how many generated people there are; None: endless
    body_path: Path | None = None,  # SMPLX_*.npz, for the authors' layout
) -> Source:
    """A source of people, by what its name is:

    - a multi-view set, a folder or its shards (`dinar synthesize`, `dinar fit --frames`)
    - ``PHOTOS:FITS``: a folder of photos and its fits (`dinar fit`)
    - a folder with rgb, segm and smplx: the layout of the authors' released system, for the smplx body
    - the word ``synthetic``: generated people
    """
    if str(name) == SYNTHETIC:
        return Synthetic(seed, size, length=people)
    drive, rest = os.path.splitdrive(str(name))
    if ":" in rest and not Path(name).exists():
        photos, fits = rest.split(":", 1)
        return Photos(drive + photos, fits, size)
    if all((Path(name) / part).is_dir() for part in PARTS):
        if body_path is None:
            raise DinarError(f"{name} holds SMPL-X parameters: add --body smplx --body-path SMPLX_NEUTRAL.npz")
        return Released(name, load_body("smplx", body_path), size, body_path)
    return open_set(name)
