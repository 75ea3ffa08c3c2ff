"""How fast dinar is on this machine, and on its GPU: the tables of docs/speed.md.

    make gpu                                             # on a GPU; without one, small numbers on the CPU
    python benchmarks/speed.py [PHOTO...] --out out/speed [--device cuda] [--small] [--only draw fit] [--seconds 60]

Each row is a median, with its unit, on the CPU and on the device, printed and written when it is known; sections that
fail, or take longer than --seconds, say so and lose no row. Rates of the training and of the generator come from the
commands themselves. Profiles of `create`, of the generator and of stage 1 lie beside the table.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import platform
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dinar.avatar import Avatar
from dinar.batch import batch
from dinar.body import load_body
from dinar.create import create
from dinar.demo import PHOTO
from dinar.device import current, use
from dinar.fit.smplify import fit_body
from dinar.photo.parsing import class_probabilities, load_parser
from dinar.photo.pose import guess_body, load_pose
from dinar.photo.surface import load_surface, surface_map
from dinar.scene import orbit, rasterize
from dinar.subject import Subject, read_subject
from dinar.synthetic.source import Synthetic

Row = tuple[str, str, float, str]
"""What, where, how much, unit."""


def median(do: Callable[[], Any], times: int) -> float:
    """Seconds, after two calls that are not counted."""
    taken = []
    for k in range(times + 2):
        start = time.perf_counter()
        do()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if k > 1:
            taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def drawing(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    times = 5 if a.small else 60
    avatar = create(a.photos[0], renderer="mesh", device=devices[-1])
    neural = create(a.photos[0], renderer="neural", unseen="restoration", device=devices[-1])
    v, faces = avatar.vertices(), avatar.body.faces
    camera = orbit(v, 20, height=512, width=512)
    for where in devices[::-1]:
        device = use(where)
        if neural.neural is not None:
            neural.neural = neural.neural.to(device)
        xy, depth = (x[None].to(device) for x in camera.project(v))
        f = torch.as_tensor(faces.astype(np.int64)).to(device) if device.type == "cuda" else faces
        yield "rasteriser alone, 512²", where, 1000 * median(lambda: rasterize(xy, depth, f, 512, 512), times), "ms"  # noqa: B023
        yield "posed body, 13,718 vertices", where, 1000 * median(lambda: posed(avatar, device), times), "ms"  # noqa: B023
        for what, x in (("mesh", avatar), ("neural", neural)):
            some = max(times // (10 if what == "neural" and where == "cpu" else 1), 3)
            yield f"frame of the {what}, 512²", where, 1 / median(lambda: x.render(size=512, azimuth=20), some), "/s"  # noqa: B023
            if where != "cpu":
                profiled(a.out / f"frame-{what}.txt", lambda: [x.render(size=512, azimuth=20) for _ in range(10)])  # noqa: B023


def posed(avatar: Avatar, device: torch.device) -> torch.Tensor:
    body = avatar.body if device.type == "cpu" else MOVED.setdefault(device, avatar.body.to(device))
    return body(*(x[None].to(device) for x in (avatar.betas, avatar.pose, avatar.transl))).vertices


MOVED: dict[torch.device, Any] = {}


def profiled(path: Path, do: Callable[[], Any], rows: int = 16) -> None:
    """What takes the time of a call: kernels of the device, and functions here."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    with torch.profiler.profile(activities=kinds) as found:
        do()
    by = ["self_cuda_time_total", "self_cpu_time_total"] if torch.cuda.is_available() else ["self_cpu_time_total"]
    text = [found.key_averages().table(sort_by=k, row_limit=rows, max_name_column_width=60) for k in by]
    profile = cProfile.Profile()
    profile.runcall(do)
    stream = io.StringIO()
    pstats.Stats(profile, stream=stream).sort_stats("tottime").print_stats(rows)
    path.write_text("\n".join([*text, stream.getvalue()]))


