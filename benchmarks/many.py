"""Many photos: how many an hour, and whether killed runs end as undisturbed ones do (docs/speed.md).

    python benchmarks/many.py rates PHOTO... --out out/many                 # `create`, `batch`, on Ray, a node lost
    python benchmarks/many.py kills --photos 1000 --kills 5 --out out/many  # generated photos, processes are killed

rates   Photos an hour with two processes of one thread, start included. Ray has two nodes of one core on this machine;
        without Ray its rows are left out. In the last row the second node is killed when a quarter of the photos is
        done. Every photo must be reported once, no avatar written twice, and the bytes of all ways be equal.
kills   `dinar.batch` on generated photos of 256², with cheap settings (textures of 256², no offsets, shells, previews),
        undisturbed and killed: SIGKILL of the main process or of a worker, at random times. The killed run is started
        again until it ends. Both folders must hold the same bytes. Runs that were stopped go on.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from dinar.batch import batch
from dinar.create import create
from dinar.photo.image import PREVIEW
from dinar.pictures import write_array, write_image
from dinar.pool import Failure, run_pool
from dinar.preview import preview
from dinar.studio import CreateOptions

JOBS = 2
SIZE, VIEWS = 256, 5  # pixels of generated photos, and photos of a person
CHEAP = CreateOptions(size=256, unseen="restoration", offsets=False, shells=False, evidence=False, refuse=False,
                      renderer="mesh")  # fmt: skip
LOST = 0.25  # share of the photos after which a node is killed
POLL, WAIT = 0.2, 20.0  # seconds between looks, and at most from a number of avatars to the kill


def files(folder: Path) -> dict[str, str]:
    """The hash of every avatar."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.avatar"))}


def one(folder: Path, photo: Path) -> None:
    avatar = create(photo)
    write_image(folder / f"{photo.stem}{PREVIEW}", preview(avatar, avatar.work))
    avatar.save(folder / f"{photo.stem}.avatar")


# ---- rates ---------------------------------------------------------------------------------------------------------


def rates(a: argparse.Namespace) -> None:
    photos = [p for given in a.photos for p in (sorted(given.glob("*.jpg")) if given.is_dir() else [given])][: a.most]
    ways: dict[str, Callable[[Path, list[str]], Any]] = {
        "create": lambda out, said: run_pool(partial(one, out), photos, jobs=JOBS, done=report(said)),
        "batch": lambda out, said: batch(photos, out, JOBS, said.append),
        "Ray, two nodes": lambda out, said: on_ray(photos, out, said, lose=False),
        "Ray, two nodes, one lost": lambda out, said: on_ray(photos, out, said, lose=True),
    }
    rows, hashes = [], {}
    for name, do in ways.items():
        if "Ray" in name and not has_ray():
            continue
        out, said = a.out / name.replace(",", "").replace(" ", "-"), list[str]()
        for old in (*out.glob("*.avatar"), *out.glob("*.sqlite*")):
            old.unlink()
        out.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        do(out, said)
        seconds = time.perf_counter() - start
        hashes[name] = files(out)
        told = Counter(line.split()[1].rstrip(":") for line in said if line.split("/")[0].isdigit())
        problems = [] if told == Counter(p.name for p in photos) else ["not every photo is reported once"]
        if hashes[name] != hashes["create"]:
            problems.append("other bytes than by create")
        row = {"way": name, "photos": len(photos), "avatars": len(hashes[name]), "seconds": round(seconds, 1),
               "an hour": round(3600 * len(photos) / seconds), "problems": problems}  # fmt: skip
        rows.append(row)
        print(f"| {name} | {row['an hour']:,} | {len(hashes[name])} of {len(photos)} | "
              f"{'; '.join(problems) or 'every photo once'} |", flush=True)  # fmt: skip
    (a.out / "rates.json").write_text(json.dumps({"load": os.getloadavg(), "rows": rows}, indent=1))
    sys.exit(any(r["problems"] for r in rows))


def report(said: list[str]) -> Callable[[Path, Failure | None], None]:
    return lambda photo, outcome: said.append(f"{len(said) + 1}/ {photo.name}")


def has_ray() -> bool:
    with contextlib.suppress(ImportError):
        import ray  # noqa: F401  # pyright: ignore[reportMissingImports]

        return True
    return False


def on_ray(photos: list[Path], out: Path, said: list[str], lose: bool) -> None:
    """A batch on two nodes, the second of which may be killed in the middle; what was there stays as it is."""
    with two_nodes() as (cluster, second):
        there: dict[Path, int] = {}

        def say(line: str) -> None:
            said.append(line)
            if lose and not there and sum(s.split("/")[0].isdigit() for s in said) >= LOST * len(photos):
                there.update({p: p.stat().st_mtime_ns for p in out.glob("*.avatar")})
                cluster.remove_node(second, allow_graceful=False)

        batch(photos, out, JOBS, say, cluster=cluster.address)
        if rewritten := [p.name for p, t in there.items() if p.stat().st_mtime_ns != t]:
            raise SystemExit(f"written twice: {', '.join(rewritten)}")


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[Any, Any]]:
    os.environ["RAY_raylet_start_wait_time_s"] = "300"  # noqa: SIM112 -- Ray's own name
    import ray  # pyright: ignore[reportMissingImports]
    from ray.cluster_utils import Cluster  # pyright: ignore[reportMissingImports]

    cluster = Cluster(initialize_head=True, head_node_args=node() | {"include_dashboard": False})
    try:
        yield cluster, cluster.add_node(**node())
    finally:
        ray.shutdown()
        cluster.shutdown()


