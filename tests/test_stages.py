"""The four stages of §3: samples, losses, one step of each at reduced resolution, and the chain of their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from dinar.body import Body
from dinar.errors import DinarError
from dinar.labels import LABEL
from dinar.nets.presets import build
from dinar.nets.vqgan import VQGAN
from dinar.neural.inpaint import encode_condition
from dinar.neural.texture import sample
from dinar.neural.weights import load_networks, save_networks
from dinar.train import presets
from dinar.train.avatar import AvatarStage
from dinar.train.compression import CompressionStage
from dinar.train.finetune import FinetuneStage
from dinar.train.inpainting import InpaintingStage
from dinar.train.loop import train
from dinar.train.losses import cut, dice, over, random_crop, reconstruction, texture_loss, windows
from dinar.train.people import People, frontality, holes, mirror_arrays, view_arrays
from dinar.train.state import State
from dinar.views import Views
from test_data import person

SIZE = 64


class Few:
    """People from the rasteriser, as a source."""

    body = "anny"

    def __init__(self, body: Body, people: int, views: int) -> None:
        self.num_people, self.n = people, views
        self.made = [person(body, f"p{i}", i, views, SIZE) for i in range(people)]
        for v in self.made:
            v.alpha[:] = v.raster(body).mask.to(torch.uint8) * 255

    def num_views(self, i: int) -> int:
        return self.n

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        return self.made[i] if indices is None else self.made[i].select(indices)


@pytest.fixture(scope="module")
def source(body: Body) -> Few:
    return Few(body, 3, 3)


@pytest.fixture(scope="module")
def people(source: Few) -> People:
    return People([source], size=SIZE, holdout=1)


def tiny(stage: str, **more) -> presets.AvatarOptions:
    c = presets.PRESETS[stage]["nano"]
    loop = dataclasses.replace(c.loop, steps=2, batch=2, micro_batch=2, warmup=0, log_every=1, show_every=2)
    more = {"losses": presets.Losses(l1=1.0, adversarial=0.002)} | more
    return dataclasses.replace(c, loop=loop, size=SIZE, texture=32, crop=32, holdout=1, views=3, **more)


def shrink(folder: Path) -> Path:
    """Networks of every kind, small, as an earlier stage's weights."""
    torch.manual_seed(0)
    small = {"generator": dict(size=32, max_channels=16, style=16), "encoder": dict(size=32, max_channels=16, style=16),
             "discriminator": dict(size=SIZE, max_channels=16), "renderer": dict(widths=[16, 24])}  # fmt: skip
    save_networks(folder, {n: build("nano", n, **k) for n, k in small.items()}, SIZE)
    return folder


# ---- samples -------------------------------------------------------------------------------------------------------


def test_pairs_are_two_views_of_one_person(people: People) -> None:
    x = people.pair(np.random.default_rng(1))
    assert x["in_rgb"].shape == x["out_rgb"].shape == (3, SIZE, SIZE) and x["out_uv"].shape == (2, SIZE, SIZE)
    assert not np.array_equal(x["in_uv"], x["out_uv"])
    again = people.pair(np.random.default_rng(1))
    assert all(np.array_equal(x[k], again[k]) for k in x)
    assert all(v.dtype == np.float32 for v in x.values())
    with pytest.raises(DinarError, match="more than 3 people"):
        People(people.sources, holdout=3)


def test_the_first_of_all_views_is_the_most_frontal(people: People, source: Few, body: Body) -> None:
    x = people.all_views(np.random.default_rng(0), 4)
    assert x["in_rgb"].shape == (4, 3, SIZE, SIZE) and int(x["different"]) == 3
    assert (np.diff(x["in_front"][:3]) <= 0).all() and x["in_front"][3] == x["in_front"][0]
    front = frontality(source.made[0])  # cameras at 10°, 60° and 110° around a body that is turned by .7 rad = 40°
    assert front[0] > 0.7 and front[1] > 0.7 and front[2] < front[0]


