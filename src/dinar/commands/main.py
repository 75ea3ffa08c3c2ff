"""A command line, parsed and run."""

from __future__ import annotations

import logging
import typing
from collections.abc import Callable, Sequence
from typing import Any

import torch
import tyro

from .. import __doc__ as about
from ..bounds import check_options
from ..cores import physical_cores
from ..errors import escape
from ..options import refuse_renamed_flags
from . import (
    alive,
    animate,
    batch,
    create,
    demo,
    evaluate,
    export,
    fit,
    render,
    segment,
    serve,
    synthesize,
    train,
    turntable,
    view,
)


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
        alive.Alive: alive.run,
        export.Export: export.run,
        view.View: view.run,
        serve.Serve: serve.run,
        demo.Demo: demo.run,
    }


def run(words: Sequence[str]) -> None:
    """Run the command that the words name."""
    refuse_renamed_flags(words)
    known = commands(words)
    command = tyro.cli(
        typing.Union[tuple(known)],  # type: ignore[arg-type]  # noqa: UP007
        prog="dinar",
        description=f"{str(about).splitlines()[0]} `dinar COMMAND --help` lists the options of a command.",
        args=words,
        config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.PositionalMetavarFromFieldName),
    )
    if getattr(getattr(command, "what", command), "verbose", False):
        handler = logging.StreamHandler()
        handler.setFormatter(OneLine())
        logging.getLogger("dinar").addHandler(handler)
        logging.getLogger("dinar").setLevel(logging.INFO)
    check_options(command)
    torch.set_num_threads(command.threads or physical_cores())
    known[type(command)](command)


class OneLine(logging.Formatter):
    """Names and labels of files do not reach the terminal as they are."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(record.getMessage())
