"""The body fit and the offsets on bodies whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.rotation import axis_angle_to_matrix
from dinar.body.skeleton import BODY
from dinar.errors import DinarError
from dinar.fit import objective, smplify
from dinar.fit.descent import descend
from dinar.fit.face import CORNERS, EYES, LIPS, NEUTRAL, UPRIGHT, fit_expression
from dinar.fit.fit_file import Fit, load_fit
from dinar.fit.objective import Objective
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.pockets import FARTHEST, _shows, hide_hands
from dinar.fit.posing import rotation, rotation_pulled
from dinar.fit.smplify import fit_body
from dinar.fit.start import FOCALS, from_guess, from_landmarks
from dinar.fit.terms import Weights, look_up
from dinar.fit.view import is_standing, photo_camera
from dinar.labels import LABEL
from dinar.photo.landmarks import Landmarks
from dinar.photo.pose import BodyGuess
from dinar.photo.surface import towards
from dinar.scene import orbit, rasterize_mesh
from dinar.scene.crop import crop_box, warp_crop
from known_body import BETAS, TRANSL, H, W, silhouette, subject


@pytest.mark.parametrize("yaw", [0, 90, 180])
def test_fit_finds_a_known_body(body: Body, yaw: float) -> None:
    view, _, truth = subject(body, yaw, noise=1.0)
    joints = truth.joints[0]
    fit = fit_body(body, [view])[0]
    posed = body(fit.betas[None], fit.pose[None], fit.transl[None])
    found = posed.joints[0]
    large = [body.joint(n) for n in ("left_hip", "right_knee", "left_ankle", "right_shoulder", "left_elbow", "head")]
    centred = lambda j: j[large] - j[large].mean(0)  # noqa: E731
    # depth and size trade off in one photo: compare up to scale
    a, b = centred(found), centred(joints)
    a = a * (a * b).sum() / (a * a).sum()
    assert (a - b).norm(dim=1).mean() < 0.05
    assert fit.keypoint_error < 0.9
    mesh = silhouette(body, posed.vertices[0], fit.camera)
    assert (mesh & view.mask).sum() / (mesh | view.mask).sum() > 0.88


def test_two_photos_share_one_shape(body: Body) -> None:
    front, back = subject(body, 0)[0], subject(body, 170, arms=-0.6)[0]
    fits = fit_body(body, [front, back])
    assert torch.equal(fits[0].betas, fits[1].betas)
    assert not torch.equal(fits[0].pose, fits[1].pose)


def test_fit_is_deterministic(body: Body) -> None:
    view = subject(body, 0, noise=1.0)[0]
    view.mask = None
    a, b = fit_body(body, [view])[0], fit_body(body, [view])[0]
    assert torch.equal(a.pose, b.pose) and torch.equal(a.betas, b.betas)


def test_the_fit_of_one_person_does_not_depend_on_the_others(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a bit."""
    monkeypatch.setattr(smplify, "STAGES", tuple(replace(s, steps=3) for s in smplify.STAGES))
    views = [subject(body, yaw, noise=1.0)[0] for yaw in (0, 90, 180)]
    for view, f in zip(views, fit_body(body, views, shared_shape=False), strict=True):
        alone = fit_body(body, [view])[0]
        for name in ("pose", "betas", "transl"):
            assert torch.equal(getattr(f, name), getattr(alone, name))


def guess_of(body: Body, pose: torch.Tensor, pitch: float) -> BodyGuess:
    """Two hypotheses about a person of :func:`subject` before a camera that looks down by ``pitch`` degrees: the first,
    which is likelier, turns them round, the other is theirs."""
    K = photo_camera(H, W).K.numpy()
    middle = np.array([W / 2, H / 2], np.float32)
    turn = towards(K, middle) @ np.diag([1.0, -1, -1])
    R = axis_angle_to_matrix(pose[0]).numpy()
    s, c = np.sin(np.deg2rad(pitch)), np.cos(np.deg2rad(pitch))
    own = pose[[body.joint(n) for n in BODY[1:]]].numpy()
    return BodyGuess(
        weight=np.array([0.6, 0.4]), root=np.stack([turn @ R @ np.diag([-1.0, 1, -1]), turn @ R]),
        pose=np.stack([own, own]), betas=np.zeros((2, body.num_betas), np.float32), up=np.stack([turn @ [0, c, s]] * 2),
        sigma=np.full((2, 22), 0.05), distance=np.full(2, -float(TRANSL[2])), middle=middle,
    )  # fmt: skip


