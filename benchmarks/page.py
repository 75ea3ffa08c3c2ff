"""Frame rates of the viewer in Chromium without a GPU: SwiftShader draws, WebAssembly or WebGPU (SwiftShader's, too)
computes the networks.

    python benchmarks/page.py me.avatar [--seconds 10] [--webgpu]      # an avatar of create --renderer neural

Prints frames a second while the avatar walks, and the CPU time a frame of all of Chromium's processes, which is what to
compare on a machine that does other things, too. Needs `make browser`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import browse
from dinar.avatar import Avatar
from dinar.web.local import Served, page_server
from dinar.web.neural import neural_file
from dinar.web.page import viewer_page, worker_files

SCREENS = {"screen": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 844, "phone": True}}
NEURAL = "dinar.viewer.setNeural('/me.neural').then(() => dinar.viewer.provider)"


def watched(frames: str, seconds: float) -> list[dict[str, Any]]:
    """Steps whose results are: CPU seconds, [frames, seconds], CPU seconds."""
    count = f"""(async () => {{
      const v = dinar.viewer, before = {frames}, start = performance.now();
      await new Promise((later) => setTimeout(later, {1000 * seconds}));
      return [{frames} - before, (performance.now() - start) / 1000];
    }})()"""
    return [{"cpu": True}, {"evaluate": count}, {"cpu": True}]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("avatar", type=Path)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--webgpu", action="store_true")
    a = parser.parse_args()
    avatar = Avatar.load(a.avatar)
    file = neural_file(avatar)
    if file is None:
        raise SystemExit(f"{a.avatar} has no networks that pages can use: create --renderer neural")
    server = page_server(viewer_page(avatar, "me", None, "/me.neural"), 0,
                         {"/me.neural": Served("", file), **worker_files("/page/")})  # fmt: skip
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"load of this machine before: {os.getloadavg()[0]:.1f}")
    print("| stage | drawn by | frames a second | CPU time a frame |\n| --- | --- | --- | --- |")
    for screen, size in SCREENS.items():
        walk = {"evaluate": "dinar.viewer.play('walk', 0)"}
        steps = [{"wait": "window.dinar"}, walk, {"wait": "dinar.viewer.frames > 3"},
                 *watched("v.frames", a.seconds), {"evaluate": NEURAL}, {"wait": "dinar.viewer.neuralFrames > 1"},
                 *watched("v.neuralFrames", a.seconds)]  # fmt: skip
        with tempfile.TemporaryDirectory() as folder:
            url = f"http://127.0.0.1:{server.server_address[1]}/"
            r = browse(Path(folder), url, steps, webgpu=a.webgpu, timeout=600_000, **size)
        if r["messages"]:
            raise SystemExit(json.dumps(r["messages"]))
        _, *mesh, provider, used, count, after = r["results"]
        for how, (before, (frames, seconds), end) in (("mesh", mesh), (provider, (used, count, after))):
            print(f"| {screen} | {how} | {frames / seconds:.1f} | {1000 * (end - before) / max(frames, 1):.0f} ms |")
    server.shutdown()


if __name__ == "__main__":
    main()
