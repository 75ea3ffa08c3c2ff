"""`dinar create`."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from ..avatar import SUFFIXES
from ..create import CreateOptions, create
from ..errors import DinarError
from ..files import PICTURES, check_outputs
from ..photo.image import PREVIEW
from ..pictures import write_image
from ..preview import candidates, preview
from .common import Common, Flat, Output, Paths, given_files, open_body, say


@dataclass
class Create(Common):
    """Make an avatar from one photo, or from several photos of one person."""

    photos: Paths = field(default_factory=list)
    """Photos of the same person, the front view first."""
    out: Output = Path("me.avatar")
    """Avatar file to write, NAME.avatar. The preview is NAME.preview.png beside it."""
    save_fit: Path | None = None
    """Also write the body fit of the first photo to this npz file, for --fit."""
    preview: bool = True
    """Write the preview: a picture of the body fit and of the avatar from all sides."""
    candidates: int = 0
    """Write NAME.candidates.png beside the avatar: what this number of seeds, from --seed on, give to what the photo
    does not show. Choose one with --seed. Only with --unseen diffusion. 0: no such picture."""
    options: Flat[CreateOptions] = field(default_factory=CreateOptions)


def run(c: Create) -> None:

    if not c.photos:
        raise DinarError("expected a photo: dinar create PHOTO [PHOTO ...] -o me.avatar")
    if c.candidates and c.options.unseen != "diffusion":
        raise DinarError("candidates differ by the seed of the diffusion: add --renderer neural --unseen diffusion")
    sheet, choice = (c.out.parent / f"{c.out.stem}{end}" for end in (PREVIEW, ".candidates.png"))
    outputs = [(c.out, SUFFIXES), *[(sheet, PICTURES)] * c.preview]
    outputs += [(c.save_fit, (".npz",))] if c.save_fit else []
    o = c.options
    outputs += [(choice, PICTURES)] * (c.candidates > 0)
    check_outputs(outputs, given_files(*c.photos, *o.masks, *o.keypoints, *o.fits, c.body_path))
    start = time.perf_counter()
    avatar = create(c.photos, o, body=open_body(c), progress=lambda s: say(f"  {s}"))
    for s in avatar.work.subjects:
        if s.count > 1:
            say(f"  {s.name}: took person {s.index} of {s.count}, counted from the left (--person N for another)")
    avatar.save(c.out)
    if c.save_fit:
        avatar.work.fits[0].save(c.save_fit, avatar.work.subjects[0].turn)
    if c.preview:
        write_image(sheet, preview(avatar, avatar.work))
    if c.candidates:
        others = (avatar.work.again(o.seed + k) for k in range(1, c.candidates))
        write_image(choice, candidates([avatar, *others], o.seed))
        say(f"{choice}: choose one with --seed")
    kind = "textured mesh"
    if avatar.neural is not None:
        kind = "neural: " + ", ".join(avatar.meta["neural"]["parts"])
    say(f"{c.out} ({kind}) in {time.perf_counter() - start:.1f} s" + (f"; look at {sheet}" if c.preview else ""))
