"""Generated people: they agree with scene/ and body/, follow their seed, and an export goes on where it was stopped."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import load_body
from dinar.data.folder import Folder
from dinar.data.synthetic import Synthetic
from dinar.data.synthetic.dress import hem_snap
from dinar.data.synthetic.export import contact_sheet, synthesize
from dinar.data.synthetic.surfaces import load_surfaces, loop_subdivision
from dinar.data.views import project
from dinar.errors import DinarError
from dinar.fit.labels import LABEL


@pytest.fixture(scope="module")
def source() -> Synthetic:
    return Synthetic(seed=2, size=160, views_per_person=3)


@pytest.fixture(scope="module")
def views(source):
    return source.views(1).check()


def test_same_seed_same_person(source, views):
    again = Synthetic(seed=2, size=160, views_per_person=3).views(1, [2, 0])
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
    assert float(gap.abs().median()) < 0.002 and float((gap.abs() < 0.012).float().mean()) > 0.92  # edges differ
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


def test_export_goes_on_where_it_was_stopped(tmp_path):
    small = Synthetic(seed=4, size=48, views_per_person=1)

    def digest(folder: Path) -> dict[str, str]:
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    assert synthesize(small, tmp_path / "a", 2) == 2
    assert synthesize(small, tmp_path / "b", 1) == 1
    (tmp_path / "b" / ".4-000001~left").mkdir()  # what a killed run leaves behind
    assert synthesize(small, tmp_path / "b", 2) == 1
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    assert Folder(tmp_path / "a").views(0).name == "4-000000"
    with pytest.raises(DinarError, match="another set"):
        synthesize(Synthetic(seed=5, size=48, views_per_person=1), tmp_path / "a", 1)
    contact_sheet(small, tmp_path / "sheet.png", people=1, tile=48, columns=1)
    assert (tmp_path / "sheet.png").stat().st_size > 500


def test_no_skin_pokes_through(source):
    shots, *_ = source.shots(1, [0, 1, 2])
    poked, person = (sum(int(x.sum()) for x in a) for a in zip(*((s.poked, s.alpha > 0.5) for s in shots), strict=True))
    assert poked <= 0.004 * person


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


def test_bad_numbers_are_refused():
    with pytest.raises(DinarError, match="16 pixels"):
        Synthetic(size=4)
