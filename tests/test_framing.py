"""The working picture: near the person at the file's resolution, upright, the right one of several."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from dinar.body import Body
from dinar.errors import DinarError
from dinar.fit.fit_file import Fit, load_fit
from dinar.fit.view import View, photo_camera
from dinar.photo.blazepose import KEYPOINTS, Pose, landmarks, region_around, settled
from dinar.photo.framing import _far_away, _turn, frame
from dinar.photo.image import Photo, read_photo
from dinar.photo.mask import of_one
from dinar.photo.person import Person, checked, choose, find_people
from dinar.subject import Subject, read_subject

CASES = Path(__file__).parents[2] / "shared" / "cases" / "photo"


@pytest.fixture(scope="module")
def small(demo_photo: Path) -> np.ndarray:
    """The demo photo, [640, 480, 3] uint8."""
    return np.asarray(Image.open(demo_photo).convert("RGB").resize((480, 640), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def cut(small: np.ndarray, tmp_path_factory, pose_network) -> np.ndarray:
    """The same as a cut-out, [640, 480, 4]."""
    path = tmp_path_factory.mktemp("demo") / "demo.png"
    Image.fromarray(small).save(path)
    return np.dstack([small, (read_subject(path).alpha * 255).astype(np.uint8)])


def canvas(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([90 + 60 * x // width, 90 + 60 * y // height, np.full_like(x, 120)], -1).astype(np.uint8)


def put(picture: np.ndarray, cut: np.ndarray, x: int, y: int) -> None:
    h, w = cut.shape[:2]
    part, a = picture[y : y + h, x : x + w], cut[..., 3:] / 255
    part[:] = np.rint(a * cut[..., :3] + (1 - a) * part)


def save(path: Path, picture: np.ndarray, **options) -> Path:
    Image.fromarray(picture).save(path, **options)
    return path


def whole_alpha(s: Subject, height: int, width: int) -> np.ndarray:
    """The person's alpha in the whole photo, which is read at its own size."""
    out = np.zeros((height, width), np.float32)
    x0, y0 = (0, 0) if s.view.whole is None else (-int(s.view.whole.x0), -int(s.view.whole.y0))
    out[y0 : y0 + s.alpha.shape[0], x0 : x0 + s.alpha.shape[1]] = s.alpha
    return out


# Resolution --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def far(small: np.ndarray, tmp_path_factory) -> Path:
    """A person of 500 px in a photo of 7 megapixels."""
    picture = canvas(3200, 2200)
    picture[800:1440, 1800:2280] = small
    return save(tmp_path_factory.mktemp("far") / "far.png", picture, compress_level=1)


@pytest.fixture(scope="module")
def near(far: Path, pose_network) -> Subject:
    return read_subject(far)


def test_a_small_person_is_read_at_the_files_resolution(near, far):
    height, width = near.rgb.shape[:2]
    whole = near.view.whole
    assert whole is not None and (whole.width, whole.height) == (2048, 1408) and max(height, width) < 2048
    x0, y0 = -int(whole.x0), -int(whole.y0)
    assert np.array_equal(near.rgb, np.asarray(Image.open(far))[y0 : y0 + height, x0 : x0 + width])
    assert near.notes == ("read around the person, at 100% of the file's resolution",)
    nose = near.view.keypoints[0, :2] + (x0, y0)
    assert abs(nose[0] - 2040) < 40 and 800 < nose[1] < 1000


def test_the_fit_of_a_part_is_saved_for_the_whole_photo(near, body: Body, tmp_path):
    h, w = near.rgb.shape[:2]
    camera = photo_camera(h, w)
    fit = Fit(torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3), torch.tensor([0.0, 0, -3]), camera, 0.0,
              near.view.whole)  # fmt: skip
    point = torch.tensor([[0.2, 0.5, -3.0]])
    inside, _ = camera.project(point)
    outside, _ = fit.whole_camera.project(point)
    k = 2048 / 3200
    assert torch.allclose(outside, (inside - torch.tensor(near.view.whole[:2])) * k, atol=1e-3)
    fit.save(tmp_path / "fit.npz")
    again = load_fit(tmp_path / "fit.npz", body, near.view).camera
    assert torch.allclose(again.K, camera.K, rtol=1e-4) and (again.height, again.width) == (h, w)
    plain = View(near.view.keypoints, None, None, 1408, 2048)
    assert torch.allclose(load_fit(tmp_path / "fit.npz", body, plain).camera.K, fit.whole_camera.K, rtol=1e-5)


