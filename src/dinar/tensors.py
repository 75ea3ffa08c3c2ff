"""safetensors files, read safely: every fault of the file is a DinarError of one line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from torch import Tensor

from .arrays import read_json
from .errors import DinarError
from .files import staging

LARGEST = 1e9  # of a float: weights, metres and colours are far below, and their squares are finite in float32


def read_tensors(path: Path, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """All tensors of a file, finite where they are floats, and its metadata.

    The library checks that the header's shapes, types and places agree with the size of the file, so nothing larger
    than the file is allocated.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "a special file" if path.exists() else "no such file"
        raise DinarError(f"{path}: expected {what}, got {kind}")
    try:
        with _in_unicode(path) as name, safetensors.safe_open(str(name), "pt") as f:
            metadata = dict(f.metadata() or {})
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
    except MemoryError:
        raise DinarError(f"{path}: out of memory while reading {what}") from None
    except Exception:  # the library raises its own error, OSError, KeyError and torch's RuntimeError
        raise DinarError(f"{path}: expected {what}, but it is damaged or cut short") from None
    for key, t in tensors.items():
        if not is_possible(t):
            raise DinarError(f"{path}: expected finite numbers in {key}, got NaN, infinity or more than {LARGEST:.0e}")
    return tensors, metadata


def is_possible(t: Tensor) -> bool:
    """Whether the numbers of a tensor are none, or whole, or not beyond :data:`LARGEST`."""
    if not (t.is_floating_point() or t.is_complex()):
        return True
    numbers = t.float() if t.is_floating_point() else t  # of 8 bits it cannot be asked
    return bool((numbers.abs() <= LARGEST).all())  # False where NaN


@contextmanager
def _in_unicode(path: Path) -> Iterator[Path]:
    """A name of the file that the library takes: it knows no other bytes than UTF-8."""
    if not any("\ud800" <= c <= "\udfff" for c in str(path)):
        yield path
        return
    with staging() as folder:
        (folder / "file").symlink_to(path.absolute())
        yield folder / "file"


def read_metadata(text: str, path: Path, what: str) -> dict[str, Any]:
    """A json object that stands in the metadata of a safetensors file; its numbers are finite."""
    content = read_json(text.encode("utf-8", "replace"), name=str(path), what=what)
    if not isinstance(content, dict):
        raise DinarError(f"{path}: expected {what}, got something else in its header")
    level: list[Any] = [content]
    while level:
        if any(isinstance(x, float) and not math.isfinite(x) for x in level):
            raise DinarError(f"{path}: expected finite numbers in its header, got NaN or infinity")
        level = [v for x in level if isinstance(x, (dict, list)) for v in (x.values() if isinstance(x, dict) else x)]
    return content
