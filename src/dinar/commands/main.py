"""A command line, parsed and run. Only the modules of the command that it names are imported."""

from __future__ import annotations

import ast
import io
import logging
import os
import shutil
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from importlib import import_module
from pathlib import Path
from typing import Any

from .. import __doc__ as about
from ..errors import escape
from ..options import refuse_renamed_flags

NAMES = ("create", "batch", "fit", "segment", "synthesize", "train", "evaluate", "render", "turntable", "animate",
         "alive", "export", "view", "serve", "demo")  # fmt: skip
"""The commands: each is a module of this package, with its options (of the same name, train: by ``command``) and
``run``."""
NARROWEST = 40  # columns: laying the help out for very narrow terminals takes minutes


def commands(words: Sequence[str]) -> dict[type, Callable[[Any], None]]:
    """The classes that a command line may be parsed into, and what runs them: one if its first word is a command."""
    found = {}
    for name in words[:1] if words and words[0] in NAMES else NAMES:
        module = import_module(f".{name}", __package__)
        kind = module.command(words) if name == "train" else getattr(module, name.capitalize())
        found[kind] = module.run
    return found


def run(words: Sequence[str], begin: Callable[[], None] = lambda: None) -> None:
    """Run the command that the words name. ``begin`` is called when modules are imported and options checked."""
    if list(words) in (["--help"], ["-h"]):
        print(overview())
        return
    import torch
    import tyro

    from ..bounds import check_options
    from ..cores import physical_cores
    from ..device import use

    refuse_renamed_flags(words)
    known = commands(words)
    named = len(known) == 1
    if shutil.get_terminal_size().columns < NARROWEST:
        os.environ["COLUMNS"] = str(NARROWEST)
    with _escaped() if any(not w.isprintable() for w in words) else nullcontext():
        command = tyro.cli(
            next(iter(known)) if named else typing.Union[tuple(known)],  # type: ignore[arg-type]  # noqa: UP007
            prog=f"dinar {words[0]}" if named else "dinar",
            description=None if named else introduction(),
            args=words[1:] if named else words,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.PositionalMetavarFromFieldName),
        )
    if getattr(getattr(command, "what", command), "verbose", False):
        handler = logging.StreamHandler()
        handler.setFormatter(OneLine())
        logging.getLogger("dinar").addHandler(handler)
        logging.getLogger("dinar").setLevel(logging.INFO)
    check_options(command)
    torch.set_num_threads(command.threads or physical_cores())
    use(getattr(getattr(command, "what", command), "device", "auto"))
    begin()
    known[type(command)](command)


@contextmanager
def _escaped() -> Iterator[None]:
    """What the parser says of words with control characters, which may be names of files, reaches no terminal as it
    is."""
    said = io.StringIO()
    try:
        with redirect_stderr(said):
            yield
    finally:
        print(*(escape(line) for line in said.getvalue().splitlines()), sep="\n", end="", file=sys.stderr)


def introduction() -> str:
    return f"{str(about).splitlines()[0]} `dinar COMMAND --help` lists the options of a command."


def overview() -> str:
    """What `dinar --help` prints: the commands and the first lines of their descriptions, read without an import."""
    lines = ["usage: dinar [-h] [--version] COMMAND ...", "", introduction(), ""]
    for name in NAMES:
        tree = ast.parse(Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8"))
        classes = {c.name: ast.get_docstring(c) or "" for c in tree.body if isinstance(c, ast.ClassDef)}
        described = classes["TrainCommand" if name == "train" else name.capitalize()]
        lines.append(f"  {name:<12}{described.splitlines()[0]}")
    return "\n".join(lines)


class OneLine(logging.Formatter):
    """Names and labels of files do not reach the terminal as they are."""

    def format(self, record: logging.LogRecord) -> str:
        return escape(record.getMessage())
