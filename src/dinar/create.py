"""Photo(s) to avatar: the inference of §3.4, top to bottom.

fit the body -> judge the fit -> dress the body -> sample the texture -> merge views -> complete the unseen -> Avatar
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro

from .avatar import Avatar
from .body import Body, load_body
from .bounds import check_options
from .errors import DinarError
from .fit.face import fit_expression
from .fit.fingers import fit_fingers
from .fit.fit_file import Fit, load_fit
from .fit.judgement import Judgement, judge
from .fit.offsets import Silhouette, fit_offsets
from .fit.pockets import hide_hands
from .fit.shells import finish, fit_shells
from .fit.smplify import fit_body
from .labels import Convention
from .nets.channels import SAMPLED
from .nets.perceptual import LPIPS
from .neural.avatar import fine_layer
from .neural.encode import FILLED, NeuralOptions, make_neural
from .neural.regression import open_regressor, predictor
from .neural.weights import Renderer, open_networks
from .options import changed, check_choices
from .photo.surface import SURFACE_BODY, has_surface
from .scene import rasterize_mesh
from .scene.crop import crop_box, warp_crop
from .subject import Subject, read_subject
from .texture import Shot, gather, merge, merge_poisson, restore, shoot, texels
from .texture.agreement import evidence_of, in_crop
from .texture.mouth import with_mouth
from .texture.occlusion import occlusion_outlines
from .version import __version__

TEXTURE = 1024  # texels a side of the RGB layer; a head is 65-95 px in a 512 crop, so 256 would blur faces
CROP = 1024  # pixels a side of the crop that is sampled


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
    offsets: bool = True
    """Widen the body mesh to the outline of clothes and hair in the photo. Not with weights trained without it."""
    shells: bool = True
    """Skirts, dresses, long coats and long hair as surfaces of their own, where the parse shows them."""
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
    """Folder of weights for --unseen regression, as RUN/weights of `dinar train regression`. None: the shipped ones."""

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
            if self.unseen not in (None, "regression"):
                raise DinarError(f"a regressor is for unseen regression, got unseen {self.unseen}")
            object.__setattr__(self, "unseen", "regression")
        if self.mask_convention and not self.masks:
            raise DinarError("expected the label map of each photo as its mask, got "
                             f"{self.mask_convention} labels and no mask")  # fmt: skip


def create(
    photos: str | Path | Sequence[str | Path],
    options: CreateOptions | None = None,
    *,
    body: Body | None = None,  # None: the default body
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[list[Subject], list[Fit]], None] = lambda subjects, fits: None,  # called when there is more
    **changes: Any,  # fields of CreateOptions
) -> Avatar:
    """Make an avatar from one photo, or from several of the same person (front first).

    The textured mesh is always made: it is what is exported, and the neural avatar has its body and colours.

        create("me.jpg", person=2, renderer="mesh")

    Raises:
        DinarError: no whole person in a photo, an unreadable file, a wrong size; says what to do.
    """
    o = changed(options or CreateOptions(), changes)
    paths = [Path(photos)] if isinstance(photos, str | Path) else [Path(p) for p in photos]
    for given, what in ((o.masks, "masks"), (o.keypoints, "keypoints"), (o.fits, "fits")):
        if given and len(given) != len(paths):
            raise DinarError(f"expected one of the {what} for each photo: {len(paths)} photos, {len(given)} {what}")
    if not paths:
        raise DinarError("expected at least one photo")
    body = body or load_body()
    evidence = o.evidence and body.name == SURFACE_BODY and has_surface()
    networks = open_networks(o.weights, o.renderer, body.atlas.hash)
    o = o.resolved(networks)
    regressor = open_regressor(o.regressor, body) if o.unseen == "regression" else None
    clock = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        clock[name], start = round(now - start, 3), now

    subjects = []
    for i, path in enumerate(paths):
        progress(f"reading {path.name}")
        mask = o.masks[i] if o.masks else None
        points = o.keypoints[i] if o.keypoints else None
        s = read_subject(path, o.person, mask, points, o.keep_accessories, o.mask_convention, focal=o.focal)
        subjects.append(s)
        for note in s.notes:
            progress(f"{s.name}: {note}")
    lap("photo")
    found(subjects, [])

    progress("fitting the body")
    if o.fits:
        fits = [load_fit(f, body, s.view, s.turn) for f, s in zip(o.fits, subjects, strict=True)]
    else:
        fits = fit_body(body, [s.view for s in subjects])
        fits = [fit_fingers(body, f, s.hands) for f, s in zip(fits, subjects, strict=True)]
    betas = fits[0].betas
    lap("fit")
    judged = [judgement(body, s, f, o.refuse and not o.fits) for s, f in zip(subjects, fits, strict=True)]
    for s, j in zip(subjects, judged, strict=True):
        progress(f"{s.name}: {j}")
    lap("judgement")
    found(subjects, fits)

    progress("fitting the clothes")
    silhouettes = [
        Silhouette(s.alpha > 0.5, f.pose, f.transl, f.camera, s.view.front, s.labels)
        for s, f in zip(subjects, fits, strict=True)
    ]
    widened = o.offsets and (networks is None or networks.offsets)
    plain = body
    body, form = fit_shells(body, betas, silhouettes if o.shells and widened else [])
    D = torch.from_numpy(form)
    lap("shells")
    if widened:
        D = torch.from_numpy(finish(body, plain, betas, form, fit_offsets(body, betas, silhouettes, start=form)))
        fits = [hide_hands(body, f, own, D, s.view.surface, (k for k, h in s.hands.items() if h is not None))
                for s, f, own in zip(subjects, fits, silhouettes, strict=True)]  # fmt: skip
    lap("offsets")

    progress("sampling the texture")
    faces = [fit_expression(body, s.face) for s in subjects]
    shots = [take_shot(body, s, f, D, o.occlusion, evidence, expression=e)
             for s, f, e in zip(subjects, fits, faces, strict=True)]  # fmt: skip
    texture, seen, classes = sampled_texture(body, shots, o.size, o.blend)
    lap("sample")

    whole = texture
    if o.unseen != "diffusion":
        progress("restoring what the photo does not show")
        whole = restore(body, texture, seen, classes, None if regressor is None else predictor(regressor, body))
        lap("restore")

    neural, used = None, []
    if networks is not None:
        progress("making the neural texture")
        fine = fine_layer(whole, np.ones_like(seen)) if o.unseen in FILLED else fine_layer(texture, seen)
        pictures = [(s.rgb, s.alpha) for s in subjects]
        critic = perceptual(progress) if o.refine and o.rgb else None
        neural, used = make_neural(body, networks, pictures, fits, D, fine, o, o.occlusion, critic,
                                   progress=progress, lap=lap)  # fmt: skip
        if o.unseen == "diffusion":  # the mesh and its exports have the inpainted colours, too
            inpainted = neural.texture[0, SAMPLED].permute(1, 2, 0).clamp(0, 1).cpu().numpy()
            whole = restore(body, texture, seen, classes, lambda *_: inpainted)
            lap("restore")

    whole = with_mouth(body, whole)
    first = fits[0]
    meta = {
        "dinar": __version__, "photos": [s.name for s in subjects], "renderer": "neural" if neural else "mesh",
        "people": [[s.index, s.count] for s in subjects],
        "options": {"offsets": o.offsets, "occlusion": o.occlusion, "evidence": evidence, "unseen": o.unseen},
        "keypoint_error": [None if o.fits else round(f.keypoint_error, 3) for f in fits],
        "judgement": [j.summary() for j in judged],
        "expression": [{n: round(x, 2) for n, x in zip(body.expression_names, e.tolist(), strict=True) if x > 0.005}
                       for e in faces],
    }  # fmt: skip
    if neural:
        meta["neural"] = {"parts": used, "neural": o.neural, "rgb": o.rgb, "unseen": o.unseen, "seed": o.seed}
    avatar = Avatar(body, betas, D, (whole * 255 + 0.5).astype(np.uint8), (seen * 255).astype(np.uint8),
                    first.pose, first.transl, first.whole_camera, meta, neural,
                    tuple(Path(p).absolute() for p in (*paths, *o.masks, *o.keypoints, *o.fits)))  # fmt: skip
    avatar.work = Work(subjects, fits, shots, clock)
    return avatar


@dataclass
class Work:
    """What `create` found on the way: for previews and benchmarks, not saved."""

    subjects: list[Subject]
    fits: list[Fit]
    shots: list[Shot]
    seconds: dict[str, float]


def sampled_texture(
    body: Body, shots: list[Shot], size: int, blend: str = "softmax"
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What the photos show, merged: RGB [size, size, 3] float32, λ [size, size], 0: not seen, and the class of every
    texel [size, size] uint8 where all photos have a parse."""
    t = texels(body.atlas, size)
    layers = [gather(body, shot, t) for shot in shots]
    colours, lams, kinds = (np.stack(x) for x in zip(*layers, strict=True))
    colour, lam = merge_poisson(body, t, colours, lams) if blend == "poisson" else merge(colours, lams)
    rgb, seen = np.zeros((size * size, 3), np.float32), np.zeros(size * size, np.float32)
    rgb[t.index], seen[t.index] = colour * (lam > 0)[:, None], lam
    classes = None
    if all(shot.labels is not None for shot in shots):
        classes = np.zeros(size * size, np.uint8)
        classes[t.index] = np.take_along_axis(kinds, lams.argmax(0)[None], 0)[0]
        classes = classes.reshape(size, size)
    return rgb.reshape(size, size, 3), seen.reshape(size, size), classes


