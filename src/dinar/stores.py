"""Folders and files on this machine or elsewhere: paths, and addresses that fsspec knows, such as ``s3://bucket/photos``.

Files elsewhere are copied here to be read, and written here to be copied there: no reader or writer knows addresses.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .errors import DinarError, escape
from .files import check_output, staging

PART = ".dinar-part"  # suffix of a file that is being copied


def is_address(name: str | Path) -> bool:
    """``PROTOCOL://...``, and no path of this machine."""
    return "://" in str(name)


def local(name: str | Path) -> str:
    """``file://`` addresses are paths."""
    return str(name).removeprefix("file://")


def absolute(name: str | Path) -> str:
    """A path from the root; addresses as they are."""
    return str(name) if is_address(local(name)) else os.path.abspath(local(name))


def name_of(name: str | Path) -> str:
    """The file's own name, in any folder."""
    return posixpath.basename(str(name)) if is_address(name) else Path(name).name


def listed(folder: str) -> list[str] | None:
    """Addresses of the files in a folder elsewhere, sorted; None: it is no folder."""
    with _told(folder):
        fs, path = _open(folder)
        if not fs.isdir(path):
            return None
        found = [e for e in fs.ls(path, detail=True) if e["type"] == "file"]
        return sorted(fs.unstrip_protocol(e["name"]) for e in found if not e["name"].endswith(PART))


def fetch(name: str, folder: Path) -> Path:
    """The file on this machine: a copy in ``folder`` if it is elsewhere."""
    if not is_address(name):
        return Path(name)
    copy = folder / name_of(name)
    with _told(name):
        fs, path = _open(name)
        if not fs.isfile(path):
            raise DinarError(f"no file at {name}")
        fs.get_file(path, str(copy))
    return copy


class Store:
    """A folder of outputs, here or elsewhere."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = local(folder)
        self.elsewhere = is_address(self.folder)

    def __str__(self) -> str:
        return self.folder

    def at(self, name: str) -> str:
        return f"{self.folder.rstrip('/')}/{name}" if self.elsewhere else str(Path(self.folder) / name)

    def open(self) -> None:
        """Make the folder, and see that it can be written to."""
        if not self.elsewhere:
            check_output(self.folder, folder=True)
            Path(self.folder).mkdir(parents=True, exist_ok=True)
            return
        with _told(self.folder):
            fs, path = _open(self.folder)
            fs.makedirs(path, exist_ok=True)

    def names(self) -> set[str]:
        """Names of the files in it."""
        if not self.elsewhere:
            return {p.name for p in Path(self.folder).iterdir()}
        return {name_of(f) for f in listed(self.folder) or []}

    def has(self, name: str) -> bool:
        if not self.elsewhere:
            return (Path(self.folder) / name).exists()
        with _told(self.folder):
            fs, path = _open(self.at(name))
            return fs.exists(path)

    @contextmanager
    def place(self, name: str) -> Iterator[Path]:
        """Yields the path that the file ``name`` is to be written to; if the folder is elsewhere it is copied there."""
        if not self.elsewhere:
            yield Path(self.folder) / name
            return
        with staging() as temporary:
            yield temporary / name
            self.put(temporary / name, name)

    def put(self, file: Path, name: str) -> None:
        """Copy a file of this machine into the folder, which is elsewhere, whole or not at all."""
        with _told(self.at(name)):
            fs, path = _open(self.at(name))
            fs.put_file(str(file), path + PART)
            fs.mv(path + PART, path)


def _open(name: str) -> tuple[Any, str]:
    """fsspec's file system of an address, and the path in it."""
    import fsspec

    return fsspec.core.url_to_fs(name)


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever goes wrong elsewhere, in one line with the address."""
    try:
        yield
    except DinarError:
        raise
    except ImportError as e:  # fsspec says which package is missing
        raise DinarError(f"cannot reach {name}: {escape(e)}") from e
    except Exception as e:  # every service has its own errors
        raise DinarError(f"cannot reach {name}: {type(e).__name__}: {escape(e, 120)}") from e
