"""Stage: the viseme network, from texts that synthesisers speak (not in the paper).

    dinar train visemes --data TEXTS --run runs/visemes

TEXTS are text files or folders of them. They are spoken once, into RUN/spoken.npz, by eSpeak NG and Flite
(:mod:`dinar.data.spoken`). One voice of Flite is only validated on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from accelerate.state import PartialState
from torch import Tensor, nn

from ..arrays import read_npz
from ..body.visemes import VISEMES
from ..data.spoken import TABLE, sentences, spoken
from ..errors import DinarError
from ..files import replacing, staging
from ..nets.visemes import VisemeNet
from ..speech.sound import BANDS
from . import presets
from .state import State

FRAMES = 256  # of a sample: 2.6 s
CUT, CUT_BANDS = 0.4, (18, 40)  # share of the samples without high bands, as codecs leave them out; the first of these
TILT, NOISE = 0.3, (-3.0, -1.0)  # of log10 power: random walk over the bands; level of noise under the voice's
LIPS = VISEMES.index("PP")
WARP, PACE = 0.12, 0.2  # most logarithm of the factor of all formants, and of the speed
SMOOTHED = 0.05  # of the labels
SHOWN = 100  # sentences between lines of progress


class VisemeStage:
    """See :class:`dinar.train.state.Stage`."""

    averaged: Sequence[str] = ("visemes",)

    def __init__(self, c: presets.VisemeOptions, said: dict[str, np.ndarray]) -> None:
        self.c, self.said = c, said
        ends = np.append(said["start"][1:], len(said["mel"]))
        spans = list(zip(said["start"], ends, said["held"], strict=True))
        self.train, self.valid = ([(a, b) for a, b, h in spans if h == held] for held in (0, 1))
        if not self.train or not self.valid:
            raise DinarError(f"expected sentences of all voices, got {len(self.train)} to train and {len(self.valid)} "
                             "to validate on; raise --sentences")  # fmt: skip
        torch.manual_seed(c.loop.seed)
        net = VisemeNet(BANDS + 1, c.width, len(VISEMES), c.dropout)
        self.modules: dict[str, nn.Module] = {"visemes": net.train()}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "visemes": torch.optim.AdamW(net.parameters(), c.lr, betas=(0.9, 0.99), weight_decay=c.weight_decay)
        }

    def sample(self, i: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A part of a sentence by another throat, faster or slower, through another microphone: shifted formants,
        tilted spectrum, noise, louder or softer."""
        a, b = self.train[int(rng.integers(len(self.train)))]
        speed = float(np.exp(rng.uniform(-PACE, PACE)))
        first = int(rng.integers(a, max(a + 1, b - int(FRAMES * speed) + 1)))
        at = first + np.arange(min(FRAMES, int((b - first) / speed))) * speed
        x = self.said["mel"][at.astype(int)].astype(np.float32)
        y = self.said["viseme"][at.astype(int)].astype(np.int64)
        moved = np.minimum(np.arange(BANDS) * np.exp(rng.uniform(-WARP, WARP)), BANDS - 1)
        low = np.minimum(moved.astype(int), BANDS - 2)
        part = (moved - low).astype(np.float32)
        x[:, :-1] = x[:, low] * (1 - part) + x[:, low + 1] * part
        tilt = np.cumsum(rng.normal(0, TILT / np.sqrt(BANDS), BANDS))
        noise = rng.uniform(*NOISE) + rng.normal(0, 0.3, BANDS)
        bands = x[:, :-1] + tilt - tilt.mean()
        if rng.random() < CUT:
            bands[:, int(rng.integers(*CUT_BANDS)) :] -= 4
        bands = np.log10(10**bands + 10 ** (noise + rng.normal(0, 0.25, bands.shape)))
        level = np.log10(10 ** x[:, -1:] + 10 ** (noise.mean() - 0.5)) + rng.normal(0, 0.1)
        x = np.concatenate([bands, level], 1)
        short = FRAMES - len(x)
        x = np.pad(x, ((0, short), (0, 0)), mode="edge")
        return {"mel": x.T.astype(np.float32), "viseme": np.pad(y, (0, short), constant_values=-1)}

    def step(self, batch: dict[str, Tensor], state: State) -> dict[str, Tensor]:
        logits = self.modules["visemes"](batch["mel"])
        loss = F.cross_entropy(logits, batch["viseme"], ignore_index=-1, label_smoothing=SMOOTHED)
        state.update("visemes", loss)
        return {"loss": loss}

    def show(self, averaged: dict[str, nn.Module], state: State) -> tuple[dict[str, float], dict[str, np.ndarray]]:
        """The held-out voice: share of right frames; of frames with closed lips those found, and of those found the
        right ones. Picture: true visemes above, heard ones below."""
        true, heard, rows = [], [], []
        for a, b in self.valid:
            x = torch.from_numpy(self.said["mel"][a:b].astype(np.float32).T)[None].to(state.device)
            p = averaged["visemes"](x).softmax(1)[0].cpu().numpy()
            y = self.said["viseme"][a:b]
            true.append(y)
            heard.append(p.argmax(0))
            if len(rows) < 8:
                both = np.vstack([np.eye(len(VISEMES))[y].T, np.zeros((1, b - a)), p])[:, :FRAMES]
                rows.append(np.pad(both, ((1, 1), (0, FRAMES - both.shape[1]))))
        t, h = np.concatenate(true), np.concatenate(heard)
        found = {"right": float((t == h).mean()), "lips_found": float((h[t == LIPS] == LIPS).mean()),
                 "lips_right": float((t[h == LIPS] == LIPS).mean()) if (h == LIPS).any() else 0.0}  # fmt: skip
        grey = (np.vstack(rows) * 255).astype(np.uint8)
        picture = cv2.resize(grey, None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        return found, {"validation": np.repeat(picture[..., None], 3, 2)}

    def export(self, averaged: dict[str, nn.Module], folder: Path) -> None:
        net = averaged["visemes"]
        assert isinstance(net, VisemeNet)
        net.save_pretrained(folder)


def said(texts: Sequence[Path], file: Path, count: int, seed: int) -> dict[str, np.ndarray]:
    """The spoken sentences, from ``file`` where it is there."""
    if not file.exists():
        files = sorted(f for t in texts for f in (t.rglob("*") if t.is_dir() else [t]) if f.is_file())
        found = sentences(files)
        if not found:
            raise DinarError("expected text files with sentences of 20 to 120 letters in --data, found none")
        rows = []
        for row in spoken(found, count, seed):
            rows.append(row)
            if len(rows) % SHOWN == 0:
                print(f"sentences spoken: {len(rows)} of {count}", flush=True)
        lengths = [len(r["viseme"]) for r in rows]
        joined = {k: np.concatenate([r[k] for r in rows]) for k in ("mel", "viseme")}
        held = np.array([r["held"] for r in rows])
        arrays = {**joined, "start": np.cumsum([0, *lengths[:-1]]), "held": held}
        with replacing(file) as temporary, temporary.open("wb") as stream:
            np.savez(stream, **arrays)
    what = "sentences spoken by dinar train visemes"
    a = read_npz(file, TABLE, what=what)
    if not (np.diff([*a["start"], len(a["mel"])]) > 0).all():
        raise DinarError(f"{file}: expected {what}, one after the other, got other first frames; delete it")
    return a


def train(
    data: Sequence[Path],
    run: Path,
    c: presets.VisemeOptions,
    weights: Sequence[float] = (),
    init: Path | None = None,
    cpu: bool = False,
    dry_run: bool = False,
) -> bool:
    """The ``dinar train visemes`` command. ``data``: text files, or folders of them."""
    from .loop import train as loop

    if weights or init:
        raise DinarError("expected no --weights and no --init: the viseme network is trained from nothing")
    run.mkdir(parents=True, exist_ok=True)
    with staging() if dry_run else nullcontext(run) as folder, PartialState(cpu=cpu).main_process_first():
        arrays = said(data, folder / "spoken.npz", 40 if dry_run else c.sentences, c.loop.seed)
    stage = VisemeStage(c, arrays)
    config = {"stage": "visemes", "data": [str(f) for f in data], **dataclasses.asdict(c)}
    return loop(stage, dataclasses.replace(c.loop, workers=0), run, config, cpu=cpu, dry_run=dry_run)
