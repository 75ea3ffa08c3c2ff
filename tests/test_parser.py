"""The human parser: label tables, crops, heat maps, augmentation, losses, the network, inference on a real photo."""

import dataclasses
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.cli import main
from dinar.data.ccp import ccp_classes, face_region
from dinar.data.parsing import ParsingSet, Sample, augment, has, tensors
from dinar.errors import DinarError
from dinar.labels import CLASSES, CONVENTIONS, IGNORE, LABEL, to_classes, write_labels
from dinar.nets.parser import HEATMAPS, Parser
from dinar.photo.blazepose import KEYPOINTS
from dinar.photo.image import read_photo
from dinar.photo.matting import EPSILON, guided, vote
from dinar.photo.parser_input import heatmaps, person_affine, warp
from dinar.photo.parsing import WEIGHTS, load_parser, parse_from_labels, parse_person, read_label_map, refine
from dinar.photo.person import find_person
from dinar.train.parser import ParserStage, losses, train, validation_names
from dinar.train.presets import PRESETS

DEMO = Path(__file__).parent.parent / "src/dinar/data/demo.jpg"
CCP = Path(__file__).parent.parent.parent / "shared/data/ccp"
needs_weights = pytest.mark.skipif(not (WEIGHTS / "model.safetensors").exists(), reason="no parser weights in the tree")
N = {name: i for i, name in enumerate(KEYPOINTS)}


def standing(size=(400, 300)):
    """Keypoints [33, 4] of somebody upright in the middle, and a class map of rectangles that agrees."""
    h, w = size
    at = {
        "nose": (0.5, 0.15), "eye": (0.02, 0.13), "ear": (0.04, 0.14), "mouth": (0.015, 0.165), "shoulder": (0.1, 0.24),
        "elbow": (0.12, 0.38), "wrist": (0.13, 0.5), "index": (0.13, 0.53), "pinky": (0.14, 0.53),
        "thumb": (0.12, 0.52), "hip": (0.06, 0.5), "knee": (0.06, 0.7), "ankle": (0.06, 0.88), "heel": (0.06, 0.9),
        "foot": (0.07, 0.92),
    }  # fmt: skip
    points = np.zeros((33, 4), np.float32)
    for i, name in enumerate(KEYPOINTS):
        x, y = at[next(k for k in at if k in name)]
        side = 0 if name == "nose" else 1 if "left" in name else -1
        points[i] = ((0.5 if side else 0) + (side or 1) * x) * w, y * h, 0, 1
    labels = np.zeros(size, np.uint8)
    box = lambda y0, y1, x0, x1, name: labels[int(y0 * h) : int(y1 * h), int(x0 * w) : int(x1 * w)].fill(LABEL[name])  # noqa: E731
    box(0.08, 0.2, 0.44, 0.56, "face")
    box(0.2, 0.52, 0.37, 0.63, "upper")
    box(0.52, 0.88, 0.4, 0.6, "lower")
    box(0.88, 0.93, 0.4, 0.6, "shoes")
    box(0.5, 0.62, 0.66, 0.8, "bag")
    rgb = np.stack([labels * 15 + 20, 200 - labels * 9, labels * 5 + 90], -1).astype(np.uint8)
    return Sample(rgb, labels, points)


# --- labels ---------------------------------------------------------------------------------------------------------


def test_every_convention_maps_by_name():
    assert {k: len(v) for k, v in CONVENTIONS.items()} == {
        "dinar": 14, "lip": 20, "atr": 18, "cihp": 20, "graphonomy": 20, "ccp": 59}  # fmt: skip
    for names in CONVENTIONS.values():
        assert len({theirs for theirs, _ in names}) == len(names)
        assert {ours for _, ours in names} <= set(CLASSES)
        for theirs, ours in names:  # where both have the name, it is the same thing
            if theirs.lower() in CLASSES and theirs != "skirt":
                assert theirs.lower() == ours
    assert to_classes(np.array([0, 1, 13, 18, IGNORE], np.uint8), "cihp").tolist() == [
        0, LABEL["hat"], LABEL["face"], LABEL["shoes"], IGNORE]  # fmt: skip


