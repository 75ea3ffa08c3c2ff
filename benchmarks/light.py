"""What light and wrinkles of the restoration are worth on texels that were hidden, and how much light explains.

    python benchmarks/light.py RUN/textures/1_photos [--every 2]

The folder is a texture set, as ``dinar train regression`` keeps them in its run. Of every person's most frontal view:
exponents of sky and side (``texture/light.py``) by least squares over all seen cloths; the share of the variance of
their brightness that both explain; and PSNR of the restored texels that the view does not show, as shipped and with
single parts changed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from dinar.body import load_body
from dinar.body.shells import wear
from dinar.data.textures import open_textures
from dinar.texture import light, restore
from dinar.texture.surface import surface
from dinar.train.regression import task

RULES, FOLD = sys.modules["dinar.texture.restore"], sys.modules["dinar.texture.fold"]
CHANGES: dict[str, tuple[tuple[Any, str, Any], ...]] = {
    "as shipped": (),
    "even light": ((RULES, "light_on", lambda *_: np.float32(1)),),
    "no wrinkles": ((FOLD, "wrinkles", lambda colour, place, here, *_: np.zeros(len(here))),),
    "LIGHT .2, any tone": (
        (RULES, "LIGHT", 0.2),
        (RULES, "FACE_LIGHT", 2),
        (RULES, "MEETING", 1.5),
        (RULES, "TONE", 9),
    ),
    "any tone": ((RULES, "TONE", 9),),
}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("set", type=Path)
    p.add_argument("--every", type=int, default=1, help="take each nth person")
    p.add_argument("--size", type=int, default=128, help="texels a side of the set")
    a = p.parse_args()
    torch.set_num_threads(1)
    body, many = load_body(), light.MANY * (a.size / 512) ** 2
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
        for changes in CHANGES.values():
            patches = [mock.patch.object(*change) for change in changes]
            for patch in patches:
                patch.start()
            out = restore(own, rgb, lam, worn if worn.any() else None)
            for patch in patches:
                patch.stop()
            scores.append(-10 * np.log10((np.square(out - truth) * hidden).sum() / max(3 * hidden.sum(), 1) + 1e-8))
        psnr.append(scores)
        at = lambda x: x.reshape(a.size**2, -1)[s.texels.index]  # noqa: B023, E731
        parts = light.cloths(light.told(own, s), at(rgb), at(lam)[:, 0], at(worn)[:, 0], many)
        if len(parts[1]):
            e = np.linalg.lstsq(*parts, rcond=None)[0]
            exponents.append(e)
            explained.append(1 - np.square(parts[1] - parts[0] @ e).mean() / max(np.square(parts[1]).mean(), 1e-9))
    e, scores = np.array(exponents), np.array(psnr)
    print(f"{len(scores)} people, {len(e)} with a parse")
    for name, values in zip(("sky", "side"), e.T, strict=True):
        print(f"exponent of {name}: mean {values.mean():.2f}, deviation {values.std():.2f}")
    print(f"explained variance: {np.mean(explained):.3f}")
    for name, values in zip(CHANGES, scores.T, strict=True):
        worse = (values < scores[:, 0]).mean()
        print(f"PSNR of hidden texels, {name}: {values.mean():.2f} dB; worse than as shipped for {worse:.0%}")


if __name__ == "__main__":
    main()