def test_the_best_guess_is_fitted_along_gravity(body: Body) -> None:
    """A camera looks down on somebody who stands; of two guesses the second is theirs, the first turns them round."""
    pitch = 12.0
    view, pose, truth = subject(body, 30, pitch, noise=1.0)
    view.mask, view.world = None, None
    view.guess = guess_of(body, pose, pitch)
    fit = fit_body(body, [view])[0]
    assert abs(np.rad2deg(np.arcsin(-float(fit.camera.T_cam_world[2, 1]))) - pitch) < 2
    joints = body(fit.betas[None], fit.pose[None], fit.transl[None]).joints[0]
    at = lambda n: (joints[body.joint(f"left_{n}")] + joints[body.joint(f"right_{n}")]) / 2  # noqa: E731
    up = at("shoulder") - at("ankle")
    assert abs(float(torch.rad2deg(torch.atan2(up[2], up[1])))) < 3
    seen = fit.camera.to_camera(joints) - fit.camera.to_camera(joints[:1])
    known = photo_camera(H, W).to_camera(truth.joints[0])
    known = known - known[:1]
    large = [body.joint(n) for n in ("left_wrist", "right_wrist", "left_ankle", "right_ankle", "head")]
    seen, known = seen[large], known[large]
    assert (seen * (seen * known).sum() / seen.square().sum() - known).norm(dim=1).mean() < 0.06
    level = fit.level(body)
    again = level.camera.project(body(level.betas[None], level.pose[None], level.transl[None]).joints[0])[0]
    torch.testing.assert_close(again, fit.camera.project(joints)[0], rtol=1e-4, atol=0.01)
    assert torch.equal(level.camera.T_cam_world, photo_camera(H, W).T_cam_world)


def test_standing(body: Body) -> None:
    view = subject(body, 0)[0]
    assert is_standing(view.keypoints)
    sitting = view.keypoints.copy()
    sitting[25:33, 1] = sitting[23, 1]
    assert not is_standing(sitting)


def test_offsets_widen_to_a_coat(body: Body) -> None:
    view, pose, _ = subject(body, 0)
    camera = photo_camera(H, W)
    betas, transl = torch.zeros(body.num_betas), TRANSL
    betas[:3] = BETAS
    coat = cv2.dilate(view.mask.astype(np.uint8), np.ones((13, 13), np.uint8)) > 0
    D = fit_offsets(body, betas, [Silhouette(coat, pose, transl, camera)])
    mesh = silhouette(
        body, body(betas[None], pose[None], transl[None], offsets=torch.from_numpy(D)).vertices[0], camera
    )
    before = (view.mask & coat).sum() / coat.sum()
    after = (mesh & coat).sum() / (mesh | coat).sum()
    assert before < 0.83 and after > 0.93
    assert np.abs(D).max() < 0.2
    hands = np.isin(body.vertex_part, (4, 5))
    assert np.abs(D[hands]).max() < 0.02 < np.abs(D).max()


def test_from_the_side_the_hidden_half_is_like_the_other(body: Body) -> None:
    """One leg before the other, in a coat: their contours differ."""
    betas, pose = torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3)
    pose[body.joint("left_hip"), 0], pose[body.joint("left_knee"), 0] = -0.5, 0.5
    v = body(betas[None], pose[None]).vertices[0]
    camera = orbit(v, 90, 0, 200, 200)
    mask = silhouette(body, v, camera).astype(np.uint8)
    coat = cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0
    coat[100:160] |= cv2.dilate(mask, np.ones((9, 15), np.uint8))[100:160] > 0
    D = fit_offsets(body, betas, [Silhouette(coat, pose, torch.zeros(3), camera)])
    mesh = silhouette(body, body(betas[None], pose[None], offsets=torch.from_numpy(D)).vertices[0], camera)
    assert (mesh & coat).sum() / (mesh | coat).sum() > 0.93
    length = lambda x: np.linalg.norm(x, axis=1).mean()  # noqa: E731
    assert length(D - D[body.mirror] * [-1, 1, 1]) < 0.37 * length(D)


def test_offsets_leave_a_matching_body_alone(body: Body) -> None:
    view, pose, _ = subject(body, 0)
    betas = torch.zeros(body.num_betas)
    betas[:3] = BETAS
    assert view.mask is not None
    D = fit_offsets(body, betas, [Silhouette(view.mask, pose, TRANSL, photo_camera(H, W))])
    assert np.quantile(np.abs(D), 0.99) < 0.01


