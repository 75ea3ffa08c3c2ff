"""How fast dinar is on this machine, and on its GPU: the tables of docs/speed.md.

    make gpu                                             # on a GPU; without one, small numbers on the CPU
    python benchmarks/speed.py [PHOTO...] --out out/speed [--device cuda] [--small] [--only create frames]
                               [--seconds create=60 train=50] [--all 230]

Each row is a median or a rate, with its unit, printed and written when it is known; sections that fail, or take longer
than --seconds, say so and lose no row. Profiles of `create`, frames, the generator and stage 1 lie beside the table.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import itertools
import json
import os
import platform
import pstats
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from dinar.avatar import Avatar
from dinar.batch import batch
from dinar.body import load_body
from dinar.body.readers import load_motion
from dinar.cores import physical_cores
from dinar.create import create
from dinar.demo import PHOTO
from dinar.device import current, use
from dinar.fit.smplify import fit_body
from dinar.photo.parsing import class_probabilities, load_parser
from dinar.photo.pose import guess_body, load_pose
from dinar.photo.surface import load_surface, surface_map
from dinar.scene import orbit, rasterize
from dinar.subject import read_subject
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


AVATARS: dict[tuple[str, str], Avatar] = {}


def avatar_of(photo: Path, renderer: Literal["mesh", "neural"], where: str) -> Avatar:
    """One that `create` made in this process."""
    if (renderer, where) not in AVATARS:
        unseen = None if renderer == "mesh" else "restoration"
        AVATARS[renderer, where] = create(photo, renderer=renderer, unseen=unseen, device=where)
    return AVATARS[renderer, where]


def creating(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    for where in devices[::-1]:
        for renderer in ("mesh",) if a.small or a.on == "device" else ("mesh", "neural"):
            seconds: dict[str, list[float]] = {}
            for k in range(2 if a.small else 5):
                start = time.perf_counter()
                avatar = AVATARS[renderer, where] = create(a.photos[0], renderer=renderer, device=where)
                taken = time.perf_counter() - start
                if k == 0:
                    yield f"create, {renderer}, the first of a process", where, taken, "s"
                    continue
                for name, value in {"whole": taken, **avatar.work.seconds}.items():
                    seconds.setdefault(name, []).append(value)
                yield f"create, {renderer}: number {k + 1}", where, taken, "s"
            for name, value in seconds.items():
                yield f"create, {renderer}: {name}", where, float(np.median(value)), "s"
        if where == devices[-1]:
            functions = of_functions(lambda: create(a.photos[0], renderer="mesh", device=where), 50)  # noqa: B023
            (a.out / "create.txt").write_text(functions)


def frames(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    """Frames of 512² of the mesh: of a walk, which a GPU draws together, and one at a time."""
    size, seconds = (64, 0.2) if a.small else (512, 3.0)
    for where in devices[::-1]:
        use(where)
        avatar, walk = avatar_of(a.photos[0], "mesh", devices[-1]), load_motion("walk").resampled(30)

        stream = avatar.animate(walk, size, repeat=1000)
        for _ in range(16):  # camera and kernels are made ready
            next(stream)
        start, count = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            for _ in range(8):  # a GPU draws so many together
                next(stream)
            count += 8
        yield f"frames of a walk, {size}²", where, count / (time.perf_counter() - start), "/s"
        one = lambda: avatar.render(size=size, azimuth=20)  # noqa: B023, E731
        yield f"frame by itself, {size}²", where, 1 / median(one, 3 if a.small else 30), "/s"
        if where == devices[-1]:
            some = lambda: list(itertools.islice(avatar.animate(walk, size, azimuth=20), 32))  # noqa: B023, E731
            profiled(a.out / "frames.txt", some, 25)


def rasters(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    times = 2 if a.small else 20
    for where in devices[::-1]:
        device = use(where)
        avatar = avatar_of(a.photos[0], "mesh", devices[-1])
        v = avatar.vertices().to(device)
        kinds = ("triton", "torch") if device.type == "cuda" else ("numba",) if a.small else ("numba", "torch")
        body = avatar.body.to(device)
        f = body.face_tensor if device.type == "cuda" else body.faces
        for size, count in ((64, 1),) if a.small else ((512, 1), (1024, 1), (1024, 8)):
            xy, depth = orbit(v, 20, height=size, width=size).to(device).project(v)
            xy, depth = xy.expand(count, -1, -1), depth.expand(count, -1)
            found = {}
            for kind in kinds:
                run = lambda k=kind: rasterize(xy, depth, f, size, size, backend=k)  # noqa: B023, E731
                found[kind] = run()
                yield f"rasteriser, {kind}, {count} of {size}²", where, 1000 * median(run, times) / count, "ms each"
            if len(found) > 1:
                p, q = found.values()
                same = [torch.equal(x, y) for x, y in zip(vars(p).values(), vars(q).values(), strict=True)]
                yield f"the same bits: face, barycentrics, depth ({size}²)", where, sum(same), "of 3"
        for count in (1, 8):
            pose, place = (x.to(device).expand(count, *x.shape) for x in (avatar.pose, avatar.transl))
            rest = body.rest(avatar.betas[None].to(device), offsets=avatar.offsets.to(device))
            run = lambda: body.posed(*rest, pose, place)  # noqa: B023, E731
            yield f"posed body, {count} of 13,718 vertices", where, 1000 * median(run, times) / count, "ms each"


def neural(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    for where in devices[::-1]:
        avatar = avatar_of(a.photos[0], "neural", devices[-1])
        use(where)
        one = lambda: avatar.render(size=64 if a.small else 512, azimuth=20)  # noqa: B023, E731
        yield "frame of the neural renderer, 512²", where, 1 / median(one, 2 if a.small else 20), "/s"
        if where != "cpu":
            profiled(a.out / "neural.txt", one)


def profiled(path: Path, do: Callable[[], Any], rows: int = 16) -> None:
    """What takes the time of a call: kernels of the device, and functions here."""
    on_gpu = torch.cuda.is_available()
    kinds = [torch.profiler.ProfilerActivity.CPU, *([torch.profiler.ProfilerActivity.CUDA] if on_gpu else [])]
    with torch.profiler.profile(activities=kinds) as found:
        start = time.perf_counter()
        do()
        if on_gpu:
            torch.cuda.synchronize()
        wall = time.perf_counter() - start
    averages = found.key_averages()
    text = [f"{1000 * wall:.1f} ms under the profiler"]
    if on_gpu:
        busy = sum(e.self_device_time_total for e in averages if e.device_type == torch.autograd.DeviceType.CUDA)
        text.append(f"the GPU is busy for {busy / 1000:.1f} ms")
    for k in [*(["self_device_time_total"] if on_gpu else []), "self_cpu_time_total"]:
        text.append(averages.table(sort_by=k, row_limit=rows, max_name_column_width=60))
    path.write_text("\n".join([*text, of_functions(do, rows)]))


def of_functions(do: Callable[[], Any], rows: int) -> str:
    profile, stream = cProfile.Profile(), io.StringIO()
    profile.runcall(do)
    for order in ("tottime", "cumtime"):
        pstats.Stats(profile, stream=stream).strip_dirs().sort_stats(order).print_stats(rows)
    return stream.getvalue()


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
    views, body = [read_subject(p).view for p in a.photos], load_body()
    fits = iter([*views, *views])
    yield "fit", "cpu", 1000 * median(lambda: fit_body(body, [next(fits, views[0])]), len(views)), "ms a photo"


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
    """Views a second of one process that keeps them."""
    views, size, seconds = (2, 64, 0.5) if a.small else (8, 512, 6.0)
    for where in devices[::-1]:
        source = Synthetic(0, size, views, device="cuda" if where.startswith("cuda") else "cpu", varied=True)
        people = iter(range(1 << 20))
        make = lambda: source.views(next(people)).to("cpu")  # noqa: B023, E731
        for _ in range(1 if a.small else 3):
            make()
        start, made = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            make()
            made += views
        rate = made / (time.perf_counter() - start)
        yield f"generator, {size}², one process", where, rate, "views/s"
        if where == devices[-1]:
            profiled(a.out / "generator.txt", make, 30)


VIEWS = """
import sys
from dinar.synthetic.source import Synthetic
seed, size, views = map(int, sys.argv[1:4])
source = Synthetic(seed, size, views, device=sys.argv[4], varied=True)
for i in range(1 << 30):
    source.views(i).to("cpu")
    print(i, flush=True)
