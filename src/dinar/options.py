"""Options of functions and commands: choices are checked; old and misspelt names are refused with the right one."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from .errors import DinarError

T = TypeVar("T")
ANY = object()  # every value

RENAMED: tuple[tuple[str, Any, str, str], ...] = (
    # option, value, the option's name now, its value now
    ("learned", False, "renderer", "mesh"),
    ("learned", ANY, "renderer", "neural"),
    ("classical", ANY, "renderer", "mesh"),
    ("unseen", "classical", "unseen", "restoration"),
)


def refuse_renamed_flags(argv: Sequence[str]) -> None:
    """Refuse an old spelling on the command line: ``--learned``, ``--unseen classical``, ``--unseen=classical``."""
    words = [w for a in argv for w in (a.split("=", 1) if a.startswith("--") else [a])]
    for i, word in enumerate(words):
        for old, value, new, now in RENAMED:
            alone = value is ANY and word == f"--{old}"
            if alone or (isinstance(value, str) and words[i : i + 2] == [f"--{old}", value]):
                said = word if alone else f"{word} {value}"
                raise DinarError(f"{said} has another name now: --{new} {now}")


def changed(options: T, changes: Mapping[str, Any]) -> T:
    """A copy of a dataclass with some fields changed; unknown and old names are refused."""
    names = [f.name for f in dataclasses.fields(options)]  # type: ignore[arg-type]
    for name, given in changes.items():
        for old, value, new, now in RENAMED:
            if name == old and (value is ANY or (given == value and type(given) is type(value))):
                raise DinarError(f"{name}={given!r} has another name now: {new}={now!r}")
        if name not in names:
            near = difflib.get_close_matches(name, names, 1, 0)[0]
            kind = type(options).__name__
            raise DinarError(f"there is no option {name}: expected {near}, or another field of {kind}")
    return dataclasses.replace(options, **changes)  # type: ignore[type-var]


def check_choices(options: Any) -> None:
    """Refuse values of a dataclass' fields that are not among the choices of their type (Literals, tuples of them)."""
    for name, kind in get_type_hints(type(options)).items():
        kinds = [k for k in (kind, *get_args(kind)) if get_origin(k) is Literal]
        choices = [c for k in kinds for c in get_args(k)] + [None] * (type(None) in get_args(kind))
        given = getattr(options, name)
        for value in given if isinstance(given, tuple) else (given,):
            if kinds and value not in choices:
                known = ", ".join(c for c in choices if c is not None)
                raise DinarError(f"expected {name} to be one of {known}; got {value!r}")
