"""The pose network: its inputs, the truth of generated people and its mirror, learning, hypotheses of a photo."""

import dataclasses

import numpy as np
import pytest
import torch

from dinar.body.load import load_body
from dinar.body.rotation import axis_angle_to_matrix
from dinar.body.skeleton import BODY
from dinar.data import pose as data
from dinar.data import simulated
from dinar.data.scenes import Backgrounds
from dinar.errors import DinarError
from dinar.fit.view import LANDMARKS
from dinar.nets.pose import INPUTS, PoseNet
from dinar.nets.surface import SURFACE_PARTS, SurfaceNet, vertex_surface_parts
from dinar.photo.blazepose import Pose, Region
from dinar.photo.pose import BodyGuess, both_sides, extent, guess_body, mirror_image, part_moments, pose_inputs
from dinar.photo.surface import SurfaceMap, surface_map, towards
from dinar.scene import interpolate, orbit, rasterize_mesh
from dinar.synthetic.export import synthesize
from dinar.synthetic.source import Synthetic
from dinar.train import pose as stage
from dinar.train.presets import PRESETS


@pytest.fixture(scope="module")
def source() -> Synthetic:
    return Synthetic(seed=3, size=112, views_per_person=2, length=2, background=False, varied=True)


@pytest.fixture(scope="module")
def skeleton() -> stage.Skeleton:
    return stage.Skeleton(load_body())


@pytest.fixture
def found(monkeypatch):
    """BlazePose at the middle of the mask, whatever is there."""

    def find(rgb, alpha):
        ys, xs = np.nonzero(alpha > 0.5)
        points = np.c_[np.tile([xs.mean(), ys.mean(), 0, 1], (33, 1))].astype(np.float32)
        return Pose(points, np.ones(33, np.float32), np.zeros((33, 3), np.float32), alpha, 1.0, Region(0, 0, 1, 0))

    monkeypatch.setattr(data, "find", find)


@pytest.fixture(scope="module")
def small() -> SurfaceNet:
    torch.manual_seed(0)
    return SurfaceNet(size=(64, 32, 64)).eval()


def random_people(n: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    x = {k: torch.randn(n, *shape) for k, shape in INPUTS.items()}
    x |= {"true_pose": 0.3 * torch.randn(n, 21, 3), "true_betas": 0.5 * torch.randn(n, 48)}
    x |= {"true_root": torch.linalg.qr(torch.randn(n, 3, 3))[0], "true_up": torch.randn(n, 3)}
    x["true_root"] *= torch.linalg.det(x["true_root"])[:, None, None]
    return x | {"true_distance": torch.full((n,), 3.0)}


def test_the_truth_is_the_body_towards_the_camera(source, found, small, skeleton):
    v = source.views(0, [1])
    seen = data.detect(v, Backgrounds(), np.random.default_rng(0))
    assert seen is not None
    (x,) = data.read([seen], small)
    m = surface_map(seen["rgb"], seen["alpha"], seen["points"], small)
    one = pose_inputs(m, seen["points"], seen["space"], seen["alpha"])
    assert set(x) == set(data.TABLE) and all(np.allclose(x[k], one[k], atol=1e-4) for k in INPUTS)
    t = {k: torch.from_numpy(a)[None] for k, a in x.items()}
    joints = skeleton(stage.true_rotation(t), t["true_betas"])[0]
    body = load_body()
    posed = v.params.posed(body).joints[0, [body.joint(n) for n in BODY]]
    pixels = v.camera(0).to_camera(posed)
    assert np.allclose(torch.cdist(joints, joints), torch.cdist(pixels, pixels), atol=1e-4)
    assert float(pixels[0].norm()) == pytest.approx(float(t["true_distance"]), rel=1e-5)
    ys, xs = np.nonzero(v.alpha[0].numpy() > 127)
    turned = towards(v.K[0].numpy(), np.array([xs.min() + xs.max() + 1, ys.min() + ys.max() + 1]) / 2)
    assert np.allclose(joints, (pixels - pixels[0]) @ torch.from_numpy(turned).float().T, atol=0.05)  # covered a little


def test_mirror_and_roll(skeleton):
    x = random_people(3)
    again = data.mirrored(data.mirrored(x))
    assert all(torch.equal(again[k], x[k]) for k in x)
    joints = lambda x: skeleton(stage.true_rotation(x), x["true_betas"])  # noqa: E731
    swap = [0, *(1 + j for j in data.JOINTS)]
    assert torch.allclose(joints(data.mirrored(x)), joints(x)[:, swap] * torch.tensor([-1, 1, 1]), atol=1e-3)
    turned = data.rolled(x, torch.tensor([torch.pi / 2, 0.3, 0.0]))
    assert torch.allclose(joints(turned)[0], joints(x)[0][:, [1, 0, 2]] * torch.tensor([-1, 1, 1]), atol=1e-5)
    assert torch.allclose(turned["keypoints"][0, :, 0], -x["keypoints"][0, :, 1], atol=1e-6)
    assert all(torch.allclose(turned[k][2], x[k][2], atol=1e-6) for k in x)


def test_parts_tell_how_they_are_turned():
    """A map of the rest pose seen from the front and from its left."""
    body = load_body()
    vertices, part = body.v_template, vertex_surface_parts(body)
    torso = SURFACE_PARTS.index("torso")
    affine = []
    for azimuth in (0, 90):
        camera = orbit(vertices, azimuth, height=100, width=100)
        f = rasterize_mesh(vertices, body.faces, camera)
        rest = interpolate(f, body.v_template, body.faces)[0].numpy()
        own = np.where(f.mask[0].numpy(), part[body.faces[np.maximum(f.face[0].numpy(), 0), 0]] + 1, 0)
        points = np.repeat(rest[:, :, None], len(SURFACE_PARTS), 2)
        probability = np.eye(1 + len(SURFACE_PARTS), dtype=np.float32)[own]
        M, scale = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]]), np.full(points.shape[:3], 0.02)
        m = SurfaceMap(M, probability, points, scale, np.eye(3))
        x = part_moments(m, np.array([100.0, 100.0]), 50.0)
        y, xs = np.nonzero(own == torso + 1)
        assert x["mean"][torso] == pytest.approx([(2 * xs.mean() - 99) / 50, (2 * y.mean() - 99) / 50], abs=0.02)
        assert x["mass"][torso] == pytest.approx(np.sqrt(4 * len(y)) / 50, rel=0.01)
        affine.append(x["affine"][torso] / np.linalg.norm(x["affine"][torso][1]))
    front, side = affine
    assert front[0, 0] > 0.8 and front[1, 1] < -0.9 and side[0, 2] < -0.7 and side[1, 1] < -0.9
    assert abs(side[0, 0]) < 0.2 and abs(front[1, 0]) < 0.1


