"""Photo(s) to avatar: the inference of §3.4, top to bottom.

fit the body -> judge the fit -> dress the body -> sample the texture -> merge views -> complete the unseen -> Avatar
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .avatar import Avatar
from .body import Body
from .cores import algebra_threads, beside
from .device import current, use
from .errors import DinarError
from .fit.face import fit_expression
from .fit.fingers import fit_fingers
from .fit.fit_file import Fit, load_fit, read_fit
from .fit.heels import heel_height, on_heels
from .fit.judgement import Judgement, judge
from .fit.likeness import fit_likeness, seat_eyes, turn_head
from .fit.offsets import Silhouette, fit_offsets
from .fit.pockets import hide_hands
from .fit.shells import finish, fit_shells
from .fit.smplify import fit_body
from .nets.channels import SAMPLED
from .nets.perceptual import LPIPS
from .neural.avatar import fine_layer, whole_layer
from .neural.encode import FILLED, make_neural
from .neural.regression import predictor
from .options import changed
from .scene import rasterize_mesh
from .scene.crop import crop_box, warp_crop
from .studio import BUILDS, Clock, CreateOptions, Studio, open_studio
from .subject import Subject, read_subject
from .texture import Shot, gather, merge, merge_poisson, prepare, restore, shoot, texels
from .texture.agreement import evidence_of, in_crop
from .texture.closer import with_closer_head
from .texture.eyes import with_eyes
from .texture.mouth import with_mouth, with_teeth_colours
from .texture.occlusion import occlusion_outlines
from .version import __version__

CROP = 1024  # pixels a side of the crop that is sampled


def create(
    photos: str | Path | Sequence[str | Path],
    options: CreateOptions | None = None,
    *,
    body: Body | None = None,  # None: the default body
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[list[Subject], list[Fit]], None] = lambda subjects, fits: None,  # called when there is more
    device: str | None = None,  # auto, cpu, cuda, cuda:N, mps; None: as `dinar.use` said
    **changes: Any,  # fields of CreateOptions
) -> Avatar:
    """Make an avatar from one photo, or from several of the same person (front first).

    The textured mesh is always made: it is what is exported, and the neural avatar has its body and colours.

        create("me.jpg", person=2, renderer="mesh")

    Raises:
        DinarError: no whole person in a photo, an unreadable file, a wrong size; says what to do.
    """
    if device is not None:
        use(device)
    o = changed(options or CreateOptions(), changes)
    paths = [Path(photos)] if isinstance(photos, str | Path) else [Path(p) for p in photos]
    for given, what in ((o.masks, "masks"), (o.keypoints, "keypoints"), (o.fits, "fits")):
        if given and len(given) != len(paths):
            raise DinarError(f"expected one of the {what} for each photo: {len(paths)} photos, {len(given)} {what}")
    if not paths:
        raise DinarError("expected at least one photo")
    return create_in(open_studio(o, body), paths, progress, found)


@algebra_threads()
def create_in(
    s: Studio,  # with options of these photos
    paths: Sequence[Path],
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[list[Subject], list[Fit]], None] = lambda subjects, fits: None,
) -> Avatar:
    """:func:`create` with a body and networks that are read already, for many people."""
    o, body, clock = s.options, s.body, Clock()
    for fit in o.fits:
        read_fit(fit, body)  # a damaged one is refused before the work
    subjects = []
    for i, path in enumerate(paths):
        progress(f"reading {path.name}")
        mask = o.masks[i] if o.masks else None
        points = o.keypoints[i] if o.keypoints else None
        subjects.append(read_subject(path, o.person, mask, points, o.keep_accessories, o.mask_convention,
                                     focal=o.focal, build=BUILDS.get(o.build)))  # fmt: skip
        for note in subjects[-1].notes:
            progress(f"{subjects[-1].name}: {note}")
    clock.lap("photo")
    found(subjects, [])

    progress("fitting the body")
    if o.fits:
        fits = [load_fit(f, body, x.view, x.turn) for f, x in zip(o.fits, subjects, strict=True)]
    else:
        fits = fit_body(body, [x.view for x in subjects])
        fits = [fit_fingers(body, f, x.hands) for f, x in zip(fits, subjects, strict=True)]
    clock.lap("fit")
    return make_avatar(s, paths, subjects, fits, clock, progress, found)


def make_avatar(
    s: Studio,
    paths: Sequence[Path],
    subjects: list[Subject],
    fits: list[Fit],
    clock: Clock,
    progress: Callable[[str], None] = lambda _: None,
    found: Callable[[list[Subject], list[Fit]], None] = lambda subjects, fits: None,
) -> Avatar:
    """The second half of :func:`create`: from the fitted body on."""
    o, body, networks, lap = s.options, s.body, s.networks, clock.lap
    betas = fits[0].betas
    judged = [judgement(body, x, f, o.refuse and not o.fits) for x, f in zip(subjects, fits, strict=True)]
    for x, j in zip(subjects, judged, strict=True):
        progress(f"{x.name}: {j}")
    lap("judgement")
    found(subjects, fits)

    faces = [fit_expression(body, x.face) for x in subjects]
    widened = o.offsets and (networks is None or networks.offsets)
    if widened and not o.fits:
        bare = torch.zeros(body.num_vertices, 3)
        fits = [turn_head(body, f, x.face, e, bare) for x, f, e in zip(subjects, fits, faces, strict=True)]
    heel = 0.0 if not widened else heel_height(body, fits, [x.view for x in subjects]) if o.heels is None else o.heels
    fits = [on_heels(body, f, heel) for f in fits]

    progress("fitting the clothes")
    silhouettes = [
        Silhouette(x.alpha > 0.5, f.pose, f.transl, f.camera, x.view.front, x.labels)
        for x, f in zip(subjects, fits, strict=True)
    ]
    plain = body
    body, form = fit_shells(body, betas, silhouettes if o.shells and widened else [], o.hair)
    if widened:
        form = form + fit_likeness(body, fits, [x.face for x in subjects], faces, torch.from_numpy(form))
    D = torch.from_numpy(form)
    lap("shells")
    with beside(lambda: prepare(body, o.size)):
        if widened:
            D = finish(body, plain, betas, form, fit_offsets(body, betas, silhouettes, start=form, heel=heel))
            D = torch.from_numpy(seat_eyes(body, D))
            fits = [hide_hands(body, f, own, D, x.view.surface, (k for k, h in x.hands.items() if h is not None))
                    for x, f, own in zip(subjects, fits, silhouettes, strict=True)]  # fmt: skip
    lap("offsets")

    progress("sampling the texture")
    shots = [take_shot(body, x, f, D, o.occlusion, s.evidence, expression=e)
             for x, f, e in zip(subjects, fits, faces, strict=True)]  # fmt: skip
    texture, seen, classes = sampled_texture(body, shots, o.size, o.blend)
    lap("sample")

    meta = {
        "dinar": __version__, "photos": [x.name for x in subjects], "people": [[x.index, x.count] for x in subjects],
        "options": {"offsets": o.offsets, "occlusion": o.occlusion, "evidence": s.evidence, "unseen": o.unseen},
        "heel": round(heel, 3),
        "keypoint_error": [None if o.fits else round(f.keypoint_error, 3) for f in fits],
        "judgement": [j.summary() for j in judged],
        "expression": [{n: round(x, 2) for n, x in zip(body.expression_names, e.tolist(), strict=True) if x > 0.005}
                       for e in faces],
    }  # fmt: skip
    files = tuple(Path(p).absolute() for p in (*paths, *o.masks, *o.keypoints, *o.fits))
    sampled = Sampled(body, subjects, fits, shots, D, texture, seen, classes, heel, patterns_of(subjects), meta, files)
    return completed(s, sampled, o.seed, clock, progress)


@dataclass(frozen=True)
class Sampled:
    """A person in clothes, with the part of the texture that the photos show."""

    body: Body  # with the surfaces of skirts and hair
    subjects: list[Subject]
    fits: list[Fit]
    shots: list[Shot]
    offsets: torch.Tensor  # [V, 3] metres
    texture: np.ndarray  # [S, S, 3] float32 in [0, 1]
    seen: np.ndarray  # [S, S] λ; 0: not seen
    classes: np.ndarray | None  # [S, S] uint8
    heel: float  # metres that the heels of shoes are high
    patterns: np.ndarray | None  # [2, classes] how likely cloths are patterned
    meta: dict[str, Any]
    files: tuple[Path, ...]  # that it was made of


@algebra_threads()
def completed(
    s: Studio, x: Sampled, seed: int, clock: Clock, progress: Callable[[str], None] = lambda _: None
) -> Avatar:
    """The last part of :func:`create`: what the photos do not show. ``seed`` is the diffusion's."""
    o, body, networks, lap = replace(s.options, seed=seed), x.body, s.networks, clock.lap
    predict = None if s.regressor is None else predictor(s.regressor, body)
    whole = x.texture
    if o.unseen != "diffusion":
        progress("restoring what the photo does not show")
        whole = restore(body, x.texture, x.seen, x.classes, light=predict, heels=x.heel > 0, patterns=x.patterns)
        lap("restore")

    neural, used = None, []
    if networks is not None:
        progress("making the neural texture")
        fine = fine_layer(whole, np.ones_like(x.seen)) if o.unseen in FILLED else fine_layer(x.texture, x.seen)
        pictures = [(p.rgb, p.alpha) for p in x.subjects]
        critic = perceptual(progress) if o.refine and o.rgb else None
        critic = None if critic is None else critic.to(current())
        answer = predict(x.texture, x.seen, x.classes) if predict is not None and o.unseen == "diffusion" else None
        neural, used = make_neural(body, networks, pictures, x.fits, x.offsets, fine, o, o.occlusion, critic,
                                   answer=answer, progress=progress, lap=lap)  # fmt: skip
        if o.unseen == "diffusion":  # the mesh and its exports have the inpainted colours, too
            inpainted = neural.texture[0, SAMPLED].permute(1, 2, 0).clamp(0, 1).cpu().numpy()
            whole = restore(body, x.texture, x.seen, x.classes, lambda *_: inpainted, heels=x.heel > 0,
                            patterns=x.patterns)  # fmt: skip
            lap("restore")

    rgb = (with_eyes(body, with_mouth(body, whole), x.seen) * 255 + 0.5).astype(np.uint8)
    if neural is not None and neural.fine is not None and o.unseen != "nothing":  # it is drawn in the same colours
        neural = replace(neural, fine=whole_layer(with_teeth_colours(body, rgb)))
    first = x.fits[0]
    meta = x.meta | {"renderer": "neural" if neural else "mesh"}
    if neural:
        meta["neural"] = {"parts": used, "neural": o.neural, "rgb": o.rgb, "unseen": o.unseen, "seed": o.seed}
    avatar = Avatar(body, first.betas, x.offsets, rgb, (x.seen * 255).astype(np.uint8), first.pose, first.transl,
                    first.whole_camera, meta, neural, x.files)  # fmt: skip
    avatar.work = Work(x.subjects, x.fits, x.shots, clock.seconds, s, x)
    return avatar