def test_sets_without_clothes_are_dressed(source: Few, body: Body) -> None:
    """In the same way whatever is asked for first, and once a person."""
    bare = Few.__new__(Few)
    bare.num_people, bare.n = 3, 3
    strip = lambda v: dataclasses.replace(v, fitted=dataclasses.replace(v.fit, offsets=None), labels=None)  # noqa: E731
    bare.made = [strip(v) for v in source.made]
    a, b = People([bare], size=SIZE), People([bare], size=SIZE)
    a._views(0, 0, [2])
    one, two = a._views(0, 0, [1]), b._views(0, 0)
    assert one.fit.offsets is not None and two.fit.offsets is not None
    assert torch.equal(one.fit.offsets, two.fit.offsets) and one.fit.offsets.abs().max() > 1e-3
    assert list(a._dressed) == [(0, 0)]


def test_colours_may_be_finer_than_the_texture(people: People, tmp_path: Path) -> None:
    before, rng = shrink(tmp_path), np.random.default_rng(0)
    samples = [people.pair(rng, 0.5) for _ in range(6)]
    batch = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]}
    stage = AvatarStage(tiny("avatar", rgb_size=64, ablated=0.0), people, before)
    nets = stage.nets(torch.device("cpu"))
    with torch.no_grad():
        texture, fine = stage.input_textures(nets, batch)
        assert fine is not None and fine.rgb.shape == (6, 3, 64, 64) and texture.shape[2:] == (32, 32)
        whole = (fine.known == 1).flatten(1).all(1)
        assert 0 < int(whole.sum()) < 6  # some are complete, as after the restoration
        assert torch.equal(whole, batch["complete"][:, 0] > 0.5)
        assert torch.equal(whole, (texture[:, 20] == 1).flatten(1).all(1))
        drawn, _ = stage.rendered_textures(nets, texture, fine)
        assert stage.render(nets, drawn, batch)[0].shape == (6, 3, SIZE, SIZE)
        assert AvatarStage(tiny("avatar", rgb_size=0), people, before).input_textures(nets, batch)[1] is None


def test_single_photos_get_holes(source: Few) -> None:
    one = Few.__new__(Few)
    one.made, one.num_people, one.n = [v.select([0]) for v in source.made], 3, 1
    x = People([one], size=SIZE).pair(np.random.default_rng(3))
    assert np.array_equal(x["in_rgb"], x["out_rgb"])
    assert x["in_sample_mask"].sum() < 0.95 * x["out_sample_mask"].sum()
    share = np.mean([1 - holes(32, np.random.default_rng(i)).mean() for i in range(40)])
    assert 0.3 < share < 0.6


def test_mirror_of_arrays_is_the_mirror_of_views(source: Few, body: Body) -> None:
    """The texture of mirrored arrays is the mirrored texture."""
    x = view_arrays(source.made[0], body, SIZE)
    y = mirror_arrays(x)
    keys = ("rgb", "mask", "uv", "sample_mask", "facing")
    part = [sample(*[torch.from_numpy(z[k]) for k in keys], size=32) for z in (x, y)]
    assert (part[0].fill.flip(-1) != part[1].fill).float().mean() < 2e-3  # texels whose edge a pixel's UV meets exactly
    assert all(np.allclose(mirror_arrays(y)[k], x[k], atol=1e-6) for k in x)


