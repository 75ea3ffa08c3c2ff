"""The table of scripts/mutate.py: every row names a constant and a test that exist, and changes the constant."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def mutate():
    spec = importlib.util.spec_from_file_location("mutate", ROOT / "scripts" / "mutate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["mutate"] = module
    spec.loader.exec_module(module)
    return module


def test_rows_name_constants_and_tests_that_exist(mutate) -> None:
    assert len({c.constant for c in mutate.CHANGES}) >= 25
    tests: dict[str, set[str]] = {}
    for c in mutate.CHANGES:
        text = mutate.source(c.module).read_text(encoding="utf-8")
        assert mutate.last_line(text, c.constant), f"{c.module} assigns no {c.constant}"
        module = importlib.import_module(f"dinar.{c.module}")
        now = getattr(module, c.constant)
        assert np.any(eval(c.value, dict(vars(module))) != now), f"{c.constant} is {now} already"  # arrays, too
        file, name = c.test.split("::")
        if file not in tests:
            body = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8")).body
            tests[file] = {n.name for n in body if isinstance(n, ast.FunctionDef)}
        assert name in tests[file], f"there is no test {c.test}"


def test_a_constant_is_changed_after_its_own_assignment(mutate) -> None:
    text = "A, B = (\n    1,\n    2,\n)\nC = A\ndef f(x=A): ...\n"
    new = mutate.changed(text, mutate.Change("m", "A", "A + 5", ""))
    names: dict = {}
    exec(new, names)
    assert (names["A"], names["B"], names["C"], names["f"].__defaults__) == (6, 2, 6, (6,))
    with pytest.raises(SystemExit, match="assigns no Z"):
        mutate.changed(text, mutate.Change("m", "Z", "0", ""))
