"""Tuned constants of reading photos: crops, masks, whole people. Each has a test that fails when it is changed."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.fit.view import photo_camera
from dinar.photo.blazepose import KEYPOINTS, Pose, region_around
from dinar.photo.mask import person_mask
from dinar.photo.matting import sharpen
from dinar.photo.parser_input import heatmaps, person_affine
from dinar.photo.person import missing_parts
from known_body import H, W, subject

N = {name: i for i, name in enumerate(KEYPOINTS)}


@pytest.fixture(scope="module")
def person(body: Body) -> SimpleNamespace:
    """Somebody in noisy dull red before noisy dull brown, and a mask that is blurred and 4 px off."""
    view, *_ = subject(body)
    assert view.mask is not None
    rng = np.random.default_rng(0)
    rgb = np.where(view.mask[..., None], (135, 100, 90), (110, 105, 95)) + rng.normal(0, 4, (H, W, 3))
    soft = cv2.GaussianBlur(np.roll(view.mask, 4, 1).astype(np.float32), (0, 0), 4)
    pose = Pose(view.keypoints, view.keypoints[:, 3], None, None, 1.0, region_around(view.keypoints))
    outline = cv2.morphologyEx(view.mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3)))
    rgb = rgb.clip(0, 255).astype(np.uint8)
    return SimpleNamespace(rgb=rgb, mask=view.mask, soft=soft, pose=pose, outline=outline)


@pytest.fixture(scope="module")
def alpha(person) -> np.ndarray:
    return sharpen(person.rgb, person.soft, person.pose.height)


def wrong(alpha: np.ndarray, mask: np.ndarray) -> int:
    return int(((alpha > 0.5) != mask).sum())


def test_alpha_follows_edges_of_low_contrast(person, alpha) -> None:
    assert wrong(alpha, person.mask) < 0.35 * wrong(person.soft, person.mask)


def test_alpha_is_unsure_in_a_thin_band_only(person, alpha) -> None:
    assert ((alpha > 0.1) & (alpha < 0.9)).sum() < 2 * person.outline.sum()


def test_grabcut_moves_the_outline_to_the_edge(person) -> None:
    found = person_mask(person.rgb, person.pose, person.soft)
    assert wrong(found, person.mask) < 0.1 * wrong(person.soft, person.mask)


# ---- what the parser sees ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [False, True])
def test_the_whole_person_is_in_the_parsers_crop(body: Body, wide: bool) -> None:
    """Skull and soles lie beyond the keypoints, and hats and heels beyond those; but the crop is not mostly empty."""
    reach = {"left_shoulder": (0, 0, 0.6), "right_shoulder": (0, 0, -0.6)} if wide else None
    view, _, posed = subject(body, joints=reach)
    size = 448, 304
    M = person_affine(view.keypoints, size)
    xy = photo_camera(H, W).project(posed.vertices[0])[0].numpy() @ M[:, :2].T + M[:, 2]
    low, high = xy.min(0), xy.max(0)
    if wide:
        assert 8 < low[0] < 50 and 8 < size[1] - high[0] < 50
    else:
        assert 15 < low[1] < 60 and 8 < size[0] - high[1] < 40


def test_doubtful_points_are_not_drawn(body: Body) -> None:
    view, *_ = subject(body)
    points = view.keypoints.copy()
    points[:, 3] = 0.2
    assert not heatmaps(points, (H, W)).any()
    points[:, 3] = 0.5
    assert all(m.max() > 0.4 for m in heatmaps(points, (H, W)))


# ---- whole people --------------------------------------------------------------------------------------------------


def seen(person, presence: float, visibility: float, shape: tuple[int, int] = (H, W)) -> list[str]:
    """What is missing of a person whose feet the landmark model doubts."""
    points, there = person.pose.keypoints.copy(), np.ones(33, np.float32)
    points[:, 3] = 1
    feet = [N[f"{side}_{p}"] for side in ("left", "right") for p in ("ankle", "heel", "foot_index")]
    points[feet, 3], there[feet] = visibility, presence
    return missing_parts(Pose(points, there, None, None, 1.0, person.pose.region), shape)


def test_photos_cut_at_the_shin_are_told_from_whole_ones(person) -> None:
    """Over 300 street photos the lowest ankle has presence .93, cut at mid-shin the median is .50."""
    assert seen(person, 0.93, 0.3) == [] and seen(person, 0.6, 0.3) == ["the feet"]
    assert seen(person, 0.6, 0.6) == []  # seen after all


def test_feet_may_touch_the_border_but_not_lie_outside(person) -> None:
    ankle, height = person.pose.keypoints[[N["left_ankle"], N["right_ankle"]], 1].min(), person.pose.height
    assert seen(person, 1, 1, (int(ankle - 0.005 * height), W)) == []
    assert seen(person, 1, 1, (int(ankle - 0.02 * height), W)) == ["the feet"]


def test_a_standing_person_in_a_phones_photo_is_three_to_four_metres_away(body: Body) -> None:
    """1.7 m of which a photo's height shows 2.4 m."""
    camera = photo_camera(4000, 3000)
    top, bottom = camera.project(torch.tensor([[0.0, 1.2, -3.5], [0.0, -1.2, -3.5]]))[0][:, 1].tolist()
    assert 0.8 * 4000 < bottom - top < 1.2 * 4000