def test_crop_and_camera_agree() -> None:
    mask = np.zeros((100, 80), bool)
    mask[20:70, 30:50] = True
    box = crop_box(mask, 64)
    camera = photo_camera(100, 80)
    xy = torch.tensor([[30.0, 20.0], [50.0, 70.0]])
    inside = (xy - torch.tensor(box[:2])) * box[2]
    point = torch.tensor([0.1, 0.2, -2.0])
    a, b = camera.project(point)[0], camera.crop(*box, 64, 64).project(point)[0]
    torch.testing.assert_close((a - torch.tensor(box[:2])) * box[2], b, rtol=1e-4, atol=1e-3)
    crop = warp_crop(mask.astype(np.float32), box, 64, 0.0) > 0.5
    ys, xs = np.nonzero(crop)
    assert abs(xs.min() - inside[0, 0]) < 1.5 and abs(ys.max() + 1 - inside[1, 1]) < 1.5


def test_fit_file_round_trip_and_refusals(body: Body, tmp_path: Path) -> None:
    view, pose, _ = subject(body, 0)
    fit = Fit(torch.zeros(body.num_betas), pose, torch.tensor([0.0, 0, -2.7]), photo_camera(H, W), 0.0)
    fit.save(tmp_path / "a.npz")
    back = load_fit(tmp_path / "a.npz", body, view)
    assert torch.equal(back.pose, fit.pose) and torch.equal(back.camera.K, fit.camera.K)
    (tmp_path / "text.npz").write_text("not a fit")
    np.savez(tmp_path / "wrong.npz", betas=np.zeros(3), pose=pose.numpy(), transl=np.zeros(3), K=np.eye(3),
             T_cam_world=np.eye(4), size=np.array([H, W]))  # fmt: skip
    for name, said in (("text.npz", "expected a fit"), ("wrong.npz", r"expected betas of shape \[48\]"),
                       ("missing.npz", "no such file")):  # fmt: skip
        with pytest.raises(DinarError, match=said):
            load_fit(tmp_path / name, body, view)


def test_fingers_follow_the_hand_landmarks(body: Body) -> None:
    """Landmarks taken from a fist bring the relaxed hand close to that fist; the other hand stays."""
    from dinar.body.hands import relaxed_hands
    from dinar.fit.fingers import FINGERS, fit_fingers
    from dinar.photo.landmarks import Landmarks

    _, pose, _ = subject(body, 0)
    relaxed = pose + relaxed_hands(body)
    fist = pose + 2.2 * relaxed_hands(body)
    points = body.keypoints(body(torch.zeros(1, 2), fist[None]))[0]
    rows = [len(body.keypoint_names) + body.joint("left_wrist")]
    for f in FINGERS:
        rows += [len(body.keypoint_names) + body.joint(f"left_{f}{k}") for k in (1, 2, 3)]
        rows.append(body.keypoint_index(f"left_{f}_tip"))
    camera = photo_camera(H, W, pitch=0.4)
    world = camera.to_camera(points[rows]).numpy()
    hand = Landmarks(world, world, 1.0, 0.0)
    fit = Fit(torch.zeros(body.num_betas), relaxed, torch.zeros(3), camera, 0.0)
    found = fit_fingers(body, fit, {"left": hand, "right": None})
    at = lambda p: body.keypoints(body(torch.zeros(1, 2), p[None]))[0, rows]  # noqa: E731
    before, after = (at(p) - points[rows] for p in (relaxed, found.pose))
    assert after.norm(dim=1).mean() < 0.5 * before.norm(dim=1).mean()
    right = [j for j, n in enumerate(body.joint_names) if n.startswith("right")]
    assert torch.equal(found.pose[right], relaxed[right])
    assert fit_fingers(body, fit, {"left": None, "right": None}) is fit


def test_hands_under_cloth_lie_behind_it(body: Body) -> None:
    """A hand before the belly; the parse shows a coat there."""
    betas, pose, zero = torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3), torch.zeros(body.num_vertices, 3)
    for name, turn in (("shoulder", (0.0, 0.0, 0.5)), ("elbow", (0.0, 0.7, 0.7))):
        pose[body.joint(f"right_{name}")] = torch.tensor(turn)
    v = body(betas[None], pose[None]).vertices[0]
    camera = orbit(v, 0, height=300, width=300)
    shown = lambda p: _shows(  # noqa: E731
        body, rasterize_mesh(body(betas[None], p[None]).vertices[0], body.faces, camera).face[0].numpy(), "right_hand"
    )
    mask, labels = silhouette(body, v, camera), np.full((300, 300), LABEL["outer"], np.uint8)
    fit = Fit(betas, pose, torch.zeros(3), camera, 0.0)
    hidden = hide_hands(body, fit, Silhouette(mask, pose, torch.zeros(3), camera, labels=labels), zero)
    assert shown(pose).sum() > 100 > 10 * shown(hidden.pose).sum()
    wrist = lambda p: body(betas[None], p[None]).joints[0, [body.joint("right_wrist")]]  # noqa: E731
    (before, near), (after, far) = (camera.project(wrist(p)) for p in (pose, hidden.pose))
    assert (before - after).norm() < 2 and 0.05 < far - near < FARTHEST + 0.01
    labels[shown(pose)] = LABEL["skin"]
    assert hide_hands(body, fit, Silhouette(mask, pose, torch.zeros(3), camera, labels=labels), zero) is fit