def test_memory_gives_the_same_samples(source: Few) -> None:
    fresh, kept = (People([source], size=SIZE, augmented=False, cached=n) for n in (0, 10))
    for seed in (1, 2, 1, 2, 1):
        a, b = (p.pair(np.random.default_rng(seed)) for p in (fresh, kept))
        assert all(np.allclose(a[k], b[k], atol=1e-3) for k in a)
    assert kept._kept
    again = People([source], size=SIZE, augmented=False, cached=10)  # as a resumed run: its memory is empty
    a, b = (p.pair(np.random.default_rng(1)) for p in (kept, again))
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_the_completed_texture_does_not_hold_the_target(people: People) -> None:
    """Stages 1 to 3 complete textures with a third view; with the target only where that is asked for."""
    for target, same in ((False, "neither"), (True, "out")):
        x = people.pair(np.random.default_rng(3), 1.0, target)
        assert x["complete"].tolist() == [1.0]
        assert np.array_equal(x["more_rgb"], x["out_rgb"]) == (same == "out")
        assert not np.array_equal(x["more_rgb"], x["in_rgb"])
    x = people.pair(np.random.default_rng(3))  # as in the paper
    assert "complete" not in x and not any(k.startswith("more") for k in x)


def test_bags_are_cut_out_as_in_use(source: Few, body: Body) -> None:
    v = source.made[0]
    bag = v.labels == LABEL["bag"]
    painted, cut_out = (view_arrays(v, body, SIZE, bags) for bags in (True, False))
    assert bool(bag.any()) and painted["mask"][:, 0][bag].min() == 1
    assert cut_out["mask"][:, 0][bag].max() == 0 and cut_out["rgb"].transpose(0, 2, 3, 1)[bag].min() == 1
    assert np.array_equal(cut_out["mask"][:, 0][~bag], painted["mask"][:, 0][~bag])
    x = People([source], size=SIZE, augmented=False).pair(np.random.default_rng(0))
    assert x["in_mask"].sum() < x["in_body_mask"].sum()


def test_occlusion_outlines_are_an_option(source: Few, body: Body) -> None:
    on, off = (view_arrays(source.made[0], body, SIZE, occlusion=o) for o in (True, False))
    assert np.array_equal(off["sample_mask"], off["body_mask"])
    assert on["sample_mask"].sum() < off["sample_mask"].sum()


def test_the_bare_body_is_an_option(source: Few) -> None:
    bare, dressed = (People([source], size=SIZE, offsets=o)._views(0, 0).fit.offsets for o in (False, True))
    assert bare is None and dressed is not None


# ---- losses --------------------------------------------------------------------------------------------------------


def test_terms_of_equation_4() -> None:
    torch.manual_seed(0)
    rgb, truth, w = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32), presets.Losses(face=0.1, l1=0)
    mask = (torch.rand(2, 1, 32, 32) > 0.5).float()
    truth = over(truth, mask)
    assert float(dice(mask, mask)) == 0 and float(dice(mask, 1 - mask)) == pytest.approx(1, abs=2e-3)
    face = torch.tensor([[0.25, 0.25, 0.75, 0.75], [0, 0, 0, 0]])
    total, parts = reconstruction(rgb, mask, truth, mask, face, None, w, 16)
    l2 = ((rgb - truth) * mask).square().mean()
    assert torch.allclose(parts["l2"], l2) and float(parts["dice"]) == 0
    near = ((rgb - truth) * mask)[0].square().mean()  # the box, widened to MIN_FACE
    assert torch.allclose(parts["face"], 2.2 * near / 2)  # of two samples; the face of the second is not seen
    assert torch.allclose(total, 2.2 * l2 + 0.1 * parts["face"])
    assert (w.l2, w.lpips, w.dice, w.adversarial, w.r1, w.r1_every) == (2.2, 1.0, 1.0, 0.01, 0.1, 16)  # §4.1
    soft, colour = torch.rand(2, 1, 32, 32), torch.rand(2, 3, 32, 32)
    for background in (1.0, torch.rand(2, 3, 1, 1)):  # the same colours and alpha on any background
        same, parts = reconstruction(colour, soft, over(colour, soft), soft, face, None, w, 16, background)
        assert float(same - parts["dice"]) == pytest.approx(0, abs=1e-6)


