"""The photo comes alive: what is behind the person, the motion from the photo's pose and back, the first frame."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.alive import scene as scene_module
from dinar.alive.background import _blended, without
from dinar.alive.poses import from_photo, mirrored, moving_arms, with_free_arm
from dinar.alive.scene import Scene, _touching, compose, frames, take_apart
from dinar.alive.standing import swayed
from dinar.avatar import Avatar
from dinar.body.body import PARTS
from dinar.body.readers import load_motion
from dinar.cli import main
from dinar.labels import CLASSES


def test_background_continues_stripes() -> None:
    y, x = np.mgrid[:96, :128]
    photo = np.stack([(y // 8 % 2) * 200, x, 128 + 0 * x], 2).astype(np.uint8)
    hole = (abs(y - 48) < 16) & (abs(x - 60) < 10)
    filled = without(np.where(hole[..., None], 255, photo).astype(np.uint8), hole)
    assert np.array_equal(filled[~hole], photo[~hole])
    error = np.abs(filled[hole].astype(int) - photo[hole])
    assert error.mean() < 12  # of stripes 200 high
    assert np.array_equal(without(photo, np.zeros_like(hole)), photo)


@pytest.mark.parametrize(("step", "left"), [(0.1, 0.0), (0.5, 0.5)])
def test_copies_that_are_lighter_are_joined_and_other_things_stay(step: float, left: float) -> None:
    """The hole has the texture 40 columns beside it, lighter by a step; a large one is an edge."""
    image = (0.4 + 0.02 * np.random.default_rng(0).normal(size=(60, 120, 1))).astype(np.float32)
    hole = np.zeros((60, 120), bool)
    hole[20:40, 60:80] = True
    image[20:40, 60:80] = image[20:40, 20:40] + step
    offsets = np.zeros((60, 120, 2), int)
    offsets[hole] = [0, -40]
    joined = _blended(image, hole, offsets)
    assert np.array_equal(joined[~hole], image[~hole])
    assert abs(joined[20:40, 60].mean() - 0.4 - left) < 0.02  # at the border
    inner = np.diff(joined[25:35, 65:75], axis=0) - np.diff(image[25:35, 65:75], axis=0)
    assert np.abs(inner).max() < 0.01  # the texture is the copies'


def test_background_of_a_hole_to_the_border_is_filled() -> None:
    photo = np.full((40, 30, 3), 90, np.uint8)
    hole = np.zeros((40, 30), bool)
    hole[:, 8:22] = True
    assert np.abs(without(np.where(hole[..., None], 0, photo).astype(np.uint8), hole).astype(int) - 90).max() < 3
    assert without(photo, np.ones_like(hole)).shape == photo.shape


def test_motion_begins_and_ends_in_the_pose_of_the_photo(avatar: Avatar) -> None:
    body = avatar.body
    for name, walks in (("wave", False), ("walk", True)):
        pose, transl = from_photo(avatar, load_motion(name).resampled(10))
        for k in (0, -1):
            v = avatar.vertices(pose[k], transl[k])
            assert (v - avatar.vertices()).norm(dim=1).max() < 2e-3
        j = body.joint("left_knee")
        assert bool((pose[:, j] - pose[:1, j]).norm(dim=1).max() > 0.3) == walks
    pose, transl = from_photo(avatar, load_motion("wave").resampled(10))
    feet = [p.endswith("foot") for p in np.array(PARTS)[body.vertex_part]]
    still, moving = (avatar.vertices(pose[k], transl[k]) for k in (0, len(pose) // 2))
    assert (still - moving)[feet].norm(dim=1).max() < 1e-3
    hand = body.vertex_part == PARTS.index("right_hand")
    assert (still - moving)[hand].norm(dim=1).min() > 0.3


def test_the_arm_without_a_bag_waves(avatar: Avatar) -> None:
    s, f = avatar.work.subjects[0], avatar.work.fits[0]
    wave = load_motion("wave").resampled(5)
    assert torch.allclose(mirrored(mirrored(wave)).rotations, wave.rotations)
    assert [moving_arms(avatar, m) for m in (wave, mirrored(wave))] == [["right"], ["left"]]
    xy = f.camera.project(avatar.vertices())[0].numpy().astype(int)
    for side in ("left", "right"):
        labels = np.zeros(s.alpha.shape, np.uint8)
        x, y = xy[avatar.body.vertex_part == PARTS.index(f"{side}_hand")].T
        labels[y, x] = CLASSES.index("bag")
        chosen = with_free_arm(avatar, dataclasses.replace(s, labels=labels), f, wave)
        assert moving_arms(avatar, chosen) == ["left" if side == "right" else "right"]
    both = np.full(s.alpha.shape, CLASSES.index("outer"), np.uint8)  # both hands in the coat's pockets
    kept = with_free_arm(avatar, dataclasses.replace(s, labels=both), f, wave)
    assert moving_arms(avatar, kept) == [] and not torch.equal(
        kept.rotations[:1].expand_as(wave.rotations), kept.rotations
    )


@pytest.fixture(scope="module")
def living(avatar: Avatar) -> Scene:
    s, f = avatar.work.subjects[0], avatar.work.fits[0]
    k = 320 / max(s.rgb.shape[:2])  # small, to be fast
    h, w = (round(n * k) for n in s.rgb.shape[:2])
    small = dataclasses.replace(s, rgb=cv2.resize(s.rgb, (w, h), interpolation=cv2.INTER_AREA),
                                alpha=cv2.resize(s.alpha, (w, h)),
                                labels=None)  # fmt: skip
    wave = load_motion("wave").resampled(3)
    return take_apart(avatar, small, dataclasses.replace(f, camera=f.camera.resized(h, w)), wave)


def test_first_and_last_frame_are_the_photo(living: Scene) -> None:
    shown = list(frames(living, load_motion("wave").resampled(3)))
    photo = (living.photo * 255).round().astype(int)
    for k in (0, -1):
        assert np.abs(shown[k] - photo).max() <= 1
    middle = shown[len(shown) // 2].astype(int)
    assert (np.abs(middle - photo).max(2) > 30).mean() > 0.005  # an arm is elsewhere
    below = (np.abs(middle - photo).max(2) > 2)[-60:]  # feet and ground
    assert below.mean() < 0.01


def test_composed_picture_in_the_pose_of_the_photo_is_the_photo(living: Scene, monkeypatch) -> None:
    monkeypatch.setattr(scene_module, "STILL", (-2.0, -1.0))  # draw all of it
    drawn = compose(living, living.avatar.pose, living.avatar.transl)
    error = np.abs(drawn - living.photo)
    assert np.sqrt((error**2).mean()) < 0.05 and (error.max(2) > 0.1).mean() < 0.03


def test_sway_moves_the_person_and_nothing_far() -> None:
    rng = np.random.default_rng(0)
    picture = cv2.GaussianBlur(rng.random((120, 160, 3)).astype(np.float32), (0, 0), 3)
    person = np.zeros((120, 160), bool)
    person[20:100, 70:90] = True
    place = np.argwhere(person)[::7, ::-1] + 0.5
    moved = swayed(picture, place, place + [2, 0], person, 80)
    assert np.abs(moved[30:90, 74:88] - picture[30:90, 72:86]).max() < 0.01
    assert np.array_equal(moved[:, :55], picture[:, :55])
    assert np.abs(swayed(picture, place, place, person, 80) - picture).max() < 1e-6


def test_pieces_beside_an_arm_are_not_drawn() -> None:
    alpha, core = np.zeros((60, 60), np.float32), np.zeros((60, 60), bool)
    core[10:50, 20:30] = alpha[10:50, 20:30] = True
    alpha[10:50, 30:36] = 1  # a wide sleeve
    alpha[10:50, 44:48] = 1  # a strip of it that lies apart
    kept = _touching(alpha, core, 8)
    assert kept[12:48, 20:36].all() and not kept[:, 44:].any()


def test_shadow_falls_where_the_feet_were_not(living: Scene) -> None:
    moved = living.avatar.transl + torch.tensor([0.25, 0, 0])
    pose = living.avatar.pose
    living = dataclasses.replace(living, bent=None)  # as of a person who walks
    lit = compose(dataclasses.replace(living, ground=np.ones_like(living.ground)), pose, moved)
    assert (compose(living, pose, moved)[-60:] < lit[-60:] - 0.05).any()


def test_alive_does_not_write_over_its_photo(tmp_path: Path, capsys) -> None:
    for name, expect in (("me.jpg", "expected a name like"), ("me.gif", "it is an input")):
        (tmp_path / name).write_bytes(b"x")
        with pytest.raises(SystemExit):
            main(["alive", str(tmp_path / name), "-o", str(tmp_path / name)])
        assert expect in capsys.readouterr().err
