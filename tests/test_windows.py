"""Training on windows: squares cut out of views that are drawn larger than the network's pictures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from dinar.body import Body
from dinar.body.shells import Shell, wear
from dinar.data.augment import flip
from dinar.nets.channels import SAMPLED
from dinar.neural.arrays import view_arrays
from dinar.neural.texture import Drawn, rasterize_texture
from dinar.neural.weights import load_networks
from dinar.train import looks as looks_module
from dinar.train import windows
from dinar.train.avatar import AvatarStage
from dinar.train.compression import CompressionStage
from dinar.train.looks import Looks, mesh
from dinar.train.people import People
from dinar.train.state import State
from dinar.train.windows import Window, draw, held_out, pair
from test_stages import SIZE, Few, shrink, tiny

HALF = SIZE // 2  # pixels a side of the network's pictures: those of the source are twice as large


@pytest.fixture(scope="module")
def source(body: Body) -> Few:
    return Few(body, 3, 3)


@pytest.fixture(scope="module")
def looks(source: Few) -> Looks:
    return Looks(People([source], size=HALF, holdout=1, bags=True))  # its labels are noise


def test_a_window_is_a_part_of_the_view(looks: Looks, source: Few, body: Body) -> None:
    (view,) = looks(0, 0, [1])
    v = source.views(0, [1])
    whole = view_arrays(v, body, SIZE)
    x = draw(view, Window(20, 12, 1, HALF), [(view, None)])
    part = {n: a[0, :, 12 : 12 + HALF, 20 : 20 + HALF] for n, a in whole.items() if a.ndim == 4}
    assert part["body_mask"].mean() > 0.15
    assert np.abs(x["uv"].astype(np.float32) - part["uv"]).max() < 1e-3
    for name in ("body_mask", "cover"):
        assert np.abs(x[name] / 255 - part[name]).max() < 3e-3
    assert np.array_equal(x["mask"], v.alpha.numpy()[:, 12 : 12 + HALF, 20 : 20 + HALF])


def test_windows_show_what_is_worn(source: Few, body: Body) -> None:
    """A skirt is part of the mesh of windows, as it is of whole views, mirrored or not."""
    shells = (Shell("skirt", -0.45),)
    worn = wear(body, shells)
    dressed = Few.__new__(Few)
    dressed.num_people, dressed.n = 3, 3
    wider = lambda v: dataclasses.replace(v.fit, offsets=torch.zeros(worn.num_vertices, 3), shells=shells)  # noqa: E731
    dressed.made = [dataclasses.replace(v, fitted=wider(v)) for v in source.made]
    (view,) = Looks(People([dressed], size=HALF, holdout=1))(0, 0, [1])
    assert len(mesh(view)[0]) == worn.num_vertices and len(mesh(view)[1]) == len(worn.faces)
    x = draw(view, Window(20, 12, 1, HALF), [(view, None)])
    v = dressed.views(0, [1])
    whole = view_arrays(v, body, SIZE)
    assert np.abs(x["uv"].astype(np.float32) - whole["uv"][0, :, 12 : 12 + HALF, 20 : 20 + HALF]).max() < 1e-3
    bare = view_arrays(source.views(0, [1]), body, SIZE)
    assert whole["body_mask"].sum() > 1.05 * bare["body_mask"].sum()  # the skirt is between the legs, too
    twice = flip(flip(v, body), body)
    assert torch.equal(twice.fit.offsets, v.fit.offsets) and twice.fit.shells == shells
    assert (view_arrays(flip(v, body), body, SIZE)["body_mask"][..., ::-1] != whole["body_mask"]).mean() < 0.01


def test_records_have_room_for_all_clothes(body: Body) -> None:
    for lower in (Shell("skirt", -0.85), Shell("skirt", -0.3), Shell("coat", -0.8)):
        worn = wear(body, (lower, Shell("hat", 0.77), Shell("hair", 0.1)))
        more = np.subtract((worn.num_vertices, len(worn.atlas.uv), len(worn.faces)),
                           (body.num_vertices, len(body.atlas.uv), len(body.faces)))  # fmt: skip
        assert (more < np.array(looks_module.SHELLS)).all()


def test_colours_are_as_sharp_as_the_picture(looks: Looks) -> None:
    """A view's own colours are found where they were, also in a window of twice the network's scale."""
    (view,) = looks(0, 1, [0])
    x = draw(view, Window(16, 10, 1, HALF), [(view, None)])
    on = x["seen"][3] > 0
    assert 0.05 < on.mean() < 1 and not (on & (x["body_mask"][0] == 0)).any()
    assert np.abs(x["seen"][:3][:, on].astype(int) - x["rgb"][:, on]).mean() < 2  # noise from pixel to pixel
    hidden = draw(view, Window(16, 10, 1, HALF), [(view, np.zeros((1, HALF, HALF), np.float32))])
    assert hidden["seen"].max() == 0
    (other,) = looks(0, 1, [1])
    both = draw(view, Window(16, 10, 1, HALF), [(other, None), (view, None)])["seen"][3] > 0
    assert (both & on == on).all() and both.sum() > on.sum()


def test_views_are_kept(source: Few, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = Looks(People([source], size=HALF, holdout=1))
    first = pair(looks, np.random.default_rng(5), 0.75, 1.0)
    asked = []
    monkeypatch.setattr(looks_module, "look", lambda *a: asked.append(a))
    again = pair(looks, np.random.default_rng(5), 0.75, 1.0)
    assert not asked and all(np.array_equal(a, again[n]) for n, a in first.items())


def test_windows_are_chosen(looks: Looks) -> None:
    (view,) = looks(0, 0, [0])
    rng, side = np.random.default_rng(0), view["picture"].shape[0]
    chosen = [windows.choose(view, HALF, rng, 0.75) for _ in range(200)]
    whole = [w for w in chosen if w.scale == HALF / side]
    assert 30 < len(whole) < 70 and all((w.x0, w.y0) == (0, 0) for w in whole)
    parts = [w for w in chosen if w.scale != HALF / side]
    low, high = (s * HALF / side for s in windows.SCALES)
    assert all(low <= w.scale <= min(high, windows.ENLARGED) for w in parts)
    assert all(0 <= w.x0 <= side - w.size / w.scale + 1e-6 for w in parts)
    head = view["parts"][:2].mean(0)
    near = np.mean([np.abs((head - [w.x0, w.y0]) * w.scale / HALF - 0.5).max() < 0.3 for w in parts])
    assert near > 0.15  # of all windows, PLACED * PARTS["head"] are around it


def test_the_mirror_of_a_sample(looks: Looks) -> None:
    x = pair(looks, np.random.default_rng(1), 1.0, 1.0)
    y = windows.mirrored(x)
    assert np.array_equal(y["out_seen"], x["out_seen"][..., ::-1])
    on = y["out_body_mask"] > 0
    assert np.allclose((x["out_uv"][:1, :, ::-1] + y["out_uv"][:1])[on], 1, atol=2e-3)
    back = windows.mirrored(y)
    assert set(back) == set(x) and all(np.allclose(back[n], x[n], atol=2e-3) for n in x)


def test_stages_learn_from_windows(source: Few, tmp_path: Path) -> None:
    before = shrink(tmp_path / "start")
    people = People([source], size=HALF, holdout=1)
    c = dataclasses.replace(tiny("avatar", windows=0.75, complete=0.5, ablated=0.0), size=HALF, crop=HALF)
    c = dataclasses.replace(c, losses=dataclasses.replace(c.losses, adversarial=0.0))
    stage = AvatarStage(c, people, before)
    assert CompressionStage.windowed is False and stage.looks is not None
    samples = [stage.sample(i, np.random.default_rng([0, i])) for i in range(2)]
    batch = {k: torch.stack([torch.from_numpy(s[k]) for s in samples]) for k in samples[0]}
    state = State(Accelerator(cpu=True), c.loop, stage)
    state.peaks = {"generator": [c.lr]}
    old = stage.modules["renderer"].head.weight.clone()  # type: ignore[union-attr,operator]
    assert stage.step(batch, state)["loss"].isfinite()
    assert not torch.equal(old, stage.modules["renderer"].head.weight)  # type: ignore[arg-type]
    assert stage.show({}, state)[0]["body_iou"] > 0.5
    stage.export({}, tmp_path / "out")
    assert load_networks(tmp_path / "out").largest == 4 * HALF
    x = held_out(stage.looks, 0)
    assert x["out_rgb"].shape == (3, HALF, HALF)


def test_drawn_colours_replace_those_of_the_texture() -> None:
    texture, uv = torch.zeros(1, 21, 8, 8), torch.rand(1, 2, 16, 16)
    rgb, known = torch.rand(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)
    known[..., :8] = 1
    out = rasterize_texture(texture, uv, torch.ones(1, 1, 16, 16), Drawn(rgb, known))
    assert torch.equal(out[:, SAMPLED], rgb * known) and torch.equal(out[:, -1:], known)
