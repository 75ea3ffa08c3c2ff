"""Hats with a shape of their own: their mesh, their fit to a parse, their texels and their file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.body import Body, load_body
from dinar.body.hair import hair_grid
from dinar.body.hat import EDGE_ROW, LINE_ROW, OUTSIDE, Form, hat_grid, seat, shape_hat
from dinar.body.shells import Shell, wear
from dinar.fit import hats
from dinar.fit.hats import BRIM, clear_hat, find_hat
from dinar.fit.offsets import Silhouette
from dinar.fit.shells import fit_shells
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh, vertex_normals
from dinar.scene.edges import unique_edges
from dinar.texture import gather, restore, shoot
from dinar.texture.texels import texels

LINE = 0.77


@pytest.fixture(scope="module")
def hatted() -> Body:
    return wear(load_body(), (Shell("hat", LINE),))


def formed(worn: Body, form: Form) -> torch.Tensor:
    """Offsets [V, 3] by which the template's hat has this form."""
    D, grid, body = torch.zeros(worn.num_vertices, 3), hat_grid(worn), load_body()
    D[grid] = torch.from_numpy(shape_hat(seat(body, body.v_template.numpy()), form)).float() - worn.v_template[grid]
    return D


def photo(form: Form | None, azimuth: float = 0) -> Silhouette:
    """A parse of the standing template with a hat; None: a cap without a brim."""
    body = load_body()
    shown = wear(body, (Shell("hat", LINE),)) if form else body
    pose = torch.zeros(body.num_joints, 3)
    v = shown(torch.zeros(1, 1), pose[None], offsets=formed(shown, form) if form else None).vertices[0]
    camera = orbit(v, azimuth, height=500, width=500)
    face = rasterize_mesh(v, shown.faces, camera).face[0].numpy()
    head = (shown.vertex_part == 0)[shown.faces].all(1)
    cap = head & (shown.v_template.numpy()[shown.faces][..., 1].min(1) > LINE)
    label = np.where(
        shown.of_segment("hat") if form else cap, LABEL["hat"], np.where(head, LABEL["face"], LABEL["upper"])
    )
    labels = np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8)
    return Silhouette(face >= 0, pose, torch.zeros(3), camera, labels=labels)


def test_a_hat_is_closed_and_the_same_on_both_sides(hatted: Body):
    body, v, grid = load_body(), hatted.v_template.numpy(), hat_grid(hatted)
    _, _, count = unique_edges(hatted.faces[hatted.of_segment("hat")])
    assert count.max() == 2 and len(hatted.faces) < 1.03 * len(body.faces)
    assert (hatted.mirror[hatted.mirror] == np.arange(len(v))).all()
    assert np.abs(v[hatted.mirror] * [-1, 1, 1] - v).max() < 1e-3
    assert (hatted.weights[grid.ravel(), body.joint("head")] == 1).all() and not hatted.chains
    n = vertex_normals(hatted.v_template[None], hatted.faces)[0].numpy()
    assert (n[grid[4]] * (v[grid[4]] - v[grid[0]].mean(0))).sum(1).min() > 0  # the crown's outside
    assert n[grid[EDGE_ROW - 1], 1].min() > 0.9 and n[grid[EDGE_ROW + 2], 1].max() < -0.9  # the brim, above and below


def test_a_hat_takes_texels_of_the_scalp_alone(hatted: Body):
    body = load_body()
    t, old = texels(hatted.atlas, 256), texels(body.atlas, 256)
    own = set(t.index[hatted.of_segment("hat")[t.face]])
    head = body.atlas.island_names.index("head")
    assert len(own) > 1200 and len(t.index) > 0.72 * 256**2
    assert len(own & set(old.index[body.atlas.island[old.face] == head])) > 0.98 * len(own)
    both = wear(body, (Shell("hair", 0.35), Shell("hat", LINE)))  # the hat's are not the hair's
    t = texels(both.atlas, 256)
    assert len(own & set(t.index[both.of_segment("hat")[t.face]])) > 0.97 * len(own)