def test_masks_and_keypoints_are_in_the_files_pixels(near, far, tmp_path):
    whole = near.view.whole
    height, width = near.alpha.shape
    x0, y0 = -int(whole.x0), -int(whole.y0)
    mask = np.zeros((2200, 3200), np.uint8)
    mask[y0 : y0 + height, x0 : x0 + width] = near.alpha > 0.5
    save(tmp_path / "mask.png", mask * 255)
    points = near.view.keypoints.copy()
    points[:, :2] += x0, y0
    np.savez(tmp_path / "points.npz", keypoints=points)
    given = read_subject(far, mask=tmp_path / "mask.png", keypoints=tmp_path / "points.npz")
    shift = np.subtract(given.view.whole[:2], whole[:2])
    assert np.abs(given.view.keypoints[11:, :2] - shift - near.view.keypoints[11:, :2]).max() < 0.01
    ours = np.argwhere(given.alpha > 0.5).mean(0)
    assert np.abs(ours - shift[::-1] - np.argwhere(near.alpha > 0.5).mean(0)).max() < 0.5
    assert (given.alpha > 0.5).sum() == (near.alpha > 0.5).sum()


def test_what_lies_around_changes_nothing(small, far, tmp_path):
    """The same person in photos of other sizes: the same part is read, and the same keypoints."""
    picture = np.full((1700, 1500, 3), (60, 90, 60), np.uint8)
    picture[900:1540, 207:687] = small
    one, two = frame(far), frame(save(tmp_path / "near.png", picture))
    assert one.photo.scale == two.photo.scale == 1 and two.notes == ()
    shift = np.array([1800 - 207, 800 - 900])
    a, b = (np.array(f.photo.window).reshape(2, 2) for f in (one, two))
    assert np.abs(a - b - shift).max() <= 6
    a, b = (f.pose.keypoints[:, :2] + f.photo.window[:2] for f in (one, two))
    assert np.linalg.norm(a - b - shift, axis=1).mean() < 0.001 * one.pose.height


def test_somebody_far_away_is_found(small, tmp_path):
    """120 px of a photo that was searched at a quarter of its size."""
    picture = canvas(1600, 1000)
    picture[600:752, 1000:1114] = cv2.resize(small, (114, 152), interpolation=cv2.INTER_AREA)
    photo = read_photo(save(tmp_path / "far.png", picture), 400)
    assert not find_people(photo.rgb)
    found = _far_away(photo, None, lambda photo: None)
    assert found is not None
    closer, person = found
    nose = person.pose.keypoints[0, :2] / closer.scale + closer.window[:2]
    assert closer.scale == 1 and abs(nose[0] - 1057) < 8 and 600 < nose[1] < 650
    x0, y0, x1, y1 = closer.window
    assert x0 < 1000 and y0 < 600 and x1 > 1114 and y1 > 752  # there is room around the person


def test_limits_are_in_the_files_pixels():
    """170 px in a working picture at twice the file's size are 85 px."""
    person = Person(pose_of(0), (0, 0, 200, 200), np.zeros((200, 200), np.float32), 1, 1)
    with pytest.raises(DinarError, match=r"too small: 8\d px high, expected at least 96 px"):
        checked(np.zeros((200, 200, 3), np.uint8), person, scale=2.0)


def test_to_the_file_and_back():
    rng = np.random.default_rng(0)
    mask = rng.integers(0, 255, (60, 90), np.uint8)
    for turn in range(4):
        height, width = (60, 90) if turn % 2 == 0 else (90, 60)
        window = (10, 5, 40, 45)
        for photo in (Photo(np.zeros((height, width, 3), np.uint8), None, Path(), (90, 60), 1.0, turn),
                      Photo(np.zeros((40, 30, 3), np.uint8), None, Path(), (90, 60), 1.0, turn, window)):  # fmt: skip
            part = photo.from_file(mask, cv2.INTER_NEAREST)
            x0, y0, x1, y1 = photo.window or (0, 0, width, height)
            assert np.array_equal(part, np.rot90(mask, turn)[y0:y1, x0:x1])
            back = photo.to_file(part, cv2.INTER_NEAREST)
            assert back.shape == mask.shape and np.array_equal(back[back > 0], mask[back > 0])
            assert (back > 0).sum() == (part > 0).sum()


