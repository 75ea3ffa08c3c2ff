"""Work for tests of `dinar serve`: quick, and some of it bad. Worker processes import it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path


def work(folder: Path) -> dict:
    """Ask for one of two people where the photo says so, else write a file."""
    if (folder / "clip").exists():
        clip = (folder / "clip").read_bytes()
        (folder / "clip").unlink()
        return {"state": "done"} | ({"error": "no person in it"} if clip == b"empty" else {})
    job = json.loads((folder / "job.json").read_text())
    if b"two people" in (folder / "photo-1").read_bytes() and job["person"] is None:
        return {"state": "choose", "people": [{"person": n, "box": [0, 0, 1, 1]} for n in (1, 3)]}
    (folder / "me.glb").write_bytes(b"glTF")
    return {"state": "done"}


def kill_or_double(number: int) -> int:
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    if number > 10:
        time.sleep(number)
    return 2 * number