@pytest.mark.parametrize("form", [Form(brim=0.08), Form(line=0.05, pitch=24, brim=0.07), Form(top=0.16, brim=0.04)])
def test_the_fit_finds_the_form(form: Form):
    found = find_hat(load_body(), torch.zeros(1), [photo(form), photo(form, 60)])
    assert found and abs(found.brim - form.brim) < 0.02 and abs(found.pitch - form.pitch) < 10
    assert abs(found.line + found.top - form.line - form.top) < 0.02


def test_only_brims_get_a_shape_of_their_own():
    body = load_body()
    assert fit_shells(body, torch.zeros(1), [photo(None)])[0] is body
    assert find_hat(body, torch.zeros(1), [photo(Form(brim=BRIM / 4))]) is None
    s = photo(Form(brim=0.08))
    assert s.labels is not None
    worn, form = fit_shells(body, torch.zeros(1), [s])
    assert [x.kind for x in worn.shells] == ["hat"] and np.abs(form[hat_grid(worn)]).max() < 0.06
    few = np.where((s.labels == LABEL["hat"]) & (np.arange(500)[None] > 235), 0, s.labels)  # most of it is not there
    assert find_hat(body, torch.zeros(1), [replace(s, labels=few)]) is None


def test_a_crown_that_is_wider_than_heads_is_fur(monkeypatch: pytest.MonkeyPatch):
    s = photo(Form(brim=0.08, loose=0.03))
    found = find_hat(load_body(), torch.zeros(1), [s])
    assert found
    across = seat(load_body(), load_body().v_template.numpy()).radii[0]
    wider = (across + found.loose) * found.taper - across
    assert wider < hats.FUR < 0.062
    monkeypatch.setattr(hats, "FUR", wider - 0.001)
    assert find_hat(load_body(), torch.zeros(1), [s]) is None


def test_head_and_hair_stay_inside_the_crown():
    body = load_body()
    worn = wear(body, (Shell("hair", 0.35), Shell("hat", LINE)))
    form = formed(worn, Form()).numpy()
    out = form.copy()
    out[hair_grid(worn)[:5]] += [0, 0.06, 0]  # full hair
    v = worn.v_template.numpy() + clear_hat(worn, torch.zeros(1), form, out)
    grid = hat_grid(worn)
    line = v[grid[LINE_ROW]]
    head = (worn.vertex_part == 0) & ~np.isin(np.arange(len(v)), grid) & (v[:, 1] > line[:, 1].mean())
    across, deep = (np.abs(line[:, k] - line[:, k].mean()).max() for k in (0, 2))
    q = v[head] - line.mean(0)
    assert ((q[:, 0] / across) ** 2 + (q[:, 2] / deep) ** 2).max() < 1 and v[head, 1].max() < v[grid[0, 0], 1]


def test_no_head_comes_through_a_crown_that_is_narrow_and_aslant(hatted: Body):
    """The columns of an oval crown are not at even angles, and those of a tilted one not at even heights."""
    form = formed(hatted, Form()).numpy()
    out, grid = form.copy(), hat_grid(hatted)
    v = hatted.v_template.numpy() + form
    middle = v[grid[LINE_ROW]].mean(0)
    out[grid, 0] -= 0.15 * (v[grid, 0] - middle[0])
    out[grid, 1] += 0.3 * (v[grid, 0] - middle[0])
    v = torch.from_numpy(hatted.v_template.numpy() + clear_hat(hatted, torch.zeros(1), form, out))
    crown = hatted.faces[np.isin(hatted.faces, grid[:LINE_ROW]).all(1)]
    for azimuth in range(0, 360, 45):
        camera = orbit(v, azimuth, height=900, width=900)
        face = rasterize_mesh(v, hatted.faces, camera).face[0].numpy()
        on = rasterize_mesh(v, crown, camera).mask[0].numpy()
        assert on.sum() > 1000 and (hatted.of_segment("hat")[face[on]]).mean() > 0.999


