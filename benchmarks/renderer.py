"""One 512² frame of the neural renderer: the paper's layout, the base one, and its exported graph, side by side.

    python benchmarks/renderer.py [--threads 2] [--rounds 7] [-o renderer.json]

Weights are random: they do not change the time. The three take turns, so that a busy machine slows all alike; bf16 is
of use only on processors that have it.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from dinar.errors import DinarError
from dinar.export.onnx import export_renderer, load_renderer_graph
from dinar.nets.costs import gmacs
from dinar.nets.presets import build, parameters


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
    paper, base = build("paper", "renderer").eval(), build("base", "renderer").eval()
    base_last = build("base", "renderer").eval().to(memory_format=torch.channels_last)
    last = [t.contiguous(memory_format=torch.channels_last) for t in inputs]
    runs = {"paper, torch": lambda: paper(*inputs), "base, torch": lambda: base(*inputs),
            "base, torch channels_last": lambda: base_last(*last)}  # fmt: skip

    def bf16():
        with torch.autocast("cpu", torch.bfloat16):
            return base_last(*last)

    runs["base, torch channels_last bf16"] = bf16
    difference = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_renderer(base, Path(folder) / "base.onnx", n)
            graph = load_renderer_graph(Path(folder) / "base.onnx", a.threads)
            arrays = [t.numpy() for t in inputs]
            with torch.inference_mode():
                difference = float(np.abs(graph(*arrays)[0] - base(*inputs)[0].numpy()).max() * 255)
            runs["base, ONNX Runtime"] = lambda: graph(*arrays)
        except DinarError as e:
            print(e)
        times: dict[str, list[float]] = {k: [] for k in runs}
        with torch.inference_mode():
            for r in range(a.rounds + 1):
                for k, run in runs.items():
                    if k.startswith("paper") and r > max(2, a.rounds // 2):
                        continue
                    start = time.perf_counter()
                    run()
                    if r:  # the first round warms up
                        times[k].append(1e3 * (time.perf_counter() - start))
    nets = {"paper": paper, "base": base}
    cost = {k: (parameters(net) / 1e6, gmacs(net.requires_grad_(False), n, 256)) for k, net in nets.items()}
    reference = statistics.median(times["paper, torch"])
    print("| renderer | M parameters | GMAC | median ms | times the paper's speed |\n| --- | --- | --- | --- | --- |")
    rows = []
    for k, t in times.items():
        m, g = cost[k.split(",")[0]]
        ms = statistics.median(t)
        rows.append({"renderer": k, "parameters_m": round(m, 2), "gmac": round(g, 1), "median_ms": round(ms, 1),
                     "best_ms": round(min(t), 1), "times_paper": round(reference / ms, 1)})  # fmt: skip
        print(f"| {k} | {m:.2f} | {g:.1f} | {ms:.0f} | {reference / ms:.1f} |")
    print(f"largest difference between graph and torch: {difference} of 255")
    if a.out:
        machine = {"cpu": platform.processor() or platform.machine(), "threads": a.threads, "torch": torch.__version__}
        result = {"size": n, "machine": machine, "difference_255": difference, "rows": rows}
        a.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
