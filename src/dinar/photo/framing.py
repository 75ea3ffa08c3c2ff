"""The working picture: the photo stood upright, then read again around the person at the file's own resolution.

The person is found in the photo at working size (image.MAX_SIDE). Where they are small, the part of the file around
them becomes the working picture, as if the user had cropped it: it shows them with all the pixels that the file has,
and what is made of them does not depend on how much lies around.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..errors import DinarError
from .blazepose import KEYPOINTS, Pose, detect_far, landmarks, region_around
from .image import MAX_SIDE, Photo, Window, read_photo
from .keypoint_files import fitting_pose, load_keypoints
from .person import UPRIGHT, Person, checked, choose, find_people, find_person, lean

MARGIN = 0.1  # of the person's extent, around them: they fill .83 of the working picture's height, as of most photos
ENOUGH = 1024  # pixels: a person this high fills the crop that the texture is sampled from
GAIN = 1.25  # how much larger the person must become, for the file to be read again
ROOM = 0.8  # of the photo's longer side: a shorter part around the person is read alone, at the same resolution too
ALIGNED = 25  # degrees: the torso of somebody on their side in a turned photo lies along its border
SURE = 0.75  # score of a detection in a turned photo, where nobody was found as it lies: blobs reach .56
FAR_SIDE = 8192  # pixels: the longer side at which a photo without people is searched for small ones
FAR_AROUND = 2.5  # sides of a small detection's region: the part of the photo that is looked at for it
FAR_TRIES = 8  # such parts, the likeliest first
STRAIGHT = 30  # degrees: so do the legs of somebody who stands

_N = {name: i for i, name in enumerate(KEYPOINTS)}
Given = Callable[[Photo], "np.ndarray | None"]
"""The user's own mask for a working picture, [H, W] float in [0, 1]; None: there is none."""


@dataclass(frozen=True)
class Framed:
    """A working picture, and the person in it."""

    photo: Photo
    pose: Pose
    person: Person | None  # as the networks see them; None: the user gave keypoints and a mask
    given: np.ndarray | None  # [H, W] float32 in [0, 1]: the user's mask, or the photo's own alpha
    notes: tuple[str, ...] = ()  # what was done, for the user


def frame(
    path: Path,
    person: int | None = None,  # 1-based, from left to right
    given: Given = lambda photo: None,
    keypoints: str | Path | None = None,  # the user's file
    whole: bool = False,  # the photo as it lies at working size: neither turned nor read again
) -> Framed:
    """Find the person of a photo, or say in a DinarError what is wrong with it."""
    photo = read_photo(path)
    if keypoints is not None:
        return _with_keypoints(photo, keypoints, person, given, whole)
    notes: list[str] = []
    people = find_people(photo.rgb)
    mask = _mask(photo, given)
    chosen = choose(people, photo.rgb.shape, person, mask, str(path)) if people else None
    if not whole and (stood := _stand_up(photo, chosen, person, given)) is not None:
        photo, chosen = stood
        notes.append(f"turned by {'180°' if photo.turn == 2 else '90° to the ' + {1: 'left', 3: 'right'}[photo.turn]}")
    if chosen is None and not whole and (far := _far_away(photo, person, given)) is not None:
        photo, chosen = far
    if chosen is None:
        chosen = choose(people, photo.rgb.shape, person, mask, str(path))
    closer = photo if whole else closeup(photo, chosen.box, chosen.pose.height)
    if closer is not photo:
        sharper = closer.scale > photo.scale
        chosen, photo = _moved(chosen, photo, closer), closer
        if sharper:
            notes.append(f"read around the person, at {photo.scale:.0%} of the file's resolution")
    chosen = checked(photo.rgb, chosen, str(path), photo.scale)
    return Framed(photo, chosen.pose, chosen, _mask(photo, given), tuple(notes))


def _mask(photo: Photo, given: Given) -> np.ndarray | None:
    mine = given(photo)
    return photo.alpha if mine is None else mine


def _with_keypoints(photo: Photo, file: str | Path, person: int | None, given: Given, whole: bool) -> Framed:
    people = load_keypoints(file, 1.0, (photo.size[1], photo.size[0]))
    mask = _mask(photo, given)
    found = find_person(photo.rgb, person, mask, str(photo.path), photo.scale) if mask is None else None
    fitting = lambda: fitting_pose(file, [place(p, photo) for p in people], found and found.pose, mask)  # noqa: E731
    pose = fitting()
    xy = pose.keypoints[pose.visibility > 0, :2]
    closer = photo if whole else closeup(photo, (*xy.min(0), *xy.max(0)), pose.height)
    if closer is not photo:
        found = found and _moved(found, photo, closer)
        photo = closer
        mask = _mask(photo, given)
        pose = fitting()
    return Framed(photo, pose, found, mask)


def closeup(photo: Photo, box: tuple[float, float, float, float], height: float) -> Photo:
    """The picture around a person (box x0, y0, x1, y1 and height in pixels of ``photo``) at the file's own resolution;
    ``photo`` itself where that shows them no better and leaves little out."""
    enough = photo.scale == 1 or height >= ENOUGH
    x0, y0, x1, y1 = np.array(box) / photo.scale + 2 * (*(photo.window or (0, 0))[:2],)
    x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, (0.5 + MARGIN) * max(x1 - x0, y1 - y0)
    window = _window(photo, x, y, half)
    side = max(window[2] - window[0], window[3] - window[1])
    if side >= ROOM * max(photo.size) and (enough or min(1.0, MAX_SIDE / side) < GAIN * photo.scale):
        return photo
    closer = read_photo(photo.path, turn=photo.turn, window=window)
    return replace(closer, alpha=closer.alpha if photo.alpha is not None else None)


