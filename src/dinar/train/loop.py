"""The training loop of all stages.

A stage defines networks, optimisers, samples and one ``step``. The loop adds devices and processes (accelerate), mixed
precision, gradient accumulation, averaged weights, checkpoints and the log.

A killed run resumes from its last checkpoint and ends with the same weights, on a CPU bit for bit: sample i depends on
(seed, i), the learning rate on the step, and the checkpoint contains everything else.

    accelerate launch -m dinar.cli train parser --data DIR --run runs/parser        several devices or machines
    dinar train parser --data DIR --run runs/parser                             one
"""

from __future__ import annotations

import atexit
import copy
import json
import multiprocessing
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from ..device import network_dtype
from ..errors import DinarError
from ..files import replacing
from ..pictures import write_array
from .checkpoint import restore, save
from .presets import Loop
from .state import Stage, State


@torch.no_grad()
def average(ema: nn.Module, module: nn.Module, decay: float) -> None:
    """ema <- decay · ema + (1 − decay) · module; buffers are copied."""
    averages: list[Tensor] = [*ema.parameters()]
    if averages:
        torch._foreach_lerp_(averages, [*module.parameters()], 1 - decay)
    if buffers := [*ema.buffers()]:
        torch._foreach_copy_(buffers, [*module.buffers()])


# --- data -----------------------------------------------------------------------------------------------------------


class _Samples(Dataset):
    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.seed = stage, seed

    def __getitem__(self, i: int) -> dict[str, np.ndarray]:
        return self.stage.sample(i, np.random.default_rng([self.seed, i]))