@pytest.mark.parametrize("labels", [np.array([3, 20], np.uint8), np.array([-1]), np.array([0.5])])
def test_labels_of_another_convention(labels):
    with pytest.raises(DinarError, match="expected"):
        to_classes(labels, "lip")


def test_faces_end_at_the_chin_and_jewellery_is_not_a_bag():
    s = standing()
    names = [n for n, _ in CONVENTIONS["ccp"]]
    own = np.full(s.labels.shape, names.index("skin"), np.uint8)
    x, y = s.keypoints[N["left_wrist"], :2].astype(int)
    own[y - 4 : y, x - 2 : x + 2] = names.index("accessories")  # a bracelet
    own[y + 20 : y + 80, x + 10 : x + 60] = names.index("accessories")  # a book
    out = ccp_classes(own, s.keypoints)
    assert out[y - 2, x] == LABEL["accessory"] and out[y + 50, x + 30] == LABEL["bag"]
    nose, chest = s.keypoints[N["nose"], :2].astype(int), s.keypoints[N["left_shoulder"], :2].astype(int)
    assert out[nose[1], nose[0]] == LABEL["face"] and out[chest[1], nose[0]] == LABEL["skin"]
    assert not face_region(np.zeros((33, 4)), (8, 8)).any()


# --- crops ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", [0, 90, 180])
def test_the_crop_holds_the_person_upright(angle):
    s = standing()
    a = np.deg2rad(angle)
    R = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    points = s.keypoints.copy()
    points[:, :2] = points[:, :2] @ R.T + 500
    M = person_affine(points, (448, 304))
    xy = points[:, :2] @ M[:, :2].T + M[:, 2]
    assert (xy > 0).all() and (xy < (304, 448)).all()
    assert xy[N["nose"], 1] < xy[N["left_hip"], 1] < xy[N["left_ankle"], 1]


def test_warp_of_the_identity_and_of_a_shrunk_picture():
    s = standing()
    eye = np.eye(2, 3)
    assert np.array_equal(warp(s.rgb, eye, s.labels.shape), s.rgb)
    M = np.array([[0.25, 0, -0.375], [0, 0.25, -0.375]])
    small = warp(s.rgb, M, (100, 75))
    assert np.abs(small.astype(int) - cv2.resize(s.rgb, (75, 100), interpolation=cv2.INTER_AREA)).max() <= 1


def test_heatmaps_lie_on_the_points_and_leave_out_the_unseen():
    s = standing((448, 304))
    h = heatmaps(s.keypoints, (448, 304))
    assert h.shape == (HEATMAPS, 112, 76) and h.min() >= 0 and h.max() <= 1
    for channel, name in ((0, "nose"), (2, "left_elbow"), (4, "right_knee")):
        x, y = (s.keypoints[N[name], :2] / 4).astype(int)
        assert h[channel, y, x] > 0.4
    s.keypoints[:, 3] = 0
    assert not heatmaps(s.keypoints, (448, 304)).any()


def test_augmentation_repeats_by_seed_and_keeps_labels_with_their_colours():
    s, seen = standing(), 0
    for i in range(40):
        a, b = (augment(s, lambda: s, (128, 96), np.random.default_rng(i)) for _ in range(2))
        assert np.array_equal(a.rgb, b.rgb) and np.array_equal(a.labels, b.labels)
        assert set(np.unique(a.labels)) <= {*np.unique(s.labels), IGNORE}
        seen += (a.labels == LABEL["upper"]).mean() > 0.02
    assert seen > 35
    t = tensors(a, np.random.default_rng(0))
    assert t["rgb"].shape == (3, 128, 96) and t["heat"].shape == (6, 32, 24) and t["labels"].shape == (64, 48)


