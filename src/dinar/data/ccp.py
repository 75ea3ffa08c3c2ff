"""Clothing Co-Parsing (Yang et al. 2014) as training data of the human parser: photos, class maps, keypoints.

``prepare_ccp`` turns a copy of the set (``photos/NNNN.jpg labels/NNNN.png label_names.txt``) into a parsing set:

    rgb/NAME.jpg       photos
    labels/NAME.png    [H, W] uint8, index into labels.CLASSES, 255 = ignore
    keypoints.npz      names [M], keypoints [M, 33, 4] float32: BlazePose's x, y, z in pixels and visibility
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ..arrays import read_text
from ..errors import DinarError
from ..files import replacing
from ..labels import CONVENTIONS, LABEL, to_classes
from ..photo.blazepose import KEYPOINTS, Pose
from ..photo.person import find_people
from ..pictures import read_array, write_array

_N = {name: i for i, name in enumerate(KEYPOINTS)}
SMALL = 0.0015  # largest area of jewellery, as a share of the squared height
# The face ellipse, in distances from eyes to mouth: to the chin, to the hair, smallest half width, margin at the ears.
CHIN, FOREHEAD, HALF_WIDTH, BESIDE = 1.25, 2.6, 1.25, 0.35


def is_ccp(folder: Path) -> bool:
    return (folder / "label_names.txt").is_file() and (folder / "labels").is_dir()


def read_ccp_labels(path: Path) -> np.ndarray:
    """[H, W] uint8 in the 59 labels of the set.

    Raises:
        DinarError: the set's list of names is not that of ``labels.CONVENTIONS``, or the file is damaged.
    """
    names = read_text(path.parent.parent / "label_names.txt", what="the names of the labels").split()
    if names != [theirs for theirs, _ in CONVENTIONS["ccp"]]:
        raise DinarError(f"{path.parent.parent / 'label_names.txt'}: expected the 59 names of Clothing Co-Parsing")
    labels = read_array(path)
    if labels is None or labels.ndim != 2:
        raise DinarError(f"{path}: expected an image of one channel, labels 0 to 58")
    return labels


def ccp_classes(
    labels: np.ndarray,  # [H, W] uint8 of CCP
    keypoints: np.ndarray,  # [33, 4] pixels
) -> np.ndarray:
    """[H, W] uint8 index into CLASSES: by table, with faces separated from skin, and jewellery from held objects."""
    out = to_classes(labels, "ccp")
    out[(out == LABEL["skin"]) & face_region(keypoints, labels.shape)] = LABEL["face"]
    held = (labels == [n for n, _ in CONVENTIONS["ccp"]].index("accessories")).astype(np.uint8)
    height = float(np.linalg.norm(np.ptp(keypoints[:, :2], axis=0)))
    n, part, stats, centres = cv2.connectedComponentsWithStats(held, connectivity=8)
    shoulders = keypoints[[_N["left_shoulder"], _N["right_shoulder"]], 1].mean()
    wrists = keypoints[[_N["left_wrist"], _N["right_wrist"]], :2]
    fingers = keypoints[[_N["left_index"], _N["right_index"]], :2]
    for i in range(1, n):
        d = np.linalg.norm(centres[i] - wrists, axis=1), np.linalg.norm(centres[i] - fingers, axis=1)
        worn = centres[i][1] < shoulders + 0.05 * height or d[0].min() < d[1].min()
        if worn and stats[i, cv2.CC_STAT_AREA] < SMALL * height**2:
            out[part == i] = LABEL["accessory"]
    return out


def face_region(keypoints: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """[H, W] bool: the face as two half ellipses about the middle of eyes, mouth and ears; skin outside is not face.

    The lower one ends at the chin, .75 of the eye-to-mouth distance below the mouth; the upper one is longer.
    """
    at = lambda *names: keypoints[[_N[n] for n in names], :2].mean(0)  # noqa: E731
    eyes, mouth = at("left_eye", "right_eye"), at("mouth_left", "mouth_right")
    ears = keypoints[[_N["left_ear"], _N["right_ear"]], :2]
    d = float(np.hypot(*(mouth - eyes)))
    if d < 1:
        return np.zeros(shape[:2], bool)
    down = (mouth - eyes) / d
    across = np.array([down[1], -down[0]])
    middle = (eyes + mouth) / 2
    points = np.vstack([ears, eyes, mouth]) - middle
    side = points @ across
    centre = middle + across * (side.min() + side.max()) / 2
    half = max(HALF_WIDTH * d, np.ptp(side) / 2 + BESIDE * d)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    x = ((xx - centre[0]) * across[0] + (yy - centre[1]) * across[1]) / half
    y = (xx - centre[0]) * down[0] + (yy - centre[1]) * down[1]
    y = np.where(y > 0, y / (CHIN * d), y / (FOREHEAD * d))
    return x**2 + y**2 < 1


def labelled_pose(rgb: np.ndarray, person: np.ndarray) -> Pose | None:  # [H, W, 3] uint8, [H, W] bool
    """The pose of the detected person whose keypoints lie most inside the labelled one; None below one half."""

    def inside(pose: Pose) -> float:
        xy = np.rint(pose.keypoints[:, :2]).astype(int)
        ok = (xy >= 0).all(1) & (xy[:, 0] < person.shape[1]) & (xy[:, 1] < person.shape[0])
        return float(person[xy[ok, 1], xy[ok, 0]].mean()) if ok.any() else 0.0

    poses = [p.pose for p in find_people(rgb) if inside(p.pose) > 0.5]
    return max(poses, key=lambda p: inside(p) * p.height) if poses else None


def prepare_ccp(folder: Path, out: Path, progress: Callable[[int, int], None] | None = None) -> list[str]:
    """Write the parsing set of all labelled photos. Returns the names of those without a detected person, left out."""
    paths = sorted((folder / "labels").glob("*.png"))
    if not paths:
        raise DinarError(f"{folder / 'labels'}: expected NAME.png label maps, found none")
    names, keypoints, lost = [], [], []
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out, folder=True) as temp:
        (temp / "rgb").mkdir()
        (temp / "labels").mkdir()
        for i, path in enumerate(paths):
            photo = folder / "photos" / f"{path.stem}.jpg"
            image, labels = read_array(photo, cv2.IMREAD_COLOR), read_ccp_labels(path)
            if image is None or image.shape[:2] != labels.shape:
                raise DinarError(f"{photo}: expected a photo of the size of its labels {labels.shape}")
            pose = labelled_pose(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), labels > 0)
            if pose is None:
                lost.append(path.stem)
                continue
            shutil.copyfile(photo, temp / "rgb" / photo.name)
            write_array(temp / "labels" / path.name, ccp_classes(labels, pose.keypoints))
            names.append(path.stem)
            keypoints.append(pose.keypoints)
            if progress:
                progress(i + 1, len(paths))
        np.savez(temp / "keypoints.npz", names=np.array(names), keypoints=np.stack(keypoints))
    return lost
