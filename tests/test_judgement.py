"""The judgement of fits: known bodies, broken ones, what the user reads, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.create import judgement
from dinar.errors import DinarError
from dinar.fit.fit_file import Fit
from dinar.fit.judgement import Judgement, judge
from dinar.fit.view import View, of_person, photo_camera
from dinar.subject import Subject
from known_body import BETAS, TRANSL, H, W, subject

GOOD = Judgement(0.6, 0.8, 0.98, 0.8, 0.9, True, True, True)


class Everywhere:
    """A surface map that agrees with everything to the same degree."""

    def __init__(self, share: float) -> None:
        self.share = share

    def agreement(self, xy: np.ndarray, rest: np.ndarray) -> np.ndarray:
        return np.full(len(xy), self.share, np.float32)


def fit_of(body: Body, pose: torch.Tensor) -> Fit:
    betas = torch.zeros(body.num_betas)
    betas[:3] = BETAS
    return Fit(betas, pose, TRANSL, photo_camera(H, W), 0.0)


def test_a_known_body_is_good_and_a_broken_one_is_nonsense(body: Body) -> None:
    view, pose, _ = subject(body)
    fit = fit_of(body, pose)
    good = judge(body, fit, view)
    assert good.missed < 0.01 and good.overlap > 0.97 and good.inside > 0.98
    assert math.isnan(good.agreement) and good.face and good.feet
    assert not good.doubts and not good.nonsense and str(good).startswith("good fit")
    broken = pose.clone()
    broken[0, 2] += 1.2  # rolled
    bad = judge(body, fit_of(body, broken), view)
    assert bad.missed > 8 and bad.nonsense and str(bad).startswith("doubtful fit")


def test_an_arm_outside_of_the_mask_is_doubtful(body: Body) -> None:
    view, pose, _ = subject(body)
    assert judge(body, fit_of(body, pose), view).limb > 0.95
    broken = pose.clone()
    broken[body.joint("left_shoulder"), 2] += 1.2  # raised
    found = judge(body, fit_of(body, broken), view)
    assert found.limb < 0.4 and any("of a limb" in d for d in found.doubts)
    behind = dataclasses.replace(view, front=np.ones((H, W), bool))  # behind a thing
    assert judge(body, fit_of(body, broken), behind).limb > 0.75


def test_what_the_photo_does_not_show(body: Body) -> None:
    view, pose, _ = subject(body, yaw=180)
    view.keypoints[27, 3] = 0.1
    fit = fit_of(body, pose)
    found = judge(body, fit, view, alone=False)
    assert not found.face and not found.feet
    assert "invented: face and feet" in str(found) and "other people" in str(found)


def test_a_bag_in_front_of_the_body_is_no_doubt(body: Body) -> None:
    view, pose, _ = subject(body)
    fit = fit_of(body, pose)
    assert view.mask is not None
    bag = np.zeros_like(view.mask)
    bag[H // 3 : H * 2 // 3] = True
    view.mask = view.mask & ~bag
    assert judge(body, fit, view).inside < 0.9
    assert judge(body, fit, dataclasses.replace(view, front=bag)).inside > 0.95


def test_the_surface_map_contradicts(body: Body) -> None:
    view, pose, _ = subject(body)
    fit = fit_of(body, pose)
    for share, doubted, refused in ((0.7, False, False), (0.4, True, False), (0.1, True, True)):
        view.surface = cast("None", Everywhere(share))
        found = judge(body, fit, view)
        assert found.agreement == pytest.approx(share)
        assert (bool(found.doubts), bool(found.nonsense)) == (doubted, refused)


@pytest.mark.parametrize(
    ("field", "good", "doubtful", "nonsense"),
    [("missed", 1.8, 2.2, 9), ("overlap", 0.55, 0.45, 0.25), ("inside", 0.92, 0.88, 0.55),
     ("agreement", 0.65, 0.55, 0.2), ("limb", 0.55, 0.45, -1)],
)  # fmt: skip
def test_limits(field: str, good: float, doubtful: float, nonsense: float) -> None:
    """The limits that benchmarks/judgement.py measured."""
    judged = [dataclasses.replace(GOOD, **{field: value}) for value in (good, doubtful, nonsense, math.nan)]
    assert [len(j.doubts) for j in judged] == [0, 1, 1, 0]
    assert [len(j.nonsense) for j in judged] == [0, 0, 1, 0]


def test_json_holds_no_nan(body: Body) -> None:
    text = json.dumps(dataclasses.replace(GOOD, agreement=math.nan).summary(), allow_nan=False)
    assert json.loads(text)["agreement"] is None and json.loads(text)["doubts"] == []


def test_create_refuses_nonsense_unless_told(body: Body) -> None:
    view, pose, _ = subject(body)
    broken = pose.clone()
    broken[0, 2] += 1.2  # rolled
    fit = fit_of(body, broken)
    s = cast("Subject", SimpleNamespace(name="me.jpg", view=cast("View", view), count=1))
    with pytest.raises(DinarError, match=r"me\.jpg: the body was not found: joints lie .* --no-refuse"):
        judgement(body, s, fit, refuse=True)
    assert judgement(body, s, fit, refuse=False).nonsense


def test_keypoints_of_passers_by_are_not_the_persons() -> None:
    """A person 200 pixels high: points of theirs, just beside, far beside, and outside of the picture."""
    on = np.zeros((300, 200), bool)
    on[50:250, 60:120] = True
    keypoints = np.zeros((33, 4), np.float32)
    keypoints[:4] = [[90, 150, 0, 0.9], [123, 150, 0, 0.9], [127, 150, 0, 0.9], [260, 150, 0, 0.9]]
    assert of_person(keypoints, on)[:4, 3].tolist() == pytest.approx([0.9, 0.9, 0, 0.9])
    assert keypoints[2, 3] == pytest.approx(0.9)  # the argument stays