def test_the_network_learns_hypotheses(skeleton):
    torch.manual_seed(0)
    x = random_people(32)
    net = PoseNet(64, 1, 3, dropout=0.0)
    net.standardise(x)
    out = net(x)
    assert out.rotation.shape == (32, 3, 22, 3, 3) and torch.allclose(out.weight.sum(1), torch.ones(32))
    turned = out.rotation @ out.rotation.mT
    assert torch.allclose(turned, torch.eye(3).expand_as(turned), atol=1e-4)
    assert torch.allclose(torch.linalg.det(out.rotation), torch.ones(32, 3, 22), atol=1e-4)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    before = stage.measure(out, x, skeleton)["mpjpe"].mean()
    for _ in range(15):
        optimizer.zero_grad()
        stage.losses(net(x), x, skeleton)["loss"].backward()
        optimizer.step()
    figures = stage.measure(net(x), x, skeleton)
    assert figures["mpjpe"].mean() < 0.7 * before
    assert (figures["best"] <= figures["mpjpe"]).all() and figures["pa"].mean() < figures["mpjpe"].mean()


def test_hypotheses_of_a_photo(small, tmp_path):
    torch.manual_seed(0)
    rgb, alpha = np.full((200, 300, 3), 90, np.uint8), np.zeros((200, 300), np.float32)
    alpha[20:180, 120:180] = 1
    m = surface_map(rgb, alpha, None, small)
    net = PoseNet(32, 1, 4).eval()
    g = guess_body(m, np.ones((33, 4), np.float32), None, alpha, net)
    assert isinstance(g, BodyGuess) and g.weight.sum() == pytest.approx(1) and (np.diff(g.weight) <= 0).all()
    assert g.pose.shape == (4, 21, 3) and g.betas.shape == (4, 48) and g.sigma.shape == (4, 22)
    assert g.middle == pytest.approx([150, 100])
    K = np.array([[400, 0, 150], [0, 400, 100], [0, 0, 1.0]])
    assert np.allclose(g.root_in(K), g.root, atol=1e-6) and np.allclose(g.up_in(K), g.up, atol=1e-6)
    K[0, 2] = -250  # the person is 45 degrees to the right of where the camera looks
    ahead = g.up_in(K) @ np.array([np.sqrt(0.5), 0, np.sqrt(0.5)])
    assert np.allclose(ahead, g.up[:, 2], atol=1e-5)
    net.save_pretrained(tmp_path)
    again = guess_body(m, np.ones((33, 4), np.float32), None, alpha, PoseNet.from_pretrained(tmp_path))
    assert np.abs(again.pose - g.pose).max() < 0.01


def test_hypotheses_that_face_the_other_way_lose(small):
    torch.manual_seed(0)
    rgb, alpha = np.full((200, 300, 3), 90, np.uint8), np.zeros((200, 300), np.float32)
    alpha[20:180, 120:180] = 1
    m, net = surface_map(rgb, alpha, None, small), PoseNet(32, 1, 4).eval()
    shares = []
    for sign in (1, -1):
        g = guess_body(dataclasses.replace(m, turn=m.turn * 0 + sign), np.ones((33, 4), np.float32), None, alpha, net)
        facing = g.root[:, :, 2].sum(1)
        assert (facing > 0).any() and (facing < 0).any()
        shares.append(g.weight[facing > 0].sum())
    assert shares[0] > 0.65 and shares[1] < 0.35


