"""The exception for users: one line that says what was expected, what came, and what to do."""

from __future__ import annotations

import re

MAX_MESSAGE = 300  # characters; about four lines of a terminal


def escape(text: object, limit: int = MAX_MESSAGE) -> str:
    """Text as one line that a terminal can show, at most ``limit`` characters long.

    Characters that are not printable (control characters, line ends, direction marks, lone surrogates) are written as
    Python escapes, such as ``\\x1b``. The middle of longer texts is left out. Escaping twice changes nothing.
    """
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in str(text))
    if len(line) > limit:
        tail = limit // 3  # the end says what to do
        line = line[: limit - tail - 3] + "..." + line[-tail:]
    return line


class DinarError(Exception):
    """Bad input or a missing resource. The command line prints the message and exits with status 1."""

    def __init__(self, message: object) -> None:
        super().__init__(escape(message))


def explain(e: BaseException) -> str:
    """An error as one line: a DinarError, no memory, an error of the system, or an unexpected one."""
    if isinstance(e, DinarError):
        return str(e)
    # torch's RuntimeErrors on CPUs and GPUs, and OpenCV's error, are no MemoryErrors.
    if isinstance(e, MemoryError) or re.search("allocate memory|out of memory|Insufficient memory", str(e)):
        return "out of memory"
    if isinstance(e, OSError):
        return escape(f"{e.filename or 'file'}: {e.strerror or e}")
    return escape(f"unexpected error, please report it (--debug shows where): {type(e).__name__}: {e}")
