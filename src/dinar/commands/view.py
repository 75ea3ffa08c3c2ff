"""`dinar view`."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import DinarError
from ..files import check_output, replacing
from ..web.local import Served, page_server
from ..web.neural import neural_file
from ..web.page import viewer_page, worker_files
from .common import Common, Path1, given_files, open_avatar, say

NEURAL = "/me.neural"


@dataclass
class View(Common):
    """Show an avatar in the browser: turn it, play motions and expressions, compare it with the photo."""

    avatar: Path1 = Path()
    """Avatar file of `dinar create`."""
    photo: Path | None = None
    """The avatar's photo, for comparison. None: the file of its name beside the avatar; with --html, no photo."""
    html: Path | None = None
    """Write one self-contained page to this file, to send to somebody, instead of showing it. It has the mesh alone."""
    port: int = 0
    """Port of the page's local address. 0: any free one."""
    open: bool = True
    """Open the page in the browser. It is at the printed address in any case."""


def run(c: View) -> None:
    if c.html is not None:
        check_output(c.html, [c.avatar, *given_files(c.photo)], (".html", ".htm"))
    avatar = open_avatar(c, c.avatar)
    photo = c.photo or (_beside(c.avatar, avatar.meta.get("photos")) if c.html is None else None)
    neural = None if c.html is not None else neural_file(avatar)
    page = viewer_page(avatar, c.avatar.stem, photo, None if neural is None else NEURAL)
    if c.html is not None:
        with replacing(c.html) as temporary:
            temporary.write_text(page, "utf-8")
        say(f"{c.html}: {c.html.stat().st_size / 2**20:.1f} MiB" + ("" if photo is None else f", with {photo}"))
        return
    try:
        files = {} if neural is None else {NEURAL: Served("application/octet-stream", neural), **worker_files("/page/")}
        server = page_server(page, c.port, files)
    except OSError as e:
        raise DinarError(f"cannot open port {c.port}: {e.strerror}; leave out --port for any free one") from e
    with server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        say(f"{address} shows {c.avatar}; Ctrl-C ends")
        if c.open:
            webbrowser.open(address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _beside(avatar: Path, photos: object) -> Path | None:
    """The first photo that an avatar names, where it lies in the same folder."""
    if not isinstance(photos, list) or not photos or not isinstance(photos[0], str):
        return None
    photo = avatar.parent / Path(photos[0]).name
    return photo if photo.is_file() else None
