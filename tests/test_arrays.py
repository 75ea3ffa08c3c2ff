"""Arrays and json of files that others made: what is read, what is refused, and that nothing unfolds before."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dinar.arrays import Array, check_arrays, read_json, read_npy, read_npz
from dinar.errors import DinarError, escape

TABLE = {"pose": Array(np.float32, ("J", 3), -10, 10), "rest": Array(np.float32, ("J", 3), required=False),
         "size": Array(np.int64, (2,), 1, 100, required=False)}  # fmt: skip
POSE = np.ones((4, 3))


def npz(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)  # type: ignore[arg-type]
    return out.getvalue()


def zipped(data: bytes, method: int = zipfile.ZIP_STORED, name: str = "pose.npy") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        z.writestr(name, data)
    return out.getvalue()


def npy(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def declared(shape: str, kind: str = "'<f8'") -> bytes:
    return zipped(npy(f"{{'descr': {kind}, 'fortran_order': False, 'shape': {shape}, }}\n"))


def test_arrays_are_converted_and_others_are_not_read() -> None:
    got = read_npz(npz(pose=POSE.astype(">f8"), size=np.array([3, 4], np.uint8), more=np.array(None)), TABLE)
    assert set(got) == {"pose", "size"} and got["pose"].dtype == np.float32 and got["size"].dtype == np.int64
    assert np.array_equal(got["pose"], POSE) and got["pose"].flags.writeable
    every = read_npz(npz(pose=np.asfortranarray(np.arange(6.0).reshape(2, 3)), note="x", o=np.array([None])))
    assert np.array_equal(every["pose"], np.arange(6.0).reshape(2, 3)) and every["note"] == "x" and "o" not in every


@pytest.mark.filterwarnings("error")
def test_bounds_that_half_precision_cannot_hold() -> None:
    half = npz(pose=np.array([1, -60000], np.float16))
    assert read_npz(half, {"pose": Array(np.float32, None, -1e6, 1e6)})["pose"][1] < -5e4
    for low, high, value in ((-1e6, 10, 11), (-10, 1e6, -11), (-1e6, 1e6, np.inf)):
        with pytest.raises(DinarError, match="pose"):
            read_npz(npz(pose=np.array([0, value], np.float16)), {"pose": Array(np.float32, None, low, high)})


@pytest.mark.filterwarnings("error")
def test_numbers_that_half_precision_cannot_hold() -> None:
    for large in (np.array([1, -70000], np.float32), np.array([1, 10**6])):
        with pytest.raises(DinarError, match="expected numbers up to 65504 in style, got larger ones"):
            read_npz(npz(style=large), {"style": Array(np.float16)}, name="a.npz")
    assert read_npz(npz(style=np.array([65504.0])), {"style": Array(np.float16)})["style"] == [65504]


def test_arrays_of_objects_go_to_the_reader_that_is_given() -> None:
    seen = read_npz(npz(o=np.array([None])), pickled=lambda data, label: (pickle.loads(data)[0], label), name="a.npz")
    assert seen["o"] == (None, "a.npz, o")


BAD = {
    "empty": (b"", "an empty file"),
    "npy under the name npz": (npy("{}"), "a single npy array"),
    "another kind": (b"GIF89a", "another kind of file"),
    "missing": (npz(other=POSE), "with pose, got other"),
    "cut short": (npz(pose=POSE)[:150], "damaged or cut short"),
    "damaged": (zipped(npz(x=np.zeros(999)), zipfile.ZIP_DEFLATED)[:60] + b"\xff" * 40, "damaged or cut short"),
    "encrypted": (zipped(npy("")).replace(b"PK\x01\x02\x14\x03\x14\0\0", b"PK\x01\x02\x14\x03\x14\0\1"), "encrypted"),
    "another method": (zipped(npy(""), zipfile.ZIP_LZMA), "another method"),
    "no header": (zipped(b"x"), "damaged"),
    "a header of 4 GB": (zipped(b"\x93NUMPY\x02\x00\xff\xff\xff\xff"), "damaged"),
    "a header that nests": (zipped(npy("(" * 9000)), "damaged"),
    "7.6 GB in a few bytes": (declared("(310000000, 3)"), "at most 1 GiB when unpacked, got 6.93 GiB"),
    "2**40 strings of no bytes": (declared(f"({1 << 40},)", "'<U0'"), "at most 1 GiB"),
    "a negative shape": (declared("(-1, 3)"), "damaged"),
    "less data than declared": (declared("(4, 3)"), "damaged or cut short"),
    "records": (declared("(4, 3)", "[('a', '<f8')]"), "expected pose of numbers, got records"),
    "complex": (npz(pose=POSE * 1j), "complex numbers"),
    "text": (npz(pose="x"), "got text"),
    "objects": (npz(pose=np.array([None])), "got Python objects"),
    "no dimensions": (npz(pose=1.0), r"of shape \[J, 3\], got \[\]"),
    "other shapes for one letter": (npz(pose=POSE, rest=np.ones((5, 3))), r"rest of shape \[4, 3\], got \[5, 3\]"),
    "not finite": (npz(pose=POSE * np.nan), "expected finite numbers in pose"),
    "infinite in float32": (npz(pose=POSE * 1e300), "expected finite numbers in pose"),
    "out of range": (npz(pose=POSE * 11), "from -10 to 10 in pose, got 11"),
    "fractions for whole numbers": (npz(pose=POSE, size=np.ones(2)), "whole numbers, got fractions"),
    "a count out of range": (npz(pose=POSE, size=np.array([0, 4])), "from 1 to 100 in size, got 0"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_npz_files_are_refused(kind: str) -> None:
    data, reason = BAD[kind]
    with pytest.raises(DinarError, match=reason):
        read_npz(data, TABLE, name="a.npz", what="a fit")


def test_text_of_impossible_characters_is_refused() -> None:
    """numpy reads it, and Python raises SystemError when it is looked at."""
    data = npz(names=np.array(["abc", "d"]))
    assert read_npz(data)["names"].tolist() == ["abc", "d"]
    stream = io.BytesIO()
    np.savez(stream, names=np.frombuffer(b"\xff" * 12, "<U3"))
    with pytest.raises(DinarError, match="damaged"):
        read_npz(stream.getvalue())


def test_sizes_that_are_known() -> None:
    with pytest.raises(DinarError, match=r"pose of shape \[7, 3\], got \[4, 3\]"):
        read_npz(npz(pose=POSE), TABLE, sizes={"J": 7})
    with pytest.raises(DinarError, match="at most 1 MiB"):
        read_npz(npz(pose=np.zeros((1 << 17, 3))), limit=1 << 20)


def test_npy_files_are_held_to_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", POSE)
    assert np.array_equal(read_npy(tmp_path / "a.npy", TABLE["pose"]), POSE)
    for data, reason in (((tmp_path / "a.npy").read_bytes()[:-1], "cut short"), (b"", "damaged"),
                         (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1<<40,), }"), "damaged"),
                         (npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999,), }"), "at most 1 GiB"),
                         (npy("{'descr': 'O', 'fortran_order': False, 'shape': (1,), }"), "Python objects"),
                         ):  # fmt: skip
        with pytest.raises(DinarError, match=reason):
            read_npy(data)


def test_special_files_are_not_opened(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "a folder"), (tmp_path / "no.npz", "no such file")):
        with pytest.raises(DinarError, match=reason):
            read_npz(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.npz")
        with pytest.raises(DinarError, match="a special file"):
            read_npz(tmp_path / "pipe.npz")


def test_lists_from_elsewhere_are_held_to_the_same_table() -> None:
    assert check_arrays("a.json", {"pose": POSE.tolist(), "more": None}, TABLE)["pose"].dtype == np.float32
    stacked = check_arrays("a.pkl", {"pose": [np.ones(3), np.ones(3)]}, TABLE)["pose"]
    assert stacked.shape == (2, 3)
    for pose, reason in (([[1, 2, 3], [4]], "a list that is no array"), ([["a", "b", "c"]], "got text"),
                         ([[10**400, 0, 0]], "no array"), ({"x": 1}, "no array"),
                         (["x" * 99_999, *[""] * 99_999], "no array")):  # fmt: skip
        with pytest.raises(DinarError, match=reason):
            check_arrays("a.json", {"pose": pose}, TABLE)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_json_of_any_encoding(encoding: str) -> None:
    assert read_json(json.dumps({"é": [1, None]}).encode(encoding)) == {"é": [1, None]}


def test_bad_json_is_refused_without_the_words_of_python() -> None:
    for data, reason in ((b"[" * 100_000, "nested more than 64 deep"), (b"[" * 70 + b"]" * 70, "nested more than 64"),
                         (b'{"a": }', "line 1, column 7 is not json"), (b" ", "an empty file"), (b"\xff", "not json"),
                         (b"9" * 5000, "not json"), (b" " * 99 + b"1" * 99, "at most 1 MiB")):  # fmt: skip
        with pytest.raises(DinarError, match=reason) as e:
            read_json(data, name="a.json", limit=1 << 17 if data != b" " * 99 + b"1" * 99 else 100)
        assert "Error" not in str(e.value) and "recursion" not in str(e.value)


def test_messages_are_one_short_line_that_a_terminal_can_show() -> None:
    message = str(DinarError(f"a\x1b]0;title\x07\n\u202eb\udcff{'x' * 999}; give another file"))
    assert len(message) == 300 and message.isprintable() and message.endswith("; give another file")
    assert message.startswith(r"a\x1b]0;title\x07\n\u202eb\udcffxxx") and escape(message) == message
    assert str(pickle.loads(pickle.dumps(DinarError("é\n")))) == r"é\n"
