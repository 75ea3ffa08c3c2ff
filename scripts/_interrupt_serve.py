"""Signals to a real `dinar serve` for `interrupt.py`: while it imports, waits for photos and makes an avatar."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hostile import form

PORT = re.compile(rb"http://127\.0\.0\.1:(\d+)/ makes avatars")
DONE = 600  # seconds until an avatar is made
RUNS = [
    ("importing", signal.SIGINT, False), ("importing", signal.SIGTERM, True), ("waiting", signal.SIGINT, False),
    ("waiting", signal.SIGTERM, False), ("working", signal.SIGTERM, False), ("working", signal.SIGINT, True),
    ("killed", signal.SIGKILL, False),
]  # fmt: skip


def serve(root: Path, log: Path) -> subprocess.Popen:
    words = ["serve", "--no-open", "--port", "0", "--out", str(root / "out")]
    with log.open("wb") as f:
        return subprocess.Popen([sys.executable, "-m", "dinar.cli", *words], start_new_session=True, cwd=root,
                                env=os.environ | {"TMPDIR": str(root / "tmp")}, stdout=f, stderr=f)  # fmt: skip


def port_of(log: Path, run: subprocess.Popen) -> int:
    """The port that it listens at, once it does."""
    while not (found := PORT.search(log.read_bytes())):
        if run.poll() is not None:
            raise SystemExit(f"serve ended: {log.read_text()}")
        time.sleep(0.05)
    return int(found[1])


def ask(port: int, method: str, path: str, *photos: Path) -> dict:
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body, headers = form(*((p.name, p.read_bytes()) for p in photos)) if photos else (None, {})
    c.request(method, path, body, headers)
    answer = json.loads(c.getresponse().read())
    c.close()
    return answer


def wait_for_state(port: int, id: str, *states: str) -> dict:
    until = time.monotonic() + DONE
    while (job := ask(port, "GET", f"/api/jobs/{id}"))["state"] not in states and time.monotonic() < until:
        time.sleep(0.2)
    return job


def signalled(
    root: Path, photo: Path, when: str, number: signal.Signals, twice: bool, session: Callable[[int], set[int]]
) -> tuple[float, list[str]]:
    """Seconds from the signal to the end, and what went wrong."""
    (root / "tmp").mkdir()
    log = root / "log"
    run = serve(root, log)
    id = ""
    if when == "importing":
        time.sleep(0.6)
    else:
        port = port_of(log, run)
        if when in ("working", "killed"):
            id = ask(port, "POST", "/api/jobs", photo)["id"]
            wait_for_state(port, id, "running", "done", "failed")
            time.sleep(2)
    begun = time.monotonic()
    for _ in range(1 + twice):
        os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
        time.sleep(0.3 * twice)
    status = run.wait(120)
    seconds = time.monotonic() - begun
    said = log.read_text()
    problems = ["traceback"] * ("Traceback" in said)
    expected = (-number,) if number == signal.SIGKILL else (0, 128 + number)
    expected += (-number,) * twice  # the second came when all was cleaned up
    problems += [f"status {status}: {said[-200:]!r}"] * (status not in expected)
    until = begun + 5  # seconds, as everything that a signal ends
    while session(run.pid) and time.monotonic() < until:
        time.sleep(0.05)
    problems += [f"processes left: {len(session(run.pid))}"] * bool(session(run.pid))
    if id:
        problems += _goes_on(root, id)
    return seconds, problems


def _goes_on(root: Path, id: str) -> list[str]:
    """Problems of the next run of the server, which finishes the job."""
    run = serve(root, root / "log")
    job = wait_for_state(port_of(root / "log", run), id, "done", "failed")
    run.send_signal(signal.SIGTERM)
    run.wait(60)
    left = [p.name for p in (root / "out").rglob(".dinar-*")]
    return [f"state {job['state']}: {job['error']}"] * (job["state"] != "done") + [f"left: {left}"] * bool(left)