def test_the_inside_of_a_hat_goes_with_its_outside(hatted: Body):
    form, grid = formed(hatted, Form()).numpy(), hat_grid(hatted)
    out = form.copy()
    out[grid[:OUTSIDE]] += [0, 0, 0.02]
    moved = clear_hat(hatted, torch.zeros(1), form, out) - form
    np.testing.assert_allclose(
        moved[grid[OUTSIDE:]], np.broadcast_to([0, 0, 0.02], moved[grid[OUTSIDE:]].shape), atol=1e-5
    )


def test_the_back_of_a_hat_is_like_its_front_at_each_height(hatted: Body):
    """With a band; hair that the hat's texels show does not count."""
    t = texels(hatted.atlas, 512)
    x, hat = t.sample(hatted.v_template.numpy(), hatted.faces), hatted.of_segment("hat")[t.face]
    band = hat & (np.abs(x[:, 1] - 0.79) < 0.02)
    colour = np.where(band[:, None], [0.8, 0.1, 0.1], np.where(hat[:, None], [0.1, 0.1, 0.6], [0.8, 0.6, 0.5]))
    worn = np.where(hat, LABEL["hat"], LABEL["skin"])
    wrong = hat & (np.abs(x[:, 0]) > 0.05)  # the photo shows hair there
    colour[wrong], worn[wrong] = [0.9, 0.9, 0.1], LABEL["hair"]
    seen = x[:, 2] > 0.05
    rgb, lam, classes = (
        np.zeros((512 * 512, 3), np.float32),
        np.zeros(512 * 512, np.float32),
        np.zeros(512 * 512, np.uint8),
    )
    rgb[t.index], lam[t.index], classes[t.index] = colour * seen[:, None], seen, worn * seen
    shape = lambda a: a.reshape(512, 512, *a.shape[1:])  # noqa: E731
    out = restore(hatted, shape(rgb), shape(lam), shape(classes)).reshape(-1, 3)[t.index]
    behind = hat & (x[:, 2] < 0)
    for where, expected in (
        (behind & (np.abs(x[:, 1] - 0.79) < 0.01), [0.8, 0.1, 0.1]),
        (behind & (x[:, 1] > 0.83), [0.1, 0.1, 0.6]),
    ):
        assert where.sum() > 50 and np.abs(np.median(out[where], 0) - expected).max() < 0.2
    assert np.abs(out[hat] - [0.9, 0.9, 0.1]).max(1).min() > 0.2


def test_a_brim_seen_from_below_has_the_colours_of_its_underside(hatted: Body):
    """It is lifted in front, so that nothing else of the hat is seen."""
    v = hatted(
        torch.zeros(1, 1), torch.zeros(1, hatted.num_joints, 3), offsets=formed(hatted, Form(pitch=40, top=0.05))
    )
    camera = orbit(v.vertices[0], 0, height=500, width=500)
    f = rasterize_mesh(v.vertices[0], hatted.faces, camera)
    hat = hatted.of_segment("hat")
    on = (f.face[0].numpy() >= 0) & hat[f.face[0].numpy().clip(0)]
    rgb = np.where(on[..., None], [0.8, 0.7, 0.3], [0.1, 0.1, 0.1]).astype(np.float32)
    t = texels(hatted.atlas, 256)
    colour, lam, _ = gather(hatted, shoot(hatted, v.vertices[0], camera, rgb, f.mask[0].numpy()), t)
    shown = hat[t.face] & (lam > 0)
    assert shown.sum() > 150 and np.abs(np.median(colour[shown], 0) - [0.8, 0.7, 0.3]).max() < 0.02


def test_a_file_keeps_the_hat(hatted: Body, tmp_path: Path):
    zero = np.zeros((64, 64), np.uint8)
    a = Avatar(hatted, torch.zeros(hatted.num_betas), formed(hatted, Form(brim=0.1)), np.stack([zero] * 3, -1), zero,
               torch.zeros(hatted.num_joints, 3), torch.zeros(3), orbit(hatted.v_template, 0), {})  # fmt: skip
    a.save(tmp_path / "a.avatar")
    b = Avatar.load(tmp_path / "a.avatar")
    assert b.body.shells == hatted.shells and torch.allclose(a.vertices(), b.vertices(), atol=1e-3)
