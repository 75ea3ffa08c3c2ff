"""Unseen texels by regression: the fold, the condition, textures on disk, the stage, and the texture of an avatar."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.shells import Shell, wear
from dinar.cli import main
from dinar.create import CreateOptions
from dinar.data.textures import HIDDEN, open_textures, parts, sampled_textures, shown, view_textures
from dinar.data.textures import INPUTS as HOLED
from dinar.errors import DinarError
from dinar.labels import LABEL
from dinar.nets.presets import build
from dinar.nets.regressor import INPUTS, WORN, TextureRegressor
from dinar.neural import regression
from dinar.neural.condition import Geometry, geometry, surface_condition
from dinar.neural.regression import open_regressor, predictor
from dinar.studio import open_studio
from dinar.texture import restore
from dinar.texture.restore import _in_light, _with_detail, rules
from dinar.texture.surface import of_kind, opposite, surface
from dinar.texture.texels import texels
from dinar.train.presets import PRESETS
from dinar.train.regression import RegressionStage, task
from dinar.views import Views
from test_data import person
from test_stages import Few

S = 32


@pytest.fixture(scope="module")
def source(body: Body) -> Few:
    return Few(body, 3, 3)


def test_the_fold_is_the_other_side_at_the_same_height(body: Body) -> None:
    s = surface(body, 128)
    other = opposite(s)
    assert np.array_equal(s.part[other], s.part)
    torso = s.part == s.part[np.abs(s.x - [0, s.x[s.chart[:, 2] > 0, 1].mean(), 0]).sum(1).argmin()]
    near = np.abs(s.x[:, 0]) < 0.1
    x, y = s.x[torso & near], s.x[other[torso & near]]
    assert np.abs(x[:, :2] - y[:, :2]).max(1).mean() < 0.03  # metres
    assert (np.sign(x[:, 2] - x[:, 2].mean()) != np.sign(y[:, 2] - x[:, 2].mean())).mean() > 0.9
    again = np.linalg.norm(s.x[other[other]] - s.x, axis=1)
    assert np.median(again) < 0.02


def test_the_condition_holds_the_texture_and_its_other_sides(body: Body) -> None:
    g = geometry(body, S)
    torch.manual_seed(0)
    rgb, worn = torch.rand(2, 3, S, S), torch.randint(1, 1 + WORN, (2, 1, S, S))
    lam = (torch.rand(2, 1, S, S) - 0.5).clamp(min=0) * g.inside
    guess = torch.rand(2, 3, S, S)
    told = surface_condition(g, rgb, lam, worn, guess)
    assert torch.allclose(told[:, -3:], guess - 0.5) and told.shape == (2, INPUTS, S, S)
    seen = lam > 0
    mirrored = torch.where(seen.flip(-1), rgb.flip(-1), 0.5)
    assert torch.allclose(told[:, 5 + WORN : 8 + WORN] + 0.5, mirrored, atol=1e-6)
    folded = g.fold(told[:, : 5 + WORN])
    assert torch.equal(told[:, 2 * (5 + WORN) : 3 * (5 + WORN)], folded)
    k = int(worn[0, 0][seen[0, 0]][0])
    assert torch.equal(told[0, 4 + k] > 0, (worn[0, 0] == k) & seen[0, 0])


def test_textures_are_sampled_once_and_grow(source: Few, body: Body, tmp_path: Path) -> None:
    made: list[int] = []
    few = sampled_textures(source, body, S, tmp_path, people=2, progress=lambda done, _: made.append(done))
    first = few.rgb.copy()
    grown = sampled_textures(source, body, S, tmp_path, progress=lambda done, _: made.append(done))
    assert made == [1, 2, 3] and len(grown) == 3 and np.array_equal(grown.rgb[:2], first)
    assert ((grown.lam > 0) >= (grown.worn > 0)).all() and (grown.worn > 0).any() and np.isfinite(grown.front).all()
    v = source.made[0]
    assert v.labels is not None
    all_bag = dataclasses.replace(v, labels=torch.full_like(v.labels, LABEL["bag"]))
    assert view_textures(v, body, S)["lam"].any() and not view_textures(all_bag, body, S)["lam"].any()
    x = task(grown, 0, 1)
    assert {k: a.shape[0] for k, a in x.items()} == {"guess": 3, "rgb": 3, "lam": 1, "worn": 1, "truth": 3, "known": 1,
                                                     "worn_truth": 1, "position": 3, "folded": S * S}  # fmt: skip
    assert (x["known"] >= (x["lam"] > 0)).all() and x["known"].sum() > (x["lam"] > 0).sum()
    again = rules(body, x["rgb"].transpose(1, 2, 0), x["lam"][0], x["worn"][0].astype(np.uint8) if x["worn"].any()
                  else None)  # fmt: skip
    assert np.abs(again.transpose(2, 0, 1) - x["guess"]).max() < 0.01
    parsed = [shown(np.ones((4, 4)), np.ones((4, 4), int), i, 0)[1].any() for i in range(200)]
    assert 0.7 < np.mean(parsed) < 0.95  # the others have no parse


def test_somebody_in_a_skirt_has_the_places_of_a_skirt(
    source: Few, body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    skirted = wear(body, (Shell("skirt", -0.4),))

    def dressed(views: Views, body: Body) -> Views:
        worn = dataclasses.replace(views.fit, shells=skirted.shells, offsets=torch.zeros(skirted.num_vertices, 3))
        return dataclasses.replace(views, **{"params" if views.fitted is None else "fitted": worn})

    monkeypatch.setattr("dinar.data.textures.dressed", dressed)
    made = sampled_textures(source, body, S, tmp_path, people=1)
    monkeypatch.setattr("dinar.data.textures.dressed", None)
    for people in (made, open_textures(tmp_path, body, S)):
        x, g = task(people, 0, 0), geometry(skirted, S)
        assert people.shells == (skirted.shells,) and np.allclose(x["position"], g.position, atol=2e-3)
        assert np.array_equal(x["folded"], g.folded) and not torch.equal(g.folded, geometry(body, S).folded)
        both = Geometry(torch.from_numpy(x["folded"])[None].expand(2, -1), torch.from_numpy(x["position"])[None])
        picture = torch.rand(2, 5, S, S)
        assert torch.equal(both.fold(picture), g.fold(picture)) and torch.equal(both.inside[0], g.inside)
        guess = rules(skirted, x["rgb"].transpose(1, 2, 0), x["lam"][0],
                      x["worn"][0].astype(np.uint8) if x["worn"].any() else None)  # fmt: skip
        assert np.abs(guess.transpose(2, 0, 1) - x["guess"]).max() < 0.01


def test_inputs_of_a_single_photo_hide_parts_of_it(body: Body, tmp_path: Path) -> None:
    photos = sampled_textures(Few(body, 2, 1), body, S, tmp_path)
    assert photos.rgb.shape[:2] == (2, HOLED) and np.array_equal(photos.rgb[:, 0], photos.rgb[:, 1])
    hidden, s = parts(body, S), surface(body, S)
    face = hidden[:, s.texels.inside][:, s.face_centre].mean(1)
    assert face[0] > 0.8 and face[len(hidden) // 2] < 0.2  # front and back
    taken = set()
    for view in range(HOLED):
        x = task(photos, 0, view)
        seen, whole = x["lam"] > 0, x["known"] > 0
        assert np.array_equal(x["truth"] * whole, task(photos, 0, 0)["truth"] * whole) and (whole >= seen).all()
        away = [k for k in range(len(hidden)) if not seen[0, hidden[k]].any()]
        assert away and HIDDEN[0] / 2 < 1 - seen.sum() / whole.sum()
        taken.add(tuple(away))
    assert len(taken) > 1


def test_the_stage_learns(source: Few, body: Body, tmp_path: Path) -> None:
    """Its first guess is all that it knows before; after a few steps it is nearer to the truth."""
    sets = sampled_textures(source, body, S, tmp_path)
    c = dataclasses.replace(PRESETS["regression"]["nano"], texture=S, lr=3e-3)
    stage = RegressionStage(c, body, [sets], [1.0], {"few": sets.people(slice(1))})
    from accelerate import Accelerator

    from dinar.train.state import State

    state = State(Accelerator(cpu=True), c.loop, stage)
    with torch.no_grad():
        before, _ = stage.show(stage.modules, state)
    assert before["psnr"] == pytest.approx(before["psnr_guess"], abs=1e-3) and before["psnr_restoration"] > 0
    samples = [stage.sample(i, np.random.default_rng(i)) for i in range(6)]
    batch = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]}
    adam = stage.optimizers["regressor"]

    def update(name: str, loss: torch.Tensor) -> None:
        adam.zero_grad()
        loss.backward()
        adam.step()

    state.update = update  # type: ignore[method-assign]
    losses = [float(stage.step(batch, state)["loss"].detach()) for _ in range(20)]
    assert losses[-1] < 0.97 * losses[0]


class _Grey(TextureRegressor):
    """Predicts one colour everywhere."""

    def forward(self, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        guess = condition[:, -3:] + 0.5
        return 0.25 - guess, guess.new_zeros(len(guess), WORN, *guess.shape[2:])


def test_predicted_colours_fill_the_texture(avatar, body: Body) -> None:
    """Unseen texels have the network's colours at large; what the photo shows stays."""
    rgb, lam = avatar.rgb.astype(np.float32) / 255, avatar.lam.astype(np.float32) / 255
    out = restore(body, rgb, lam, None, predictor(_Grey(widths=[8], size=64), body))
    by_rules = restore(body, rgb, lam)
    inside = texels(body.atlas, rgb.shape[0]).inside
    deep = torch.nn.functional.max_pool2d(torch.from_numpy(lam > 0).float()[None], 41, 1, 20)[0].numpy() > 0
    far = inside & ~deep
    assert np.abs(out[far].mean(0) - 0.25).max() < 0.1 and np.abs(by_rules[far].mean(0) - 0.25).max() > 0.1
    sure = (lam > 0.6) & ~(torch.nn.functional.max_pool2d(torch.from_numpy(lam == 0).float()[None], 41, 1, 20)[0] > 0
                           ).numpy()  # fmt: skip
    assert np.abs(out - rgb)[sure].mean() < 1e-3


