"""How fast dinar is on this machine, and on its GPU: the tables of docs/speed.md.

    make gpu                                             # on a GPU; without one, small numbers on the CPU
    python benchmarks/speed.py [PHOTO...] --out out/speed [--device cuda] [--small] [--only draw fit]

Each row is a median, with its unit, on the CPU and on the device; rows that fail say why. Rates of the training and of
the generator come from the commands themselves.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import platform
import pstats
import subprocess
import sys
import tempfile
import time
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
    times = 5 if a.small else 100
    avatar = create(a.photos[0], renderer="mesh", device="cpu")
    neural = create(a.photos[0], renderer="neural", unseen="restoration", device="cpu")
    v, faces = avatar.vertices(), avatar.body.faces
    camera = orbit(v, 20, height=512, width=512)
    for where in devices:
        device = use(where)
        xy, depth = (x[None].to(device) for x in camera.project(v))
        f = torch.as_tensor(faces.astype(np.int64)).to(device) if device.type == "cuda" else faces
        yield "rasteriser alone, 512²", where, 1000 * median(lambda: rasterize(xy, depth, f, 512, 512), times), "ms"  # noqa: B023
        yield "posed body, 13,718 vertices", where, 1000 * median(lambda: posed(avatar, device), times), "ms"  # noqa: B023
        for what, x in (("mesh", avatar), ("neural", neural)):
            some = max(times // (10 if what == "neural" and where == "cpu" else 1), 3)
            yield f"frame of the {what}, 512²", where, 1 / median(lambda: x.render(size=512, azimuth=20), some), "/s"  # noqa: B023


def posed(avatar: Avatar, device: torch.device) -> torch.Tensor:
    body = avatar.body if device.type == "cpu" else MOVED.setdefault(device, avatar.body.to(device))
    return body(*(x[None].to(device) for x in (avatar.betas, avatar.pose, avatar.transl))).vertices


MOVED: dict[torch.device, Any] = {}


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
    for where in devices:
        for count in (1, 4) if a.small else (1, 16, 64) if where == "cpu" else (1, 16, 64, 256):
            views = [subjects[i % len(subjects)].view for i in range(count)]
            seconds = median(lambda: fit_body(body, views, shared_shape=False, device=where), 1)  # noqa: B023
            yield f"fit of {count} at once", where, 1000 * seconds / count, "ms a photo"
        if where != "cpu":
            one, two = (fit_body(body, views, shared_shape=False, device=where) for _ in range(2))
            same = all(torch.equal(p.pose, q.pose) for p, q in zip(one, two, strict=True))
            ours = fit_body(body, views[:4], shared_shape=False)
            apart = max(float((p.transl - q.transl).abs().max()) for p, q in zip(ours, one, strict=False))
            yield "two fits have the same bits", where, float(same), ""
            yield "place of four fits against the CPU's", where, 1000 * apart, "mm at most"


def creating(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    for where in devices:
        for renderer in ("mesh",) if a.small else ("mesh", "neural"):
            seconds: dict[str, list[float]] = {}
            for photo in [a.photos[0], *a.photos[: 1 if a.small else None]]:
                start = time.perf_counter()
                avatar = create(photo, renderer=renderer, device=where)
                for k, v in {"whole": time.perf_counter() - start, **avatar.work.seconds}.items():
                    seconds.setdefault(k, []).append(v)
            for k, v in seconds.items():
                yield f"create, {renderer}: {k}", where, float(np.median(v[1:])), "s"
    profile = cProfile.Profile()
    profile.runcall(create, a.photos[0], device=devices[-1])
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(25)
    (a.out / "profile.txt").write_text(text.getvalue())


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


def training(a: argparse.Namespace, devices: list[str]) -> Iterator[Row]:
    people, views, size, steps = (2, 2, 128, 2) if a.small else (12, 6, 512, 40)
    with tempfile.TemporaryDirectory() as temp:
        for where in devices:
            start = time.perf_counter()
            dinar("synthesize", "-o", f"{temp}/{where}", "--people", people, "--views", views, "--size", size,
                  "--device", where)  # fmt: skip
            yield "generator with its start", where, people * views / (time.perf_counter() - start), "views/s"
            preset = "nano" if a.small or where == "cpu" else "base"
            dinar("train", "avatar", "--preset", preset, "--data", f"{temp}/{where}", "--run", f"{temp}/run-{where}",
                  "--steps", steps, "--holdout", 1, "--loop.log-every", 1, "--device", where)  # fmt: skip
            log = [json.loads(line) for line in Path(f"{temp}/run-{where}/log.jsonl").read_text().splitlines()]
            rates = [r["images_per_s"] for r in log if "images_per_s" in r]
            yield f"stage 1, preset {preset}", where, float(np.median(rates[len(rates) // 2 :])), "samples/s"


def dinar(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "dinar.cli", *map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-400:])


SECTIONS = {"draw": drawing, "networks": networks, "fit": fitting, "create": creating, "batch": many,
            "train": training}  # fmt: skip


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="*", default=[PHOTO])
    p.add_argument("--out", type=Path, default=Path("out/speed"))
    p.add_argument("--device", default="auto")
    p.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    p.add_argument("--small", action="store_true", help="a few calls of each, to see that everything runs")
    p.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    a = p.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    device = use(a.device)
    a.small = a.small or (a.device == "auto" and device.type == "cpu")
    devices = list(dict.fromkeys(["cpu", str(current())]))
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    about = {"gpu": gpu, "cpus": os.cpu_count(), "cpu": platform.processor() or platform.machine(),
             "threads": torch.get_num_threads(), "torch": torch.__version__, "load": os.getloadavg()}  # fmt: skip
    print(about)
    rows: list[Row] = []
    failed = False
    for name in a.only:
        start = time.perf_counter()
        try:
            for row in SECTIONS[name](a, devices):
                rows.append(row)
                print(f"| {row[0]} | {row[1]} | {row[2]:.3g} | {row[3]} |", flush=True)
        except Exception as e:
            failed = True
            print(f"| {name} failed | | | {type(e).__name__}: {str(e)[:600]} |", flush=True)
        print(f"  ({name}: {time.perf_counter() - start:.0f} s)", flush=True)
    if device.type == "cuda":
        print(f"GPU memory: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB at most")
    (a.out / "speed.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1))
    sys.exit(failed)


if __name__ == "__main__":
    main()
