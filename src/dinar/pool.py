"""Work on many items in several processes.

The failure of one item is that item's result and ends nothing else. An item whose process was killed (by the system, as
memory ran out, or by a crash) is tried once more with no other process beside it. An interrupt, SIGTERM, or the end of
the calling process ends all workers within ``GRACE`` seconds; what they had begun is undone by their own clean-up.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

import cv2
import torch

from .bounds import check_numbers
from .cores import algebra_threads
from .errors import DinarError, explain

GRACE = 2.0  # seconds that a worker has to clean up before it is killed

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Failure:
    """Why an item has no result."""

    reason: str  # one line
    trace: str = ""  # Python's traceback; empty where there is none


def run_pool(
    work: Callable[[T], R],  # a function of a module, or a partial of one: it is pickled
    items: Sequence[T],
    *,
    jobs: int = 1,  # processes; 1: this process alone
    threads: int = 1,  # CPU threads of each process; 0: as they are
    done: Callable[[T, R | Failure], None] = lambda item, outcome: None,  # called here, as items are finished
) -> list[R | Failure]:
    """The results of all items, in the order of the items."""
    check_numbers(jobs=jobs, threads=threads)
    outcomes: dict[int, R | Failure] = {}

    def finish(i: int, outcome: R | Failure) -> None:
        outcomes[i] = outcome
        done(items[i], outcome)

    if jobs <= 1:
        with threads_of(threads):
            for i, item in enumerate(items):
                finish(i, attempt(work, item))
    else:
        killed: dict[int, str] = {}
        _run_workers(work, items, range(len(items)), jobs, threads, finish, killed.__setitem__)
        first = dict(killed)
        _run_workers(work, items, sorted(first), 1, threads, finish, lambda i, why: finish(
            i, Failure(f"its process was killed twice ({why}), the second time alone: out of memory?")))  # fmt: skip
    return [outcomes[i] for i in range(len(items))]


def attempt(work: Callable[[T], R], item: T) -> R | Failure:
    """The result, or why there is none."""
    try:
        return work(item)
    except DinarError as e:
        return Failure(str(e))
    except Exception as e:
        return Failure(explain(e), traceback.format_exc())


@contextlib.contextmanager
def threads_of(count: int) -> Iterator[None]:
    """So many threads for torch, OpenCV and the linear algebra of numpy and scipy in this process; 0: as they are.

    The last digits of a product depend on the threads that share it.
    """
    before = torch.get_num_threads(), cv2.getNumThreads()
    if count:
        torch.set_num_threads(count)
        cv2.setNumThreads(count)
    try:
        with algebra_threads(count or None):
            yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


# ---- the parent's side ---------------------------------------------------------------------------------------------


class _Worker(Generic[T, R]):
    """A process, and the item that it works on."""

    def __init__(self, work: Callable[[T], R], threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self.ready, self.item = False, None
        with _no_interrupts():
            self.process.start()
        theirs.close()  # so that the connection ends with the process

    item: int | None

    def give(self, i: int, item: T) -> None:
        self.item = i
        with contextlib.suppress(OSError):  # killed just now: its end is noticed next
            self.connection.send(item)

    def end(self) -> str:
        """Wait for the end of a process that closed its connection; how it ended."""
        self.process.join(GRACE)
        self.process.kill()
        self.process.join()
        self.connection.close()
        code = self.process.exitcode or 0
        return f"exit status {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Processes started here do not notice Ctrl-C: this process does, and ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows; _serve ignores it
        yield
        return
    resource_tracker.ensure_running()  # starting it with the first process would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_workers(
    work: Callable[[T], R],
    items: Sequence[T],
    todo: Sequence[int],
    jobs: int,
    threads: int,
    finish: Callable[[int, Any], None],
    killed: Callable[[int, str], None],  # is told which item's process was killed, and how
) -> None:
    left, most = list(reversed(todo)), min(jobs, len(todo))
    workers: list[_Worker[T, R]] = []
    finished: list[_Worker[T, R]] = []
    try:
        while left or workers:
            while len(left) > sum(w.item is None for w in workers) and len(workers) < most:
                workers.append(_Worker(work, threads))
            at = {w.connection: w for w in workers}
            for connection in wait(list(at)):
                w = at[connection]  # type: ignore[index]
                try:
                    message = w.connection.recv()
                except (EOFError, OSError):
                    workers.remove(w)
                    why = w.end()
                    if w.item is not None:
                        killed(w.item, why)
                    elif not w.ready:
                        most -= 1
                        if not most:
                            raise DinarError(
                                f"a worker process could not start ({why}): in a script, start the work under "
                                '`if __name__ == "__main__":`; or use one job'
                            ) from None
                    continue
                if w.item is not None:
                    finish(w.item, message)
                w.ready, w.item = True, None
                if left:
                    w.give(i := left.pop(), items[i])
                else:
                    workers.remove(w)
                    w.connection.close()  # it ends by itself
                    finished.append(w)
    finally:
        _stop([*workers, *finished])


def _stop(workers: Sequence[_Worker]) -> None:
    for w in workers:
        w.process.terminate()
    try:
        until = time.monotonic() + GRACE
        for w in workers:
            w.process.join(max(0.0, until - time.monotonic()))
    finally:  # a second interrupt does not wait
        for w in workers:
            w.process.kill()
            w.process.join()
            w.connection.close()


class Server(Generic[T, R]):
    """A process that works on items one after another, for hours: started at the first one, and anew after its end."""

    def __init__(self, work: Callable[[T], R], threads: int = 1) -> None:
        self._work, self._count = work, threads
        self._worker: _Worker[T, R] | None = None

    def run(self, item: T, seconds: float | None = None) -> R | Failure:
        """The result of an item; a Failure also where it took longer, or the process was killed."""
        w = self._worker = self._worker or _Worker(self._work, self._count)
        try:
            if not w.ready:
                w.ready = w.connection.recv() is None
            w.connection.send(item)
            if w.connection.poll(seconds):
                return w.connection.recv()
            self._worker = None
            _stop([w])
            return Failure(f"it took longer than {seconds:.0f} s")
        except (EOFError, OSError):
            self._worker = None
            return Failure(f"its process was killed ({w.end()}): out of memory?")

    def stop(self) -> None:
        """End the process, from any thread; the item that it works on fails."""
        if (w := self._worker) is not None:
            w.process.terminate()


# ---- the worker's side ---------------------------------------------------------------------------------------------


def _serve(connection: Connection, work: Callable[[Any], Any], threads: int) -> None:
    """Receive items and send results, until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _exit)
    threading.Thread(target=_follow_parent, daemon=True).start()
    status = 0
    try:
        with threads_of(threads), contextlib.suppress(EOFError, OSError):
            connection.send(None)  # ready
            while True:
                item = connection.recv()
                outcome = attempt(work, item)
                try:
                    connection.send(outcome)
                except (TypeError, AttributeError, ValueError) as e:  # a result that cannot be pickled
                    connection.send(Failure(explain(e), traceback.format_exc()))
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(status)  # what libraries do at the end takes long, and prints when a signal comes


def _exit(number: int, frame: Any) -> None:
    """Leave through the clean-up of what is being done."""
    signal.signal(number, signal.SIG_IGN)
    sys.exit(128 + number)


def _follow_parent() -> None:
    """End this process when its parent has ended, however that happened."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)
