"""Binary glTF 2.0 (GLB) files: accessors over one buffer, and the container. The same input gives the same bytes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_output, replacing

ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER = 34962, 34963
_COMPONENT = {"u1": 5121, "u2": 5123, "u4": 5125, "f4": 5126}
_TYPE = {(): "SCALAR", (2,): "VEC2", (3,): "VEC3", (4,): "VEC4", (4, 4): "MAT4"}


class Glb:
    """A glTF document. The caller fills the tree ``json``; methods add arrays to the buffer."""

    def __init__(self, asset: dict[str, Any]) -> None:
        self.json: dict[str, Any] = {"asset": {"version": "2.0", **asset}, "accessors": [], "bufferViews": []}
        self._chunks: list[bytes] = []
        self._length = 0

    def view(self, data: bytes, target: int | None = None) -> int:
        """Index of a new buffer view, aligned to 4 bytes."""
        view: dict[str, Any] = {"buffer": 0, "byteOffset": self._length, "byteLength": len(data)}
        if target is not None:
            view["target"] = target
        data += bytes(-len(data) % 4)
        self._chunks.append(data)
        self._length += len(data)
        self.json["bufferViews"].append(view)
        return len(self.json["bufferViews"]) - 1

    def accessor(
        self,
        a: np.ndarray,  # [N, ...] uint8, uint16, uint32 or float32; matrices column by column
        target: int | None = None,
        bounds: bool = False,  # write min and max, which glTF asks of positions and key times
    ) -> int:
        """Index of a new accessor with the rows of ``a``."""
        return self._add(a, bounds, {"bufferView": self.view(_bytes(a), target)})

    def sparse_accessor(self, a: np.ndarray, bounds: bool = False) -> int:
        """Like :meth:`accessor`, but stores only non-zero rows if that is smaller."""
        rows = np.flatnonzero(a.any(tuple(range(1, a.ndim))))
        rows = rows if len(rows) else np.zeros(1, int)  # an entry that sets nothing: a format needs one or more
        index = _smallest(rows, len(a))
        if index.nbytes + a[rows].nbytes >= a.nbytes:
            return self.accessor(a, ARRAY_BUFFER, bounds)
        sparse = {
            "count": len(rows),
            "indices": {"bufferView": self.view(_bytes(index)), "componentType": _COMPONENT[index.dtype.str[1:]]},
            "values": {"bufferView": self.view(_bytes(a[rows]))},
        }
        return self._add(a, bounds, {"sparse": sparse})

    def indices(self, a: np.ndarray, count: int) -> int:
        """Accessor of vertex indices into ``count`` vertices, in the smallest type that holds them."""
        return self.accessor(_smallest(a.reshape(-1), count), ELEMENT_ARRAY_BUFFER)

    def _add(self, a: np.ndarray, bounds: bool, source: dict[str, Any]) -> int:
        entry = {"componentType": _COMPONENT[a.dtype.str[1:]], "count": len(a), "type": _TYPE[a.shape[1:]], **source}
        if bounds:
            flat = a.reshape(len(a), -1)
            entry["min"] = [float(x) for x in flat.min(0)]
            entry["max"] = [float(x) for x in flat.max(0)]
        self.json["accessors"].append(entry)
        return len(self.json["accessors"]) - 1

    def write(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        check_output(path, suffixes=(".glb", ".vrm"))
        tree = {**self.json, "buffers": [{"byteLength": self._length}]}
        text = json.dumps(tree, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text = text.encode("utf-8", "replace")  # names of files need not be text
        text += b" " * (-len(text) % 4)
        total = 12 + 8 + len(text) + 8 + self._length
        with replacing(path) as temp, open(temp, "wb") as f:
            f.write(struct.pack("<4sII", b"glTF", 2, total))
            f.write(struct.pack("<I4s", len(text), b"JSON") + text)
            f.write(struct.pack("<I4s", self._length, b"BIN\0"))
            f.writelines(self._chunks)


def _bytes(a: np.ndarray) -> bytes:
    return np.ascontiguousarray(a, a.dtype.newbyteorder("<")).tobytes()


def _smallest(index: np.ndarray, count: int) -> np.ndarray:
    """Indices below ``count`` as uint16 or uint32; the largest value of a type is left out (primitive restart)."""
    return index.astype("<u2" if count <= 65535 else "<u4")
