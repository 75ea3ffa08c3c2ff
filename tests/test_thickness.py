"""How thick hair and cloth are where no outline tells."""

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dinar.body import load_body
from dinar.body.body import PARTS
from dinar.body.regions import regions
from dinar.body.shells import Shell, wear
from dinar.fit.clothing import UNSEEN, vertex_classes
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.thickness import everywhere, thickness
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh


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


def test_hair_is_thick_and_backs_are(seen, classes):
    body = seen[0]
    normals = np.tile(np.array([0, 0, -1.0]), (body.num_vertices, 1))
    t, r = thickness(body, classes, normals), regions(body)
    assert t[behind(body, "torso")].max() == pytest.approx(0.009)
    assert t[behind(body, "head") & r.crown].max() == pytest.approx(0.014)
    assert t[r.auricles].max() == 0 and t[r.face].max() == 0
    assert t[[p.endswith(("arm", "hand", "leg", "foot")) for p in np.array(PARTS)[body.vertex_part]]].max() == 0
    x = body.v_template.numpy()
    near = KDTree(x[r.auricles]).query(x)[0]
    above = (near > 0.03) & (near < 0.04) & r.crown & (classes == LABEL["hair"])
    assert 0.004 < t[above].mean() < 0.01  # hair is thin beside ears
    assert thickness(body, classes, -normals)[behind(body, "torso")].max() == 0  # chests are as they are
    dressed = wear(body, (Shell("hair", 0.2),))
    own = np.append(classes, LABEL["hair"])[np.minimum(dressed.numbers, len(classes))]  # under a shell of hair
    assert thickness(dressed, own, np.tile(normals[:1], (len(own), 1))).max() == pytest.approx(0.009)


def test_heads_and_backs_are_thicker_where_no_outline_tells(seen):
    body, camera, mask, labels = seen
    betas, pose = torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3)
    fit = lambda x: fit_offsets(body, betas, [Silhouette(mask, pose, torch.zeros(3), camera, labels=x)])  # noqa: E731
    skin = np.where(mask, LABEL["skin"], 0).astype(np.uint8)
    further = fit(skin)[:, 2] - fit(labels)[:, 2]  # metres backwards
    z = body.v_template[:, 2].numpy()
    head = behind(body, "head") & regions(body).crown
    assert 0.004 < further[head & (z < np.quantile(z[head], 0.2))].mean() < 0.009
    assert 0.003 < further[behind(body, "torso")].mean() < 0.012
    assert np.abs(further[regions(body).face_centre]).mean() < 0.002
