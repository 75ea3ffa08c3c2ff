"""One pool: failures of single items, killed workers, interrupts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from threadpoolctl import threadpool_info

from dinar.errors import DinarError
from dinar.files import replacing
from dinar.pool import Failure, run_pool, threads_of

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def odd(item: tuple[str, Path]) -> object:
    """What the item says: raise, be killed always, once, or answer."""
    what, folder = item
    if what == "refuse":
        raise DinarError("expected a person")
    if what == "raise":
        raise ValueError("\x1b[31m")
    if what == "memory":
        raise MemoryError
    if what == "unpicklable":
        return lambda: None
    if what == "killed" or (what == "once" and not (folder / "once").exists()):
        (folder / what).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return torch.get_num_threads(), os.getpid()


def slow(item: tuple[int, Path]) -> None:
    """Say that the work has begun and take long, with a temporary that has to go."""
    i, folder = item
    with replacing(folder / f"{i}.txt") as temporary:
        with replacing(folder / f"{i}.pid") as pid:
            blocked = signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
            pid.write_text(f"{os.getpid()} {blocked}")
        time.sleep(600)
        temporary.touch()


def test_failures_of_items_in_this_process(tmp_path: Path) -> None:
    told = []
    items = [(what, tmp_path) for what in ("", "refuse", "raise", "memory")]
    before = torch.get_num_threads()
    good, *failed = run_pool(odd, items, threads=2, done=lambda item, outcome: told.append(item[0]))
    assert good == (2, os.getpid()) and torch.get_num_threads() == before
    assert told == ["", "refuse", "raise", "memory"]
    reasons = [f.reason for f in failed if isinstance(f, Failure)]
    assert reasons[0] == "expected a person" and reasons[2] == "out of memory"
    assert "ValueError: \\x1b[31m" in reasons[1] and "in odd" in failed[1].trace  # type: ignore[union-attr]
    with pytest.raises(KeyboardInterrupt):
        run_pool(interrupted, [1, 2])


def interrupted(item: int) -> None:
    raise KeyboardInterrupt


@needs_signals
def test_failures_and_killed_workers_are_results(tmp_path: Path) -> None:
    whats = ("", "raise", "killed", "unpicklable", "once", "")
    outcomes = run_pool(odd, [(w, tmp_path) for w in whats], jobs=2)
    assert [isinstance(o, Failure) for o in outcomes] == [False, True, True, True, False, False]
    assert all(o[0] == 1 and o[1] != os.getpid() for o in outcomes if not isinstance(o, Failure))  # type: ignore[index]
    assert "SIGKILL" in outcomes[2].reason and "killed twice" in outcomes[2].reason  # type: ignore[union-attr]
    assert not multiprocessing.active_children()


class Leaves:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple:
        return os._exit, (3,)

    def __call__(self, item: int) -> None: ...


def test_workers_that_cannot_start_are_told() -> None:
    with pytest.raises(DinarError, match=r'could not start \(exit status 3\).* `if __name__ == "__main__":`'):
        run_pool(Leaves(), [1], jobs=2)


SCRIPT = """
import signal, sys
from pathlib import Path
from dinar.pool import run_pool
from test_pool import slow
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts in the background ignores it
    run_pool(slow, [(i, Path(sys.argv[1])) for i in range(4)], jobs=2)
"""


@needs_signals
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_run_and_its_workers(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C of a terminal goes to all processes, which do not notice it, SIGKILL to the parent alone. Temporary files
    go, too."""
    script, out = tmp_path / "run.py", tmp_path / "out"
    script.write_text(SCRIPT)
    out.mkdir()
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    run = subprocess.Popen([sys.executable, str(script), str(out)], env=env, start_new_session=True,
                           stderr=subprocess.PIPE)  # fmt: skip
    wait_for(lambda: len(list(out.glob("*.pid"))) == 2, 300)
    said = [p.read_text().split() for p in out.glob("*.pid")]
    assert [blocked for _, blocked in said] == ["True"] * 2  # from their start on, while they import
    workers = [psutil.Process(int(pid)) for pid, _ in said]
    if number == signal.SIGINT:
        os.killpg(run.pid, number)
    else:
        run.send_signal(number)
    run.wait(60)
    assert not psutil.wait_procs(workers, timeout=60)[1]
    assert sorted(p.suffix for p in out.iterdir()) == [".pid", ".pid"]


def wait_for(condition, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_linear_algebra_has_the_threads_of_its_process() -> None:
    """With more, the last digits of an avatar depend on the cores that are free for them."""
    with threads_of(1):
        libraries = [x for x in threadpool_info() if x["user_api"] == "blas"]
    assert libraries
    assert {x["num_threads"] for x in libraries} == {1}