def node() -> dict[str, int]:
    """A node of one CPU. Its ports are given, because it waits for no more than 15 s for those that its agents find."""
    agents = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")
    sockets = [socket.create_server(("", 0)) for _ in agents]
    ports = {name: s.getsockname()[1] for name, s in zip(agents, sockets, strict=True)}
    for s in sockets:
        s.close()
    return {"num_cpus": 1, "object_store_memory": 100 << 20, **ports}


# ---- kills ---------------------------------------------------------------------------------------------------------


def kills(a: argparse.Namespace) -> None:
    photos = a.out / "photos"
    run_pool(partial(generate, photos), range(-(-a.photos // VIEWS)), jobs=JOBS)
    names = [str(p.resolve()) for p in sorted(photos.glob("*.jpg"))[: a.photos]]
    listed = a.out / "photos.txt"
    listed.write_text("\n".join(names))
    calm, killed = a.out / "undisturbed", a.out / "killed"
    start = time.monotonic()
    subprocess.run(argv(listed, calm), check=False)
    took = time.monotonic() - start
    print(f"undisturbed: {len(files(calm))} avatars of {len(names)} photos in {took:.0f} s", flush=True)
    killed.mkdir(exist_ok=True)
    rng, times = random.Random(a.seed), []
    count = lambda: len(list(killed.glob("*.avatar")))  # noqa: E731
    run = subprocess.Popen(argv(listed, killed))
    for mark in sorted(rng.sample(range(max(len(names) * 9 // 10, a.kills)), a.kills)):  # avatars made before each kill
        while run.poll() is None and count() < mark:
            time.sleep(POLL)
        time.sleep(WAIT * rng.random())
        victims = [run.pid, *(p.pid for p in psutil.Process(run.pid).children() if "spawn_main" in str(p.cmdline()))]
        victim = rng.choice(victims) if run.poll() is None else 0
        if victim:
            os.kill(victim, signal.SIGKILL)
            times.append(f"{'the main process' if victim == run.pid else 'a worker'} at {count()}")
        if victim in (0, run.pid):
            run.wait()
            run = subprocess.Popen(argv(listed, killed))
    run.wait()
    expected, found = files(calm), files(killed)
    differ = sorted(n for n in {*expected, *found} if expected.get(n) != found.get(n))
    left = [p.name for p in killed.iterdir() if p.suffix not in (".avatar", ".sqlite")]
    print(f"killed: {'; '.join(times)}; {len(found)} avatars, {len(differ)} differ, {len(left)} files are left over")
    result = {"photos": len(names), "avatars": len(found), "kills": times, "differ": differ, "left over": left,
              "seconds undisturbed": round(took)}  # fmt: skip
    (a.out / "kills.json").write_text(json.dumps(result, indent=1))
    sys.exit(bool(differ or left or not found))


def generate(folder: Path, person: int) -> None:
    """Photos of a generated person, whole or not at all."""
    from dinar.synthetic.source import Synthetic

    folder.mkdir(parents=True, exist_ok=True)
    if (folder / f"{person:05d}-{VIEWS - 1}.jpg").exists():
        return
    views = Synthetic(21, SIZE, VIEWS, person + 1).views(person)
    for k, rgb in enumerate(views.rgb):
        write_array(folder / f"{person:05d}-{k}.jpg", rgb.numpy()[..., ::-1])


def argv(photos: Path, out: Path) -> list[str]:
    return [sys.executable, __file__, "work", str(photos), "--out", str(out)]


def work(a: argparse.Namespace) -> None:
    batch([a.photos], a.out, JOBS, lambda _: None, pictures=False, options=CHEAP)


def main(words: Sequence[str] | None = None) -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(required=True)
    for name, do in (("rates", rates), ("kills", kills), ("work", work)):
        s = sub.add_parser(name)
        s.set_defaults(do=do)
        s.add_argument("--out", type=Path, default=Path("out/many"))
        if name == "rates":
            s.add_argument("photos", type=Path, nargs="+")
            s.add_argument("--most", type=int, help="number of photos")
        elif name == "work":
            s.add_argument("photos", type=Path)
        else:
            s.add_argument("--photos", type=int, default=1000)
            s.add_argument("--kills", type=int, default=5)
            s.add_argument("--seed", type=int, default=0)
    a = p.parse_args(words)
    a.out.mkdir(parents=True, exist_ok=True)
    a.do(a)


if __name__ == "__main__":
    main()
