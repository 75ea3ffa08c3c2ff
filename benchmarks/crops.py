"""How much of what is made of a small person depends on what lies around them in the photo.

    python benchmarks/crops.py --photo ../shared/cases/photo/person_1000px_in_24MP.jpg
    python benchmarks/crops.py                                  # the demo photo in the middle of 24 megapixels

The photo is cut around the person in several ways, without being encoded again, and an avatar is made of each. Printed
is the PSNR of the head's texels against those of the first crop (with the demo photo: of the photo itself), and of all
texels; and of the face in the same view, against what was read of each file.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from dinar.body import load_body
from dinar.body.regions import regions
from dinar.create import create
from dinar.demo import PHOTO
from dinar.evaluate import psnr
from dinar.evaluate.features import Lpips
from dinar.photo.framing import frame
from dinar.photo.image import read_photo
from dinar.texture import texels
from face import measure

WIDTH, HEIGHT = 6000, 4000  # of the canvas around the demo photo
# Left, top, right and bottom of the crops beyond the person's box, in its heights.
CROPS = {"crop": (0.2, 0.1, 0.2, 0.1), "moved": (0.207, 0.103, 0.2, 0.1), "wide": (0.5, 0.25, 0.4, 0.25),
         "beside": (0.9, 0.1, 0.1, 0.15)}  # fmt: skip


def canvas() -> np.ndarray:
    """The demo photo in a larger one, whose surroundings go on as its border begins."""
    photo = np.asarray(Image.open(PHOTO).convert("RGB"))
    h, w = photo.shape[:2]
    top, left = (HEIGHT - h) * 2 // 3, (WIDTH - w) // 3
    return np.pad(photo, ((top, HEIGHT - h - top), (left, WIDTH - w - left), (0, 0)), mode="edge")


def texture(path: Path) -> tuple[np.ndarray, float]:
    """[H, W, 3] float32 in [0, 1], and the PSNR of the face in the same view, against what was read of the file."""
    avatar = create(path, renderer="mesh")
    return avatar.rgb.astype(np.float32) / 255, measure(avatar, Lpips("alex"))["psnr"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="default: made of the demo photo")
    parser.add_argument("--only", nargs="*", choices=list(CROPS), default=list(CROPS))
    a = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        pixels = canvas() if a.photo is None else np.asarray(Image.open(a.photo).convert("RGB"))
        whole = Path(scratch) / "whole.png"
        Image.fromarray(pixels).save(whole, compress_level=1)
        person = frame(whole).person
        assert person is not None
        x0, y0, x1, y1 = np.array(person.box) / read_photo(whole).scale  # people are found in all of it
        files = {} if a.photo else {"demo": PHOTO}
        for name in a.only:
            left, top, right, bottom = np.array(CROPS[name]) * (y1 - y0)
            part = pixels[max(0, int(y0 - top)) : int(y1 + bottom), max(0, int(x0 - left)) : int(x1 + right)]
            files[name] = Path(scratch) / f"{name}.png"
            Image.fromarray(part).save(files[name], compress_level=1)
        made = {name: texture(p) for name, p in (files | {"whole": whole}).items()}
    found = {name: rgb for name, (rgb, _) in made.items()}
    body = load_body()
    places = texels(body.atlas, next(iter(found.values())).shape[0])
    head = regions(body).skull[np.asarray(body.faces)[places.face]].all(1)
    reference = next(iter(found))
    print(f"| photo | head, dB against {reference} | all, dB | face, same view, dB |\n| --- | --- | --- | --- |")
    for name, rgb in found.items():
        mine, theirs = (x.reshape(-1, 3)[places.index] for x in (rgb, found[reference]))
        apart = "| |" if name == reference else f"| {psnr(mine[head], theirs[head]):.1f} | {psnr(mine, theirs):.1f} |"
        print(f"| {name} {apart} {made[name][1]:.2f} |")


if __name__ == "__main__":
    main()
