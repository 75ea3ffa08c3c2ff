"""Is the fast renderer as good as the paper's layout? Both learn stage 1 from the same samples for as many steps.

    python benchmarks/layouts.py --data PEOPLE --steps 300

Everything but the renderer is ``nano``'s (128² pictures), and starts from the same weights; the paper's layout has half
its width, so that it can be trained on a CPU. Validated on the people that training keeps for it: PSNR and silhouette
IoU of other views, of the running averages. The json holds these at every tenth of the steps, operations of a picture
and pictures a second in training.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import torch

from dinar.files import replacing
from dinar.nets.costs import gmacs
from dinar.nets.presets import build
from dinar.nets.renderer import PaperRenderer
from dinar.neural.weights import save_networks
from dinar.train.presets import PRESETS
from dinar.train.stages import train

SHARED = ("encoder", "generator")


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", type=Path, required=True, help="people of dinar synthesize; the last 8 are validated on")
    p.add_argument("--steps", type=int, default=300)
    p.add_argument("--width", type=int, default=32, help="of the paper's layout")
    p.add_argument("--precision", default="no")
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--out", type=Path, default=Path("out/layouts"))
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    nano = PRESETS["avatar"]["nano"]
    loop = dataclasses.replace(nano.loop, steps=a.steps, precision=a.precision).fitting()
    c = dataclasses.replace(nano, loop=loop, holdout=8)
    result = {}
    for name in ("paper", "fast"):
        start, run = a.out / f"{name}_start", a.out / name
        shutil.rmtree(run, ignore_errors=True)
        torch.manual_seed(0)
        nets = {n: build("nano", n, size=c.texture) for n in SHARED}
        renderer = PaperRenderer(width=a.width) if name == "paper" else build("nano", "renderer")
        save_networks(start, {**nets, "renderer": renderer}, c.size)
        train("avatar", [a.data], run, c, init=start, cpu=True)
        log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        valid = [{"step": x["step"], **{k[6:]: round(v, 4) for k, v in x.items() if k.startswith("valid/")}}
                 for x in log if "valid/psnr" in x]  # fmt: skip
        speed = round(log[-1].get("images_per_s", log[-2].get("images_per_s", 0)), 2)  # the last line may be valid's
        cost = round(gmacs(renderer, c.size, c.texture), 3)
        result[name] = {"gmac": cost, "images_per_s": speed, "valid": valid}
        print(name, json.dumps(result[name]), flush=True)
    with replacing(a.out / "layouts.json") as temp:
        temp.write_text(json.dumps({"steps": a.steps, "width": a.width, **result}, indent=1))


if __name__ == "__main__":
    main()
