"""What a run over many items has done: a table in one sqlite file, written by one process as items end.

sqlite3 avatars/manifest.sqlite "SELECT name, reason FROM items WHERE state = 'failed'"
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .errors import DinarError
from .version import __version__

NAME = "manifest.sqlite"
WAIT = 30.0  # seconds to wait for another run that writes into the same file
_TABLE = """CREATE TABLE IF NOT EXISTS items (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'failed')),
    reason TEXT NOT NULL,  -- one line; empty where it is done
    seconds REAL,  -- of one worker; NULL: made by a run that was killed before it could say
    version TEXT NOT NULL,  -- of dinar
    ended TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))
)"""


@contextmanager
def open_manifest(path: Path) -> Iterator[sqlite3.Connection]:
    """The table, made where it is not there yet; what is recorded is on the disk at once."""
    try:
        with closing(sqlite3.connect(path, timeout=WAIT, isolation_level=None)) as db:
            db.execute(_TABLE)
            db.execute("SELECT name, source, state, reason, seconds, version, ended FROM items LIMIT 1")
            yield db
    except sqlite3.Error as e:
        raise DinarError(f"cannot write {path}: {e}. If it is no manifest of dinar, remove it: what is done stays "
                         "done") from e  # fmt: skip


def record(db: sqlite3.Connection, name: str, source: str, reason: str = "", seconds: float | None = None) -> None:
    """Item ``name`` is done, or failed for a reason. The last word counts."""
    row = (_text(name), _text(source), "failed" if reason else "done", _text(reason), seconds, __version__)
    db.execute("INSERT OR REPLACE INTO items (name, source, state, reason, seconds, version) VALUES (?, ?, ?, ?, ?, ?)",
               row)  # fmt: skip


def finished(db: sqlite3.Connection) -> set[str]:
    """Names of the items that are recorded as done."""
    return {name for (name,) in db.execute("SELECT name FROM items WHERE state = 'done'")}


def _text(name: str) -> str:
    """A file name whose bytes are no UTF-8 holds lone surrogates, which sqlite does not take."""
    return name.encode("utf-8", "backslashreplace").decode()