def test_a_smile_is_read_and_a_face_turned_away_is_not(body: Body) -> None:
    def face(width: float, height: float, gap: float, yaw: float = 0.0) -> Landmarks:
        p = np.zeros((468, 3), np.float32)  # x right, y up, z to the camera, in distances of the eyes
        p[list(EYES[0]), 0], p[list(EYES[1]), 0], p[UPRIGHT[0], 1] = -0.5, 0.5, -2
        p[[*CORNERS], 0], p[[*CORNERS], 1] = (-width / 2, width / 2), height - 1
        p[[*LIPS], 1] = -1 + gap / 2, -1 - gap / 2
        turn = axis_angle_to_matrix(torch.tensor([0, yaw, 0])).numpy()
        return Landmarks(100 * (p @ turn.T) * [1, -1, -1], None, 1.0, None)

    value = lambda f, n: float(fit_expression(body, f)[body.expression_names.index(n)])  # noqa: E731
    assert fit_expression(body, face(*NEUTRAL)).abs().max() < 1e-4
    smile = face(1.0, 0.07, 0.1)
    assert value(smile, "mouthSmileLeft") == value(smile, "mouthSmileRight") > 0.3 > value(smile, "jawOpen")
    assert value(face(0.8, 0.0, 0.5), "jawOpen") > 0.5
    assert value(face(1.0, 0.07, 0.1, yaw=0.6), "mouthSmileLeft") == pytest.approx(value(smile, "mouthSmileLeft"))
    for nothing in (face(1.0, 0.07, 0.1, yaw=1.0), None):
        assert not fit_expression(body, nothing).any()


def test_keypoints_that_are_off_do_not_turn_limbs_in_depth(body: Body) -> None:
    """A forearm that looks too short in the picture does not point at the camera where the guess knows better."""
    view, pose, truth = subject(body, 30)
    view.mask, view.world = None, None
    view.guess = guess_of(body, pose, 0)
    view.keypoints[15, :2] += 0.4 * (view.keypoints[13, :2] - view.keypoints[15, :2])
    fit = fit_body(body, [view])[0]
    depth = []
    for joints in (body(fit.betas[None], fit.pose[None], fit.transl[None]).joints[0], truth.joints[0]):
        arm = fit.camera.to_camera(joints)
        forearm = arm[body.joint("left_wrist")] - arm[body.joint("left_elbow")]
        depth.append(float(forearm[2] / forearm.norm()))
    assert abs(depth[0] - depth[1]) < 0.13