def test_cuts_and_crops() -> None:
    x = torch.rand(2, 3, 16, 16)
    boxes = torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.9, 0.0, 1.0, 0.1], [0, 0, 0, 0], [0.2, 0.0, 0.6, 0.1]])
    found = windows(boxes, 128, 96)  # widened to steps of 16 pixels, and to MIN_FACE
    assert found == {(64, 48): [(0, 32, 24)], (32, 32): [(1, 0, 64)], (32, 48): [(3, 0, 14)]}
    assert windows(torch.tensor([[0.25, 0.5, 0.75, 1.0]]), 16, 16) == {(16, 16): [(0, 0, 0)]}  # at most the picture
    big = torch.rand(4, 3, 128, 96)  # pixels as they are: not resampled
    at = torch.tensor([[0, 32, 24], [3, 5, 0]])
    assert torch.equal(cut(big, at, 64, 48), torch.stack([big[0, :, 32:96, 24:72], big[3, :, 5:69, :48]]))
    torch.manual_seed(0)
    part = random_crop(torch.cat([x, x], 1), 8)
    assert torch.equal(part[:, :3], part[:, 3:]) and part.shape[2:] == (8, 8)
    assert torch.equal(random_crop(x, 20), x)
    assert torch.allclose(over(x, torch.zeros(2, 1, 16, 16)), torch.ones(1))


# ---- stages --------------------------------------------------------------------------------------------------------


def test_the_chain_of_stages(people: People, tmp_path: Path) -> None:
    """Two steps of every stage, each from the weights of the one before; who learns changes, who is fixed stays."""
    before = shrink(tmp_path / "start")
    vq, noise = tmp_path / "start/vqgan", tmp_path / "start/denoiser"
    kinds = (AvatarStage, CompressionStage, FinetuneStage, InpaintingStage)
    for name, kind in zip(("avatar", "compression", "finetune", "inpainting"), kinds, strict=True):
        if name == "compression":
            build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=32, size=32).save_pretrained(before / "vqgan")
        if name == "inpainting":
            build("nano", "denoiser", widths=[16, 24], mirror=False).save_pretrained(before / "denoiser")
        c, run = tiny(name), tmp_path / name
        stage = kind(c, people, before)
        assert train(stage, c.loop, run, {}, cpu=True)
        old, new = load_networks(before).nets, load_networks(run / "weights").nets
        assert set(new) == set(old)
        for n in new:
            same = all(torch.equal(a, b) for a, b in zip(old[n].parameters(), new[n].parameters(), strict=True))
            assert same == (n not in kind.learns and (n != "discriminator" or name == "inpainting")), (name, n)
        assert list((run / "pictures").glob("validation_*.png"))
        before = run / "weights"
    assert not vq.exists() and not noise.exists()
    denoiser = load_networks(before).nets["denoiser"]
    assert not bool((denoiser.std == 1).all())  # type: ignore[union-attr]  # measured on the first batch


def test_latents_are_kept_where_nothing_changes_them(source: Few, tmp_path: Path) -> None:
    """Stage 4 works from memory then: the same task every time, and that of the pictures themselves."""
    before = shrink(tmp_path)
    build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=32, size=32, linear=False).save_pretrained(
        before / "vqgan"
    )
    kept = People([source], size=SIZE, holdout=1, augmented=False, cached=1)
    stage = InpaintingStage(tiny("inpainting"), kept, before)
    state = State(Accelerator(cpu=True), stage.c.loop, stage, step=1)
    batch = {"key": torch.tensor([[0, 1, 0, 5], [0, 0, 1, 7], [0, 1, 0, 5]])}
    one, two = stage.task(batch, state), stage.task(batch, state)
    assert len(stage.kept) == 2 and all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert all(torch.equal(x[0], x[2]) and not torch.equal(x[0], x[1]) for x in one)
    nets = stage.nets(state.device)
    views = {k: torch.from_numpy(x)[None] for k, x in kept.views_of(0, 1, False).items()}
    whole, textures, _ = stage.truth(nets, views)
    latents = nets["vqgan"].encode(whole)  # type: ignore[operator]
    tasks = [encode_condition(nets["vqgan"], nets["denoiser"], t) for t in textures]  # type: ignore[arg-type]
    assert any(torch.allclose(one[1][0], told, atol=1e-6) and torch.allclose(one[0][0], latents - start, atol=1e-6)
               for told, start in tasks)  # fmt: skip
    assert {"key"} == set(stage.sample(0, np.random.default_rng(0)))


