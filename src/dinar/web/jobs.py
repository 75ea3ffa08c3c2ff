"""The jobs of `dinar serve`: a folder for each, a queue, and worker processes. They survive a restart.

A job's folder has the photos as they were uploaded (photo-1, photo-2, ...), job.json, and what its worker made. Its
name is the job's id: 128 random bits, which only whoever uploaded the photos knows.
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, Literal, get_args

from ..arrays import read_json
from ..errors import DinarError, escape
from ..files import check_output, replacing, staging
from ..pool import Failure, Server
from .work import CLIP, FILES, PROGRESS

MAX_WAITING = 100  # jobs in the queue: half an hour of work
LONGEST = 900  # seconds: a job that takes longer is ended; the slowest of 100 photos took 60
MIN_FREE = 200 << 20  # bytes: below, uploads are refused; a job takes about 18 MB
MAX_JOB = 1 << 20  # bytes of job.json
ID = re.compile(r"[0-9a-f]{32}")
State = Literal["waiting", "running", "choose", "done", "failed"]
_log = logging.getLogger(__name__)


class Full(Exception):
    """There is no room for another job now."""


@dataclass
class Job:
    """What is known about a job; job.json."""

    id: str
    name: str  # of the avatar, from the file's name
    photos: int
    created: float  # seconds since 1970
    state: State = "waiting"
    person: int | None = None  # whose avatar it is, counted from the left
    people: list[dict[str, Any]] = field(default_factory=list)  # in state "choose": {"person", "box"} of each
    error: str = ""  # why it failed; of one that is done: why the motion of a video was not added


class Jobs:
    """The jobs of a folder. ``work`` does one in a worker process, see :func:`dinar.web.work.make`."""

    def __init__(
        self, folder: Path, work: Callable[[Path], dict[str, Any]], processes: int = 1, threads: int = 1
    ) -> None:
        check_output(folder, folder=True)
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._jobs: dict[str, Job] = {}
        self._queue: list[str] = []
        self._change = threading.Condition()
        self._running: dict[str, Server[Path, dict[str, Any]]] = {}
        self._closed = False
        for job in sorted(map(_read, folder.iterdir()), key=lambda j: j.created if j else 0):
            if job is not None:
                self._jobs[job.id] = job
                if job.state in ("waiting", "running"):
                    job.state = "waiting"
                    self._queue.append(job.id)
        self._threads = [threading.Thread(target=self._serve, args=(Server(work, threads),), daemon=True)
                         for _ in range(processes)]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def add(self, name: str, photos: Sequence[BinaryIO]) -> Job:
        """A new job with copies of the photos, whole or not at all."""
        if shutil.disk_usage(self.folder).free < MIN_FREE:
            raise Full("the disk of the server is full")
        if len(self._queue) >= MAX_WAITING:
            raise Full(f"{len(self._queue)} photos are waiting already: try again in some minutes")
        job = Job(secrets.token_hex(16), display_name(name), len(photos), time.time())
        with staging(self.folder) as temporary:
            for i, photo in enumerate(photos):
                with (temporary / f"photo-{i + 1}").open("wb") as f:
                    shutil.copyfileobj(photo, f, 1 << 20)
            (temporary / "job.json").write_text(json.dumps(asdict(job)), "utf-8")
            os.rename(temporary, self.folder / job.id)
        with self._change:
            self._jobs[job.id] = job
            self._queue.append(job.id)
            self._change.notify()
        return job

    def get(self, id: str) -> dict[str, Any] | None:
        """A job with its step, share of the work, place in the queue and files."""
        with self._change:
            job = self._jobs.get(id)
            if job is None:
                return None
            about = asdict(job)
            place = self._queue.index(id) if id in self._queue else 0
        folder = self.folder / id
        progress = {"step": "Waiting", "share": 0.0}
        if job.state == "running":
            try:
                progress = json.loads((folder / PROGRESS).read_text("utf-8"))
            except (OSError, ValueError):
                progress["step"] = "Starting"
        return about | progress | {"ahead": place, "files": [n for n in FILES if (folder / n).is_file()]}

    def file(self, id: str, name: str) -> Path | None:
        """A finished file of a job."""
        path = self.folder / id / name
        return path if id in self._jobs and name in FILES and path.is_file() else None

    def choose(self, id: str, person: int) -> None:
        """Say whose avatar is meant, where a job asks."""
        with self._change:
            job = self._jobs[id]
            known = [p["person"] for p in job.people]
            if job.state != "choose" or person not in known:
                raise DinarError(f"expected one of the people {known}, got {person}, in state {job.state}")
            job.person, job.state = person, "waiting"
            self._save(job)
            self._queue.append(id)
            self._change.notify()

    def film(self, id: str, clip: BinaryIO) -> None:
        """Queue a job that is done once more: the motion of a video is added to its avatar."""
        if shutil.disk_usage(self.folder).free < MIN_FREE:
            raise Full("the disk of the server is full")
        if len(self._queue) >= MAX_WAITING:
            raise Full(f"{len(self._queue)} photos are waiting already: try again in some minutes")
        with self._change:
            job = self._jobs.get(id)
            if job is None or job.state != "done":
                raise DinarError(f"expected an avatar that is done, got {'none' if job is None else job.state}")
            job.state, job.error = "waiting", ""
        try:
            with replacing(self.folder / id / CLIP) as temporary, temporary.open("wb") as f:
                shutil.copyfileobj(clip, f, 1 << 20)
        except BaseException:
            job.state = "done"
            raise
        with self._change:
            self._save(job)
            self._queue.append(id)
            self._change.notify()

    def delete(self, id: str) -> None:
        """Remove a job with all its files; one that runs is ended."""
        with self._change:
            self._jobs.pop(id, None)
            if id in self._queue:
                self._queue.remove(id)
            runner = self._running.get(id)
        if runner is not None:
            runner.stop()  # its thread removes the folder, after the process
        else:
            shutil.rmtree(self.folder / id, ignore_errors=True)

    def close(self) -> None:
        """End all workers. Jobs that run begin anew after the next start."""
        with self._change:
            self._closed = True
            self._change.notify_all()
            for runner in self._running.values():
                runner.stop()
        for thread in self._threads:
            thread.join(5)

    # ---- the threads that feed the worker processes --------------------------------------------------------------

    def _serve(self, runner: Server[Path, dict[str, Any]]) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._closed)
                if self._closed:
                    break
                job = self._jobs[self._queue.pop(0)]
                job.state = "running"
                self._running[job.id] = runner
                self._save(job)
            try:
                outcome = runner.run(self.folder / job.id, LONGEST)
            except Exception as e:  # this thread goes on, whatever happens to one job
                outcome = Failure(f"unexpected error, please report it: {e!r}")
            with self._change:
                del self._running[job.id]
                if job.id not in self._jobs:  # deleted meanwhile
                    shutil.rmtree(self.folder / job.id, ignore_errors=True)
                elif not self._closed:
                    self._finish(job, outcome)
        runner.stop()

    def _finish(self, job: Job, outcome: dict[str, Any] | Failure) -> None:
        clip = self.folder / job.id / CLIP
        if isinstance(outcome, Failure):
            _log.warning("job %s...: %s", job.id[:4], outcome.trace or outcome.reason)
            job.state = "done" if clip.exists() else "failed"  # the avatar is there, its motion is not
            clip.unlink(missing_ok=True)
            job.error = outcome.reason.replace(f"{self.folder / job.id}{os.sep}", "")  # no path of the server
        else:
            job.state, job.people, job.error = outcome["state"], outcome.get("people", []), outcome.get("error", "")
        self._save(job)

    def _save(self, job: Job) -> None:
        try:
            with replacing(self.folder / job.id / "job.json") as temporary:
                temporary.write_text(json.dumps(asdict(job)), "utf-8")
        except (DinarError, OSError) as e:  # a full disk: the job goes on, and begins anew after a restart
            _log.warning("job %s...: %s", job.id[:4], e)


def display_name(name: str) -> str:
    """The name of an avatar, from that of a file as its user's browser told it; it is never a path."""
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return escape(stem.strip(" ."), 60) or "avatar"


def _read(folder: Path) -> Job | None:
    """The job of a folder; None for what is none, or says what no job does."""
    try:
        job = Job(**read_json(folder / "job.json", limit=MAX_JOB))
    except (DinarError, OSError, TypeError):
        return None
    known = bool(ID.fullmatch(folder.name)) and job.id == folder.name
    return job if known and not folder.is_symlink() and _is_possible(job) else None


def _is_possible(job: Job) -> bool:
    def number(x: object) -> bool:  # and not NaN
        return type(x) in (int, float) and -1e12 < x < 1e12  # type: ignore[operator]

    def index(x: object) -> bool:
        return type(x) is int and number(x)

    people = job.people if isinstance(job.people, list) else [None]
    boxes = [p.get("box") if isinstance(p, dict) and index(p.get("person")) else None for p in people]
    return (
        isinstance(job.name, str) and isinstance(job.error, str) and job.state in get_args(State)
        and number(job.created) and number(job.photos) and (job.person is None or index(job.person))
        and all(isinstance(b, list) and len(b) == 4 and all(map(number, b)) for b in boxes)
    )  # fmt: skip
