"""Generated people: they agree with scene/ and body/, follow their seed, and an export goes on where it was stopped."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import load_body
from dinar.data.folder import Folder
from dinar.errors import DinarError
from dinar.labels import LABEL
from dinar.scene import vertex_normals
from dinar.synthetic.base.nearest import nearest
from dinar.synthetic.base.surfaces import load_surfaces, loop_subdivision, normals_of
from dinar.synthetic.export import contact_sheet, synthesize
from dinar.synthetic.garments.drape import hang_up, settle
from dinar.synthetic.garments.dress import hem_snap
from dinar.synthetic.garments.garments import Spec
from dinar.synthetic.render.render import render
from dinar.synthetic.source import Synthetic
from dinar.views import project


@pytest.fixture(scope="module")
def source() -> Synthetic:
    return Synthetic(seed=2, size=144, views_per_person=3)


@pytest.fixture(scope="module")
def views(source):
    return source.views(1).check()


def test_same_seed_same_person(source, views):
    again = Synthetic(seed=2, size=144, views_per_person=3).views(1, [2, 0])
    assert views.labels is not None and again.labels is not None and views.params is not None
    assert again.params is not None
    for k, b in ((2, 0), (0, 1)):
        assert torch.equal(views.rgb[k], again.rgb[b]) and torch.equal(views.labels[k], again.labels[b])
        assert torch.equal(views.params.pose[k], again.params.pose[b])
    other = source.views(0, [0])
    assert not torch.equal(other.rgb[0], views.rgb[0]) and other.name != views.name


def test_agrees_with_scene_and_body(views):
    """Where skin shows, depth and normals are those of the body's raster; elsewhere cloth and hair are nearer."""
    body = load_body()
    raster = views.raster(body)
    skin = ((views.labels == LABEL["skin"]) | (views.labels == LABEL["face"])) & raster.mask
    assert int(skin.sum()) > 300
    gap = (raster.fragments.depth - views.depth)[skin]
    pixel = float(views.depth[views.depth > 0].mean()) / float(views.K[0, 0, 0])  # a quarter of it lies between them
    assert float(gap.abs().median()) < 0.4 * pixel and float((gap.abs() < 0.012).float().mean()) > 0.9  # edges differ
    person = (views.labels > 0) & raster.mask & ~skin
    assert float(((raster.fragments.depth - views.depth)[person] > -0.02).float().mean()) > 0.95
    inside = raster.mask & (views.alpha < 128)  # the body is inside of the clothed person
    assert float(inside.sum() / raster.mask.sum()) < 0.02


def test_keypoints_and_labels(views):
    body = load_body()
    keypoints = body.keypoints(views.params.posed(body))
    xy, _ = project(keypoints, views.K, views.T_cam_world)
    torch.testing.assert_close(views.keypoints2d[..., :2], xy)
    torch.testing.assert_close(views.keypoints3d, keypoints)
    assert float(((views.labels > 0) != (views.alpha >= 128)).float().mean()) < 1e-3
    assert {LABEL["face"], LABEL["shoes"]} <= set(views.labels.unique().tolist())
    assert float(views.fitted.pose.sub(views.params.pose).abs().max()) > 0.01


def test_fits_are_wrong_in_depth_but_lie_over_the_picture(views):
    """As fits of photos do: they are made to agree with keypoints, which tell nothing of depth."""
    body = load_body()
    main = [j for j, name in enumerate(body.joint_names) if not name[-1].isdigit()]
    true, wrong = (p.posed(body).joints[:, main] for p in (views.params, views.fitted))
    (a, near), (b, far) = (project(x, views.K, views.T_cam_world) for x in (true, wrong))
    height = (a[..., 1].amax(1) - a[..., 1].amin(1))[:, None]
    assert 0.002 < float(((a - b).norm(dim=-1) / height).mean()) < 0.02
    metres = (true[..., 1].amax(1) - true[..., 1].amin(1))[:, None]
    assert float(((near - far).abs() / metres).mean()) > 0.02


