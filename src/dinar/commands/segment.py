"""`dinar segment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..files import check_outputs, replacing
from ..labels import write_labels
from ..photo.image import read_photo
from ..photo.keypoint_files import fitting_pose, load_keypoints
from ..photo.parsing import parse_from_labels, parse_person, read_label_map
from ..photo.person import find_person
from ..pictures import write_array
from .common import Common, Output, Path1, given_files, say


@dataclass
class Segment(Common):
    """Write the mask of a person, and the class of every pixel (skin, hair, shoes, ...)."""

    photo: Path1 = Path()
    """Photo with at least one whole person."""
    out: Output = Path("mask.png")
    """Grey png of the photo's size. White is the person; bags and other people are black."""
    labels: Path | None = None
    """Also write the classes: png with a palette, pixel values are indices into dinar.labels.CLASSES."""
    keep_accessories: bool = False
    """Include bags and held things in the mask."""
    person: int | None = None
    """Number of the person, counted from the left. None: the largest and most central one."""
    keypoints: Path | None = None
    """Your own keypoints: OpenPose json, or npz with 33 (BlazePose) or 17 (COCO) points. None: BlazePose."""
    label_map: Path | None = None
    """Label map of another human parser, used instead of ours."""
    convention: Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"] = "graphonomy"
    """Label convention of --label-map. SCHP uses lip or atr."""


def run(c: Segment) -> None:

    outputs = [(p, (".png",)) for p in (c.out, c.labels) if p is not None]
    check_outputs(outputs, given_files(c.photo, c.keypoints, c.label_map))
    photo, soft, classes = read_photo(c.photo), None, None
    if c.label_map:
        classes = read_label_map(c.label_map, photo.rgb.shape, c.convention)
    people = load_keypoints(c.keypoints, photo.scale, photo.rgb.shape[:2]) if c.keypoints else []
    if len(people) == 1:
        keypoints = people[0].keypoints
    else:
        found = find_person(photo.rgb, c.person, None if classes is None else classes > 0, str(c.photo))
        keypoints, soft = found.pose.keypoints, found.mask_soft
        if people:
            keypoints = fitting_pose(str(c.keypoints), people, found.pose).keypoints
    if classes is not None:
        parse = parse_from_labels(photo.rgb, keypoints, classes, c.keep_accessories)
    else:
        parse = parse_person(photo.rgb, keypoints, c.keep_accessories, coarse=soft)
    with replacing(c.out) as temp:
        alpha = cv2.resize(parse.alpha, photo.original_size, interpolation=cv2.INTER_LINEAR)
        write_array(temp, np.rint(alpha * 255).astype(np.uint8))
    if c.labels:
        write_labels(c.labels, cv2.resize(parse.labels, photo.original_size, interpolation=cv2.INTER_NEAREST))
    say(f"wrote {c.out}" + (f" and {c.labels}" if c.labels else ""))
