"""Train the human parser on labelled photos and generated people.

    dinar synthesize -o people --people 300 --views 3
    dinar train parser --data CCP_FOLDER people --weights 3 1 --run runs/parser

A folder is a parsing set (``data.parsing``), a multi-view set with class maps (``dinar synthesize``), or a copy of
Clothing Co-Parsing; keypoints and class maps of the latter are computed once and kept in the run folder. The first
folder is used for validation.

Photos in parser_validation.txt are never used for training: 150 of the 861 labelled ones. They include all labelled
photos of the end-to-end benchmark (benchmarks/photos.txt).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..data.parsing import Samples, augment, crop, has, tensors
from ..errors import DinarError
from ..labels import CLASSES, IGNORE, LABEL, palette
from ..nets.parser import Parser
from ..nets.pyramid import pyramid_optimizer
from ..photo.parser_input import person_affine
from . import presets
from .state import State

# Cross-entropy weights: (2 % / the class' share of the pixels of 144 photos)^.4, at most 3. The background has at least
# .7; with .5, masks were 2 % too large (docs/measurements.md).
WEIGHTS = (0.7, 0.95, 1.45, 1.2, 3.0, 3.0, 0.8, 0.7, 0.75, 0.85, 1.85, 1.3, 2.1, 1.15)
NOT_PERSON = (LABEL["background"], LABEL["bag"])
MIN_PIXELS = 20  # a class with fewer true pixels in a batch has no Dice term
OWNERS = 24  # samples that are looked at for a thing to paste
SHOWN = 12  # validation photos in the picture
OPACITY = 0.6  # of class colours over a photo


def validation_names() -> frozenset[str]:
    """Names of the photos that are kept for validation."""
    return frozenset((Path(__file__).parent / "parser_validation.txt").read_text().split())


def losses(logits: Tensor, labels: Tensor, c: presets.ParserOptions) -> dict[str, Tensor]:
    """Class-balanced cross-entropy, soft IoU of the person, Dice of the classes.

    ``logits`` [B, classes, h, w], ``labels`` [B, h, w] int64 with IGNORE where unknown.
    """
    logits = logits.float()
    cross = F.cross_entropy(logits, labels, logits.new_tensor(WEIGHTS), ignore_index=IGNORE)
    known = (labels != IGNORE)[:, None].float()
    p = logits.softmax(1) * known
    truth = F.one_hot(labels.clamp(max=len(CLASSES) - 1), len(CLASSES)).permute(0, 3, 1, 2) * known
    both, total = (p * truth).sum((0, 2, 3)), (p + truth).sum((0, 2, 3))
    seen = truth.sum((0, 2, 3)) > MIN_PIXELS
    dice = (1 - (2 * both + 1) / (total + 1))[seen].mean()
    p, truth = ((x.sum(1) - x[:, NOT_PERSON[0]] - x[:, NOT_PERSON[1]]).flatten(1) for x in (p, truth))
    both = (p * truth).sum(1)
    iou = 1 - ((both + 1) / ((p + truth).sum(1) - both + 1)).mean()
    return {"loss": cross + c.iou * iou + c.dice * dice, "cross_entropy": cross, "iou_loss": iou, "dice_loss": dice}


class ParserStage:
    """A :class:`dinar.train.state.Stage`."""

    averaged: Sequence[str] = ("parser",)

    def __init__(
        self,
        c: presets.ParserOptions,
        sources: Sequence[Samples],
        weights: Sequence[float],  # relative sampling rate of each source
        validation: Samples,
        start: Path | bytes | None = None,  # a parser's folder, or EfficientNet-Lite0's weights; None: random weights
    ) -> None:
        self.c, self.sources, self.validation = c, sources, validation
        self.share = np.cumsum(weights) / np.sum(weights)
        torch.manual_seed(c.loop.seed)
        size = (c.sizes[-1][1], c.sizes[-1][2])
        if isinstance(start, Path):
            net = Parser.from_pretrained(start)
            net.config["size"] = list(size)
        else:
            net = Parser(tuple(c.widths), size)
        if isinstance(start, bytes):
            net.load_imagenet(start)
        if start is not None:
            net.freeze(c.frozen)
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs
        self.modules: dict[str, nn.Module] = {"parser": net}
        optimizer = pyramid_optimizer(net, c.lr, c.encoder_lr, c.weight_decay)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"parser": optimizer}

    def size(self, step: int) -> tuple[int, int]:
        """Rows and columns of the crop at a step."""
        ends = np.cumsum([share for share, _, _ in self.c.sizes])
        k = min(int((step >= ends * self.c.loop.steps - 1e-6).sum()), len(ends) - 1)
        return self.c.sizes[k][1], self.c.sizes[k][2]

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        first = self.sources[min(int((rng.random() >= self.share).sum()), len(self.sources) - 1)]
        other = self.sources[0]
        chosen = first[int(rng.integers(len(first)))]
        beside = int(rng.integers(len(other)))
        owners = rng.integers(len(other), size=OWNERS).tolist()
        owner = lambda kind: next((s for k in owners if has(s := other[k], kind)), other[owners[0]])  # noqa: E731
        size = self.size(i // self.c.loop.batch)
        return tensors(augment(chosen, lambda: other[beside], size, rng, owner), rng)

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        rgb = batch["rgb"].to(memory_format=torch.channels_last)
        out = losses(self.modules["parser"](rgb, batch["heat"]), batch["labels"], self.c)
        state.update("parser", out["loss"])
        return out

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """IoU of person and classes over the validation photos, without augmentation; a picture of SHOWN of them."""
        size, net = self.size(state.step), averaged["parser"]
        counts, person, tiles = np.zeros((3, len(CLASSES))), [], []
        for i in range(len(self.validation)):
            s = self.validation[i]
            s = crop(s, person_affine(s.keypoints, size), size)
            batch = {k: torch.from_numpy(v)[None].to(state.device) for k, v in tensors(s).items()}
            logits = net(batch["rgb"].contiguous(memory_format=torch.channels_last), batch["heat"])
            guess, truth = logits.argmax(1)[0].cpu().numpy(), batch["labels"][0].cpu().numpy()
            known = truth != IGNORE
            for k in range(len(CLASSES)):
                a, b = (guess == k) & known, truth == k
                counts[:, k] += (a & b).sum(), (a | b).sum(), b.sum()
            a, b = (~np.isin(x, NOT_PERSON) & known for x in (guess, truth))
            person.append((a & b).sum() / max(1, (a | b).sum()))
            if i % max(1, len(self.validation) // SHOWN) == 0 and len(tiles) < SHOWN:
                tiles.append(np.hstack([s.rgb, painted(guess, s.rgb), painted(truth, s.rgb)]))
        classes = counts[0] / counts[1].clip(1)
        rows = [np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles) - len(tiles) % 4, 4)] or tiles[:1]
        scalars = {"person_iou": float(np.mean(person)), "person_iou_min": float(np.min(person)),
                   "miou": float(classes[counts[2] > 0].mean())}  # fmt: skip
        return scalars | {f"iou_{n}": float(v) for n, v in zip(CLASSES, classes, strict=True)}, \
            {"validation": np.vstack(rows)}  # fmt: skip

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        net = averaged["parser"]
        assert isinstance(net, Parser)
        net.save_pretrained(folder)


def painted(labels: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """[H, W, 3] uint8: the picture with class colours over it; labels [h, w] are enlarged to the picture's size."""
    big = cv2.resize(palette()[labels.astype(np.uint8)], rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return (rgb * (1 - OPACITY) + big * OPACITY).astype(np.uint8)


def train(
    data: Sequence[Path],
    run: Path,
    c: presets.ParserOptions,
    weights: Sequence[float] = (),
    init: Path | None = None,
    cpu: bool = False,
    dry_run: bool = False,
) -> bool:
    """The ``dinar train parser`` command.

    Args:
        data: labelled folders; the first is used for validation.
        weights: relative sampling rate of each folder; none: equal rates.
        init: weights folder of a parser to start from instead of ImageNet's weights.
    """
    from ..assets import asset
    from ..data.ccp import is_ccp, prepare_ccp
    from ..data.folder import Folder
    from ..data.parsing import ParsingSet
    from ..data.samples import ViewSamples
    from .loop import train as loop

    weights = list(weights) or [1.0] * len(data)
    if not data or len(weights) != len(data):
        raise DinarError(f"expected one or more --data folders and as many --weights, got {len(data)} and "
                         f"{len(weights)}")  # fmt: skip
    folders = []
    for folder in data:
        if is_ccp(folder):
            made = run / f"data_{folder.name}"
            if not (made / "keypoints.npz").exists():
                print(f"finding keypoints in {folder}, once, into {made} ...", flush=True)
                prepare_ccp(folder, made)
            folder = made
        folders.append(folder)
    held_out = validation_names()
    sets = [ViewSamples(Folder(f)) if (f / "dataset.json").exists() else ParsingSet(f, held_out) for f in folders]
    validation = ParsingSet(folders[0], only=held_out)
    stage = ParserStage(c, sets, weights, validation, init or asset("efficientnet-lite0.pth"))
    config = {"stage": "parser", "data": [str(f) for f in data], "weights": weights, "init": str(init or "")}
    config |= dataclasses.asdict(c)
    return loop(stage, c.loop, run, config, cpu=cpu, dry_run=dry_run)
