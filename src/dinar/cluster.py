"""Work on many items by processes of this machine (:mod:`.pool`) or of a Ray cluster, with the same results.

A Ray task whose process or node is lost is run again on another. Work that writes files must therefore see what an
earlier try has finished. All nodes need dinar, and see the same folders or use addresses (:mod:`.stores`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from .bounds import check_numbers
from .device import VARIABLE
from .errors import DinarError, escape
from .pool import Failure, attempt, run_pool, threads_of

TRIES = 4  # of a task whose process or node is lost
GPU_SHARE = 0.25  # of a GPU for one task, where the cluster has GPUs: 2 GB of memory, mostly waiting for its CPU
AHEAD = 2  # tasks in the queue for each that runs

T = TypeVar("T")
R = TypeVar("R")


def run_items(
    work: Callable[[T], R],  # a function of a module, or a partial of one: it is pickled
    items: Sequence[T],
    *,
    jobs: int = 1,  # processes of this machine
    threads: int = 1,  # CPU threads of each process; 0: as they are
    cluster: str | None = None,  # address of a Ray cluster, auto: of the one of this machine; None: :func:`run_pool`
    done: Callable[[T, R | Failure], None] = lambda item, outcome: None,  # called here, as items are finished
) -> list[R | Failure]:
    """The results of all items, in the order of the items."""
    if cluster is None:
        return run_pool(work, items, jobs=jobs, threads=threads, done=done)
    check_numbers(threads=threads)
    ray = _connected(cluster)
    outcomes: dict[int, R | Failure] = {}
    task = ray.remote(_work).options(
        num_cpus=max(threads, 1), num_gpus=GPU_SHARE if ray.cluster_resources().get("GPU") else 0,
        max_retries=TRIES - 1, runtime_env={"env_vars": {VARIABLE: os.environ.get(VARIABLE, "auto")}},
    )  # fmt: skip
    given = ray.put(work)
    left, running = list(reversed(range(len(items)))), {}
    try:
        while left or running:
            while left and len(running) < AHEAD * workers(cluster, jobs, threads):  # nodes come and go
                i = left.pop()
                running[task.remote(given, items[i], threads)] = i
            (ready,), _ = ray.wait(list(running), num_returns=1)
            i = running.pop(ready)
            outcomes[i] = _result(ray, ready)
            done(items[i], outcomes[i])
    finally:
        for reference in running:
            ray.cancel(reference, force=True)
    return [outcomes[i] for i in range(len(items))]


def workers(cluster: str | None, jobs: int, threads: int) -> int:
    """How many items are worked on at once."""
    if cluster is None:
        return jobs
    return max(1, int(_connected(cluster).cluster_resources().get("CPU", 1)) // max(threads, 1))


def _work(work: Callable[[T], R], item: T, threads: int) -> R | Failure:
    with threads_of(threads):
        return attempt(work, item)


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as e:  # attempt() has caught what the work raises
        why = escape(str(e).strip().splitlines()[0] if str(e).strip() else type(e).__name__, 120)
        return Failure(f"its process was lost {TRIES} times ({type(e).__name__}: {why}): out of memory?")


def _connected(address: str) -> Any:
    """The ray module, connected to the cluster once a process."""
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as e:
        raise DinarError("--cluster needs Ray: pip install 'dinar[cluster]' on all nodes") from e
    if not ray.is_initialized():
        try:
            ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as e:
            raise DinarError(f"no Ray cluster at {address}: expected auto after `ray start --head`, HOST:PORT or "
                             f"ray://HOST:PORT ({escape(e, 80)})") from e  # fmt: skip
    return ray
