"""Photo(s) to avatar: the inference of §3.4, top to bottom.

fit the body -> widen it to the clothes -> sample the texture -> merge views -> restore the unseen -> Avatar
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .avatar import Avatar
from .body import Body, load_body
from .errors import DinarError
from .fit.fingers import fit_fingers
from .fit.fit_file import Fit, load_fit
from .fit.offsets import Silhouette, fit_offsets
from .fit.smplify import fit_body
from .nets.perceptual import LPIPS
from .neural.avatar import fine_layer
from .neural.encode import Options, make_neural
from .neural.weights import Unseen, open_networks
from .scene import rasterize_mesh
from .scene.crop import crop_box, warp_crop
from .subject import Subject, read_subject
from .texture import Shot, gather, merge, merge_poisson, restore, shoot, texels
from .texture.occlusion import occlusion_outlines
from .version import __version__

TEXTURE = 1024  # texels a side of the RGB layer; a head is 65-95 px in a 512 crop, so 256 would blur faces
CROP = 1024  # pixels a side of the crop that is sampled




def create(
    photos: str | Path | Sequence[str | Path],
    *,
    body: Body | None = None,
    person: int | None = None,  # which one, counted from the left, if there are several
    masks: Sequence[str | Path] = (),  # the user's own, one a photo: a cut-out,
    mask_convention: str | None = None,  # or label maps of one of fit.labels.CONVENTIONS
    keypoints: Sequence[str | Path] = (),  # likewise: OpenPose json or npz
    fits: Sequence[str | Path] = (),  # likewise: npz of `Fit.save`, or SMPLify-X pkl for the smplx body
    offsets: bool = True,  # widen the mesh to the clothes
    occlusion: bool = True,  # leave out what limbs may hide (§3.5)
    blend: str = "softmax",  # several photos: eq. 5, or "poisson"
    keep_accessories: bool = False,  # bags and held things are part of the person
    size: int = TEXTURE,
    learned: bool | None = None,  # neural texture and renderer (§3.1); None: where the weights are said to be better
    weights: Path | None = None,  # folder of networks; None: those in the package
    neural: bool = True,  # learned avatars: the generated channels,
    rgb: bool = True,  # the sampled ones,
    unseen: Unseen | None = None,  # how what the photo does not show is filled; None: as the weights say
    refine: bool | None = None,  # refinement and matching of colours (app. B); None: as the weights say
    seed: int = 0,  # of the diffusion
    progress: Callable[[str], None] = lambda _: None,
) -> Avatar:
    """Make an avatar from one photo, or from several of the same person (front first).

    The classical avatar is always made: it is what is exported, and its body and colours are the learned one's.

    Raises:
        DinarError: no whole person in a photo, an unreadable file, a wrong size; says what to do.
    """
    paths = [Path(photos)] if isinstance(photos, str | Path) else [Path(p) for p in photos]
    for given, what in ((masks, "masks"), (keypoints, "keypoints"), (fits, "fits")):
        if given and len(given) != len(paths):
            raise DinarError(f"expected one of the {what} for each photo: {len(paths)} photos, {len(given)} {what}")
    if not paths:
        raise DinarError("expected at least one photo")
    if mask_convention and not masks:
        raise DinarError(f"expected the label map of each photo as its mask, got {mask_convention} labels and no mask")
    body = body or load_body()
    wanted = True if weights is not None and learned is None else learned
    networks = open_networks(weights, wanted, body.atlas.hash)
    clock = {}
    start = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal start
        now = time.perf_counter()
        clock[name], start = round(now - start, 3), now

    subjects = []
    for i, path in enumerate(paths):
        progress(f"reading {path.name}")
        mask = masks[i] if masks else None
        points = keypoints[i] if keypoints else None
        subjects.append(read_subject(path, person, mask, points, keep_accessories, mask_convention))
    lap("photo")

    progress("fitting the body")
    if fits:
        found = [load_fit(f, body, s.view) for f, s in zip(fits, subjects, strict=True)]
    else:
        found = fit_body(body, [s.view for s in subjects])
        found = [fit_fingers(body, f, s.hands) for f, s in zip(found, subjects, strict=True)]
    betas = found[0].betas
    lap("fit")

    progress("fitting the clothes")
    silhouettes = [
        Silhouette(s.alpha > 0.5, f.pose, f.transl, f.camera, s.view.front, s.labels)
        for s, f in zip(subjects, found, strict=True)
    ]
    D = torch.zeros(body.num_vertices, 3)
    if offsets:
        D = torch.from_numpy(fit_offsets(body, betas, silhouettes))
    lap("offsets")

    progress("sampling the texture")
    shots = [take_shot(body, s, f, D, occlusion) for s, f in zip(subjects, found, strict=True)]
    texture, seen, classes = sampled_texture(body, shots, size, blend)
    lap("sample")

    progress("restoring what the photo does not show")
    whole = restore(body, texture, seen, classes)
    lap("restore")

    learnt, used = None, []
    if networks is not None:
        progress("making the neural texture")
        unseen = unseen or networks.unseen
        refine = networks.refine if refine is None else refine
        options = Options(neural, rgb, unseen == "diffusion", refine, seed)
        fine = fine_layer(whole, np.ones_like(seen)) if unseen == "classical" else fine_layer(texture, seen)
        pictures = [(s.rgb, s.alpha) for s in subjects]
        judge = perceptual(progress) if refine and rgb else None
        learnt, used = make_neural(body, networks, pictures, found, D, fine, options, judge, progress, lap)

    first = found[0]
    meta = {
        "dinar": __version__, "photos": [s.name for s in subjects], "texture": "learned" if learnt else "classical",
        "people": [[s.index, s.count] for s in subjects], "options": {"offsets": offsets, "occlusion": occlusion},
        "keypoint_error": [None if fits else round(f.keypoint_error, 3) for f in found],
    }  # fmt: skip
    if learnt:
        meta["learned"] = {"parts": used, "neural": neural, "rgb": rgb, "unseen": unseen, "seed": seed}
    avatar = Avatar(body, betas, D, (whole * 255 + 0.5).astype(np.uint8), (seen * 255).astype(np.uint8),
                    first.pose, first.transl, first.camera, meta, learnt,
                    tuple(Path(p).absolute() for p in (*paths, *masks, *keypoints, *fits)))  # fmt: skip
    avatar.work = Work(subjects, found, shots, clock)
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


def take_shot(body: Body, s: Subject, fit: Fit, offsets: torch.Tensor, occlusion: bool, size: int = CROP) -> Shot:
    """The crop of a photo with the dressed mesh rasterised over it."""
    box = crop_box(s.alpha > 0.5, size)
    rgb = warp_crop(s.rgb.astype(np.float32) / 255, box, size, 1.0)
    alpha = warp_crop(s.alpha, box, size, 0.0)
    camera = fit.camera.crop(*box, size, size)
    vertices = body(fit.betas[None], fit.pose[None], fit.transl[None], offsets=offsets).vertices[0]
    shot = shoot(body, vertices, camera, np.clip(rgb, 0, 1), alpha > 0.5)
    if occlusion:
        shot.usable &= ~occlusion_outlines(body, rasterize_mesh(vertices, body.faces, camera))
    if s.labels is not None:
        x0, y0, k = box
        y, x = np.mgrid[:size, :size]
        i = np.clip((y + 0.5) / k + y0, 0, s.labels.shape[0] - 1).astype(int)
        j = np.clip((x + 0.5) / k + x0, 0, s.labels.shape[1] - 1).astype(int)
        shot.labels = s.labels[i, j]
    return shot
