"""Damaged files against every reader of dinar: each has to be read, or refused in one line.

    python scripts/fuzz.py --cases 10000                # all readers, a table at the end, exit status 1 if any fails
    python scripts/fuzz.py --only avatar --cases 200 --keep out/fuzz

Case k of a reader depends on (seed, reader, k) alone. Every case runs in a worker process with a time and a memory
limit; a worker that hangs or dies is replaced. What counts as a failure:

    traceback   another exception than DinarError
    message     more than 300 characters, or characters that are not printable
    not finite  an accepted file whose numbers are NaN, infinite, or whose sizes are impossible
    hang        more than --seconds
    memory      more than --memory MiB above the worker's own
    crash       the process died
    outside     a file was written
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing as mp
import resource
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from _fuzz_mutations import mutate_in_place

FAILURES = ("traceback", "message", "not finite", "hang", "memory", "crash", "outside")
LARGEST = 1e9  # of a number that any reader may return


def finite(value: Any) -> bool:
    """Whether a value that a reader returned is possible."""
    if value is None or isinstance(value, (str, bool)):
        return True
    if type(value).__module__ == "torch":
        value = value.detach().double().numpy() if value.is_floating_point() else value.numpy()
    a = np.asarray(value)
    if a.dtype.kind not in "fiu" or not a.size:
        return True
    return bool((np.abs(a.astype(np.float64)) <= LARGEST).all())  # False where NaN


def run_case(reader: Any, source: Path, scratch: Path, rng: np.random.Generator) -> tuple[str, str]:
    """(outcome, detail) of one mutated copy of ``source``; used by the test suite, too."""
    from dinar.errors import DinarError

    copy = scratch / source.name
    (shutil.copytree if source.is_dir() else shutil.copy)(source, copy)
    mutated = mutate_in_place(copy, rng)

    def files() -> list[Path]:
        return sorted(p for p in scratch.parent.rglob("*") if not (reader.writes and p.is_relative_to(copy)))

    before = files()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bad = [v for v in reader.read(copy) if not finite(v)]
        outcome = ("not finite", f"{mutated}: {str(bad[0])[:80]}") if bad else ("read", "")
    except DinarError as e:
        text = str(e)
        good = len(text) <= 300 and text.isprintable() and not any(w in text for w in ("Traceback", "<class"))
        outcome = ("refused", text) if good else ("message", text[:400])
    except Exception as e:
        line = traceback.extract_tb(e.__traceback__)
        ours = [f for f in line if "dinar" in f.filename] or line
        outcome = ("traceback", f"{Path(ours[-1].filename).name}:{ours[-1].lineno} {type(e).__name__}: {str(e)[:120]}")
    if outcome[0] in ("read", "refused") and files() != before:
        outcome = ("outside", mutated)
    return outcome


def _high_water() -> int:
    """Peak resident memory in MiB since the last reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) >> 10
    return 0


def work(pipe: Any, seeds: dict[str, Path], seed: int, memory: int) -> None:
    import torch

    from _fuzz_readers import READERS

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pipe.send("ready")
    while (job := pipe.recv()) is not None:
        name, k = job
        root = Path(tempfile.mkdtemp(prefix="dinar-fuzz-"))
        scratch = root / "case"
        scratch.mkdir()
        Path("/proc/self/clear_refs").write_text("5")
        start = _high_water()
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), k])
        outcome = run_case(READERS[name], seeds[name], scratch, rng)
        used = _high_water() - start
        if used > memory and outcome[0] in ("read", "refused"):
            outcome = ("memory", f"{used} MiB")
        shutil.rmtree(root, ignore_errors=True)
        pipe.send(outcome)


class Worker:
    """A process that runs cases, replaced when it hangs or dies."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.start()

    def start(self) -> None:
        context = mp.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=work, args=(other, *self.arguments), daemon=True)
        self.process.start()
        other.close()
        self.pipe.recv()

    def case(self, name: str, k: int, seconds: float) -> tuple[str, str]:
        try:
            self.pipe.send((name, k))
            if self.pipe.poll(seconds):
                return self.pipe.recv()
            outcome = ("hang", f"more than {seconds:.0f} s")
        except (EOFError, ConnectionError):
            self.process.join(5)
            outcome = ("crash", f"exit status {self.process.exitcode}")
        self.process.kill()
        self.start()
        return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cases", type=int, default=1000, help="of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="names of readers")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--memory", type=int, default=4096, help="MiB")
    parser.add_argument("--keep", type=Path, help="folder for failures.json")
    a = parser.parse_args()
    from _fuzz_readers import READERS

    names = [n for n in READERS if not a.only or n in a.only]
    counts: dict[str, collections.Counter] = {n: collections.Counter() for n in names}
    failures: dict[str, list[str]] = collections.defaultdict(list)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        seeds = {}
        for n in names:
            home = Path(folder) / n.replace(" ", "_")
            home.mkdir()
            seeds[n] = READERS[n].make(home)
            assert all(finite(v) for v in READERS[n].read(seeds[n])), f"the seed of {n} is not read"
        worker = Worker(seeds, a.seed, a.memory)
        for n in names:
            for k in range(-(-a.cases // len(names))):
                kind, detail = worker.case(n, k, a.seconds)
                counts[n][kind] += 1
                if kind in FAILURES:
                    failures[f"{n}: {kind}: {detail}"].append(str(k))
            print(f"{n}: {dict(counts[n])}", file=sys.stderr, flush=True)
        worker.pipe.send(None)
    columns = ("read", "refused", *FAILURES)
    print("| reader | cases | " + " | ".join(columns) + " |\n|" + " --- |" * (len(columns) + 2))
    for n in names:
        print(f"| {n} | {counts[n].total()} | " + " | ".join(str(counts[n][c]) for c in columns) + " |")
    total = sum(counts.values(), collections.Counter())
    print(f"| **all** | {total.total()} | " + " | ".join(str(total[c]) for c in columns) + " |")
    print(f"\nseed {a.seed}, {time.perf_counter() - begun:.0f} s")
    for what, cases in sorted(failures.items(), key=lambda x: -len(x[1])):
        print(f"{len(cases):5d}  {what}  (case {cases[0]})", file=sys.stderr)
    if a.keep:
        a.keep.mkdir(parents=True, exist_ok=True)
        (a.keep / "failures.json").write_text(json.dumps(failures, indent=1))
    return int(any(total[c] for c in FAILURES))


if __name__ == "__main__":
    sys.exit(main())
