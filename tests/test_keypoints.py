"""People in real photos: found, chosen, refused, cut out. Skipped where the photos or the models cannot be had."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from dinar.assets import asset
from dinar.errors import DinarError
from dinar.photo import blazepose
from dinar.photo.blazepose import KEYPOINTS, Detection, Pose, Region
from dinar.photo.image import read_photo
from dinar.photo.landmarks import face_landmarks, hand_landmarks
from dinar.photo.mask import person_mask
from dinar.photo.person import _framed, find_people, find_person, missing_parts

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ccp"
N = {name: i for i, name in enumerate(KEYPOINTS)}


@cache
def _models() -> str:
    """Why the models cannot be used here, or an empty string."""
    try:
        import ai_edge_litert  # noqa: F401

        asset("pose_detection.tflite")
    except ImportError:
        return "ai-edge-litert is not installed"
    except DinarError as e:
        return f"the pose models cannot be fetched: {str(e).splitlines()[0]}"
    return ""


@pytest.fixture(scope="module")
def photos():
    """Photo by number: [H, W, 3] uint8."""
    if not DATA.is_dir():
        pytest.skip(f"the street photos are not at {DATA}")
    if why := _models():
        pytest.skip(why)
    return cache(lambda n: read_photo(DATA / "photos" / f"{n:04d}.jpg").rgb)


def upper(rgb: np.ndarray, keypoint: str) -> np.ndarray:
    """The photo cut off below a keypoint of its person."""
    y = find_person(rgb).pose.keypoints[[N[f"left_{keypoint}"], N[f"right_{keypoint}"]], 1].mean()
    return np.ascontiguousarray(rgb[: int(y)])


def test_whole_people_are_found(photos):
    numbers = (1, 19, 102, 536 + 1, 869, 1346, 1416)  # also long dresses, and hats that mislead the detector
    for n in numbers:
        p = find_person(photos(n))
        h, w = photos(n).shape[:2]
        x0, y0, x1, y1 = p.box
        assert 0 <= x0 < x1 <= w and 0 <= y0 < y1 <= h and y1 - y0 > 0.7 * h
        k = p.pose.keypoints
        assert k.shape == (33, 4) and p.pose.world.shape == (33, 3)
        assert k[N["nose"], 1] < k[N["left_hip"], 1] < k[N["left_ankle"], 1]
        assert 0.6 * h < p.pose.height < h
        assert p.mask_soft.shape == (h, w) and p.mask_soft.min() >= 0 and p.mask_soft.max() <= 1


def test_world_and_image_agree(photos):
    """Frontal, standing: both have y down, x right, and the same proportions."""
    p = find_person(photos(1)).pose
    image, world = (a[N["left_ankle"], :2] - a[N["nose"], :2] for a in (p.keypoints, p.world))
    assert np.dot(image, world) / np.linalg.norm(image) / np.linalg.norm(world) > 0.98


def test_mirror(photos):
    """The mirrored photo gives the mirrored skeleton, left and right exchanged."""
    rgb = photos(19)
    a = find_person(rgb).pose.keypoints
    b = find_person(np.ascontiguousarray(rgb[:, ::-1])).pose.keypoints
    for name in ("shoulder", "hip", "knee", "ankle"):
        x, y = b[N[f"right_{name}"], :2]
        assert np.hypot(rgb.shape[1] - 1 - x - a[N[f"left_{name}"], 0], y - a[N[f"left_{name}"], 1]) < 0.03 * len(rgb)


def test_half_size(photos):
    rgb = photos(1)
    a = find_person(rgb).pose.keypoints[:, :2]
    b = find_person(cv2.resize(rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)).pose.keypoints[:, :2]
    assert np.linalg.norm(2 * b - a, axis=1).mean() < 0.015 * len(rgb)


@pytest.mark.parametrize(("below", "part"), [("knee", "the feet"), ("hip", "the knees and the feet")])
def test_half_a_person_is_refused_by_part(photos, below, part):
    with pytest.raises(DinarError, match=part):
        find_person(upper(photos(1), below), name="half.jpg")


def test_a_really_cropped_photo(photos):
    with pytest.raises(DinarError, match=r"the feet are outside 0536\.jpg"):
        find_person(photos(536), name="0536.jpg")


def test_nobody(photos):
    noise = np.random.default_rng(0).integers(0, 255, (400, 300, 3), np.uint8)
    for rgb in (noise, np.full((400, 300, 3), 128, np.uint8)):
        with pytest.raises(DinarError, match=r"no person found in x\.jpg"):
            find_person(rgb, name="x.jpg")


def test_crowd_is_numbered_from_left_to_right(photos):
    """Four people side by side, the third one larger: too small for one look at the whole image."""
    tiles = []
    for n, height in ((2, 560), (3, 500), (5, 640), (8, 520)):
        t = cv2.resize(photos(n), (400, height), interpolation=cv2.INTER_AREA)
        tiles.append(cv2.copyMakeBorder(t, 640 - height, 0, 0, 0, cv2.BORDER_CONSTANT, value=(200, 200, 200)))
    rgb = np.hstack(tiles)
    people = [p for p in find_people(rgb) if p.pose.height > 300]
    assert [int(np.mean(p.box[::2]) // 400) for p in people] == [0, 1, 2, 3]
    chosen = find_person(rgb)
    assert chosen.box[0] // 400 == 2
    first = find_person(rgb, person=1)
    assert first.index == 1 and first.box[2] < 420
    with pytest.raises(DinarError, match=f"found {chosen.count}, numbered 1 to {chosen.count}"):
        find_person(rgb, person=99)
    mask = np.zeros(rgb.shape[:2], np.float32)
    mask[:, 400:800] = 1
    assert find_person(rgb, mask=mask).box[0] // 400 == 1


@pytest.mark.parametrize("height", [330, 200])
def test_small_in_a_large_photo(photos, height):
    rgb = np.full((1600, 2000, 3), 190, np.uint8)
    person = cv2.resize(photos(1), (height * 550 // 832, height), interpolation=cv2.INTER_AREA)
    rgb[1000 : 1000 + height, 1300 : 1300 + person.shape[1]] = person
    x0, y0, x1, y1 = find_person(rgb).box
    assert 1290 < x0 < x1 < 1310 + person.shape[1] and 990 < y0 < y1 < 1010 + height


def test_too_small(photos):
    rgb = np.full((400, 400, 3), 190, np.uint8)
    rgb[100:200, 150:216] = cv2.resize(photos(1), (66, 100), interpolation=cv2.INTER_AREA)
    with pytest.raises(DinarError, match=r"too small: \d+ px high, expected at least 96 px|no person found"):
        find_person(rgb)


def test_mask_against_hand_labels(photos):
    """Four photos; over 286 of them the mean is .950 (bags and all that is worn count as the person)."""
    ious = []
    for n in (1, 19, 102, 421):
        label = cv2.imread(str(DATA / "labels" / f"{n:04d}.png"), cv2.IMREAD_UNCHANGED)
        if label is None:
            continue
        p = find_person(photos(n))
        alpha = person_mask(photos(n), p.pose, p.mask_soft)
        assert alpha.dtype == np.float32 and alpha.min() >= 0 and alpha.max() <= 1
        a, b = alpha > 0.5, label > 0
        ious.append((a & b).sum() / (a | b).sum())
        count, _ = cv2.connectedComponents(a.astype(np.uint8))
        assert count <= 3  # the background, the person, at most one part cut off by a strap
    assert len(ious) >= 2 and min(ious) > 0.85 and np.mean(ious) > 0.91


def test_hands_and_face(photos):
    found = 0
    for n in (13, 37, 61):
        rgb, pose = photos(n), find_person(photos(n)).pose
        for side, hand in hand_landmarks(rgb, pose).items():
            if hand:
                found += 1
                assert hand.points.shape == hand.world.shape == (21, 3)
                assert np.hypot(*(hand.points[0, :2] - pose.keypoints[N[f"{side}_wrist"], :2])) < 0.08 * pose.height
                assert 0.04 < np.linalg.norm(hand.world[9] - hand.world[0]) < 0.14  # metres, wrist to knuckle
        face = face_landmarks(rgb, pose)
        assert face is not None and face.points.shape == (468, 3)
        assert np.hypot(*(face.points[1, :2] - pose.keypoints[N["nose"], :2])) < 0.02 * pose.height
    assert found >= 2
    tiny = cv2.resize(photos(13), None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    pose = find_person(tiny).pose
    assert face_landmarks(tiny, pose) is None and set(hand_landmarks(tiny, pose).values()) == {None}


# Without photos and models -----------------------------------------------------------------------


def standing() -> np.ndarray:
    """[33, 4] a stick figure 400 px high in a 300 x 500 image, all visible."""
    k = np.zeros((33, 4), np.float32)
    k[:, 3] = 1
    height = dict(eye=60, ear=65, mouth=75, shoulder=120, elbow=190, wrist=250, pinky=270, index=272, thumb=262,
                  hip=260, knee=350, ankle=440, heel=448, foot=450)  # fmt: skip
    for name, i in N.items():
        part = next((h for h in height if h in name), None)
        side = 1 if "left" in name else -1 if "right" in name else 0
        k[i, :2] = 150 + 30 * side, height[part] if part else 70
    return k


def pose_of(k: np.ndarray) -> Pose:
    return Pose(k, (k[:, 3] > 0).astype(np.float32), None, None, 1.0, Region(150, 260, 500, 0))


def test_missing_parts():
    k = standing()
    assert missing_parts(pose_of(k), (500, 300)) == []
    assert missing_parts(pose_of(k), (400, 300)) == ["the feet"]
    assert missing_parts(pose_of(k), (340, 300)) == ["the knees", "the feet"]
    k[:, 1] -= 85
    assert missing_parts(pose_of(k), (500, 300)) == ["the head"]
    body = np.zeros((500, 300), np.float32)
    body[30:460, 110:190] = 1
    k = standing()
    assert missing_parts(replace(pose_of(k), segmentation=body), (500, 300)) == []
    k[:11, 1] = 120  # the model squeezed the face of a cropped photo on to the chest
    chest = np.ascontiguousarray(body[100:])
    k[:, 1] -= 100
    assert missing_parts(replace(pose_of(k), segmentation=chest), chest.shape) == ["the head"]
    k = standing()
    k[[N["left_ankle"], N["left_knee"]], 3] = 0  # one side hidden: still a whole person
    assert missing_parts(pose_of(k), (500, 300)) == []


def test_a_head_with_room_above_it_needs_no_face():
    body = np.zeros((500, 300), np.float32)
    body[30:460, 110:190] = 1
    whole = replace(pose_of(standing()), segmentation=body)
    assert _framed(whole)
    assert not _framed(replace(whole, segmentation=body[28:]))  # the picture ends there
    assert not _framed(replace(whole, region=Region(150, 260, 500, 1.4)))  # found lying
    assert _framed(replace(whole, region=Region(150, 260, 500, 2 * np.pi)))
    assert not _framed(replace(whole, segmentation=None)) and not _framed(replace(whole, segmentation=0 * body))


def test_giants_hide_nobody(monkeypatch):
    """In the tiles of a large photo the detector takes blurred surroundings for bodies many times as large."""
    giant = Detection(Region(640, 2930, 7362, 0.0), 0.67)
    person = Detection(Region(710, 846, 278, 0.0), 0.98)
    seen = {1365: giant, 682: giant, 341: person}
    monkeypatch.setattr(
        blazepose, "_detect", lambda rgb, window, threshold: [seen[k] for k in seen if k == int(window[2])]
    )
    assert blazepose.detect_people(np.zeros((1365, 2048, 3), np.uint8)) == [person]


def test_keypoints_beside_the_person_are_looked_for_again_upright(monkeypatch):
    mask = np.zeros((100, 100), np.float32)
    mask[20:80, 40:60] = 1
    regions = []

    def pose(share: float, angle: float, score: float = 1.0) -> Pose:
        points = np.zeros((33, 4), np.float32)
        points[: round(33 * share), :2] = 50
        return Pose(points, np.ones(33), None, mask, score, Region(50, 50, 90, angle))

    def once(rgb, region):
        regions.append(region)
        return pose(0.9, 0.0)

    monkeypatch.setattr(blazepose, "_landmarks_once", once)
    rgb = np.zeros((100, 100, 3), np.uint8)
    turned = pose(0.5, 1.4)
    assert blazepose._upright(rgb, turned) is not turned
    assert regions[0].angle == 0 and (regions[0].x, regions[0].y) == pytest.approx((49.5, 49.5)) and len(regions) == 2
    good, whole = pose(0.9, 1.4), pose(1.0, 1.4)
    assert blazepose._upright(rgb, good) is good and blazepose._upright(rgb, whole) is whole and len(regions) == 4