def test_bags_of_others_are_carried_at_the_same_place_or_at_the_wrist():
    s, other = standing(), standing()
    s.labels[s.labels == LABEL["bag"]] = 0
    assert has(other, "bag") and not has(s, "bag")
    found, near = 0, []
    for i in range(60):
        a = augment(s, lambda: s, (224, 168), np.random.default_rng(i), lambda kind: other)
        bag = a.labels == LABEL["bag"]
        if bag.sum() > 40 and a.keypoints[:, 3].any():
            found += 1
            at = np.argwhere(bag).mean(0)[::-1]
            wrists = a.keypoints[[N["left_wrist"], N["right_wrist"]], :2]
            near.append(np.linalg.norm(wrists - at, axis=1).min() / 224)
    assert 10 < found < 30  # PASTED of them
    assert np.median(near) < 0.15
    assert not any((augment(s, lambda: s, (224, 168), np.random.default_rng(i)).labels == LABEL["bag"]).any()
                   for i in range(20))  # fmt: skip


@pytest.mark.parametrize("kind", ["accessory", "hat"])
def test_scarves_and_hats_of_others_are_worn_at_neck_and_head(kind):
    s, other = standing(), standing()
    for a in (s, other):
        a.labels[np.isin(a.labels, [LABEL[kind], LABEL["bag"]])] = 0
    other.keypoints[:, :2] += (90, 40)  # elsewhere in the picture, and smaller
    other.keypoints[:, :2] *= 0.7
    names = ("left_shoulder", "right_shoulder") if kind == "accessory" else ("left_eye", "right_eye")
    x, y = other.keypoints[[N[n] for n in names], :2].mean(0).astype(int)
    other.labels[y - 12 : y + 13, x - 12 : x + 13] = LABEL[kind]
    assert has(other, kind) and not has(s, kind)
    found, near = 0, []
    for i in range(60):
        a = augment(s, lambda: s, (224, 168), np.random.default_rng(i), lambda kind: other)
        worn = a.labels == LABEL[kind]
        if worn.sum() > 20 and a.keypoints[:, 3].any():
            found += 1
            here = a.keypoints[[N[n] for n in names], :2].mean(0)
            near.append(np.linalg.norm(here - np.argwhere(worn).mean(0)[::-1]) / 224)
    assert 3 <= found < 20  # PASTED of them
    assert np.median(near) < 0.03


# --- network and training -------------------------------------------------------------------------------------------


def test_network_saves_loads_and_folds(tmp_path):
    torch.manual_seed(0)
    net = Parser(size=(64, 48)).eval()
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, torch.nn.BatchNorm2d):
                m.running_mean.uniform_(-0.2, 0.2)
                m.running_var.uniform_(0.8, 1.2)
    net.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 8 * 2**20
    rgb, heat = torch.rand(1, 3, 64, 48), torch.rand(1, HEATMAPS, 16, 12)
    with torch.no_grad():
        a = net(rgb, heat)
        loaded = Parser.from_pretrained(tmp_path)
        b = loaded(rgb, heat)
        c = loaded.fold()(rgb, heat)
    assert a.shape == (1, len(CLASSES), 32, 24)
    assert (a - b).abs().max() < 0.02 * a.abs().max()  # fp16
    torch.testing.assert_close(b, c, rtol=1e-3, atol=1e-3)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["network"]  # as the first weights were written
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert Parser.from_pretrained(tmp_path).config["size"] == [64, 48]
    (tmp_path / "config.json").write_text(json.dumps(config | {"classes": ["background", "person"]}))
    with pytest.raises(DinarError, match="another version of Parser"):
        Parser.from_pretrained(tmp_path)


def test_losses_vanish_for_the_truth_and_ignore_what_is_ignored():
    labels = torch.from_numpy(standing((64, 48)).labels.astype(np.int64))[None]
    c = PRESETS["parser"]["nano"]
    right = 30.0 * torch.nn.functional.one_hot(labels, len(CLASSES)).permute(0, 3, 1, 2)
    assert all(v < 1e-3 for v in losses(right, labels, c).values())
    wrong = right.roll(1, 1)
    assert losses(wrong, labels, c)["iou_loss"] > 0.4
    unknown = labels.clone()
    unknown[:, :32] = IGNORE
    half = right.clone()
    half[:, :, :32] = wrong[:, :, :32]
    assert all(v < 1e-3 for v in losses(half, unknown, c).values())