def test_training_reads_once_and_refuses_weights(tmp_path, source, found, small, monkeypatch):
    synthesize(source, tmp_path / "people", 2)
    small.save_pretrained(tmp_path / "surface")
    c = PRESETS["pose"]["nano"]
    loop = dataclasses.replace(c.loop, steps=2, batch=4, micro_batch=4, show_every=2, save_every=2)
    c = dataclasses.replace(c, loop=loop, holdout=1)
    go = lambda steps: stage.train([tmp_path / "people"], tmp_path / "run", dataclasses.replace(  # noqa: E731
        c, loop=dataclasses.replace(loop, steps=steps)), init=tmp_path / "surface", cpu=True)  # fmt: skip
    assert go(2)
    monkeypatch.setattr(data, "find", None)
    assert go(3)
    assert PoseNet.from_pretrained(tmp_path / "run/weights").config["width"] == c.width
    with pytest.raises(DinarError, match="expected no --weights"):
        stage.train([tmp_path / "people"], tmp_path / "run", c, weights=[1.0])


def test_a_mirror_image_gets_the_mirrored_answer(skeleton):
    torch.manual_seed(0)
    x, net = random_people(4), PoseNet(32, 1, 1).eval()
    x = {k: x[k] for k in INPUTS}
    net.standardise(x)
    a, b = both_sides(net, x), both_sides(net, mirror_image(x))
    swap, M = [0, *(1 + j for j in data.JOINTS)], torch.tensor([-1.0, 1, 1])
    assert not torch.allclose(net(x).up, a.up, atol=1e-3)
    assert torch.allclose(b.up, a.up * M, atol=1e-5) and torch.allclose(b.sigma, a.sigma[:, :, swap], atol=1e-5)
    assert torch.allclose(b.rotation, a.rotation[:, :, swap] * M * M[:, None], atol=1e-4)


def test_simulated_inputs_are_where_pictures_show_them(source):
    """Keypoints of a generated person who is seen whole, and with the errors of a person that person's own inputs."""
    v = source.views(0, [1])
    alpha = v.alpha[0].numpy() / 255
    x = {k: torch.from_numpy(a)[None] for k, a in data.truth(v, alpha).items()}
    body = load_body()
    poses = simulated.random_poses(body, np.random.default_rng(0), None, 6)
    s = simulated.Simulator(body, poses, poses)
    ideal = s.inputs(x)
    middle, size = extent(alpha)
    known = [i for i in LANDMARKS if i not in (17, 18, 19, 20)]
    xy = v.keypoints2d[0, [body.keypoint_index(LANDMARKS[i][0]) for i in known], :2].numpy()
    assert np.abs(ideal["keypoints"][0, known, :2].numpy() - (xy - middle) / size).max() < 0.25  # clothes and hair
    mass, mean = ideal["mass"][0], ideal["mean"][0, SURFACE_PARTS.index("torso")].numpy()
    assert mass.argmax() == SURFACE_PARTS.index("torso") and 1.5 < float(mass.square().sum()) < 5
    assert np.abs(mean - ideal["keypoints"][0, [11, 12, 23, 24], :2].numpy().mean(0)).max() < 0.2
    read = random_people(3) | {k: a.expand(3, *a.shape[1:]) for k, a in x.items()}
    read["keypoints"][..., 3] = torch.rand(3, 33) + 0.1
    read["turn"] = torch.nn.functional.normalize(read["turn"], dim=-1)
    read["mass"] = read["mass"].abs()
    errors = simulated.Errors(s, read)
    i = torch.tensor([1])
    again = errors.add(ideal, i)
    for k in INPUTS:
        assert torch.allclose(again[k], read[k][i], atol=1e-3), k
    assert len(errors.alike(ideal)[0]) == 6  # three people and their mirror images


def test_simulated_people_are_reproducible_and_varied():
    body = load_body()
    read = random_people(4)
    a, b = (simulated.simulate(body, read, 8, None, seed=1, chunk=5) for _ in range(2))
    assert all(np.array_equal(a[k], b[k]) for k in a) and set(a) == {*data.TABLE, "alike"}
    assert (np.ptp(a["true_pose"], 0).max(1) > 0.3).mean() > 0.7 and np.ptp(a["true_up"][:, 2]) > 0.1
    assert np.allclose(np.linalg.norm(a["true_up"], axis=1), 1, atol=1e-5) and (a["true_distance"] > 1).all()


def test_everyday_people_keep_their_postures_and_are_photographed_level(monkeypatch):
    body, still = load_body(), torch.eye(3).expand(1, 22, 3, 3)
    bent = still.clone()
    bent[:, 4:6] = axis_angle_to_matrix(torch.tensor([1.5, 0.0, 0.0]))
    s = simulated.Simulator(body, bent, still)
    tilt, knees = [], []
    for share in (0.0, 1.0):
        monkeypatch.setattr(simulated, "EVERYDAY", share)
        x = s.people(np.random.default_rng(0), 200)
        tilt.append(float(x["true_up"][:, 2].std()))
        knees.append(float(x["true_pose"][:, 3, 0].mean()))
    assert tilt[1] < 0.6 * tilt[0] and knees[0] > 1.3 and abs(knees[1]) < 0.1
