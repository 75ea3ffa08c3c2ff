"""Training from textures that lie on the device: batches, sets without pictures, stages 2 and 4, and the clock."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from dinar.body import Body
from dinar.data import textures as textures_module
from dinar.data.batches import ORDERS, Batches, task
from dinar.data.textures import TextureSet, open_textures, sampled_textures
from dinar.errors import DinarError
from dinar.files import _machine
from dinar.nets.presets import build
from dinar.nets.regressor import TextureRegressor
from dinar.neural.inpaint import encode_condition
from dinar.neural.weights import load_networks
from dinar.train import stages
from dinar.train.loop import train
from dinar.train.presets import PRESETS
from dinar.train.regression import RegressionStage
from dinar.train.state import State, schedule
from dinar.train.texture_space import TextureInpainting, textures
from test_stages import Few, shrink, tiny
from toy_stage import LOOP, Toy

S = 32


@pytest.fixture(scope="module")
def sets(body: Body, tmp_path_factory: pytest.TempPathFactory) -> list[TextureSet]:
    folder = tmp_path_factory.mktemp("textures")
    return [sampled_textures(Few(body, 3, 3), body, S, folder / "people"),
            sampled_textures(Few(body, 2, 1), body, S, folder / "photos")]  # fmt: skip


def test_batches_are_tasks_mirrored_and_recoloured(sets: list[TextureSet]) -> None:
    """Of people and of photos, which have other numbers of views."""
    batches = Batches(sets, [1, 1])
    keys = np.stack([batches.draw(np.random.default_rng(i)) for i in range(24)])
    assert {*keys[:, 0]} == {0, 1} == {*keys[:, 3]} and len({*keys[:, 4]}) > 1
    x = batches.tasks(torch.from_numpy(keys))
    for i, (k, person, view, flip, order, gamma) in enumerate(keys):
        one = task(sets[int(k)], int(person), int(view))
        for name, a in one.items():
            a = a[list(ORDERS[int(order)])] ** np.float32(gamma) if name in ("rgb", "guess", "truth") else a
            same = not flip or name in ("position", "folded")  # bodies at rest are symmetric
            assert np.allclose(x[name][i].numpy(), a if same else a[..., ::-1], atol=1e-6), name


def test_textures_are_a_set_without_their_pictures(sets: list[TextureSet], body: Body, tmp_path: Path) -> None:
    folders = [Path(str(s.rgb.filename)).parent for s in sets]  # type: ignore[attr-defined]
    for s, folder in zip(sets, folders, strict=True):
        again = open_textures(folder, body, S)
        assert np.array_equal(again.rules, s.rules) and (again.parts is None) == (s.parts is None)
        assert again.style is None
    with pytest.raises(DinarError, match="expected textures of 64²"):
        open_textures(folders[0], body, 64)
    np.save(folders[1] / "style.npy", np.zeros((1, 4), np.float16))
    with pytest.raises(DinarError, match="expected 2 style vectors"):
        open_textures(folders[1], body, S)
    (folders[1] / "style.npy").unlink()


def test_a_set_that_is_replaced_is_not_taken_for_whole(body: Body, tmp_path: Path) -> None:
    """A run that is killed between its arrays has none that count."""
    about = {"size": S, "views": 1, "atlas": "one"}
    (tmp_path / f".dinar-{_machine()}-{2**22 + 1}-x").mkdir()  # of a killed run
    textures_module._open(tmp_path, textures_module._shapes(2, 1, S), about)
    (tmp_path / textures_module.FILE).write_text(json.dumps(about | {"people": 2, "shells": [[], []]}))
    arrays, done, _ = textures_module._open(tmp_path, textures_module._shapes(3, 1, S), about)
    assert done == 2 and len(arrays["rgb"]) == 3
    textures_module._open(tmp_path, textures_module._shapes(3, 1, S), about | {"atlas": "other"})
    names = ("rgb", "lam", "worn", "rules", "front", "position", "folded")
    assert {p.name for p in tmp_path.iterdir()} == {f"{n}.npy" for n in names}


def chain(body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of stage 1 and an untrained VQGAN, and ``--data people`` that is three of the rasteriser's people."""
    monkeypatch.setattr("dinar.train.sets.open_source", lambda *a, **k: Few(body, 3, 3))
    before = shrink(tmp_path / "start")
    small = build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=32, size=S, linear=False)
    small.save_pretrained(before / "vqgan")
    return before