class _Micros(Sampler):
    """Sample indices of one process' micro batches from ``step`` on. Step s uses the samples from s·batch on."""

    def __init__(self, loop: Loop, step: int, rank: int, processes: int) -> None:
        self.loop, self.step, self.rank, self.processes = loop, step, rank, processes

    def __iter__(self) -> Iterator[list[int]]:
        m = self.loop.micro_batch
        for step in range(self.step, self.loop.steps):
            for k in range(self.rank, self.loop.batch // m, self.processes):
                first = step * self.loop.batch + k * m
                yield list(range(first, first + m))


def batches(state: State) -> Iterator[dict[str, Tensor]]:
    """This process' micro batches on its device, from the state's step on."""
    a, loop = state.accelerator, state.loop
    micros = _Micros(loop, state.step, a.process_index, a.num_processes)
    if loop.workers:
        cv2.setNumThreads(1)  # of the workers, too, which are copies of this process; torch has one already
    # The loader draws seeds of its workers. Its own generator keeps the run's random state unchanged.
    loader = DataLoader(_Samples(state.stage, loop.seed), batch_sampler=micros, num_workers=loop.workers,
                        generator=torch.Generator().manual_seed(loop.seed), pin_memory=a.device.type == "cuda",
                        worker_init_fn=_begin_worker, prefetch_factor=4 if loop.workers else None)  # fmt: skip
    for batch in loader:
        yield {k: _full(v.to(a.device, non_blocking=True)) for k, v in batch.items()}


def _begin_worker(worker: int) -> None:
    """Ctrl-C, ``timeout`` and Slurm signal whole groups of processes; a worker that ended would end the run without a
    checkpoint."""
    for s in (signal.SIGTERM, signal.SIGINT):
        signal.signal(s, signal.SIG_IGN)
    if multiprocessing.get_start_method() != "fork":  # copies of a process with threads would wait forever
        cv2.setNumThreads(1)


def _full(x: Tensor) -> Tensor:
    """In float32 what a stage hands over in 16 bits."""
    return x.float() if x.dtype == torch.float16 else x


# --- the loop -------------------------------------------------------------------------------------------------------


def train(
    stage: Stage,
    loop: Loop,
    run: Path,
    config: dict[str, Any],  # all resolved options, saved in the run folder
    cpu: bool = False,  # do not use a GPU
    dry_run: bool = False,  # print sizes, load one batch, do not train
) -> bool:
    """Train to ``loop.steps``, from the run folder's checkpoint if it has one. Returns False if a signal stopped it.

    A run folder contains config.json, checkpoint.pt, log.jsonl, TensorBoard events, pictures/ and finally weights/.
    """
    a, state = _prepare(stage, loop, cpu)
    checkpoint = run / "checkpoint.pt"
    if dry_run:
        _describe(state, checkpoint)
        return True
    (run / "pictures").mkdir(parents=True, exist_ok=True)
    torch.manual_seed(loop.seed * 1000 + a.process_index)
    if checkpoint.exists():
        restore(state, checkpoint)
        a.print(f"resuming {run} at step {state.step}", flush=True)
    writer = None
    if a.is_main_process:
        from torch.utils.tensorboard import SummaryWriter

        with replacing(run / "config.json") as temp:
            temp.write_text(json.dumps(config, indent=1))
        writer = SummaryWriter(str(run), purge_step=state.step)
    stop = _Stop()
    for m in stage.modules.values():
        m.train()
    done, logged, begun = state.step, state.step, time.perf_counter()
    state.begun = begun
    stream = batches(state)
    while state.step < loop.steps and not stop(a, state.spent >= 1):
        for _ in range(loop.batch // (loop.micro_batch * a.num_processes)):
            with a.accumulate(*stage.modules.values()):
                scalars = stage.step(next(stream), state)
        state.step += 1
        decay = min(loop.ema, (1 + state.step) / (10 + state.step))
        for k, ema in state.averaged.items():
            average(ema, state.plain(k), decay)
        if state.step % loop.log_every == 0 and writer:
            rate = (state.step - logged) * loop.batch / (time.perf_counter() - begun)
            _log(run, writer, state.step, {k: float(v.detach()) for k, v in scalars.items()} | {"images_per_s": rate})
            logged, begun = state.step, time.perf_counter()
        if (state.step % loop.show_every == 0 or state.step == loop.steps) and writer:
            paused = time.perf_counter()
            _show(state, run, writer)
            begun += time.perf_counter() - paused
        if state.step % loop.save_every == 0:
            save(state, checkpoint, config)
            done = state.step
    in_time = state.step >= loop.steps or (state.spent >= 1 and not stop.asked)
    if in_time and state.step < loop.steps and state.step % loop.show_every and writer:
        _show(state, run, writer)
    if done < state.step:
        save(state, checkpoint, config)
    if a.is_main_process:
        stage.export(state.averaged, run / "weights")
    if writer:
        writer.close()
    a.print(f"{'finished' if in_time else 'stopped'} at step {state.step} of {loop.steps}", flush=True)
    stop.restore()
    return in_time


def _prepare(stage: Stage, loop: Loop, cpu: bool) -> tuple[Accelerator, State]:
    from accelerate.state import PartialState

    partial, precision = PartialState(cpu=cpu), loop.precision
    processes = partial.num_processes
    if loop.batch % (loop.micro_batch * processes):
        raise DinarError(f"expected --batch to be a multiple of --micro-batch x processes = {loop.micro_batch} x "
                         f"{processes}, got {loop.batch}")  # fmt: skip
    slow = precision != "no" and str(partial.device) == "cpu" and network_dtype(torch.device("cpu")) == torch.float32
    a = Accelerator(mixed_precision="no" if slow else precision, cpu=cpu, step_scheduler_with_optimizer=False,
                    gradient_accumulation_steps=loop.batch // (loop.micro_batch * processes))  # fmt: skip
    if slow:
        a.print(f"this CPU has no instructions for {precision}, in which it would be slow: training in float32")
    if processes > 1:
        atexit.unregister(_leave)
        atexit.register(_leave)
    state = State(a, loop, stage)
    # Copy before accelerate prepares the modules: it patches their forward, and a copy would share the patch.
    copies = {k: copy.deepcopy(stage.modules[k]) for k in stage.averaged}
    state.averaged = {k: m.requires_grad_(False).eval().to(a.device) for k, m in copies.items()}
    for k, m in list(stage.modules.items()):
        stage.modules[k] = a.prepare(m)
    for k, o in list(stage.optimizers.items()):
        state.peaks[k] = [g["lr"] for g in o.param_groups]
        stage.optimizers[k] = a.prepare(o)
    return a, state


def _leave() -> None:
    """End the communication with the other processes: gloo's threads abort a process that exits without."""
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _describe(state: State, checkpoint: Path) -> None:
    a, loop = state.accelerator, state.loop
    for k in state.stage.modules:
        m = state.plain(k)
        n, learn = (sum(p.numel() for p in m.parameters() if p.requires_grad or every) for every in (True, False))
        a.print(f"{k}: {n / 1e6:.2f} M parameters, {learn / 1e6:.2f} M of them trained")
    micros = loop.batch // (loop.micro_batch * a.num_processes)
    a.print(f"{loop.steps} steps of {loop.batch} samples = {a.num_processes} processes x {micros} micro steps x "
            f"{loop.micro_batch}, on {a.device}")  # fmt: skip
    first = next(batches(state))
    a.print("a batch: " + ", ".join(f"{k} {list(v.shape)} {str(v.dtype)[6:]}" for k, v in first.items()))
    a.print(f"would resume from {checkpoint}" if checkpoint.exists() else "would start at step 0")


def _log(run: Path, writer: Any, step: int, scalars: dict[str, float]) -> None:
    for k, v in scalars.items():
        writer.add_scalar(k, v, step)
    writer.flush()
    with (run / "log.jsonl").open("a") as f:
        f.write(json.dumps({"step": step, **scalars}) + "\n")
    print(f"step {step}  " + "  ".join(f"{k} {v:.4g}" for k, v in scalars.items()), flush=True)


def _show(state: State, run: Path, writer: Any) -> None:
    """Validate, log and write pictures, without changing the run's random state."""
    with torch.random.fork_rng(devices=[state.device] if state.device.type == "cuda" else []), torch.no_grad():
        scalars, pictures = state.stage.show(state.averaged, state)
    _log(run, writer, state.step, {f"valid/{k}": v for k, v in scalars.items()})
    for name, picture in pictures.items():
        with replacing(run / "pictures" / f"{name}_{state.step:07d}.png") as temp:
            write_array(temp, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


class _Stop:
    """True after SIGTERM or SIGINT: the loop finishes its step and writes a checkpoint. A second signal kills."""

    def __init__(self) -> None:
        self.asked, self.old = False, {}
        for s in (signal.SIGTERM, signal.SIGINT):
            self.old[s] = signal.signal(s, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self.asked = True
        self.restore()

    def restore(self) -> None:
        for s, handler in self.old.items():
            signal.signal(s, handler)

    def __call__(self, a: Accelerator, late: bool = False) -> bool:
        """True in all processes if one of them received a signal or is late."""
        if a.num_processes == 1:
            return self.asked or late
        asked = torch.tensor([self.asked or late], device=a.device).float()
        return bool(a.reduce(asked, reduction="sum") > 0)  # type: ignore[operator]
