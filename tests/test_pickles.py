"""Pickles of others: plain data comes out as it went in, nothing else happens, and nothing unfolds beyond its file."""

from __future__ import annotations

import pickle
import struct
import zlib
from collections import OrderedDict

import numpy as np
import pytest

from dinar import pickles
from dinar.errors import DinarError
from dinar.pickles import Sparse, read_pickle


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_plain_data_are_read_as_they_are(protocol: int) -> None:
    data = {
        "a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.float32(2.5),
        "c": [np.arange(3, dtype=">i4"), "x"], "d": OrderedDict(names=np.array(["ab", "c"])), "e": np.zeros((0, 3)),
        "f": {1, 2}, "g": np.array([True, False]),
    }  # fmt: skip
    got = read_pickle(pickle.dumps(data, protocol=protocol))
    for k in ("a", "b", "e", "g"):
        np.testing.assert_array_equal(got[k], data[k])
    np.testing.assert_array_equal(got["c"][0], [0, 1, 2])
    assert got["f"] == {1, 2} and list(got["d"]["names"]) == ["ab", "c"]


def array(shape: tuple[int, ...]) -> bytes:
    """An array of float64 zeros as joblib writes it, after its own kind of padding."""
    return (b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(X\x05\0\0\0shape(" + b"".join(
        b"J" + struct.pack("<i", n) for n in shape) + b"tX\x05\0\0\0dtypecnumpy\ndtype\n(X\x02\0\0\0f8tR"
        b"X\x1b\0\0\0numpy_array_alignment_bytesK\x10ub" + b"\x03\xff\xff\xff"
        + bytes(8 * int(np.prod(shape))))  # fmt: skip


def test_joblib_files_are_read() -> None:
    data = b"\x80\x04](" + array((2, 3)) + b"K\x07e."
    for packed in (data, zlib.compress(data)):
        first, last = read_pickle(packed)
        assert first.shape == (2, 3) and not first.any() and last == 7


def test_sparse_matrices() -> None:
    scipy = pytest.importorskip("scipy.sparse")
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    for kind in (scipy.csc_matrix, scipy.csr_matrix):
        got = read_pickle(pickle.dumps(kind(dense)))
        assert isinstance(got, Sparse) and np.array_equal(got.dense(), dense)


def laughs(levels: int) -> bytes:
    """A list of ten times the same list of ten times the same list ..."""
    code = b"]q\0"
    for k in range(levels):
        code += b"0](" + (b"h" + bytes([k])) * 10 + b"eq" + bytes([k + 1])
    return code


TUPLES = b"\x80\x02})" + b"2\x86" * 40 + b"K\x01s."  # a key of 2**40 tuples
TEXT = b"](X\0\0\x10\0" + b"x" * (1 << 20) + b"q\1"
BOMBS = {
    "shared lists": (laughs(45) + b".", "larger when unfolded"),
    "a shared list as a name": (laughs(45) + b"X\1\0\0\0x\x93.", "no text"),
    "a shared list in an array": (
        b"cnumpy.core.multiarray\n_reconstruct\n)R(K\1K\x0a\x85cnumpy\ndtype\nX\1\0\0\0O\x85R\x89"
        + laughs(45) + b"tb.", "larger when unfolded"),
    "shared text": (TEXT + b"h\1" * 5000 + b"e.", "larger when unfolded"),
    "text encoded again and again": (TEXT + b"c_codecs\nencode\nh\1\x85R0" * 50 + b"e.", "times its size"),
    "tuples as a key": (TUPLES, "a key of the type tuple"),
    "tuples in a set": (TUPLES.replace(b"}", b"\x8f(").replace(b"K\x01s", b"\x90"), "a key of the type tuple"),
    "keys that collide": (pickle.dumps({k * (2**61 - 1): 0 for k in range(1, 9)}), "a key of the type int"),
    "depth": (b"]" * 100 + b"a" * 99 + b".", "nested too deeply"),
    "itself": (b"]q\x00h\x00a.", "nested too deeply"),
    "a memo of 2**31": (b"Nr\xff\xff\xff\x7f.", None),
    "2**60 bytes": (b"\x96" + struct.pack("<Q", 1 << 60) + b".", "cut short"),
    "a million digits": (b"I" + b"9" * 10**6 + b"\n.", "many digits"),
    "a state for a function": (b"c_codecs\nencode\n}b.", "a state"),
    "a call of a number": (b"K\x01)R.", "a call"),
    "an instance of a class": (b"(ios\nsystem\n.", "an instruction"),
    "7 GB in joblib's array": (array((0, 3)).replace(b"J\0\0\0\0", b"J\0\0\0\x40") + b".", "cut short"),
    "nothing": (b"", "cut short"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BOMBS)
def test_nothing_unfolds(kind: str) -> None:
    data, reason = BOMBS[kind]
    if reason is None:
        assert read_pickle(data) is None
        return
    with pytest.raises(DinarError, match=reason) as e:
        read_pickle(data, "a.pkl")
    assert "Error" not in str(e.value)


def test_compressed_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_UNPACKED", 1 << 20)
    with pytest.raises(DinarError, match="1 MiB or more when unfolded"):
        read_pickle(zlib.compress(bytes(1 << 22)))
    with pytest.raises(DinarError, match="cut short"):
        read_pickle(zlib.compress(pickle.dumps([1]))[:-3])


def test_sparse_matrices_that_do_not_fit_are_refused() -> None:
    for shape in ((1 << 20, 1 << 20), (1, 1), (-1, 3), 3):
        s = Sparse()
        s.state = {"data": [1.0], "indices": [2], "indptr": [0, 1], "shape": shape}
        with pytest.raises(DinarError, match="parts do not fit"):
            s.dense()
