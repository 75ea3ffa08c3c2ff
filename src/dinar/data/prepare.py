"""``dinar fit``: body fits of many photos as one small file, in parallel, resumable, with a report of what is missing.

Photos are worked on in chunks, whose fits are one batch (six times faster a photo than one by one). A finished chunk
is a file in ``parts/``; a killed run goes on after the last of them and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ..body import Body, load_body
from ..errors import DinarError
from ..files import replacing
from ..fit.fingers import fit_fingers
from ..fit.offsets import Silhouette, fit_offsets
from ..fit.smplify import Fit, fit_body
from ..photo.image import photos_of
from ..scene import rasterize
from ..subject import Subject, read_subject
from ..version import __version__
from .photos import VERSION, PhotoFits, merge_fits, read_fits

CHUNK = 16  # photos; larger batches are hardly faster


def prepare(
    sources: Sequence[Path],  # photos, folders, .txt lists
    out: Path,  # the set's folder
    *,
    jobs: int = 1,
    masks: bool = False,  # also keep the masks, and the body widened to the clothes
    each: bool = False,  # also write one fit file a photo, for `dinar create --fit`
    body: tuple[str, Path | None] = ("anny", None),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Fit all photos that the set lacks; returns the report, also written as json and text."""
    photos = sorted(photos_of(sources), key=lambda p: p.name)
    if absent := [p for p in photos if not p.is_file()]:
        raise DinarError(f"no photo at {absent[0]}: expected image files, folders of them or .txt lists")
    kept = [out / name for name in (("masks", "offsets") if masks else ()) + (("each",) if each else ())]
    for folder in (out, out / "parts", *kept):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise DinarError(f"cannot write into {out}: {e.strerror}") from e
    old, left_out = _finished(out, body[0], masks, each)
    known = {*left_out, *(old.name.tolist() if old else ())}
    todo = [p for p in photos if p.name not in known]
    chunks = [todo[k : k + CHUNK] for k in range(0, len(todo), CHUNK)]
    parts = [out / "parts" / f"{_digest(c, body[0], masks, each)}.npz" for c in chunks]
    missing = [(c, p) for c, p in zip(chunks, parts, strict=True) if not p.exists()]
    done = len(photos) - sum(len(c) for c, _ in missing)
    progress(done, len(photos))
    work = partial(fit_chunk, masks=out / "masks" if masks else None, each=out / "each" if each else None, body=body)
    if jobs <= 1:
        for c, p in missing:
            work(c, p)
            progress(done := done + len(c), len(photos))
    else:
        try:
            with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
                running = {pool.submit(work, c, p): len(c) for c, p in missing}
                for f in as_completed(running):
                    f.result()
                    progress(done := done + running[f], len(photos))
        except BrokenProcessPool as e:
            raise DinarError("a worker process was killed (out of memory?); the same command goes on, with fewer "
                             "--jobs if it happens again") from e  # fmt: skip
    tables = [old] if old else []
    for p in parts:
        table, header = read_fits(p)
        left_out |= json.loads(header["left_out"])
        tables.append(table)
    fits = merge_fits(tables)
    fits.save(out / "fits.npz", dinar=__version__, left_out=json.dumps(left_out, sort_keys=True))
    report = make_report(fits, left_out)
    with replacing(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report, indent=1, sort_keys=True))
    with replacing(out / "report.txt") as temporary:
        temporary.write_text(describe(report))
    shutil.rmtree(out / "parts")
    return report


def _finished(out: Path, body: str, masks: bool, each: bool) -> tuple[PhotoFits | None, dict[str, str]]:
    """What the set has already; a set of another body is refused, one without the wanted extras is made again."""
    if not (out / "fits.npz").exists():
        return None, {}
    old, header = read_fits(out)
    if old.body != body:
        raise DinarError(f"{out} holds fits of the {old.body} body, not of {body}: give another folder")
    stems = [Path(str(n)).stem for n in old.name]
    extras = [out / "masks" / f"{s}.png" for s in stems if masks] + [out / "each" / f"{s}.npz" for s in stems if each]
    extras += [out / "offsets" / f"{s}.npy" for s in stems if masks]
    if not all(p.exists() for p in extras):
        return None, {}
    return old, json.loads(header["left_out"])


def _digest(photos: Sequence[Path], *settings: object) -> str:
    """Names a chunk by what decides its result."""
    facts = [VERSION, __version__, [[p.name, p.stat().st_size] for p in photos], *map(str, settings)]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


