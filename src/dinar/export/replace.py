"""Files appear whole or not at all: written beside their place under another name, then renamed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import DinarError


@contextmanager
def replacing(path: str | Path, folder: bool = False) -> Iterator[Path]:
    """Yields an unused path (or a new folder) in the folder of ``path`` with its suffix; renamed when the block ends.

    The block's failure, Ctrl-C included, leaves nothing behind and an older file untouched. A finished folder's files
    are moved one by one into ``path``, so that files of other names there stay.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise DinarError(f"cannot write {path}: there is no folder {path.parent}")
    if path.is_dir() != folder and path.exists():
        raise DinarError(f"cannot write {path}: " + ("it is a file, not a folder" if folder else "it is a folder"))
    temp = None
    try:
        temp = Path(tempfile.mkdtemp(prefix=f".{path.stem[:40]}-", dir=path.parent))
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
    finally:
        if temp is not None:
            shutil.rmtree(temp, ignore_errors=True)
