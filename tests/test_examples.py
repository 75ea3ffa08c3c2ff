"""The examples run, in order, in one folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))


def test_examples_run(tmp_path: Path, pose_network: None) -> None:
    assert len(EXAMPLES) >= 4
    for example in EXAMPLES:
        done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{example.name}: {done.stderr}"
    for name in ("me.avatar", "me.preview.png", "views.png", "flap.mp4", "me.glb"):
        assert (tmp_path / name).stat().st_size > 1000