def networks(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    times = 3 if a.small else 30
    use("cpu")
    s = read_subject(a.photos[0])
    for where in devices:
        use(where)
        calls: dict[str, Callable[[], Any]] = {
            "parser, with its mirror image": lambda: class_probabilities(s.rgb, s.view.keypoints, load_parser(), 512),
            "surface network": lambda: surface_map(s.rgb, s.alpha, s.view.keypoints, load_surface()),
            "pose network, on the CPU": lambda: guess_body(
                s.view.surface, s.view.keypoints, s.view.world, s.alpha, load_pose()),  # type: ignore[arg-type]
        }  # fmt: skip
        for what, do in calls.items():
            yield what, where, 1000 * median(do, times), "ms"


def fitting(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    use("cpu")
    subjects: list[Subject] = [read_subject(p) for p in a.photos]
    body = load_body()
    for where in devices[::-1]:
        for count in (1, 4) if a.small else (1, 16, 64) if where == "cpu" else (16, 64, 1, 256):
            views = [subjects[i % len(subjects)].view for i in range(count)]
            start = time.perf_counter()
            fits = fit_body(body, views, shared_shape=False, device=where)
            if where != "cpu" or count == 1:  # the first call of a shape on a GPU prepares it
                start = time.perf_counter()
                again = fit_body(body, views, shared_shape=False, device=where)
            seconds = time.perf_counter() - start
            yield f"fit of {count} at once", where, 1000 * seconds / count, "ms a photo"
            if where != "cpu" and count == 16:
                same = all(torch.equal(p.pose, q.pose) for p, q in zip(fits, again, strict=True))
                yield "two fits have the same bits", where, float(same), ""
                ours = fit_body(body, views[:4], shared_shape=False)
                apart = max(float((p.transl - q.transl).abs().max()) for p, q in zip(ours, fits, strict=False))
                yield "place of four fits against the CPU's", where, 1000 * apart, "mm at most"


def creating(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    for where in devices[::-1]:
        for renderer in ("mesh",) if a.small else ("mesh", "neural"):
            seconds: dict[str, list[float]] = {}
            for photo in [a.photos[0], *a.photos[: 1 if a.small else 3]]:
                start = time.perf_counter()
                avatar = create(photo, renderer=renderer, device=where)
                for k, v in {"whole": time.perf_counter() - start, **avatar.work.seconds}.items():
                    seconds.setdefault(k, []).append(v)
            yield f"create, {renderer}, the first of a process", where, seconds["whole"][0], "s"
            for k, v in seconds.items():
                yield f"create, {renderer}: {k}", where, float(np.median(v[1:])), "s"
        if where == devices[-1]:
            profile = cProfile.Profile()
            profile.runcall(create, a.photos[0], device=where)
            text = io.StringIO()
            for order in ("tottime", "cumtime"):
                pstats.Stats(profile, stream=text).sort_stats(order).print_stats(30)
            (a.out / "create.txt").write_text(text.getvalue())


def many(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    photos = list(a.photos)[: 1 if a.small else None]
    for where in devices:
        use(where)
        for jobs in (1,) if a.small else (1, a.jobs):
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                failed = batch(photos, folder, jobs, lambda _: None)
                rate = 3600 * (len(photos) - len(failed)) / (time.perf_counter() - start)
            yield f"batch of {len(photos)}, {jobs} processes", where, rate, "photos an hour"


def generating(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    """Views a second of one process that keeps them, and of as many processes as there are cores, which write them."""
    views, size, seconds = (2, 128, 4.0) if a.small else (8, 512, 12.0)
    for where in devices[::-1]:
        source = Synthetic(0, size, views, device="cuda" if where.startswith("cuda") else "cpu", varied=True)
        source.views(0)
        people = iter(range(1, 1 << 20))
        start, made = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 3:
            source.views(next(people))
            made += views
        yield (
            f"generator, {size}², one process, nothing written",
            where,
            made / (time.perf_counter() - start),
            "views/s",
        )
        if where == devices[-1]:
            profiled(a.out / "generator.txt", lambda: source.views(next(people)))  # noqa: B023
        with tempfile.TemporaryDirectory() as temp:
            words = ("synthesize", "-o", temp, "--people", 100000, "--views", views, "--size", size, "--varied",
                     "--jobs", a.jobs, "--device", where)  # fmt: skip
            rate = finished_a_second(words, Path(temp), seconds)
        yield f"generator, {size}², varied, {a.jobs} processes, written", where, views * rate, "views/s"


def finished_a_second(words: tuple, folder: Path, seconds: float) -> float:
    """People that a command writes in so many seconds after the first ones."""
    command = [sys.executable, "-m", "dinar.cli", *map(str, words)]
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    count = lambda: sum(1 for _ in folder.glob("*/views.npz"))  # noqa: E731
    try:
        while not (first := count()):
            time.sleep(0.1)
            if job.poll() is not None:
                raise RuntimeError(job.communicate()[1].strip()[-400:])
        start = time.perf_counter()
        time.sleep(seconds)
        return (count() - first) / (time.perf_counter() - start)
    finally:
        job.terminate()
        job.wait()


def training(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    people, views, size, steps = (3, 2, 64, 4) if a.small else (12, 6, 256, 60)
    with tempfile.TemporaryDirectory() as temp:
        data = a.data
        if data is None:
            data = Path(temp) / "people"
            dinar("synthesize", "-o", data, "--people", people, "--views", views, "--size", size, "--jobs", a.jobs,
                  "--plain", "--device", "cpu")  # fmt: skip
        for where in devices[::-1]:
            some = 12 if where == "cpu" or a.small else 64
            preset = "nano" if a.small or where == "cpu" else "base"
            workers = 0 if a.small else max(1, a.jobs - 1)
            words = ("train", "avatar", "--preset", preset, "--data", data, "--size", size, "--texture", size // 2,
                     "--batch", some, "--micro-batch", some, "--workers", workers, "--holdout", 1, "--device", where,
                     "--loop.log-every", max(1, steps // 12), "--loop.show-every", 10**6, "--loop.save-every", 10**6,
                     "--steps", steps)  # fmt: skip
            words += ("--lpips", "alex") if preset == "base" else ()
            log = Path(temp) / f"run-{where}" / "log.jsonl"
            try:
                dinar(*words, "--run", log.parent)
            except TimeoutError:  # steps that were logged count
                if not log.is_file():
                    raise
            lines = [json.loads(line) for line in log.read_text().splitlines()]
            rates = [r["images_per_s"] for r in lines if "images_per_s" in r]
            rate = float(np.median(rates[len(rates) // 2 :]))
            yield f"stage 1, preset {preset}, batch of {some}", where, rate, "samples/s"
            if where == devices[-1]:
                shutil.rmtree(log.parent)
                short = ["8" if w is words[-1] else str(w) for w in words]
                profiled_command(a.out / "stage1.txt", [*short, "--run", str(log.parent)])


def profiled_command(path: Path, words: list[str]) -> None:
    """A command in a process of its own, under torch's profiler."""
    code = f"""
import sys, torch
from dinar.commands.main import run
kinds = [torch.profiler.ProfilerActivity.CPU]
kinds += [torch.profiler.ProfilerActivity.CUDA] if torch.cuda.is_available() else []
with torch.profiler.profile(activities=kinds) as found:
    run({words!r})
by = ["self_cuda_time_total", "self_cpu_time_total"] if torch.cuda.is_available() else ["self_cpu_time_total"]
for k in by:
    print(found.key_averages().table(sort_by=k, row_limit=22, max_name_column_width=60))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    path.write_text(done.stdout + done.stderr[-2000:])


def dinar(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "dinar.cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])


SECTIONS = {"create": creating, "draw": drawing, "fit": fitting, "train": training, "generate": generating,
            "networks": networks, "batch": many}  # fmt: skip


def out_of_time(number: int, frame: Any) -> None:
    raise TimeoutError("out of its time")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="*", default=[PHOTO])
    p.add_argument("--out", type=Path, default=Path("out/speed"))
    p.add_argument("--device", default="auto")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    p.add_argument("--small", action="store_true", help="a few calls of each, to see that everything runs")
    p.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    p.add_argument("--on", choices=("both", "device"), default="both", help="device: without the rows of the CPU")
    p.add_argument("--seconds", type=int, default=0, help="of a section at most; 0: as long as it takes")
    p.add_argument("--data", type=Path, help="people of 256² for the training; none: made first")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    device = use(a.device)
    a.small = a.small or (a.device == "auto" and device.type == "cpu")
    devices = list(dict.fromkeys((["cpu"] if a.on == "both" else []) + [str(current())]))
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    about = {"gpu": gpu, "cpus": os.cpu_count(), "cpu": platform.processor() or platform.machine(),
             "threads": torch.get_num_threads(), "torch": torch.__version__, "load": os.getloadavg()}  # fmt: skip
    print(about, flush=True)
    signal.signal(signal.SIGALRM, out_of_time)
    rows: list[Row] = []
    failed = False
    for name in a.only:
        start = time.perf_counter()
        signal.alarm(a.seconds)
        try:
            for row in SECTIONS[name](a, devices):
                rows.append(row)
                print(f"| {row[0]} | {row[1]} | {row[2]:.3g} | {row[3]} |", flush=True)
                (a.out / "speed.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))
        except Exception as e:
            failed = True
            print(f"| {name} failed | | | {type(e).__name__}: {str(e)[:600]} |", flush=True)
            traceback.print_exc(limit=-8)
        signal.alarm(0)
        print(f"  ({name}: {time.perf_counter() - start:.0f} s)", flush=True)
    if device.type == "cuda":
        print(f"GPU memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most")
    sys.exit(failed)


if __name__ == "__main__":
    main()