def test_scale_and_codes_of_the_vqgan_come_from_textures() -> None:
    torch.manual_seed(0)
    vqgan = build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=32, size=32)
    assert isinstance(vqgan, VQGAN)
    T = torch.randn(8, 21, 32, 32) * torch.linspace(0.1, 5, 21)[:, None, None] + torch.randn(21, 32, 32)
    T[:, 19:] = torch.rand(8, 1, 32, 32) < 0.8
    known = T[:, 20:].expand(-1, 3, -1, -1) > 0.5
    T[:, 16:19] *= known
    vqgan.init_statistics(T)
    normal, back = vqgan.normalize(T), vqgan.denormalize(vqgan.normalize(T))
    assert torch.allclose(normal.sum(0), torch.zeros(1), atol=1e-3)
    assert torch.allclose(back[:, :16], T[:, :16], atol=1e-4) and torch.allclose(back[:, 19:], T[:, 19:], atol=1e-4)
    assert torch.allclose(back[:, 16:19][known], T[:, 16:19][known], atol=1e-4)  # elsewhere the mean of the others
    assert torch.allclose(back[:, 16:19][~known], vqgan.mean[16:19].expand(8, -1, -1, -1)[~known], atol=1e-4)
    assert torch.allclose(normal[:, :16].square().mean((0, 2, 3)), torch.ones(16), atol=1e-4)
    assert float(normal[:, 16:19][known].square().mean()) == pytest.approx(1, abs=0.01)
    latents = vqgan.encode(T).detach().movedim(1, -1).flatten(0, -2)
    codes, some = vqgan.model.quantize.embedding.weight.detach(), latents[:: len(latents) // 32]
    nearest = [torch.cdist(latents, c).amin(1).square().mean() for c in (codes, some)]
    assert nearest[0] < 0.95 * nearest[1]  # by k-means
    # three groups count alike, in units of their scale: all channels off by one unit make 1, colours alone a third
    assert float(texture_loss(T + vqgan.std, T, vqgan.std)) == pytest.approx(1, abs=1e-4)
    off = torch.zeros_like(T)
    off[:, 16:19] = vqgan.std[16:19]
    assert float(texture_loss(T + off, T, vqgan.std)) == pytest.approx(1 / 3, abs=1e-4)
    off[:, 16:19] *= ~known
    assert float(texture_loss(T + off, T, vqgan.std)) == 0


def test_the_linear_code_keeps_colours() -> None:
    torch.manual_seed(0)
    nets = [build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=512, size=32, linear=x) for x in (True, False)]
    coarse = torch.rand(16, 21, 8, 8) * torch.tensor([2.0] * 16 + [1.0] * 5)[:, None, None]
    T = torch.nn.functional.interpolate(coarse, size=32, mode="bilinear")
    T[:, 19:] = 1
    errors = []
    for vqgan in nets:
        vqgan.init_statistics(T)  # type: ignore[operator]
        T_res = vqgan.decode(vqgan.encode(T))  # type: ignore[operator]
        errors.append(float((T_res - T)[:, 16:19].square().mean() / T[:, 16:19].var()))
    assert errors[0] < 0.25 < 0.8 < errors[1]


