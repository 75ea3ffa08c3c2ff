"""`dinar create`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ..avatar import SUFFIXES
from ..create import create
from ..errors import DinarError
from ..files import PICTURES, check_outputs
from ..preview import preview, write_image
from .common import Common, Output, given_files, open_body, say


@dataclass
class Create(Common):
    """Make an avatar from a photo, or from several photos of one person (front first)."""

    photos: Annotated[list[Path], tyro.conf.Positional] = field(default_factory=list)
    """Photos of the same person: jpg, png, webp, tiff, ..."""
    out: Output = Path("me.avatar")
    """Where the avatar goes; a preview picture is written beside it."""
    person: int | None = None
    """Which person, counted from the left, when there are several; default: the largest, most central."""
    mask: list[Path] = field(default_factory=list)
    """Your own cut-out, one for each photo; or a label map, with --mask-convention."""
    mask_convention: Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"] | None = None
    """--mask is a label map of Graphonomy, SCHP (lip, atr), ...: its classes are used as the parser's would be."""
    keep_accessories: bool = False
    """Count bags and held things as the person (a cut-out of your own stays as it is)."""
    keypoints: list[Path] = field(default_factory=list)
    """Your own keypoints, one file for each photo: OpenPose json, or npz with 33 or 17 points."""
    fit: list[Path] = field(default_factory=list)
    """A body fit saved by --save-fit, one for each photo."""
    save_fit: Path | None = None
    """Also write the body fit of the (first) photo, as npz."""
    offsets: bool = True
    """Widen the mesh to clothes and hair."""
    occlusion: bool = True
    """Do not sample along the outlines of limbs in front of the body."""
    blend: Literal["softmax", "poisson"] = "softmax"
    """How several photos are merged."""
    learned: bool = False
    """Neural texture and renderer; without this, where trained weights say that they are better."""
    classical: bool = False
    """Never use networks for the texture. What is exported is the same with either."""
    weights: Path | None = None
    """Weights of the networks (RUN/weights of a training run); implies --learned."""
    neural: bool = True
    """Learned avatars: use the generated channels of the texture."""
    rgb: bool = True
    """Learned avatars: use the colours sampled from the photo."""
    unseen: Literal["diffusion", "classical", "nothing"] | None = None
    """Learned avatars: what fills the colours that no photo shows; default: what does better with the weights."""
    refine: bool | None = None
    """Learned avatars: refine and match colours; default: what does better with the weights."""
    seed: int = 0
    """Another seed, another back."""
    preview: bool = True
    """Write a sheet with the fit and the avatar from all sides."""


def run(c: Create) -> None:

    if not c.photos:
        raise DinarError("expected a photo: dinar create PHOTO [PHOTO ...] -o me.avatar")
    sheet = c.out.with_suffix(".preview.png")
    outputs = [(c.out, SUFFIXES), *[(sheet, PICTURES)] * c.preview]
    outputs += [(c.save_fit, (".npz",))] if c.save_fit else []
    check_outputs(outputs, given_files(*c.photos, *c.mask, *c.keypoints, *c.fit, c.body_path))
    if c.classical and (c.learned or c.weights):
        raise DinarError("expected --classical, or --learned with or without --weights, got both")
    start = time.perf_counter()
    avatar = create(c.photos, body=open_body(c), person=c.person, masks=c.mask, mask_convention=c.mask_convention,
                    keypoints=c.keypoints, fits=c.fit, keep_accessories=c.keep_accessories,
                    offsets=c.offsets, occlusion=c.occlusion, blend=c.blend,
                    learned=False if c.classical else c.learned or None, weights=c.weights,
                    neural=c.neural, rgb=c.rgb, unseen=c.unseen, refine=c.refine, seed=c.seed,
                    progress=lambda s: say(f"  {s}"))  # fmt: skip
    for s in avatar.work.subjects:
        if s.count > 1:
            say(f"  {s.name}: took person {s.index} of {s.count}, counted from the left (--person N for another)")
    avatar.save(c.out)
    if c.save_fit:
        avatar.work.fits[0].save(c.save_fit)
    if c.preview:
        write_image(sheet, preview(avatar, avatar.work))
    kind = "classical"
    if avatar.neural is not None:
        kind = "learned: " + ", ".join(avatar.meta["learned"]["parts"])
    say(f"{c.out} ({kind}) in {time.perf_counter() - start:.1f} s" + (f"; look at {sheet}" if c.preview else ""))