def test_keypoints_do_not_depend_on_the_first_region(small, pose_network):
    pose = choose(find_people(small), small.shape).pose
    r = pose.region
    starts = [replace(r, x=r.x + dx * r.size, size=k * r.size, angle=r.angle + turn)
              for dx, k, turn in ((0.0, 1.04, 0.05), (0.03, 0.96, -0.08), (-0.03, 1.0, 0.08))]  # fmt: skip

    def spread(poses: list[Pose]) -> float:
        k = np.stack([p.keypoints[:, :2] for p in poses])
        return float(np.linalg.norm(k - k.mean(0), axis=2).mean()) / pose.height

    once = [landmarks(small, start, rounds=1) for start in starts]
    assert 3 * spread([settled(small, p) for p in once]) < spread(once)


# Upright -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("turn", "note"), [(1, "90° to the right"), (2, "180°"), (3, "90° to the left")])
def test_a_photo_on_its_side_is_stood_up(small, tmp_path, pose_network, turn, note):
    """Also where its EXIF orientation says that it is upright."""
    exif = Image.Exif()
    exif[0x0112] = turn % 2
    framed = frame(save(tmp_path / "turned.png", np.rot90(small, turn), exif=exif))
    assert np.array_equal(framed.photo.rgb, small) and framed.notes == (f"turned by {note}",)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_fit_of_the_photo_as_it_lies(body: Body, tmp_path, turn):
    """A point of the turned picture is where the picture turns it."""
    camera = photo_camera(640, 480).crop(20, 10, 1, 640, 480)
    point = torch.tensor([0.1, 0.2, -3.0])
    picture = np.zeros((640, 480))
    x, y = camera.project(point)[0].tolist()
    picture[int(y), int(x)] = 1
    turned = camera.turned(turn)
    x, y = turned.project(point)[0].tolist()
    assert (turned.height, turned.width) == np.rot90(picture, turn).shape and np.rot90(picture, turn)[int(y), int(x)]
    n, J = body.num_betas, body.num_joints
    fit = Fit(torch.zeros(n), torch.zeros(J, 3), point, camera, 0.0)
    fit.save(tmp_path / "fit.npz", turn)
    with np.load(tmp_path / "fit.npz") as saved:
        assert saved["size"].tolist() == [*np.rot90(picture, -turn).shape]
    again = load_fit(tmp_path / "fit.npz", body, View(np.zeros((33, 4)), None, None, 640, 480), turn)
    assert torch.allclose(again.camera.K, camera.K) and torch.allclose(again.camera.T_cam_world, camera.T_cam_world)


STANDING = {"nose": (0, -80), "shoulder": (15, -60), "elbow": (22, -30), "wrist": (25, -5), "hip": (10, 0),
            "knee": (10, 45), "ankle": (10, 90)}  # fmt: skip


def pose_of(angle: float, **moved: tuple[float, float]) -> Pose:
    """A stick figure turned clockwise by ``angle`` degrees."""
    keypoints = np.zeros((33, 4), np.float32)
    for name, (x, y) in (STANDING | moved).items():
        for side, sign in (("left_", 1), ("right_", -1), ("", 0)):
            if side + name in KEYPOINTS:
                keypoints[KEYPOINTS.index(side + name)] = sign * x, y, 0, 1
    a = np.radians(angle)
    keypoints[:, :2] = keypoints[:, :2] @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return Pose(keypoints, keypoints[:, 3], None, None, 1.0, region_around(keypoints))


