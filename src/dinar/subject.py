"""A photo read: the picture, the person mask, the keypoints, the parse (§3.4, first step)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .errors import DinarError
from .fit.clothing import in_front, outline_trust
from .fit.fingers import sharpen_face
from .fit.view import View, of_person
from .photo.exif import equivalent
from .photo.framing import frame
from .photo.image import Photo
from .photo.landmarks import Landmarks, face_landmarks, hand_landmarks
from .photo.mask import load_mask, of_one, person_mask
from .photo.parsing import has_parser, parse_from_labels, parse_person, read_label_map
from .photo.person import Person
from .photo.pose import guess_body, has_pose
from .photo.surface import has_surface, surface_map
from .photo.traits import cloth_patterns, has_trait, heels_worn, person_build

MIN_PERSON = 400  # pixels of a mask
IS_PERSON = 0.5  # share of an alpha channel that people fill, from which it is a cut-out of them


@dataclass
class Subject:
    """One photo, read: the picture, whose pixels are the person's, and the keypoints."""

    rgb: np.ndarray  # [H, W, 3] uint8
    alpha: np.ndarray  # [H, W] float32 in [0, 1]
    view: View
    name: str
    hands: dict[str, Landmarks | None]  # left and right, where their landmark model is confident
    count: int  # people found in the photo
    index: int  # the one that was taken, from the left, 1-based
    labels: np.ndarray | None = None  # [H, W] uint8 classes of a parse
    notes: tuple[str, ...] = ()  # what was done to the photo, for the user
    turn: int = 0  # quarter turns to the left of the file that made this picture
    face: Landmarks | None = None  # where the landmark model is confident
    photo: Photo | None = None  # of which ``rgb`` is the picture
    patterns: np.ndarray | None = None  # [2, classes] float32: how likely cloths are patterned (photo/traits.py)


def read_subject(
    path: Path,
    person: int | None = None,
    mask: str | Path | None = None,
    keypoints: str | Path | None = None,
    keep_accessories: bool = False,
    mask_convention: str | None = None,
    whole: bool = False,  # the photo as it lies at working size, which pixels of sets refer to
    focal: float | None = None,  # of the camera, millimetres of 35 mm film; None: by the EXIF data
    build: float | None = None,  # of the body, from -1, a woman's, to 1, a man's; None: as the photo looks
) -> Subject:
    """Read a photo, find the person and cut them out: by the parser, or a photo's own alpha channel, or ``mask``:
    a cut-out, or a label map where a convention is named."""

    def own(photo: Photo) -> np.ndarray | None:
        if mask is None or mask_convention is None:
            return None if mask is None else load_mask(mask, (), photo)
        return (read_label_map(mask, (), mask_convention, photo) > 0).astype(np.float32)

    framed = frame(path, person, own, keypoints, whole)
    photo, pose, found, given, notes = framed.photo, framed.pose, framed.person, framed.given, list(framed.notes)
    soft = None if found is None else found.mask_soft
    parse = partial(parse_person, photo.rgb, pose.keypoints, keep_accessories, coarse=soft)
    if mask is None and given is not None and found is not None:
        given = _cut_out(given, found, notes)
        if given is not None and found.others is not None and has_parser():
            given = np.minimum(given, parse().alpha)
    parsed = labels = trust = front = None
    if mask is not None and mask_convention:
        classes = read_label_map(mask, (), mask_convention, photo)
        parsed = parse_from_labels(photo.rgb, pose.keypoints, classes, keep_accessories)
    elif given is None and has_parser():
        parsed = parse()
    if parsed is not None:
        alpha, labels = parsed.alpha, parsed.labels
        trust, front = outline_trust(labels), in_front(labels, alpha > 0.5)
    else:
        alpha = given if given is not None else person_mask(photo.rgb, pose, soft)
    if (alpha > 0.5).sum() < MIN_PERSON:
        raise DinarError(f"{path}: the mask holds no person")
    face = face_landmarks(photo.rgb, pose)
    sharp = sharpen_face(pose.keypoints, face)
    surface = surface_map(photo.rgb, alpha, sharp) if has_surface() else None
    guess = None
    if surface is not None and has_pose():
        on = alpha > 0.5 if front is None else (alpha > 0.5) | front
        guess = guess_body(surface, of_person(sharp, on), pose.world, alpha)
    if build is None and has_trait("builds"):
        build = person_build(photo.rgb, pose.keypoints)
    heels = heels_worn(photo.rgb, pose.keypoints) if has_trait("heels") else None
    patterns = None
    if labels is not None and has_trait("patterns"):
        patterns = cloth_patterns(photo.rgb, labels, None if surface is None else surface.arms(labels.shape))
    pixels = photo.focal if focal is None else equivalent(focal, photo.size)
    view = View(sharp, pose.world, alpha > 0.5, *photo.rgb.shape[:2], trust=trust, front=front, surface=surface,
                guess=guess, whole=photo.whole, focal=pixels and pixels * photo.scale,
                build=build, heels=heels)  # fmt: skip
    count, index = (1, 1) if found is None else (found.count, found.index)
    return Subject(photo.rgb, alpha, view, path.name, hand_landmarks(photo.rgb, pose), count, index, labels,
                   tuple(notes), photo.turn, face, photo, patterns)  # fmt: skip


def _cut_out(alpha: np.ndarray, found: Person, notes: list[str]) -> np.ndarray | None:
    """A photo's alpha channel, cut to the person; None where it is no cut-out of people."""
    everyone = found.mask_soft if found.others is None else np.maximum(found.mask_soft, found.others)
    inside = alpha > 0.5
    if (inside & (everyone > 0.5)).sum() < IS_PERSON * inside.sum():
        notes.append("alpha ignored: it cuts out no person")
        return None
    if found.others is None:
        return alpha
    notes.append("alpha cut to the person")
    return of_one(alpha, found.mask_soft, found.others)
