"""One 512² frame of the neural renderer, all of it: the paper's layout, the base one and its graph, side by side.

    python benchmarks/renderer.py [--threads 2] [--rounds 7] [-o renderer.json]

Weights are random: they do not change the time. Both layouts run as trained, with the batch norms folded into the
convolutions, and so with channels last; ratios are to the paper's best of these in float32. All take turns, so that a
busy machine slows all alike; the CPU time, which other processes disturb less, stands beside the clock's. bf16 is of
use only on processors that have it.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dinar.errors import DinarError
from dinar.export.onnx import export_renderer, load_renderer_graph
from dinar.nets.costs import gmacs
from dinar.nets.presets import build, parameters
from dinar.nets.renderer import folded


def bf16(net: nn.Module, inputs: list[Tensor]) -> object:
    with torch.autocast("cpu", torch.bfloat16):
        return net(*inputs)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--size", type=int, default=512)
    p.add_argument("-o", "--out", type=Path)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    n = a.size
    inputs = [torch.rand(1, c, n, n) for c in (21, 2, 1)]
    inputs[2].round_()
    last = [t.contiguous(memory_format=torch.channels_last) for t in inputs]
    nets = {k: build(k, "renderer").eval().requires_grad_(False) for k in ("paper", "base")}
    runs: dict[str, Callable[[], object]] = {}
    for k, net in nets.items():
        flat = folded(net)
        turned = copy.deepcopy(flat).to(memory_format=torch.channels_last)
        runs[f"{k}, torch"] = partial(net, *inputs)
        runs[f"{k}, torch folded"] = partial(flat, *inputs)
        runs[f"{k}, torch folded channels_last"] = partial(turned, *last)
        runs[f"{k}, torch folded channels_last bf16"] = partial(bf16, turned, last)
    difference = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_renderer(nets["base"], Path(folder) / "base.onnx", n)
            graph = load_renderer_graph(Path(folder) / "base.onnx", a.threads)
            arrays = [t.numpy() for t in inputs]
            with torch.inference_mode():
                pairs = zip(graph(*arrays), nets["base"](*inputs), strict=True)
                difference = max(float(np.abs(x - y.numpy()).max() * 255) for x, y in pairs)
            runs["base, ONNX Runtime"] = partial(graph, *arrays)
        except DinarError as e:
            print(e)
        times: dict[str, list[tuple[float, float]]] = {k: [] for k in runs}  # ms of the clock, ms of CPU
        with torch.inference_mode():
            for r in range(a.rounds + 1):
                for k, run in runs.items():
                    if k.startswith("paper") and r > max(2, a.rounds // 2):
                        continue
                    wall, cpu = time.perf_counter(), time.process_time()
                    run()
                    if r:  # the first round warms up
                        times[k].append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    cost = {k: (parameters(net) / 1e6, gmacs(net, n, 256)) for k, net in nets.items()}
    median = {k: [statistics.median(x) for x in zip(*t, strict=True)] for k, t in times.items()}
    best = [min(m[i] for k, m in median.items() if k.startswith("paper") and "bf16" not in k) for i in (0, 1)]
    print("| renderer | M parameters | GMAC | median ms | CPU ms | times the paper's speed | by CPU time |\n"
          "| --- | --- | --- | --- | --- | --- | --- |")  # fmt: skip
    rows = []
    for k, (wall, cpu) in median.items():
        m, g = cost[k.split(",")[0]]
        rows.append({"renderer": k, "parameters_m": round(m, 2), "gmac": round(g, 1), "median_ms": round(wall, 1),
                     "cpu_ms": round(cpu, 1), "best_ms": round(min(t for t, _ in times[k]), 1),
                     "times_paper": round(best[0] / wall, 1), "times_paper_cpu": round(best[1] / cpu, 1)})  # fmt: skip
        print(f"| {k} | {m:.2f} | {g:.1f} | {wall:.0f} | {cpu:.0f} | {best[0] / wall:.1f} | {best[1] / cpu:.1f} |")
    print(f"largest difference between graph and torch: {difference} of 255")
    if a.out:
        machine = {"cpu": platform.processor() or platform.machine(), "threads": a.threads, "torch": torch.__version__}
        result = {"size": n, "machine": machine, "difference_255": difference, "rows": rows}
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
