"""The person in a photo: who is meant, and whether the whole body is there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import DinarError
from .blazepose import KEYPOINTS, NEAR, Detection, Pose, detect_beside, detect_people, landmarks, segment, settled
from .landmarks import face_landmarks

MIN_HEIGHT = 96  # pixels: a smaller person has fewer pixels than the smallest texture has texels
MAX_PEOPLE = 32  # more are not searched for
UPRIGHT = 45  # degrees: who leans less stands or sits
MIN_PERSON_SCORE = 0.5  # the landmark model's own confidence; MediaPipe's default
OUTSIDE = 0.01  # a keypoint this share of the height outside the image is missing
# Below these the landmark model says that a point is not inside its region, or not to be seen. Over 300 street photos
# the lowest ankle has presence .93; over the same photos cut at mid-shin the median is .50.
MIN_PRESENCE, MIN_VISIBILITY = 0.7, 0.5

# What must be in the photo: at least one point of every part. The advice names the part.
_PARTS = {
    "the head": ("nose", "left_ear", "right_ear"),
    "the shoulders": ("left_shoulder", "right_shoulder"),
    "the hips": ("left_hip", "right_hip"),
    "the knees": ("left_knee", "right_knee"),
    "the feet": ("left_ankle", "right_ankle"),
}

_N = {name: i for i, name in enumerate(KEYPOINTS)}


@dataclass(frozen=True)
class Person:
    """One person of a photo."""

    pose: Pose
    box: tuple[int, int, int, int]  # x0, y0, x1, y1 pixels, inside the image
    mask_soft: np.ndarray  # [H, W] float32 in [0, 1], from the landmark model: soft and coarse
    index: int  # 1-based, from left to right: what --person takes
    count: int  # people found in the photo
    others: np.ndarray | None = None  # [H, W] float32 in [0, 1]: the masks of the other people, where there are any


def find_person(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    person: int | None = None,  # 1-based, from left to right; None: the largest, most central one
    mask: np.ndarray | None = None,  # [H, W] float in [0, 1]: prefer the person inside it
    name: str = "the photo",  # for messages
    scale: float = 1.0,  # pixels of ``rgb`` per pixel of the file, which messages speak of
) -> Person:
    """The person to make an avatar of, or a DinarError that says what is wrong with the photo."""
    return checked(rgb, choose(find_people(rgb), rgb.shape, person, mask, name), name, scale)


def choose(
    people: list[Person],
    shape: tuple[int, ...],  # (H, W, ...) of the picture
    person: int | None = None,
    mask: np.ndarray | None = None,
    name: str = "the photo",
) -> Person:
    """Who is meant; arguments as of :func:`find_person`."""
    if not people:
        raise DinarError(f"no person found in {name}: expected one whole person, at least {MIN_HEIGHT} px high, well "
                         "lit and not covered by others")  # fmt: skip
    if person is None:
        return max(people, key=lambda p: _prominence(p, shape, mask))
    if 1 <= person <= len(people):
        return people[person - 1]
    raise DinarError(f"there is no person {person} in {name}: found {len(people)}, numbered 1 to {len(people)} "
                     "from left to right")  # fmt: skip


def checked(rgb: np.ndarray, chosen: Person, name: str = "the photo", scale: float = 1.0) -> Person:
    """The person with better keypoints and mask, or a DinarError where they are small or a part of the body is not in
    the photo."""
    height = chosen.pose.height / scale
    if height < MIN_HEIGHT:
        raise DinarError(f"the person in {name} is too small: {int(height)} px high, expected at least "
                         f"{MIN_HEIGHT} px. Crop or take a larger photo")  # fmt: skip
    lost = missing_parts(chosen.pose, rgb.shape)
    if not lost and _squeezed(chosen.pose) and not _framed(chosen.pose) and face_landmarks(rgb, chosen.pose) is None:
        lost = ["the head"]
    if lost:
        verb = "is" if lost == ["the head"] else "are"
        raise DinarError(f"{' and '.join(lost)} {verb} outside {name} or not visible: dinar needs the whole body, "
                         "from head to feet. Use a photo that shows all of it")  # fmt: skip
    pose = settled(rgb, chosen.pose)
    return replace(chosen, pose=pose, mask_soft=segment(rgb, pose.region))


def find_people(
    rgb: np.ndarray,  # [H, W, 3] uint8 sRGB
    least: float = 0.0,  # score of a detection: those below are not looked at
) -> list[Person]:
    """Everyone in the photo whom the landmark model confirms, from left to right."""
    poses: list[Pose] = []
    left = [d for d in detect_people(rgb) if d.score >= least]
    beside = 0  # poses whose surroundings have been searched
    while left or beside < len(poses) < MAX_PEOPLE:
        if left:
            pose = landmarks(rgb, left.pop(0))
            if pose.score >= MIN_PERSON_SCORE and not any(_same(pose, p) for p in poses):
                poses.append(pose)
        else:
            if abs(lean(poses[beside])) < UPRIGHT:
                left = [d for d in detect_beside(rgb, poses[beside]) if not any(_known(d, p) for p in poses)]
            beside += 1
    poses.sort(key=lambda p: p.keypoints[[_N["left_hip"], _N["right_hip"]], 0].mean())
    masks = [pose.segmentation for pose in poses if pose.segmentation is not None]  # it always gives one
    people = []
    for i, (pose, mask) in enumerate(zip(poses, masks, strict=True)):
        others = np.max(masks[:i] + masks[i + 1 :], axis=0) if len(poses) > 1 else None
        people.append(Person(pose, _box(pose, rgb.shape), mask, i + 1, len(poses), others))
    return people


def lean(pose: Pose) -> float:
    """Degrees by which the torso leans to the right in the picture, in (-180, 180]; 0: upright."""
    x, y = (pose.keypoints[[_N["left_shoulder"], _N["right_shoulder"]], :2].mean(0)
            - pose.keypoints[[_N["left_hip"], _N["right_hip"]], :2].mean(0))  # fmt: skip
    return float(np.degrees(np.arctan2(x, -y)))


def _known(d: Detection, pose: Pose) -> bool:
    """Whether a detection is of a person whose landmarks are there."""
    hips = pose.keypoints[[_N["left_hip"], _N["right_hip"]], :2].mean(0)
    return bool(np.hypot(d.region.x - hips[0], d.region.y - hips[1]) < NEAR * max(d.region.size, pose.region.size))


def _same(a: Pose, b: Pose) -> bool:
    """Two detections whose landmarks fell on one person."""
    d = np.linalg.norm(a.keypoints[:, :2] - b.keypoints[:, :2], axis=1).mean()
    return bool(d < 0.1 * max(a.height, b.height))


def _box(pose: Pose, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Bounds of the segmentation and of the keypoints that are inside the image."""
    h, w = shape[:2]
    xy = pose.keypoints[:, :2]
    inside = xy[(xy >= 0).all(1) & (xy[:, 0] < w) & (xy[:, 1] < h)]
    ys, xs = np.nonzero(pose.segmentation > 0.5) if pose.segmentation is not None else ([], [])
    x, y = np.r_[inside[:, 0], xs], np.r_[inside[:, 1], ys]
    if not len(x):
        return 0, 0, w, h
    return int(x.min()), int(y.min()), int(np.ceil(x.max())) + 1, int(np.ceil(y.max())) + 1


