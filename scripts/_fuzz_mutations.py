"""Mutations of files for scripts/fuzz.py: of bytes, and of what npz, npy, json, safetensors and zip files say."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
EXTREMES = (b"0", b"-1", b"1e30", b"nan", b"inf", b"99999999999", b"1e-300", b"0x7f", b"\x1b[31m", b"2147483648")
JSON_VALUES: tuple[Any, ...] = (
    None, "", "\x1b[2J\x07", -1, 0, 1e30, float("nan"), float("inf"), 10**18, 10**400, [], {}, True, "x" * 5000, [[]],
    "../../x",
)  # fmt: skip
NUMBERS = (float("nan"), float("inf"), -float("inf"), 1e300, 1e22, -1e9, 0.0, 2.0**63)


def mutate(data: bytes, suffix: str, rng: Rng) -> bytes:
    """One mutated copy; half of them by structure where the format has one."""
    structured = STRUCTURED.get(suffix)
    if structured is not None and rng.random() < 0.6:
        try:
            return structured(data, rng)
        except (ValueError, KeyError, IndexError, zipfile.BadZipFile, struct.error, TypeError):
            pass  # a seed that this mutation does not fit
    return BYTES[rng.integers(len(BYTES))](data, rng)


# --- bytes ----------------------------------------------------------------------------------------------------------


def _span(data: bytes, rng: Rng) -> tuple[int, int]:
    a = int(rng.integers(max(1, len(data))))
    return a, min(len(data), a + int(2 ** rng.uniform(0, 12)))


def cut(data: bytes, rng: Rng) -> bytes:
    return data[: int(len(data) * rng.random() ** rng.choice([0.2, 1, 4]))]


def flip(data: bytes, rng: Rng) -> bytes:
    out = bytearray(data)
    for i in rng.integers(max(1, len(data)), size=int(2 ** rng.uniform(0, 6))):
        if out:
            out[i] ^= 1 << int(rng.integers(8))
    return bytes(out)


def overwrite(data: bytes, rng: Rng) -> bytes:
    a, b = _span(data, rng)
    fill = [bytes(b - a), b"\xff" * (b - a), rng.bytes(b - a)][rng.integers(3)]
    return data[:a] + fill + data[b:]


def remove(data: bytes, rng: Rng) -> bytes:
    a, b = _span(data, rng)
    return data[:a] + data[b:]


def repeat(data: bytes, rng: Rng) -> bytes:
    a, b = _span(data, rng)
    return data[:b] + data[a:b] * int(rng.integers(1, 50)) + data[b:]


def insert(data: bytes, rng: Rng) -> bytes:
    a, _ = _span(data, rng)
    return data[:a] + rng.bytes(int(rng.integers(1, 64))) + data[a:]


def extreme(data: bytes, rng: Rng) -> bytes:
    """A number in text becomes an extreme one."""
    starts = [i for i in range(min(len(data), 200_000)) if data[i : i + 1].isdigit()]
    if not starts:
        return flip(data, rng)
    a = b = starts[rng.integers(len(starts))]
    while b < len(data) and data[b : b + 1] in b"0123456789.e-+":
        b += 1
    return data[:a] + EXTREMES[rng.integers(len(EXTREMES))] + data[max(b, a + 1) :]


def header(data: bytes, rng: Rng) -> bytes:
    """Changes in the first bytes, where sizes stand."""
    out = bytearray(data)
    for i in rng.integers(max(1, min(len(data), 64)), size=3):
        if out:
            out[i] = int(rng.choice([0, 1, 127, 128, 255]))
    return bytes(out)


def empty(data: bytes, rng: Rng) -> bytes:
    return [b"", b"\x00" * 4096, b"\xef\xbb\xbf" + data, b"\n", b"PK\x03\x04", b"{}", b"[]"][rng.integers(7)]


BYTES: tuple[Callable[[bytes, Rng], bytes], ...] = (
    cut,
    flip,
    overwrite,
    remove,
    repeat,
    insert,
    extreme,
    header,
    empty,
)


# --- arrays ---------------------------------------------------------------------------------------------------------


def _array(a: np.ndarray, rng: Rng) -> np.ndarray:
    """Another type, shape or value."""
    k = rng.integers(9)
    if k == 0:
        return a.astype([np.float64, np.int64, np.bool_, np.float16, np.complex128, "S8", "U8"][rng.integers(7)])
    if k == 1:
        return a.reshape(-1)
    if k == 2:
        return a[None]
    if k == 3:
        return a[..., :0] if a.ndim else a.reshape(1)
    if k == 4:
        return a.reshape(-1)[:1].reshape(()) if a.size else a
    if k == 5:
        return np.concatenate([a, a]) if a.ndim else np.stack([a, a])
    if k == 6:
        return np.swapaxes(a, 0, -1) if a.ndim > 1 else a[::-1] if a.ndim else a
    out = np.array(a)
    if out.dtype.kind not in "iuf" or not out.size:
        return np.array("\x1b[31mtext")
    value = NUMBERS[rng.integers(len(NUMBERS))]
    if out.dtype.kind in "iu":
        info = np.iinfo(out.dtype)
        value = [info.min, info.max, 0][rng.integers(3)]
    with np.errstate(over="ignore"):
        if k == 7:
            out.reshape(-1)[rng.integers(out.size)] = value
        else:
            out = out.astype(np.float64) * 1e25 if out.dtype.kind == "f" else np.full_like(out, value)
    return out


def _npy(a: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, a, allow_pickle=False)
    return buffer.getvalue()


def _bomb() -> bytes:
    """A header that declares 7.6 GB."""
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1900000000,), }"
    head += b" " * (117 - len(head)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(1000)


def npz(data: bytes, rng: Rng) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as z:
        members = {n: z.read(n) for n in z.namelist()}
    names = list(members)
    name = names[rng.integers(len(names))]
    k = rng.integers(10)
    if k == 0:
        del members[name]
    elif k == 1:
        members[name] = _bomb()
    elif k == 2:
        members[name] = BYTES[rng.integers(len(BYTES))](members[name], rng)
    elif k == 3:
        members[names[rng.integers(len(names))]] = members[name]
    else:
        members[name] = _npy(_array(np.load(io.BytesIO(members[name]), allow_pickle=False), rng))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for n, content in members.items():
            z.writestr(n, content)
    out = buffer.getvalue()
    if rng.random() < 0.15:  # flags and methods of the zip format
        at = out.find(b"PK\x01\x02")
        field = int(rng.choice([8, 10, 20, 24]))
        out = out[: at + field] + struct.pack("<H", int(rng.choice([1, 9, 12, 14, 99, 65535]))) + out[at + field + 2 :]
    return out


def npy(data: bytes, rng: Rng) -> bytes:
    return _bomb() if rng.random() < 0.1 else _npy(_array(np.load(io.BytesIO(data), allow_pickle=False), rng))


# --- json and safetensors -------------------------------------------------------------------------------------------


def _places(x: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    for key in list(x) if isinstance(x, dict) else range(min(len(x), 40)) if isinstance(x, list) else ():
        found.append((x, key))
        _places(x[key], found)
    return found


def _change(content: Any, rng: Rng) -> Any:
    places = _places(content, [])
    if not places or rng.random() < 0.05:
        return JSON_VALUES[rng.integers(len(JSON_VALUES))]
    parent, key = places[rng.integers(len(places))]
    if rng.random() < 0.2:
        del parent[key]
    elif isinstance(parent[key], (int, float)) and rng.random() < 0.4:
        parent[key] = [-1, 0, 10**6, 10**9, 10**18, 0.5, 1e30][rng.integers(7)]
    else:
        parent[key] = JSON_VALUES[rng.integers(len(JSON_VALUES))]
    return content


def json_text(data: bytes, rng: Rng) -> bytes:
    if rng.random() < 0.05:
        return b"[" * 200_000
    return json.dumps(_change(json.loads(data), rng)).encode()


def safetensors(data: bytes, rng: Rng) -> bytes:
    n = struct.unpack("<Q", data[:8])[0]
    head, body = json.loads(data[8 : 8 + n]), data[8 + n :]
    meta = head.get("__metadata__", {})
    if "dinar" in meta and rng.random() < 0.4:
        meta["dinar"] = json.dumps(_change(json.loads(meta["dinar"]), rng))
    elif rng.random() < 0.5:  # values in place: the header stays consistent
        key = [k for k in head if k != "__metadata__"][rng.integers(len(head) - ("__metadata__" in head))]
        a, b = head[key]["data_offsets"]
        kind = {"F32": np.float32, "F16": np.float16, "F64": np.float64}.get(head[key]["dtype"])
        values = np.frombuffer(body[a:b], kind or np.uint8).copy()
        if len(values):
            value = NUMBERS[rng.integers(len(NUMBERS))] if kind else 255
            with np.errstate(over="ignore"):
                values[rng.integers(len(values))] = value
        body = body[:a] + values.tobytes() + body[b:]
    else:
        _change(head, rng)
    text = json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


STRUCTURED: dict[str, Callable[[bytes, Rng], bytes]] = {
    ".npz": npz, ".npy": npy, ".json": json_text, ".safetensors": safetensors, ".avatar": safetensors,
}  # fmt: skip


def mutate_in_place(path: Path, rng: Rng) -> str:
    """Mutate a file, or one file of a folder; returns its name in the folder."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    chosen = files[rng.integers(len(files))]
    if path.is_dir() and rng.random() < 0.05:
        chosen.unlink()
        return f"{chosen.name} removed"
    chosen.write_bytes(mutate(chosen.read_bytes(), chosen.suffix.lower(), rng))
    return chosen.name
