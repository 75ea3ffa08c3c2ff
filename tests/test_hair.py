"""Hair with a shape of its own: its mesh, its fit to a parse, its texels and its file."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from dinar.body import Body, load_body
from dinar.body.body import PARTS
from dinar.body.comb import CAP, CLOSED, HANGING, SHOULDER
from dinar.body.hair import COLUMNS, ROWS, Shaped, Style, comb, hair_grid, with_inside
from dinar.body.shells import Shell, wear
from dinar.fit.hair import find_style
from dinar.fit.offsets import Silhouette
from dinar.fit.shells import finish, fit_shells
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize, rasterize_mesh, vertex_normals
from dinar.scene.edges import unique_edges
from dinar.texture.texels import texels

ENDS = 0.35


@pytest.fixture(scope="module")
def haired() -> Body:
    return wear(load_body(), (Shell("hair", ENDS),))


def is_hair(body: Body) -> np.ndarray:
    return body.segment == body.segment_names.index("hair")


def test_hair_is_closed_and_the_same_on_both_sides(haired: Body):
    body, v = load_body(), haired.v_template.numpy()
    _, _, count = unique_edges(haired.faces[is_hair(haired)])
    assert count.max() == 2 and len(haired.faces) < 1.1 * len(body.faces)
    assert (haired.mirror[haired.mirror] == np.arange(len(v))).all()
    assert np.abs(v[haired.mirror] * [-1, 1, 1] - v).max() < 1e-3
    assert torch.allclose(haired.weights.sum(1), torch.ones(len(v)), atol=1e-5)
    assert not haired.chains and haired.rig is None  # it does not swing with the legs
    grid = hair_grid(haired)
    assert v[grid[ROWS - 1], 1].max() < ENDS + 0.02 and v[grid[0], 1].min() > v[:, 1].max() - 0.03


def test_hair_takes_the_texels_of_scalp_and_nape(haired: Body):
    body = load_body()
    t, old = texels(haired.atlas, 256), texels(body.atlas, 256)
    own = set(t.index[is_hair(haired)[t.face]])
    head = body.atlas.island_names.index("head")
    assert len(own) > 4000 and len(t.index) > 0.72 * 256**2
    assert len(own & set(old.index[body.atlas.island[old.face] == head])) > 0.99 * len(own)
    rest = lambda a, t: set(t.index[~np.isin(a.island[t.face], [head, len(body.atlas.island_names)])])  # noqa: E731
    assert rest(haired.atlas, t) == rest(body.atlas, old)


def photo(body: Body, style: Style | None, azimuth: float = 0) -> Silhouette:
    """A parse of the standing template with hair of a style; None: short hair."""
    worn = wear(body, (Shell("hair", ENDS),))
    pose = torch.zeros(body.num_joints, 3)
    D, grid, shaped = torch.zeros(worn.num_vertices, 3), hair_grid(worn), Shaped(body, body.v_template.numpy())
    if style:
        D[grid] = torch.from_numpy(with_inside(comb(shaped, style), shaped.centre)).float() - worn.v_template[grid]
    shown = worn if style else body
    v = shown(torch.zeros(1, 1), pose[None], offsets=D if style else None).vertices[0]
    camera = orbit(v, azimuth, height=500, width=500)
    face = rasterize_mesh(v, shown.faces, camera).face[0].numpy()
    head = (shown.vertex_part == 0)[shown.faces].all(1)
    crown = head & (shown.v_template.numpy()[shown.faces][..., 1].min(1) > 0.79)
    hair = is_hair(worn) if style else crown
    label = np.where(hair, LABEL["hair"], np.where(head, LABEL["face"], LABEL["upper"]))
    labels = np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8)
    return Silhouette(face >= 0, pose, torch.zeros(3), camera, labels=labels)


def test_the_fit_finds_ends_and_volume():
    body = load_body()
    true = Style(top=0.05, side=(0.06, 0.06), behind=0.4, front=(0.4, 0.5), before=(True, False))
    found = find_style(body, torch.zeros(1), [photo(body, true)])
    assert found and found.before == true.before
    assert abs(found.front[0] - 0.4) < 0.05 and abs(found.top - 0.05) < 0.015 and abs(found.side[0] - 0.06) < 0.025


def test_only_hair_below_the_chin_gets_a_shape_of_its_own():
    body = load_body()
    assert fit_shells(body, torch.zeros(1), [photo(body, None)])[0] is body
    long = photo(body, Style(behind=0.38, front=(0.38, 0.38), before=(True, True)))
    assert [x.kind for x in fit_shells(body, torch.zeros(1), [long], hair=False)[0].shells] == ["hair"]
    s = photo(body, Style(behind=0.48, front=(0.48, 0.48), before=(True, True)))
    assert [x.kind for x in fit_shells(body, torch.zeros(1), [s])[0].shells] == ["hair"]
    assert s.labels is not None
    assert fit_shells(body, torch.zeros(1), [s], hair=False)[0] is body  # it does not reach the chest
    scarf = np.where(s.labels == LABEL["hair"], LABEL["accessory"], s.labels)
    assert fit_shells(body, torch.zeros(1), [replace(s, labels=scarf)])[0] is body


def test_hair_lies_on_clothes(haired: Body):
    body, D = load_body(), np.zeros((haired.num_vertices, 3), np.float32)
    back = (haired.vertex_part == 1) & (haired.v_template[:, 2].numpy() < 0)
    D[back, 2] = -0.06  # a thick coat
    out = finish(haired, body, torch.zeros(1), np.zeros_like(D), D)
    v = haired.v_template + torch.from_numpy(out)
    camera = orbit(v, 180, height=256, width=256)
    face = rasterize_mesh(v, haired.faces, camera).face[0].numpy()
    only = rasterize_mesh(v, haired.faces[is_hair(haired)], camera).face[0].numpy() >= 0
    shown = is_hair(haired)[face.clip(0)] & (face >= 0)
    assert (only & ~shown).sum() < 0.02 * only.sum()
    middle = hair_grid(haired)[:ROWS, COLUMNS // 2]
    assert (np.diff(v[middle, 1].numpy()) < 0).all()


def test_there_is_scalp_under_the_front_edge_of_hair(haired: Body):
    """Else one sees through between forehead and hair."""
    v, own = haired.v_template.numpy(), ~is_hair(haired)
    head = own & (haired.vertex_part[haired.faces] == PARTS.index("head")).all(1)
    assert v[haired.faces[head]][..., 1].max() > load_body().v_template[:, 1].max() - 0.02


def test_no_other_face_owns_the_texels_of_hair_and_both_halves_meet_on_the_forehead(haired: Body):
    """Faces of the scalp had some at the temples, and the middle of the cap's front lay beside the head's."""
    a, size = haired.atlas, 512
    outside = np.flatnonzero(is_hair(haired) & ~a.under[a.faces].any(1))
    xy = torch.from_numpy(a.uv * size)[None]
    alone = rasterize(xy, torch.ones_like(xy[..., 0]), a.faces[outside], size, size, perspective=False, cull="none")
    t, owner = texels(a, size), np.full(size * size, -1)
    owner[t.index] = t.face
    on = alone.face[0].numpy().reshape(-1) >= 0
    assert on.sum() > 15000 and is_hair(haired)[owner[on]].mean() > 0.998
    front = hair_grid(haired)[2:CLOSED, 0]
    assert np.abs(a.uv[np.isin(a.vertex, front), 0] - 0.5).max() < 0.002


def test_the_front_edge_of_hair_lies_on_the_skin(haired: Body):
    """Also where the head is wider than the template's, and beside it."""
    body, D = load_body(), np.zeros((haired.num_vertices, 3), np.float32)
    head = haired.vertex_part == PARTS.index("head")
    D[head] += [0.01, 0.01, 0.0]
    form = np.zeros_like(D)
    form[hair_grid(haired)] = [0.0, 0.012, 0.0]
    v = haired.v_template.numpy() + finish(haired, body, torch.zeros(1), form, D + form)
    grid, normals = hair_grid(haired), vertex_normals(torch.from_numpy(v)[None].float(), haired.faces)[0].numpy()
    skin = np.setdiff1d(np.unique(haired.faces[~is_hair(haired)]), np.flatnonzero(~head))
    edge = v[grid[CLOSED - 1 : len(CAP) - 1, [0, -1]].ravel()]
    near = skin[KDTree(v[skin]).query(edge)[1]]
    assert np.abs(((edge - v[near]) * normals[near]).sum(1)).max() < 0.004


def test_hair_on_the_trunk_leaves_the_arms_free():
    """However wide it is in the photo: arms move, and would come through."""
    body = load_body()
    shaped = Shaped(body, body.v_template.numpy())
    wide = np.full((2, HANGING), 0.12)
    for before in (True, False):
        grid = comb(shaped, Style(behind=0.3, front=(0.3, 0.3), before=(before, before), outer=wide))
        low = grid[..., 1] < shaped.height(SHOULDER)
        assert 0.12 < np.abs(grid[low][:, 0]).max() < 0.165
        assert np.abs(grid[~low][:, 0]).max() > 0.18
