"""Hostile requests to `dinar serve`: does it go on, and does its memory stay bounded?

    python scripts/hostile.py --requests 1000 [--uploads 4]

Starts a server in a temporary folder, sends the requests from several threads, and prints how often each kind had which
answer. With --uploads, that many good photos are uploaded at once before them, and must become avatars. Exit status 1
if an answer is an error of the server (500), if it does not serve afterwards, if its process grew by more than GROWTH,
or if an avatar was not made.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PHOTO = Path(__file__).parents[1] / "src/dinar/data/demo.jpg"
GROWTH = 200  # MiB
ANSWER = 120  # seconds until an answer must be there
THREADS = 4
MADE = 3600  # seconds until good photos must be avatars


def bomb() -> bytes:
    """A PNG file of 60,000 x 60,000 pixels."""
    chunk = lambda kind, data: (  # noqa: E731
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    )
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**7)))
        + chunk(b"IEND", b"")
    )


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    head = '--x\r\nContent-Disposition: form-data; name="photos"; filename="{}"\r\nContent-Type: image/png\r\n\r\n'
    body = b"".join(head.format(name).encode() + data + b"\r\n" for name, data in files) + b"--x--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=x"}


def kinds(port: int) -> dict[str, Callable[[], object]]:
    """What is sent, by name; each returns the answer's status or what happened instead."""
    large = bomb()

    def ask(method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> object:
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
        try:
            c.request(method, path, body, headers or {})
            answer = c.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as e:
            return type(e).__name__
        finally:
            c.close()

    def raw(data: bytes) -> object:
        with socket.create_connection(("127.0.0.1", port), timeout=ANSWER) as s:
            s.sendall(data)
        return "hung up"

    def upload(*files: tuple[str, bytes]) -> object:
        return ask("POST", "/api/jobs", *form(*files))

    start = b"POST /api/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
    return {
        "another's job": lambda: ask("GET", f"/api/jobs/{random.randbytes(16).hex()}"),
        "delete another's": lambda: ask("DELETE", f"/api/jobs/{random.randbytes(16).hex()}"),
        "a path as a job": lambda: ask("GET", "/api/jobs/..%2f..%2fetc%2fpasswd/files/me.glb"),
        "a path as a page": lambda: ask("GET", "/page/" + "../" * random.randint(1, 9) + "etc/passwd"),
        "a long path": lambda: ask("GET", "/" + "a" * 70000),
        "another host": lambda: ask("GET", "/", headers={"Host": "evil.example"}),
        "another site": lambda: ask("POST", "/api/jobs", b"x", {"Origin": "http://evil.example"}),
        "a text file": lambda: upload(("a.txt", b"hello")),
        "a picture bomb": lambda: upload(("../../x.png", large)),
        "200 files": lambda: upload(*[("a.png", b"x")] * 200),
        "31 MB": lambda: upload(("a.png", bytes(31 << 20))),
        "a long name": lambda: upload(("a" * 5000 + ".png", b"x")),
        "a broken form": lambda: ask("POST", "/api/jobs", random.randbytes(5000), form()[1]),
        "hang up": lambda: raw(start + b"\r\n--x\r\n" + random.randbytes(1000)),
        "noise": lambda: raw(random.randbytes(300) + b"\r\n\r\n"),
    }


def resident(pid: int, what: str = "VmRSS") -> float:
    """MiB of a process; VmHWM: the most so far."""
    found = re.search(rf"{what}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def workers(pid: int) -> float:
    """MiB of the largest of a process's children, at most so far."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    children = [c for t in threads for c in (t / "children").read_text().split()]
    return max((resident(int(c), "VmHWM") for c in children), default=0.0)


def post(port: int) -> str:
    """The id of a job with a good photo."""
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
    c.request("POST", "/api/jobs", *form(("good.jpg", PHOTO.read_bytes())))
    return json.load(c.getresponse())["id"]


def made(port: int, ids: list[str]) -> list[str]:
    """The states of the jobs when none is waiting or running any more, or after MADE."""
    until, states = time.monotonic() + MADE, ["waiting"]
    while time.monotonic() < until and {"waiting", "running"} & {*states}:
        time.sleep(1)
        states = []
        for id in ids:
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
            c.request("GET", f"/api/jobs/{id}")
            states.append(json.load(c.getresponse())["state"])
    return states


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--uploads", type=int, default=0)
    a = parser.parse_args()
    count = a.requests
    random.seed(0)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")
        with log.open("wb") as out:
            server = subprocess.Popen(
                [sys.executable, "-m", "dinar.cli", "serve", "--port", "0", "--no-open", "--jobs", "2",
                 "--out", f"{folder}/jobs"],
                stdout=out, stderr=out,
            )  # fmt: skip
        try:
            while not (m := re.search(r"127\.0\.0\.1:(\d+)/", log.read_text())):
                if server.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.1)
            port = int(m[1])
            sent = kinds(port)
            names = [list(sent)[i % len(sent)] for i in range(count)]
            sent["another host"]()  # the first answer loads what answers need
            before = resident(server.pid)
            start = time.monotonic()
            with ThreadPoolExecutor(max(a.uploads, 1)) as pool:
                good = list(pool.map(lambda _: post(port), range(a.uploads)))
            with ThreadPoolExecutor(THREADS) as pool:
                seen = Counter(zip(names, pool.map(lambda n: sent[n](), names), strict=True))
            states = made(port, good) if good else []
            seconds, largest = time.monotonic() - start, workers(server.pid)
            after = resident(server.pid)
            c = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)
            c.request("GET", "/")
            serves = c.getresponse().status == 200
        finally:
            server.terminate()
            server.wait(60)
    for (name, answer), n in sorted(seen.items(), key=str):
        print(f"{n:5d} {name:18s} {answer}")
    if good:
        print(f"{len(good)} uploads at once: {', '.join(states)} after {seconds:.0f} s; worker: {largest:.0f} MiB")
    failed = sum(n for (_, answer), n in seen.items() if answer == 500)
    print(f"{before:.0f} MiB before, {after:.0f} MiB after; {failed} errors of the server; serves: {serves}")
    return int(bool(failed) or not serves or after - before > GROWTH or {*states} - {"done"} != set())


if __name__ == "__main__":
    sys.exit(main())
