"""The surface network: targets of generated people, their mirror, crops, the network, its losses, its use."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.body.load import load_body
from dinar.data.augment import flip
from dinar.data.scenes import Backgrounds, Draws, Pictures, compressed
from dinar.data.shards import open_set
from dinar.data.surface import (
    SurfaceSet,
    augment,
    best_sizes,
    boxes,
    crop,
    found,
    parts_of,
    read_people,
    tensors,
    whole,
)
from dinar.errors import DinarError
from dinar.fit.view import View
from dinar.labels import LABEL
from dinar.nets.parser import Parser
from dinar.nets.surface import HINTS, SURFACE_PARTS, SurfaceNet, vertex_surface_parts
from dinar.photo.blazepose import KEYPOINTS
from dinar.photo.surface import SurfaceMap, best_size, box_affine, corners, hints, surface_map
from dinar.scene import interpolate, orbit, rasterize_mesh
from dinar.subject import Subject
from dinar.synthetic.export import synthesize
from dinar.synthetic.source import Synthetic
from dinar.texture.agreement import evidence_of, in_crop, near_arms
from dinar.train.presets import PRESETS
from dinar.train.surface import losses, measure, start_net, train
from dinar.views import SURFACE_UNIT, decode_surface, encode_surface

ONE = torch.tensor([0])


@pytest.fixture(scope="module")
def source() -> Synthetic:
    return Synthetic(seed=3, size=112, views_per_person=2, length=2, background=False, varied=True)


@pytest.fixture(scope="module")
def views(source):
    return source.views(0).check()


@pytest.fixture(scope="module")
def people(source) -> SurfaceSet:
    return SurfaceSet([read_people(source, range(2))])


def test_generated_surfaces_are_those_of_the_body_under_the_clothes(views):
    body = load_body()
    raster = views.raster(body)
    rest = interpolate(raster.fragments, body.v_template, body.faces)
    points, known = decode_surface(views.surface)
    both = known & raster.mask
    assert float(both.sum() / raster.mask.sum()) > 0.9
    distance = (points - rest).norm(dim=-1)[both]
    assert float(distance.median()) < 0.03 and float((distance < 0.1).float().mean()) > 0.9
    assert not known[views.alpha < 20].any()
    skirt = np.isin(views.labels.numpy(), [LABEL["lower"], LABEL["skirt"]])  # hung with hands beside it
    arms = [1 + i for i, n in enumerate(SURFACE_PARTS) if n.endswith(("arm", "hand"))]
    assert skirt.any() and not np.isin(parts_of(views.surface).numpy()[skirt], arms).any()


def test_surface_bytes():
    v = load_body().v_template
    points, known = decode_surface(encode_surface(v, torch.ones(len(v), dtype=torch.bool)))
    assert known.all() and float((points - v).abs().max()) <= SURFACE_UNIT / 2 + 1e-6
    assert not decode_surface(encode_surface(v[:3], torch.zeros(3, dtype=torch.bool)))[1].any()


def test_the_mirror_of_the_targets_is_the_target_of_the_mirror(views, people):
    body = load_body()
    other = flip(views, body)
    assert other.surface is not None
    points, known = decode_surface(views.surface)
    mirror, still = decode_surface(other.surface)
    assert torch.equal(known.flip(2), still)
    there = known.flip(2)
    assert torch.allclose((points * torch.tensor([-1.0, 1, 1])).flip(2)[there], mirror[there], atol=1e-6)
    again = flip(other, body).surface
    assert again is not None and torch.equal(decode_surface(again)[0], points)
    plain, m = (crop(people, ONE, torch.eye(2, 3)[None], (112, 112), torch.tensor([x])) for x in (False, True))
    width = int(people.pictures.size[0, 1])
    assert torch.equal(m.rgb[..., :width].flip(3), plain.rgb[..., :width])
    assert torch.equal(m.turn[..., 0], -plain.turn[..., 0])
    nose, left = KEYPOINTS.index("nose"), KEYPOINTS.index("left_wrist")
    assert torch.equal(m.keypoints[0, nose, 0], width - 1 - plain.keypoints[0, nose, 0])
    assert torch.equal(m.keypoints[0, left, 1], plain.keypoints[0, KEYPOINTS.index("right_wrist"), 1])
    swap = torch.tensor([0, *(1 + SURFACE_PARTS.index(other_side(n)) for n in SURFACE_PARTS)])
    agree = swap[parts_of(plain.surface[..., :width, :])].flip(2) == parts_of(m.surface[..., :width, :])
    assert agree.float().mean() > 0.98  # the middle of the body is on either side


def other_side(name: str) -> str:
    side, _, rest = name.partition("_")
    return f"{ {'left': 'right', 'right': 'left'}[side] }_{rest}" if rest else name


def test_parts_cover_the_body_and_agree_with_the_table():
    body = load_body()
    part = vertex_surface_parts(body)
    assert set(part) == set(range(len(SURFACE_PARTS)))
    bytes_ = encode_surface(body.v_template, torch.ones(body.num_vertices, dtype=torch.bool))
    assert (parts_of(bytes_).numpy() == part + 1).mean() > 0.93
    hand = body.v_template[:, 0].argmax()
    assert SURFACE_PARTS[part[hand]] == "left_hand"


@pytest.mark.parametrize("degrees", [0, 90, 180, -37])
def test_crops_hold_the_turned_person_and_turn_the_camera(people, views, degrees):
    size = (96, 64)
    turn, margin = torch.tensor([degrees]).deg2rad(), torch.tensor([0.06])
    M = boxes(people.hull[:1], size, turn, margin)
    edge = corners(views.alpha[0].numpy() > 127)
    assert np.allclose(M[0, :, :2], box_affine(edge, size, degrees)[:, :2], rtol=1e-3, atol=1e-3)
    assert best_sizes(people.hull[:1], [(96, 64), (64, 96)], turn) == best_size(edge, ((96, 64), (64, 96)), degrees)
    s = crop(people, ONE, M, size, ONE > 0)
    inside = float(torch.linalg.det(M[0, :, :2])) * int((views.alpha[0] > 127).sum())
    assert int((s.alpha > 0.5).sum()) == pytest.approx(inside, rel=0.15)
    a = np.deg2rad(degrees)
    x, y = people.turn[0, 0, :2]
    assert np.allclose(s.turn[0, 0, :2], [x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)], atol=1e-5)
    assert np.allclose(s.turn @ s.turn.mT, people.turn[:1] @ people.turn[:1].mT, atol=1e-5)


def test_the_crop_shape_follows_the_person():
    sizes = ((320, 192), (256, 256), (192, 320))
    tall = np.array([[0, 0], [10, 30]], float)
    assert [best_size(tall, sizes, d) for d in (0, 90)] == [0, 2]
    assert best_size(np.array([[0, 0], [30, 30]], float), sizes) == 1


def test_augmentation_repeats_by_seed_and_occluders_are_no_body(people):
    sizes, drawn = ((96, 64), (64, 64), (64, 96)), torch.arange(24)[:, None].expand(-1, 2) % len(people)

    def made():
        torch.manual_seed(1)
        return augment(people, drawn, drawn[:, 0].flip(0), sizes, 0, Backgrounds())

    (s, mask), (again, _) = made(), made()
    assert torch.equal(s.rgb, again.rgb) and torch.equal(s.surface, again.surface)
    near = torch.nn.functional.max_pool2d(s.alpha, 3, 1, 1)[:, 0] > 0.02  # surfaces end a pixel later than a soft edge
    on = s.surface[..., 0] > 0
    assert not (on & ~near).any()
    assert 0 < int((on.float().mean((1, 2)) < 0.15).sum()) < 24
    assert 0 < int((mask.amax((1, 2)) == 0).sum()) < 24
    t = tensors(s, mask, found(s.keypoints))
    shapes = {k: tuple(v.shape[1:]) for k, v in t.items() if k != "turn"}
    assert shapes == {"rgb": (3, 96, 64), "hints": (HINTS, 24, 16), "part": (48, 32), "points": (3, 48, 32)}
    assert set(t["part"].unique().tolist()) <= {*range(1 + len(SURFACE_PARTS)), 255}
    assert float(t["rgb"].abs().max()) <= 1 and float(t["hints"].min()) >= 0 and float(t["hints"].max()) <= 1.001


def test_hints_are_drawn_where_the_points_are():
    points = torch.zeros(1, 33, 4)
    for name, x, y in (("nose", 32, 8), ("left_shoulder", 16, 24), ("left_elbow", 16, 56)):
        points[0, KEYPOINTS.index(name)] = torch.tensor([x, y, 0, 1.0])
    mask, nose, arm = hints(torch.ones(1, 96, 64), points)[0, :3]
    assert (mask == 1).all() and divmod(int(nose.argmax()), 16) == (2, 8)
    assert float(arm[6:14, 4].min()) > 0.4 and float(arm[:, 8:].max()) < 0.01 and float(arm[20:].max()) < 0.01


def test_pictures_of_any_size_in_one_batch(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in ((4, 9), (7, 5))]
    y, x = torch.meshgrid(torch.arange(3.0), torch.arange(4.0), indexing="ij")
    at = Pictures(images).linear(torch.tensor([1, 0]), (x + 0.5).expand(2, -1, -1), y.expand(2, -1, -1))
    half = [(a[:3, :4].astype(float) + a[:3, 1:5]) / 2 / 255 for a in images[::-1]]
    assert np.allclose(at.permute(0, 2, 3, 1), half, atol=1e-6)
    cv2.imwrite(str(tmp_path / "a.png"), np.full((50, 80, 3), (0, 0, 255), np.uint8))
    torch.manual_seed(0)
    made = Backgrounds(tmp_path)((16, 12), Draws(12))
    red = (made == torch.tensor([1.0, 0, 0])[:, None, None]).flatten(1).all(1)
    assert made.shape == (12, 3, 16, 12) and 0 < int(red.sum()) < 12
    smooth = torch.linspace(0.2, 0.8, 16).expand(1, 3, 16, 16)
    fine, coarse = ((compressed(smooth, torch.full((1, 1, 1, 1), q)) - smooth).abs().mean() for q in (0.01, 2.0))
    assert fine < 0.002 < coarse < 0.05


def test_the_network_starts_from_a_parser_and_learns(tmp_path, people):
    torch.manual_seed(0)
    parser = Parser(size=(64, 48))
    parser.save_pretrained(tmp_path / "parser")
    c = PRESETS["surface"]["nano"]
    net = start_net(c, tmp_path / "parser").train()
    own, theirs = (n.state_dict()["stages.3.0.layers.0.weight"] for n in (net, parser))
    assert torch.allclose(own, theirs, atol=1e-3)
    drawn = torch.arange(4)[:, None]
    s, mask = augment(people, drawn, drawn[:, 0], ((96, 64),), 0, Backgrounds())
    batch = tensors(s, mask, s.keypoints)
    out = net(batch["rgb"], batch["hints"])
    assert out.logits.shape == (4, 15, 48, 32) and out.points.shape == (4, 14, 3, 48, 32)
    assert torch.allclose(out.turn.norm(dim=2), torch.ones(4, 3), atol=1e-5)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 2e-3)
    first = float(losses(out, batch, c)["loss"].detach())
    for _ in range(6):
        optimizer.zero_grad()
        loss = losses(net(batch["rgb"], batch["hints"]), batch, c)["loss"]
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < first - 0.3


def test_figures_of_a_perfect_answer(people):
    t = whole(people, ONE, ((96, 64),), Backgrounds(), Draws(1))
    out = SurfaceNet(size=(96, 64, 64)).eval()(t["rgb"], t["hints"])
    part = t["part"].clamp(max=14)
    out.logits = torch.nn.functional.one_hot(part, 15).permute(0, 3, 1, 2).float()
    out.points, out.turn = t["points"][:, None].expand(-1, 14, -1, -1, -1), t["turn"]
    found = {k: float(v[0]) for k, v in measure(out, t).items()}
    assert found["error"] < 1e-6 and found["near"] == 1 and found["part"] == 1 and found["iou"] > 0.99
    assert found["pitch"] < 0.1 and found["azimuth"] < 0.1


def test_agreement_falls_with_the_distance_and_the_doubt():
    points = np.zeros((1, 1, 14, 3), np.float32)
    points[..., 1, :] = 1.0  # another part, elsewhere
    probability = np.zeros((1, 1, 15), np.float32)
    probability[..., 1], probability[..., 2], probability[..., 0] = 0.6, 0.3, 0.1
    m = SurfaceMap(np.eye(2, 3), probability, points, np.full((1, 1, 14), 0.02, np.float32), np.eye(3))
    at = lambda *p: float(m.agreement(np.array([[0.5, 0.5]]), np.array([p]), slack=0.05)[0])  # noqa: E731
    assert at(0, 0, 0) == pytest.approx(0.6, abs=1e-3) and at(1, 1, 1) == pytest.approx(0.3, abs=1e-3)
    assert at(0.04, 0, 0) == pytest.approx(0.6, abs=1e-3) and 0.05 < at(0.09, 0, 0) < 0.2 and at(0.5, 0, 0) < 1e-3


def test_the_photo_is_seen_in_the_crop_that_shows_the_person_largest(tmp_path):
    torch.manual_seed(0)
    net = SurfaceNet(size=(96, 64, 64)).eval()
    rgb, alpha = np.full((200, 300, 3), 90, np.uint8), np.zeros((200, 300), np.float32)
    alpha[80:120, 20:280] = 1
    m = surface_map(rgb, alpha, None, net)
    assert m.probability.shape == (32, 48, 15) and np.allclose(m.probability.sum(-1), 1, atol=1e-4)
    column, row = m.cells(np.array([[150.0, 100.0]]))
    assert abs(int(column[0]) - 24) <= 1 and abs(int(row[0]) - 16) <= 1
    net.save_pretrained(tmp_path)
    again = surface_map(rgb, alpha, None, SurfaceNet.from_pretrained(tmp_path))
    assert np.abs(again.points - m.points).max() < 0.01


def test_pixels_of_a_limb_before_the_trunk_are_not_sampled():
    """A map that agrees with the mesh everywhere but in a square, where it says: a hand."""
    body = load_body()
    vertices = body(torch.zeros(1, body.num_betas)).vertices[0]
    camera = orbit(vertices, 0, height=200, width=200)
    f = rasterize_mesh(vertices, body.faces, camera.resized(100, 100))
    rest = interpolate(f, body.v_template, body.faces)[0].numpy()
    probability = np.zeros((100, 100, 15), np.float32)
    mesh = f.mask[0].numpy()
    part = vertex_surface_parts(body)[body.faces[np.maximum(f.face[0].numpy(), 0), 0]]
    np.put_along_axis(probability, np.where(mesh, part + 1, 0)[..., None], 1, 2)
    ys, xs = np.where(mesh & (part == SURFACE_PARTS.index("torso")))
    y, x = int(ys.mean()), int(xs.mean())
    square = np.s_[y - 3 : y + 4, x - 3 : x + 4]
    points = np.repeat(rest[:, :, None], 14, 2)
    points[..., SURFACE_PARTS.index("left_forearm") :, :] += 1.0
    scale = np.full((100, 100, 14), 0.02, np.float32)
    M = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    box = (10.0, 20.0, 1.5)  # a crop, enlarged
    rgb, worn = np.full((200, 200, 3), 90, np.uint8), np.full((200, 200), LABEL["outer"], np.uint8)
    keypoints = np.zeros((33, 4), np.float32)
    for i in ("wrist", "index"):
        keypoints[KEYPOINTS.index(f"left_{i}")] = 2 * x + 1, 2 * y + 1, 0, 1
    surface = SurfaceMap(M, probability, points, scale, np.eye(3))
    view = View(keypoints, None, np.ones((200, 200), bool), 200, 200, surface=surface)
    evidence = lambda labels=None: evidence_of(  # noqa: E731
        body, Subject(rgb, np.ones((200, 200)), view, "", {}, 1, 1, labels), vertices, camera)  # fmt: skip
    left_out = lambda labels=None: evidence(labels).before  # noqa: E731
    assert not left_out().any()
    behind = mesh & np.isin(part, [SURFACE_PARTS.index(n) for n in ("head", "torso", "left_thigh", "right_thigh")])
    near = cv2.dilate((behind & near_arms(surface, keypoints)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    agree = mesh & (part < SURFACE_PARTS.index("left_forearm")) & ~near
    assert np.array_equal(evidence().sure, agree) and agree.any()
    doubtful = tuple(np.argwhere(agree)[0])
    probability[doubtful] *= 0.5
    assert evidence().sure.sum() == agree.sum() - 1 and not evidence().sure[doubtful]
    limb, torso = (1 + SURFACE_PARTS.index(n) for n in ("left_forearm", "torso"))
    probability[square] = 0
    probability[square][..., limb] = 1
    assert left_out()[square].all() and left_out().sum() == 81  # and its rim
    kept = ~in_crop(surface, left_out(), box, 240)
    v, u = ((np.array([y, x]) * 2 + 1 - np.array([20, 10])) * 1.5).astype(int)
    assert not kept[v, u] and kept[v - 60, u] and kept.mean() > 0.9
    probability[square][..., [limb, torso]] = 0.2, 0.8  # a little evidence counts where the pixels look unlike others
    assert not left_out().any()
    rgb[2 * y - 6 : 2 * y + 8, 2 * x - 6 : 2 * x + 8] = 200
    assert left_out()[square].all()
    probability[square][..., [limb, limb + 2]] = 0, 0.2  # a hand that looks like cloth is none
    assert left_out()[square].all() and not left_out(worn).any()
    keypoints[:, 3] = 0  # nor anything where there is no arm
    assert not left_out().any()


def test_training_refuses_other_sets_and_runs(tmp_path, source):
    synthesize(source, tmp_path / "people", 2)
    plain = Synthetic(seed=4, size=48, views_per_person=1, background=False)
    synthesize(plain, tmp_path / "plain", 1)
    c = PRESETS["surface"]["nano"]
    with pytest.raises(DinarError, match="--varied"):
        read_people(open_set(tmp_path / "plain"))
    with pytest.raises(DinarError, match="more people"):
        train([tmp_path / "people"], tmp_path / "run", c, init=Path("none"))
    with pytest.raises(DinarError, match="got none"):
        train([], tmp_path / "run", c)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DinarError, match="pictures for backgrounds"):
        Backgrounds(empty)
    loop = dataclasses.replace(c.loop, steps=2, batch=2, micro_batch=2, show_every=2, save_every=2)
    c = dataclasses.replace(c, loop=loop, holdout=1, sizes=((1.0, 64, 32, 64),))
    SurfaceNet(size=(64, 32, 64)).save_pretrained(tmp_path / "start")
    assert train([tmp_path / "people"], tmp_path / "run", c, init=tmp_path / "start", cpu=True)
    assert SurfaceNet.from_pretrained(tmp_path / "run/weights").sizes == ((64, 32), (64, 64), (32, 64))
    assert list((tmp_path / "run/pictures").glob("validation_*.png"))
