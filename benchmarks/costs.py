"""What many avatars and the training of the `paper` preset cost: the tables of docs/speed.md.

    python benchmarks/costs.py --rates out/many/rates.json        # photos an hour on two cores, of benchmarks/many.py

Prices and the GPU's speed are assumptions. Multiply-adds are counted by :mod:`dinar.nets.costs`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from dinar.nets.costs import costs
from dinar.train.presets import PRESETS

CORES = 2  # of the rates
CORE, GPU = 0.05, 2.50  # dollars for a core and hour, and for an H100 and hour
SPEED = 1e14  # floating-point operations a second that the GPU reaches: a tenth of its data sheet's for 16 bits
PHOTOS, MANY = 100_000, 64  # and cores that work on them
LPIPS = 60.0  # GMAC
# Forward passes' worth of arithmetic for a sample. A trained network counts three (forward, and backward to inputs and
# weights), a frozen one one, or three where the gradient goes through it; the discriminator three for each real and
# rendered picture, and two for its gradient. Stage 3 renders two pictures of each sample.
PASSES = {
    "avatar": {"encoder": 3, "generator": 3, "renderer": 3, "discriminator": 8, "lpips": 1},
    "compression": {"encoder": 1, "generator": 1, "vqgan": 3, "renderer": 3, "discriminator": 8, "lpips": 1},
    "finetune": {"encoder": 3, "generator": 3, "vqgan": 3, "renderer": 6, "discriminator": 13, "lpips": 2},
    "inpainting": {"encoder": 1, "generator": 1, "vqgan": 0.5, "denoiser": 3},
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rates", type=Path, default=Path("out/many/rates.json"))
    a = p.parse_args()
    print(f"| {PHOTOS:,} photos | core s a photo | core hours | dollars | {MANY} cores take |\n" + "| --- " * 5 + "|")
    for row in json.loads(a.rates.read_text())["rows"]:
        hours = PHOTOS / row["an hour"] * CORES
        print(f"| {row['way']} | {3600 * CORES / row['an hour']:.1f} | {hours:.0f} | {hours * CORE:.1f} | "
              f"{hours / MANY:.1f} h |")  # fmt: skip
    forward = {name: gmac for name, _, gmac in costs("paper")} | {"lpips": LPIPS}
    print("\n| stage | samples | GMAC a sample | EFLOP | H100 hours | dollars |\n" + "| --- " * 6 + "|")
    whole = 0.0
    for stage, passes in PASSES.items():
        loop = PRESETS[stage]["paper"].loop
        samples, gmac = loop.steps * loop.batch, sum(n * forward[name] for name, n in passes.items())
        flop = 2e9 * gmac * samples
        whole += flop
        print(f"| {stage} | {samples / 1e6:.2f} M | {gmac:,.0f} | {_rest(flop)} |")
    print(f"| all | | | {_rest(whole)} |")


def _rest(flop: float) -> str:
    hours = flop / SPEED / 3600
    return f"{flop / 1e18:.1f} | {hours:.1f} | {hours * GPU:.0f}"


if __name__ == "__main__":
    main()
