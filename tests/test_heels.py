"""Shoes with heels: told by the photo, as high as the mask is deep, level on the ground."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.body import PARTS
from dinar.body.motion import retarget
from dinar.body.readers import load_motion
from dinar.body.rotation import axis_angle_to_matrix
from dinar.fit.fit_file import Fit
from dinar.fit.heels import HEIGHTS, LIKELY, MIDDLE, SIDES, heel_height, lift_heels, on_heels
from dinar.fit.view import View, photo_camera
from dinar.scene import rasterize_mesh

HEEL, BLOCK = 0.07, 0.052


def standing(body: Body, down: float, away: float = 0.0) -> Fit:
    """A fit whose feet point down by so many degrees, ``away`` metres from the camera."""
    pose = torch.zeros(body.num_joints, 3)
    for side in SIDES:
        pose[body.joint(f"{side}_ankle"), 0] = np.deg2rad(down)
    return Fit(torch.zeros(body.num_betas), pose, torch.tensor([0, 0, -away]), photo_camera(640, 480), 0.5)


def told(*heels: float | None) -> list[View]:
    """Views that show nothing but how likely heels are."""
    return [View(np.zeros((33, 4), np.float32), None, None, 640, 480, heels=h) for h in heels]


@pytest.fixture(scope="module")
def bare(body: Body) -> np.ndarray:
    return body.v_template.numpy().astype(np.float64)


@pytest.fixture(scope="module")
def lifted(body: Body, bare: np.ndarray) -> np.ndarray:
    return lift_heels(body, bare, body.j_template.numpy(), HEEL)


@pytest.fixture(scope="module")
def foot(body: Body) -> np.ndarray:
    return body.vertex_part == PARTS.index("left_foot")


def seen(body: Body, fit: Fit, heel: float, below: int = 0) -> View:
    """A view of the fitted body on heels, with ``below`` rows of the mask under its feet."""
    rest = body.v_template.numpy().astype(np.float64)
    offsets = lift_heels(body, rest, body.j_template.numpy(), heel) - rest
    f = on_heels(body, fit, heel)
    v = body(f.betas[None], f.pose[None], f.transl[None], offsets=torch.from_numpy(offsets).float()).vertices[0]
    mask = rasterize_mesh(v, body.faces, f.camera).mask[0].numpy()
    if below:
        mask[below:] |= mask[:-below]
    return View(np.zeros((33, 4), np.float32), None, mask, *mask.shape, heels=0.95)


@pytest.mark.parametrize("heel", [0.05, 0.08, 0.1])
def test_heels_are_as_high_as_the_mask_is_deep(body: Body, heel: float) -> None:
    fit = standing(body, 5, away=3.2)
    view = seen(body, fit, heel)
    assert heel_height(body, [fit], [view]) == pytest.approx(heel, abs=0.011)
    walking = dataclasses.replace(fit, pose=fit.pose.clone())
    walking.pose[body.joint("right_ankle"), 0] = 0.9  # the foot behind, which tells nothing
    assert heel_height(body, [walking], [seen(body, walking, heel)]) == pytest.approx(heel, abs=0.021)
    other = seen(body, fit, 0.05)
    assert heel_height(body, [fit, fit], [view, other]) == pytest.approx((heel + 0.05) / 2, abs=0.026)


def test_feet_at_the_photos_end_tell_no_height(body: Body) -> None:
    fit = standing(body, 5, away=3.2)
    view = seen(body, fit, 0.1)
    end = int(np.flatnonzero(view.mask.any(1))[-1])
    cut = dataclasses.replace(view, mask=view.mask[:end], height=end)
    assert heel_height(body, [fit], [cut]) == MIDDLE
    assert heel_height(body, [fit], [dataclasses.replace(view, mask=None)]) == MIDDLE
    assert HEIGHTS[0] < MIDDLE < HEIGHTS[-1]


@pytest.mark.parametrize(("said", "down", "worn"), [(0.8, 0, False), (0.8, 5, True), (0.9, -5, False), (0.4, 8, False),
                                                    (0.4, 17, True), (0.95, 0, True), (1.0, -10, True)])  # fmt: skip
def test_feet_that_point_down_confirm_heels(body: Body, said: float, down: float, worn: bool) -> None:
    assert (heel_height(body, [standing(body, down)], told(said)) > 0) == worn


@pytest.mark.parametrize(("down", "left"), [(10, 0), (45, 45 - 22.7), (-15, -15)])
def test_ankles_give_back_what_heels_do(body: Body, down: float, left: float) -> None:
    fit = standing(body, down)
    now = on_heels(body, fit, HEEL)
    for side in SIDES:
        R = axis_angle_to_matrix(now.pose[body.joint(f"{side}_ankle")])
        assert float(torch.rad2deg(torch.asin(-R[1, 2]))) == pytest.approx(left, abs=1.5)
    others = [j for j in range(body.num_joints) if body.joint_names[j] not in ("left_ankle", "right_ankle")]
    assert torch.equal(now.pose[others], fit.pose[others])
    assert torch.equal(on_heels(body, fit, 0).pose, fit.pose)


def test_a_heel_is_high_and_narrow_and_stands_level_with_the_toes(
    body: Body, bare: np.ndarray, lifted: np.ndarray, foot: np.ndarray
) -> None:
    end = bare[foot, 2].min()
    under = foot & (bare[:, 1] < bare[foot, 1].min() + 0.003)
    heel, ball = under & (bare[:, 2] < end + BLOCK), under & (bare[:, 2] > end + 0.21)
    ground = lifted[foot, 1].min()
    assert np.abs(lifted[heel, 1] - ground).max() < 0.004 and np.abs(lifted[ball, 1] - ground).max() < 0.012
    assert np.ptp(lifted[heel, 0]) < 0.8 * np.ptp(bare[heel, 0])
    arch = under & (bare[:, 2] > end + BLOCK) & (bare[:, 2] < end + BLOCK + 0.03)
    assert (lifted[arch, 1] > ground + 0.02).all(), "the sole is free before the heel"
    seat = foot & (np.abs(bare[:, 2] - end - 0.03) < 0.006) & (bare[:, 1] > bare[foot, 1].min() + 0.03)
    rise = (lifted[seat, 1] - ground) - (bare[seat, 1] - bare[foot, 1].min())
    assert rise.mean() == pytest.approx(HEEL, rel=0.1), "the middle of the heel is as high as was said"


def test_legs_and_toes_keep_their_shape(body: Body, bare: np.ndarray, lifted: np.ndarray, foot: np.ndarray) -> None:
    shin = bare[:, 1] > body.j_template[body.joint("left_ankle"), 1].item() + 0.12
    assert np.abs(lifted - bare)[shin].max() < 3e-3
    toes = body.weights[:, body.joint("left_foot")].numpy() > 0.99
    moved = lifted[toes] - bare[toes]
    assert np.ptp(moved, axis=0).max() < 1e-3 and moved[0, 1] < -0.03, "toes are level, below the bare ones"
    assert np.allclose(lifted[body.mirror] * [-1, 1, 1], lifted, atol=3e-3)
    assert (lift_heels(body, bare, body.j_template.numpy(), 0) == bare).all()


def test_motions_stand_on_shoes(body: Body, bare: np.ndarray, lifted: np.ndarray) -> None:
    """The floor is under the heels, not under the feet in them; clothes do not lift anybody."""
    walk = load_motion("walk").resampled(10)
    offsets = torch.from_numpy((lifted - bare).astype(np.float32))
    cloth = torch.zeros_like(offsets)
    cloth[body.vertex_part == PARTS.index("left_arm"), 1] = -2
    height = {}
    for name, given in {"bare": None, "heels": offsets, "cloth": cloth}.items():
        pose, transl = retarget(walk, body, offsets=given)
        v = body(torch.zeros(len(pose), 1), pose, transl, offsets=offsets if name == "heels" else None).vertices
        height[name] = float(transl[:, 1].mean())
        assert abs(float(v[..., 1].amin(1).quantile(0.3))) < 2e-3
    assert 0.02 < height["heels"] - height["bare"] < 0.1 and height["cloth"] == pytest.approx(height["bare"])


def test_a_photo_of_flat_shoes_makes_flat_shoes(avatar) -> None:
    assert avatar.meta["heel"] == 0 and avatar.work.subjects[0].view.heels < LIKELY


def test_the_height_can_be_said(demo_photo: Path, pose_network: None, avatar, body: Body) -> None:
    from dinar.create import create

    heeled = create(demo_photo, renderer="mesh", heels=0.08, size=256)
    assert heeled.meta["heel"] == 0.08
    low = [float(x.vertices(torch.zeros(body.num_joints, 3), torch.zeros(3))[:, 1].min()) for x in (heeled, avatar)]
    assert low[0] < low[1] - 0.025


def test_soles_of_sandals_on_heels_have_the_shoes_colour(body: Body) -> None:
    from dinar.labels import LABEL
    from dinar.texture.foot import feet
    from dinar.texture.surface import of_kind, surface

    s = surface(body, 128)
    x = s.x * [1, 1, 1]
    x[:, 0] = np.abs(x[:, 0])
    foot = of_kind(s, "foot")
    low, high = (q(x[foot], 0) for q in (np.min, np.max))
    strap = foot & (x[:, 2] > high[2] - 0.08) & (x[:, 2] < high[2] - 0.06)
    seen = foot & (x[:, 2] > high[2] - 0.12) & (x[:, 1] > low[1] + 0.01)
    worn = np.where(strap, LABEL["shoes"], LABEL["skin"]).astype(np.uint8)
    colour = np.where(strap[:, None], 0.1, 0.7) * np.ones(3)
    share = {}
    for heels in (False, True):
        out = np.zeros_like(colour)
        feet(s, x, colour, seen.astype(float), seen, worn, out, heels)
        sole = foot & (x[:, 1] < low[1] + 0.014)
        share[heels] = (out[sole].mean(1) < 0.3).mean(), (out[foot & ~sole & ~strap].mean(1) < 0.3).mean()
    assert share[True][0] > 0.95 and share[False][0] < 0.5
    assert share[True][1] < share[False][1] + 0.15


def test_a_view_without_a_guess_of_heels_is_flat(body: Body) -> None:
    from known_body import subject

    view, _, _ = subject(body, yaw=0)
    assert view.heels is None
    assert heel_height(body, [standing(body, 30)], [dataclasses.replace(view)]) == 0
