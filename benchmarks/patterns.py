"""What is found of patterns, and of somebody seen from the side, for photos to look at.

    python benchmarks/patterns.py PHOTO... [--avatars DIR]

A row a photo: how much less one half of the trunk is seen than the other (``texture/halves.py``); then how likely the
cloth of each class is patterned (``photo/traits.py``). The avatars are kept in DIR, to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

import dinar
from dinar.labels import CLASSES
from dinar.texture import halves


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="+")
    p.add_argument("--avatars", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    sides: list[float] = []
    aside = halves.aside

    def side(s: Any, lam: Any) -> float:
        sides.append(aside(s, lam))
        return sides[-1]

    halves.aside = side
    print("| photo | aside | patterned |\n| --- | --- | --- |")
    for photo in a.photos:
        sides.clear()
        avatar = dinar.create(photo, renderer="mesh")
        told = avatar.work.sampled.patterns
        told = np.full((2, len(CLASSES)), np.nan) if told is None else told
        shown = "; ".join(f"{c}{place} {p:.2f}" for place, row in zip(("", " on arms"), told, strict=True)
                          for c, p in zip(CLASSES, row, strict=True) if not np.isnan(p))  # fmt: skip
        print(f"| {photo.stem} | {sides[0]:.2f} | {shown} |", flush=True)
        if a.avatars:
            a.avatars.mkdir(parents=True, exist_ok=True)
            avatar.save(a.avatars / f"{photo.stem}.avatar")


if __name__ == "__main__":
    main()
