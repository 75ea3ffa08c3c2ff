"""Frames of a turning person, chosen and copied for `dinar evaluate sequence`."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import imageio.v3 as iio

from ..data.frames import MASKS, Clip, read_frames
from ..data.video import video_frames
from ..errors import DinarError
from ..files import replacing
from ..pictures import SUFFIXES


def stage(clip: Clip, folder: Path, count: int, wanted: str | None) -> None:
    """Copy evenly spread frames of a clip, the wanted one among them, with their masks, into a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch, replacing(folder, folder=True) as new:
        for name, picture in read_frames(clip.source, count, Path(scratch)):
            shutil.copy(picture, new / f"{name}{picture.suffix}")
        if wanted is not None and not list(new.glob(f"{wanted}.*")):
            _copy_frame(clip, wanted, new)
        for mask in clip.masks.iterdir() if clip.masks else ():
            if list(new.glob(f"{mask.stem}.*")):
                (new / MASKS[0]).mkdir(exist_ok=True)
                shutil.copy(mask, new / MASKS[0])
        if clip.camera:
            shutil.copy(clip.camera, new / "camera.pkl")


def _copy_frame(clip: Clip, name: str, new: Path) -> None:
    if clip.source.is_dir():
        found = [p for s in SUFFIXES if (p := clip.source / f"{name}{s}").is_file()]
        if not found:
            raise DinarError(f"{clip.source} has no frame {name} to make an avatar from")
        shutil.copy(found[0], new)
        return
    found = next(video_frames(clip.source, [int(name)]), None) if name.isdecimal() else None
    if found is None:
        raise DinarError(f"{clip.source}: expected the number of one of its frames, got {name}")
    iio.imwrite(new / f"{found[0]:05d}.png", found[1])
