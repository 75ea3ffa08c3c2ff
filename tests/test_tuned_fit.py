"""Tuned constants of the body fit and the offsets: each has a test that fails when it is changed."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.body import PARTS
from dinar.body.regions import regions
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.smplify import fit_body
from dinar.scene import orbit, vertex_normals
from known_body import silhouette, subject

# ---- SMPLify: people as landmarks only, all in one batch -----------------------------------------------------------


def flexion(body: Body, side: str) -> torch.Tensor:
    """Axis [3] about which an elbow bends, in the rest frame."""
    sign = -1.0 if side == "left" else 1.0
    return body.t_pose[body.joint(f"{side}_shoulder")].T @ torch.tensor([0, sign, 0.0])


# BlazePose's points of face, hips, feet and hands: by eye they are less certain than the large joints.
SMALL = (0, 2, 5, 7, 8, 9, 10, 23, 24, 29, 30, 31, 32, 17, 18, 19, 20)


@pytest.fixture(scope="module")
def fitted(body: Body) -> dict[str, SimpleNamespace]:
    """By name: ``fit``, ``joints`` [J, 3] found, ``gap`` [J] pixels from the true joints."""
    left, right = flexion(body, "left"), flexion(body, "right")
    people = {
        "from above": subject(body, pitch=11.5),  # a camera that looks down sees people lean forward
        "bent": subject(body, joints={
            "left_elbow": (-1.3 * left).tolist(), "right_elbow": (1.6 * right).tolist(),  # one the wrong way
            "left_hip": (-0.9, 0, 0), "left_knee": (-0.7, 0, 0)}),
        "small points off": subject(body),
    }  # fmt: skip
    rng = np.random.default_rng(3)
    for i in SMALL:
        people["small points off"][0].keypoints[i, :2] += rng.choice([-25, 25], 2)
    views = [v for v, *_ in people.values()]
    for v in views:
        v.mask = None
    fits = fit_body(body, views, shared_shape=False)
    return {name: compare(body, fit, truth) for (name, (_, _, truth)), fit in zip(people.items(), fits, strict=True)}


def compare(body: Body, fit, truth) -> SimpleNamespace:
    posed = body(fit.betas[None], fit.pose[None], fit.transl[None])
    xy, true = (fit.camera.project(p.joints[0])[0] for p in (posed, truth))
    return SimpleNamespace(fit=fit, posed=posed, joints=posed.joints[0], gap=(xy - true).norm(dim=1))


def slope(body: Body, joints: torch.Tensor, lower: str, upper: str) -> float:
    """Degrees by which the line between the middles of two pairs of joints leans into the depth."""
    low, high = ((joints[body.joint(f"left_{n}")] + joints[body.joint(f"right_{n}")]) / 2 for n in (lower, upper))
    return abs(float(torch.rad2deg(torch.atan2(high[2] - low[2], high[1] - low[1]))))


def test_standing_people_are_fitted_upright(body: Body, fitted) -> None:
    joints = fitted["from above"].joints
    assert slope(body, joints, "ankle", "hip") < 7 and slope(body, joints, "hip", "shoulder") < 6


def test_knees_of_standing_people_are_straight(body: Body, fitted) -> None:
    pose = fitted["from above"].fit.pose
    assert max(abs(float(pose[body.joint(f"{s}_knee"), 0])) for s in ("left", "right")) < 0.08


def test_joints_do_not_bend_beyond_their_limits(body: Body, fitted) -> None:
    pose = fitted["bent"].fit.pose
    assert float(pose[body.joint("left_elbow")] @ flexion(body, "left")) > -0.7
    assert float(pose[body.joint("left_knee"), 0]) > -0.2


def test_elbows_bend_freely_within_their_limits(body: Body, fitted) -> None:
    pose = fitted["bent"].fit.pose
    assert float(pose[body.joint("right_elbow")] @ flexion(body, "right")) > 1.2


def test_keypoints_are_met(fitted) -> None:
    assert fitted["bent"].fit.keypoint_error < 0.8


def test_large_joints_count_more(body: Body, fitted) -> None:
    large = [body.joint(f"{s}_{n}") for s in ("left", "right") for n in ("shoulder", "elbow", "wrist", "knee", "ankle")]
    assert float(fitted["small points off"].gap[large].mean()) < 6


# ---- SMPLify: people with masks ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def masked(body: Body) -> dict[str, SimpleNamespace]:
    """As ``fitted``, with the true mask and the fit's."""
    limbs = np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p == "head" or p.endswith(("hand", "foot"))])
    swell = 0.03 * vertex_normals(body.v_template[None], body.faces)[0]
    swell[torch.from_numpy(limbs)] = 0
    hanging = subject(body, joints={"left_shoulder": (0, 0, -0.9)})
    hanging[0].keypoints[[13, 15, 17, 19], 3] = 0  # an arm without keypoints
    people = {"stout": subject(body, offsets=swell), "hanging arm": hanging}
    views = [v for v, *_ in people.values()]
    out = {}
    for (name, (view, _, truth)), fit in zip(people.items(), fit_body(body, views, shared_shape=False), strict=True):
        out[name] = compare(body, fit, truth)
        out[name].mask = view.mask
        out[name].found = silhouette(body, out[name].posed.vertices[0], fit.camera)
    return out


