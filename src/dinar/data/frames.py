"""Import videos and frame folders of one person each (SnapshotPeople, iPER, renders of scans) into a multi-view folder.

Some frames of every person are fitted with one shape for all of them (:func:`dinar.fit.smplify.fit_body`), cropped and
written by :mod:`.folder`, so that it is done once; a killed import goes on at the next person. Laid out as

- a video file, or a folder with one (people_snapshot: ``camera.pkl`` beside it gives the focal length), or
- a folder of pictures, or one called rgb, images or frames in the person's folder,

anywhere under the given folder. Masks of the same names in a folder mask, masks, segm or alpha beside the pictures (or
beside their folder), and the pictures' own alpha, are used; else the mask is made from the picture.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np

from ..arrays import Array, check_arrays, is_texts, read_json
from ..body import Body, load_body
from ..bounds import check_numbers
from ..errors import DinarError, explain
from ..files import replacing, staging
from ..fit.fingers import fit_fingers
from ..fit.smplify import fit_body
from ..pickles import read_pickle
from ..pictures import SUFFIXES
from ..pool import Failure, run_pool
from ..subject import Subject, read_subject
from ..views import Views, concatenate
from .dressing import dressed
from .folder import people_in, start_set, write_views
from .photos import body_keypoints, crop_view
from .video import count_frames, video_frames

VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".3gp")
MASKS = ("mask", "masks", "segm", "alpha")
PICTURES = ("rgb", "images", "frames", "image", "img")
MIN_FRAMES = 2  # one to look at, another to compare with
_CAMERA = {"camera_f": Array(np.float64, None, 1, 1e6), "width": Array(np.float64, (), 1, 1e6)}  # pixels
MAX_ERROR = 3.0  # per cent of the height: frames whose fit misses by more are left out


@dataclass(frozen=True)
class Clip:
    """The files of one person's frames."""

    name: str
    source: Path  # a video, or a folder of pictures
    masks: Path | None  # folder
    camera: Path | None  # people_snapshot's camera.pkl


def find_clips(root: Path) -> list[Clip]:
    """All clips in a folder (or one video), sorted by path; a person's name is made of the path."""
    if not root.exists():
        raise DinarError(f"no video or folder of frames at {root}")
    if not root.is_dir() and not _is_video(root):
        got = "a special file" if not root.is_file() else root.suffix or "a file"
        raise DinarError(f"{root}: expected a video ({', '.join(VIDEOS)}) or a folder, got {got}")
    found = [root] if root.is_file() else [root, *sorted(root.rglob("*"))]
    clips = []
    for p in found:
        if any(part.startswith(".") or part.lower() in MASKS for part in p.relative_to(root).parts):
            continue
        home = p.parent
        if p.is_dir():
            home = p.parent if p.name.lower() in PICTURES and p != root else p
            if len(_pictures(p)) < MIN_FRAMES:
                continue
        elif not _is_video(p):
            continue
        label = home if p.is_dir() else p.with_suffix("")
        if p.is_file() and label.name == home.name and home != root.parent:
            label = home  # female-1/female-1.mp4
        path = root.absolute().stem if root.is_file() or label in (root, root.parent) else label.relative_to(root)
        name = re.sub(r"[^\w-]+", "-", str(path)).strip("-") or "person"
        masks = next((d for where in (p, home) for m in MASKS if (d := where / m).is_dir()), None)
        camera = home / "camera.pkl"
        clips.append(Clip(name, p, masks, camera if camera.is_file() else None))
    if not clips:
        raise DinarError(f"{root}: found no video and no folder of at least {MIN_FRAMES} pictures")
    names = [c.name for c in clips]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise DinarError(f"{root}: two people would be called {twice}; rename a folder")
    return clips


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEOS and path.is_file()