def test_detail_counts_where_both_agree(body: Body) -> None:
    """The weave of the restored colours stays on predicted ones that are alike, and goes where they differ."""
    s = surface(body, 128)
    weave = np.random.default_rng(0).normal(0, 0.05, (len(s.x), 3)).astype(np.float32)
    for predicted, kept in ((0.55, 0.8), (0.95, 0.0)):
        out = _with_detail(s, np.full((32, 32, 3), predicted, np.float32), 0.5 + weave)
        assert np.abs(out.mean() - predicted) < 0.02
        assert out.std() / weave.std() == pytest.approx(kept, abs=0.15)


def test_light_of_legs_does_not_shine_through_a_skirt(body: Body) -> None:
    skirted = wear(body, (Shell("skirt", -0.4),))
    s = surface(skirted, 256)
    out = _in_light(s, np.full((128, 128, 3), 0.55, np.float32), np.full((len(s.x), 3), 0.5, np.float32)).mean(1) - 0.5
    torso, y = of_kind(s, "torso"), s.x[:, 1]
    usual = lambda low, high: np.median(out[torso & (y > low) & (y < high)])  # noqa: E731
    assert usual(-0.4, -0.1) < 0.005 and usual(0.3, 0.5) > 0.035
    assert 0.01 < usual(0.1, 0.15) < 0.025  # it begins above the hips


