"""Views, sets on disk, readers of other people's data, photo sets and augmentation."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.shells import Shell
from dinar.body.smplx import load_smplx
from dinar.cli import main
from dinar.data import frames as frames_module
from dinar.data import prepare as prepare_module
from dinar.data.augment import augment, flip, jitter_camera, shift_colours, turn_camera
from dinar.data.dressing import dressed
from dinar.data.folder import Folder, encode, people_in, start_set, write_views
from dinar.data.frames import find_clips, import_people, read_frames
from dinar.data.photos import Photos, load_fits
from dinar.data.prepare import prepare
from dinar.data.release import Released
from dinar.data.shards import Shards, open_set, write_shard
from dinar.errors import DinarError
from dinar.fit.fit_file import Fit
from dinar.fit.view import View, photo_camera
from dinar.labels import CLASSES
from dinar.neural.arrays import frontality
from dinar.scene import interpolate, orbit, vertex_normals
from dinar.subject import Subject
from dinar.views import DEPTH_UNIT, Params, Source, Views, concatenate, project
from test_smplx import model, save

SIZE = 96


def person(body: Body, name: str = "anna", seed: int = 0, views: int = 3, size: int = SIZE) -> Views:
    """A bent, turned body in several views, with all extras, from the rasteriser."""
    g = torch.Generator().manual_seed(seed)
    random = lambda *s: torch.randn(*s, generator=g)  # noqa: E731
    pose = random(views, body.num_joints, 3) * 0.15
    pose[:, 0] = torch.tensor([0.1, 0.7, 0.05])
    params = Params(random(body.num_betas) * 0.5, pose, random(views, 3) * 0.2,
                    torch.rand(views, body.num_expression, generator=g) * 0.3)  # fmt: skip
    posed = params.posed(body)
    cameras = [orbit(v, 50 * k + 10, 10, size, size, margin=0.15) for k, v in enumerate(posed.vertices)]
    blank = torch.zeros(views, size, size, dtype=torch.uint8)
    v = Views(torch.zeros(views, size, size, 3, dtype=torch.uint8), blank, torch.stack([c.K for c in cameras]),
              torch.stack([c.T_cam_world for c in cameras]), params, name=name)  # fmt: skip
    r = v.raster(body)
    normals = interpolate(r.fragments, vertex_normals(r.vertices, body.faces), body.faces)
    normals = torch.einsum("nij,nhwj->nhwi", v.T_cam_world[:, :3, :3], torch.nn.functional.normalize(normals, dim=-1))
    points = body.keypoints(posed)
    xy, _ = project(points, v.K, v.T_cam_world)
    seen = (torch.rand(*xy.shape[:2], 1, generator=g) < 0.8).float()
    offsets = (random(body.num_vertices, 3) * 2e-3).half().float()  # as files keep them
    colour = torch.cat([r.uv * 255, torch.rand(views, size, size, 1, generator=g) * 255], -1)
    return dataclasses.replace(
        v,
        rgb=colour.to(torch.uint8),
        alpha=r.mask.to(torch.uint8) * 255,
        fitted=Params(params.betas + 0.1, pose + random(*pose.shape) * 0.02, params.transl + 0.01, offsets=offsets),
        labels=(torch.randint(1, len(CLASSES), r.mask.shape, generator=g) * r.mask).to(torch.uint8),
        normals=torch.where(r.mask[..., None], (normals * 127 + 128).round(), 128.0).to(torch.uint8),
        depth=torch.where(r.mask, r.fragments.depth, 0.0),
        keypoints2d=torch.cat([xy, seen], -1),
        keypoints3d=points,
    ).check()


@pytest.fixture(scope="module")
def anna(body: Body) -> Views:
    return person(body)


def tensors(v: Views) -> dict[str, torch.Tensor]:
    out = {k: x for k, x in vars(v).items() if isinstance(x, torch.Tensor)}
    for which in ("params", "fitted"):
        out |= {f"{which}.{k}": x for k, x in vars(getattr(v, which) or 0 or Params).items()
                if isinstance(x, torch.Tensor)}  # fmt: skip
    return out


def same(a: Views, b: Views, depth: float = DEPTH_UNIT) -> None:
    x, y = tensors(a), tensors(b)
    assert x.keys() == y.keys() and (a.name, a.body, a.view_names) == (b.name, b.body, b.view_names)
    for k in x:
        tolerance = depth if k == "depth" else 0
        assert x[k].dtype == y[k].dtype and (x[k].double() - y[k].double()).abs().max() <= tolerance, k


# --- sets on disk ---------------------------------------------------------------------------------------------------


def test_folder_round_trip_and_same_bytes(anna: Views, tmp_path: Path) -> None:
    start_set(tmp_path / "set", "anny", anna.size, seed=1)
    write_views(tmp_path / "set", anna, jpeg=0)
    source: Source = open_set(tmp_path / "set")
    assert (source.num_people, source.num_views(0), source.body) == (1, 3, "anny")
    back = source.views(0)
    same(back, anna, DEPTH_UNIT * 0.51)
    same(source.views(0, [2, 0]), back.select([2, 0]), 0)
    assert encode(back, 0) == encode(anna, 0)  # depth, too, survives any number of round trips
    assert back.rgb.dtype == torch.uint8 and back.view_names == ("00", "01", "02")
    plain = dataclasses.replace(anna, fitted=None, labels=None, normals=None, depth=None, keypoints3d=None, name="b")
    write_views(tmp_path / "set", plain)  # jpeg
    back = Folder(tmp_path / "set").views(1)
    assert back.fitted is None and back.labels is None and back.depth is None and not back.params.shells
    worn = dataclasses.replace(anna.params, shells=(Shell("skirt", -0.45), Shell("hat", 0.77)))
    write_views(tmp_path / "set", dataclasses.replace(anna, params=worn, name="c"))
    assert Folder(tmp_path / "set").views(2).params.shells == worn.shells
    assert encode(plain) == encode(dataclasses.replace(plain))


def test_shards_hold_the_same_as_folders(body: Body, anna: Views, tmp_path: Path) -> None:
    people = [anna, *(person(body, f"p{i}", i, 2) for i in (1, 2))]
    start_set(tmp_path / "a", "anny", anna.size, layout="shards", per_shard=2)
    for k in (0, 1):
        write_shard(tmp_path / "a", k, people[2 * k : 2 * k + 2], jpeg=0)
    source: Source = open_set(tmp_path / "a")
    assert source.num_people == 3 and [source.num_views(i) for i in range(3)] == [3, 2, 2]
    for i, p in enumerate(people):
        same(source.views(i), p)
    same(source.views(2, [1]), source.views(2).select([1]), 0)
    first = (tmp_path / "a/shard-000001.tar").read_bytes()
    write_shard(tmp_path / "a", 1, people[2:], jpeg=0)
    assert (tmp_path / "a/shard-000001.tar").read_bytes() == first
    with pytest.raises(DinarError, match="3 people"):
        source.views(3)
    (tmp_path / "a/shard-000001.tar").write_bytes(first[:40000])
    with pytest.raises(DinarError, match=r"shard-000001\.tar"):
        Shards(tmp_path / "a").views(2)


def test_killed_export_goes_on(anna: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_set(tmp_path, "anny", anna.size, seed=1)
    write_views(tmp_path, anna)
    whole = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    shutil.rmtree(tmp_path / "anna")
    real, calls = Path.write_bytes, []

    def dies(self: Path, data: bytes) -> int:
        calls.append(self)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return real(self, data)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(Path, "write_bytes", dies)
        write_views(tmp_path, anna)
    assert people_in(tmp_path) == [] and [p.name for p in tmp_path.iterdir()] == ["dataset.json"]
    start_set(tmp_path, "anny", anna.size, seed=1)
    write_views(tmp_path, anna)
    assert {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == whole
    with pytest.raises(DinarError, match="another set: seed differ"):
        start_set(tmp_path, "anny", anna.size, seed=2)


def test_two_runs_write_one_person(anna: Views, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_set(tmp_path, "anny", anna.size)
    real, busy = Path.write_bytes, []

    def meanwhile(self: Path, data: bytes) -> int:
        if not busy:
            busy.append(self)
            write_views(tmp_path, anna)
        return real(self, data)

    monkeypatch.setattr(Path, "write_bytes", meanwhile)
    write_views(tmp_path, anna)
    assert busy and Folder(tmp_path).views(0).name == "anna"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["anna", "dataset.json"]


def test_damaged_sets_are_refused_in_one_line(anna: Views, tmp_path: Path) -> None:
    start_set(tmp_path, "anny", anna.size)
    home = write_views(tmp_path, anna, jpeg=0)
    arrays = dict(np.load(home / "views.npz"))

    def refused(match: str) -> None:
        with pytest.raises(DinarError, match=match) as e:
            Folder(tmp_path).views(0)
        assert "\n" not in str(e.value)

    (home / "mask/01.png").write_bytes((home / "mask/01.png").read_bytes()[:20])
    refused(r"mask/01\.png.*damaged")
    cv2.imwrite(str(home / "mask/01.png"), np.zeros((9, 9), np.uint8))
    refused(r"mask/01\.png: expected an image \[96, 96\]")
    (home / "mask/01.png").unlink()
    refused(r"mask/01\.png cannot be read.*incomplete")
    np.savez(home / "views.npz", **{**arrays, "version": np.array(9)})
    refused("expected version 1 of the multi-view format, got 9")
    np.savez(home / "views.npz", **{k: v for k, v in arrays.items() if k != "betas"})
    refused("written by dinar with betas")
    (home / "views.npz").write_bytes(b"PK\x03\x04")
    refused(r"views\.npz: expected views written by dinar")
    with pytest.raises(DinarError, match=r"no dataset\.json"):
        Folder(tmp_path / "anna")
    bad = {"expected alpha": {"alpha": anna.alpha[:, 1:]}, "expected a name of letters": {"name": "../up"},
           "expected finite numbers in K": {"K": anna.K * float("nan")}}  # fmt: skip
    for match, change in bad.items():
        with pytest.raises(DinarError, match=match):
            write_views(tmp_path, dataclasses.replace(anna, **change))


def test_select_concatenate_and_raster(body: Body, anna: Views) -> None:
    same(concatenate([anna.select([0]), anna.select([1, 2])]), anna, 0)
    r = anna.raster(body)
    assert torch.equal(r.mask, anna.alpha > 0) and (r.uv[~r.mask] == 0).all()
    camera = anna.camera(1)
    xy, _ = camera.project(anna.keypoints3d[1])  # type: ignore[index]
    assert (xy - anna.keypoints2d[1, :, :2]).abs().max() < 1e-3  # type: ignore[index]
    small = anna.raster(body, SIZE // 2)
    assert abs(float(small.mask.sum()) * 4 / float(r.mask.sum()) - 1) < 0.05
    other = anna.raster(body, fitted=True).mask
    assert 0.5 < float((other & r.mask).sum()) / float((other | r.mask).sum()) < 0.98


# --- augmentation ---------------------------------------------------------------------------------------------------


def test_dressing_widens_the_fit_to_the_outline(body: Body, anna: Views) -> None:
    """Of the most frontal view alone; what has offsets keeps them, and the body of the truth stays bare."""
    slim = person(body, size=128)
    front = int(frontality(slim).argmax())
    bare = dataclasses.replace(slim, fitted=None, labels=None)
    bare.alpha[front] = torch.from_numpy(cv2.dilate(slim.alpha[front].numpy(), np.ones((5, 5), np.uint8)))
    v = dressed(bare, body)
    cover = lambda x: float(x.raster(body, fitted=True).mask[front].sum() / (x.alpha[front] > 127).sum())  # noqa: E731
    assert cover(bare) < 0.85 and 0.93 < cover(v) < 1.03
    assert dressed(v, body) is v and dressed(anna, body) is anna and anna.params.offsets is None
    unlike = dataclasses.replace(anna, fitted=dataclasses.replace(anna.fit, offsets=None), labels=None)
    assert dressed(unlike, body).params.offsets is None and dressed(unlike, body).fit.offsets is not None


def test_flip_is_the_mirrored_body(body: Body, anna: Views) -> None:
    same(flip(flip(anna, body), body), anna, 1e-6)
    f = flip(anna, body)
    before, after = anna.raster(body), f.raster(body)
    mirrored = before.uv.flip(2)
    mirrored[..., 0] = 1 - mirrored[..., 0]
    both = before.mask.flip(2) & after.mask
    assert (before.mask.flip(2) ^ after.mask).sum() <= 0.01 * both.sum()  # the body is symmetric to 0.1 mm
    assert ((mirrored - after.uv)[both].abs().amax(-1) < 2e-3).float().mean() > 0.98
    points = body.keypoints(f.params.posed(body))
    assert (points - f.keypoints3d).norm(dim=-1).max() < 5e-4  # type: ignore[operator]
    xy, _ = project(points, f.K, f.T_cam_world)
    assert (xy - f.keypoints2d[..., :2]).abs().max() < 0.1  # type: ignore[index]
    depth = f.depth[both] - after.fragments.depth[both]  # type: ignore[index]
    assert depth.abs().median() < 1e-3
    n = vertex_normals(after.vertices, body.faces)
    n = torch.einsum("nij,nhwj->nhwi", f.T_cam_world[:, :3, :3], interpolate(after.fragments, n, body.faces))
    unit = (f.normals.float() - 128) / 127  # type: ignore[union-attr]
    assert (torch.nn.functional.normalize(n[both], dim=-1) * unit[both]).sum(-1).median() > 0.999


def test_turned_camera_agrees_with_the_raster(body: Body) -> None:
    anna = person(body, size=256)
    angles = torch.tensor([[0.05, -0.08, 0.1], [0.0, 0.1, -0.05], [-0.1, 0.0, 0.02]])
    v = turn_camera(anna, angles, torch.tensor([1.1, 0.95, 1.0]))
    r = v.raster(body)
    a, b = v.alpha > 127, r.mask
    assert (a & b).sum() / (a | b).sum() > 0.955  # .92, .95, .976, .988 for 96, 192, 384, 768 pixels
    core = torch.nn.functional.avg_pool2d((a & b).float()[:, None], 5, 1, 2)[:, 0] > 0.999
    assert (v.depth[core] - r.fragments.depth[core]).abs().median() < 2e-3  # type: ignore[index]
    xy, _ = project(v.keypoints3d, v.K, v.T_cam_world)  # type: ignore[arg-type]
    assert (xy - v.keypoints2d[..., :2]).abs().max() < 0.01  # type: ignore[index]
    assert (v.rgb[core][:, :2].float() / 255 - r.uv[core]).abs().median() < 0.02
    same(turn_camera(anna, angles * 0), dataclasses.replace(anna), 1e-4)


def test_random_augmentation_repeats_with_its_seed(body: Body, anna: Views) -> None:
    seeded = lambda s: torch.Generator().manual_seed(s)  # noqa: E731
    for f in (shift_colours, jitter_camera, lambda v, g: augment(v, body, g)):
        same(f(anna, seeded(1)), f(anna, seeded(1)), 0)
        assert not torch.equal(f(anna, seeded(1)).rgb, f(anna, seeded(2)).rgb)
    one = dataclasses.replace(anna, rgb=anna.rgb[:1].repeat(3, 1, 1, 1))
    shifted = shift_colours(one, seeded(0)).rgb
    assert torch.equal(shifted[0], shifted[2])  # one person, one shift
    assert not torch.equal(*shift_colours(one, seeded(0), per_view=True).rgb[:2])


# --- the authors' layout --------------------------------------------------------------------------------------------


def test_released_layout(tmp_path: Path) -> None:
    arrays = model(20)
    rng = np.random.default_rng(1)
    arrays |= {f"hands_components{s}": rng.normal(size=(45, 45)) * 0.1 for s in "lr"}
    arrays |= {f"hands_mean{s}": rng.normal(size=45) * 0.1 for s in "lr"}
    body = load_smplx(save(tmp_path / "SMPLX_NEUTRAL.npz", arrays))
    for d in ("rgb", "segm", "smplx"):
        (tmp_path / d).mkdir()
    H, W, box = 300, 260, (10, 20, 210, 290)
    picture = np.full((H, W, 3), 200, np.uint8)
    picture[150, 100] = 0
    segm = np.zeros((H, W, 3), np.uint8)
    segm[120:180, 60:140] = (0, 85, 51)  # a class of the parser, darker than half
    cv2.imwrite(str(tmp_path / "rgb/p.png"), picture)
    cv2.imwrite(str(tmp_path / "segm/p.png"), segm)
    small = lambda *s: rng.normal(size=s).astype(np.float32) * 0.2  # noqa: E731
    d = {"betas": small(1, 10), "global_orient": small(1, 3) + [3.0, 0, 0], "body_pose": small(1, 63),
         "camera_translation": np.array([[0.3, 0.2, 60.0]], np.float32), "camera_rotation": np.eye(3)[None],
         "left_hand_pose": small(1, 12), "right_hand_pose": small(1, 12), "jaw_pose": small(1, 3),
         "expression": small(1, 10), "ltrb": np.array(box)}  # fmt: skip

    def write(value: object) -> None:
        (tmp_path / "smplx/p.pkl").write_bytes(pickle.dumps(value, 2))

    write({"result": {"smplx": d}})
    source: Source = Released(tmp_path, body, size=128, model=tmp_path / "SMPLX_NEUTRAL.npz")
    assert (source.num_people, source.num_views(0), source.body) == (1, 1, "smplx")
    v = source.views(0)
    # The published convention, directly: SMPL-X in camera axes, focal 5000, centre of the cut picture.
    pose = torch.zeros(1, body.num_joints, 3)
    pose[0, 0] = torch.from_numpy(d["global_orient"][0]).float()
    pose[0, [body.joint_names.index(n) for n in body.joint_names[1:22]]] = torch.from_numpy(d["body_pose"]).reshape(21, 3)  # fmt: skip  # noqa: E501
    pose[0, body.joint("jaw")] = torch.from_numpy(d["jaw_pose"][0])
    for s in ("left", "right"):
        angles = arrays[f"hands_mean{s[0]}"] + d[f"{s}_hand_pose"][0, :6] @ arrays[f"hands_components{s[0]}"][:6]
        first = body.joint(f"{s}_index1")
        pose[0, first : first + 15] = torch.from_numpy(angles).float().reshape(15, 3)
    t = lambda k: torch.from_numpy(np.asarray(d[k], np.float32))  # noqa: E731
    x = body(t("betas"), pose, t("camera_translation"), t("expression")).vertices[0]
    pixels = x[:, :2] / x[:, 2:] * 5000 + torch.tensor([(210 - 10) // 2, (290 - 20) // 2])
    scale = v.K[0, 0, 0] / 5000
    origin = torch.tensor([100.0, 135]) - v.K[0, :2, 2] / scale
    got, z = project(v.params.posed(body).vertices, v.K, v.T_cam_world)
    assert (got[0] - (pixels - origin) * scale).abs().max() < 0.02
    assert (z[0] - x[:, 2]).abs().max() < 1e-3
    # the black pixel and the mask lie where the cameras say
    low = (torch.tensor([60.0 - 10, 120 - 20]) - origin) * scale
    high = (torch.tensor([140.0 - 10, 180 - 20]) - origin) * scale
    ys, xs = (v.alpha[0] > 127).nonzero().unbind(1)
    assert (torch.stack([xs.min(), ys.min()]) - low).abs().max() <= 1.5
    assert (torch.stack([xs.max(), ys.max()]) + 1 - high).abs().max() <= 1.5
    write({**d, "body_pose": np.zeros((1, 32), np.float32)})
    with pytest.raises(DinarError, match=r"p\.pkl: expected 63 .* VPoser"):
        source.views(0)
    for key, value, reason in (
        ("betas", np.full(10, 1e300), "finite numbers in betas"), ("betas", "x", "betas of numbers, got text"),
        ("global_orient", np.array([np.nan, 0, 0]), "finite numbers in global_orient"),
        ("left_hand_pose", np.zeros(46), "at most 45 PCA numbers"), ("jaw_pose", [[1], [2, 3]], "no array"),
        ("camera_translation", np.array([0, 0, -9.0]), "in front of the camera"),
        ("ltrb", [0, 0, 1e9, 1e9], "from -8192"),
    ):  # fmt: skip
        write({**d, key: value})
        with pytest.raises(DinarError, match=reason):
            source.views(0)
    write(Path("/"))  # a pickle that names other things is not run
    with pytest.raises(DinarError, match=r"p\.pkl: expected a pickle of numpy arrays only"):
        source.views(0)
    (tmp_path / "smplx/p.pkl").unlink()
    with pytest.raises(DinarError, match=r"no body parameters at .*p\.pkl"):
        source.views(0)


def test_released_layout_needs_smplx(body: Body, tmp_path: Path) -> None:
    with pytest.raises(DinarError, match="expected the smplx body"):
        Released(tmp_path, body)


# --- photo sets and frames ------------------------------------------------------------------------------------------


def fake_subject(path: Path, *_: object, **__: object) -> Subject:
    """A grey photo, almost all of it a person; 'bad' photos are refused."""
    if "bad" in path.name:
        raise DinarError(f"no person found in {path}: expected one whole person")
    rng = np.random.default_rng(len(path.name) + ord(path.stem[-1]))
    alpha = np.zeros((200, 150), np.float32)
    alpha[2:198, 2:148] = 1
    keypoints = np.concatenate([rng.uniform(40, 110, (33, 3)), np.ones((33, 1))], 1).astype(np.float32)
    view = View(keypoints, None, alpha > 0.5, 200, 150)
    return Subject(np.full((200, 150, 3), 128, np.uint8), alpha, view, path.name, {"left": None, "right": None}, 1, 1)


def fake_fit(body: Body, views: list[View], **_: object) -> list[Fit]:
    out = []
    for v in views:
        pose = torch.full((body.num_joints, 3), float(v.keypoints[0, 0]) / 1000)
        out.append(Fit(torch.zeros(body.num_betas), pose, torch.tensor([0, 0, -3.0]), photo_camera(200, 150), 0.5))
    return out


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for m in (prepare_module, frames_module):
        monkeypatch.setattr(m, "read_subject", fake_subject)
        monkeypatch.setattr(m, "fit_body", fake_fit)


def test_photo_set_resumes_and_ends_the_same(fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(7):
        (folder / f"{'bad' if i == 3 else 'p'}{i}.jpg").write_bytes(bytes(i + 1))
    monkeypatch.setattr(prepare_module, "CHUNK", 2)
    report = prepare([folder], tmp_path / "whole", each=True)
    assert report["fitted"] == 6 and list(report["left_out"]) == ["bad3.jpg"]
    assert "bad3.jpg: no person found" in (tmp_path / "whole/report.txt").read_text()
    whole = (tmp_path / "whole/fits.npz").read_bytes()

    seen: list[str] = []

    def dies(path: Path, *a: object, **k: object) -> Subject:
        if len(seen) == 5:
            raise KeyboardInterrupt
        seen.append(path.name)
        return fake_subject(path)

    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(prepare_module, "read_subject", dies)
        prepare([folder], tmp_path / "set")
    assert not (tmp_path / "set/fits.npz").exists() and len(list((tmp_path / "set/parts").iterdir())) == 2

    def once(path: Path, *a: object, **k: object) -> Subject:
        assert path.name not in seen[:4]  # finished chunks are not done again
        return fake_subject(path)

    with monkeypatch.context() as m:
        m.setattr(prepare_module, "read_subject", once)
        assert prepare([folder], tmp_path / "set") == report
    assert (tmp_path / "set/fits.npz").read_bytes() == whole
    (folder / "q.jpg").write_bytes(b"new")  # a photo more: only that is worked on
    with monkeypatch.context() as m:
        m.setattr(prepare_module, "read_subject", lambda p, **_: fake_subject(p) if p.name == "q.jpg" else 1 / 0)
        assert prepare([folder], tmp_path / "set")["fitted"] == 7
    fits = load_fits(tmp_path / "set")
    assert fits.name.tolist() == ["p0.jpg", "p1.jpg", "p2.jpg", "p4.jpg", "p5.jpg", "p6.jpg", "q.jpg"]
    assert not (tmp_path / "set/parts").exists()
    doubtful = dataclasses.replace(fits, keypoint_error=fits.keypoint_error + 4)
    assert all("misses the keypoints by 4.5 %" in why for why in doubtful.doubts())


def test_a_video_without_a_number_of_frames_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.mp4").write_bytes(b"x")
    with pytest.raises(SystemExit):
        main(["fit", str(tmp_path / "a.mp4"), "-o", str(tmp_path / "set")])
    assert "a.mp4 is a video: expected --frames N" in capsys.readouterr().err and not (tmp_path / "set").exists()


def test_photo_set_of_two_runs_at_once(fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run, of these and more photos, ends while this one is at its third."""
    folder, set_ = tmp_path / "photos", tmp_path / "set"
    for i in range(5):
        folder.mkdir(exist_ok=True)
        (folder / f"p{i}.jpg").write_bytes(bytes(i + 1))
    (tmp_path / "q.jpg").write_bytes(b"q")
    (set_ / "parts").mkdir(parents=True)
    (set_ / "parts/0123456789abcdef.npz").write_bytes(b"damaged")
    monkeypatch.setattr(prepare_module, "CHUNK", 1)
    seen: list[str] = []

    def meanwhile(path: Path, *a: object, **k: object) -> Subject:
        seen.append(path.name)
        if len(seen) == 3:
            prepare([folder, tmp_path / "q.jpg"], set_)
        return fake_subject(path)

    monkeypatch.setattr(prepare_module, "read_subject", meanwhile)
    assert prepare([folder], set_)["fitted"] == 6
    assert load_fits(set_).name.tolist() == ["p0.jpg", "p1.jpg", "p2.jpg", "p3.jpg", "p4.jpg", "q.jpg"]
    assert not (set_ / "parts").exists()


