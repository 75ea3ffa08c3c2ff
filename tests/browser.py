"""A page in a headless Chromium, by tests/gltf/page.mjs; `make browser` installs what it needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent / "gltf"
NODE = shutil.which("node")
CHROMIUM = os.environ.get("CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(
    not (NODE and CHROMIUM and (HERE / "node_modules/playwright-core").is_dir()),
    reason="no Chromium, node or playwright-core here: `make browser`",
)
MINUTES = pytest.mark.skipif(
    not os.environ.get("DINAR_MINUTES"), reason="minutes in a browser without a GPU: make test-web"
)


def browse(folder: Path, url: str, steps: list[dict[str, Any]], **request: Any) -> dict[str, Any]:
    """Take steps on a page; what it said, asked for and returned. See page.mjs."""
    file = folder / "steps.json"
    file.write_text(json.dumps({"url": url, "chromium": CHROMIUM, "steps": steps, **request}))
    run = subprocess.run([str(NODE), str(HERE / "page.mjs"), str(file)], capture_output=True, text=True,
                         timeout=600 + 4 * request.get("timeout", 0) / 1000)  # fmt: skip
    assert run.returncode == 0, run.stderr + run.stdout
    return json.loads(run.stdout)