def _far_away(photo: Photo, person: int | None, given: Given) -> tuple[Photo, Person] | None:
    """The part of a large photo around a person who is too small to be found at working size; None: there is none."""
    if photo.scale == 1:
        return None
    large = read_photo(photo.path, FAR_SIDE)
    for d in detect_far(large.rgb)[:FAR_TRIES]:
        x, y, half = (v / large.scale for v in (d.region.x, d.region.y, FAR_AROUND / 2 * d.region.size))
        part = read_photo(photo.path, window=_window(photo, x, y, half))
        part = replace(part, alpha=part.alpha if photo.alpha is not None else None)
        if people := find_people(part.rgb):
            return part, choose(people, part.rgb.shape, person, _mask(part, given), str(photo.path))
    return None


def _window(photo: Photo, x: float, y: float, half: float) -> Window:
    """The part of a square in pixels of the turned file that is inside of it."""
    width, height = photo.size
    return (max(0, int(x - half)), max(0, int(y - half)),
            min(width, int(x + half) + 1), min(height, int(y + half) + 1))  # fmt: skip


def place(pose: Pose, photo: Photo) -> Pose:
    """A user's keypoints in pixels of the file, in those of the working picture."""
    return _shifted(pose, photo.scale, *(photo.window or (0, 0))[:2])


def _shifted(pose: Pose, scale: float, x0: float, y0: float) -> Pose:
    keypoints = pose.keypoints.copy()
    seen = keypoints[:, 3] > 0
    keypoints[seen, :2] = (keypoints[seen, :2] - (x0, y0)) * scale
    keypoints[:, 2] *= scale
    return replace(pose, keypoints=keypoints, region=region_around(keypoints))


def _moved(person: Person, old: Photo, new: Photo) -> Person:
    """The person, looked at again in the picture around them."""
    assert new.window is not None
    k = new.scale / old.scale
    dx, dy = ((a - b) * new.scale for a, b in zip((old.window or (0, 0))[:2], new.window, strict=False))
    r = person.pose.region
    pose = landmarks(new.rgb, replace(r, x=r.x * k + dx, y=r.y * k + dy, size=r.size * k))
    if pose.score < person.pose.score - 0.1:  # the network saw them better before
        pose = replace(_shifted(person.pose, k, -dx / k, -dy / k), segmentation=None)
    M = np.array([[k, 0, dx + (k - 1) / 2], [0, k, dy + (k - 1) / 2]])  # pixel centres are at integers
    height, width = new.rgb.shape[:2]
    warp = lambda mask: cv2.warpAffine(mask, M, (width, height), flags=cv2.INTER_LINEAR)  # noqa: E731
    soft = warp(person.mask_soft) if pose.segmentation is None else pose.segmentation
    pose = replace(pose, segmentation=soft)
    return replace(person, pose=pose, mask_soft=soft, others=None if person.others is None else warp(person.others))


def _stand_up(photo: Photo, chosen: Person | None, person: int | None, given: Given) -> tuple[Photo, Person] | None:
    """The photo turned so that the person stands, where it was taken or scanned on its side; else None.

    An EXIF orientation says nothing: editors write it, and phones that look down guess it.
    """
    if chosen is not None and not _turn(chosen.pose):
        return None
    best = None
    for turn in (1, 3, 2) if chosen is None else (_turn(chosen.pose),):
        rgb, alpha = (x if x is None else np.ascontiguousarray(np.rot90(x, turn)) for x in (photo.rgb, photo.alpha))
        assert rgb is not None
        turned = replace(photo, rgb=rgb, alpha=alpha, turn=turn)
        people = find_people(turned.rgb, SURE if chosen is None else 0.0)
        people = [p for p in people if abs(lean(p.pose)) < UPRIGHT]
        try:
            found = choose(people, turned.rgb.shape, person, _mask(turned, given))
        except DinarError:
            continue
        if best is None or found.pose.score > best[1].pose.score:
            best = turned, found
    return best


def _turn(pose: Pose) -> int:
    """Quarter turns to the left after which the person stands; 0 for who stands already, lies with bent legs or askew,
    or is on their hands."""
    turn = round(lean(pose) / 90) % 4
    if turn == 0 or abs(lean(pose) - 90 * round(lean(pose) / 90)) > ALIGNED:
        return 0
    angle = np.pi / 2 * turn
    R = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # into the turned picture
    xy = pose.keypoints[:, :2] @ R.T
    at = lambda part: xy[[_N[f"left_{part}"], _N[f"right_{part}"]]]  # noqa: E731
    for a, b in (("hip", "knee"), ("knee", "ankle")):
        dx, dy = (at(b) - at(a)).T
        if (np.abs(np.arctan2(dx, dy)) > np.radians(STRAIGHT)).any():
            return 0
    on_hands = turn == 2 and (at("wrist")[:, 1] < at("shoulder")[:, 1]).all()
    return 0 if on_hands else turn
