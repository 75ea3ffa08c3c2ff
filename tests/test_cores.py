"""Threads by default: physical cores, within CPU affinity and the control group's quota."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest
from threadpoolctl import threadpool_info

from dinar.cores import algebra_threads, beside, physical_cores
from dinar.create import create
from dinar.errors import DinarError
from dinar.pool import threads_of

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="reads Linux' /sys and /proc")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four cores of two threads each, numbered as Linux does (0 and 4 share a core), in control group /user/job."""
    for cpu in range(8):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/user/job\n")
    (tmp_path / "sys/fs/cgroup/user/job").mkdir(parents=True)
    return tmp_path


@linux
def test_threads_of_one_core_count_once(machine: Path) -> None:
    assert physical_cores(machine) == 4


@linux
@pytest.mark.parametrize(("allowed", "cores"), [({0, 4}, 1), ({0, 1, 5}, 2), ({7}, 1)])
def test_affinity(machine: Path, monkeypatch: pytest.MonkeyPatch, allowed: set[int], cores: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: allowed)
    assert physical_cores(machine) == cores


@linux
@pytest.mark.parametrize(("quota", "cores"), [("max", 4), ("250000", 2), ("50000", 1), ("900000", 4)])
@pytest.mark.parametrize("group", ["", "user", "user/job"])
def test_quota_of_the_group_and_of_its_parents(machine: Path, group: str, quota: str, cores: int) -> None:
    (machine / "sys/fs/cgroup" / group / "cpu.max").write_text(f"{quota} 100000\n")
    assert physical_cores(machine) == cores


@linux
@pytest.mark.parametrize(("quota", "cores"), [("-1", 4), ("200000", 2)])
def test_quota_of_cgroup_1(machine: Path, quota: str, cores: int) -> None:
    (machine / "proc/self/cgroup").write_text("4:cpu,cpuacct:/job\n2:cpuset:/other\n")
    group = machine / "sys/fs/cgroup/cpu/job"
    group.mkdir(parents=True)
    (group / "cpu.cfs_quota_us").write_text(quota)
    (group / "cpu.cfs_period_us").write_text("100000")
    assert physical_cores(machine) == cores


@linux
def test_without_topology_every_logical_core_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert physical_cores(tmp_path) == 3


@pytest.mark.parametrize(("found", "cores"), [(6, 6), (None, 1)])
def test_other_systems_ask_psutil(monkeypatch: pytest.MonkeyPatch, found: int | None, cores: int) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: 99 if logical else found)
    assert physical_cores() == cores


def algebra() -> set[int]:
    return {x["num_threads"] for x in threadpool_info() if x["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 2])
def test_work_beside_ends_with_the_block_and_its_errors_are_raised(threads: int) -> None:
    def fails() -> None:
        raise DinarError("beside")

    said: list[str] = []
    with threads_of(threads):
        with beside(lambda: said.append("beside")):
            pass
        assert said == ["beside"]
        with pytest.raises(DinarError, match="beside"), beside(fails):
            said.append("block")
    assert ("block" in said) == (threads > 1)


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core")
def test_create_has_one_thread_of_linear_algebra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one only waits for a core that is busy."""
    seen: list[set[int]] = []

    def read(*args: object, **more: object) -> None:
        seen.append(algebra())
        raise DinarError("no photo")

    monkeypatch.setitem(create.__globals__, "read_subject", read)
    with algebra_threads(2):
        with pytest.raises(DinarError, match="no photo"):
            create("a.jpg", renderer="mesh")
        assert seen == [{1}] and algebra() == {2}
