"""Measure the pictures of another system (PIFu, PHORHUM, ARCH, S3F, LHM, IDOL, ...) against true ones.

PRED and GT are folders with pictures of equal names and subfolders. A subfolder is a group of views (front, back, ...).
The part of a file name before its first dot is the person. Masks are the pictures' alpha channels, or folders with
masks of the same names. `pictures/truth` of another evaluation can be GT, to measure a system on the same crops.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DinarError
from ..files import replaced_input, replacing
from ..photo.image import read_image
from ..photo.mask import load_mask
from ..pictures import SUFFIXES
from .people import measure, picture_path, read_record, write_picture
from .protocol import Protocol, box_of, cut

ALL = "all"  # the group of pictures without a subfolder
MAX_SIDE = 8192  # pixels a side of a picture


def pairs(pred: Path, truth: Path) -> list[tuple[str, Path, Path]]:
    """Names relative to the folders, without suffix, and their two files.

    Raises:
        DinarError: a true picture has no counterpart, or a folder has no pictures or two of one name.
    """
    found = []
    for folder in (pred, truth):
        if not folder.is_dir():
            raise DinarError(f"expected a folder of pictures, found none at {folder}")
        files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
        named = {str(p.relative_to(folder).with_suffix("")): p for p in files}
        if not named:
            raise DinarError(f"{folder}: expected pictures ({', '.join(SUFFIXES)}), found none")
        if len(named) < len(files):
            raise DinarError(f"{folder}: two pictures differ only in their suffix; expected one of each name")
        found.append(named)
    ours, theirs = found
    if missing := sorted(set(theirs) - set(ours)):
        raise DinarError(f"{pred}: expected a picture for each of the {len(theirs)} in {truth}, {len(missing)} are "
                         f"missing; the first is {missing[0]}")  # fmt: skip
    return [(name, ours[name], theirs[name]) for name in sorted(theirs)]


def score(
    pred: Path,
    truth: Path,
    out: Path,
    protocol: Protocol,
    *,
    name: str,  # of the system
    pred_masks: Path | None = None,
    truth_masks: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """Crop and measure all pairs. Returns a record for each person, like :func:`dinar.evaluate.people.run`."""
    people: dict[str, list[tuple[str, Path, Path]]] = {}
    for key, a, b in pairs(pred, truth):
        people.setdefault(Path(key).name.partition(".")[0], []).append((key, a, b))
    given = [p for todo in people.values() for _, *files in todo for p in files]
    if lost := replaced_input((out / "pictures").rglob("*.png"), given):
        raise DinarError(f"cannot write into {out}: {lost} is an input. Give another folder")
    protocol.begin(out)
    (out / "people").mkdir(exist_ok=True)
    records = []
    for k, (person, todo) in enumerate(people.items()):
        progress(k, len(people))
        file = out / "people" / f"{k:06d}.json"
        if not file.is_file():
            rows = []
            for key, a, b in todo:
                picture, true = read_pair(a, b, protocol, _mask(pred_masks, key), _mask(truth_masks, key))
                folder, _, stem = key.rpartition("/")
                row = {"system": name, "person": person, "view": stem.partition(".")[2], "group": folder or ALL,
                       "angle": None, "values": measure(picture, true, protocol)}  # fmt: skip
                for system, image in ((name, picture), ("truth", true)):
                    write_picture(picture_path(out, system, row), image)
                rows.append(row)
            with replacing(file) as temporary:
                temporary.write_text(json.dumps({"person": person, "rows": rows, "skipped": {}, "made": {}}, indent=1))
        records.append(read_record(file))
    progress(len(people), len(people))
    return records


def read_pair(
    pred: Path, truth: Path, protocol: Protocol, pred_mask: Path | None = None, truth_mask: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Both pictures [H, W, 4] uint8 with the crop of the true mask; a picture without a mask is opaque."""
    (x, a, _), (y, b, known) = _read(pred, pred_mask), _read(truth, truth_mask)
    if x.shape != y.shape:
        raise DinarError(f"{pred}: expected a picture of the size of {truth}, {y.shape[1]} x {y.shape[0]} px, got "
                         f"{x.shape[1]} x {x.shape[0]} px")  # fmt: skip
    if protocol.crop == "person" and not known:
        raise DinarError(f"{truth} has no mask to crop by: expected an alpha channel or --masks; or add --crop full")
    box, h, w = box_of(b, protocol)
    if protocol.crop == "full" and max(b.shape) == protocol.size:  # already of this size: do not resample
        return tuple(np.dstack([p, np.rint(m * 255).astype(np.uint8)]) for p, m in ((x, a), (y, b)))  # type: ignore
    return cut(x, a, box, h, w), cut(y, b, box, h, w)


def _read(path: Path, mask: Path | None) -> tuple[np.ndarray, np.ndarray, bool]:
    """RGB [H, W, 3] uint8, alpha [H, W] float32 (1 without a mask), and True if there is a mask."""
    image = read_image(path, MAX_SIDE)
    rgb = np.array(image.convert("RGB"))
    if mask is not None:
        return rgb, load_mask(mask, rgb.shape), True
    if image.mode == "RGBA" and (alpha := np.array(image.getchannel("A"))).min() < 255:
        return rgb, alpha.astype(np.float32) / 255, True
    return rgb, np.ones(rgb.shape[:2], np.float32), False


def _mask(folder: Path | None, key: str) -> Path | None:
    if folder is None:
        return None
    found = [p for s in SUFFIXES if (p := folder / f"{key}{s}").is_file()]
    if not found:
        raise DinarError(f"{folder}: expected a mask for each picture, found none for {key}")
    return found[0]