def fit_chunk(
    photos: Sequence[Path],
    part: Path,
    masks: Path | None = None,
    each: Path | None = None,
    body: tuple[str, Path | None] = ("anny", None),
) -> None:
    """Read and fit some photos as one batch and write their rows; the reasons of the others go into the header."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = load_body(*body)
    left_out: dict[str, str] = {}
    subjects: list[tuple[Path, Subject]] = []
    for p in photos:
        try:
            subjects.append((p, read_subject(p)))
        except DinarError as e:
            left_out[p.name] = str(e).replace(str(p), p.name)
    rows = []
    found = fit_body(model, [s.view for _, s in subjects], shared_shape=False) if subjects else []
    for (p, s), f in zip(subjects, found, strict=True):
        f = fit_fingers(model, f, s.hands)
        if not all(t.isfinite().all() for t in (f.betas, f.pose, f.transl)):
            left_out[p.name] = "the fit diverged"
            continue
        rows.append(_row(model, p, s, f))
        if masks:
            with replacing(masks / f"{p.stem}.png") as temporary:
                cv2.imwrite(str(temporary), (s.alpha * 255 + 0.5).astype(np.uint8))
            silhouette = Silhouette(s.alpha > 0.5, f.pose, f.transl, f.camera, s.view.front, s.labels)
            D = fit_offsets(model, f.betas, [silhouette])
            with replacing(masks.parent / "offsets" / f"{p.stem}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, D.astype(np.float16))
        if each:
            f.save(each / f"{p.stem}.npz")
    rows = rows or [_empty(model)]
    table = PhotoFits(**{k: np.stack([r[k] for r in rows]) for k in rows[0]}, body=body[0])
    table.take([i for i, n in enumerate(table.name) if n]).save(part, left_out=json.dumps(left_out, sort_keys=True))


def _row(body: Body, path: Path, s: Subject, f: Fit) -> dict[str, Any]:
    vertices = body(f.betas[None], f.pose[None], f.transl[None]).vertices[0]
    xy, z = f.camera.project(vertices)
    mesh = rasterize(xy[None], z[None], body.faces, f.camera.height, f.camera.width).face[0].numpy() >= 0
    mask = s.alpha > 0.5
    both = np.argwhere(mask | mesh)
    inter = float((mask & mesh).sum())
    covered = np.zeros_like(mask) if s.view.front is None else s.view.front & ~mask  # a bag hides the body, no doubt
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
    """A row without a name, so that a chunk without fits has the right shapes."""
    z = lambda *s: np.zeros(s, np.float32)  # noqa: E731
    return {"name": np.array(""), "size": np.zeros(2, np.int32), "betas": z(body.num_betas),
            "pose": z(body.num_joints, 3), "transl": z(3), "focal": z(), "keypoints": z(33, 4), "world": z(33, 3),
            "box": z(4), "keypoint_error": z(), "iou": z(), "inside": z(), "person": np.zeros(2, np.int32)}  # fmt: skip


def make_report(fits: PhotoFits, refused: dict[str, str]) -> dict:
    """What a set gives to learn from, and what not: photos that were refused, and fits that are doubtful."""
    doubts = {str(n): why for n, why in zip(fits.name, fits.doubts(), strict=True) if why}
    left_out = dict(sorted({**refused, **doubts}.items()))

    def spread(x: np.ndarray) -> dict[str, float]:
        at = dict(zip(("min", "p05", "median", "p95", "max"), np.quantile(x, [0, 0.05, 0.5, 0.95, 1]), strict=True))
        return {k: round(float(v), 4) for k, v in {"mean": x.mean(), **at}.items()}

    scores = {k: spread(getattr(fits, k)) for k in ("keypoint_error", "iou", "inside")} if len(fits) else {}
    several = int((fits.person[:, 1] > 1).sum())
    return {"photos": len(fits) + len(refused), "fitted": len(fits), "doubtful": len(doubts),
            "several_people": several, "left_out": left_out, **scores}  # fmt: skip


def describe(report: dict) -> str:
    """The report as text."""
    lines = [f"{report['fitted']} of {report['photos']} photos fitted, {report['doubtful']} of them doubtful; "
             f"{report['several_people']} show several people"]  # fmt: skip
    for k in ("keypoint_error", "iou", "inside"):
        if k in report:
            lines.append(f"{k:16s}" + "  ".join(f"{n} {v:.3f}" for n, v in report[k].items()))
    kinds = Counter(_kind(name, why) for name, why in report["left_out"].items())
    lines += [f"left out: {n:4d}  {why}" for why, n in kinds.most_common()]
    lines += [f"  {name}: {why.removeprefix(f'{name}: ')}" for name, why in report["left_out"].items()]
    return "\n".join(lines) + "\n"


def _kind(name: str, why: str) -> str:
    """A reason without its photo, its numbers and its advice."""
    text = why.replace(f"{name}: ", "").replace(name, "the photo").split(":")[0]
    return "".join("#" if c.isdigit() or c == "." else c for c in text).replace("##", "#").replace("##", "#")
