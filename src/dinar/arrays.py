"""npz, npy and json files that others made, read safely: nothing runs, nothing unfolds beyond its bounds.

Headers are read first: a file of 68 kB that declares 7.6 GB is refused before it is decompressed, and so is an array
whose type or shape is not the expected one. A table says what a file must hold, and every fault is a
:class:`~dinar.errors.DinarError`::

    FIT = {
        "betas": Array(np.float32, ("B",), -100, 100),
        "pose": Array(np.float32, ("J", 3), -10, 10),
        "size": Array(np.int64, (2,), 1, 1 << 16, required=False),
    }
    a = read_npz(path, FIT, what="a fit of dinar (fits.npz)", sizes={"J": body.num_joints})
"""

from __future__ import annotations

import io
import json
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from .errors import DinarError

MAX_BYTES = 1 << 30  # of all arrays that are read from one file
MAX_JSON_BYTES = 1 << 26
MAX_JSON_DEPTH = 64  # Python's own reader gives up at about 1,000
MAX_HEADER = 10_000  # bytes of an npy header; numpy's own limit
MAX_CHARACTER = 0x10FFFF  # of Unicode
MAX_MEMBERS = 100_000  # of a zip file

Source = Path | str | bytes


@dataclass(frozen=True)
class Array:
    """What an array must be: the type that it is converted to, its shape, and the range of its numbers.

    ``np.float32`` and ``np.float64`` take floats and integers, and refuse what is NaN, infinite or infinite in float32
    (``finite=False`` takes NaN and infinity); integer types take integers in their own range, ``np.bool_`` booleans,
    ``np.str_`` text. ``dtype=None`` takes any of these as it is.
    """

    dtype: type[np.generic] | None = np.float32
    shape: tuple[int | str | None, ...] | None = None  # number: exact; letter: equal wherever it stands; None: any
    low: float = -math.inf
    high: float = math.inf
    required: bool = True
    finite: bool = True


def read_npz(
    source: Source,
    table: Mapping[str, Array] | None = None,  # only these are read; None: every array
    *,
    name: str = "",  # of the file, for messages; default: the path
    what: str = "an npz file of numpy arrays",
    limit: int = MAX_BYTES,  # bytes of the arrays when unpacked
    sizes: Mapping[str, int] | None = None,  # of the table's letters, where they are known
    pickled: Callable[[bytes, str], Any] | None = None,  # reads arrays of objects: (pickle, label)
) -> dict[str, Any]:
    """The arrays of an npz file. Arrays of objects are never unpickled here: without ``pickled`` they are left out."""
    file = name or _name(source)
    out: dict[str, Any] = {}
    found: dict[str, int] = dict(sizes or {})
    with _opened(source, file, what) as stream:
        if (start := stream.read(6)) == b"\x93NUMPY":
            raise DinarError(f"{file}: expected {what}, got a single npy array under this name; write it with np.savez")
        if start[:2] != b"PK":
            raise DinarError(f"{file}: expected {what}, got {'an empty' if not start else 'another kind of'} file")
        stream.seek(0)
        with zipfile.ZipFile(stream) as z:
            members = {i.filename.removesuffix(".npy"): i for i in z.infolist() if i.filename.endswith(".npy")}
            if len(z.infolist()) > MAX_MEMBERS:
                raise DinarError(f"{file}: expected {what}, got a zip file of {len(z.infolist())} members")
            _require(file, what, table or {}, list(members))
            total = 0
            for key, info in members.items():
                if table is not None and key not in table:
                    continue
                if info.flag_bits & 1:
                    raise DinarError(f"{file}: expected {what}, got an encrypted zip file; write it with np.savez")
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise DinarError(f"{file}: expected {what}, got a zip file of another method; write it with "
                                     "np.savez or np.savez_compressed")  # fmt: skip
                spec = table[key] if table is not None else None
                with z.open(info) as member:
                    header = _read_header(member)
                    data = _size(header)
                    total += info.file_size if header.dtype.hasobject else data
                    if total > limit:
                        raise DinarError(f"{file}: expected {what} of at most {_bytes(limit)} when unpacked, got "
                                         f"{_bytes(total)} or more")  # fmt: skip
                    if header.dtype.hasobject and pickled is not None:
                        out[key] = pickled(member.read(), f"{file}, {key}")
                        continue
                    if spec is None and header.dtype.kind not in "biufUS":
                        continue
                    if spec is not None:
                        _check_type(file, key, spec, header.dtype)
                        _check_shape(file, key, spec, header.shape, found)
                    array = _read_data(member, header)
                out[key] = array if spec is None else _check_values(file, key, spec, array)
    return out