def _prominence(person: Person, shape: tuple[int, ...], mask: np.ndarray | None) -> float:
    """How likely this is the person meant: size, halved towards the border, times the share inside the mask."""
    x0, _, x1, _ = person.box
    off_centre = min(1.0, abs(x0 + x1 - shape[1]) / shape[1])
    inside = 1.0
    if mask is not None:
        inside = float((mask * person.mask_soft).sum() / max(person.mask_soft.sum(), 1e-6))
    return person.pose.height * (1 - 0.5 * off_centre) * person.pose.score * inside


def missing_parts(pose: Pose, shape: tuple[int, ...]) -> list[str]:
    """Names of body parts that are outside the image, or that the model does not see; empty for a whole person."""
    h, w = shape[:2]
    x, y = pose.keypoints[:, 0], pose.keypoints[:, 1]
    outside = np.max([-x, x - w, -y, y - h], axis=0) > OUTSIDE * pose.height
    unseen = (pose.presence < MIN_PRESENCE) & (pose.visibility < MIN_VISIBILITY)
    lost = outside | unseen | (pose.visibility <= 0)
    parts = [part for part, points in _PARTS.items() if all(lost[_N[p]] for p in points)]
    if "the head" not in parts and pose.segmentation is not None and _beheaded(pose, pose.segmentation):
        parts.insert(0, "the head")
    return parts


def _beheaded(pose: Pose, mask: np.ndarray) -> bool:  # mask: [H, W] float in [0, 1]
    """The photo ends below the head. The landmark model then squeezes a head into what it sees, so ask the mask.

    Thresholds: of 100 street photos none comes near, of the same photos cut at the neck 84 had passed without this.
    """
    up = np.array([np.sin(pose.region.angle), -np.cos(pose.region.angle)])
    ys, xs = np.nonzero(mask > 0.5)
    if not len(xs):
        return False
    level = np.stack([xs, ys], 1) @ up
    points = pose.keypoints[:, :2] @ up
    nose, top, h = points[_N["nose"]], level.max(), pose.height
    border = (xs <= 1) | (ys <= 1) | (xs >= mask.shape[1] - 2) | (ys >= mask.shape[0] - 2)
    touching = (border & (level > nose)).sum() / 2  # two pixels deep
    return bool(
        (touching > 0.02 * h and top - nose < 0.06 * h)  # no skull above the face
        or touching > 0.12 * h  # shoulders or chest at the border
        or top - points.max() > 0.3 * h  # a person reaching far above the keypoints
    )


def _squeezed(pose: Pose) -> bool:
    """A nose too near the shoulders: where the head is cut off, the model squeezes one into the chest. Among 48 whole
    people the nose is .20 to .31 leg lengths above the shoulders, among 27 headless ones the median is .15."""
    middle = lambda a: (pose.keypoints[_N[f"left_{a}"], :2] + pose.keypoints[_N[f"right_{a}"], :2]) / 2  # noqa: E731
    leg = float(np.hypot(*(middle("hip") - middle("ankle"))))
    return float(np.hypot(*(pose.keypoints[_N["nose"], :2] - middle("shoulder")))) < 0.2 * leg


def _framed(pose: Pose) -> bool:
    """Upright, and the top of the mask well inside the picture, so that no face is needed to believe in a head.

    In a photo cut at the neck the mask ends at the border, or the body is found lying.
    """
    ys = np.nonzero(pose.segmentation > 0.5)[0] if pose.segmentation is not None else np.zeros(0)
    lying = abs((pose.region.angle + np.pi) % (2 * np.pi) - np.pi) > np.pi / 4
    return not lying and len(ys) > 0 and bool(ys.min() > 0.03 * pose.height)
