"""Train the networks that say whether a photographed person is built like a man, wears heels, and which of their
clothes are patterned (photo/traits.py).

    python scripts/train_traits.py PHOTOS [--only patterns]     # the folder of Clothing Co-Parsing's photos

Labels are in builds.txt, heels.txt and patterns.txt, given by looking; people who were not clear are not in the first
two. A line of patterns.txt names the patterned cloths of a photo, and, with a question mark, those that are not clear;
all others are plain. Photos of the benchmark (benchmarks/photos.txt) are not trained on, but tested. Prints shares of
right answers, by eightfold cross-validation and for the tested photos, and writes src/dinar/weights/parser/builds,
heels and patterns. Minutes of one core, half an hour for the patterns.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinar.labels import CLASSES
from dinar.nets.trait import Trait
from dinar.photo.image import read_photo
from dinar.photo.parsing import load_parser
from dinar.photo.person import find_person
from dinar.photo.traits import BUILDS, HEELS, PATTERNS, Features, build_features, cloth_features, heel_features
from dinar.subject import read_subject

ROOT = Path(__file__).resolve().parents[1]
COPIES = 6  # of a photo, with other crops, sides and colours
MOVED, SCALED, BRIGHTER = 0.05, 0.1, 0.2  # standard deviations: shoulder widths, logarithms of scale and of brightness
FOLDS = 8
# Weight of the squared weights, best by cross-validation: .001, .01 and .1 were tried for builds, .01 to 1 for heels,
# .001 to 1 for patterns.
DECAY = {"builds": 0.1, "heels": 0.03, "patterns": 0.03}
SURE = {"builds": 0.5, "heels": 0.3, "patterns": 0.3}  # 2 p - 1 of a wrong answer that is counted as a sure one
SMALL = 0.006  # of the person's height, squared: cloths of which less is seen are not trained on


def features(path: Path, of: Features, rng: np.random.Generator) -> np.ndarray:
    """[COPIES, features] of a photo: the first as it is."""
    rgb = read_photo(path).rgb
    points = find_person(rgb).pose.keypoints
    out = []
    for k in range(COPIES):
        image, moved = rgb, points.copy()
        if k:
            shoulders = np.linalg.norm(points[11, :2] - points[12, :2])
            middle = points[:, :2].mean(0)
            moved[:, :2] = middle + (points[:, :2] - middle) * np.exp(rng.normal(0, SCALED))
            moved[:, :2] += rng.normal(0, MOVED * shoulders, 2)
            image = np.clip(rgb * np.exp(rng.normal(0, BRIGHTER)), 0, 255).astype(np.uint8)
            if k % 2:
                image, moved[:, 0] = np.ascontiguousarray(image[:, ::-1]), rgb.shape[1] - moved[:, 0]
        with torch.inference_mode():
            out.append(of(image, moved, load_parser()).numpy())
    return np.stack(out)


def fitted(x: Tensor, y: Tensor, decay: float) -> Trait:
    """Logistic regression; both kinds of people weigh the same."""
    net = Trait(x.shape[1])
    net.mean.copy_(x.mean(0))
    net.std.copy_(x.std(0) + 1e-6)
    torch.nn.init.zeros_(net.linear.weight)
    torch.nn.init.zeros_(net.linear.bias)
    weight = torch.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    adam = torch.optim.LBFGS(net.parameters(), max_iter=300)

    def closure() -> Tensor:
        adam.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(x), y, weight) + decay * net.linear.weight.square().sum()
        loss.backward()
        return loss

    adam.step(closure)
    return net


def told(name: str, said: np.ndarray, y: np.ndarray, words: tuple[str, str], sure: float) -> None:
    for word, on in zip(words, (y > 0.5, y < 0.5), strict=True):
        right = said[on] * (1 if word == words[0] else -1)
        print(f"{name}: {on.sum()} {word}: {(right > 0).mean():.1%} right, {(right < -sure).mean():.1%} surely wrong, "
              f"mean {right.mean():.2f}")  # fmt: skip


def labelled(which: str) -> dict[str, list[str]]:
    lines = (ROOT / f"scripts/{which}.txt").read_text().splitlines()
    return {name: words for name, *words in map(str.split, lines)}


def people(photos: Path, folder: Path, of: Features, yes: str, words: tuple[str, str]) -> None:
    """``yes`` is the label of people who have the trait; ``words`` name those who have it and those who have not."""
    rng, labels = np.random.default_rng(0), labelled(folder.name)
    X = np.stack([features(photos / f"{name}.jpg", of, rng) for name in labels])
    train(folder, X, np.array([kind == yes for (kind,) in labels.values()]), list(labels), words, rng)


def cloths(photos: Path, folder: Path, words: tuple[str, str]) -> None:
    """A row for each cloth of a photo."""
    rng, X, y, names = np.random.default_rng(0), [], [], []
    for name, told in labelled(folder.name).items():
        x = read_subject(photos / f"{name}.jpg")
        assert x.labels is not None
        tall = np.ptp(np.flatnonzero((x.alpha > 0.5).any(1)))
        copies = [_recoloured(x.rgb, x.labels, k, rng) for k in range(COPIES)]
        with torch.inference_mode():
            found = [cloth_features(*copy, load_parser()) for copy in copies]
        for _, c in found[0]:
            large = (x.labels == c).sum() > SMALL * tall**2
            if large and f"?{CLASSES[c]}" not in told and all((0, c) in f for f in found):
                X.append(np.stack([f[0, c].numpy() for f in found]))
                y.append(CLASSES[c] in told)
                names.append(name)
    train(folder, np.stack(X), np.array(y), names, words, rng)


def _recoloured(
    rgb: np.ndarray, labels: np.ndarray, copy: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its classes: as they are, then in other lights and smaller, every other one mirrored."""
    if copy == 0:
        return rgb, labels
    k = float(np.exp(-abs(rng.normal(0, SCALED))))
    size = tuple(round(k * n) for n in rgb.shape[1::-1])
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    rgb = np.clip(rgb * np.exp(rng.normal(0, BRIGHTER)), 0, 255).astype(np.uint8)
    labels = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST)
    return (np.ascontiguousarray(rgb[:, ::-1]), np.ascontiguousarray(labels[:, ::-1])) if copy % 2 else (rgb, labels)