@pytest.mark.parametrize("limit", ["DISTRUST", "BESIDE"])
def test_keypoints_far_from_the_guess_or_the_mask_count_less(
    body: Body, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    gap, usual = [], getattr(objective, limit)
    monkeypatch.setattr(objective, "DISTRUST", 1e9)
    for value in (usual, 1e9):
        monkeypatch.setattr(objective, limit, value)
        view, pose, truth = subject(body, 30)
        view.mask, view.world = view.mask if limit == "BESIDE" else None, None
        view.guess = guess_of(body, pose, 0)
        view.keypoints[15, 0] += 0.08 * np.ptp(view.keypoints[:, 1])
        fit = fit_body(body, [view])[0]
        wrist = body(fit.betas[None], fit.pose[None], fit.transl[None]).joints[0, body.joint("left_wrist")]
        found, true = (fit.camera.project(j[None])[0] for j in (wrist, truth.joints[0, body.joint("left_wrist")]))
        gap.append(float((found - true).norm()))
    assert gap[0] < 0.7 * gap[1]


def test_the_predicted_distance_tells_an_unknown_focal_length(body: Body) -> None:
    view, pose, truth = subject(body, 30)
    betas = np.zeros((2, body.num_betas), np.float32)
    betas[:, :3] = BETAS
    far = np.full(2, float(truth.joints[0, 0].norm()))
    guess = replace(guess_of(body, pose, 0), betas=betas)

    def focal(distance: np.ndarray, known: float | None = None) -> float:
        told = replace(view, guess=replace(guess, distance=distance), focal=known)
        return from_guess(body, told, 1).focal

    true = float(photo_camera(H, W).K[0, 0])
    assert focal(far) == pytest.approx(true, rel=0.03) and focal(1.5 * far) == pytest.approx(1.5 * focal(far))
    assert focal(100 * far) == FOCALS[1] * H and focal(far, 300.0) == 300


def test_descent_is_adam() -> None:
    """Against torch's optimiser and schedule, two tensors of different rates."""
    target = torch.tensor([1.0, -2.0, 3.0])
    loss = lambda a, b: ((a - target) ** 2).sum() + ((b * a) ** 2).sum()  # noqa: E731
    c, d = torch.zeros(3, requires_grad=True), torch.ones(3, requires_grad=True)
    a, b = np.zeros(3), np.ones(3)
    descend([(a, 0.1), (b, 0.3)], 0.01, 30, (0.9, 0.99),
            lambda step: [2 * (a - target.numpy()) + 2 * b * b * a, 2 * a * a * b])  # fmt: skip
    adam = torch.optim.Adam([{"params": [c], "lr": 0.1}, {"params": [d], "lr": 0.3}], betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, 30, eta_min=0.01)
    for _ in range(30):
        adam.zero_grad()
        loss(c, d).backward()
        adam.step()
        schedule.step()
    np.testing.assert_allclose(a, c.detach(), atol=1e-5)
    np.testing.assert_allclose(b, d.detach(), atol=1e-5)


@pytest.mark.parametrize("case", ["guess", "landmarks", "correctives"])
def test_gradients_of_the_fit_are_those_of_its_terms(body: Body, case: str) -> None:
    """Central differences of all parameters, at a body that is off in all of them."""
    if case == "correctives":
        generator = torch.Generator().manual_seed(2)
        some = torch.randn(9 * (body.num_joints - 1), 3 * body.num_vertices, generator=generator)
        body = replace(body, posedirs=0.003 * some)
    view, pose, _ = subject(body, 30, noise=3.0, joints={"left_knee": [-0.4, 0.1, 0.0], "right_elbow": [0, 2.9, 0.2]})
    view = replace(view, build=-0.4, front=np.zeros((H, W), bool))
    start = from_landmarks(body, view)
    if case == "guess":
        start = replace(start, pose=0.9 * pose[1:], pitch=0.1, standing=0.7, sigma=torch.full((33,), 0.1))
    p = Objective(body, [view], None, True, [start])
    rng = np.random.default_rng(3)
    p.transl[:] = TRANSL.numpy() + [0.03, -0.02, 0.1]
    for x in (p.betas, p.pose, p.pitch):
        x += 0.1 * rng.normal(size=x.shape)
    if case != "guess":
        p.pitch[:] = p.targets[0].pitch  # it stays
    weights = Weights(sigma=0.1, limbs=0.7, pose=0.02, shape=0.3, depth=2.0, silhouette=1.0)
    for w in (weights, weights._replace(silhouette=0.0)):
        slopes = p.loss(w)[1]
        for name, x in p.parameters().items():
            if name == "pitch" and case != "guess":
                continue
            along = rng.normal(size=x.shape)
            values = []
            for step in (1e-6, -2e-6, 1e-6):
                x += step * along
                values.append(p.loss(w, 1)[0][0])  # the contour's vertices stay
            found = (values[0] - values[1]) / 2e-6
            assert (slopes[name] * along).sum() == pytest.approx(found, rel=2e-4, abs=1e-4), name


def test_small_rotations_have_no_jump() -> None:
    """Series and formula agree, in value and gradient, where one replaces the other."""
    for a in np.array([[0.06, -0.05, 0.0624], [0.06, -0.05, 0.0625], [0, 0, 0], [1.0, -2.0, 0.3]]):
        g, out, R = np.random.default_rng(0).normal(size=(3, 3)), np.zeros(3), np.zeros((3, 3))
        rotation(a, R)
        rotation_pulled(a, g, out)
        t = torch.from_numpy(a).requires_grad_()
        expected = axis_angle_to_matrix(t)
        np.testing.assert_allclose(R, expected.detach(), atol=1e-9)
        (slope,) = torch.autograd.grad((expected * torch.from_numpy(g)).sum(), t)
        np.testing.assert_allclose(out, slope, atol=1e-7)


def test_a_diverged_fit_reads_inside_of_the_field() -> None:
    """Places that are no numbers, or far away, have the border's value and no slope."""
    field = np.arange(16.0).reshape(4, 4)
    assert look_up(field, np.nan, np.nan) == look_up(field, -np.inf, -9.0) == (0.0, 0.0, 0.0)
    assert look_up(field, np.inf, 1e9) == (15.0, 0.0, 0.0)