def test_the_discriminator_sees_pictures_on_white_once(people: People, tmp_path: Path) -> None:
    stage = AvatarStage(tiny("avatar"), people, shrink(tmp_path))
    shown: list[torch.Tensor] = []
    net = stage.modules["discriminator"]
    net.register_forward_pre_hook(lambda _, inputs: shown.append(inputs[0].detach()))
    alpha = torch.full((1, 1, SIZE, SIZE), 0.5)  # a soft edge everywhere
    truth = over(torch.full((1, 3, SIZE, SIZE), 0.2), alpha)
    state = State(Accelerator(cpu=True), stage.c.loop, stage)
    state.update = lambda name, loss: None  # type: ignore[method-assign]
    stage._discriminator_step({"out_rgb": truth, "out_mask": alpha}, torch.zeros_like(truth), state)
    assert torch.equal(shown[0], truth)


def test_paper_is_section_4_1(people: People, tmp_path: Path) -> None:
    """Options of `paper` that differ from `base`, and what they do."""
    for stage in ("avatar", "compression", "finetune", "inpainting"):
        c = presets.PRESETS[stage]["paper"]
        assert (c.loop.schedule, c.loop.ema, c.loop.warmup) == ("constant", 0.0, 0)
        assert (c.backgrounds, c.complete, c.ablated, c.rgb_size, c.losses.scale, c.losses.l1) == (0, 0, 0, 0, 0, 0)
        assert not (c.offsets or c.texture_statistics or c.latent_statistics or c.bags)
    restored, texture = torch.rand(2, 21, 8, 8), torch.rand(2, 21, 8, 8)
    assert torch.allclose(texture_loss(restored, texture, None), (restored - texture).square().mean())
    before = shrink(tmp_path / "start")
    build("nano", "vqgan", widths=[8, 16, 16], num_embeddings=32, size=32).save_pretrained(before / "vqgan")
    build("nano", "denoiser", widths=[16, 24], mirror=False).save_pretrained(before / "denoiser")
    own = {"texture_statistics": False, "latent_statistics": False, "complete": 0.0, "losses": presets.Losses(scale=0)}
    for kind in (CompressionStage, InpaintingStage):
        c = tiny("avatar", **own)
        c.loop.steps, c.loop.ema = 1, 0.0
        stage = kind(c, people, before)
        assert train(stage, c.loop, tmp_path / kind.__name__, {}, cpu=True)
        found = load_networks(tmp_path / kind.__name__ / "weights")
        name = kind.learns[0]
        assert bool((found.nets[name].std == 1).all()) and not bool(found.nets[name].mean.any())  # type: ignore[union-attr]
        last = stage.modules[name].state_dict()  # without an average, the last weights are the result
        assert all(torch.equal(v.half().float(), found.nets[name].state_dict()[k]) for k, v in last.items()
                   if v.is_floating_point())  # fmt: skip


def test_networks_know_the_options_that_create_needs(people: People, tmp_path: Path) -> None:
    before = shrink(tmp_path / "start")
    bare = People(people.sources, size=SIZE, holdout=1, offsets=False, bags=True)
    for size, kept in ((0, 0), (32, 0), (64, 64)):
        stage = AvatarStage(tiny("avatar", rgb_size=size), bare, before)
        stage.export({}, tmp_path / str(size))
        found = load_networks(tmp_path / str(size))
        assert (found.rgb_size, found.offsets, found.bags, found.complete) == (kept, False, True, True)