def test_photo_set_leaves_out_only_what_fails(fakes: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A photo that ends its chunk, whatever the error, is left out alone; rows of other runs stay."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        for i in range(3):
            (folder / f"{folder.name}{i}.jpg").write_bytes(b"x")

    def fails(body: Body, views: list[View], **_: object) -> list[Fit]:
        if any(v.keypoints[0, 0] == fake_subject(first / "first1.jpg").view.keypoints[0, 0] for v in views):
            raise ValueError("singular matrix")
        return fake_fit(body, views)

    with monkeypatch.context() as m:
        m.setattr(prepare_module, "fit_body", fails)
        report = prepare([first], tmp_path / "set")
    assert report["fitted"] == 2 and "ValueError: singular matrix" in report["left_out"]["first1.jpg"]
    assert prepare([second], tmp_path / "set", each=True)["fitted"] == 5  # the first have no each/ file: kept
    assert prepare([first, second], tmp_path / "set", each=True)["fitted"] == 6  # what failed is tried again
    assert len(list((tmp_path / "set/each").iterdir())) == 6


def test_photo_set_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fits.npz").write_bytes(b"nonsense")
    with pytest.raises(DinarError, match=r"fits\.npz: expected a photo set made by dinar fit"):
        load_fits(tmp_path)
    with pytest.raises(DinarError, match="no photo set at"):
        load_fits(tmp_path / "none")
    for argv in (["fit"], ["fit", "nix.jpg"], ["fit", "nix", "--frames", "4"], ["fit", "nix", "--frames", "1"]):
        with pytest.raises(SystemExit):
            main([*argv, *([] if argv == ["fit"] else ["-o", str(tmp_path / "o")])])
        err = capsys.readouterr().err.strip().splitlines()[-1]
        assert err.startswith("dinar: ") and ("expected" in err or "no video" in err)


def test_fit_command_on_a_real_photo(demo_photo: Path, pose_network: None, body: Body, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(demo_photo, photos / "me.jpg")
    (photos / "broken.jpg").write_bytes(demo_photo.read_bytes()[:3000])
    main(["fit", str(photos), "-o", str(tmp_path / "set"), "--masks", "--each"])
    report = json.loads((tmp_path / "set/report.json").read_text())
    D = np.load(tmp_path / "set/offsets/me.npy")
    assert D.shape == (body.num_vertices, 3) and D.dtype == np.float16 and 1e-3 < np.abs(D).max() < 0.3
    assert report["fitted"] == 1 and "damaged" in report["left_out"]["broken.jpg"]
    source: Source = Photos(photos, tmp_path / "set", size=256)
    v = source.views(0)
    a, b = v.alpha[0] > 127, v.raster(body).mask[0]
    assert (a & b).sum() / (a | b).sum() > 0.85  # in clothes
    inside = torch.stack([a.any(0).nonzero().aminmax().max, a.any(1).nonzero().aminmax().max])
    assert inside.max() < 256 * (0.5 + 0.5 / 1.2) + 2
    k = v.keypoints2d[0]  # type: ignore[index]
    assert a[k[k[:, 2] > 0.5][:, 1].long(), k[k[:, 2] > 0.5][:, 0].long()].float().mean() > 0.8
    (tmp_path / "set/masks/me.png").unlink()  # made again from the photo
    again = source.views(0)
    assert (again.alpha.int() - v.alpha.int()).abs().max() <= 2
    labelled = Photos(photos, tmp_path / "set", 64, parse=lambda rgb, kp: (np.ones(rgb.shape[:2]), rgb[..., 0] // 32))
    assert labelled.views(0).labels.max() > 0  # type: ignore[union-attr]
    assert len(v.labels.unique()) > 3  # type: ignore[union-attr]
    with np.load(tmp_path / "set/fits.npz") as z:
        cv2.imwrite(str(tmp_path / "set/labels/me.png"), np.full(z["size"][0], 5, np.uint8))
    assert set(source.views(0).labels.unique().tolist()) <= {0, 5}  # type: ignore[union-attr]
    with np.load(tmp_path / "set/each/me.npz") as z:
        assert set(z.files) == {"betas", "pose", "transl", "K", "T_cam_world", "size"}


def test_frames_of_people(fakes: None, tmp_path: Path) -> None:
    import imageio.v3 as iio

    root = tmp_path / "in"
    for d in ("anna/images", "anna/masks", "bob", "crowd/bad"):
        (root / d).mkdir(parents=True)
    for i in range(5):
        iio.imwrite(root / f"anna/images/{i}.png", np.full((20, 20, 3), i, np.uint8))
        iio.imwrite(root / f"anna/masks/{i}.png", np.full((20, 20), 255, np.uint8))
        iio.imwrite(root / f"crowd/bad/bad{i}.png", np.full((20, 20, 3), i, np.uint8))
    clip = np.linspace(0, 255, 12).astype(np.uint8)[:, None, None, None] + np.zeros((12, 64, 64, 3), np.uint8)
    iio.imwrite(root / "bob/bob.mp4", clip, plugin="FFMPEG", fps=10)
    (root / "bob/camera.pkl").write_bytes(pickle.dumps({"camera_f": np.array([700.0, 700])}, 2))
    clips = find_clips(root)
    assert [(c.name, c.source.name) for c in clips] == [("anna", "images"), ("bob", "bob.mp4"), ("crowd-bad", "bad")]
    shutil.copy(root / "bob/bob.mp4", root / "other.mp4")
    assert [c.name for c in find_clips(root / "other.mp4")] == ["other"]  # one video alone
    (root / "other.mp4").unlink()
    assert clips[0].masks == root / "anna/masks" and clips[1].camera == root / "bob/camera.pkl"
    pictures = list(read_frames(clips[1].source, 4, tmp_path))
    assert [n for n, _ in pictures] == ["00000", "00003", "00006", "00009"]
    for (_, p), k in zip(pictures, (0, 3, 6, 9), strict=True):
        assert abs(iio.imread(p).mean() - clip[k].mean()) < 8
    report = import_people(root, tmp_path / "set", frames=4, size=64)
    assert report["fitted"] == 2 and "no person found in bad0" in report["left_out"]["crowd-bad"]
    source = Folder(tmp_path / "set")
    assert source.names == ["anna", "bob"] and source.num_views(0) == 4
    assert source.views(1).view_names == ("00000", "00003", "00006", "00009")
    shutil.rmtree(root / "anna/images")  # finished people are not read again
    (root / "anna/images").mkdir()
    assert import_people(root, tmp_path / "set", frames=4, size=64)["fitted"] == 2