def perceptual(progress: Callable[[str], None]) -> LPIPS | None:
    """For the refinement. Its weights are fetched once; where that cannot be, the refinement does without."""
    try:
        return LPIPS("alex")
    except DinarError as e:
        progress(f"refining without LPIPS: {e}")
        return None


def judgement(body: Body, s: Subject, fit: Fit, refuse: bool) -> Judgement:
    """How far the fit of a photo can be trusted.

    Raises:
        DinarError: it is nonsense, and such are refused.
    """
    j = judge(body, fit, s.view, s.count == 1)
    if refuse and j.nonsense:
        raise DinarError(f"{s.name}: the body was not found: {'; '.join(j.nonsense)}. Use a photo of one whole person, "
                         "or --no-refuse to make the avatar all the same")  # fmt: skip
    return j


def take_shot(
    body: Body,
    s: Subject,
    fit: Fit,
    offsets: torch.Tensor,  # [V, 3] metres
    occlusion: bool,
    evidence: bool,
    size: int = CROP,
    expression: torch.Tensor | None = None,  # [num_expression] of the photo's face; None: neutral
) -> Shot:
    """The crop of a photo with the dressed mesh rasterised over it."""
    box = crop_box(s.alpha > 0.5, size)
    rgb = warp_crop(s.rgb.astype(np.float32) / 255, box, size, 1.0)
    alpha = warp_crop(s.alpha, box, size, 0.0)
    camera = fit.camera.crop(*box, size, size)
    face = None if expression is None else expression[None]
    vertices = body(fit.betas[None], fit.pose[None], fit.transl[None], face, offsets).vertices[0]
    shot = shoot(body, vertices, camera, np.clip(rgb, 0, 1), alpha > 0.5)
    unsure = np.zeros((size, size), bool)
    if occlusion:
        unsure = occlusion_outlines(body, rasterize_mesh(vertices, body.faces, camera))
    surface = s.view.surface
    if evidence:
        assert surface is not None
        e = evidence_of(body, s, vertices, fit.camera)
        unsure = unsure & ~in_crop(surface, e.sure, box, size) | in_crop(surface, e.before, box, size)
    shot.usable &= ~unsure
    if s.labels is not None:
        x0, y0, k = box
        y, x = np.mgrid[:size, :size]
        i = np.clip((y + 0.5) / k + y0, 0, s.labels.shape[0] - 1).astype(int)
        j = np.clip((x + 0.5) / k + x0, 0, s.labels.shape[1] - 1).astype(int)
        shot.labels = s.labels[i, j]
    return shot
