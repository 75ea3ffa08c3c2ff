"""Where the seconds of `create` go.

    python benchmarks/create.py PHOTO... [--renderer neural] [--weights DIR] [--threads 2] [--out out/create.json]

Median seconds of each part over the photos, after one that is not counted (models are read and kernels compiled then);
then a picture of 512², and saving. The first call of a fresh process is timed apart, imports and all.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dinar.files import replacing


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="+")
    p.add_argument("--renderer", choices=("mesh", "neural"), default="mesh")
    p.add_argument("--weights", type=Path)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", type=Path, default=Path("out/create.json"))
    a = p.parse_args()
    import torch

    from dinar import create

    torch.set_num_threads(a.threads)
    renderer = "neural" if a.weights else a.renderer
    parts: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as temp:
        file = Path(temp) / "one.avatar"
        for i, photo in enumerate([a.photos[0], *a.photos]):
            start = time.perf_counter()
            avatar = create(photo, renderer=renderer, weights=a.weights)
            seconds = dict(avatar.work.seconds) | {"create, whole": time.perf_counter() - start}
            for what, do in (("draw 512²", avatar.render), ("save", lambda: avatar.save(file))):  # noqa: B023
                start = time.perf_counter()
                do()
                seconds[what] = time.perf_counter() - start
            for k, v in seconds.items() if i else ():
                parts.setdefault(k, []).append(v)
            print(photo.name, {k: round(v, 2) for k, v in seconds.items()}, flush=True)
        start = time.perf_counter()
        more = ["--renderer", renderer, *(["--weights", str(a.weights)] if a.weights else [])]
        subprocess.run([sys.executable, "-m", "dinar.cli", "create", str(a.photos[0]), "-o", str(file), *more],
                       check=True, capture_output=True)  # fmt: skip
        fresh = time.perf_counter() - start
    result = {"photos": len(a.photos), "threads": a.threads, "renderer": renderer,
              "seconds": {k: round(float(np.median(v)), 3) for k, v in parts.items()},
              "command, fresh process": round(fresh, 2)}  # fmt: skip
    print(json.dumps(result, indent=1))
    a.out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(a.out) as temp:
        temp.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