def test_stages_two_and_four_without_pictures(body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the VQGAN learns, then only the denoiser; the second run takes the textures of the first."""
    before, data = chain(body, tmp_path, monkeypatch), [Path("people")]
    TextureRegressor(widths=[8, 8], size=S, atlas=body.atlas.hash).save_pretrained(tmp_path / "regressor")
    for name, learns in (("compression", "vqgan"), ("inpainting", "denoiser")):
        c, run = tiny(name, textures=True, recoloured=2, start="regression"), tmp_path / name
        assert stages.train(name, data, run, c, init=before, cpu=True, regressor=tmp_path / "regressor")
        old, new = load_networks(before).nets, load_networks(run / "weights").nets
        changed = {n for n in old if any(not torch.equal(a, b) for a, b in
                                         zip(old[n].parameters(), new[n].parameters(), strict=True))}  # fmt: skip
        assert changed == {learns} & {*old} and learns in new and list((run / "pictures").glob("validation_*.png"))
        before, data = run / "weights", [tmp_path / "compression" / "textures" / "0_people"]
    assert new["denoiser"].config["start"] == "regression" and not bool((new["denoiser"].std == 1).all())  # type: ignore
    with pytest.raises(DinarError, match="is an option of compression and inpainting"):
        stages.train("finetune", data, tmp_path / "x", tiny("finetune", textures=True), init=before, cpu=True)
    with pytest.raises(DinarError, match="more people than are held out"):
        c = dataclasses.replace(tiny("compression", textures=True), holdout=3)
        stages.train("compression", data, tmp_path / "x", c, init=before, cpu=True)


def test_kept_latents_are_those_of_the_sample(body: Body, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = chain(body, tmp_path, monkeypatch)
    c = tiny("inpainting", textures=True, recoloured=2, latent_statistics=False)
    stage = stages._in_texture_space("inpainting", [Path("people")], tmp_path / "run", c, (), before, None, None)
    assert isinstance(stage, TextureInpainting)
    state, x = State(Accelerator(cpu=True), c.loop, stage, step=1), task(stage.people.batches.sets[0], 1, 2)
    recoloured = {stage._row(0, p, v, f, k) for p in range(2) for v in range(3) for f in range(2) for k in range(2)}
    assert recoloured == {*range(24)}
    monkeypatch.setattr("dinar.train.texture_space.recolouring", lambda rng: (0, 1.0))
    found = stage.task({"row": torch.tensor([stage._row(0, 1, 2, 0, 1)])}, state)
    nets, batch = stage.nets(state.device), {k: torch.from_numpy(a)[None] for k, a in x.items()}
    partial, whole, _ = textures(nets["generator"], batch, stage.people.inside(state.device))
    cond, start = encode_condition(nets["vqgan"], nets["denoiser"], partial)  # type: ignore[arg-type]
    latents = nets["vqgan"].encode(whole)  # type: ignore[operator]
    assert torch.allclose(found[1][0], cond[0], atol=5e-3) and torch.allclose(found[0], latents - start, atol=5e-3)


def test_a_discriminator_judges_unseen_texels(sets: list[TextureSet], body: Body) -> None:
    c = dataclasses.replace(PRESETS["regression"]["nano"], texture=S, patches=0.1)
    stage = RegressionStage(c, body, sets, [1, 1], {})
    state, updated = State(Accelerator(cpu=True), c.loop, stage), {}
    state.update = lambda name, loss: updated.update({name: loss})  # type: ignore[method-assign]
    keys = np.stack([stage.sample(i, np.random.default_rng(i))["key"] for i in range(2)])
    found = stage.step({"key": torch.from_numpy(keys)}, state)
    assert {*updated} == {"regressor", "discriminator"} and float(found["discriminator"].detach()) > 0
    head = stage.modules["regressor"].head.bias  # type: ignore[union-attr]
    with_judge = torch.autograd.grad(updated["regressor"], head, retain_graph=True)[0]  # type: ignore[arg-type]
    alone = found["l1"] + c.classes * found["cross_entropy"]
    assert not torch.allclose(with_judge, torch.autograd.grad(alone, head)[0])  # type: ignore[arg-type]


def test_a_run_ends_by_the_clock(tmp_path: Path) -> None:
    """With its learning rate at 0, weights and a validation."""
    loop = dataclasses.replace(LOOP, steps=10**6, minutes=0.3 / 60, show_every=10**6)
    assert schedule(10, loop, 0.5) == pytest.approx(0.5) and schedule(10, loop, 2.0) == pytest.approx(0)
    assert schedule(0, loop, 0.0) == 0.25
    toy = Toy(pause=0.01)
    assert train(toy, loop, tmp_path, {}, cpu=True)
    assert (tmp_path / "weights" / "net.pt").exists() and list((tmp_path / "pictures").glob("*.png"))
    assert toy.optimizers["net"].param_groups[0]["lr"] < 1e-3