def read_npy(
    source: Source,
    spec: Array | None = None,
    *,
    name: str = "",
    what: str = "an npy file, one numpy array",
    limit: int = MAX_BYTES,
    sizes: Mapping[str, int] | None = None,
    pickled: Callable[[bytes, str], Any] | None = None,
) -> Any:
    """The array of an npy file; the arguments are those of :func:`read_npz`."""
    file = name or _name(source)
    with _opened(source, file, what) as stream:
        header = _read_header(stream)
        if _size(header) > limit:
            raise DinarError(f"{file}: expected {what} of at most {_bytes(limit)}, got {_bytes(_size(header))}")
        if header.dtype.hasobject and pickled is not None:
            return pickled(stream.read(limit), file)
        if header.dtype.kind not in "biufUS":
            raise DinarError(f"{file}: expected {what}, got {_kind(header.dtype)}; save plain numbers with np.save")
        if spec is not None:
            _check_type(file, "the array", spec, header.dtype)
            _check_shape(file, "the array", spec, header.shape, dict(sizes or {}))
        array = _read_data(stream, header)
    return array if spec is None else _check_values(file, "the array", spec, array)


def check_arrays(
    file: str,
    arrays: Mapping[str, Any],  # numpy arrays, or nested lists of numbers
    table: Mapping[str, Array],
    sizes: Mapping[str, int] | None = None,
    what: str = "a table of arrays",
) -> dict[str, np.ndarray]:
    """Arrays that came from elsewhere (json, safetensors, a pickle) against the same table."""
    _require(file, what, table, list(arrays))
    found = dict(sizes or {})
    out = {}
    for key, spec in table.items():
        if key not in arrays:
            continue
        array = _as_array(arrays[key])
        if array is None:
            raise DinarError(f"{file}: expected {key} {_wanted(spec)}, got a list that is no array")
        _check_type(file, key, spec, array.dtype)
        _check_shape(file, key, spec, array.shape, found)
        out[key] = _check_values(file, key, spec, array)
    return out


def _as_array(x: Any) -> np.ndarray | None:
    """Nested lists of numbers, of text or of equal arrays as one array; None where they are none."""
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype != object:
        return np.asarray(x)
    level: list[Any] = [x.tolist() if isinstance(x, np.ndarray) else x]
    shape: list[int] = []
    while level and isinstance(level[0], (list, tuple)):
        n = len(level[0])
        if any(not isinstance(v, (list, tuple)) or len(v) != n for v in level) or len(shape) > 16:
            return None
        level = [v for row in level for v in row]
        shape.append(n)
    if not level:
        return np.zeros(shape)
    if all(isinstance(v, np.ndarray) and v.dtype.kind in "biuf" and v.shape == level[0].shape for v in level):
        return np.stack(level).reshape(*shape, *level[0].shape)
    if all(isinstance(v, (float, np.number, np.bool_)) or (isinstance(v, int) and abs(v) < 1 << 62) for v in level):
        return np.array(level).reshape(shape)
    if all(isinstance(v, str) for v in level) and max(map(len, level)) * len(level) <= MAX_BYTES // 4:
        return np.array(level).reshape(shape)
    return None