def test_ablated_samples_lack_channels(people: People, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    samples = [people.pair(rng) for _ in range(8)]
    batch = {k: torch.from_numpy(np.stack([s[k] for s in samples])) for k in samples[0]}
    stage = AvatarStage(tiny("avatar", rgb_size=64, ablated=1.0), people, shrink(tmp_path))
    with torch.no_grad():
        texture, fine = stage.input_textures(stage.nets(torch.device("cpu")), batch)
    generated, sampled = (texture[:, k].flatten(1).any(1) for k in (slice(0, 16), slice(16, 21)))
    assert torch.equal(generated, ~sampled) and 0 < int(generated.sum()) < 8
    assert fine is not None and torch.equal(fine.known.flatten(1).any(1), sampled)


def test_stages_say_what_they_need(people: People, tmp_path: Path) -> None:
    with pytest.raises(DinarError, match=r"expected trained networks .*; got none"):
        CompressionStage(tiny("compression"), people)
    with pytest.raises(DinarError, match="lacks vqgan"):
        FinetuneStage(tiny("finetune"), people, shrink(tmp_path))
    with pytest.raises(DinarError, match="found none"):
        load_networks(tmp_path / "nowhere")
    with pytest.raises(DinarError, match="generator of 64² textures, got 32²"):
        AvatarStage(dataclasses.replace(tiny("avatar"), texture=64), people, tmp_path)
    for fixed in (("vqgan",), ("renderer", "generator", "encoder")):
        with pytest.raises(DinarError, match="expected some, but not all"):
            AvatarStage(dataclasses.replace(tiny("avatar"), fixed=fixed), people, tmp_path)
    with pytest.raises(DinarError, match="and their weights in --init; got generator"):
        AvatarStage(dataclasses.replace(tiny("avatar"), fixed=("generator",)), people)


def test_fixed_networks_stay(people: People, tmp_path: Path) -> None:
    before = shrink(tmp_path / "before")
    stage = AvatarStage(dataclasses.replace(tiny("avatar"), fixed=("encoder", "generator")), people, before)
    assert {*stage.fixed} == {"encoder", "generator"} and "renderer" in stage.modules
    old = {n: [p.clone() for p in m.parameters()] for n, m in (stage.fixed | stage.modules).items()}
    batch = {k: torch.from_numpy(np.stack([a, a])) for k, a in people.pair(np.random.default_rng(0)).items()}
    state = State(Accelerator(cpu=True), stage.c.loop, stage)
    state.peaks = {n: [1e-3] for n in stage.optimizers}
    stage.step(batch, state)
    stage.export({}, tmp_path / "after")
    new = load_networks(tmp_path / "after").nets
    changed = {n: any(not torch.equal(a.half(), b.half()) for a, b in zip(old[n], new[n].parameters(), strict=True))
               for n in ("encoder", "generator", "renderer")}  # fmt: skip
    assert changed == {"encoder": False, "generator": False, "renderer": True}


def test_paper_layouts_learn(people: People, tmp_path: Path) -> None:
    """The published layouts at reduced resolution: one step of every stage, forward and backward, changes the networks
    that it is for."""
    torch.manual_seed(0)
    small = {"generator": dict(size=32, max_channels=32), "encoder": dict(size=32, max_channels=32),
             "discriminator": dict(size=SIZE, max_channels=32), "renderer": dict(width=8),
             "vqgan": dict(widths=(32, 32, 64), num_embeddings=128, size=32),
             "denoiser": dict(widths=(32, 64, 96, 128))}  # fmt: skip
    before = tmp_path / "start"
    save_networks(before, {n: build("paper", n, **k) for n, k in small.items()}, SIZE)
    losses = presets.PRESETS["avatar"]["paper"].losses
    assert losses.adversarial == 0.01
    for kind in (AvatarStage, CompressionStage, FinetuneStage, InpaintingStage):
        c = tiny("avatar", losses=losses)
        c.loop.steps = 1
        run = tmp_path / kind.__name__
        assert train(kind(c, people, before), c.loop, run, {}, cpu=True)
        old, new = load_networks(before).nets, load_networks(run / "weights").nets
        for n in kind.learns:
            pairs = zip(old[n].parameters(), new[n].parameters(), strict=True)
            assert np.mean([not torch.equal(a, b) for a, b in pairs]) > 0.5, (kind, n)
        before = run / "weights"
    vqgan = load_networks(before).nets["vqgan"]
    T, loss = vqgan(torch.randn(1, 21, 32, 32))
    assert T.shape == (1, 21, 32, 32) and vqgan.encode(T).shape == (1, 6, 8, 8) and loss.ndim == 0  # type: ignore[operator]
