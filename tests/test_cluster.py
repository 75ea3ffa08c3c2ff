"""Work on a Ray cluster of two local nodes, one of which is lost in the middle."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dinar.cluster import AHEAD, GPU_SHARE, run_items, workers
from dinar.errors import DinarError
from dinar.pool import Failure

COUNT = 12


def write(item: tuple[int, Path]) -> int:
    """A file for the item, which a second try finds; number 0 fails, and the last kills its process."""
    i, folder = item
    if i == 0:
        raise DinarError("expected a person")
    if i == COUNT - 1:
        os._exit(1)
    if not (folder / f"{i}.txt").exists():
        (folder / f"{i}.begun").touch()
        time.sleep(0.1)
        (folder / f"{i}.txt").write_text(str(os.getpid()))
    return i


def test_without_a_cluster_it_is_the_pool(tmp_path: Path) -> None:
    assert run_items(write, [(i, tmp_path) for i in (1, 2)]) == [1, 2]
    assert workers(None, 3, 1) == 3


def test_a_machine_without_ray_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DinarError, match=r"pip install 'dinar\[cluster\]'"):
        run_items(write, [], cluster="auto")


class RayError(Exception):
    """Ray's."""


class InProcess:
    """Stands for the ray module: tasks run in this process when they are waited for; those of item 3 are lost."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self) -> None:
        self.most = 0
        self.options: dict[str, Any] = {}

    def remote(self, work: Callable) -> Any:
        return SimpleNamespace(options=lambda **o: SimpleNamespace(
            remote=lambda *a: self.options.update(o) or partial(work, *a)))  # fmt: skip

    def wait(self, running: list, num_returns: int) -> tuple[list, list]:
        self.most = max(self.most, len(running))
        return running[-num_returns:], running[:-num_returns]

    def get(self, task: partial) -> Any:
        if task.args[1][0] == 3:
            raise RayError("the node died\n...")
        return task()

    put = staticmethod(lambda x: x)
    is_initialized = staticmethod(lambda: True)
    cluster_resources = staticmethod(lambda: {"CPU": 5.0, "GPU": 1.0})


def test_tasks_of_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Outcomes are in the items' order, however they end; few wait; what is lost is that item's failure."""
    ray = InProcess()
    monkeypatch.setitem(sys.modules, "ray", ray)
    ended: list[int] = []
    outcomes = run_items(write, [(i, tmp_path) for i in range(9)], cluster="auto", threads=2,
                         done=lambda item, _: ended.append(item[0]))  # fmt: skip
    assert sorted(ended) == list(range(9)) and ended != sorted(ended)
    assert [o for o in outcomes if not isinstance(o, Failure)] == [1, 2, 4, 5, 6, 7, 8]
    refused, lost = (o for o in outcomes if isinstance(o, Failure))
    assert refused.reason == "expected a person"
    assert lost.reason == "its process was lost 4 times (RayError: the node died): out of memory?"
    assert workers("auto", 1, 2) == 2 and ray.most == AHEAD * 2
    assert (ray.options["num_cpus"], ray.options["num_gpus"], ray.options["max_retries"]) == (2, GPU_SHARE, 3)


def node() -> dict[str, int]:
    """A node of one CPU. Its ports are given, because it waits for no more than 15 s for those that its agents find."""
    agents = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    sockets = [socket.create_server(("", 0)) for _ in agents]
    ports = {name: s.getsockname()[1] for name, s in zip(agents, sockets, strict=True)}
    for s in sockets:
        s.close()
    return {"num_cpus": 1, **ports}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "300")  # machines that test are busy
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)]))
    health = {"initial_delay_ms": 0, "period_ms": 200, "timeout_ms": 5000, "failure_threshold": 3}
    system = {f"health_check_{k}": v for k, v in health.items()}  # a lost node is missed in a second, not in twenty
    cluster = Cluster(initialize_head=True, head_node_args=node() | {"include_dashboard": False,
                                                                     "_system_config": system})  # fmt: skip
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.mark.slow
def test_a_lost_node_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    second = cluster.add_node(**node())
    items, ended = [(i, tmp_path) for i in range(COUNT)], []

    def done(item: tuple[int, Path], outcome: object) -> None:
        ended.append(item[0])
        if len(ended) == 3:
            cluster.remove_node(second, allow_graceful=False)

    outcomes = run_items(write, items, cluster=cluster.address, done=done)
    assert sorted(ended) == list(range(COUNT))  # each once
    assert outcomes[1:-1] == list(range(1, COUNT - 1))
    assert isinstance(outcomes[0], Failure) and outcomes[0].reason == "expected a person"
    assert isinstance(outcomes[-1], Failure) and "was lost 4 times" in outcomes[-1].reason
    assert {p.name for p in tmp_path.glob("*.txt")} == {f"{i}.txt" for i in range(1, COUNT - 1)}
