"""Stage: the surface network, from generated people with surface coordinates.

    dinar synthesize -o people --people 3000 --views 4 --size 256 --varied --plain --assets DIR --motions DIR
    dinar train surface --data people --backgrounds PICTURES --init PARSER_WEIGHTS --run runs/surface

The last ``holdout`` people of the first set are validated on; with several sets, all of the first set.
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

from ..body.load import load_body
from ..data.scenes import Backgrounds, Draws, constant
from ..data.surface import IGNORE, SurfaceSet, augment, best_sizes, found, read_people, tensors, whole
from ..errors import DinarError
from ..nets.parser import Parser
from ..nets.pyramid import Pyramid, pyramid_optimizer
from ..nets.surface import SURFACE_PARTS, UNIT, SurfaceNet, SurfaceOutput
from ..views import SURFACE_CENTRE, SURFACE_UNIT, Source
from . import presets
from .state import State

# Cross-entropy weights: what is small in pictures counts more.
WEIGHTS = {"none": 0.5, "hand": 2.5, "foot": 1.8, "forearm": 1.6, "upper_arm": 1.3}
NEAR = 0.1  # metres: predictions within count as right
TRIES = 4  # people drawn until one fills the step's crop
SHOWN_AT_ONCE = 8  # pictures of a validation


def class_weights() -> tuple[float, ...]:
    kinds = ["none", *(p.split("_", 1)[-1] for p in SURFACE_PARTS)]
    return tuple(WEIGHTS.get(k, 1.0) for k in kinds)


def chosen(points: Tensor, part: Tensor) -> Tensor:
    """[B, C, h, w] of the part [B, h, w] (index into SURFACE_PARTS) from [B, K, C, h, w]."""
    i = part[:, None, None].expand(-1, 1, points.shape[2], -1, -1)
    return points.gather(1, i)[:, 0]


def losses(out: SurfaceOutput, batch: dict[str, Tensor], c: presets.SurfaceOptions) -> dict[str, Tensor]:
    """Cross-entropy of the parts; Laplace likelihood and distance of the points; the turn of body and camera."""
    part = batch["part"]
    cross = F.cross_entropy(out.logits, part, constant(class_weights(), part.device), ignore_index=IGNORE)
    on = (part > 0) & (part != IGNORE)
    k = torch.where(on, part - 1, 0)
    error = (chosen(out.points, k) - batch["points"]).norm(dim=1)
    scale = chosen(out.scale[:, :, None], k)[:, 0]
    share = on / on.sum().clamp(min=1)
    distance = (error * share).sum()
    likelihood = ((error / (3 * scale) + scale.log()) * share).sum()
    turn = (out.turn - batch["turn"]).norm(dim=2).mean()
    loss = cross + likelihood + c.distance * distance / UNIT + c.turn * turn
    return {"loss": loss, "cross_entropy": cross, "likelihood": likelihood, "distance": distance, "turn": turn}


def measure(out: SurfaceOutput, batch: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Figures of each of B pictures, [B] each: mean error (m), shares of pixels within NEAR and of the right part, IoU
    of the visible person, errors of the camera's pitch and of the body's turn about the vertical (degrees)."""
    part, guess = batch["part"], out.logits.argmax(1)
    on, known = (part > 0) & (part != IGNORE), part != IGNORE
    k = out.logits[:, 1:].argmax(1)
    error = (chosen(out.points, k) - batch["points"]).norm(dim=1)
    n = on.sum((1, 2)).clamp(min=1)
    mean = lambda x: ((x * on).sum((1, 2)) / n).cpu().numpy()  # noqa: E731
    person = (guess > 0) & known
    iou = (person & on).sum((1, 2)) / (person | on).sum((1, 2)).clamp(min=1)
    up, truth = out.turn[:, 0], batch["turn"][:, 0]
    pitch = (up[:, 2].clamp(-1, 1).asin() - truth[:, 2].clamp(-1, 1).asin()).abs().rad2deg()
    ours, theirs = (t[:, 2] - (t[:, 2] * t[:, 0]).sum(1, keepdim=True) * t[:, 0] for t in (out.turn, batch["turn"]))
    about = F.cosine_similarity(ours, theirs).clamp(-1, 1).acos().rad2deg()
    return {"error": mean(error), "near": mean((error < NEAR).float()), "part": mean((k + 1 == part).float()),
            "iou": iou.cpu().numpy(), "pitch": pitch.cpu().numpy(), "azimuth": about.cpu().numpy()}  # fmt: skip


