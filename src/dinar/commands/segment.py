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
from .common import Output, Path1, Process, given_files, say


@dataclass
class Segment(Process):
    """Write the mask of a person and, with --labels, the class of every pixel (skin, hair, shoes, ...)."""

    photo: Path1 = Path()
    """Photo that shows at least one person from head to feet."""
    out: Output = Path("mask.png")
    """Greyscale png of the photo's size. White: the person. Black: all else, also bags and other people."""
    labels: Path | None = None
    """Also write the class map: a palette png, whose pixel values are indices into dinar.labels.CLASSES."""
    keep_accessories: bool = False
    """Count bags and things in the hands as part of the person."""
    person: int | None = None
    """Which person, counted from the left: 1, 2, ... None: the largest and most central one."""
    keypoints: Path | None = None
    """Keypoint file: OpenPose json, or npz of 33 BlazePose or 17 COCO points. None: they are detected."""
    label_map: Path | None = None
    """Class map from another human parser (segmentation network), used instead of ours."""
    convention: Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"] = "graphonomy"
    """Data set whose class numbers --label-map uses. For the parser SCHP: lip or atr."""


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
