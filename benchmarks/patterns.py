"""What tells the restoration of a pattern, and of somebody seen from the side, for photos to look at.

    python benchmarks/patterns.py PHOTO... [--avatars DIR]

A row a photo: how much less one half of the trunk is seen than the other (``texture/halves.py``); then the cloths of
torso, arms and legs that are seen at MANY texels or more, with what ``texture/weave.py`` measures of them. The avatars
are kept in DIR, to look at.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import dinar
from dinar.texture import fold, halves
from dinar.texture.weave import Weave

MANY = 1500  # texels at 512²


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("photos", type=Path, nargs="+")
    p.add_argument("--avatars", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    sides: list[float] = []
    cloths: list[tuple[int, Weave]] = []
    weave_of, aside = fold.weave_of, halves.aside

    def cloth(colour: Any, place: Any) -> Weave:
        cloths.append((len(colour), weave_of(colour, place)))
        return cloths[-1][1]

    def side(s: Any, lam: Any) -> float:
        sides.append(aside(s, lam))
        return sides[-1]

    fold.weave_of, halves.aside = cloth, side
    print("| photo | aside | cloths: pattern, fine, coloured, usual strength |\n| --- | --- | --- |")
    for photo in a.photos:
        sides.clear()
        cloths.clear()
        avatar = dinar.create(photo, renderer="mesh")
        shown = [f"{w.pattern:.2f}: {w.fine:.2f}, {w.coloured:.2f}, {w.usual:.3f}" for n, w in cloths if n >= MANY]
        print(f"| {photo.stem} | {sides[0]:.2f} | {'; '.join(shown)} |", flush=True)
        if a.avatars:
            a.avatars.mkdir(parents=True, exist_ok=True)
            avatar.save(a.avatars / f"{photo.stem}.avatar")


if __name__ == "__main__":
    main()
