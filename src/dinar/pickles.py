"""Foreign pickles (SMPLify-X results, trackers' joblib files, sparse matrices) without running what is inside them.

A pickle is a program. This reader knows numpy arrays, numbers, text and plain containers; any other name ends it.
Steps, depth and size are bounded, so that shared references do not unfold.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DinarError
from .pickle_machine import EXPANSION, Damaged, Machine, Refused, StandIn, plain_key

MAX_BYTES = 1 << 29  # of a file
MAX_UNPACKED = 1 << 28  # bytes of a file that joblib compressed
MAX_DEPTH = 50


class Sparse(StandIn):
    """Stands in for a scipy sparse matrix: holds its state, runs nothing of scipy's."""

    by_column = True

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def set_state(self, state: Any, machine: Machine) -> None:
        if type(state) is not dict:
            raise Damaged("a sparse matrix without its parts")
        self.state = state

    def dense(self) -> np.ndarray:
        """The matrix as a plain array."""
        s = self.state
        try:
            data, indices, indptr = (np.asarray(s[k]) for k in ("data", "indices", "indptr"))
            shape = tuple(int(n) for n in s.get("_shape", s.get("shape", ())))
            if len(shape) != 2 or min(shape) < 0 or math.prod(shape) > MAX_BYTES // 8:
                raise ValueError
            out = np.zeros(shape, np.float64)
            other = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
            row, col = (indices, other) if self.by_column else (other, indices)
            out[row, col] = data
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            raise DinarError("expected a sparse matrix as scipy pickles it, got one whose parts do not fit") from None
        return out


class _SparseRows(Sparse):
    by_column = False


class _DType(StandIn):
    """Stands in for a numpy dtype, whose own ``__setstate__`` trusts what it gets."""

    def __init__(self, code: Any, *_: object) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[?biufSUO]\d{0,6}", code):
            raise Damaged(f"numbers of the type {code[:20]}")
        self.dtype = np.dtype(code)

    def set_state(self, state: Any, machine: Machine) -> None:
        if any(x is not None for x in state[2:5]):
            raise Damaged("a structured array")
        if state[1] in (">", b">") and not self.dtype.hasobject:
            self.dtype = self.dtype.newbyteorder(">")


class _Array(StandIn):
    """Stands in for a numpy array until everything is read."""

    def __init__(self, *_: object) -> None:
        self.array = np.zeros(0)

    def set_state(self, state: Any, machine: Machine) -> None:
        _version, shape, kind, fortran, data = state
        if kind.dtype.hasobject:
            machine.spend(8 * len(data))
            self.array = np.empty(len(data), object)
            for i, item in enumerate(data):
                self.array[i] = item
        else:
            machine.spend(len(data))
            self.array = _numbers(data, kind)
        self.array = self.array.reshape(shape, order="F" if fortran else "C")


class _JoblibArray(StandIn):
    """An array of a joblib file: its bytes follow the state, after some that align them."""

    def __init__(self, *_: object) -> None:
        self.array = np.zeros(0)

    def set_state(self, state: Any, machine: Machine) -> None:
        shape, kind = tuple(int(n) for n in state["shape"]), state["dtype"]
        if kind.dtype.hasobject or min(shape, default=0) < 0:
            raise Damaged("an array of objects in a joblib file")
        if state.get("numpy_array_alignment_bytes") is not None:
            machine.take(machine.number("B"))
        data = machine.take(math.prod(shape) * kind.dtype.itemsize)
        self.array = _numbers(data, kind).reshape(shape, order="F" if state.get("order") == "F" else "C")


def _numbers(data: Any, kind: _DType) -> np.ndarray:
    x = np.frombuffer(data if isinstance(data, bytes) else data.encode("latin1"), kind.dtype)
    return x.astype(kind.dtype.newbyteorder("="))  # a copy, writable


def _frombuffer(data: bytes, kind: _DType, shape: tuple[int, ...], order: str) -> _Array:
    out = _Array()
    out.array = _numbers(data, kind).reshape(shape, order="F" if order == "F" else "C")
    return out


def _scalar(kind: _DType, data: bytes | str = b"") -> np.generic:
    return _numbers(data, kind)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise Damaged("text in another encoding")
    return text.encode(encoding)


def _dictionary(*_: object) -> dict[Any, Any]:
    return {}


def _nothing(*_: object) -> bytes:
    return b""


def _set(items: Any = ()) -> set[Any]:
    if type(items) not in (list, tuple):
        raise Damaged("a set of something that is no list")
    return {plain_key(x) for x in items}


