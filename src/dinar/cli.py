"""The command line: parse, call, report. Errors are one line on stderr and exit status 1; `--debug` shows where."""

from __future__ import annotations

import logging
import sys
import typing
import warnings

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
from .commands.common import Common
from .cores import physical_cores
from .errors import DinarError, escape
from .version import __version__

COMMANDS = {
    create.Create: create.run,
    batch.Batch: batch.run,
    fit.Fit: fit.run,
    segment.Segment: segment.run,
    synthesize.Synthesize: synthesize.run,
    train.Train: train.run,
    evaluate.Evaluate: evaluate.run,
    render.Render: render.run,
    turntable.Turntable: turntable.run,
    animate.Animate: animate.run,
    export.Export: export.run,
    demo.Demo: demo.run,
}


def main(argv: list[str] | None = None) -> None:
    """Entry point of `dinar`."""
    if (argv if argv is not None else sys.argv[1:]) == ["--version"]:
        print(f"dinar {__version__}")
        return
    command = tyro.cli(
        typing.Union[tuple(COMMANDS)],  # type: ignore[arg-type]  # noqa: UP007
        prog="dinar",
        description=f"{str(about).splitlines()[0]} `dinar COMMAND --help` lists the options of a command.",
        args=argv,
        config=(
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.PositionalMetavarFromFieldName,
        ),
    )
    if argv is None:  # one line, like errors
        warnings.formatwarning = lambda message, *_, **__: f"dinar: {escape(message)}\n"
    if isinstance(command, Common) and command.verbose:
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine())
        logging.getLogger("dinar").addHandler(handler)
        logging.getLogger("dinar").setLevel(logging.INFO)
    try:
        check_options(command)
        torch.set_num_threads(command.threads or physical_cores())
        COMMANDS[type(command)](command)
    except DinarError as e:
        _fail(str(e), command.debug)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except MemoryError:
        _fail("out of memory: use a smaller photo", command.debug)
    except OSError as e:
        _fail(f"{e.filename or 'file'}: {e.strerror or e}", command.debug)


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