def _pictures(folder: Path) -> list[Path]:
    """Sorted; without hidden files, such as macOS' ``._1.jpg``."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")


def import_people(
    root: Path,
    out: Path,  # a multi-view folder, for data.folder.Folder
    *,
    frames: int = 16,  # of each person, evenly spread
    size: int = 512,  # pixels a side of the person-centred crops
    jobs: int = 1,
    threads: int = 1,  # of each job
    body: tuple[str, Path | None] = ("anny", None),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict:
    """Fit and write all people that ``out`` lacks. Writes and returns a report with those left out and why."""
    check_numbers(frames=frames, size=size)
    if frames < MIN_FRAMES:
        raise DinarError(f"expected at least {MIN_FRAMES} frames of each person, got {frames}")
    clips = find_clips(root)
    start_set(out, body[0], (size, size), made_from="frames", frames=frames)
    done = set(people_in(out))
    todo = [c for c in clips if c.name not in done]
    notes: dict[str, dict] = {}
    note = out / "report.json"
    if note.exists():
        notes = _notes(note)
        todo = [c for c in todo if c.name not in notes]
    count = len(clips) - len(todo)
    progress(count, len(clips))

    def finish(clip: Clip, result: dict | Failure) -> None:
        nonlocal count
        notes[clip.name] = {"left_out": result.reason, "skipped": {}} if isinstance(result, Failure) else result
        count += 1
        with replacing(note) as temporary:
            temporary.write_text(json.dumps({"people": notes}, indent=1, sort_keys=True))
        progress(count, len(clips))

    run_pool(partial(import_one, out=out, frames=frames, size=size, body=body), todo, jobs=jobs,
             threads=threads, done=finish)  # fmt: skip
    left_out = {n: r["left_out"] for n, r in sorted(notes.items()) if "left_out" in r}
    report = {"people": dict(sorted(notes.items())), "fitted": len(notes) - len(left_out), "left_out": left_out}
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(report, indent=1, sort_keys=True))
    return report


def _notes(path: Path) -> dict[str, dict]:
    """What an earlier run noted of people: their views, or why they were left out, and the frames that were."""
    content = read_json(path, what="the report of dinar fit --frames")
    people = content.get("people") if isinstance(content, dict) else None

    def known(entry: Any) -> bool:
        return isinstance(entry, dict) and is_texts(entry.get("skipped")) and (
            isinstance(entry.get("left_out", ""), str) and type(entry.get("views", 0)) is int
        )  # fmt: skip

    if not isinstance(people, dict) or not all(map(known, people.values())):
        raise DinarError(f"{path}: expected the report of dinar fit --frames, got something else; delete it and run "
                         "the same command again")  # fmt: skip
    return people


def import_one(clip: Clip, out: Path, frames: int, size: int, body: tuple[str, Path | None]) -> dict:
    """Fit one person and write the views into the set. Returns the person's entry of the report."""
    skipped: dict[str, str] = {}
    subjects: list[tuple[str, Subject]] = []
    try:
        with staging() as scratch:
            for name, picture in read_frames(clip.source, frames, scratch):
                mask = next((m for s in (".png", ".jpg") if clip.masks and (m := clip.masks / f"{name}{s}").exists()),
                            None)  # fmt: skip
                try:
                    subjects.append((name, read_subject(picture, mask=mask, whole=True)))
                except Exception as e:
                    skipped[name] = explain(e).replace(str(picture), name)
        if len(subjects) < MIN_FRAMES:
            why = f"; {next(iter(skipped.values()))}" if skipped else ""
            raise DinarError(f"{clip.source}: a person in {len(subjects)} of {len(skipped) + len(subjects)} frames"
                             f"{why}")  # fmt: skip
        focal = _focal(clip.camera, subjects[0][1].view.width)
        views = fit_frames(clip.name, subjects, load_body(*body), size, focal, skipped)
    except DinarError as e:
        return {"left_out": str(e), "skipped": skipped}
    write_views(out, views)
    return {"views": len(views), "skipped": skipped}


def fit_frames(
    name: str,
    subjects: Sequence[tuple[str, Subject]],
    body: Body,
    size: int,
    focal: float | None = None,  # pixels of the frames
    skipped: dict[str, str] | None = None,  # receives frames that are left out and the reasons
) -> Views:
    """Views of ``size`` pixels with one shape and a pose for each frame."""
    fits = fit_body(body, [s.view for _, s in subjects], shared_shape=True, focal=focal)
    parts = []
    for (frame, s), f in zip(subjects, fits, strict=True):
        if not f.keypoint_error < MAX_ERROR:
            if skipped is not None:
                skipped[frame] = f"the body misses the keypoints by {f.keypoint_error:.1f} % of the height"
            continue
        f = fit_fingers(body, f, s.hands)
        xy = f.camera.project(body(f.betas[None], f.pose[None], f.transl[None]).vertices[0])[0].numpy()
        on = np.argwhere(s.alpha > 0.5)[:, ::-1]
        box = np.r_[np.minimum(xy.min(0), on.min(0)), np.maximum(xy.max(0), on.max(0) + 1)]
        points = body_keypoints(body, s.view.keypoints)
        v = crop_view(s.rgb, s.alpha, None, f, box, size, points, body.name, name)
        v.view_names = (re.sub(r"[^\w-]+", "-", frame),)
        parts.append(v)
    if len(parts) < MIN_FRAMES:
        raise DinarError(f"{name}: the body fits {len(parts)} of {len(subjects)} frames, expected {MIN_FRAMES}")
    return dressed(concatenate(parts), body)


def read_frames(source: Path, count: int, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Up to ``count`` evenly spread frames of a video (written into ``scratch``) or a folder: name and picture file."""
    if source.is_dir():
        files = _pictures(source)
        for k in _spread(len(files), count):
            yield files[k].stem, files[k]
        return
    for k, frame in video_frames(source, _spread(count_frames(source), count)):
        path = scratch / f"{k:05d}.png"
        iio.imwrite(path, frame, compress_level=1)
        yield path.stem, path


def _spread(total: int, count: int) -> list[int]:
    """Evenly spread numbers under ``total``; of a turn that ends where it began, the end is not taken twice."""
    return sorted({k * total // count for k in range(count)}) if total > 0 else []


def _focal(camera: Path | None, width: int) -> float | None:
    """In pixels of frames that were read with ``width`` pixels."""
    if camera is None:
        return None
    d = read_pickle(camera)
    if not isinstance(d, dict) or "camera_f" not in d:
        raise DinarError(f"{camera}: expected camera_f, the focal length, as people_snapshot has it")
    got = check_arrays(str(camera), {"width": width, **d}, _CAMERA)
    return float(got["camera_f"].reshape(-1)[0]) * width / float(got["width"])