def test_only_standing_people_turn_a_photo():
    assert [_turn(pose_of(a)) for a in (0, 20, -20, 90, 100, 180, 170, -90, 270)] == [0, 0, 0, 1, 1, 2, 2, 3, 3]
    assert _turn(pose_of(60)) == _turn(pose_of(130)) == 0  # askew
    assert _turn(pose_of(90, knee=(30, 20))) == 0  # lies with bent legs
    assert _turn(pose_of(180, wrist=(20, -110))) == 0  # stands on their hands
    assert _turn(pose_of(90, wrist=(20, -110))) == 1  # waves


# Several people ----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 5])
def test_everyone_in_a_group_is_found(cut, tmp_path, count):
    """Shoulder to shoulder, in the middle of a wide picture."""
    picture = canvas(1900, 1200)
    person = cut[30:620, 110:370]
    for k in range(count):
        put(picture, person, 950 - 100 * count + 200 * k, 400)
    path = save(tmp_path / "group.png", picture)
    last = read_subject(path, person=count)
    assert last.count == count
    x = np.argwhere(whole_alpha(last, 1200, 1900) > 0.5)[:, 1].mean()
    assert abs(x - (950 - 100 * count + 200 * (count - 1) + 130)) < 40
    with pytest.raises(DinarError, match=f"found {count}, numbered 1 to {count}"):
        read_subject(path, person=count + 1)


# Alpha -------------------------------------------------------------------------------------------


def test_a_cut_out_of_two_is_cut_to_one(cut, tmp_path):
    path = save(tmp_path / "two.png", np.hstack([cut, cut]))
    for person, side in ((1, np.s_[:, :480]), (2, np.s_[:, 480:])):
        s = read_subject(path, person=person)
        alpha = whole_alpha(s, 640, 960)
        theirs = alpha.copy()
        theirs[side] = 0
        assert s.count == 2 and theirs.max() == 0 and "alpha cut to the person" in s.notes
        assert (alpha[side] > 0.5).sum() > 0.95 * (cut[..., 3] > 127).sum()


def test_people_who_touch_in_a_cut_out_are_parted():
    alpha, mine, others = np.zeros((3, 40, 80), np.float32)
    alpha[5:35, 5:60] = mine[5:35, 5:30] = others[5:35, 30:60] = 1
    alpha[5:35, 65:75] = others[5:35, 65:75] = 1
    one = of_one(alpha, mine, others)
    assert (one[5:35, 5:27] > 0.99).all() and one[:, 33:].max() < 0.01


def test_alpha_that_cuts_out_nobody_is_ignored(small, tmp_path, pose_network):
    y, x = np.mgrid[:640, :480]
    oval = np.clip(1.6 - np.hypot((x - 240) / 240, (y - 320) / 320) * 1.2, 0, 1)
    s = read_subject(save(tmp_path / "oval.png", np.dstack([small, np.rint(255 * oval).astype(np.uint8)])))
    assert s.notes == ("alpha ignored: it cuts out no person",)
    assert 0.1 < (s.alpha > 0.5).mean() < 0.25


def test_a_window_with_a_shadow_is_no_cut_out(small, tmp_path):
    """Its transparent margin becomes white."""
    shadow = cv2.GaussianBlur(np.pad(np.full((640, 480), 160, np.uint8), 50), (0, 0), 15)
    rgba = np.dstack([np.zeros((740, 580, 3), np.uint8), shadow])
    rgba[50:690, 50:530] = np.dstack([small, np.full((640, 480), 255, np.uint8)])
    photo = read_photo(save(tmp_path / "window.png", rgba))
    assert photo.alpha is None and np.array_equal(photo.rgb[50:690, 50:530], small)
    assert (photo.rgb[0, 0] == 255).all() and 90 < photo.rgb[48, 300, 0] < 200


@pytest.mark.skipif(not CASES.is_dir(), reason="no cases here: ../shared/cases is absent")
def test_the_reported_photos(pose_network):
    for name, shape in (("rot90.jpg", (640, 480)), ("transparent_margin.png", (740, 580))):
        s = read_subject(CASES / name)
        assert s.rgb.shape[:2] == shape and 0.1 < (s.alpha > 0.5).mean() < 0.25
    s = read_subject(CASES / "person_1000px_in_24MP.jpg")
    assert np.ptp(np.argwhere(s.alpha > 0.5)[:, 0]) > 950
