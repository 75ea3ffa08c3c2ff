"""How thick hair and cloth are where no outline tells."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dinar.body import load_body
from dinar.body.body import PARTS
from dinar.body.regions import regions
from dinar.body.shells import Shell, wear
from dinar.body.skirt import TOP
from dinar.fit.clothing import UNSEEN, vertex_classes
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.thickness import everywhere, thickness
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh, vertex_normals


@pytest.fixture(scope="module")
def seen():
    """A body from the front, its camera, mask and labels: hair on the skull, a shirt, and trousers."""
    body = load_body()
    v = body.v_template
    camera = orbit(v, 0, 0, 400, 400)
    f = rasterize_mesh(v, body.faces, camera)
    r, part = regions(body), body.vertex_part
    own = np.full(len(v), LABEL["upper"])
    own[[PARTS[p].endswith(("leg", "foot")) for p in part]] = LABEL["lower"]
    own[part == PARTS.index("head")] = LABEL["face"]
    own[r.skull & ~r.face & ~r.auricles] = LABEL["hair"]
    own[r.auricles] = LABEL["skin"]
    mask, nearest = f.mask[0].numpy(), body.faces[f.face[0].numpy().clip(0)][..., 0]
    return body, camera, mask, np.where(mask, own[nearest], 0).astype(np.uint8)


@pytest.fixture(scope="module")
def classes(seen):
    body, camera, _, labels = seen
    return vertex_classes(body, body.v_template, camera, labels)


def behind(body, part):
    z = body.v_template[:, 2].numpy()
    return (body.vertex_part == PARTS.index(part)) & (z < np.median(z[body.vertex_part == PARTS.index(part)]))


def test_what_is_not_seen_is_worn_as_in_front_and_on_the_skull(seen, classes):
    body = seen[0]
    worn, back = everywhere(body, classes), (classes == UNSEEN) & behind(body, "torso")
    assert back.sum() > 100 and (worn[back] == LABEL["upper"]).mean() > 0.9
    head = (classes == UNSEEN) & behind(body, "head")
    assert (worn[head] == LABEL["hair"]).all()
    assert (worn[classes != UNSEEN] == classes[classes != UNSEEN]).all()
    assert (everywhere(body, np.full_like(classes, UNSEEN)) == UNSEEN).all()


def test_hair_and_cloth_are_thick_and_faces_are_not(seen, classes):
    body = seen[0]
    t, r, part = thickness(body, classes), regions(body), np.array(PARTS)[body.vertex_part]
    assert t.shape == (body.num_vertices, 1 + 12)  # four modes of each kind of cloth
    assert 0.015 < t[behind(body, "torso"), 0].mean() < 0.025
    assert 0.01 < t[behind(body, "head") & r.crown, 0].mean() < 0.02
    assert 0.01 < t[part == "left_arm", 0].mean() < 0.02 < t[part == "left_leg", 0].mean() < 0.03
    assert not t[r.auricles].any() and not t[r.face].any()
    assert np.abs(t - t[body.mirror]).mean() < 0.0005  # classes differ at borders
    assert not thickness(body, np.full_like(classes, LABEL["skin"])).any()
    x = body.v_template.numpy()
    near = KDTree(x[r.auricles]).query(x)[0]
    above = (near > 0.03) & (near < 0.04) & r.crown & (classes == LABEL["hair"])
    away = (near > 0.06) & r.crown & (classes == LABEL["hair"])
    assert t[above, 0].mean() < 0.6 * t[away, 0].mean()  # hair is thin beside ears
    coat = thickness(body, np.where(classes == LABEL["upper"], LABEL["outer"], classes))
    assert coat[behind(body, "torso"), 0].mean() > t[behind(body, "torso"), 0].mean() + 0.006


def test_nothing_is_thicker_under_shells(seen, classes):
    body = seen[0]
    worn = lambda kind, hem: wear(body, (Shell(kind, hem),))  # noqa: E731
    of = lambda b: np.append(classes, LABEL["hair"])[np.minimum(b.numbers, len(classes))]  # noqa: E731
    y, leg = body.v_template[:, 1].numpy(), np.char.endswith(np.array(PARTS)[body.vertex_part], "leg")
    with_hair = worn("hair", 0.2)
    crown = np.isin(with_hair.numbers, np.flatnonzero(regions(body).crown))
    assert crown.sum() > 100 and not thickness(with_hair, of(with_hair))[crown].any()
    dressed = worn("coat", -0.5)
    own, t = dressed.numbers < body.num_vertices, thickness(dressed, of(dressed))
    assert not t[~own].any()
    t = dict(zip(dressed.numbers[own], t[own, 0], strict=True))
    usual = thickness(body, classes)[:, 0]
    covered, below, above = (
        leg & (y > -0.4) & (y < TOP),
        leg & (y < -0.6),
        (body.vertex_part == PARTS.index("torso")) & (y > 0.05),
    )
    assert not any(t.get(i, 0.0) for i in np.flatnonzero(covered))
    assert all(t[i] == usual[i] for i in np.flatnonzero(below | above) if i in t)
    waist = [i for i in np.flatnonzero((np.abs(y - TOP - 0.025) < 0.005) & (usual > 0.01)) if i in t and not leg[i]]
    assert len(waist) and 0.4 < np.mean([t[i] / usual[i] for i in waist]) < 0.6


def test_other_bodies_are_as_thick_as_the_parts_of_the_default_one(seen, classes):
    body = seen[0]
    known, t = thickness(body, classes), thickness(replace(body, name="another"), classes)
    arm = body.vertex_part == PARTS.index("left_arm")
    assert t[arm, 0].std() < 1e-6 and abs(t[arm, 0].mean() - known[arm, 0].mean()) < 0.002


def test_an_outline_tells_how_thick_a_shirt_is_behind(seen):
    body, camera, mask, labels = seen
    normal = vertex_normals(body.v_template[None], body.faces)[0][:, 2].numpy()
    back = (body.vertex_part == PARTS.index("torso")) & (normal < -0.9)  # which the outline does not touch

    def thick(pixels: int) -> float:
        wide = cv2.dilate((labels == LABEL["upper"]).astype(np.uint8), np.ones((1, 2 * pixels + 1), np.uint8)) > 0
        own = np.where(wide & (labels == 0), LABEL["upper"], labels).astype(np.uint8)
        s = Silhouette(wide | mask, torch.zeros(body.num_joints, 3), torch.zeros(3), camera, labels=own)
        return -float(fit_offsets(body, torch.zeros(body.num_betas), [s])[back, 2].mean())

    assert thick(8) - thick(0) > 0.032  # .0285 without modes


def test_heads_and_backs_are_thicker_where_no_outline_tells(seen):
    body, camera, mask, labels = seen
    betas, pose = torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3)
    fit = lambda x: fit_offsets(body, betas, [Silhouette(mask, pose, torch.zeros(3), camera, labels=x)])  # noqa: E731
    skin = np.where(mask, LABEL["skin"], 0).astype(np.uint8)
    further = fit(skin)[:, 2] - fit(labels)[:, 2]  # metres backwards
    z = body.v_template[:, 2].numpy()
    head = behind(body, "head") & regions(body).crown
    assert 0.004 < further[head & (z < np.quantile(z[head], 0.2))].mean() < 0.009
    assert 0.001 < further[behind(body, "torso")].mean() < 0.012  # less than usual: the outline is thin
    assert np.abs(further[regions(body).face_centre]).mean() < 0.002


def test_the_script_finds_mean_and_modes_of_heights_that_are_known_in_part():
    path = Path(__file__).parents[1] / "scripts" / "build_thickness.py"
    spec = importlib.util.spec_from_file_location("build_thickness", path)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = np.random.default_rng(0)
    mean, modes = rng.uniform(0.01, 0.03, 80), rng.normal(0, 0.008, (80, 2))
    y = mean + rng.normal(0, 1, (400, 2)) @ modes.T + rng.normal(0, 0.001, (400, 80))
    found, W, left = script.factors(y, rng.random(y.shape) < 0.7, 2)
    assert np.abs(found - mean).max() < 0.002 and 0.0008 < left < 0.0013
    assert np.abs(W @ W.T - modes @ modes.T).max() < 0.2 * (modes @ modes.T).max()
    assert script.factors(y, np.ones_like(y), 0)[2] == pytest.approx(np.sqrt(y.var(0).mean()))
