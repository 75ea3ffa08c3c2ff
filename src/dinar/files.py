"""Writing files: outputs are checked before the work and replaced only when complete."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from .errors import DinarError

PICTURES = (".png", ".jpg", ".jpeg")  # suffixes of the pictures that dinar writes
STALE = 24 * 3600  # seconds: an untouched staging folder of another machine is left over after this
_STAGE = re.compile(r"\.dinar-([0-9a-f]{8})-(\d+)-\w+")
_live: set[Path] = set()  # staging folders of this process

Name = str | Path


def check_output(
    path: Name, inputs: Iterable[Name] = (), suffixes: Sequence[str] = (), *, folder: bool = False
) -> None:
    """Refuse an output before the work begins.

    Args:
        path: the file, or with ``folder`` the folder, to be written. A file may exist, a folder need not.
        inputs: files and folders that are read. None of them may be the output, also under another name.
        suffixes: the allowed ones, in lower case; empty: any.
        folder: ``path`` is a folder, whose parents need not exist.
    """
    path = Path(path)
    try:
        _check_kind(path, folder)
        _check_suffix(path, suffixes)
        for source in inputs:
            if is_same(path, source):
                raise DinarError(f"cannot write {path}: it is an input ({source}). Give another output")
        _try_to_write(path, folder)
    except (OSError, ValueError) as e:  # the latter: a name with a zero byte
        raise DinarError(f"cannot write {path}: {getattr(e, 'strerror', None) or e}") from e


def check_outputs(outputs: Sequence[tuple[Name, Sequence[str]]], inputs: Iterable[Name] = ()) -> None:
    """:func:`check_output` of several files (path, suffixes), none of which may be another one."""
    inputs = list(inputs)
    for k, (path, suffixes) in enumerate(outputs):
        check_output(path, inputs, suffixes)
        for other, _ in outputs[:k]:
            if is_same(path, other) or os.path.realpath(path) == os.path.realpath(other):
                raise DinarError(f"expected different outputs, got {other} and {path}")


def is_same(a: Name, b: Name) -> bool:
    """True if two names are the same existing file, also by links or other spellings."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):  # the latter: a name with a zero byte
        return False


def replaced_input(outputs: Iterable[Name], inputs: Iterable[Name]) -> Path | None:
    """The first output that is one of the inputs, also under another name; fast for thousands of both."""
    known = {_identity(p) for p in inputs} - {None}
    return next((Path(p) for p in outputs if _identity(p) in known), None)


def _identity(path: Name) -> tuple[int, int] | None:
    try:
        s = os.stat(path)
    except (OSError, ValueError):
        return None
    return s.st_dev, s.st_ino


def _check_kind(path: Path, folder: bool) -> None:
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):  # or a link to nothing, which is replaced
        mode = 0
    if mode and folder and not stat.S_ISDIR(mode):
        raise DinarError(f"cannot write into {path}: it is {_kind(mode)}, not a folder")
    if mode and not folder and not stat.S_ISREG(mode):
        raise DinarError(f"cannot write {path}: it is {_kind(mode)}, expected a file")
    if not folder and not path.parent.is_dir():
        raise DinarError(f"cannot write {path}: there is no folder {path.parent}")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFREG: "a file", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


def _check_suffix(path: Path, suffixes: Sequence[str]) -> None:
    if suffixes and path.suffix.lower() not in suffixes:
        raise DinarError(f"cannot write {path}: expected a name that ends in {' or '.join(suffixes)}, got "
                         f"{path.suffix or 'no suffix'}")  # fmt: skip


def _try_to_write(path: Path, folder: bool) -> None:
    home = path if folder else path.parent
    while folder and not home.exists():  # the nearest folder that is there
        home = home.parent
    if not home.is_dir():
        raise DinarError(f"cannot write into {path}: {home} is not a folder")
    remove_stale(home)
    if folder and home == path:  # it was staged beside itself before it was there
        remove_stale(path.parent)
    with tempfile.TemporaryFile(prefix=".dinar-", dir=home):
        pass


@contextmanager
def replacing(path: Name, folder: bool = False) -> Iterator[Path]:
    """Yields an unused path (or a new folder) with the suffix of ``path``; renamed to ``path`` when the block ends.

    If the block fails (also by Ctrl-C), nothing new is left and an older file is unchanged. The files of a new folder
    are moved one by one into ``path``, so files of other names there stay. The temporary file is in the folder of
    ``path``, which may be a mount point.
    """
    path = Path(path)
    temp = None
    try:
        _check_kind(path, folder)
        if not path.parent.is_dir():
            raise DinarError(f"cannot write {path}: there is no folder {path.parent}")
        with staging(path if folder and path.is_dir() else path.parent) as temp:
            if folder:
                yield temp
                path.mkdir(exist_ok=True)
                for file in sorted(temp.iterdir()):
                    os.replace(file, path / file.name)
            else:
                file = temp / f"new{path.suffix}"
                yield file
                os.replace(file, path)
    except OSError as e:
        ours = not e.filename or str(temp) in str(e.filename)  # else a file that the block was reading: named by str(e)
        raise DinarError(f"cannot write {path}: {(ours and e.strerror) or e}") from e


@contextmanager
def staging(parent: Name | None = None) -> Iterator[Path]:
    """A new folder in ``parent`` (default: the system's folder of temporary files), removed when the block ends.

    Folders of killed processes are removed first.
    """
    parent = Path(parent or tempfile.gettempdir())
    remove_stale(parent)
    temp = Path(tempfile.mkdtemp(prefix=f".dinar-{_machine()}-{os.getpid()}-", dir=parent))
    _live.add(temp)
    try:
        yield temp
    finally:
        shutil.rmtree(temp, ignore_errors=True)
        _live.discard(temp)


@cache  # once a folder and process: listing a folder of many files takes longer than writing one
def remove_stale(parent: Path) -> None:
    """Remove staging folders whose process is gone."""
    try:
        found = [Path(e.path) for e in os.scandir(parent) if e.name.startswith(".dinar-")]
    except OSError:
        return
    for folder in found:
        name = _STAGE.fullmatch(folder.name)
        if name and folder not in _live and folder.is_dir() and _is_stale(folder, name[1], int(name[2])):
            shutil.rmtree(folder, ignore_errors=True)


def _is_stale(folder: Path, machine: str, process: int) -> bool:
    if machine == _machine() and os.name == "posix":  # elsewhere os.kill would end the process
        return process == os.getpid() or not _is_running(process)  # not in _live: an earlier process of our number
    try:
        touched = max(p.stat().st_mtime for p in (folder, *folder.iterdir()))
    except OSError:
        return False
    return time.time() - touched > STALE


@cache
def _machine() -> str:
    """A hash of the machine or container that process numbers belong to."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = ""
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        pass
    return True


def file_name(name: str, where: str = "") -> str:
    """A name that stands in a file and becomes a file name: letters, digits, _ and - alone, which stay in a folder."""
    if not re.fullmatch(r"[\w-]{1,200}", name):
        at = f"{where}: " if where else ""
        raise DinarError(f"{at}expected a name of letters, digits, _ and - (it becomes a file name), got {name[:60]!r}")
    return name