def test_the_stage_learns(tmp_path):
    """A parsing set of one picture, trained by the command's function with random weights."""
    s = standing()
    for folder in ("rgb", "labels"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for name in ("a", sorted(validation_names())[0]):
        cv2.imwrite(str(tmp_path / "set/rgb" / f"{name}.png"), s.rgb[..., ::-1])
        cv2.imwrite(str(tmp_path / "set/labels" / f"{name}.png"), s.labels)
    names = np.array(["a", sorted(validation_names())[0]])
    np.savez(tmp_path / "set/keypoints.npz", names=names, keypoints=np.stack([s.keypoints] * 2))
    assert ParsingSet(tmp_path / "set", leave_out=validation_names()).names == ["a"]
    Parser().save_pretrained(tmp_path / "init")
    c = PRESETS["parser"]["nano"]
    loop = dataclasses.replace(c.loop, steps=6, batch=2, micro_batch=2, warmup=1, show_every=6, log_every=1)
    c = dataclasses.replace(c, loop=loop, sizes=((0.5, 64, 48), (0.5, 96, 64)))
    assert train([tmp_path / "set"], tmp_path / "run", c, init=tmp_path / "init", cpu=True)
    lines = (tmp_path / "run/log.jsonl").read_text()
    assert "valid/person_iou" in lines and (tmp_path / "run/pictures/validation_0000006.png").exists()
    assert Parser.from_pretrained(tmp_path / "run/weights").config["size"] == [96, 64]
    stage = ParserStage(c, [ParsingSet(tmp_path / "set")], [1], ParsingSet(tmp_path / "set"), tmp_path / "init")
    assert [stage.size(k) for k in (0, 2, 3, 6)] == [(64, 48), (64, 48), (96, 64), (96, 64)]


def test_the_split_is_fixed():
    assert len(validation_names()) == 150
    if not CCP.exists():
        pytest.skip("no ../shared/data/ccp")
    labelled = {p.stem for p in (CCP / "labels").glob("*.png")}
    listed = set((Path(__file__).parent.parent / "benchmarks/photos.txt").read_text().split())
    assert validation_names() <= labelled and labelled & listed <= validation_names()


# --- inference ------------------------------------------------------------------------------------------------------


def test_refinement_moves_an_outline_to_the_edge():
    s = standing((600, 450))
    truth = ~np.isin(s.labels, (0, LABEL["bag"]))
    rgb = cv2.GaussianBlur(np.where(truth[..., None], (200, 60, 40), (60, 130, 90)).astype(np.uint8), (0, 0), 0.7)
    shifted = cv2.GaussianBlur(np.roll(truth, 2, 1).astype(np.float32), (0, 0), 2)
    alpha = refine(rgb, shifted, s.keypoints)
    error = lambda m: ((m > 0.5) != truth).sum()  # noqa: E731
    assert error(alpha) < 0.5 * error(shifted)


def test_the_guided_filter_is_that_of_its_paper():
    """He, Sun & Tang 2010, eq. 14-16, by a solver a window, where the working size is the full one."""
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (20, 16, 3), np.uint8), rng.random((20, 16), np.float32)
    I, r = image / 255, 2
    around, masks = np.pad(I, ((r, r), (r, r), (0, 0)), "symmetric"), np.pad(mask, r, "symmetric")
    coefficients = np.zeros((20, 16, 4))
    for y, x in np.ndindex(20, 16):
        window = np.s_[y : y + 2 * r + 1, x : x + 2 * r + 1]
        guide, p = around[window].reshape(-1, 3), masks[window].ravel()
        a = np.linalg.solve(np.cov(guide.T, bias=True) + EPSILON * np.eye(3),
                            (guide * p[:, None]).mean(0) - guide.mean(0) * p.mean())  # fmt: skip
        coefficients[y, x] = *a, p.mean() - a @ guide.mean(0)
    mean = cv2.blur(coefficients, (2 * r + 1, 2 * r + 1), borderType=cv2.BORDER_REFLECT)
    expected = (mean[..., :3] * I).sum(-1) + mean[..., 3]
    assert np.abs(guided(image, mask, image, r) - expected).max() < 1e-3


