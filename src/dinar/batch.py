"""Many photos, many avatars: one command that goes on where it was stopped and never redoes a finished one.

Photos are worked on in groups, whose fits are one batch, by processes of this machine or of a cluster. An avatar's
bytes do not depend on the group, the order or the number of workers. NAME.avatar is written last, whole or not at all:
its presence says that a photo is done. The manifest says what failed, and why.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

from .bounds import check_numbers
from .cluster import run_items, workers
from .create import create_each
from .errors import DinarError, explain
from .files import replaced_input, staging
from .fit.smplify import PEOPLE
from .manifest import NAME, finished, open_manifest, record
from .photo.image import PREVIEW, photos_of
from .pictures import write_image
from .pool import Failure
from .preview import preview
from .stores import Store, absolute, fetch, is_address, name_of
from .studio import CreateOptions, Studio, open_studio

UPLOAD = 60.0  # seconds between copies of the manifest into a folder elsewhere
MEMORY = explain(MemoryError())  # a failure that may be the whole group's

Made = dict[str, tuple[str, float | None]]
"""Of each photo of a group why it has no avatar (empty: it has one), and the seconds that it took."""


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

            def end(photo: str, reason: str, seconds: float | None) -> None:
                nonlocal count, copied
                record(db, Path(name_of(photo)).stem, photo, reason, seconds)
                count += 1
                if reason:
                    failed[photo] = reason
                say(f"{count}/{len(left)} {name_of(photo)}" + f": {reason}" * bool(reason))
                if store.elsewhere and time.monotonic() - copied > UPLOAD:
                    store.put(table, NAME)
                    copied = time.monotonic()

            try:
                work = partial(make_group, folder=str(store), pictures=pictures, options=options)
                _run(work, list(left.values()), jobs, threads, cluster, end)
            finally:
                if store.elsewhere:
                    store.put(table, NAME)
    return failed


def _run(
    work: Callable[[Sequence[str]], Made],
    photos: list[str],
    jobs: int,
    threads: int,
    cluster: str | None,
    end: Callable[[str, str, float | None], None],
) -> None:
    """Work on groups, and then alone on those photos whose group failed as a whole."""
    alone: list[list[str]] = []

    def finish(group: list[str], outcome: Made | Failure) -> None:
        made = dict.fromkeys(group, (outcome.reason, None)) if isinstance(outcome, Failure) else outcome
        for photo, (reason, seconds) in made.items():
            if len(group) > 1 and (isinstance(outcome, Failure) or reason == MEMORY):
                alone.append([photo])
            else:
                end(photo, reason, seconds)

    for part in (groups(photos, workers(cluster, jobs, threads)) if photos else [], alone):
        run_items(work, part, jobs=jobs, threads=threads, cluster=cluster, done=finish)


def groups(photos: list[str], jobs: int) -> list[list[str]]:
    """At most PEOPLE in each, and the same number of groups for each job."""
    count = jobs * -(-len(photos) // (jobs * PEOPLE))
    cuts = [len(photos) * k // count for k in range(count + 1)] if photos else []
    return [photos[a:b] for a, b in pairwise(cuts) if b > a]


def make_group(
    photos: Sequence[str],
    folder: str,
    pictures: bool = True,
    options: CreateOptions = CreateOptions(),  # noqa: B008
) -> Made:
    """Avatars and previews of some photos in ``folder``; those that have one are not made again."""
    store, out = Store(folder), Made()
    with staging() as temporary:
        here: dict[Path, str] = {}
        for photo in photos:
            try:
                if store.has(f"{Path(name_of(photo)).stem}.avatar"):  # by a worker that was killed before it could say
                    out[photo] = "", None
                else:
                    here[fetch(photo, temporary)] = photo
            except Exception as e:
                out[photo] = explain(e), None
        for path, avatar in create_each(list(here), _studio(options)):
            try:
                if isinstance(avatar, Exception):
                    raise avatar
                if pictures:
                    with store.place(f"{path.stem}{PREVIEW}") as file:
                        write_image(file, preview(avatar, avatar.work))
                with store.place(f"{path.stem}.avatar") as file:
                    avatar.save(file)
                out[here[path]] = "", round(sum(avatar.work.seconds.values()), 3)
            except Exception as e:
                out[here[path]] = explain(e), None
    return out


@cache
def _studio(options: CreateOptions) -> Studio:
    """Body and networks, read once a process."""
    return open_studio(options)
