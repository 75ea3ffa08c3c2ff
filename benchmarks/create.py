"""Where the seconds of `create` go.

    python benchmarks/create.py PHOTO... [--renderer neural] [--weights DIR] [--threads 2] [--out out/create.json]
    python benchmarks/create.py PHOTO... --before out/old.json  # with the figures of another version, and their ratio

Median seconds of each part over the photos, after one that is not counted (models are read and kernels compiled then);
CPU seconds of the whole; a frame of a walk at 512², as `benchmarks/render.py` draws it, and saving; peak memory. The
first call of a fresh process is timed apart, imports and all. ``OUT.profile.txt`` has the functions that take longest.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import pstats
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.files import replacing

FRAMES = 20


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="+")
    p.add_argument("--renderer", choices=("mesh", "neural"), default="mesh")
    p.add_argument("--weights", type=Path)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--before", type=Path, help="a json file of this script")
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
            start, cpu = time.perf_counter(), time.process_time()
            avatar = create(photo, renderer=renderer, weights=a.weights)
            seconds = dict(avatar.work.seconds) | {"create, whole": time.perf_counter() - start}
            seconds["create, CPU"] = time.process_time() - cpu
            pose, transl = retarget(load_motion("walk"), avatar.body, betas=avatar.betas)
            start, cpu = time.perf_counter(), time.process_time()
            for k in range(FRAMES):
                avatar.render(pose[k], transl=transl[k])
            seconds |= {"frame of 512²": (time.perf_counter() - start) / FRAMES,
                        "frame, CPU": (time.process_time() - cpu) / FRAMES}  # fmt: skip
            start = time.perf_counter()
            avatar.save(file)
            seconds["save"] = time.perf_counter() - start
            for k, v in seconds.items() if i else ():
                parts.setdefault(k, []).append(v)
            print(photo.name, {k: round(v, 2) for k, v in seconds.items()}, flush=True)
        start = time.perf_counter()
        more = ["--renderer", renderer, *(["--weights", str(a.weights)] if a.weights else [])]
        subprocess.run([sys.executable, "-m", "dinar.cli", "create", str(a.photos[0]), "-o", str(file), *more],
                       check=True, capture_output=True)  # fmt: skip
        fresh = time.perf_counter() - start
        profile = cProfile.Profile(time.process_time)
        profile.runcall(create, a.photos[0], renderer=renderer, weights=a.weights)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("cumtime").print_stats("dinar", 60)
    medians = {k: round(float(np.median(v)), 4) for k, v in parts.items()} | {"command, fresh process": round(fresh, 2)}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    result = {"photos": len(a.photos), "threads": a.threads, "renderer": renderer, "seconds": medians,
              "peak memory, GB": round(peak, 2)}  # fmt: skip
    before = json.loads(a.before.read_text())["seconds"] if a.before else {}
    print("| seconds | before | now | ratio |\n| --- | --- | --- | --- |")
    for k, v in result["seconds"].items():
        print(f"| {k} | {before.get(k, '')} | {v} | {f'{v / before[k]:.2f}' if before.get(k) else ''} |")
    print(f"peak memory: {result['peak memory, GB']} GB")
    a.out.parent.mkdir(parents=True, exist_ok=True)
    a.out.with_suffix(".profile.txt").write_text(text.getvalue())
    with replacing(a.out) as temp:
        temp.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