def train(
    folder: Path, X: np.ndarray, has: np.ndarray, names: list[str], words: tuple[str, str], rng: np.random.Generator
) -> None:
    """Rows X [n, COPIES, features] of photos by name, of which some have the trait."""
    which, y = folder.name, has.astype(np.float32)
    kept = {line.split()[0] for line in (ROOT / "benchmarks/photos.txt").read_text().splitlines() if line.strip()}
    test = np.array([bool({name, f"{name}.jpg"} & kept) for name in names])
    to = lambda rows: (torch.from_numpy(X[rows].reshape(-1, X.shape[2])),  # noqa: E731
                       torch.from_numpy(y[rows].repeat(COPIES)), DECAY[which])  # fmt: skip
    said = lambda net, rows: net(torch.from_numpy(X[rows, 0])).div(2).tanh().detach().numpy()  # noqa: E731
    rest = list(dict.fromkeys(name for name, out in zip(names, test, strict=True) if not out))
    folds = dict(zip(rest, rng.integers(0, FOLDS, len(rest)), strict=True))  # all cloths of a photo are in one
    fold, found = np.array([folds.get(name, -1) for name in names]), np.zeros(len(y))
    for k in range(FOLDS):
        found[fold == k] = said(fitted(*to(~test & (fold != k))), fold == k)
    told(f"{which}, cross-validation", found[~test], y[~test], words, SURE[which])
    net = fitted(*to(~test))
    told(f"{which}, photos of the benchmark", said(net, test), y[test], words, SURE[which])
    net.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--only", choices=("builds", "heels", "patterns"))
    a = parser.parse_args()
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    if a.only in (None, "builds"):
        people(a.photos, BUILDS, build_features, "m", ("men", "women"))
    if a.only in (None, "heels"):
        people(a.photos, HEELS, heel_features, "h", ("on heels", "flat"))
    if a.only in (None, "patterns"):
        cloths(a.photos, PATTERNS, ("patterned", "plain"))


if __name__ == "__main__":
    main()