def test_the_body_widens_to_the_mask(masked) -> None:
    s = masked["stout"]
    assert (s.mask & ~s.found).sum() < 0.269 * s.found.sum()


def test_limbs_without_keypoints_move_into_the_mask(body: Body, masked) -> None:
    assert float(masked["hanging arm"].gap[body.joint("left_wrist")]) < 21  # pixels


# ---- offsets: one silhouette with a coat, big hair and balls for hands and feet ------------------------------------

SIDE = 640


@pytest.fixture(scope="module")
def widened(body: Body) -> SimpleNamespace:
    """Of a coat from the hips to the knees that is 7 cm wide on the left, with a ragged edge; the right is hidden.

    ``D`` [V, 3] the offsets, ``outer`` and ``before`` [V] bool: vertices of the coat at its edge and in front.
    """
    betas, transl = torch.zeros(body.num_betas), torch.zeros(3)
    pose = torch.zeros(body.num_joints, 3)
    pose[body.joint("left_shoulder"), 2], pose[body.joint("right_shoulder"), 2] = -0.2, 0.2
    posed = body(betas[None], pose[None])
    vertices = posed.vertices[0]
    camera = orbit(vertices, 0, 0, SIDE, SIDE)
    naked = silhouette(body, vertices, camera)
    xy = camera.project(vertices)[0]
    metre = float(np.ptp(xy[:, 1].numpy()) / np.ptp(vertices[:, 1].numpy()))  # pixels
    at = lambda name: camera.project(posed.joints[0, body.joint(name)][None])[0][0].int().tolist()  # noqa: E731
    middle, rows = at("pelvis")[0], slice(at("left_hip")[1] - 10, at("left_knee")[1])
    mask = naked.astype(np.uint8)
    coat = cv2.dilate(mask, np.ones((1, 2 * round(0.07 * metre) + 1), np.uint8))
    for y, ragged in zip(range(rows.start, rows.stop), np.random.default_rng(0).integers(-6, 7, 999), strict=False):
        end = np.flatnonzero(coat[y])[-1] + ragged
        mask[y, middle : end + 1] |= coat[y, middle : end + 1]
        mask[y, end + 1 :] = 0
    ball = lambda x, y, r: cv2.circle(mask, (int(x), int(y)), int(r * metre), 1, -1)  # noqa: E731
    ball(at("head")[0], at("head")[1] - 0.1 * metre, 0.16)
    for side, out in (("left", 0.04), ("right", -0.04)):
        ball(at(f"{side}_wrist")[0] + out * metre, at(f"{side}_wrist")[1] + 0.08 * metre, 0.09)
        ball(at(f"{side}_ankle")[0], at(f"{side}_ankle")[1] + 0.05 * metre, 0.1)
    hidden = np.zeros_like(naked)
    hidden[rows, : middle - round(0.02 * metre)] = True
    D = fit_offsets(body, betas, [Silhouette(mask > 0, pose, transl, camera, hidden)])
    dressed = silhouette(body, body(betas[None], pose[None], offsets=torch.from_numpy(D)).vertices[0], camera)
    both = np.stack([dressed, mask > 0])[:, :, middle:]
    hip, knee = (float(body.j_template[body.joint(f"left_{n}"), 1]) for n in ("hip", "knee"))
    x, y, z = body.v_template.numpy().T
    arms = np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith(("arm", "hand"))])
    thigh = (y < hip - 0.03) & (y > knee + 0.05) & ~arms
    return SimpleNamespace(D=D, size=np.linalg.norm(D, axis=1), outer=thigh & (np.abs(x) > 0.125), left=x > 0,
                           before=thigh & (z > 0.05) & (x > 0), iou=both.all(0).sum() / both.any(0).sum())  # fmt: skip


def part(body: Body, name: str) -> np.ndarray:
    return np.isin(body.vertex_part, [i for i, p in enumerate(PARTS) if p.endswith(name)])


def test_the_edge_of_a_wide_coat_is_found(widened) -> None:
    assert widened.D[widened.outer & widened.left, 0].mean() > 0.03


def test_far_edges_count_but_less(body: Body, widened) -> None:
    assert widened.iou > 0.87
    assert widened.size[part(body, "hand")].max() < 0.044


def test_the_hidden_half_is_as_wide_as_the_seen_one(widened) -> None:
    assert -widened.D[widened.outer & ~widened.left, 0].mean() > 0.008


def test_the_front_of_a_coat_widens_with_its_edge(widened) -> None:
    assert widened.size[widened.before].mean() > 0.04


def test_offsets_are_smoother_than_the_edge(body: Body, widened) -> None:
    edges = np.concatenate([body.faces[:, [0, 1]], body.faces[:, [1, 2]]])
    edges = edges[(widened.outer & widened.left)[edges].all(1)]
    assert np.linalg.norm(widened.D[edges[:, 0]] - widened.D[edges[:, 1]], axis=1).mean() < 0.011


def test_hands_and_faces_keep_their_shape(body: Body, widened) -> None:
    r = regions(body)
    assert widened.size[part(body, "hand")].max() < 0.044
    assert widened.size[r.face].max() < 0.065 and widened.size[r.cavity].max() < 0.0006