@dataclass
class Work:
    """What `create` found on the way: for previews and benchmarks, not saved."""

    subjects: list[Subject]
    fits: list[Fit]
    shots: list[Shot]
    seconds: dict[str, float]
    studio: Studio
    sampled: Sampled

    def again(self, seed: int) -> Avatar:
        """The same person with the diffusion's colours of another seed."""
        return completed(self.studio, self.sampled, seed, Clock())


def sampled_texture(
    body: Body, shots: list[Shot], size: int, blend: str = "softmax"
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What the photos show, merged: RGB [size, size, 3] float32, λ [size, size], 0: not seen, and the class of every
    texel [size, size] uint8 where all photos have a parse."""
    t = texels(body.atlas, size)
    layers = [gather(body, shot, t) for shot in shots]
    colours, lams, kinds = (np.stack(x) for x in zip(*layers, strict=True))
    colours = np.stack([with_closer_head(body, *x, t) for x in zip(shots, colours, lams, strict=True)])
    colour, lam = merge_poisson(body, t, colours, lams) if blend == "poisson" else merge(colours, lams)
    rgb, seen = np.zeros((size * size, 3), np.float32), np.zeros(size * size, np.float32)
    rgb[t.index], seen[t.index] = colour * (lam > 0)[:, None], lam
    classes = None
    if all(shot.labels is not None for shot in shots):
        classes = np.zeros(size * size, np.uint8)
        classes[t.index] = np.take_along_axis(kinds, lams.argmax(0)[None], 0)[0]
        classes = classes.reshape(size, size)
    return rgb.reshape(size, size, 3), seen.reshape(size, size), classes


def patterns_of(subjects: Sequence[Subject]) -> np.ndarray | None:
    """[2, classes] float32: how likely cloths are patterned, on average of the photos that show them; NaN: none."""
    told = [x.patterns for x in subjects if x.patterns is not None]
    if not told:
        return None
    seen = ~np.isnan(told)
    sums = np.where(seen, told, 0).sum(0)
    return np.where(seen.any(0), sums / np.maximum(seen.sum(0), 1), np.nan).astype(np.float32)


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
    shot.source = None if s.photo is None else (s.photo, fit.camera)
    if s.labels is not None:
        x0, y0, k = box
        y, x = np.mgrid[:size, :size]
        i = np.clip((y + 0.5) / k + y0, 0, s.labels.shape[0] - 1).astype(int)
        j = np.clip((x + 0.5) / k + x0, 0, s.labels.shape[1] - 1).astype(int)
        shot.labels = s.labels[i, j]
    return shot
