"""How many CPU cores this process may use: the default of ``--threads``; and threads of linear algebra."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import psutil
from threadpoolctl import threadpool_limits


@contextlib.contextmanager
def algebra_threads(count: int | None = 1) -> Iterator[None]:
    """So many threads for the linear algebra of numpy and scipy, of every process of dinar that fits or textures; None:
    as they are. Also a decorator.

    Small matrices gain nothing from a second thread, and wait for it where its core is busy (docs/speed.md). The last
    digits of a product depend on the threads, too.
    """
    importlib.import_module("scipy.linalg")  # it brings a library of its own, which is limited once it is there
    with threadpool_limits(count, "blas"):
        yield


@contextlib.contextmanager
def beside(work: Callable[[], object]) -> Iterator[None]:
    """Do ``work`` beside the block where torch may use a second thread, else before it; its errors are raised at the
    end of the block."""
    import torch

    if torch.get_num_threads() < 2:
        work()
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(work)
        yield
        done.result()


def physical_cores(root: Path = Path("/")) -> int:
    """Physical cores that this process may use, at least 1.

    The logical cores of a physical core share its arithmetic units, so threads on both slow each other down. On Linux
    the CPU affinity and the CPU quota of the control group (containers, batch systems) count too.
    """
    if not hasattr(os, "sched_getaffinity"):  # macOS, Windows
        return psutil.cpu_count(logical=False) or 1
    cores = {_siblings(root, cpu) for cpu in os.sched_getaffinity(0)}
    return max(1, int(min(len(cores), _quota(root))))


def _siblings(root: Path, cpu: int) -> str:
    """The logical cores on the same physical core, as the kernel lists them: "0,4"."""
    try:
        return (root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:
        return str(cpu)


def _quota(root: Path) -> float:
    """CPUs that the control group and its parents grant (cgroup 1 or 2); infinite without a limit."""
    quota = float("inf")
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return quota
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            hierarchy = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
            for group in (PurePosixPath(path), *PurePosixPath(path).parents):
                quota = min(quota, _limit(hierarchy / group.relative_to("/")))
    return quota


def _limit(group: Path) -> float:
    """CPUs that one control group grants."""
    try:
        if (group / "cpu.max").is_file():
            granted, period = (group / "cpu.max").read_text().split()
        else:
            granted, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return float(granted) / float(period) if float(granted) > 0 else float("inf")
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