"""


def generating_together(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    """The same of several processes."""
    views, size, seconds = (2, 64, 3.0) if a.small else (8, 512, 12.0)
    for where in devices[::-1]:
        device = "cuda" if where.startswith("cuda") else "cpu"
        with tempfile.TemporaryDirectory() as temp:
            jobs = min(a.jobs, 2) if a.small else a.jobs
            lines, errors = [Path(temp) / f"{k}.txt" for k in range(jobs)], (Path(temp) / "errors").open("w+")
            count = lambda: [p.read_text().count("\n") if p.exists() else 0 for p in lines]  # noqa: B023, E731
            words = (str(size), str(views), device)
            command = lambda k: [sys.executable, "-c", VIEWS, str(k), *words]  # noqa: B023, E731
            running = [subprocess.Popen(command(k), stdout=p.open("w"), stderr=errors,
                                        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})
                       for k, p in enumerate(lines)]  # fmt: skip
            try:
                while min(count()) < 2:
                    time.sleep(0.1)
                    if any(p.poll() is not None for p in running):
                        errors.seek(0)
                        raise RuntimeError(f"a process that generates views ended: {errors.read()[-500:]}")
                start, first = time.perf_counter(), sum(count())
                for part in (1, 2):
                    time.sleep(seconds / 2)
                    rate = views * (sum(count()) - first) / (time.perf_counter() - start)
                    what = f"generator, {size}², {jobs} processes"
                    yield what if part == 2 else f"{what}, at half time", where, rate, "views/s"
            finally:
                for p in running:
                    p.kill()
                for p in running:
                    p.wait()
                errors.close()


def writing(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    """Views a second of `dinar synthesize`, which writes them."""
    views, size, seconds = (2, 128, 4.0) if a.small else (8, 512, 12.0)
    for where in devices[::-1]:
        with tempfile.TemporaryDirectory() as temp:
            words = ("synthesize", "-o", temp, "--people", 100000, "--views", views, "--size", size, "--varied",
                     "--jobs", a.jobs, "--device", where)  # fmt: skip
            rate = finished_a_second(words, Path(temp), seconds)
        yield f"generator, {size}², {a.jobs} processes, written", where, views * rate, "views/s"


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
    """Samples a second of stage 1, by benchmarks/stage1.py."""
    people, views, size = (3, 2, 64) if a.small else (12, 6, 256)
    with tempfile.TemporaryDirectory() as temp:
        data = a.data
        if data is None:
            data = Path(temp) / "people"
            dinar("synthesize", "-o", data, "--people", people, "--views", views, "--size", size, "--jobs", a.jobs,
                  "--plain", "--device", "cpu")  # fmt: skip
        for where in devices[::-1]:
            fast = where != "cpu" and not a.small
            batch = 144 if fast else 4 if a.small else 12
            fine = ("--lpips", "alex", "--adversarial", 0) if fast else ()
            words = ("--size", size, "--texture", size // 2, "--batch", batch, "--micro-batch", batch, "--data", data,
                     "--preset", "base" if fast else "nano", *fine, "--device", where, "--holdout", 1,
                     "--workers", 0 if a.small else max(1, a.jobs - 1), "--run", Path(temp) / where)  # fmt: skip
            script, steps = Path(__file__).with_name("stage1.py"), 2 if a.small else 25
            command = [*map(str, (sys.executable, script, a.out / "stage1.txt", steps, *words))]
            job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert job.stdout and job.stderr
            try:
                for line in job.stdout:
                    if line.startswith("row: "):
                        what, value, unit = line[5:].strip().split(" | ")
                        yield f"stage 1, batch of {batch}: {what}", where, float(value), unit
                if job.wait():
                    raise RuntimeError(job.stderr.read().strip()[-600:])
            finally:
                job.kill()
                job.wait()


def dinar(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "dinar.cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])


SECTIONS = {"create": creating, "frames": frames, "raster": rasters, "generate": generating,
            "together": generating_together, "train": training, "neural": neural, "written": writing, "fit": fitting,
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
    p.add_argument("--seconds", nargs="+", default=[], help="a section's at most: create=60 frames=20")
    p.add_argument("--all", type=int, default=10**6, help="seconds of everything at most")
    p.add_argument("--threads", type=int, default=physical_cores())
    p.add_argument("--data", type=Path, help="people of 256² for the training; none: made first")
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    begun, limits = time.perf_counter(), {k: int(v) for k, v in (x.split("=") for x in a.seconds)}
    device = use(a.device)
    torch.set_num_threads(a.threads)
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
        left = int(a.all - (start - begun))
        if left < 1:
            print(f"| {name}: no time is left | | | |", flush=True)
            continue
        signal.alarm(min(left, limits.get(name, left)))
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