def read_json(
    source: Source,
    *,
    name: str = "",
    what: str = "a json file",
    limit: int = MAX_JSON_BYTES,
    depth: int = MAX_JSON_DEPTH,  # lists and objects inside each other
) -> Any:
    """The content of a json file in UTF-8, -16 or -32, with or without a byte order mark."""
    file = name or _name(source)
    with _opened(source, file, what) as stream:
        data = stream.read(limit + 1)
        if not data.strip():
            raise DinarError(f"{file}: expected {what}, got an empty file")
        if len(data) > limit:
            raise DinarError(f"{file}: expected {what} of at most {_bytes(limit)}, got more")
        try:
            content = json.loads(data)
        except RecursionError:
            raise DinarError(f"{file}: expected {what}, got json nested more than {depth} deep") from None
        except json.JSONDecodeError as e:
            raise DinarError(f"{file}: expected {what}, but line {e.lineno}, column {e.colno} is not json") from None
        except ValueError:  # not text, or a number of thousands of digits
            raise DinarError(f"{file}: expected {what}, got something that is not json") from None
    level = [content]
    for _ in range(depth + 1):
        level = [v for x in level if isinstance(x, (dict, list)) for v in (x.values() if isinstance(x, dict) else x)]
        if not level:
            return content
    raise DinarError(f"{file}: expected {what}, got json nested more than {depth} deep")


def is_texts(content: Any) -> bool:
    """Whether json content is an object of texts by name."""
    return isinstance(content, dict) and all(isinstance(v, str) for v in content.values())


def read_text(source: Source, *, name: str = "", what: str = "a text file", limit: int = MAX_JSON_BYTES) -> str:
    """A file of UTF-8 text, with or without a byte order mark; what is not UTF-8 becomes U+FFFD."""
    file = name or _name(source)
    with _opened(source, file, what) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise DinarError(f"{file}: expected {what} of at most {_bytes(limit)}, got more")
    return data.decode("utf-8-sig", "replace")


@contextmanager
def _opened(source: Source, file: str, what: str) -> Iterator[IO[bytes]]:
    """A stream of the bytes; whatever a damaged file makes its readers raise becomes a DinarError."""
    try:
        if isinstance(source, bytes):
            yield io.BytesIO(source)
            return
        path = Path(source)
        if not path.is_file():  # a pipe or a device may never end
            kind = "a folder" if path.is_dir() else "a special file" if path.exists() else "no such file"
            raise DinarError(f"{file}: expected {what}, got {kind}")
        with path.open("rb") as stream:
            yield stream
    except DinarError:
        raise
    except OSError as e:
        raise DinarError(f"{file}: expected {what}, but it cannot be read ({e.strerror or 'damaged'})") from None
    except MemoryError:
        raise DinarError(f"{file}: out of memory while reading {what}") from None
    except Exception:  # zipfile, zlib, struct, ast and numpy raise a dozen kinds, and more with every release
        raise DinarError(f"{file}: expected {what}, but it is damaged or cut short") from None


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype


def _read_header(stream: IO[bytes]) -> _Header:
    """The header of an npy file, of bounded length."""
    start = stream.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00"):
        raise ValueError("not an npy file of version 1 or 2")
    two = start[6] == 2
    length = stream.read(4 if two else 2)
    size = int.from_bytes(length, "little")
    if size > MAX_HEADER:
        raise ValueError("a header longer than numpy writes")
    text = io.BytesIO(length + stream.read(size))
    read = np.lib.format.read_array_header_2_0 if two else np.lib.format.read_array_header_1_0
    shape, fortran, dtype = read(text)
    if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 16:
        raise ValueError("a shape that no array has")
    return _Header(tuple(shape), fortran, dtype)


def _size(header: _Header) -> int:
    """Bytes that the array takes; items of no bytes count as one."""
    return math.prod(header.shape) * max(1, header.dtype.itemsize)


def _read_data(stream: IO[bytes], header: _Header) -> np.ndarray:
    count = math.prod(header.shape)
    if not header.dtype.itemsize:
        return np.zeros(header.shape, header.dtype)
    data = stream.read(count * header.dtype.itemsize)
    array = np.frombuffer(data, header.dtype, count)  # ValueError where there is less
    if header.dtype.kind == "U" and (np.frombuffer(data, header.dtype.str[0] + "u4") > MAX_CHARACTER).any():
        raise ValueError("text of characters that are none")
    array = array.reshape(header.shape, order="F" if header.fortran else "C")
    return array.astype(header.dtype.newbyteorder("="))  # a copy that can be written to