def _known_names() -> dict[tuple[str, str], Callable[..., Any]]:
    names: dict[tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): _dictionary,
        ("collections", "defaultdict"): _dictionary,
        ("joblib.numpy_pickle", "NumpyArrayWrapper"): _JoblibArray,
    }
    for core in ("numpy.core", "numpy._core"):
        names[core + ".multiarray", "_reconstruct"] = _Array
        names[core + ".multiarray", "scalar"] = _scalar
        names[core + ".numeric", "_frombuffer"] = _frombuffer
    for kind in ("int", "float", "list", "dict"):  # default factories
        names["builtins", kind] = names["__builtin__", kind] = _dictionary
    names["builtins", "set"] = names["__builtin__", "set"] = _set
    names["builtins", "bytes"] = names["__builtin__", "bytes"] = _nothing
    for kind, stub in (("csc", Sparse), ("csr", _SparseRows)):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            names[module, f"{kind}_matrix"] = names[module, f"{kind}_array"] = stub
    return names


_NAMES = _known_names()


class _Plain:
    """Arrays for their stand-ins and plain containers. Items that are shared count as often as they are met."""

    def __init__(self, machine: Machine) -> None:
        self.items, self.bytes = EXPANSION * machine.steps + 1000, machine.budget

    def __call__(self, x: Any, depth: int = 0) -> Any:
        if x is None or type(x) in (int, float, bool):
            return x
        if isinstance(x, (_Array, _JoblibArray)):
            x = x.array
        if isinstance(x, _DType):
            return x.dtype
        if isinstance(x, Sparse):
            x.state = self(x.state, depth + 1)
            return x
        if depth > MAX_DEPTH:
            raise Damaged("containers nested too deeply")
        if isinstance(x, np.ndarray):
            self._spend(x.size if x.dtype == object else 0, x.nbytes)
            if x.dtype != object:
                return x
            out = np.empty(x.size, object)
            for i, item in enumerate(x.reshape(-1)):
                out[i] = self(item, depth + 1)
            return out.reshape(x.shape)
        if isinstance(x, (str, bytes)):
            self._spend(0, len(x))
        elif isinstance(x, (dict, list, tuple)):
            self._spend(len(x), 0)
            return (
                {k: self(v, depth + 1) for k, v in x.items()} if isinstance(x, dict)
                else [self(v, depth + 1) for v in x]
            )  # fmt: skip
        return x

    def _spend(self, items: int, size: int) -> None:
        self.items -= items
        self.bytes -= size
        if self.items < 0 or self.bytes < 0:
            raise Damaged("one much larger when unfolded than the file")


def read_pickle(source: Path | bytes, what: str = "") -> Any:
    """Plain containers and numpy arrays from a pickle or a joblib file; the rest is refused and never called."""
    what = what or (source.name if isinstance(source, Path) else "pickle")
    if isinstance(source, Path) and not source.is_file():
        raise DinarError(f"{what}: expected a pickle, got no file")
    if isinstance(source, Path) and source.stat().st_size > MAX_BYTES:
        raise DinarError(f"{what}: expected a pickle of at most {MAX_BYTES >> 20} MiB, got "
                         f"{source.stat().st_size >> 20} MiB; save the arrays with np.savez")  # fmt: skip
    try:
        data = _uncompressed(source.read_bytes() if isinstance(source, Path) else source)
        machine = Machine(data, _NAMES)
        content = machine.run()
        return _Plain(machine)(content)
    except Refused as e:
        name = str(e)
        if name.startswith(("torch", "a storage")):
            why = "it holds torch tensors; turn them into arrays (.numpy()) and save them with np.savez"
        elif name.startswith("chumpy"):
            why = "it holds chumpy arrays; save the arrays as npz"
        else:
            why = "it may run code; save the arrays with np.savez and give that file"
        raise DinarError(f"{what}: expected a pickle of numpy arrays only, found {name[:100]}: {why}") from None
    except Damaged as e:
        raise DinarError(f"{what}: expected a pickle of numpy arrays, got {e}") from None
    except OSError as e:
        raise DinarError(f"{what}: cannot be read: {e.strerror}") from None
    except Exception:  # instructions in an impossible order, numbers that are none, text of another encoding
        raise DinarError(f"{what}: expected a pickle of numpy arrays, but it is damaged or cut short") from None


def _uncompressed(data: bytes) -> bytes:
    """What joblib compressed with zlib or gzip, within bounds; other data as it is."""
    if data[:1] != b"\x78" and data[:2] != b"\x1f\x8b":
        return data
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32)
    out = unzip.decompress(data, MAX_UNPACKED)
    if len(out) == MAX_UNPACKED:
        raise Damaged(f"{MAX_UNPACKED >> 20} MiB or more when unfolded")
    if not unzip.eof:
        raise EOFError
    return out
