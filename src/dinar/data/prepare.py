"""``dinar fit``: fit the body to many photos, in parallel and resumable, and write a photo set with a report.

Photos are worked on in chunks. A finished chunk is a file in ``parts/``; a killed run goes on after the last of them
and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..body import Body, load_body
from ..body.shells import to_header
from ..cluster import run_items
from ..errors import DinarError, explain
from ..files import remove_stale, replaced_input, replacing
from ..fit.fingers import fit_fingers
from ..fit.fit_file import Fit
from ..fit.offsets import Silhouette
from ..fit.shells import fit_clothes
from ..fit.smplify import fit_body
from ..photo.image import photos_of
from ..pictures import write_array
from ..pool import Failure
from ..scene import rasterize_mesh
from ..subject import Subject, read_subject
from ..version import __version__
from .photos import VERSION, PhotoFits, merge_fits, read_fits

_EXTRAS = {"masks": ".png", "offsets": ".npy", "labels": ".png", "each": ".npz"}  # folders of the set
_PART = re.compile(r"[0-9a-f]{16}(\.\d+)?\.npz")  # rows of some photos, until the run ends
CHUNK = 16  # photos

Chunk = tuple[Sequence[Path], Path]
"""Photos, and the file for their rows."""


def prepare(
    sources: Sequence[Path],  # photos, folders, .txt lists
    out: Path,  # the set's folder
    *,
    jobs: int = 1,
    threads: int = 1,  # of each job
    cluster: str | None = None,  # address of a Ray cluster: its processes do the work
    masks: bool = False,  # also keep the masks, what is worn, and the body widened to the clothes
    each: bool = False,  # also write one fit file a photo, for `dinar create --fit`
    body: tuple[str, Path | None] = ("anny", None),
    progress: Callable[[int, int], None] = lambda done, total: None,
    tell: Callable[[str], None] = lambda _: None,  # told which files of folders are left out
) -> dict:
    """Fit all photos that the set lacks; returns the report, also written as json and text."""
    photos = sorted(map(Path, photos_of(sources, tell)), key=lambda p: p.name)
    if cluster is not None:  # whose processes have other working directories
        photos, out = [p.absolute() for p in photos], out.absolute()
    if absent := [p for p in photos if not p.is_file()]:
        raise DinarError(f"no photo at {absent[0]}: expected image files, folders of them or .txt lists")
    outputs = [out / "fits.npz", out / "report.json", out / "report.txt"]
    outputs += [out / kind / f"{p.stem}{suffix}" for kind, suffix in _EXTRAS.items() for p in photos]
    if lost := replaced_input(outputs, [*photos, *sources]):
        raise DinarError(f"cannot write {lost}: it is an input. Give another folder")
    kept = [out / name for name in (("masks", "offsets", "labels") if masks else ()) + (("each",) if each else ())]
    for folder in (out, out / "parts", *kept):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise DinarError(f"cannot write into {out}: {e.strerror}") from e
        remove_stale(folder)
    old, left_out = _finished(out, body[0], masks, each, {p.name for p in photos})
    known = {*left_out, *(old.name.tolist() if old is not None else ())}
    todo = [p for p in photos if p.name not in known]
    chunks = [todo[k : k + CHUNK] for k in range(0, len(todo), CHUNK)]
    parts = [out / "parts" / f"{_digest(c, body[0], masks, each)}.npz" for c in chunks]
    missing = [(c, p) for c, p in zip(chunks, parts, strict=True) if not p.exists()]
    count = len(photos) - sum(len(c) for c, _ in missing)
    progress(count, len(photos))
    work = partial(fit_chunk, masks=out / "masks" if masks else None, each=out / "each" if each else None, body=body)
    # Photos of a chunk that failed as a whole are fitted one by one, so that a single one of them is left out.
    alone: list[Chunk] = []
    failed: dict[str, str] = {}  # not by what is in the photo (a full disk, no memory): the next run tries again

    def finish(chunk: Chunk, outcome: Failure | None) -> None:
        nonlocal count
        if not isinstance(outcome, Failure):
            count += len(chunk[0])
        elif len(chunk[0]) == 1:
            count += 1
            failed[chunk[0][0].name] = outcome.reason
        else:
            alone.extend(([p], chunk[1].with_suffix(f".{k}.npz")) for k, p in enumerate(chunk[0]))
        progress(count, len(photos))

    for part in (missing, alone):
        run_items(work, part, jobs=jobs, threads=threads, cluster=cluster, done=finish)
    made = [part for p in (*parts, *(p for _, p in alone)) if (part := _read_part(p))]
    for _, missed in made:
        left_out |= missed
    # Read again: another run may have written into the set meanwhile, and removed parts that both had made.
    old, before = _finished(out, body[0], masks, each, {p.name for p in photos})
    fitted = {name for table, _ in made for name in table.name.tolist()}
    tables = [table for table, _ in made]
    if old is not None:
        tables.append(old.take([i for i, name in enumerate(old.name.tolist()) if name not in fitted]))
        fitted |= set(old.name.tolist())
    left_out = {name: why for name, why in (before | left_out).items() if name not in fitted}
    failed = {name: why for name, why in failed.items() if name not in fitted}
    if not tables:
        why = next(iter((left_out | failed).values()))
        raise DinarError(f"none of {len(photos)} photos could be read; {why}")
    fits = merge_fits(tables)
    fits.save(out / "fits.npz", dinar=__version__, left_out=json.dumps(left_out, sort_keys=True))
    report = make_report(fits, left_out | failed)
    with replacing(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, sort_keys=True))
    with replacing(out / "report.txt") as temporary:
        lines = (line.replace("\n", "\\n") + "\n" for line in describe(report))
        temporary.write_text("".join(lines), "utf-8", "surrogateescape")  # names of files may be any bytes
    for p in (out / "parts").glob("*.npz"):
        if _PART.fullmatch(p.name) and _is_within(p, {*fits.name.tolist(), *left_out}):
            p.unlink(missing_ok=True)
    with suppress(OSError):  # something else is in it
        (out / "parts").rmdir()
    return report


def _read_part(path: Path) -> tuple[PhotoFits, dict[str, str]] | None:
    """Rows of a part, and the photos that it leaves out; None where another run has taken it into the set."""
    try:
        return read_fits(path)
    except DinarError:
        if path.exists():
            raise
        return None


def _is_within(part: Path, names: set[str]) -> bool:
    """Whether the set knows all photos of a part, or the part is damaged; else another run still needs it."""
    try:
        table, left_out = read_fits(part)
    except DinarError:
        return True
    return {*table.name.tolist(), *left_out} <= names


def _finished(
    out: Path, body: str, masks: bool, each: bool, given: set[str]
) -> tuple[PhotoFits | None, dict[str, str]]:
    """Rows that the set has already. Photos that are given again and lack the wanted extras are fitted again; a set of
    another body is refused."""
    if not (out / "fits.npz").exists():
        return None, {}
    old, left_out = read_fits(out)
    if old.body != body:
        raise DinarError(f"{out} holds fits of the {old.body} body, not of {body}: give another folder")
    extras = ((out / "masks", ".png"), (out / "offsets", ".npy")) if masks else ()
    extras = (*extras, *(((out / "each", ".npz"),) if each else ()))

    def whole(name: str) -> bool:
        return all((folder / f"{Path(name).stem}{suffix}").exists() for folder, suffix in extras)

    kept = [i for i, n in enumerate(old.name.tolist()) if n not in given or whole(n)]
    return old.take(kept), left_out


def _digest(photos: Sequence[Path], *settings: object) -> str:
    """Names a chunk by what decides its result."""
    facts = [VERSION, __version__, [[p.name, p.stat().st_size] for p in photos], *map(str, settings)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def fit_chunk(
    chunk: Chunk,
    masks: Path | None = None,
    each: Path | None = None,
    body: tuple[str, Path | None] = ("anny", None),
) -> None:
    """Read and fit some photos and write their rows; the reasons of the others go into the header."""
    photos, part = chunk
    model = load_body(*body)
    left_out: dict[str, str] = {}
    rows = []
    for p in photos:
        try:
            s = read_subject(p, whole=True)
        except Exception as e:
            left_out[p.name] = explain(e).replace(str(p), p.name)
            continue
        f = fit_fingers(model, fit_body(model, [s.view])[0], s.hands)
        if not all(t.isfinite().all() for t in (f.betas, f.pose, f.transl)):
            left_out[p.name] = "the fit diverged"
            continue
        rows.append(_row(model, p, s, f.level(model)))
        if masks:
            with replacing(masks / f"{p.stem}.png") as temporary:
                write_array(temporary, (s.alpha * 255 + 0.5).astype(np.uint8))
            silhouette = Silhouette(s.alpha > 0.5, f.pose, f.transl, f.camera, s.view.front, s.labels)
            worn, D = fit_clothes(model, f.betas, [silhouette])
            with replacing(masks.parent / "offsets" / f"{p.stem}.json") as temporary:
                temporary.write_text(json.dumps(to_header(worn.shells)))
            with replacing(masks.parent / "offsets" / f"{p.stem}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, D.astype(np.float16))
            if s.labels is not None:
                with replacing(masks.parent / "labels" / f"{p.stem}.png") as temporary:
                    write_array(temporary, s.labels.astype(np.uint8))
        if each:
            f.save(each / f"{p.stem}.npz")
    part.parent.mkdir(exist_ok=True)  # another run may have removed it
    rows = rows or [_empty(model)]
    table = PhotoFits(**{k: np.stack([r[k] for r in rows]) for k in rows[0]}, body=body[0])
    table.take([i for i, n in enumerate(table.name) if n]).save(part, left_out=json.dumps(left_out, sort_keys=True))


def _row(body: Body, path: Path, s: Subject, f: Fit) -> dict[str, Any]:
    vertices = body(f.betas[None], f.pose[None], f.transl[None]).vertices[0]
    mesh = rasterize_mesh(vertices, body.faces, f.camera).mask[0].numpy()
    mask = s.alpha > 0.5
    both = np.argwhere(mask | mesh)
    inter = float((mask & mesh).sum())
    covered = np.zeros_like(mask) if s.view.front is None else s.view.front & ~mask  # hidden by a bag
    return {
        "name": np.array(path.name),
        "size": np.array(mask.shape, np.int32),
        "betas": f.betas.numpy(),
        "pose": f.pose.numpy(),
        "transl": f.transl.numpy(),
        "focal": np.float32(f.camera.K[0, 0]),
        "keypoints": s.view.keypoints.astype(np.float32),
        "world": np.zeros((33, 3), np.float32) if s.view.world is None else s.view.world.astype(np.float32),
        "box": np.array([*both.min(0)[::-1], *(both.max(0)[::-1] + 1)], np.float32),
        "keypoint_error": np.float32(f.keypoint_error),
        "iou": np.float32(inter / max((mask | mesh).sum(), 1)),
        "inside": np.float32(inter / max((mesh & ~covered).sum(), 1)),
        "person": np.array([s.index, s.count], np.int32),
    }


def _empty(body: Body) -> dict[str, Any]:
    """A row without a name, which gives a chunk without fits its shapes."""
    z = lambda *s: np.zeros(s, np.float32)  # noqa: E731
    return {"name": np.array(""), "size": np.zeros(2, np.int32), "betas": z(body.num_betas),
            "pose": z(body.num_joints, 3), "transl": z(3), "focal": z(), "keypoints": z(33, 4), "world": z(33, 3),
            "box": z(4), "keypoint_error": z(), "iou": z(), "inside": z(), "person": np.zeros(2, np.int32)}  # fmt: skip


def make_report(fits: PhotoFits, refused: dict[str, str]) -> dict:
    """The report of a set: photos left out (refused or doubtful) with reasons, and quantiles of the scores."""
    doubts = {str(n): why for n, why in zip(fits.name, fits.doubts(), strict=True) if why}
    left_out = dict(sorted({**refused, **doubts}.items()))

    def spread(x: np.ndarray) -> dict[str, float]:
        at = dict(zip(("min", "p05", "median", "p95", "max"), np.quantile(x, [0, 0.05, 0.5, 0.95, 1]), strict=True))
        return {k: round(float(v), 4) for k, v in {"mean": x.mean(), **at}.items()}

    scores = {k: spread(getattr(fits, k)) for k in ("keypoint_error", "iou", "inside")} if len(fits) else {}
    several = int((fits.person[:, 1] > 1).sum())
    return {"photos": len(fits) + len(refused), "fitted": len(fits), "doubtful": len(doubts),
            "several_people": several, "left_out": left_out, **scores}  # fmt: skip


def describe(report: dict) -> list[str]:
    """The report as lines of text."""
    lines = [f"{report['fitted']} of {report['photos']} photos fitted, {report['doubtful']} of them doubtful; "
             f"{report['several_people']} show several people"]  # fmt: skip
    for k in ("keypoint_error", "iou", "inside"):
        if k in report:
            lines.append(f"{k:16s}" + "  ".join(f"{n} {v:.3f}" for n, v in report[k].items()))
    kinds = Counter(_kind(name, why) for name, why in report["left_out"].items())
    lines += [f"left out: {n:4d}  {why}" for why, n in kinds.most_common()]
    lines += [f"  {name}: {why.removeprefix(f'{name}: ')}" for name, why in report["left_out"].items()]
    return lines


def _kind(name: str, why: str) -> str:
    """A reason without the photo's name, numbers and advice, to count equal ones."""
    text = why.replace(f"{name}: ", "").replace(name, "the photo").split(":")[0]
    return "".join("#" if c.isdigit() or c == "." else c for c in text).replace("##", "#").replace("##", "#")
