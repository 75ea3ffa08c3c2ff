"""Train the network that says whether a photographed person is built like a man or like a woman (photo/build.py).

    python scripts/train_build.py PHOTOS       # the folder of Clothing Co-Parsing's photos; minutes of one core

Labels are in builds.txt, given by looking; people who were not clear are not in it. Photos of the benchmark
(benchmarks/photos.txt) are not trained on, but tested. Prints shares of right answers, by eightfold cross-validation
and for the tested photos, and writes src/dinar/weights/parser/builds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dinar.nets.build import BuildNet
from dinar.photo.build import WEIGHTS, build_features
from dinar.photo.image import read_photo
from dinar.photo.parsing import load_parser
from dinar.photo.person import find_person

ROOT = Path(__file__).resolve().parents[1]
COPIES = 6  # of a photo, with other crops, sides and colours
DECAY = 0.1  # weight of the squared weights: best of .001, .01 and .1 by cross-validation
MOVED, SCALED, BRIGHTER = 0.05, 0.1, 0.2  # standard deviations: shoulder widths, logarithms of scale and of brightness
FOLDS = 8


def features(path: Path, rng: np.random.Generator) -> np.ndarray:
    """[COPIES, FEATURES] of a photo: the first as it is."""
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
            out.append(build_features(image, moved, load_parser()).numpy())
    return np.stack(out)


def fitted(x: Tensor, man: Tensor) -> BuildNet:
    """Logistic regression; men and women weigh the same."""
    net = BuildNet()
    net.mean.copy_(x.mean(0))
    net.std.copy_(x.std(0) + 1e-6)
    torch.nn.init.zeros_(net.linear.weight)
    torch.nn.init.zeros_(net.linear.bias)
    weight = torch.where(man > 0, 0.5 / man.mean(), 0.5 / (1 - man.mean()))
    adam = torch.optim.LBFGS(net.parameters(), max_iter=300)

    def closure() -> Tensor:
        adam.zero_grad()
        loss = F.binary_cross_entropy_with_logits(net(x), man, weight) + DECAY * net.linear.weight.square().sum()
        loss.backward()
        return loss

    adam.step(closure)
    return net


def told(name: str, build: np.ndarray, man: np.ndarray) -> None:
    for who, on in (("men", man > 0.5), ("women", man < 0.5)):
        right = build[on] * (1 if who == "men" else -1)
        print(f"{name}: {on.sum()} {who}: {(right > 0).mean():.1%} right, {(right < -0.5).mean():.1%} surely wrong, "
              f"mean {right.mean():.2f}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    a = parser.parse_args()
    torch.manual_seed(0)
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    labels = dict(line.split() for line in (ROOT / "scripts/builds.txt").read_text().splitlines())
    kept = {line.split()[0] for line in (ROOT / "benchmarks/photos.txt").read_text().splitlines() if line.strip()}
    x, man, test = [], [], []
    for name, kind in labels.items():
        x.append(features(a.photos / f"{name}.jpg", rng))
        man.append(kind == "m")
        test.append(bool({name, f"{name}.jpg"} & kept))
    X, y, t = np.stack(x), np.array(man, np.float32), np.array(test)
    to = lambda rows: (torch.from_numpy(X[rows].reshape(-1, X.shape[2])),  # noqa: E731
                       torch.from_numpy(y[rows].repeat(COPIES)))  # fmt: skip
    said = lambda net, rows: net(torch.from_numpy(X[rows, 0])).div(2).tanh().detach().numpy()  # noqa: E731
    train = np.flatnonzero(~t)
    fold, found = rng.integers(0, FOLDS, len(train)), np.zeros(len(train))
    for k in range(FOLDS):
        found[fold == k] = said(fitted(*to(train[fold != k])), train[fold == k])
    told("cross-validation", found, y[train])
    net = fitted(*to(train))
    told("photos of the benchmark", said(net, np.flatnonzero(t)), y[t])
    net.save_pretrained(WEIGHTS)


if __name__ == "__main__":
    main()