def test_colours_vote_only_where_the_mask_is_unsure():
    image = np.full((40, 40, 3), (40, 90, 60), np.uint8)
    image[:, 20:] = 200, 60, 40
    mask = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None], 40, 0)
    out = vote(image, mask)
    unsure = (mask > 0.1) & (mask < 0.9)
    assert (out[:, 20:] > mask[:, 20:])[unsure[:, 20:]].all() and (out[:, :20] < mask[:, :20])[unsure[:, :20]].all()
    sure = (mask < 0.05) | (mask > 0.95)
    assert np.array_equal(out[sure], mask[sure])
    for constant in (np.zeros_like(mask), np.ones_like(mask)):
        assert np.array_equal(vote(image, constant), constant)


def test_a_users_label_map(tmp_path):
    s = standing()
    cihp = {"background": 0, "face": 13, "upper": 5, "lower": 9, "shoes": 18, "bag": 0}
    foreign = np.zeros_like(s.labels)
    for name, k in cihp.items():
        foreign[s.labels == LABEL[name]] = k
    cv2.imwrite(str(tmp_path / "cihp.png"), cv2.resize(foreign, (150, 200), interpolation=cv2.INTER_NEAREST))
    labels = read_label_map(tmp_path / "cihp.png", s.rgb.shape, "graphonomy")
    parse = parse_from_labels(s.rgb, s.keypoints, labels)
    person = ~np.isin(s.labels, (0, LABEL["bag"]))
    assert ((parse.alpha > 0.5) == person).mean() > 0.98
    assert ((parse.labels > 0) == (parse.alpha > 0.5)).all()
    assert (parse.labels == np.where(person, s.labels, 0)).mean() > 0.97
    cv2.imwrite(str(tmp_path / "colours.png"), s.rgb)
    cv2.imwrite(str(tmp_path / "cihp.jpg"), foreign)
    cv2.imwrite(str(tmp_path / "cutout.png"), 255 * person.astype(np.uint8))
    cv2.imwrite(str(tmp_path / "empty.png"), 0 * foreign)
    cv2.imwrite(str(tmp_path / "strange.png"), foreign + 30)
    (tmp_path / "damaged.png").write_bytes((tmp_path / "cihp.png").read_bytes()[:-40])
    for name, message in (("colours.png", "label numbers"), ("cihp.jpg", "jpeg"), ("cutout.png", "cut-out"),
                          ("empty.png", "empty"), ("damaged.png", "is damaged"), ("no.png", "does not exist"),
                          ("strange.png", "strange.png: expected graphonomy labels 0 .. 19")):  # fmt: skip
        with pytest.raises(DinarError, match=message):
            read_label_map(tmp_path / name, s.rgb.shape, "graphonomy")
    with pytest.raises(DinarError, match="aspect"):
        read_label_map(tmp_path / "cihp.png", (100, 300), "lip")
    write_labels(tmp_path / "own.png", s.labels)
    assert np.array_equal(read_label_map(tmp_path / "own.png", s.rgb.shape), s.labels)


@needs_weights
def test_the_demo_photo(tmp_path):
    photo = read_photo(DEMO)
    person = find_person(photo.rgb)
    parse = parse_person(photo.rgb, person.pose.keypoints, coarse=person.mask_soft)
    assert parse.labels.shape == parse.alpha.shape == photo.rgb.shape[:2]
    inside = parse.alpha > 0.5
    assert np.array_equal(inside, ~np.isin(parse.labels, (0, LABEL["bag"])))
    assert ((inside & (person.mask_soft > 0.5)).sum() / (inside | (person.mask_soft > 0.5)).sum()) > 0.85
    x, y = person.pose.keypoints[N["nose"], :2].astype(int)
    assert parse.labels[y, x] == LABEL["face"]
    main(["segment", str(DEMO), "-o", str(tmp_path / "mask.png"), "--labels", str(tmp_path / "labels.png")])
    mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
    assert mask.shape == photo.original_size[::-1]
    assert np.abs(mask / 255 - parse.alpha).max() < 0.01
    assert np.array_equal(read_label_map(tmp_path / "labels.png", photo.rgb.shape), parse.labels)
    assert sum(p.stat().st_size for p in WEIGHTS.iterdir()) < 8 * 2**20
    assert load_parser() is load_parser()
