"""The binary container of FBX 7.4: a tree of named nodes with typed properties. The same tree gives the same bytes.

The layout is that of Blender's public description (code.blender.org, "FBX binary file format specification").
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_output, replacing

VERSION = 7400
COMPRESSED_FROM = 128  # bytes; shorter arrays are stored as they are
# The file id and the footer are a hash of this creation time: files with another time and these ids are refused.
CREATED = b"1970-01-01 10:00:00:000"
FILE_ID = bytes.fromhex("28b32aebb624ccc2bfc8b02aa92bfcf1")
_MAGIC = b"Kaydara FBX Binary  \x00\x1a\x00"
_FOOTER = bytes.fromhex("fabcab09d0c8d466b176fb831cf7267e")
_END = bytes.fromhex("f85a8c6adef5d97eece90ce3758f290b")
_ARRAY = {"f8": b"d", "f4": b"f", "i4": b"i", "i8": b"l"}


@dataclass
class Node:
    """A node. Properties: int is 32 bits, :class:`Long` 64, float 64; str, bytes, bool; arrays of i4, i8, f4, f8."""

    name: str
    properties: list[Any] = field(default_factory=list)
    children: list[Node] = field(default_factory=list)

    def add(self, name: str, *properties: Any) -> Node:
        """Append a child and return it."""
        self.children.append(Node(name, list(properties)))
        return self.children[-1]

    def settings(self, *rows: tuple[Any, ...]) -> None:
        """Append ``Properties70`` with a row (name, type, label, flags, values...) each."""
        table = self.add("Properties70")
        for row in rows:
            table.add("P", *row)


class Long(int):
    """A property of 64 bits, such as the id of an object or a time."""


def write_fbx_file(path: str | Path, nodes: list[Node]) -> None:
    """Write the file, whole or not at all."""
    check_output(path, suffixes=(".fbx",))
    out = bytearray(_MAGIC + struct.pack("<I", VERSION))
    for node in nodes:
        _write(out, node, is_last=node is nodes[-1])
    out += bytes(13) + _FOOTER
    out += bytes(16 - len(out) % 16) + bytes(4) + struct.pack("<I", VERSION) + bytes(120) + _END
    with replacing(path) as temp:
        temp.write_bytes(out)


def _write(out: bytearray, node: Node, is_last: bool) -> None:
    start, name = len(out), node.name.encode()
    properties = b"".join(_property(p) for p in node.properties)
    out += bytes(4) + struct.pack("<IIB", len(node.properties), len(properties), len(name)) + name + properties
    for child in node.children:
        _write(out, child, is_last=child is node.children[-1])
    if node.children or (not node.properties and not is_last):
        out += bytes(13)  # the end of a list of nodes
    struct.pack_into("<I", out, start, len(out))


def _property(p: Any) -> bytes:
    match p:
        case bool():
            return b"C" + bytes([p])
        case Long():
            return b"L" + struct.pack("<q", p)
        case int():
            return b"I" + struct.pack("<i", p)
        case float():
            return b"D" + struct.pack("<d", p)
        case str():
            text = p.encode("utf-8", "replace")
            return b"S" + struct.pack("<I", len(text)) + text
        case bytes():
            return b"R" + struct.pack("<I", len(p)) + p
        case np.ndarray():
            data = np.ascontiguousarray(p, p.dtype.newbyteorder("<")).tobytes()
            packed = zlib.compress(data, 6) if len(data) >= COMPRESSED_FROM else data
            head = struct.pack("<III", p.size, int(packed is not data), len(packed))
            return _ARRAY[p.dtype.str[1:]] + head + packed
    raise TypeError(f"no property of FBX: {type(p)}")
