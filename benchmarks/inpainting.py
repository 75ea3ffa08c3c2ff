"""What the diffusion makes of unseen texels: samplers and their steps, and what its additions are worth.

    python benchmarks/inpainting.py --weights WEIGHTS --data PEOPLE                       # samplers
    python benchmarks/inpainting.py --weights WEIGHTS --data PEOPLE --ablate residual     # trains two denoisers

Of the last people of the set, which training keeps for validation: PSNR of the colours of T (eq. 6) against the
texture merged from all views (eq. 5), over texels that the most frontal view does not show and others do; mean over
people and seeds. Controls: holes filled by push-pull, and by the other half of the body first. ``spread`` is the mean
deviation of those colours between seeds. Seconds are of one texture, all steps and the decoder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dinar.files import replacing
from dinar.nets.channels import FILL, SAMPLED
from dinar.nets.denoiser import Denoiser
from dinar.nets.vqgan import VQGAN
from dinar.neural.condition import complete, fill_from_mirror
from dinar.neural.inpaint import inpaint
from dinar.neural.weights import load_networks
from dinar.sources import open_source
from dinar.train.inpainting import InpaintingStage
from dinar.train.loop import train
from dinar.train.people import People
from dinar.train.presets import AvatarOptions, Loop

SAMPLERS = [("dpm++", 5), ("dpm++", 10), ("dpm++", 20), ("dpm++", 50), ("ddim0", 10), ("ddim0", 50), ("ddim", 50),
            ("ddim", 200), ("ddpm", 1000)]  # fmt: skip


class Task:
    """Partial textures of held-out people, and what is hidden in them."""

    def __init__(self, stage: InpaintingStage) -> None:
        self.stage, self.cpu, self.people = stage, torch.device("cpu"), []
        nets = stage.nets(self.cpu)
        with torch.no_grad():
            for i in range(stage.people.holdout):
                x = stage.people.views_of(0, stage.people.counts[0] + i, False)
                batch = {k: torch.from_numpy(a)[None] for k, a in x.items()}
                whole, textures, known = stage.truth(nets, batch)
                partial = textures[int(x["in_front"].argmax())]
                hidden = known * stage.inside * (1 - partial[:, FILL])
                self.people.append((partial, whole, hidden > 0.5))

    def score(self, fill: Callable[[Tensor], Tensor], told_truth: bool = False) -> dict[str, float]:
        """``fill``: [1, 21, S, S], a partial texture or the truth -> [seeds, 21, S, S]."""
        psnr, spread, seconds = [], [], []
        for partial, whole, hidden in self.people:
            start = time.perf_counter()
            with torch.no_grad():
                out = fill(whole if told_truth else partial)[:, SAMPLED].clamp(0, 1)
            seconds.append((time.perf_counter() - start) / len(out))
            error = ((out - whole[:, SAMPLED]).square() * hidden).sum((1, 2, 3)) / (3 * hidden.sum()).clamp(min=1)
            psnr.append(float((-10 * error.clamp(min=1e-8).log10()).mean()))
            deviation = out.std(0, unbiased=False)[None] * hidden
            spread.append(float(deviation.sum() / (3 * hidden.sum()).clamp(min=1)))
        return {"psnr": round(float(np.mean(psnr)), 2), "spread": round(float(np.mean(spread)), 3),
                "seconds": round(float(np.median(seconds)), 3)}  # fmt: skip

    def coded(self) -> dict[str, float]:
        """The truth through the VQGAN: what no denoiser can surpass."""
        vqgan = cast(VQGAN, self.stage.nets(self.cpu)["vqgan"])
        return self.score(lambda whole: vqgan.decode(vqgan.encode(whole)).float(), told_truth=True)

    def inpainted(self, denoiser: Denoiser, sampler: str, steps: int, seeds: int) -> dict[str, float]:
        vqgan = cast(VQGAN, self.stage.nets(self.cpu)["vqgan"])
        return self.score(lambda p: inpaint(vqgan, denoiser, p, range(seeds), self.stage.inside, sampler, steps)[0])


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--weights", type=Path, required=True, help="folder of a finished inpainting run")
    p.add_argument("--data", type=Path, nargs="+", required=True)
    p.add_argument("--people", type=int, default=8)
    p.add_argument("--seeds", type=int, default=2)
    p.add_argument("--ablate", choices=("mirror", "residual"), help="train a denoiser with and one without it")
    p.add_argument("--steps", type=int, default=1500, help="of these trainings")
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", type=Path, default=Path("out/inpainting"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    networks = load_networks(a.weights)
    sources = [open_source(d, networks.size) for d in a.data]
    people = People(sources, [], networks.size, a.people, augmented=False, cached=1)
    loop = Loop(a.steps, a.batch, a.batch, warmup=50, ema=0.995, log_every=100, show_every=10**9, save_every=10**9)
    c = AvatarOptions(loop, size=networks.size, texture=networks.texture, lpips="none", lr=1e-3, holdout=a.people,
                augmented=False, cached=1)  # fmt: skip
    stage = InpaintingStage(c, people, a.weights)
    task = Task(stage)
    result: dict = {"people": a.people, "seeds": a.seeds, "threads": a.threads, "texture": networks.texture}
    plain = task.score(lambda p: complete(p, p[:, FILL]))
    result["controls"] = {"push-pull": plain, "mirror, push-pull": task.score(fill_from_mirror),
                          "the truth, coded": task.coded()}  # fmt: skip
    print(json.dumps(result["controls"]), flush=True)
    if a.ablate:
        for name, wanted in (("with", True), ("without", False)):
            config: dict[str, Any] = {**networks.nets["denoiser"].config, a.ablate: wanted}
            torch.manual_seed(0)
            stage.modules["denoiser"] = Denoiser(**config)
            stage.optimizers = stage._optimizers()
            run = a.out / name
            if not train(stage, loop, run, {}, cpu=True):
                raise SystemExit(130)
            trained = load_networks(run / "weights", ["denoiser"]).nets["denoiser"]
            result[f"{a.ablate}: {name}"] = task.inpainted(cast(Denoiser, trained), "dpm++", 20, a.seeds)
            print(name, result[f"{a.ablate}: {name}"], flush=True)
    else:
        denoiser = cast(Denoiser, networks.nets["denoiser"])
        for sampler, steps in SAMPLERS:
            result[f"{sampler} {steps}"] = task.inpainted(denoiser, sampler, steps, a.seeds)
            print(sampler, steps, result[f"{sampler} {steps}"], flush=True)
    a.out.mkdir(parents=True, exist_ok=True)
    with replacing(a.out / f"{a.ablate or 'samplers'}.json") as temp:
        temp.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
