"""Many photos, many avatars: one command that goes on where it was stopped and never redoes a finished one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import torch

from .create import create
from .errors import DinarError
from .files import replacing
from .photo.image import photos_of
from .preview import preview, write_image


def make_one(photo: Path, folder: Path) -> str | None:
    """Avatar and preview of one photo in ``folder``; the reason if it cannot be made."""
    torch.set_num_threads(1)
    try:
        avatar = create(photo)
    except DinarError as e:
        return str(e)
    write_image(folder / f"{photo.stem}.preview.png", preview(avatar, avatar.work))
    avatar.save(folder / f"{photo.stem}.avatar")  # last: its presence says that the photo is done
    return None


def batch(sources: Sequence[Path], folder: Path, jobs: int, say: Callable[[str], None]) -> dict[str, str]:
    """Make all avatars that are missing; returns {photo: reason} of the failures, also kept in ``failed.json``."""
    photos = photos_of(sources)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise DinarError(f"cannot write into {folder}: {e.strerror}") from e
    left = [p for p in photos if not (folder / f"{p.stem}.avatar").exists()]
    say(f"{len(photos)} photos, {len(photos) - len(left)} done already")
    failed: dict[str, str] = {}

    def finish(k: int, photo: Path, reason: str | None) -> None:
        if reason:
            failed[str(photo)] = reason
        say(f"{k}/{len(left)} {photo.name}" + (f": {reason}" if reason else ""))

    if jobs <= 1:
        for k, photo in enumerate(left, 1):
            finish(k, photo, make_one(photo, folder))
    else:
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            todo = {pool.submit(make_one, p, folder): p for p in left}
            for k, done in enumerate(as_completed(todo), 1):
                finish(k, todo[done], done.result())
    with replacing(folder / "failed.json") as temporary:
        temporary.write_text(json.dumps(failed, indent=1, sort_keys=True))
    return failed
