"""How good avatars are: held-out generated people, labelled photos, and benchmark sets where the user has them.

    make quality                                     # = python benchmarks/quality.py --out out/quality
    python benchmarks/quality.py --ccp DIR --snapshot-people DIR --thuman DIR --azure DIR --weights RUN/weights

- Generated people, a seed that no training takes: made from the front view as a user's photo would be (the generator's
  idea of a fit, own mask, background and camera); the same view, ±45°, sides, back, and two new poses.
- Clothing Co-Parsing photos with hand labels (--ccp, default ../shared/data/ccp where it is): the whole pipeline, the
  same view, against the hand-labelled person without bags; validation photos of the parser only.
- SnapshotPeople (and other videos or renders of turning people) by `dinar evaluate sequence`, THuman2.0 and
  AzurePeople as multi-view sets (`dinar fit --frames`) or as folders of renders.

Mesh renderer always; neural renderer beside it with --weights, or where weights are shipped. The defaults
(6 people of 8 views, 12 photos, one process) are chosen to stay within 20 minutes on two cores. A run that was stopped
goes on where it was. Each part leaves results.json, table.md and sheets in its folder; quality.md holds all tables, and
the differences between both renderers with their intervals over people.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import torch

from dinar.data.ccp import ccp_classes, read_ccp_labels
from dinar.data.photos import crop_view, load_fits
from dinar.errors import DinarError
from dinar.evaluate.metrics import METRICS, interval
from dinar.evaluate.people import Plan, run
from dinar.evaluate.protocol import Protocol, metric_names
from dinar.evaluate.systems import choose_systems
from dinar.evaluate.tasks import HELD_OUT, EvaluateOptions, evaluate_sequence, evaluate_views, finish
from dinar.labels import LABEL
from dinar.neural.weights import shipped
from dinar.synthetic.source import Synthetic
from dinar.train.parser import validation_names
from dinar.views import Source, Views, concatenate

# Views of every generated person: which of their poses, and degrees from the front.
LAYOUT = ((0, 0), (0, 45), (0, -45), (0, 90), (0, -90), (0, 180), (1, 20), (2, -100))


@dataclass(eq=False)
class Turned(Synthetic):
    """Generated people seen from the angles of LAYOUT, a few degrees off."""

    seed: int = HELD_OUT
    views_per_person: int = len(LAYOUT)

    def shots(self, i: int, indices: Sequence[int], azimuths: Sequence[float] | None = None):
        r = np.random.default_rng([self.seed, i, 7])
        turn = [math.radians(degrees) + r.normal(0, 0.1) for _, degrees in LAYOUT]
        return super().shots(i, [LAYOUT[k][0] for k in indices], [turn[k] for k in indices])

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        """The first is a photo, to make the avatar from; the others without background and camera, whose exposure and
        white balance change from picture to picture and cannot be known."""
        rest = Synthetic.views(dataclasses.replace(self, background=False), i, range(1, len(LAYOUT)))
        v = concatenate([super().views(i, [0]), rest])
        return v if indices is None else v.select(indices)


@dataclass(eq=False)
class Labelled:
    """Photos of Clothing Co-Parsing with the hand-labelled person as alpha; see :class:`dinar.views.Source`."""

    folder: Path
    names: list[str] = field(default_factory=list)
    size: int = 1024
    body: str = "anny"

    @property
    def num_people(self) -> int:
        return len(self.names)

    def num_views(self, i: int) -> int:
        return 1

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        name = self.names[i]
        fits = load_fits(Path(__file__).with_name("ccp"))
        row = [Path(str(n)).stem for n in fits.name].index(name)
        rgb = cv2.imread(str(self.folder / "photos" / f"{name}.jpg"))[..., ::-1]
        labels = read_ccp_labels(self.folder / "labels" / f"{name}.png")
        classes = ccp_classes(labels, fits.keypoints[row])
        person = ((classes != LABEL["background"]) & (classes != LABEL["bag"])).astype(np.float32)
        # the fit only says where to crop: the body is fitted anew
        return crop_view(np.ascontiguousarray(rgb), person, None, fits.fit(row), fits.box[row], self.size, None, "anny",
                         name)  # fmt: skip


def labelled(folder: Path, count: int) -> Labelled:
    """Validation photos that are labelled and were fitted, evenly spread."""
    fitted = {Path(str(n)).stem for n in load_fits(Path(__file__).with_name("ccp")).name}
    names = [n for n in sorted(validation_names()) if n in fitted and (folder / "labels" / f"{n}.png").is_file()]
    return Labelled(folder, names[:: max(1, len(names) // count)][:count])


def differences(results: dict) -> str:
    """Neural less mesh, picture by picture: the mean over people and its interval."""
    names = [n for n in ("PSNR", "MS-SSIM", "LPIPS-AlexNet", "DISTS", "IoU") if n in results["rows"][0]["values"]]
    values: dict[tuple[str, str, str], dict[str, float]] = {}
    for r in results["rows"]:
        for group in (r["group"], *(["other views"] if r["group"] != "same view" else [])):
            for n in names:
                values.setdefault((group, n, r["person"]), {}).setdefault(f"{r['view']} {r['system']}", r["values"][n])
    lines = ["| neural less mesh | " + " | ".join(names) + " |", "|" + " --- |" * (len(names) + 1)]
    for group in dict.fromkeys(g for g, _, _ in values):
        cells = []
        for n in names:
            people = []
            for (g, m, _), x in values.items():
                if (g, m) == (group, n):
                    views = {k.rsplit(" ", 1)[0] for k in x}
                    people.append(float(np.mean([x[f"{v} neural"] - x[f"{v} mesh"] for v in views])))
            low, high = interval(people)
            sign = 1 if METRICS[n].better == "higher" else -1
            least, most = sorted((sign * low, sign * high))
            sure = " better" if least > 0 else " worse" if most < 0 else ""
            cells.append(f"{np.mean(people):+.4f} [{low:+.4f}, {high:+.4f}]{sure}")
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def part(source: Source, out: Path, jobs: int, systems, protocol: dict, refit: bool) -> dict:
    metrics = tuple(m for m in metric_names() if "LPIPS-VGG16" not in m)  # 6 s a pair, and AlexNet's says the same
    p = Protocol("quality", metrics=metrics, systems=tuple((s.name, s.how) for s in systems),
                 input_mask="made by create", **protocol)  # fmt: skip
    plan = Plan(p, tuple(systems), out, input="0", refit=refit)
    done = run(source, source.num_people or 0, plan, jobs, lambda k, n: print(f"{out.name} {k}/{n}", flush=True))
    return finish(plan, done)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", type=Path, default=Path("out/quality"))
    p.add_argument("--people", type=int, default=6, help="generated; 0: none")
    p.add_argument("--photos", type=int, default=12, help="of Clothing Co-Parsing")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--ccp", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "ccp")
    p.add_argument("--snapshot-people", type=Path)
    p.add_argument("--thuman", type=Path)
    p.add_argument("--azure", type=Path)
    p.add_argument("--assets", help="MakeHuman's asset folder: richer people")
    p.add_argument("--weights", type=Path, help="of the neural renderer; default: the shipped ones")
    p.add_argument("--jobs", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(1)
    renderers = ("mesh",) if a.weights is None and shipped() is None else ("mesh", "neural")
    systems, clock, tables = choose_systems(renderers, a.weights), {}, []
    if len(renderers) == 1:
        print("no weights for the neural renderer: the mesh renderer only")

    def finished(name: str, start: float) -> None:
        clock[name] = round(time.perf_counter() - start)
        tables.append((a.out / name / "table.md").read_text())
        if len(renderers) > 1:
            tables[-1] += "\n" + differences(json.loads((a.out / name / "results.json").read_text())) + "\n"
        print(f"{name}: {clock[name]} s\n\n{tables[-1]}", flush=True)

    if a.people:
        start, source = time.perf_counter(), Turned(size=max(512, a.size), length=a.people, assets=a.assets)
        part(source, a.out / "people", a.jobs, systems, {
            "data": f"{a.people} generated people, seed {HELD_OUT}" + ", with assets" * bool(a.assets),
            "size": a.size, "input": "the front view, as a photo", "truth_mask": "known, without bags",
            "poses": "known; of the input view, what a fit would give",
        }, refit=False)  # fmt: skip
        finished("people", start)
    if a.photos and a.ccp.is_dir():
        start, photos = time.perf_counter(), labelled(a.ccp, a.photos)
        part(photos, a.out / "photos", a.jobs, systems, {
            "data": f"Clothing Co-Parsing, {len(photos.names)} of the parser's validation photos", "size": a.size,
            "input": "the photo", "truth_mask": "hand labels without bags", "poses": "fitted to the photo",
        }, refit=True)  # fmt: skip
        finished("photos", start)
    elif a.photos:
        print(f"no photos at {a.ccp}: left out")
    for name, folder in (("SnapshotPeople", a.snapshot_people), ("THuman2.0", a.thuman), ("AzurePeople", a.azure)):
        if folder is None:
            continue
        start = time.perf_counter()
        evaluate = evaluate_views if (folder / "dataset.json").is_file() else evaluate_sequence
        options = EvaluateOptions(size=a.size, renderer=renderers, weights=a.weights, jobs=a.jobs)
        evaluate(folder, a.out / name, options, progress=lambda k, n, name=name: print(f"{name} {k}/{n}", flush=True))
        finished(name, start)
    if not tables:
        raise DinarError("nothing to evaluate: --people and --photos are 0, or the photos are not there")
    a.out.mkdir(parents=True, exist_ok=True)
    (a.out / "quality.md").write_text("\n\n".join(tables))
    (a.out / "seconds.json").write_text(json.dumps(clock, indent=1))
    print(f"{sum(clock.values())} s in all; tables in {a.out / 'quality.md'}, sheets in its folders")


if __name__ == "__main__":
    main()
