"""Write generated people into a multi-view folder or shards, resumable; contact sheets of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..body import load_body
from ..bounds import check_numbers
from ..cluster import run_items
from ..data.dressing import dressed
from ..data.folder import start_set, write_views
from ..data.shards import shard_path, write_shard
from ..errors import DinarError
from ..files import replacing
from ..pictures import write_array
from ..pool import Failure
from .source import Synthetic

Job = tuple[Synthetic, Path, int | None, range]
"""The source, the set's folder, the number of the shard if there are shards, and the people to write."""


def synthesize(
    source: Synthetic,
    out: Path,
    people: int,
    *,
    per_shard: int = 0,  # people in each tar; 0: a folder of folders
    jobs: int = 1,  # processes
    threads: int = 0,  # of each process; 0: one if there are several processes, else as they are
    cluster: str | None = None,  # address of a Ray cluster: its processes do the work
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write people 0 to people - 1; existing ones are kept. Returns the number of people that were generated."""
    check_numbers(people=people, jobs=jobs)
    out = Path(os.path.abspath(out))  # the processes of a cluster have other working directories
    made = {k: v for k, v in vars(source).items() if k in {f.name for f in dataclasses.fields(source)}}
    made = {k: made[k] for k in ("seed", "views_per_person", "background", *(["varied"] if source.varied else []))}
    made |= {k: bool(getattr(source, k)) for k in ("assets", "motions", "backgrounds")}
    layout = {"layout": "shards", "per_shard": per_shard} if per_shard else {}
    start_set(out, source.body, (source.size, source.size), generator=made, **layout)
    if per_shard:
        todo = [k for k in range(-(-people // per_shard)) if not shard_path(out, k).exists()]
        work: list[Job] = [(source, out, k, range(k * per_shard, min(people, (k + 1) * per_shard))) for k in todo]
    else:
        done = {p.name for p in out.iterdir() if (p / "views.npz").is_file()}
        todo = [i for i in range(people) if f"{source.seed}-{i:06d}" not in done]
        work = [(source, out, None, range(i, i + 1)) for i in todo]
    total, count = sum(len(w[3]) for w in work), 0
    progress(0, total)

    def finish(job: Job, outcome: int | Failure) -> None:
        nonlocal count
        count += 0 if isinstance(outcome, Failure) else outcome
        progress(count, total)

    outcomes = run_items(_write, work, jobs=jobs, threads=threads or int(jobs > 1), cluster=cluster, done=finish)
    if failures := [o for o in outcomes if isinstance(o, Failure)]:
        raise DinarError(f"{total - count} of {total} people could not be made; the first reason: {failures[0].reason}")
    return count


def _write(job: Job) -> int:
    source, out, shard, people = job
    body = load_body(source.body)  # type: ignore[arg-type]
    made = (source.views(i).to("cpu") for i in people)
    views = made if source.varied else (dressed(v, body) for v in made)
    if shard is None:
        for v in views:
            write_views(out, v)
    else:
        write_shard(out, shard, views)
    return len(people)


def contact_sheet(
    source: Synthetic,
    out: Path,
    people: int = 64,
    tile: int = 256,  # pixels a side of a person in the sheet
    columns: int = 8,
    first: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Front and back of random people side by side, two tiles for each person."""
    rows, row = [], []
    for k, i in enumerate(range(first, first + people)):
        two = source.front_and_back(i)
        row.append(np.concatenate([_shrunk(im, tile) for im in two], 1))
        if len(row) == columns:
            rows, row = [*rows, np.concatenate(row, 1)], []
        progress(k + 1, people)
    if row:
        row += [np.zeros_like(row[0])] * (columns - len(row))
        rows.append(np.concatenate(row, 1))
    with replacing(out) as temporary:
        quality = [] if out.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 88]
        write_array(temporary, np.concatenate(rows)[..., ::-1], quality)


def _shrunk(image: np.ndarray, tile: int) -> np.ndarray:
    """The centre of a picture in portrait format."""
    h, w = image.shape[:2]
    middle = image[:, w // 5 : w - w // 5]
    return cv2.resize(middle, (round(tile * middle.shape[1] / h), tile), interpolation=cv2.INTER_AREA)
