"""`dinar segment`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from ..files import check_outputs, replacing
from ..labels import write_labels
from ..photo.framing import frame
from ..photo.parsing import parse_from_labels, parse_person, read_label_map
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
    read = lambda photo: read_label_map(c.label_map, (), c.convention, photo) if c.label_map else None  # noqa: E731
    given = lambda photo: None if (labels := read(photo)) is None else labels > 0  # noqa: E731
    framed = frame(c.photo, c.person, given, c.keypoints)
    photo, keypoints, classes = framed.photo, framed.pose.keypoints, read(framed.photo)
    if classes is not None:
        parse = parse_from_labels(photo.rgb, keypoints, classes, c.keep_accessories)
    else:
        parse = parse_person(photo.rgb, keypoints, c.keep_accessories, coarse=framed.person and framed.person.mask_soft)
    with replacing(c.out) as temp:
        alpha = photo.to_file(parse.alpha, cv2.INTER_LINEAR)
        write_array(temp, np.rint(alpha * 255).astype(np.uint8))
    if c.labels:
        write_labels(c.labels, photo.to_file(parse.labels, cv2.INTER_NEAREST))
    say(f"wrote {c.out}" + (f" and {c.labels}" if c.labels else ""))
