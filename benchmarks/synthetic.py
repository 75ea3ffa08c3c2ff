"""The generator of people by itself: views a second, where the time goes, and skin that pokes through cloth.

python benchmarks/synthetic.py --assets DIR --motions DIR --poke 500 --jobs 2 --out out/synthetic.json
"""

from __future__ import annotations

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch

from dinar.synthetic.source import Synthetic


def make(job: tuple[Synthetic, int]) -> float:
    """Seconds for all views of one person."""
    torch.set_num_threads(1)
    source, i = job
    start = time.perf_counter()
    source.views(i)
    return time.perf_counter() - start


def poke(job: tuple[Synthetic, int]) -> tuple[int, int]:
    """Pixels of skin that should be under cloth, and of the person, over two views of one person."""
    torch.set_num_threads(1)
    source, i = job
    shots, *_ = source.shots(i, [0, 1])
    return sum(int(s.poked.sum()) for s in shots), sum(int((s.alpha > 0.5).sum()) for s in shots)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--assets")
    p.add_argument("--motions")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--people", type=int, default=12, help="for the speed")
    p.add_argument("--poke", type=int, default=0, help="people for the poke-through")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--device", default="cpu")
    p.add_argument("--out", type=Path)
    a = p.parse_args()
    source = Synthetic(7, a.size, 8, None, a.assets, a.motions, device=a.device)
    result: dict[str, object] = {"size": a.size, "device": a.device, "jobs": a.jobs}
    if a.device == "cpu":
        with ProcessPoolExecutor(a.jobs, get_context("spawn")) as pool:
            list(pool.map(make, [(source, i) for i in range(a.jobs)]))  # imports, assets, compiled kernels
            start = time.perf_counter()
            list(pool.map(make, [(source, i) for i in range(a.people)]))
            seconds = time.perf_counter() - start
            if a.poke:
                small = Synthetic(8, 384, 2, None, a.assets, a.motions)
                counts = np.array(list(pool.map(poke, [(small, i) for i in range(a.poke)])))
                share = counts[:, 0] / counts[:, 1].clip(1)
                worst = np.argsort(-share)[:20]
                result |= {"poke_people": a.poke, "poke_percent": float(100 * counts[:, 0].sum() / counts[:, 1].sum()),
                           "poke_worst": worst.tolist(),
                           "poke_worst_percent": (100 * share[worst]).round(3).tolist()}  # fmt: skip
    else:
        make((source, 0))
        torch.cuda.synchronize()
        start = time.perf_counter()
        for i in range(a.people):
            source.views(i)
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    result["views_per_second"] = 8 * a.people / seconds
    print(json.dumps(result, indent=1))
    if a.out:
        a.out.parent.mkdir(parents=True, exist_ok=True)
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
