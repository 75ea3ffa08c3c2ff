"""The head's shape and turn from the landmarks of the face mesh, on bodies whose truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from dinar.body import Body, load_body
from dinar.body.body import PARTS
from dinar.body.regions import eyes as eyes_of
from dinar.body.regions import regions
from dinar.fit import likeness
from dinar.fit.fit_file import Fit
from dinar.fit.likeness import _table, fit_likeness, turn_head
from dinar.photo.landmarks import Landmarks
from dinar.scene import look_at
from dinar.texture.eyes import IRIS, STRETCHED, _closed, lid_growth, with_eyes
from dinar.texture.texels import texels


@pytest.fixture(scope="module")
def body() -> Body:
    return load_body()


def person(body: Body, seed: int, turned: float) -> tuple[Fit, Landmarks, torch.Tensor]:
    """A person with another head than the mean one: the fit without it, the landmarks, and the head's offsets."""
    rng = np.random.default_rng(seed)
    shapes = torch.from_numpy(rng.normal(0, 1, (1, body.num_betas))).float()
    head = body.weights[:, body.joint("head")][:, None]
    truth = head * (body.rest(shapes)[0][0] - body.v_template)
    truth = truth - head * truth[regions(body).face].mean(0)  # a head higher up is the fit's matter
    eyes = body.v_template[regions(body).face].mean(0)
    camera = look_at(eyes + torch.tensor([0.0, 0, 4]), eyes, 600, 400, 1600)
    pose = torch.zeros(body.num_joints, 3)
    pose[body.joint("neck"), 1] = turned
    fit = Fit(torch.zeros(body.num_betas), pose, torch.zeros(3), camera, 0.0)
    t = _table(body)
    v = body(fit.betas[None], pose[None], fit.transl[None], None, truth).vertices[0].numpy()
    points = np.zeros((468, 3), np.float32)
    at = torch.from_numpy((v[t.vertices] * t.weights[:, :, None]).sum(1)).float()
    points[t.rows, :2] = camera.project(at)[0].numpy() + rng.normal(0, 0.3, (len(t.rows), 2))
    return fit, Landmarks(points, None, 1.0, None), truth


def test_face_has_the_shape_of_the_landmarks(body: Body) -> None:
    none, face = torch.zeros(body.num_expression), regions(body).face
    for turned, left in ((0.0, 0.45), (0.5, 0.6)):
        before, after, aside = [], [], []
        for seed in range(3):
            fit, landmarks, truth = person(body, seed, turned)
            found = torch.from_numpy(fit_likeness(body, [fit], [landmarks], [none], torch.zeros(body.num_vertices, 3)))
            seen = [0, 1]  # across and up: nothing is known of the depth of a face from in front
            before.append(float(truth[face][:, seen].norm(dim=1).mean()))
            after.append(float((found - truth)[face][:, seen].norm(dim=1).mean()))
            below = torch.from_numpy(body.vertex_part != PARTS.index("head"))
            aside.append(float(found[below & (body.weights[:, body.joint("head")] < 1e-4)].abs().max()))
        assert np.mean(after) < left * np.mean(before) and max(aside) < 1e-5