class SurfaceStage:
    """See :class:`dinar.train.state.Stage`."""

    averaged: Sequence[str] = ("surface",)

    def __init__(
        self,
        c: presets.SurfaceOptions,
        people: SurfaceSet,
        validation: SurfaceSet,
        backgrounds: Backgrounds,
        start: Path | bytes | None = None,  # folder of a parser or a surface network, or EfficientNet-Lite0's weights
    ) -> None:
        self.c, self.people, self.validation, self.backgrounds = c, people, validation, backgrounds
        torch.manual_seed(c.loop.seed)
        net = start_net(c, start)
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # twice as fast on CPUs
        self.modules: dict[str, nn.Module] = {"surface": net}
        optimizer = pyramid_optimizer(net, c.lr, c.encoder_lr, c.weight_decay)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"surface": optimizer}

    def sizes(self, step: int) -> tuple[tuple[int, int], ...]:
        """Tall, square and wide crops at a step."""
        ends = np.cumsum([share for share, *_ in self.c.sizes])
        k = min(int((step >= ends * self.c.loop.steps - 1e-6).sum()), len(ends) - 1)
        _, long, short, square = self.c.sizes[k]
        return (long, short), (square, square), (short, long)

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """Views of people to choose from, and somebody else."""
        return {"drawn": self.people.draw(rng, TRIES + 1)}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        rng = np.random.default_rng([self.c.loop.seed, state.step])
        want, y, x = int(rng.choice(3, p=self.c.shapes)), *rng.integers(0, 2, 2).tolist()
        people, drawn = self.people.to(state.device), batch["drawn"]
        with torch.no_grad():
            s, mask = augment(people, drawn[:, :-1], drawn[:, -1], self.sizes(state.step), want, self.backgrounds)
            batch = tensors(s, mask, found(s.keypoints), y, x)
        rgb = batch["rgb"].contiguous(memory_format=torch.channels_last)
        out = losses(self.modules["surface"](rgb, batch["hints"]), batch, self.c)
        state.update("surface", out["loss"])
        return out

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Figures of the held-out people, whole and with their masks; some drawn: picture, guess, truth, scale."""
        people, sizes = self.validation.to(state.device), self.sizes(state.step)
        torch.manual_seed(0)  # the loop restores its own
        i = torch.linspace(0, len(people) - 1, min(len(people), self.c.shown), device=state.device).long()
        best = best_sizes(people.hull[i], sizes, 0.0 * i)
        figures: dict[str, list[np.ndarray]] = {}
        tiles = []
        for some in (own for k in range(len(sizes)) for own in i[best == k].split(SHOWN_AT_ONCE)):
            if not len(some):
                continue
            made = whole(people, some, sizes, self.backgrounds, Draws(len(some), state.device))
            out = averaged["surface"](made["rgb"].contiguous(memory_format=torch.channels_last), made["hints"])
            for k, v in measure(out, made).items():
                figures.setdefault(k, []).append(v)
            if len(tiles) < 24:
                tiles += [drawn_map(made, out, j) for j in range(len(some))]
        tiles = [cv2.resize(t, (640, 160), interpolation=cv2.INTER_AREA) for t in tiles[:24]]
        rows = [np.hstack(tiles[j : j + 3]) for j in range(0, len(tiles) - 2, 3)] or tiles[:1]
        return {k: float(np.concatenate(v).mean()) for k, v in figures.items()}, {"validation": np.vstack(rows)}

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        net = averaged["surface"]
        assert isinstance(net, SurfaceNet)
        net.save_pretrained(folder)


def start_net(c: presets.SurfaceOptions, start: Path | bytes | None) -> SurfaceNet:
    """A network from the weights of another, as far as they fit: of its own kind, of a parser, of the encoder."""
    _, long, short, square = c.sizes[-1]
    net = SurfaceNet(tuple(c.widths), (long, short, square))
    net.centre_on(load_body())
    if start is None:
        return net
    if isinstance(start, bytes):
        net.load_imagenet(start)
    else:
        try:
            other: Pyramid = SurfaceNet.from_pretrained(start)
        except DinarError:  # says what is wrong with the folder if it holds no parser either
            other = Parser.from_pretrained(start)
        own, theirs = net.state_dict(), other.state_dict()
        same = {k: v for k, v in theirs.items() if k in own and own[k].shape == v.shape}
        if isinstance(other, Parser):
            same = {k: v for k, v in same.items() if not k.startswith(("head", "pose"))}
        net.load_state_dict({**own, **same})
    net.freeze(c.frozen)
    return net


def drawn_map(made: dict[str, Tensor], out: SurfaceOutput, i: int) -> np.ndarray:
    """[256, 1024, 3] uint8: crop i, its predicted and true surface as colours, and the predicted scale."""
    rgb = ((made["rgb"][i].movedim(0, -1).cpu().numpy() + 1) * 127.5).astype(np.uint8)
    part = made["part"][i].cpu().numpy()
    truth = _colours(made["points"][i].cpu().numpy(), (part > 0) & (part != IGNORE))
    guess, scale = drawn_surface(out, i)
    parts = [cv2.resize(a, rgb.shape[1::-1], interpolation=cv2.INTER_NEAREST) for a in (guess, truth, scale)]
    tile = np.full((256, 4, 256, 3), 255, np.uint8)
    k = 256 / max(rgb.shape[:2])
    for j, a in enumerate((rgb, *parts)):
        a = cv2.resize(a, None, fx=k, fy=k, interpolation=cv2.INTER_AREA)
        tile[: a.shape[0], j, : a.shape[1]] = a
    return tile.reshape(256, 1024, 3)


def drawn_surface(out: SurfaceOutput, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Of crop i: the points as colours, dark where no part is seen, and the scale, white 5 cm or more."""
    k = out.logits[:, 1:].argmax(1)
    on = (out.logits.argmax(1) > 0)[i].cpu().numpy()
    points = chosen(out.points, k)[i].float().cpu().numpy()
    scale = (chosen(out.scale[:, :, None], k)[i, 0] / 0.05).clamp(0, 1).cpu().numpy() * on
    return _colours(points, on), (scale[..., None].repeat(3, 2) * 255).astype(np.uint8)


