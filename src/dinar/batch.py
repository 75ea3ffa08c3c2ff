"""Many photos, many avatars: one command that goes on where it was stopped and never redoes a finished one.

Photos are worked on by processes of this machine or of a cluster. An avatar's bytes are those of `create` with as many
threads, whatever the order and the number of workers. NAME.avatar is written last, whole or not at all: its presence
says that a photo is done. The manifest says what failed, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path

from .bounds import check_numbers
from .cluster import run_items
from .create import create_in
from .errors import DinarError
from .files import replaced_input, staging
from .manifest import NAME, finished, open_manifest, record
from .photo.image import PREVIEW, photos_of
from .pictures import write_image
from .pool import Failure
from .preview import preview
from .stores import Store, absolute, fetch, is_address, name_of
from .studio import CreateOptions, Studio, open_studio

UPLOAD = 60.0  # seconds between copies of the manifest into a folder elsewhere


def batch(
    sources: Sequence[str | Path],  # photos, folders, .txt lists; here, or addresses of fsspec
    folder: str | Path,
    jobs: int,
    say: Callable[[str], None],
    threads: int = 1,
    cluster: str | None = None,  # address of a Ray cluster: its processes do the work
    *,
    pictures: bool = True,  # with previews
    options: CreateOptions | None = None,  # of all avatars; None: the default ones
) -> dict[str, str]:
    """Make all avatars that are missing; returns {photo: reason} of the failures, as the manifest has them."""
    check_numbers(jobs=jobs, threads=threads)
    options = options or CreateOptions()
    if options.person is not None or options.masks or options.keypoints or options.fits:
        raise DinarError("expected options of all photos for a batch, got a person, mask, keypoints or fit of one")
    photos = {Path(name_of(p)).stem: p for p in photos_of(sources, say)}
    if cluster is not None:  # whose processes have other working directories
        photos = {stem: absolute(p) for stem, p in photos.items()}
        folder = absolute(folder)
    store = Store(folder)
    if not store.elsewhere:
        made = [Path(store.at(f"{stem}{suffix}")) for stem in photos for suffix in (".avatar", PREVIEW)]
        given = [p for p in (*photos.values(), *sources) if not is_address(p)]
        if lost := replaced_input([*made, Path(store.at(NAME))], given):
            raise DinarError(f"cannot write {lost}: it is an input. Give another folder")
    store.open()
    there = store.names()
    left = {stem: p for stem, p in photos.items() if f"{stem}.avatar" not in there}
    say(f"{len(photos)} photos, {len(photos) - len(left)} done already")
    with staging() as temporary:
        table = temporary / NAME if store.elsewhere else Path(store.at(NAME))
        if store.elsewhere and NAME in there:
            fetch(store.at(NAME), temporary)
        with open_manifest(table) as db:
            for stem in photos.keys() - left.keys() - finished(db):  # a killed run could not say so
                record(db, stem, photos[stem])
            failed: dict[str, str] = {}
            count, copied = 0, time.monotonic()

            def end(photo: str, outcome: float | Failure | None) -> None:
                nonlocal count, copied
                reason, seconds = (outcome.reason, None) if isinstance(outcome, Failure) else ("", outcome)
                record(db, Path(name_of(photo)).stem, photo, reason, seconds)
                count += 1
                if reason:
                    failed[photo] = reason
                say(f"{count}/{len(left)} {name_of(photo)}" + f": {reason}" * bool(reason))
                if store.elsewhere and time.monotonic() - copied > UPLOAD:
                    store.put(table, NAME)
                    copied = time.monotonic()

            try:
                work = partial(make, folder=str(store), pictures=pictures, options=options)
                run_items(work, list(left.values()), jobs=jobs, threads=threads, cluster=cluster, done=end)
            finally:
                if store.elsewhere:
                    store.put(table, NAME)
    return failed


def make(
    photo: str,
    folder: str,
    pictures: bool = True,
    options: CreateOptions = CreateOptions(),  # noqa: B008
) -> float | None:
    """Avatar and preview of a photo in ``folder``, and the seconds that they took; None: it had them."""
    store = Store(folder)
    if store.has(f"{Path(name_of(photo)).stem}.avatar"):  # by a worker that was killed before it could say
        return None
    with staging() as temporary:
        path = fetch(photo, temporary)
        avatar = create_in(_studio(options), [path])
        if pictures:
            with store.place(f"{path.stem}{PREVIEW}") as file:
                write_image(file, preview(avatar, avatar.work))
        with store.place(f"{path.stem}.avatar") as file:
            avatar.save(file)
        return round(sum(avatar.work.seconds.values()), 3)


@cache
def _studio(options: CreateOptions) -> Studio:
    """Body and networks, read once a process."""
    return open_studio(options)
