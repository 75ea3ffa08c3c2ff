"""What many avatars and the training of the `paper` preset cost: the tables of docs/speed.md.

    python benchmarks/costs.py --rates out/many/rates.json        # photos an hour on two cores, of benchmarks/many.py

Rates of one H200 are those of docs/speed.md. Prices are assumptions, and so is the speed that large networks reach.
Multiply-adds are counted by :mod:`dinar.nets.costs`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from dinar.nets.costs import costs, gmacs
from dinar.nets.presets import build
from dinar.train.presets import PRESETS

CORES = 2  # of the rates
CORE, GPU = 0.05, 2.50  # dollars for a core and hour, and for a GPU and hour
SPEED = 1e14  # floating-point operations a second: a tenth of the data sheet's for 16 bits
FITS = {"a core": (0.36, CORE)}  # seconds a photo, dollars an hour
# Samples a second of an H200. The surface network of all presets is one; it was trained beside other runs.
SURFACE, STAGE1 = (490, 740), 357  # and `base` at 256², textures of 128², batches of 144, no discriminator
ALEXNET = 2.6  # GMAC of LPIPS at 256²: two pictures, and the gradient of one
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
    print(f"\n| fit of {PHOTOS:,} photos | hours | dollars |\n" + "| --- " * 3 + "|")
    for way, (seconds, price) in FITS.items():
        hours = PHOTOS * seconds / 3600
        print(f"| {way} | {hours:.1f} | {hours * price:.2f} |")
    loop = PRESETS["surface"]["paper"].loop
    samples = loop.steps * loop.batch
    for rate in SURFACE:
        hours = samples / rate / 3600
        print(f"surface: {samples / 1e6:.2f} M samples at {rate} a second: {hours:.1f} h, {hours * GPU:.1f} dollars")
    slow = reached()
    print(f"stage 1 of `base` reached {slow / 1e12:.1f} TFLOP/s")
    forward = {name: gmac for name, _, gmac in costs("paper")} | {"lpips": LPIPS}
    columns = ("stage", "samples", "GMAC a sample", "EFLOP", "hours", "dollars", "hours as stage 1 of base", "dollars")
    print("\n| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    whole = 0.0
    for stage, passes in PASSES.items():
        loop = PRESETS[stage]["paper"].loop
        samples, gmac = loop.steps * loop.batch, sum(n * forward[name] for name, n in passes.items())
        flop = 2e9 * gmac * samples
        whole += flop
        print(f"| {stage} | {samples / 1e6:.2f} M | {gmac:,.0f} | {_rest(flop, slow)} |")
    print(f"| all | | | {_rest(whole, slow)} |")


def reached() -> float:
    """Floating-point operations a second in stage 1 of `base`, as it was timed."""
    gmac = ALEXNET
    for name in ("encoder", "generator", "renderer"):
        with torch.device("meta"):
            net = build("base", name).eval().requires_grad_(False)
        gmac += PASSES["avatar"][name] * gmacs(net, 256, 128)
    return STAGE1 * 2e9 * gmac


def _rest(flop: float, slow: float) -> str:
    fast, measured = flop / SPEED / 3600, flop / slow / 3600
    return f"{flop / 1e18:.1f} | {fast:.1f} | {fast * GPU:.0f} | {measured:.0f} | {measured * GPU:.0f}"


if __name__ == "__main__":
    main()
