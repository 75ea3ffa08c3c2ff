"""How much the light of ``texture/light.py`` explains, and what it is worth on texels that were hidden.

    python benchmarks/light.py RUN/textures/1_photos [--every 2]

The folder is a texture set, as ``dinar train regression`` keeps them in its run. Of every person's most frontal view:
exponents of sky and side by least squares over all seen cloths, the share of the variance of their brightness that
both explain, and PSNR of the restored texels that the view does not show, with and without the light.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from dinar.body import load_body
from dinar.body.shells import wear
from dinar.data.textures import open_textures
from dinar.texture import light, restore
from dinar.texture.surface import surface
from dinar.train.regression import task


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("set", type=Path)
    p.add_argument("--every", type=int, default=1, help="take each nth person")
    p.add_argument("--size", type=int, default=128, help="texels a side of the set")
    a = p.parse_args()
    torch.set_num_threads(1)
    body, usual, deviation = load_body(), light.USUAL, light.DEVIATION
    people = open_textures(a.set, body, a.size)
    exponents, explained, psnr = [], [], []
    for i in range(0, len(people), a.every):
        own = wear(body, people.shells[i])
        s = surface(own, a.size)
        x = task(people, i, int(people.front[i].argmax()))
        rgb, truth = (x[k].transpose(1, 2, 0) for k in ("rgb", "truth"))
        lam, worn = x["lam"][0], x["worn"][0].astype(np.uint8)
        hidden = (x["known"] * (x["lam"] == 0))[0, ..., None]
        scores = []
        for use in (False, True):
            light.USUAL, light.DEVIATION = (usual, deviation) if use else (0 * usual, 0 * deviation + 1e-6)
            out = restore(own, rgb, lam, worn if worn.any() else None)
            scores.append(-10 * np.log10((np.square(out - truth) * hidden).sum() / max(3 * hidden.sum(), 1) + 1e-8))
        psnr.append(scores)
        at = lambda x: x.reshape(a.size**2, -1)[s.texels.index]  # noqa: B023, E731
        many = light.MANY * (a.size / 512) ** 2
        parts = light.cloths(light.told(own, s), at(rgb), at(lam)[:, 0], at(worn)[:, 0], many)
        if len(parts[1]):
            e = np.linalg.lstsq(*parts, rcond=None)[0]
            exponents.append(e)
            explained.append(1 - np.square(parts[1] - parts[0] @ e).mean() / max(np.square(parts[1]).mean(), 1e-9))
    e, scores = np.array(exponents), np.array(psnr)
    print(f"{len(scores)} people, {len(e)} with a parse")
    for name, x in zip(("sky", "side"), e.T, strict=True):
        print(f"exponent of {name}: mean {x.mean():.2f}, deviation {x.std():.2f}")
    print(f"explained variance: {np.mean(explained):.3f}")
    even, lit = scores.T
    better = (lit > even).mean()
    print(f"PSNR of hidden texels: {even.mean():.2f} dB even, {lit.mean():.2f} lit, better {better:.0%}")


if __name__ == "__main__":
    main()
