"""A photo read: the picture, the person mask, the keypoints, the parse (§3.4, first step)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DinarError
from .fit.clothing import in_front, outline_trust
from .fit.fingers import sharpen_face
from .fit.view import View
from .photo.image import read_photo
from .photo.keypoint_files import fitting_pose, load_keypoints
from .photo.landmarks import Landmarks, face_landmarks, hand_landmarks
from .photo.mask import load_mask, person_mask
from .photo.parsing import has_parser, parse_from_labels, parse_person, read_label_map
from .photo.person import find_person


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


def read_subject(
    path: Path,
    person: int | None = None,
    mask: str | Path | None = None,
    keypoints: str | Path | None = None,
    keep_accessories: bool = False,
    mask_convention: str | None = None,
) -> Subject:
    """Read a photo, find the person and cut them out: by the parser, or a photo's own alpha channel, or ``mask``:
    a cut-out, or a label map where a convention is named."""
    photo = read_photo(path)
    shape = photo.rgb.shape[:2]
    given, classes = photo.alpha, None
    if mask is not None and mask_convention:
        classes = read_label_map(mask, shape, mask_convention)
        given = (classes > 0).astype(np.float32)  # whose photo it is; the cut-out is made below
    elif mask is not None:
        given = load_mask(mask, shape)
    parsed = soft = labels = trust = front = None
    count = index = 1
    people = [] if keypoints is None else load_keypoints(keypoints, photo.scale, shape)
    found = None
    if keypoints is None or given is None:
        found = find_person(photo.rgb, person, given, str(path))
        soft, count, index, pose = found.mask_soft, found.count, found.index, found.pose
    if keypoints is not None:
        pose = fitting_pose(keypoints, people, found.pose if found else None, given)
    if classes is not None:
        parsed = parse_from_labels(photo.rgb, pose.keypoints, classes, keep_accessories)
    elif given is None and has_parser():
        parsed = parse_person(photo.rgb, pose.keypoints, keep_accessories, coarse=soft)
    if parsed is not None:
        alpha, labels = parsed.alpha, parsed.labels
        trust, front = outline_trust(labels), in_front(labels, alpha > 0.5)
    else:
        alpha = given if given is not None else person_mask(photo.rgb, pose, soft)
    if (alpha > 0.5).sum() < 400:
        raise DinarError(f"{path}: the mask holds no person")
    sharp = sharpen_face(pose.keypoints, face_landmarks(photo.rgb, pose))
    view = View(sharp, pose.world, alpha > 0.5, *shape, trust=trust, front=front)
    return Subject(photo.rgb, alpha, view, path.name, hand_landmarks(photo.rgb, pose), count, index, labels)
