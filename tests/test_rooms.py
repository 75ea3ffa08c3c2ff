"""The order of the rooms: a module imports only from rooms before its own."""

from __future__ import annotations

import ast
from pathlib import Path

import dinar

ROOT = Path(dinar.__file__).parent

# Contracts first, commands last. A room is a package or a module of the top level.
ORDER = (
    "errors", "options", "bounds", "device", "version", "cores", "pool", "cluster", "files", "ffmpeg", "stores",
    "manifest", "pictures", "arrays", "tensors", "pickle_machine", "pickles", "assets", "labels", "scene", "body",
    "views", "nets", "speech", "photo", "fit", "subject", "texture", "neural", "data", "synthetic", "sources", "export",
    "avatar", "studio", "create", "preview", "batch", "demo", "alive", "web", "train", "evaluate", "__init__",
    "commands", "cli",
)  # fmt: skip


def module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


MODULES = {module_of(p): p for p in sorted(ROOT.rglob("*.py"))}


def imports(module: str) -> set[str]:
    """Modules of dinar that a module imports, at the top or inside of functions."""
    path, found = MODULES[module], set()
    own = [] if module == "__init__" else module.split(".")
    package = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names if a.name.split(".")[0] == "dinar"]
            found |= {n.removeprefix("dinar").lstrip(".") or "__init__" for n in names}
        if not isinstance(node, ast.ImportFrom) or not (node.level or (node.module or "").split(".")[0] == "dinar"):
            continue
        base = package[: len(package) - node.level + 1] if node.level else []
        named = (node.module or "").removeprefix("dinar").lstrip(".") if not node.level else node.module or ""
        target = ".".join([*base, *named.split(".")]).strip(".")
        for a in node.names:
            inner = f"{target}.{a.name}".strip(".")
            found.add(inner if inner in MODULES else target or "__init__")
    return found - {module}


def room(module: str) -> str:
    return module.split(".")[0]


def test_every_module_is_in_a_room():
    assert {room(m) for m in MODULES} <= set(ORDER)


def test_no_import_against_the_order():
    upward = [f"{m} imports {t}" for m in MODULES for t in imports(m) if ORDER.index(room(t)) > ORDER.index(room(m))]
    assert not upward


def test_no_circle_of_modules():
    """Imports inside of functions count, too. A package and its own modules are one step: it re-exports them."""
    state: dict[str, int] = {}
    circles = []

    def visit(module: str, path: tuple[str, ...]) -> None:
        state[module] = 1
        for target in sorted(imports(module)):
            if target == room(module) or target not in MODULES:  # a package that re-exports
                continue
            if state.get(target) == 1:
                circles.append(" -> ".join((*path[path.index(target) :], target)))
            elif target not in state:
                visit(target, (*path, target))
        state[module] = 2

    for module in MODULES:
        if module not in state:
            visit(module, (module,))
    assert not circles
