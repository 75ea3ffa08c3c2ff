"""Foreign pickles (SMPLify-X results, sparse matrices) without running what is inside them.

A pickle is a program. This reader knows numpy arrays, numbers, text and plain containers; any other name ends it.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DinarError

MAX_BYTES = 1 << 30


class Sparse:
    """Stands in for a scipy sparse matrix: holds its state, runs nothing of scipy's."""

    def __init__(self, *_: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state

    def dense(self) -> np.ndarray:
        """The matrix as a plain array; only csc and csr carry ``indptr``, told apart by its length."""
        s = self.state
        data, indices, indptr = (np.asarray(s[k]) for k in ("data", "indices", "indptr"))
        shape = tuple(int(n) for n in s.get("_shape", s.get("shape", ())))
        other = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
        out = np.zeros(shape, np.float64)
        row, col = (indices, other) if self.by_column else (other, indices)
        out[row, col] = data
        return out

    by_column = True


class SparseRows(Sparse):
    by_column = False


def _empty_array(_kind: type, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """What ``numpy.core.multiarray._reconstruct`` is called for: an empty array that the state then fills."""
    if shape != (0,):
        raise pickle.UnpicklingError("an array of unusual make")
    return np.ndarray(shape, np.dtype("b") if code in (b"b", "b") else np.dtype("O"))


def _frombuffer(buffer: bytes, dtype: np.dtype, shape: tuple[int, ...], order: str) -> np.ndarray:
    return np.frombuffer(bytes(buffer), dtype).reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: np.dtype, value: bytes = b"") -> np.generic:
    return np.frombuffer(value if isinstance(value, bytes) else value.encode("latin1"), dtype)[0]


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1", "utf-8", "ascii"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode(encoding)


def _numpy_names() -> dict[tuple[str, str], Any]:
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _encode,
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "defaultdict"): defaultdict,
    }
    for core in ("numpy.core", "numpy._core"):
        names[core + ".multiarray", "_reconstruct"] = _empty_array
        names[core + ".multiarray", "scalar"] = _scalar
        names[core + ".numeric", "_frombuffer"] = _frombuffer
    for scalar in (np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
                   np.float16, np.float32, np.float64, np.str_, np.bytes_):  # fmt: skip
        names["numpy", scalar.__name__] = scalar
    names["numpy", "bool_"], names["numpy", "str_"], names["numpy", "bytes_"] = np.bool_, np.str_, np.bytes_
    for kind in (int, float, str, bytes, bool, list, dict, tuple, set):
        names["builtins", kind.__name__] = names["__builtin__", kind.__name__] = kind
    for kind, stub in (("csc", Sparse), ("csr", SparseRows)):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            names[module, f"{kind}_matrix"] = names[module, f"{kind}_array"] = stub
    return names


_ALLOWED = _numpy_names()


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
        return _Unpickler(io.BytesIO(data), encoding="latin1").load()
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
                         f"({type(e).__name__}: {e})") from None  # fmt: skip
