"""Photos without labels as a training set of the human parser, labelled by the shipped one (self-training); or a set
with the errors of its hand labels corrected (as in Li et al. 2020).

    python scripts/label_photos.py PHOTOS -o DIR --without LABELLED [--jobs 2]
    python scripts/label_photos.py PHOTOS -o DIR --correct RUN/data_ccp [--jobs 2]
    dinar train parser --data CCP_FOLDER DIR --weights 1 1 --init src/dinar/weights/parser --run runs/parser

Classes are the mean of all --teachers, of the crop at all --scales and its mirror image. The person is the mean with
the pose network's mask, as in `create`, so that the network learns that too. Where the most likely class has less than
SURE, the set says nothing. Photos of the benchmark, those kept for validation and those in LABELLED (a folder of
NAME.png) are left out. A run that was stopped goes on.

With --correct, a parsing set's training photos are labelled again: the hand's label has HAND of the say, the teachers
the rest, so that they overrule it where they are sure. Hats, glasses, accessories and bags, which they often miss, stay
as they are.
"""

from __future__ import annotations

import argparse
from functools import partial
from itertools import count, product
from pathlib import Path

import cv2
import numpy as np

from dinar.errors import DinarError
from dinar.files import replacing
from dinar.labels import CLASSES, IGNORE, LABEL
from dinar.photo.image import read_photo
from dinar.photo.parsing import WEIGHTS, class_probabilities, load_parser, person_share
from dinar.photo.person import find_person
from dinar.pictures import read_array, write_array
from dinar.pool import Failure, run_pool
from dinar.train.parser import validation_names

ROOT = Path(__file__).resolve().parents[1]
SURE = 0.65  # least share of a class that becomes a label
HAND = 0.4  # of the mean of a hand's label and the teachers: they overrule it where they are surer by .4 / .6
KEPT = [LABEL[c] for c in ("hat", "glasses", "accessory", "bag")]  # of hand labels


def mean_of(rgb: np.ndarray, points: np.ndarray, teachers: list[Path], scales: list[float]) -> np.ndarray:
    """[H, W, classes] float32: what the teachers say on average, with background where nobody is."""
    mean = np.zeros((*rgb.shape[:2], len(CLASSES)), np.float32)
    for folder, scale in product(teachers, scales):
        box, p = class_probabilities(rgb, points, load_parser(folder), scale=scale)
        mean[..., LABEL["background"]] += 1
        mean[box] += p - np.eye(len(CLASSES), dtype=np.float32)[LABEL["background"]]
    return mean / (len(teachers) * len(scales))


def corrected(known: np.ndarray, p: np.ndarray) -> np.ndarray:  # [H, W] uint8, [H, W, classes]
    """[H, W] uint8: hand labels, overruled where the teachers are sure."""
    hand = np.eye(256, len(CLASSES), dtype=np.float32)[known]  # no class for IGNORE
    labels = (HAND * hand + (1 - HAND) * p).argmax(-1).astype(np.uint8)
    return np.where(np.isin(known, [*KEPT, IGNORE]), known, labels)


def label(out: Path, teachers: list[Path], scales: list[float], correct: Path | None, photo: Path) -> str | None:
    """Write one photo's picture, labels and keypoints. Returns why not, if so."""
    if (out / "keypoints" / f"{photo.stem}.npy").exists():
        return None
    try:
        rgb = read_photo(photo).rgb
        found = find_person(rgb)
    except DinarError as e:
        return str(e)
    points = found.pose.keypoints
    p = mean_of(rgb, points, teachers, scales)
    bag, person = p[..., LABEL["bag"]].copy(), person_share(p, found.mask_soft)
    p *= (person / np.maximum(person_share(p), 1e-6))[..., None]
    p[..., LABEL["bag"]], p[..., LABEL["background"]] = bag, np.maximum(1 - person - bag, 0)
    if correct is None:
        labels = np.where(p.max(-1) < SURE * p.sum(-1), IGNORE, p.argmax(-1)).astype(np.uint8)
    else:
        labels = corrected(np.asarray(read_array(correct / "labels" / f"{photo.stem}.png")), p)
    write_array(out / "rgb" / f"{photo.stem}.jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    write_array(out / "labels" / f"{photo.stem}.png", labels)
    with replacing(out / "keypoints" / f"{photo.stem}.npy") as temp, temp.open("wb") as file:
        np.save(file, points)
    return None


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path)
    p.add_argument("-o", "--out", type=Path, required=True)
    p.add_argument("--without", type=Path, help="folder of labels of photos that are left out")
    p.add_argument("--correct", type=Path, help="a parsing set whose training photos are labelled again")
    p.add_argument("--teachers", type=Path, nargs="+", default=[WEIGHTS], help="folders of parsers' weights")
    p.add_argument("--scales", type=float, nargs="+", default=[1.0], help="of the crop, to the one of the training")
    p.add_argument("--jobs", type=int, default=2)
    a = p.parse_args()
    known = {*validation_names(), *(ROOT / "benchmarks" / "photos.txt").read_text().split()}
    known |= {x.stem for x in a.without.glob("*.png")} if a.without else set()
    photos = [x for x in sorted(a.photos.glob("*.jpg")) if x.stem not in known]
    if a.correct:
        photos = [x for x in photos if (a.correct / "labels" / f"{x.stem}.png").exists()]
    for name in ("rgb", "labels", "keypoints"):
        (a.out / name).mkdir(parents=True, exist_ok=True)
    said = count(1)

    def done(photo: Path, why: str | Failure | None) -> None:
        n = next(said)
        if why is not None:
            print(f"{photo.name}: {why.reason if isinstance(why, Failure) else why}", flush=True)
        if n % 100 == 0:
            print(f"{n} of {len(photos)}", flush=True)

    run_pool(partial(label, a.out, a.teachers, a.scales, a.correct), photos, jobs=a.jobs, done=done)
    made = sorted((a.out / "keypoints").glob("*.npy"))
    points = [np.load(x, allow_pickle=False) for x in made]
    np.savez(a.out / "keypoints.npz", names=np.array([x.stem for x in made]), keypoints=np.stack(points))
    maps = [np.asarray(read_array(a.out / "labels" / f"{x.stem}.png"))[::4, ::4].ravel() for x in made]
    share = np.bincount(np.concatenate(maps), minlength=256) / sum(map(len, maps))
    print(f"{len(made)} photos; unsure {share[IGNORE]:.3f} of the pixels; "
          + ", ".join(f"{n} {share[i]:.4f}" for i, n in enumerate(CLASSES)))  # fmt: skip


if __name__ == "__main__":
    main()