def _require(file: str, what: str, table: Mapping[str, Array], present: list[str]) -> None:
    missing = [k for k, spec in table.items() if spec.required and k not in present]
    if missing:
        shown = ", ".join(sorted(present)[:8]) or "nothing"
        raise DinarError(f"{file}: expected {what} with {', '.join(missing[:6])}, got {shown}")


_TAKEN = {"f": "iuf", "i": "iu", "u": "iu", "b": "b", "U": "U"}


def _check_type(file: str, key: str, spec: Array, dtype: np.dtype) -> None:
    if dtype.kind not in ("biufUS" if spec.dtype is None else _TAKEN[np.dtype(spec.dtype).kind]):
        raise DinarError(f"{file}: expected {key} {_wanted(spec)}, got {_kind(dtype)}")


def _check_shape(file: str, key: str, spec: Array, shape: tuple[int, ...], found: dict[str, int]) -> None:
    if spec.shape is None:
        return
    fits = len(shape) == len(spec.shape)
    for n, want in zip(shape, spec.shape, strict=False):
        if isinstance(want, str):
            want = found.setdefault(want, n) if fits else n
        fits = fits and want in (None, n)
    if not fits:
        known = [found.get(n, n) if isinstance(n, str) else n for n in spec.shape]
        want = ", ".join("any" if n is None else str(n) for n in known)
        raise DinarError(f"{file}: expected {key} of shape [{want}], got {list(shape)}")


def _check_values(file: str, key: str, spec: Array, array: np.ndarray) -> np.ndarray:
    """The array in the table's type, or the reason why its numbers do not fit."""
    if array.dtype.kind in "iuf" and array.size:
        largest = float(np.finfo(np.float32).max)
        large = np.abs(array) > largest if array.dtype.itemsize > 4 else False
        if spec.finite and array.dtype.kind == "f" and (not np.isfinite(array).all() or np.any(large)):
            raise DinarError(f"{file}: expected finite numbers in {key}, got NaN, infinity or more than 3e38")
        least, most = spec.low, spec.high
        if spec.dtype is not None and np.dtype(spec.dtype).kind in "iu":
            info = np.iinfo(np.dtype(spec.dtype).name)
            least, most = max(least, info.min), min(most, info.max)
        if array.dtype == np.float16:  # in which larger bounds cannot be written
            top = float(np.finfo(np.float16).max)
            least, most = least if least >= -top else -math.inf, most if most <= top else math.inf
        outside = (array < least) | (array > most)
        if outside.any():
            got = float(array[outside].flat[0])
            raise DinarError(f"{file}: expected numbers from {least:g} to {most:g} in {key}, got {got:g}")
        if (
            spec.finite
            and spec.dtype is np.float16
            and (np.abs(array.astype(np.float64)) > np.finfo(np.float16).max).any()
        ):
            raise DinarError(f"{file}: expected numbers up to 65504 in {key}, got larger ones")
    return array if spec.dtype is None else array.astype(spec.dtype, copy=False)


_WANTED = {"f": "of numbers", "i": "of whole numbers", "u": "of whole numbers", "b": "of true and false"}
_NAMES = {"O": "Python objects", "V": "records", "c": "complex numbers", "U": "text", "S": "bytes", "b": "booleans",
          "f": "fractions"}  # fmt: skip


def _wanted(spec: Array) -> str:
    return "of numbers or text" if spec.dtype is None else _WANTED.get(np.dtype(spec.dtype).kind, "of text")


def _kind(dtype: np.dtype) -> str:
    return _NAMES.get(dtype.kind, "numbers of another type")


def _name(source: Source) -> str:
    return "the data" if isinstance(source, bytes) else str(source)


def _bytes(n: int) -> str:
    return f"{n / (1 << 30):.3g} GiB" if n >= 1 << 30 else f"{max(n >> 20, 1)} MiB"