def test_errors_that_the_network_makes_move_a_face_little(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    none, zero, face = torch.zeros(body.num_expression), torch.zeros(body.num_vertices, 3), regions(body).face
    fit, landmarks, _ = person(body, 0, 0.0)
    t, moved = _table(body), []
    v = body(fit.betas[None], fit.pose[None], fit.transl[None]).vertices[0].numpy()
    at = torch.from_numpy((v[t.vertices] * t.weights[:, :, None]).sum(1)).float()
    points = np.zeros((468, 3), np.float32)
    points[t.rows, :2] = fit.camera.project(at)[0].numpy() + 400 * t.modes[:, :, :4].sum(2)  # pixels a metre
    for modes in (t.modes, 0 * t.modes):
        monkeypatch.setattr(likeness, "_table", lambda _, m=modes: dataclasses.replace(t, modes=m))
        found = fit_likeness(body, [fit], [dataclasses.replace(landmarks, points=points)], [none], zero)[face]
        moved.append(float(np.linalg.norm(found - found.mean(0), axis=1).mean()))
    assert moved[0] < 0.6 * moved[1] > 3e-4


def eyes(body: Body) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A texture of grey skin with blue eyes [S * S, 3], the texels of the eyeballs, and which are the upper ones."""
    t = texels(body.atlas, 256)
    ball = body.segment[t.face] == body.segment_names.index("eye_front")
    place = t.sample(body.v_template.numpy(), body.faces)[ball]
    pupil = place[place[:, 2].argmax()]
    off = np.hypot(np.abs(place[:, 0]) - np.abs(pupil[0]), place[:, 1] - pupil[1])
    rgb = np.full((256 * 256, 3), 0.6, np.float32)
    rgb[t.index[ball]] = np.where((off < IRIS)[:, None], (0.2, 0.3, 0.6), (0.8, 0.8, 0.8))
    return rgb, t.index[ball], place[:, 1] > pupil[1] - 0.002


def test_closing_lids_have_the_colour_of_skin(body: Body) -> None:
    t = texels(body.atlas, 256)
    place, growth = t.sample(body.v_template.numpy(), body.faces), lid_growth(body, t)
    lid = (growth > STRETCHED[1]) & (body.segment[t.face] == body.segment_names.index("skin"))
    assert 4 < lid.sum() < 200 and (place[lid, 2] > 0.08).all()
    rgb = eyes(body)[0]
    rgb[t.index[lid]] = 0.1
    painted = with_eyes(body, rgb.reshape(256, 256, 3), np.ones((256, 256), np.float32)).reshape(-1, 3)
    lids, h = painted[t.index[lid], 0], _closed(body)
    assert 0.4 < lids.max() < 0.5 and lids.min() > 0.25  # skin of .6 in the shade, and a part of the photo's .1
    h = t.sample(h, body.faces)[lid, 1]
    low, middle = lids[h < np.quantile(h, 0.1)].mean(), lids[np.abs(h - np.median(h)) < 0.001].mean()
    assert low < 0.9 * middle  # lashes
    rgb[t.index[(place[:, 1] > place[lid, 1].max() + 0.004) & (place[:, 2] > 0.08)]] = 0.42  # a brow
    browed = with_eyes(body, rgb.reshape(256, 256, 3), np.ones((256, 256), np.float32)).reshape(-1, 3)
    assert browed[t.index[lid], 0].max() > 0.95 * lids.max()


def test_unseen_eyeballs_have_the_colours_of_the_seen_part(body: Body) -> None:
    true, ball, upper = eyes(body)
    rgb, seen = true.copy(), np.zeros(len(true), np.float32)
    seen[ball[upper]] = 1
    rgb[ball[~upper]] = (0.9, 0.5, 0.4)
    painted = with_eyes(body, rgb.reshape(256, 256, 3), seen.reshape(256, 256)).reshape(-1, 3)
    assert (np.abs(painted - true)[ball].max(1) < 0.05).mean() > 0.9  # but the pupil
    glasses = np.full_like(rgb, 0.6)
    glasses[ball] = 0.1
    assert (with_eyes(body, glasses.reshape(256, 256, 3), seen.reshape(256, 256)).reshape(-1, 3) == glasses).all()


def test_head_turns_to_the_landmarks(body: Body) -> None:
    none, zero = torch.zeros(body.num_expression), torch.zeros(body.num_vertices, 3)
    fit, landmarks, _ = person(body, 0, 0.3)
    pose = fit.pose.clone()
    pose[body.joint("head")] = torch.tensor([0.1, -0.2, 0.05])
    found = turn_head(body, dataclasses.replace(fit, pose=pose), landmarks, none, zero).pose[body.joint("head")]
    assert float(found.norm()) < 0.5 * float(pose[body.joint("head")].norm())


def test_neck_bends_until_the_face_lies_on_its_landmarks(body: Body) -> None:
    none, zero = torch.zeros(body.num_expression), torch.zeros(body.num_vertices, 3)
    fit, landmarks, _ = person(body, 0, 0.0)
    t, pose, apart, turned = _table(body), fit.pose.clone(), [], []
    pose[body.joint("neck")] = torch.tensor([0.0, 0.0, 0.15])  # to the side
    fit = dataclasses.replace(fit, pose=pose)
    for f in (fit, turn_head(body, fit, landmarks, none, zero)):
        posed = body(f.betas[None], f.pose[None], f.transl[None])
        at = torch.from_numpy((posed.vertices[0].numpy()[t.vertices] * t.weights[:, :, None]).sum(1)).float()
        apart.append(np.abs((f.camera.project(at)[0].numpy() - landmarks.points[t.rows, :2]).mean(0)[0]))
        turned.append(float(posed.skinning[0, body.joint("head"), 0, 1].abs()))
    assert apart[1] < 0.3 * apart[0] and turned[1] < 0.3 * turned[0]


def test_landmarks_of_another_face_are_not_followed(body: Body) -> None:
    none, zero = torch.zeros(body.num_expression), torch.zeros(body.num_vertices, 3)
    fit, landmarks, _ = person(body, 0, 0.0)
    far = dataclasses.replace(landmarks, points=landmarks.points + np.float32(200))
    assert not fit_likeness(body, [fit], [far], [none], zero).any()
    assert turn_head(body, fit, far, none, zero) is fit


def test_eyeballs_stay_round(body: Body) -> None:
    fit, landmarks, _ = person(body, 1, 0.0)
    none, zero = torch.zeros(body.num_expression), torch.zeros(body.num_vertices, 3)
    moved = fit_likeness(body, [fit], [landmarks], [none], zero)
    eye = np.unique(body.faces[body.segment == body.segment_names.index("eye_front")])
    left = moved[eye[body.v_template[eye, 0].numpy() > 0]]
    assert np.ptp(left, axis=0).max() < 1e-6 < np.abs(left).max()
    for ball, socket in eyes_of(body):  # and in their sockets
        assert np.abs(moved[ball].mean(0) - moved[socket].mean(0)).max() < 1e-6 and np.abs(moved[socket]).max() > 1e-3


def test_lids_under_a_fringe_have_the_colour_of_skin(body: Body) -> None:
    t = texels(body.atlas, 256)
    place, growth = t.sample(body.v_template.numpy(), body.faces), lid_growth(body, t)
    rgb, ball, _ = eyes(body)
    fringe = place[:, 1] > t.sample(body.v_template.numpy(), body.faces)[np.isin(t.index, ball), 1].max() + 0.001
    rgb[t.index[fringe & (growth < STRETCHED[0])]] = 0.1
    painted = with_eyes(body, rgb.reshape(256, 256, 3), np.ones((256, 256), np.float32)).reshape(-1, 3)
    lid = (growth > STRETCHED[1]) & (body.segment[t.face] == body.segment_names.index("skin"))
    assert (painted[t.index[lid]] > 0.35).all()
