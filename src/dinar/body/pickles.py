"""Foreign pickles (SMPLify-X results, sparse matrices) without running what is inside them.

A pickle is a program. This reader knows numpy arrays, numbers, text and plain containers; any other name ends it, and
even numpy's own unpickling is not trusted with the state it is given.
"""

from __future__ import annotations

import io
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DinarError

MAX_BYTES = 1 << 30


class Sparse:
    """Stands in for a scipy sparse matrix: holds its state, runs nothing of scipy's."""

    by_column = True

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def dense(self) -> np.ndarray:
        """The matrix as a plain array."""
        s = self.state
        data, indices, indptr = (np.asarray(s[k]) for k in ("data", "indices", "indptr"))
        out = np.zeros(tuple(int(n) for n in s.get("_shape", s.get("shape", ()))), np.float64)
        other = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        row, col = (indices, other) if self.by_column else (other, indices)
        out[row, col] = data
        return out


class _SparseRows(Sparse):
    by_column = False


class _DType:
    """Stands in for a numpy dtype, whose own ``__setstate__`` trusts what it gets."""

    def __init__(self, code: str, *_: object) -> None:
        code = code.decode("latin1") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[?biufSUO]\d{0,6}", code):
            raise pickle.UnpicklingError(f"numbers of the type {code[:20]!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if any(x is not None for x in state[2:5]):
            raise pickle.UnpicklingError("a structured array")
        if state[1] in (">", b">") and not self.dtype.hasobject:
            self.dtype = self.dtype.newbyteorder(">")


class _Array:
    """Stands in for a numpy array until everything is read."""

    def __init__(self, *_: object) -> None:
        self.array = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, fortran, data = state
        if kind.dtype.hasobject:
            self.array = np.empty(len(data), object)
            self.array[:] = data
        else:
            self.array = np.frombuffer(data if isinstance(data, bytes) else data.encode("latin1"), kind.dtype)
            self.array = self.array.copy()  # writable
        self.array = self.array.reshape(shape, order="F" if fortran else "C")


def _frombuffer(data: bytes, kind: _DType, shape: tuple[int, ...], order: str) -> _Array:
    out = _Array()
    out.__setstate__((1, shape, kind, order == "F", bytes(data)))
    return out


def _scalar(kind: _DType, data: bytes | str = b"") -> np.generic:
    return np.frombuffer(data if isinstance(data, bytes) else data.encode("latin1"), kind.dtype)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode(encoding)


def _plain(x: Any, depth: int = 0) -> Any:
    """The same with arrays for their stand-ins and plain containers."""
    if depth > 50:
        raise pickle.UnpicklingError("containers nested too deeply")
    if isinstance(x, _Array):
        x = x.array
    if isinstance(x, np.ndarray) and x.dtype == object:
        out = np.empty(x.size, object)
        for i, item in enumerate(x.reshape(-1)):
            out[i] = _plain(item, depth + 1)
        return out.reshape(x.shape)
    if isinstance(x, dict):
        return {k: _plain(v, depth + 1) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [_plain(v, depth + 1) for v in x]
    if isinstance(x, Sparse):
        x.state = _plain(x.state, depth + 1)
    return x.dtype if isinstance(x, _DType) else x


def _known_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): _Array,
        ("numpy", "dtype"): _DType,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): dict,
        ("collections", "defaultdict"): lambda *_: {},
    }
    for core in ("numpy.core", "numpy._core"):
        names[core + ".multiarray", "_reconstruct"] = _Array
        names[core + ".multiarray", "scalar"] = _scalar
        names[core + ".numeric", "_frombuffer"] = _frombuffer
    for kind in (int, float, list, dict, set):  # default factories; sets and empty bytes of old protocols
        names["builtins", kind.__name__] = names["__builtin__", kind.__name__] = kind
    names["builtins", "bytes"] = names["__builtin__", "bytes"] = lambda: b""
    for kind, stub in (("csc", Sparse), ("csr", _SparseRows)):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            names[module, f"{kind}_matrix"] = names[module, f"{kind}_array"] = stub
    return names


_ALLOWED = _known_names()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise _Refused(f"{module}.{name}") from None

    def persistent_load(self, pid: object) -> Any:
        raise _Refused("a storage of another file (a torch checkpoint)")


class _Refused(Exception):
    pass


def read_pickle(source: Path | bytes, what: str = "") -> Any:
    """Plain containers and numpy arrays from a pickle; anything else in it is refused and never called."""
    what = what or (source.name if isinstance(source, Path) else "pickle")
    if isinstance(source, Path) and source.stat().st_size > MAX_BYTES:
        raise DinarError(f"{what}: expected a pickle of at most 1 GiB, got {source.stat().st_size / 2**30:.1f} GiB")
    data = source.read_bytes() if isinstance(source, Path) else source
    try:
        return _plain(_Unpickler(io.BytesIO(data), encoding="latin1").load())
    except _Refused as e:
        name = str(e)
        if name.startswith("joblib"):
            why = "it was written by joblib; rewrite it with numpy: np.savez('motion.npz', **joblib.load(file)[track])"
        elif name.startswith(("torch", "a storage")):
            why = "it holds torch tensors; turn them into arrays (.numpy()) and save them with np.savez"
        elif name.startswith("chumpy"):
            why = "it holds chumpy arrays; save the arrays as npz"
        else:
            why = "it may run code; save the arrays with np.savez and give that file"
        raise DinarError(f"{what}: expected a pickle of numpy arrays only, found {name}: {why}") from None
    except Exception as e:
        raise DinarError(f"{what}: expected a pickle of numpy arrays, but it is damaged or cut short "
                         f"({type(e).__name__}: {' '.join(str(e).split())[:100]})") from None  # fmt: skip
