"""Train the networks that say whether a photographed person is built like a man, and wears heels (photo/traits.py).

    python scripts/train_traits.py PHOTOS       # the folder of Clothing Co-Parsing's photos; minutes of one core

Labels are in builds.txt and heels.txt, given by looking; people who were not clear are not in them. Photos of the
benchmark (benchmarks/photos.txt) are not trained on, but tested. Prints shares of right answers, by eightfold
cross-validation and for the tested photos, and writes src/dinar/weights/parser/builds and heels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinar.nets.trait import Trait
from dinar.photo.image import read_photo
from dinar.photo.parsing import load_parser
from dinar.photo.person import find_person
from dinar.photo.traits import BUILDS, HEELS, Features, build_features, heel_features

ROOT = Path(__file__).resolve().parents[1]
COPIES = 6  # of a photo, with other crops, sides and colours
MOVED, SCALED, BRIGHTER = 0.05, 0.1, 0.2  # standard deviations: shoulder widths, logarithms of scale and of brightness
FOLDS = 8
# Weight of the squared weights, best by cross-validation: .001, .01 and .1 were tried for builds, .01 to 1 for heels.
DECAY = {"builds": 0.1, "heels": 0.03}
SURE = {"builds": 0.5, "heels": 0.3}  # 2 p - 1 of a wrong answer from which it is counted as a sure one


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


def train(photos: Path, folder: Path, of: Features, yes: str, words: tuple[str, str]) -> None:
    """``yes`` is the label of people who have the trait; ``words`` name those who have it and those who have not."""
    rng, which = np.random.default_rng(0), folder.name
    labels = dict(line.split() for line in (ROOT / f"scripts/{which}.txt").read_text().splitlines())
    kept = {line.split()[0] for line in (ROOT / "benchmarks/photos.txt").read_text().splitlines() if line.strip()}
    X = np.stack([features(photos / f"{name}.jpg", of, rng) for name in labels])
    y = np.array([kind == yes for kind in labels.values()], np.float32)
    test = np.array([bool({name, f"{name}.jpg"} & kept) for name in labels])
    to = lambda rows: (torch.from_numpy(X[rows].reshape(-1, X.shape[2])),  # noqa: E731
                       torch.from_numpy(y[rows].repeat(COPIES)), DECAY[which])  # fmt: skip
    said = lambda net, rows: net(torch.from_numpy(X[rows, 0])).div(2).tanh().detach().numpy()  # noqa: E731
    train = np.flatnonzero(~test)
    fold, found = rng.integers(0, FOLDS, len(train)), np.zeros(len(train))
    for k in range(FOLDS):
        found[fold == k] = said(fitted(*to(train[fold != k])), train[fold == k])
    told(f"{which}, cross-validation", found, y[train], words, SURE[which])
    net = fitted(*to(train))
    told(f"{which}, photos of the benchmark", said(net, np.flatnonzero(test)), y[test], words, SURE[which])
    net.save_pretrained(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    a = parser.parse_args()
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    train(a.photos, BUILDS, build_features, "m", ("men", "women"))
    train(a.photos, HEELS, heel_features, "h", ("on heels", "flat"))


if __name__ == "__main__":
    main()