def _colours(points: np.ndarray, on: np.ndarray) -> np.ndarray:  # [3, h, w] metres, [h, w]
    steps = (points.transpose(1, 2, 0) - SURFACE_CENTRE) / SURFACE_UNIT + 128
    return (steps.clip(0, 255) * on[..., None]).astype(np.uint8)


def split(data: Sequence[Path], holdout: int) -> tuple[tuple[Source, range], Sequence[tuple[Source, range]]]:
    """People to validate on, and to train on: the last of one set and the others, or the first of several sets and the
    other sets."""
    from ..data.shards import open_set

    found = [(s := open_set(f), range(s.num_people or 0)) for f in data]
    if not found:
        raise DinarError("expected one or more --data folders, got none")
    if len(found) > 1:
        return found[0], found[1:]
    source, people = found[0]
    if holdout < 1:
        raise DinarError(f"{data[0]}: expected --holdout of 1 or more people to validate on, got {holdout}")
    if len(people) <= holdout:
        raise DinarError(f"{data[0]}: expected more people than are held out ({holdout}), got {len(people)}")
    return (source, people[-holdout:]), [(source, people[:-holdout])]


def train(
    data: Sequence[Path],
    run: Path,
    c: presets.SurfaceOptions,
    weights: Sequence[float] = (),
    init: Path | None = None,
    cpu: bool = False,
    dry_run: bool = False,
    backgrounds: Path | None = None,
) -> bool:
    """The ``dinar train surface`` command.

    Args:
        data: sets of ``dinar synthesize --varied``; where there are several, the first is only validated on.
        weights: how often each of the others is drawn from; equally where none are given.
        init: weights of a parser or of another surface network to start from instead of ImageNet's.
        backgrounds: a folder of pictures; None: patterns.
    """
    from ..assets import asset
    from .loop import train as loop

    held, people = split(data, c.holdout)
    weights = list(weights) or [1.0] * len(people)
    if len(weights) != len(people):
        raise DinarError(f"expected as many --weights as sets that train, {len(people)}, got {len(weights)}")
    start = init or asset("efficientnet-lite0.pth")
    if dry_run:
        held, people = (held[0], held[1][:1]), [(s, some[:2]) for s, some in people]
    sets = SurfaceSet([read_people(*p) for p in people], weights), SurfaceSet([read_people(*held)])
    stage = SurfaceStage(c, *sets, Backgrounds(backgrounds), start)
    config = {"stage": "surface", "data": [str(f) for f in data], "weights": weights, "init": str(init or ""),
              "backgrounds": str(backgrounds or "")}  # fmt: skip
    config |= dataclasses.asdict(c)
    return loop(stage, c.loop, run, config, cpu=cpu, dry_run=dry_run)