def test_restored_colours_take_the_light_of_predicted_ones(body: Body) -> None:
    """If both are of the same cloth, and not beyond a bound."""
    s = surface(body, 128)
    for colour, predicted, lit in ((0.5, 0.6, 0.574), (0.5, 0.95, 0.5), (0.05, 0.2, 0.05 * np.exp(0.4))):
        guess = np.full((len(s.x), 3), colour, np.float32)
        out = _in_light(s, np.full((32, 32, 3), predicted, np.float32), guess)
        assert np.median(out) == pytest.approx(lit, abs=0.005)
    half = np.where(np.arange(32)[:, None, None] < 16, 0.6, 0.5) * np.ones((32, 32, 3))
    out = _in_light(s, half, np.full((len(s.x), 3), 0.5, np.float32)).mean(1)
    row = s.texels.index // 128
    assert 0.53 < out[np.abs(row - 54) < 3].mean() < 0.565  # light has no edges


def test_the_shipped_regressor_is_used_where_it_is_asked_for(body: Body, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = open_studio(CreateOptions(renderer="mesh"), body)
    assert plain.regressor is None and plain.options.unseen == "restoration"
    with pytest.raises(DinarError, match="a size of a multiple of 128 texels for unseen regression, got 200"):
        open_studio(CreateOptions(renderer="mesh", size=200, unseen="regression"), body)
    assert open_studio(CreateOptions(renderer="mesh", size=1000, unseen="regression"), body).regressor is not None
    monkeypatch.setattr(regression, "shipped_regressor", lambda: None)
    with pytest.raises(DinarError, match="ships no regressor"):
        open_studio(CreateOptions(renderer="mesh", unseen="regression"), body)


def test_a_texel_is_seen_if_half_of_it_is(body: Body) -> None:
    """Of the texels of a finer texture; and colours are averaged over the seen ones alone."""
    told: list[torch.Tensor] = []

    class Spy(_Grey):
        def forward(self, condition: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            told.append(condition)
            return super().forward(condition)

    inside = texels(body.atlas, 64).inside
    for rows, seen in ((1, False), (3, True)):  # of each block of 4
        lam = np.zeros((64, 64), np.float32)
        lam.reshape(16, 4, 64)[:, :rows] = 0.8
        rgb = np.where(lam[..., None] > 0, np.float32(0.7), np.float32(0.1)) * np.ones(3, np.float32)
        predictor(Spy(widths=[8], size=16), body)(rgb, lam * inside, None)
        whole = inside.reshape(16, 4, 16, 4).all((1, 3))
        assert whole.any() and bool((told[-1][0, 3].numpy()[whole] > 0).all()) == seen
        if seen:
            np.testing.assert_allclose(told[-1][0, 0].numpy()[whole], 0.2, atol=1e-5)


def test_regressors_of_other_bodies_are_refused(body: Body, tmp_path: Path) -> None:
    build("nano", "regressor", size=S, atlas="another").save_pretrained(tmp_path)
    with pytest.raises(DinarError, match="trained with another body"):
        open_regressor(tmp_path, body)
    build("nano", "regressor", size=S, atlas=body.atlas.hash).save_pretrained(tmp_path)
    assert open_regressor(tmp_path, body).config["size"] == S
    assert CreateOptions(regressor=tmp_path).unseen == "regression"
    with pytest.raises(DinarError, match="is for unseen regression or diffusion, got unseen restoration"):
        CreateOptions(regressor=tmp_path, unseen="restoration")


def test_a_regressor_of_no_size_is_refused(body: Body, tmp_path: Path) -> None:
    build("nano", "regressor", size=S, atlas=body.atlas.hash).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for size in ("", "../x", 0, 60_000):
        (tmp_path / "config.json").write_text(json.dumps({**config, "size": size}))
        with pytest.raises(DinarError, match=r"texels a side|type for size"):
            open_regressor(tmp_path, body)


def test_the_command_trains(body: Body, tmp_path: Path) -> None:
    from dinar.data.folder import start_set, write_views

    start_set(tmp_path / "people", "anny", (64, 64))
    for i in range(3):
        write_views(tmp_path / "people", person(body, f"p{i}", i, 2, 64))
    main(["train", "regression", "--data", str(tmp_path / "people"), "--run", str(tmp_path / "run"), "--preset", "nano",
          "--steps", "2", "--holdout", "1", "--texture", str(S), "--device", "cpu"])  # fmt: skip
    assert TextureRegressor.from_pretrained(tmp_path / "run" / "weights").config["atlas"] == body.atlas.hash
    assert list((tmp_path / "run" / "pictures").glob("validation_*.png"))