def test_export_goes_on_where_it_was_stopped(tmp_path):
    small = Synthetic(seed=4, size=48, views_per_person=1)

    def digest(folder: Path) -> dict[str, str]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert synthesize(small, tmp_path / "a", 2) == 2
    assert synthesize(small, tmp_path / "b", 1) == 1
    assert synthesize(small, tmp_path / "b", 2) == 1
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert Folder(tmp_path / "a").views(0).name == "4-000000"
    with pytest.raises(DinarError, match="another set"):
        synthesize(Synthetic(seed=5, size=48, views_per_person=1), tmp_path / "a", 1)
    contact_sheet(small, tmp_path / "sheet.png", people=1, tile=48, columns=1)
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_skin_that_pokes_through_is_found(source, monkeypatch):
    """None as made; plenty when the body swells by two centimetres inside its clothes."""

    def share() -> float:
        shots, *_ = source.shots(1, [0])
        return int(shots[0].poked.sum()) / int((shots[0].alpha > 0.5).sum())

    assert share() <= 5e-4

    def swollen(figure, standing, *more):
        body = [l.name for l in figure.layers].index("body")
        n = torch.zeros(len(figure.rest), 1)
        n[figure.faces[figure.face_layer == body]] = 0.02
        standing.vertices = standing.vertices + n * vertex_normals(standing.vertices, figure.faces)
        return render(figure, standing, *more)

    monkeypatch.setattr("dinar.synthetic.source.render", swollen)
    assert share() > 3e-3


def test_cloth_hangs_outside_and_does_not_stretch():
    """Skirts and coats over a sitting body: outside of the legs, as long as they were cut."""
    s = load_surfaces()
    body = s.body
    pose = torch.zeros(2, body.num_joints, 3)
    for side in ("left", "right"):
        pose[1, body.joint(f"{side}_hip"), 0], pose[1, body.joint(f"{side}_knee"), 0] = -1.5, 1.5
    tights = s.tights.refine @ s.helper_template[s.tights.coarse]
    spec = Spec("skirt", LABEL["skirt"], None, {"hem": -0.5, "waist": 0.1, "fit": 0.005, "flare": 0.1}, 3, "skirt")
    drape = hang_up(spec, s, body.v_template, body.j_template, tights, normals_of(s.tights, tights), tights[:, 0] * 0)
    A, joints = body.skinning(body.j_template.expand(2, -1, -1), pose)
    fine, sheet = settle(drape, s, A, joints)
    R, C = drape.rest.shape[:2]
    grid = sheet.points.view(2, R, C, 3)
    length = (grid[:, 1:] - grid[:, :-1]).norm(dim=-1).sum(1)
    cut = (drape.rest[1:] - drape.rest[:-1]).norm(dim=-1).sum(0)
    assert float((length / cut).max()) < 1.15 and float((length / cut).mean()) > 0.9
    M = torch.einsum("vj,bjk->bvk", s.tights.weights, A[:, :, :3].flatten(2)).unflatten(2, (3, 4))
    legs = (M[..., :3] @ tights[..., None])[..., 0] + M[..., 3]
    normals = vertex_normals(legs, s.tights.faces)
    for b in range(2):
        k = nearest(fine[b], legs[b])
        off = ((fine[b] - legs[b, k]) * normals[b, k]).sum(1)
        assert float((off > 0).float().mean()) > (0.995, 0.95)[b] and float(off.min()) > -0.04  # the lap's crease


def test_nearest_is_what_the_matrix_of_distances_says():
    g = torch.Generator().manual_seed(0)
    x, p = torch.rand(2, 50, 3, generator=g), torch.rand(2, 70, 3, generator=g)
    assert torch.equal(nearest(x, p), torch.cdist(x, p).argmin(-1))


def test_subdivision_keeps_planes_and_borders():
    faces = np.array([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1]])
    rows, fine = loop_subdivision(faces, 5)
    assert rows.shape == (5 + 8, 5) and len(fine) == 16
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    flat = rows @ np.array([[0, 0, 7], [1, 0, 7], [0, 1, 7], [-1, 0, 7], [0, -1, 7.0]])
    np.testing.assert_allclose(flat[:, 2], 7, atol=1e-5)


def test_hems_are_cut_where_they_should_be():
    s = load_surfaces().tights
    cut = s.p[:, 1] - 0.05
    faces, (i, j, t) = hem_snap(cut, s.faces)
    moved = cut[i] * (1 - t) + cut[j] * t
    assert float(moved.abs().max()) < 1e-5 and bool((cut[faces] > 0).any(1).all())
