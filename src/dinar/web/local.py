"""One page at an address of this computer, until Ctrl-C: what `dinar view` shows. Only its own files are served."""

from __future__ import annotations

from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")  # names of this computer; another one is a DNS rebinding attack


def is_local(host: str) -> bool:
    """Whether a Host header names this computer."""
    return host.rsplit(":", 1)[0] in HOSTS or host in HOSTS


ISOLATED = {  # the page may use several threads (SharedArrayBuffer)
    "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp",
}  # fmt: skip


@dataclass
class Served:
    """A file of a page."""

    kind: str  # media type
    data: bytes


def page_server(html: str, port: int = 0, files: dict[str, Served] | None = None) -> ThreadingHTTPServer:
    """A server of one page at 127.0.0.1, and of its ``files`` by address; port 0: any that is free."""
    served = {**(files or {}), "/": Served("text/html; charset=utf-8", html.encode())}
    missing = Served("text/plain", b"There is one page here, at /\n")

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = served.get(self.path) if is_local(self.headers.get("Host", "")) else None
            file = found or missing
            self.send_response(200 if found else 404)
            headers = {"Content-Type": file.kind, "Cache-Control": "no-store"}
            for name, value in (headers | ISOLATED).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(file.data)))
            self.end_headers()
            body = file.data
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Page)
