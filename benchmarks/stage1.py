"""How many samples a second stage 1 takes on this machine, and what its steps are made of.

    python benchmarks/stage1.py PROFILE.txt STEPS --data PEOPLE --run RUN [options of `dinar train avatar`]

One run: steps that warm up, STEPS that are timed, four under torch's profiler, and batches that are loaded and not
used. Prints a line for each number as soon as it is known.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from dinar.commands.main import run
from dinar.train.avatar import AvatarStage
from dinar.train.state import State

PROFILED = 4


def main() -> None:
    path, timed, words = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    warm, batch = max(2, timed // 3), int(words[words.index("--batch") + 1])
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    profiler = torch.profiler.profile(activities=kinds)
    plain, begun, calls = AvatarStage.step, 0.0, 0
    last: dict[str, Tensor] = {}

    def now() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def report(what: str, value: float, unit: str) -> None:
        print(f"row: {what} | {value:.4g} | {unit}", flush=True)

    def step(self: AvatarStage, loaded: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        nonlocal begun, calls, last
        k = calls - warm
        calls += 1
        if k == 0:
            begun = now()
        elif 0 < k < timed and k % 10 == 0:
            report(f"training, {k} steps", k * batch / (now() - begun), "samples/s")
        elif k == timed:
            report("training", timed * batch / (now() - begun), "samples/s")
            profiler.start()
            begun = now()
        elif k == timed + PROFILED:
            wall = now() - begun
            profiler.stop()
            averages = profiler.key_averages()
            report("a step under the profiler", 1000 * wall / PROFILED, "ms")
            if torch.cuda.is_available():
                busy = [e.self_device_time_total for e in averages if e.device_type == torch.autograd.DeviceType.CUDA]
                report("of it the GPU is busy", sum(busy) / 1000 / PROFILED, "ms")
            orders = ["self_device_time_total"] if torch.cuda.is_available() else []
            tables = [averages.table(sort_by=o, row_limit=22, max_name_column_width=60)
                      for o in (*orders, "self_cpu_time_total")]  # fmt: skip
            path.write_text("\n".join(tables))
            begun = now()
        elif k == 2 * timed + PROFILED:
            report("its batches, loaded alone", timed * batch / (now() - begun), "samples/s")
        if k < timed + PROFILED:
            last = plain(self, loaded, state)
        return last

    AvatarStage.step = step  # type: ignore[method-assign]
    steps = str(warm + 2 * timed + PROFILED + 1)
    often = ("--loop.log-every", steps, "--loop.show-every", str(10**6), "--loop.save-every", str(10**6))
    run(["train", "avatar", *words, "--steps", steps, *often])


if __name__ == "__main__":
    main()
