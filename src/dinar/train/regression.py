"""Stage: the regressor of unseen texels, from textures of people with several views (not in the paper).

    dinar synthesize -o people --people 1000 --views 6 --size 256 --seed 11 --plain --assets DIR --motions DIR
    dinar train regression --data people --run runs/regression

The input is the texture of one view, the truth the texture merged from all views (eq. 5); of a set of photos, the input
is the photo's texture without what faces a random direction. Textures are sampled once, into RUN/textures; a folder of
it is a set, too. They lie on the training device, which draws batches from them (``data/batches.py``). The last
``holdout`` people of a single set are validated on; of several sets, the first ones (``validation``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..body import Body
from ..body.shells import wear
from ..data.batches import Batches, task
from ..data.textures import TextureSet
from ..errors import DinarError
from ..nets.presets import build
from ..nets.regressor import PatchDiscriminator, TextureRegressor
from ..neural.condition import Geometry, surface_condition
from ..neural.regression import predictor
from ..texture import restore
from . import presets
from .sets import open_sets
from .state import State

SHOWN = 8  # people in the picture of a validation


class RegressionStage:
    """See :class:`dinar.train.state.Stage`."""

    averaged: Sequence[str] = ("regressor",)

    def __init__(
        self,
        c: presets.RegressionOptions,
        body: Body,
        sets: Sequence[TextureSet],  # people to train on
        weights: Sequence[float],  # relative sampling rate of each set
        validation: dict[str, TextureSet],  # by name
        start: Path | None = None,  # folder of a regressor to start from
    ) -> None:
        self.c, self.body, self.validation = c, body, validation
        self.batches = Batches(sets, weights)
        torch.manual_seed(c.loop.seed)
        net = TextureRegressor.from_pretrained(start) if start else \
            build(c.nets, "regressor", size=c.texture, atlas=body.atlas.hash)  # fmt: skip
        if net.config["size"] != c.texture:
            raise DinarError(f"expected a regressor of {c.texture}² textures in --init, got {net.config['size']}²")
        net.config["atlas"] = body.atlas.hash
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.modules: dict[str, nn.Module] = {"regressor": net.train()}
        adam = torch.optim.AdamW(net.parameters(), c.lr, betas=(0.9, 0.99), weight_decay=c.weight_decay)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"regressor": adam}
        if c.patches > 0:
            critic = PatchDiscriminator().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.modules["discriminator"] = critic.train()
            self.optimizers["discriminator"] = torch.optim.Adam(
                critic.parameters(), c.discriminator_lr, betas=(0.0, 0.99)
            )
        self.rules: dict[tuple[str, int], Tensor] = {}  # validation people restored without a network [1, 3, S, S]

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        return {"key": self.batches.draw(rng)}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        w, x = self.c, self.batches.to(state.device).tasks(batch["key"])
        guess = x["guess"]
        g = Geometry(x["folded"], x["position"])
        told = surface_condition(g, x["rgb"], x["lam"], x["worn"], guess)
        correction, logits = self.modules["regressor"](told.contiguous(memory_format=torch.channels_last))
        unseen = (x["lam"] == 0).float()
        weight = x["known"] * (unseen + w.seen * (1 - unseen))
        error = (guess + correction - x["truth"]).abs()
        colour = (error * weight).sum() / (3 * weight.sum()).clamp(min=1)
        classes = x["worn_truth"][:, 0].long() - 1
        classes = torch.where(weight[:, 0] > 0, classes, -1)
        cross = F.cross_entropy(logits, classes, ignore_index=-1, reduction="sum") / (classes >= 0).sum().clamp(min=1)
        loss = colour + w.classes * cross
        parts = {"l1": colour, "cross_entropy": cross}
        if w.patches <= 0:
            state.update("regressor", loss)
            return {"loss": loss, **parts}
        discriminator = state.plain("discriminator")
        fake = torch.where(unseen > 0, guess + correction, x["truth"])
        real, fake = (self._candidate(c, x) for c in (x["truth"], fake))
        discriminator.requires_grad_(False)
        judged = discriminator(fake).float()
        on = F.interpolate(x["known"] * unseen, size=judged.shape[2:], mode="area")
        parts["adversarial"] = -(judged * on).sum() / on.sum().clamp(min=1)
        loss = loss + w.patches * parts["adversarial"]
        state.update("regressor", loss)
        discriminator.requires_grad_(True)
        judged = self.modules["discriminator"](torch.cat([real, fake.detach()]))
        on = F.interpolate(x["known"], size=judged.shape[2:], mode="area")
        a, b = judged.float().chunk(2)
        parts["discriminator"] = ((F.relu(1 - a) + F.relu(1 + b)) * on).sum() / on.sum().clamp(min=1)
        state.update("discriminator", parts["discriminator"])
        return {"loss": loss, **parts}

    def _candidate(self, rgb: Tensor, x: dict[str, Tensor]) -> Tensor:
        """A texture as the discriminator sees it: known texels of it, what the input shows, and where on the body."""
        seen = (x["lam"] > 0).float()
        return torch.cat([(rgb - 0.5) * x["known"], (x["rgb"] - 0.5) * seen, seen, x["known"], x["position"]], 1)

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """Held-out people of every validation set, most frontal view. Scalars: PSNR of unseen texels of the network, of
        its guess, of the restoration alone, in the network's light and with its colours; share of right classes.
        Picture: input, guess, restoration, network, truth."""
        numbers, pictures = {}, {}
        for i, (name, people) in enumerate(self.validation.items()):
            found, picture = self._show(averaged["regressor"], name, people, state)
            ending = f"_{name}" if i else ""
            numbers |= {k + ending: v for k, v in found.items()}
            pictures |= {f"validation{ending}": picture} if len(people) else {}
        return numbers, pictures

    def _show(self, net: nn.Module, name: str, people: TextureSet, state: State) -> tuple[dict[str, float], np.ndarray]:
        rows, scores = [], []
        for i in range(len(people)):
            body = wear(self.body, people.shells[i])
            network = predictor(net, body)  # type: ignore[arg-type]
            x = task(people, i, int(people.front[i].argmax()))
            batch = {k: torch.from_numpy(a)[None].to(state.device) for k, a in x.items()}
            guess = batch["guess"]
            g = Geometry(batch["folded"], batch["position"])
            told = surface_condition(g, batch["rgb"], batch["lam"], batch["worn"], guess)
            correction, logits = net(told)
            hidden = batch["known"] * (batch["lam"] == 0)
            out = (guess + correction).clamp(0, 1)
            right = (logits.argmax(1, keepdim=True) + 1 == batch["worn_truth"]) * hidden * (batch["worn_truth"] > 0)
            n = (hidden * (batch["worn_truth"] > 0)).sum().clamp(min=1)
            if (name, i) not in self.rules:
                self.rules[name, i] = torch.from_numpy(_restored(body, x)).to(out)
            rule = self.rules[name, i]
            lit, coloured = (torch.from_numpy(_restored(body, x, **use)).to(out)
                             for use in ({"light": network}, {"predict": network}))  # fmt: skip
            scores.append({"psnr": psnr(out, batch, hidden), "classes": float(right.sum() / n),
                           "psnr_guess": psnr(guess, batch, hidden),
                           "psnr_restoration": psnr(rule, batch, hidden),
                           "psnr_light": psnr(lit, batch, hidden),
                           "psnr_colours": psnr(coloured, batch, hidden)})  # fmt: skip
            if len(rows) < SHOWN:
                seen = (batch["lam"] > 0).float()
                whole = torch.where(seen > 0, batch["rgb"], out)
                tiles = (batch["rgb"] * seen, guess, rule, whole, batch["truth"] * batch["known"])
                rows.append(torch.cat([t[0] for t in tiles], 2))
        if not scores:
            return {}, np.zeros((0, 0, 3), np.uint8)
        picture = (torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
        picture = cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)  # type: ignore[call-overload]
        return {k: float(np.mean([s[k] for s in scores])) for k in scores[0]}, picture

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        net = averaged["regressor"]
        assert isinstance(net, TextureRegressor)
        net.save_pretrained(folder)


def _restored(body: Body, x: dict[str, np.ndarray], **use: Any) -> np.ndarray:
    """[1, 3, S, S]: :func:`dinar.texture.restore` of a task."""
    worn = x["worn"][0].astype(np.uint8)
    out = restore(body, x["rgb"].transpose(1, 2, 0), x["lam"][0], worn if worn.any() else None, **use)
    return out.transpose(2, 0, 1)[None]


def psnr(out: Tensor, batch: dict[str, Tensor], hidden: Tensor) -> float:
    """PSNR in dB of the colours of one task over ``hidden`` [1, 1, S, S]."""
    error = ((out.clamp(0, 1) - batch["truth"]).square() * hidden).sum() / (3 * hidden.sum()).clamp(min=1)
    return float(-10 * torch.log10(error.clamp(min=1e-8)))


def train(
    data: Sequence[Path],
    run: Path,
    c: presets.RegressionOptions,
    weights: Sequence[float] = (),
    init: Path | None = None,
    cpu: bool = False,
    dry_run: bool = False,
    body_path: Path | None = None,
) -> bool:
    """The ``dinar train regression`` command; arguments as of :func:`dinar.train.stages.train`."""
    from .loop import train as loop

    if not data:
        raise DinarError("expected one or more --data sets, got none")
    body, sets = open_sets(data, run / "textures", c.texture, presets.REGRESSION_PICTURE, c.loop.seed, body_path)
    if len(sets) > 1:
        if c.validation >= len(sets):
            raise DinarError(f"expected more --data sets than --validation {c.validation}, got {len(sets)}")
        validation = {f"set{i}": s for i, s in enumerate(sets[: c.validation])}
        sets = sets[c.validation :]
    else:
        n = len(sets[0]) - c.holdout
        if n < 1:
            raise DinarError(f"{data[0]}: expected more people than are held out ({c.holdout}), got {len(sets[0])}")
        validation, sets = {"held_out": sets[0].people(slice(n, None))}, [sets[0].people(slice(0, n))]
    weights = list(weights) or [float(len(s)) for s in sets]
    if len(weights) != len(sets):
        raise DinarError(f"expected as many --weights as sets that train, {len(sets)}, got {len(weights)}")
    stage = RegressionStage(c, body, sets, weights, validation, init)
    config = {"stage": "regression", "data": [str(d) for d in data], "weights": weights, "init": str(init or "")}
    config |= dataclasses.asdict(c)
    return loop(stage, c.loop, run, config, cpu=cpu, dry_run=dry_run)
