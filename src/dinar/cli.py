"""The command line: parse, call, report. Errors are one line on stderr and exit status 1; `--debug` shows where."""

from __future__ import annotations

import logging
import signal
import sys
import typing
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import tyro

from . import __doc__ as about
from .bounds import check_options
from .commands import (
    animate,
    batch,
    create,
    demo,
    evaluate,
    export,
    fit,
    render,
    segment,
    synthesize,
    train,
    turntable,
)
from .cores import physical_cores
from .errors import DinarError, escape
from .options import refuse_renamed_flags
from .version import __version__


def commands(words: Sequence[str]) -> dict[type, Callable[[Any], None]]:
    """The classes that a command line is parsed into, and what runs them."""
    return {
        create.Create: create.run,
        batch.Batch: batch.run,
        fit.Fit: fit.run,
        segment.Segment: segment.run,
        synthesize.Synthesize: synthesize.run,
        train.command(words): train.run,
        evaluate.Evaluate: evaluate.run,
        render.Render: render.run,
        turntable.Turntable: turntable.run,
        animate.Animate: animate.run,
        export.Export: export.run,
        demo.Demo: demo.run,
    }


def main(argv: list[str] | None = None) -> None:
    """Entry point of `dinar`."""
    words = argv if argv is not None else sys.argv[1:]
    if words == ["--version"]:
        print(f"dinar {__version__}")
        return
    if argv is None:
        warnings.formatwarning = lambda message, *_, **__: f"dinar: {escape(message)}\n"  # one line, like errors
        signal.signal(signal.SIGTERM, _terminate)
    debug = "--debug" in words
    try:
        refuse_renamed_flags(words)
        known = commands(words)
        command = tyro.cli(
            typing.Union[tuple(known)],  # type: ignore[arg-type]  # noqa: UP007
            prog="dinar",
            description=f"{str(about).splitlines()[0]} `dinar COMMAND --help` lists the options of a command.",
            args=argv,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.PositionalMetavarFromFieldName),
        )
        if getattr(getattr(command, "what", command), "verbose", False):
            handler = logging.StreamHandler()
            handler.setFormatter(_OneLine())
            logging.getLogger("dinar").addHandler(handler)
            logging.getLogger("dinar").setLevel(logging.INFO)
        check_options(command)
        torch.set_num_threads(command.threads or physical_cores())
        known[type(command)](command)
    except DinarError as e:
        _fail(str(e), debug)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except MemoryError:
        _fail("out of memory: use a smaller photo", debug)
    except OSError as e:
        _fail(f"{e.filename or 'file'}: {e.strerror or e}", debug)


def _terminate(number: int, frame: object) -> None:
    """SIGTERM ends the command through its clean-up, as Ctrl-C does."""
    sys.exit(128 + number)


class _OneLine(logging.Formatter):
    """Names and labels of files do not reach the terminal as they are."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(record.getMessage())


def _fail(message: str, debug: bool) -> None:
    if debug:
        raise
    print(f"dinar: {escape(message)}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
