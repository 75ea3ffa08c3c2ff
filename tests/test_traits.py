"""Bodies of men and women: told by the photo or by the user, kept by the fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dinar.body import Body
from dinar.create import CreateOptions
from dinar.demo import PHOTO
from dinar.errors import DinarError
from dinar.fit.smplify import fit_body
from dinar.labels import CLASSES, LABEL
from dinar.photo.blazepose import KEYPOINTS
from dinar.photo.image import read_photo
from dinar.photo.parsing import parse_person
from dinar.photo.person import find_person
from dinar.photo.traits import cloth_patterns, person_build
from dinar.studio import open_studio
from dinar.subject import read_subject
from known_body import subject


def test_women_have_breasts_and_men_broader_shoulders(body: Body) -> None:
    assert body.build is not None
    man = body.build / body.build.square().sum()  # the nearest betas to 0
    assert float(man @ body.build) == pytest.approx(1, abs=1e-5)
    breasts, shoulders = [], []
    for betas in (man, -man):
        v, joints = (x[0] for x in body.rest(betas[None])[:2])
        up = v[:, 1] - joints[body.joint("spine3"), 1]
        out = lambda low, high: float(v[(v[:, 0].abs() < 0.12) & (up > low) & (up < high), 2].max())  # noqa: B023, E731
        breasts.append(out(0.03, 0.15) - out(-0.2, -0.05))
        shoulders.append(float(joints[body.joint("left_shoulder"), 0]))
    assert breasts[1] > breasts[0] + 0.015 and shoulders[0] > shoulders[1] + 0.015


def test_a_fit_has_the_build_that_is_known(body: Body) -> None:
    view, _, _ = subject(body, yaw=10)
    assert body.build is not None
    built = []
    for build in (-1.0, 1.0):
        fit = fit_body(body, [dataclasses.replace(view, build=build)])[0]
        built.append(float(fit.betas @ body.build))
        assert fit.keypoint_error < 2
    assert built[0] < -0.8 and built[1] > 0.8, "a silhouette tells less about it than the build"


def test_build_of_a_photo_and_of_its_mirror_image() -> None:
    rgb = read_photo(PHOTO).rgb
    points = find_person(rgb).pose.keypoints
    mirrored = points.copy()
    mirrored[:, 0] = rgb.shape[1] - points[:, 0]
    said, other = person_build(rgb, points), person_build(np.ascontiguousarray(rgb[:, ::-1]), mirrored)
    assert -1 <= said <= 1 and abs(said - other) < 0.5


def test_a_body_that_knows_no_build_refuses_one(body: Body) -> None:
    with pytest.raises(DinarError, match="expected --build auto"):
        open_studio(CreateOptions(build="man"), dataclasses.replace(body, build=None))


@pytest.fixture(scope="module")
def parsed() -> tuple[np.ndarray, np.ndarray]:
    """The demo photo, [H, W, 3] and its classes [H, W]."""
    rgb = read_photo(PHOTO).rgb
    return rgb, parse_person(rgb, find_person(rgb).pose.keypoints).labels


def test_a_striped_cloth_is_patterned(parsed: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, labels = parsed
    worn = cloth_patterns(rgb, labels)[0]
    plain = [c for c in np.flatnonzero(~np.isnan(worn)) if (labels == c).sum() > 5000]
    assert plain and worn[plain].max() < 0.35
    stripes = np.arange(len(rgb))[:, None, None] // 8 % 2 == 0
    for c in plain:
        painted = np.where((labels == c)[..., None] & stripes, 255 - rgb // 2, rgb).astype(np.uint8)
        assert cloth_patterns(painted, labels)[0, c] > 0.65


def test_striped_sleeves_on_a_plain_shirt(parsed: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, labels = parsed
    shirt = labels == LABEL["upper"]
    left, right = np.quantile(np.nonzero(shirt)[1], (0.3, 0.7))
    column = np.arange(rgb.shape[1])
    arms = shirt & ((column < left) | (column > right))
    stripes = np.arange(len(rgb))[:, None, None] // 8 % 2 == 0
    painted = np.where(arms[..., None] & stripes, 255 - rgb // 2, rgb).astype(np.uint8)
    trunk, sleeves = cloth_patterns(painted, labels, arms)[:, LABEL["upper"]]
    assert trunk < 0.5 and sleeves > 0.65


def test_arms_are_found() -> None:
    x = read_subject(PHOTO)
    assert x.view.surface is not None and x.labels is not None
    arms = x.view.surface.arms(x.labels.shape)
    at = lambda *names: x.view.keypoints[[KEYPOINTS.index(n) for n in names], :2].mean(0).astype(int)[::-1]  # noqa: E731
    for name in ("left_elbow", "right_elbow", "left_wrist", "right_wrist"):
        assert arms[tuple(at(name))], name
    assert not arms[tuple(at("left_shoulder", "right_shoulder", "left_hip", "right_hip"))]
    assert x.patterns is not None and x.patterns.shape == (2, len(CLASSES))


def test_a_speck_of_a_cloth_tells_nothing(parsed: tuple[np.ndarray, np.ndarray]) -> None:
    rgb, labels = parsed
    labels = np.where(np.isin(labels, [LABEL["legwear"], LABEL["skirt"]]), 0, labels).astype(np.uint8)
    rows, columns = np.nonzero(labels == LABEL["lower"])
    y, x = int(np.median(rows)), int(np.median(columns))
    labels[y : y + 12, x : x + 12] = LABEL["legwear"]
    worn = cloth_patterns(rgb, labels)
    assert np.isnan(worn[:, [LABEL[name] for name in ("legwear", "skirt", "skin")]]).all() and np.isnan(worn[1]).all()
    assert np.isnan(cloth_patterns(rgb, np.zeros_like(labels))).all()
