"""One page at an address of this computer, until Ctrl-C: what `dinar view` shows. Nothing else is served."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")  # names of this computer; another one is a DNS rebinding attack


def is_local(host: str) -> bool:
    """Whether a Host header names this computer."""
    return host.rsplit(":", 1)[0] in HOSTS or host in HOSTS


def page_server(html: str, port: int = 0) -> ThreadingHTTPServer:
    """A server of one page at 127.0.0.1; port 0: any that is free."""
    data = html.encode()

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/" and is_local(self.headers.get("Host", ""))
            body = data if found else b"There is one page here, at /\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8" if found else "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Page)
