"""What `scripts/interrupt.py` sees: a toy program, copied at its file operations and killed at one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
SCRIPTS = Path(__file__).parents[1] / "scripts"
PROGRAM = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from _interrupt_runs import Watch
root = Path(sys.argv[2]) / "root"
sys.addaudithook(Watch(root, Path(sys.argv[2]) / "copies" if sys.argv[3] == "0" else None, at=int(sys.argv[3])))
os.mkdir(root / "out")
with open(root / "out/.dinar-new", "wb") as f:
    f.write(bytes(1000))
os.replace(root / "out/.dinar-new", root / "out/a")
os.remove(root / "out/a")
"""


def run(folder: Path, at: int) -> int:
    (folder / "root").mkdir()
    (folder / "copies").mkdir()
    return subprocess.run([sys.executable, "-c", PROGRAM, str(SCRIPTS), str(folder), str(at)]).returncode


def test_every_file_operation_is_seen(tmp_path: Path) -> None:
    assert run(tmp_path, 0) == 0
    sizes = {c.name: {p.name: p.stat().st_size for p in c.rglob("*") if p.is_file()} for c in
             (tmp_path / "copies").iterdir()}  # fmt: skip
    assert sizes == {"0001": {}, "0002": {}, "0002+": {".dinar-new": 64}, "0003": {".dinar-new": 1000},
                     "0004": {"a": 1000}}  # fmt: skip
    assert (tmp_path / "copies.versions").read_text().split()[1:] == ["a"]


def test_a_kill_leaves_what_the_copy_shows(tmp_path: Path) -> None:
    assert run(tmp_path, 3) == -9
    assert [p.name for p in (tmp_path / "root/out").iterdir()] == [".dinar-new"]
