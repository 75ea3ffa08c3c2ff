"""Many photos, many avatars: one command that goes on where it was stopped and never redoes a finished one."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from .create import create
from .errors import DinarError
from .files import check_output, replaced_input, replacing
from .photo.image import PREVIEW, photos_of
from .pool import Failure, run_pool
from .preview import preview, write_image


def make_one(photo: Path, folder: Path) -> None:
    """Avatar and preview of one photo in ``folder``."""
    avatar = create(photo)
    write_image(folder / f"{photo.stem}{PREVIEW}", preview(avatar, avatar.work))
    avatar.save(folder / f"{photo.stem}.avatar")  # last: its presence says that the photo is done


def batch(
    sources: Sequence[Path], folder: Path, jobs: int, say: Callable[[str], None], threads: int = 1
) -> dict[str, str]:
    """Make all avatars that are missing; returns {photo: reason} of the failures, also kept in ``failed.json``."""
    photos = photos_of(sources, say)
    check_output(folder, folder=True)
    made = [folder / f"{p.stem}{suffix}" for p in photos for suffix in (".avatar", PREVIEW)]
    if lost := replaced_input([*made, folder / "failed.json"], [*photos, *sources]):
        raise DinarError(f"cannot write {lost}: it is an input. Give another folder")
    folder.mkdir(parents=True, exist_ok=True)
    left = [p for p in photos if not (folder / f"{p.stem}.avatar").exists()]
    say(f"{len(photos)} photos, {len(photos) - len(left)} done already")
    failed: dict[str, str] = {}
    count = 0

    def finish(photo: Path, outcome: Failure | None) -> None:
        nonlocal count
        count += 1
        if isinstance(outcome, Failure):
            failed[str(photo)] = outcome.reason
        say(f"{count}/{len(left)} {photo.name}" + (f": {outcome.reason}" if isinstance(outcome, Failure) else ""))

    run_pool(partial(make_one, folder=folder), left, jobs=jobs, threads=threads, done=finish)
    with replacing(folder / "failed.json") as temporary:
        temporary.write_text(json.dumps(failed, indent=1, sort_keys=True))
    return failed
