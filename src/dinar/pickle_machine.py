"""The stack machine of pickles, as far as data needs it: every instruction is checked, none calls what it likes.

The instructions are those of Python's ``pickletools``, protocols 0 to 5, without the ones that make objects of unknown
classes. Names are looked up in the caller's table; its entries are the only things that are ever called.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

MAX_STEPS = 3_000_000  # instructions: about 3 s; a tracker's file has some 300 for each person and frame
EXPANSION = 4  # bytes that calls may make of one byte of the file; text of bytes, bytes and array make three
MAX_INT = 1 << 62  # below it no two whole numbers share a hash, so that keys do not collide


class Refused(Exception):
    """The pickle names something that is not in the table."""


class Damaged(Exception):
    """The pickle is not well formed, or larger when unfolded than its bounds; the text says which."""


class StandIn:
    """What an entry of the table makes: takes a state, and perhaps bytes that follow it in the file."""

    def set_state(self, state: Any, machine: Machine) -> None:
        raise Damaged("a state where none is expected")


class Machine:
    """Runs one pickle: ``Machine(data, names).run()``."""

    def __init__(self, data: bytes, names: Mapping[tuple[str, str], Callable[..., Any]]) -> None:
        self.data, self.at, self.names = data, 0, names
        self.callables = {id(f) for f in names.values()}
        self.budget = EXPANSION * len(data) + (1 << 20)
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}
        self.steps = 0

    def run(self) -> Any:
        for self.steps in range(1, MAX_STEPS):
            code = self.take(1)
            if code == b".":
                return self.stack.pop()
            step = _STEPS.get(code)
            if step is None:
                raise Damaged("an instruction that data does not need")
            step(self)
        raise Damaged(f"more than {MAX_STEPS:,} instructions")

    # --- reading ---

    def take(self, n: int) -> bytes:
        """The next n bytes."""
        if n < 0 or n > len(self.data) - self.at:
            raise EOFError
        self.at += n
        return self.data[self.at - n : self.at]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise EOFError
        text = self.data[self.at : end].decode("latin1")
        self.at = end + 1
        return text

    def number(self, format: str) -> int:
        return struct.unpack("<" + format, self.take(struct.calcsize(format)))[0]

    def spend(self, n: int) -> None:
        """Counts bytes that a call is about to make."""
        self.budget -= n
        if self.budget < 0:
            raise Damaged(f"more than {EXPANSION} times its size when unfolded")

    # --- containers and calls ---

    def items(self) -> list[Any]:
        """What lies above the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def push_items(self, make: Callable[[list[Any]], Any]) -> None:
        items = self.items()
        self.stack.append(make(items))

    def set_items(self, pairs: list[Any]) -> None:
        into = self.stack[-1]
        if type(into) is not dict or len(pairs) % 2:
            raise Damaged("entries of something that is no dictionary")
        into.update(zip(map(plain_key, pairs[::2]), pairs[1::2], strict=True))

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise Damaged("items of something that is no list")
        self.stack[-1].extend(items)

    def add(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not set:
            raise Damaged("items of something that is no set")
        self.stack[-1].update(map(plain_key, items))

    def find(self, module: object, name: object) -> None:
        if type(module) is not str or type(name) is not str:
            raise Damaged("a name that is no text")
        found = self.names.get((module, name))
        if found is None:
            raise Refused(f"{module}.{name}")
        self.stack.append(found)

    def call(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if id(function) not in self.callables or type(args) is not tuple:
            raise Damaged("a call of something that is no function")
        for x in args:
            self.spend(len(x) if isinstance(x, (str, bytes)) else 8 * len(x) if isinstance(x, (list, tuple)) else 0)
        self.stack.append(function(*args))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, StandIn):
            raise Damaged("a state where none is expected")
        target.set_state(state, self)

    def get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def persistent(self) -> None:
        raise Refused("a storage of another file (a torch checkpoint)")


def plain_key(x: Any) -> Any:
    """A key whose hash costs nothing and that does not collide with others."""
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or isinstance(x, (str, bytes)) or (isinstance(x, (int, float)) and abs(x) < MAX_INT):
        return x
    raise Damaged(f"a key of the type {type(x).__name__}")


def _integer(text: str) -> Any:
    if text in ("00", "01"):  # protocol 0
        return text == "01"
    if len(text) > 32:
        raise Damaged("a number of many digits")
    return int(text.rstrip("L"))


def _long(data: bytes) -> int:
    if len(data) > 16:
        raise Damaged("a number of many digits")
    return int.from_bytes(data, "little", signed=True)


def _quoted(text: str) -> str:
    return codecs.escape_decode(text[1:-1].encode("latin1"))[0].decode("latin1")  # type: ignore[attr-defined]


def _constant(value: Any) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(value)


def _pushed(read: Callable[[Machine], Any]) -> Callable[[Machine], None]:
    return lambda m: m.stack.append(read(m))


def _tuple(n: int) -> Callable[[Machine], None]:
    def step(m: Machine) -> None:
        if len(m.stack) < n:
            raise IndexError
        m.stack[-n:] = [tuple(m.stack[-n:])]

    return step


def _mark(m: Machine) -> None:
    m.marks.append(m.stack)
    m.stack = []


def _dict(m: Machine) -> None:
    items = m.items()
    m.stack.append({})
    m.set_items(items)


def _pop(m: Machine) -> None:
    if m.stack:
        m.stack.pop()
    else:
        m.items()


def _last_two(m: Machine) -> list[Any]:
    value, key = m.stack.pop(), m.stack.pop()
    return [key, value]


def _stack_global(m: Machine) -> None:
    name, module = m.stack.pop(), m.stack.pop()
    m.find(module, name)


_STEPS: dict[bytes, Callable[[Machine], Any]] = {
    b"\x80": lambda m: m.take(1),  # protocol
    b"\x95": lambda m: m.take(8),  # frame: what is in it follows
    b"(": _mark,
    b"0": _pop,
    b"1": lambda m: m.items(),
    b"2": _pushed(lambda m: m.stack[-1]),
    # constants and numbers
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": _pushed(lambda m: _integer(m.line())),
    b"L": _pushed(lambda m: _integer(m.line())),
    b"J": _pushed(lambda m: m.number("i")),
    b"K": _pushed(lambda m: m.number("B")),
    b"M": _pushed(lambda m: m.number("H")),
    b"\x8a": _pushed(lambda m: _long(m.take(m.number("B")))),
    b"\x8b": _pushed(lambda m: _long(m.take(m.number("i")))),
    b"F": _pushed(lambda m: float(m.line())),
    b"G": _pushed(lambda m: struct.unpack(">d", m.take(8))[0]),
    # text and bytes; text of Python 2 is latin1
    b"S": _pushed(lambda m: _quoted(m.line())),
    b"T": _pushed(lambda m: m.take(m.number("i")).decode("latin1")),
    b"U": _pushed(lambda m: m.take(m.number("B")).decode("latin1")),
    b"V": _pushed(lambda m: m.line().encode("latin1").decode("raw-unicode-escape")),
    b"X": _pushed(lambda m: m.take(m.number("I")).decode("utf-8", "surrogatepass")),
    b"\x8c": _pushed(lambda m: m.take(m.number("B")).decode("utf-8", "surrogatepass")),
    b"\x8d": _pushed(lambda m: m.take(m.number("Q")).decode("utf-8", "surrogatepass")),
    b"B": _pushed(lambda m: m.take(m.number("I"))),
    b"C": _pushed(lambda m: m.take(m.number("B"))),
    b"\x8e": _pushed(lambda m: m.take(m.number("Q"))),
    b"\x96": _pushed(lambda m: m.take(m.number("Q"))),  # bytearray
    # containers
    b"]": _pushed(lambda m: []),
    b"}": _pushed(lambda m: {}),
    b")": _constant(()),
    b"\x8f": _pushed(lambda m: set()),
    b"l": lambda m: m.push_items(list),
    b"t": lambda m: m.push_items(tuple),
    b"\x91": lambda m: m.push_items(lambda items: {plain_key(x) for x in items}),  # frozenset
    b"d": _dict,
    b"\x85": _tuple(1),
    b"\x86": _tuple(2),
    b"\x87": _tuple(3),
    b"a": lambda m: m.extend([m.stack.pop()]),
    b"e": lambda m: m.extend(m.items()),
    b"s": lambda m: m.set_items(_last_two(m)),
    b"u": lambda m: m.set_items(m.items()),
    b"\x90": lambda m: m.add(m.items()),
    # memo
    b"g": lambda m: m.get(int(m.line())),
    b"h": lambda m: m.get(m.number("B")),
    b"j": lambda m: m.get(m.number("I")),
    b"p": lambda m: m.put(int(m.line())),
    b"q": lambda m: m.put(m.number("B")),
    b"r": lambda m: m.put(m.number("I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    # names and calls
    b"c": lambda m: m.find(m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": Machine.call,
    b"\x81": Machine.call,  # an object of a class: the table holds functions that make them
    b"b": Machine.build,
    b"P": Machine.persistent,
    b"Q": Machine.persistent,
}
