"""The command `dinar`: signals and errors. Errors are one line on stderr and exit status 1; `--debug` shows where.

What takes seconds to import is imported in :func:`main`, so that Ctrl-C then is one line, too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from .errors import escape, explain
from .version import __version__

CLEAN_UP = 3.5  # seconds that an interrupted command has; workers of a pool are killed after pool.GRACE

BROKEN_PIPE = 13  # the number of SIGPIPE, which Windows lacks
AGAIN = 0.05  # seconds after which a signal that came during an import is sent again

_received: list[int] = []  # the signal that interrupts this run


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `dinar`."""
    words = sys.argv[1:] if argv is None else argv
    debug = "--debug" in words
    if argv is None:
        _open_streams()
    try:
        if list(words) == ["--version"]:
            print(f"dinar {__version__}", flush=True)
            return
        if argv is None:
            warnings.formatwarning = lambda message, *_, **__: f"dinar: {escape(message)}\n"  # one line, like errors
            _handle_signals(_leave)  # while importing
        from .commands.main import run

        if argv is None:
            run(words, begin=lambda: _handle_signals(_interrupt))
        else:
            run(words)
        sys.stdout.flush()
    except KeyboardInterrupt as e:
        number = e.args[0] if e.args else signal.SIGINT
        if argv is None:
            with suppress(OSError):
                sys.stdout.flush()
            _leave(number, None)  # what libraries do at the end takes seconds
        print("\ninterrupted", file=sys.stderr)
        sys.exit(128 + number)
    except Exception as e:
        if _received:  # a library that was being imported turned the interrupt into an error of its own
            _leave(_received[0], None)
        lost = isinstance(e, OSError) and e.filename is None and _stdout_is_lost()
        if debug and not lost:
            raise
        if lost and isinstance(e, BrokenPipeError):  # as of `| head`, which has read enough
            sys.exit(128 + BROKEN_PIPE)
        print(f"dinar: {'stdout: ' * lost}{explain(e).removeprefix('file: ' * lost)}", file=sys.stderr)
        sys.exit(1)
    finally:
        if argv is None:
            _handle_signals(signal.SIG_DFL)  # nothing is left to clean up


def _open_streams() -> None:
    """Point closed standard streams to nowhere: the next file that is opened would get what is printed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115


def _stdout_is_lost() -> bool:
    """Whether nothing can be written to stdout any more, as where its reader has gone."""
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError, AttributeError):  # another object, as in tests
        return False
    try:
        os.write(number, b"\n")
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # or Python tells of what is left when it ends
        return True
    return False


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGTERM, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    """End at once: nothing has begun, or all is cleaned up."""
    if number == signal.SIGINT:
        os.write(2, b"\ninterrupted\n")
    os._exit(128 + number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """End the command through its clean-up, which further signals do not disturb. Not during an import: libraries abort
    the process if one is interrupted."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            again = threading.Timer(AGAIN, os.kill, [os.getpid(), number])
            again.daemon = True
            again.start()
            return
        frame = frame.f_back
    _received.append(number)
    _handle_signals(signal.SIG_IGN)
    late = threading.Timer(CLEAN_UP, os._exit, [128 + number])
    late.daemon = True
    late.start()
    raise KeyboardInterrupt(number)


if __name__ == "__main__":
    main()
