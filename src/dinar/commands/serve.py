"""`dinar serve`."""

from __future__ import annotations

import logging
import secrets
import socket
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import DinarError
from ..web.local import HOSTS
from .common import Common, Output, say


@dataclass
class Serve(Common):
    """Make avatars in the browser: a page on this computer that takes photos, and its JSON API."""

    out: Output = Path("dinar-web")
    """Folder for photos, avatars and files. What is there already is shown again."""
    host: str = "127.0.0.1"
    """Address to listen at. Anything but this computer's own address demands a token."""
    port: int = 8000
    """Port to listen at. 0: any free one."""
    token: str | None = None
    """Secret that requests must know. None: a new one, if --host is not this computer alone; else none."""
    jobs: int = 1
    """Number of avatars made at once, each in a process with --threads CPU threads."""
    open: bool = True
    """Open the page in the browser."""


def run(c: Serve) -> None:
    try:
        import uvicorn

        from ..web.app import web_app
    except ImportError as e:
        raise DinarError(f"dinar serve needs its extra ({e.name} is missing): pip install 'dinar[web]'") from e
    from ..web.jobs import Jobs
    from ..web.work import make

    if c.body != "anny":
        raise DinarError("serve makes avatars with the default body only")
    token = c.token or (None if c.host in HOSTS else secrets.token_urlsafe(24))
    try:
        listener = socket.create_server((c.host, c.port), family=socket.AF_INET6 if ":" in c.host else socket.AF_INET)
    except OSError as e:
        raise DinarError(f"cannot listen at {c.host} port {c.port}: {e.strerror}; --port 0 takes any free port") from e
    logging.getLogger("dinar").addHandler(logging.StreamHandler())
    jobs = Jobs(c.out, make, c.jobs, c.threads or 1)
    address = f"http://{f'[{c.host}]' if ':' in c.host else c.host}:{listener.getsockname()[1]}/"
    address += f"?token={token}" if token else ""
    say(f"{address} makes avatars, into {c.out}; Ctrl-C ends")
    if c.open:
        webbrowser.open(address)
    server = uvicorn.Server(uvicorn.Config(
        web_app(jobs, token), log_level="warning", limit_concurrency=256, timeout_keep_alive=10,
        timeout_graceful_shutdown=2, server_header=False))  # fmt: skip
    with suppress(KeyboardInterrupt):
        server.run([listener])
