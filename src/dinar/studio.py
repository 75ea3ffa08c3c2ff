"""What avatars are made with: options of `create`, and the body and networks, read once for many photos."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from .body import Body, load_body
from .bounds import check_options
from .device import current
from .errors import DinarError
from .labels import Convention
from .nets.regressor import TextureRegressor
from .neural.encode import NeuralOptions
from .neural.regression import open_regressor
from .neural.weights import Networks, Renderer, open_networks
from .options import check_choices
from .photo.surface import SURFACE_BODY, has_surface
from .texture.restore import SIZE as RESTORED

Build = Literal["auto", "woman", "neutral", "man"]
BUILDS = {"woman": -1.0, "neutral": 0.0, "man": 1.0}  # of View.build
TEXTURE = 1024  # texels a side of the RGB layer; a head is 65-95 px in a 512 crop, so 256 would blur faces


@dataclass(frozen=True)
class CreateOptions(NeuralOptions):
    """What can be chosen about an avatar. `dinar create` has a flag for every field."""

    person: int | None = None
    """Which person, counted from the left: 1, 2, ... None: the largest and most central one."""
    masks: Annotated[tuple[Path, ...], tyro.conf.arg(name="mask")] = ()
    """A mask file for each photo (the person white or opaque); with --mask-convention, a class map for each."""
    # The --mask files are class maps from a human parser (segmentation network), used instead of ours. This names the
    # data set whose class numbers they use; for the parser SCHP: lip or atr.
    mask_convention: Convention | None = None
    keep_accessories: bool = False
    """Count bags and things in the hands as part of the person. Black-and-white masks of --mask stay as they are."""
    keypoints: tuple[Path, ...] = ()
    """A keypoint file for each photo: OpenPose json, or npz of 33 BlazePose or 17 COCO points."""
    fits: Annotated[tuple[Path, ...], tyro.conf.arg(name="fit")] = ()
    """A body fit for each photo, from --save-fit or `dinar fit --each`. With --body smplx also a SMPLify-X pkl."""
    # Focal length of the camera in millimetres of 35 mm film (24 to 28: a phone's main camera). None: what the photo's
    # EXIF data say, else about 47.
    focal: float | None = None
    build: Build = "auto"
    """Whose build the body has, before the photo's outline is fitted: a woman's, a man's, or between both. auto: as
    the photo looks."""
    heels: float | None = None
    """Metres that the heels of the shoes are high, 0 to .15; 0: flat shoes. None: as the photo looks."""
    offsets: bool = True
    """Widen the body mesh to the outline of clothes and hair in the photo. Not with weights trained without it."""
    shells: bool = True
    """Skirts, dresses and long coats as surfaces of their own, where the parse shows them."""
    hair: bool = False
    """Hair below the chin as a surface of its own, too. Otherwise only hair down to the chest or longer is one."""
    occlusion: bool = True
    """Take no colours along the outlines of limbs in front of the body, where the fit is uncertain (paper, §3.5)."""
    # Ask the surface network which colours are the body's own. Those of forearms and hands in front of it are not
    # taken, which would stay printed on it; those along outlines are, where it is sure of them. Only with --body anny.
    evidence: bool = True
    refuse: bool = True
    """Make no avatar of a photo whose fitted body is certainly wrong. Not judged where you give the --fit."""
    blend: Literal["softmax", "poisson"] = "softmax"
    """How several photos are merged: weighted mean of colours (softmax; paper, eq. 5), or of gradients (poisson)."""
    size: int = TEXTURE
    """Width and height of the colour texture in texels (texture pixels)."""
    # What draws pictures of the avatar: its textured mesh, or the neural renderer (paper, §3.1). auto: neural if
    # there are --weights or the shipped weights are marked as better than the mesh, else mesh. Exports have the mesh.
    renderer: Renderer = "auto"
    weights: Path | None = None
    """Folder of weights of the neural renderer, as RUN/weights of `dinar train`. None: the shipped ones."""
    regressor: Path | None = None
    """Folder of weights of `dinar train regression`, RUN/weights, for --unseen regression and for a diffusion that
    starts from its answer. None: the shipped ones."""

    def __post_init__(self) -> None:
        check_choices(self)
        check_options(self)
        for name in ("masks", "keypoints", "fits"):
            given = getattr(self, name)
            files = [given] if isinstance(given, str | Path) else given
            object.__setattr__(self, name, tuple(Path(f) for f in files))
        if self.weights is not None:
            object.__setattr__(self, "weights", Path(self.weights))
            if self.renderer == "mesh":
                raise DinarError("weights are of the neural renderer: expected renderer neural or no weights")
            object.__setattr__(self, "renderer", "neural")
        if self.regressor is not None:
            object.__setattr__(self, "regressor", Path(self.regressor))
            if self.unseen not in (None, "regression", "diffusion"):
                raise DinarError(f"a regressor is for unseen regression or diffusion, got unseen {self.unseen}")
            object.__setattr__(self, "unseen", self.unseen or "regression")
        if self.mask_convention and not self.masks:
            raise DinarError("expected the label map of each photo as its mask, got "
                             f"{self.mask_convention} labels and no mask")  # fmt: skip


@dataclass(frozen=True)
class Studio:
    """What avatars are made with: read once, used for every photo."""

    options: CreateOptions  # resolved
    body: Body
    networks: Networks | None  # of the neural renderer
    regressor: TextureRegressor | None  # of unseen texels
    evidence: bool  # the surface network tells which colours are the body's own


def open_studio(options: CreateOptions, body: Body | None = None) -> Studio:
    body = body or load_body()
    if options.build != "auto" and body.build is None:
        raise DinarError(f"expected --build auto with the {body.name} body, which does not tell men from women; got "
                         f"{options.build}")  # fmt: skip
    evidence = options.evidence and body.name == SURFACE_BODY and has_surface()
    networks = open_networks(options.weights, options.renderer, body.atlas.hash, options.unseen)
    networks = None if networks is None else networks.to(current())
    o = options.resolved(networks)
    starts = networks is not None and o.unseen == "diffusion" and networks.nets["denoiser"].config["start"]
    asked = o.unseen == "regression" or starts == "regression"
    regressor = open_regressor(o.regressor, body).to(current()) if asked else None
    if regressor is not None and min(RESTORED, o.size) % (own := regressor.config["size"]):
        raise DinarError(f"expected a size of a multiple of {own} texels for unseen {o.unseen}, got {o.size}: take "
                         f"--unseen restoration, or --size {TEXTURE}")  # fmt: skip
    return Studio(o, body, networks, regressor, evidence)


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.restart()

    def restart(self) -> None:
        self._start = time.perf_counter()

    def lap(self, name: str) -> None:
        self.seconds[name] = round(time.perf_counter() - self._start, 3)
        self.restart()
