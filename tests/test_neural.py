"""Neural avatars with networks that know nothing: every part runs, files hold them, pictures land in their place."""

from __future__ import annotations

import dataclasses
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from dinar.avatar import Avatar
from dinar.cli import main
from dinar.create import completed, create
from dinar.errors import DinarError
from dinar.evaluate import iou
from dinar.nets.channels import FILL, MASKS, SAMPLED
from dinar.nets.presets import build
from dinar.neural.avatar import Neural, fine_layer
from dinar.neural.encode import NeuralOptions, make_neural
from dinar.neural.refine import Refinement
from dinar.neural.texture import Fine
from dinar.neural.weights import Networks, load_networks, open_networks, save_networks, shipped
from dinar.preview import candidates
from dinar.scene import orbit
from dinar.studio import Clock

NAMES = ("encoder", "generator", "renderer", "vqgan", "denoiser")
SMALL = {"encoder": dict(size=32, max_channels=16, style=16), "generator": dict(size=32, max_channels=16, style=16),
         "renderer": dict(widths=[16, 24]), "vqgan": dict(size=32, linear=False), "denoiser": {}}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_networks(folder, {n: build("nano", n, **SMALL[n]) for n in NAMES}, 64)
    return folder


@pytest.fixture(scope="module")
def networks(weights: Path) -> Networks:
    return load_networks(weights)


def fine(avatar: Avatar, complete: bool = False) -> Fine:
    rgb, seen = avatar.with_teeth().rgb.astype(np.float32) / 255, avatar.lam.astype(np.float32) / 255
    return fine_layer(rgb, np.ones_like(seen) if complete else seen)


def make(avatar: Avatar, networks: Networks, **switches) -> tuple[Avatar, list[str]]:
    w = avatar.work
    options = NeuralOptions(**{"refine": True, **switches})
    photos = [(s.rgb, s.alpha) for s in w.subjects]
    neural, used = make_neural(avatar.body, networks, photos, w.fits, avatar.offsets, fine(avatar), options,
                               refinement=Refinement(steps=2, adversarial=0.0), steps=2)  # fmt: skip
    return avatar.replace(neural=neural), used


def test_a_neural_avatar_draws_saves_and_loads(avatar: Avatar, networks: Networks, tmp_path: Path) -> None:
    made, used = make(avatar, networks)
    assert used == ["encoder", "diffusion", "refinement without LPIPS", "renderer"]
    assert made.neural is not None and made.neural.texture.shape == (1, 21, 32, 32)
    camera = orbit(avatar.vertices(), 30, height=160, width=120)
    picture = made.render(camera=camera)
    # an untrained renderer starts with the body as its mask
    dressed = avatar.render(camera=camera)
    assert picture.shape == (160, 120, 4) and iou(picture[..., 3] > 0.5, dressed[..., 3] > 0.5) > 0.8
    part = made.render(camera=camera.crop(30, 40, 1, 80, 50))
    solid = lambda p: p[..., :3] * p[..., 3:]  # noqa: E731
    assert part[..., 3].max() > 0.5 and np.abs(solid(part) - solid(picture)[40:120, 30:80]).mean() < 5e-3
    assert made.render(camera=camera.crop(-900, 0, 1, 50, 50)).max() == 0
    made.save(tmp_path / "a.avatar")
    back = Avatar.load(tmp_path / "a.avatar")
    assert np.abs(back.render(camera=camera) - picture).mean() < 2e-3
    back.save(tmp_path / "b.avatar")
    assert (tmp_path / "a.avatar").read_bytes() == (tmp_path / "b.avatar").read_bytes()
    again, _ = make(avatar, networks)
    assert again.neural is not None and torch.equal(again.neural.texture, made.neural.texture)
    other, _ = make(avatar, networks, seed=1)
    assert other.neural is not None and not torch.equal(other.neural.texture, made.neural.texture)


def test_candidates_differ_where_the_photo_shows_nothing(avatar: Avatar, networks: Networks) -> None:
    """In the colours of mesh, exports and renderer alike; and a seed is a candidate, whoever asks for it."""
    studio = dataclasses.replace(avatar.work.studio, networks=networks)
    studio = dataclasses.replace(studio, options=dataclasses.replace(studio.options, unseen="diffusion", refine=False))
    first = completed(studio, avatar.work.sampled, 7, Clock())
    other, same = first.work.again(8), first.work.again(7)
    assert np.array_equal(first.rgb, same.rgb) and other.meta["neural"]["seed"] == 8
    differ, seen = (first.rgb != other.rgb).any(-1), first.lam > 0
    assert differ[~seen].mean() > 6 * differ[seen].mean() and differ[~seen].any()  # on heads the seen ends softly
    assert candidates([first, other], 7, 64).shape == (3 * 64, 2 * 40, 3)


def test_switches_take_parts_out(avatar: Avatar, networks: Networks) -> None:
    made, used = make(avatar, networks, neural=False, unseen="nothing", refine=False)
    assert used == ["encoder", "renderer"] and made.neural is not None
    assert made.neural.texture[:, :16].abs().max() == 0 and made.neural.texture[:, SAMPLED].max() > 0
    assert made.neural.texture[:, FILL].mean() < 0.9  # nothing is filled in
    made, _ = make(avatar, networks, rgb=False, unseen="nothing")
    assert made.neural is not None and made.neural.fine is None and made.neural.texture[:, 16:].abs().max() == 0


def test_occlusion_reaches_the_neural_texture(avatar: Avatar, networks: Networks) -> None:
    w = avatar.work
    photos, options = [(s.rgb, s.alpha) for s in w.subjects], NeuralOptions(unseen="nothing", refine=False)
    on, off = (make_neural(avatar.body, networks, photos, w.fits, avatar.offsets, None, options, o)[0].texture
               for o in (True, False))  # fmt: skip
    assert off[:, FILL].sum() > on[:, FILL].sum()


def test_unseen_needs_its_networks() -> None:
    """What is asked for and cannot be done is an error; what was only the default is the restoration."""
    without = Networks({n: build("nano", n, **SMALL[n]) for n in NAMES[:3]}, 64)  # after stage 1
    assert NeuralOptions().resolved(without).unseen == "restoration"
    without.unseen = "diffusion"
    assert NeuralOptions().resolved(without).unseen == "restoration"
    with pytest.raises(DinarError, match="needs a VQGAN and a denoiser, which these weights lack"):
        NeuralOptions(unseen="diffusion").resolved(without)
    with pytest.raises(DinarError, match="needs a discriminator, which these weights lack"):
        NeuralOptions(refine_adversarial=0.01).resolved(without)
    whole = Networks({n: build("nano", n, **SMALL[n]) for n in NAMES}, 64)
    assert NeuralOptions().resolved(whole).unseen == "diffusion"
    assert NeuralOptions().resolved(None).unseen == "restoration"  # the mesh
    for unseen in ("diffusion", "nothing"):
        with pytest.raises(DinarError, match=f"unseen {unseen} is a choice of the neural renderer"):
            NeuralOptions(unseen=unseen).resolved(None)


def test_the_adversarial_refinement_is_an_option(
    avatar: Avatar, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    critic = build("nano", "discriminator", size=64, max_channels=16)
    rival = Networks({**networks.nets, "discriminator": critic}, 64, unseen="nothing")
    before, seen = [p.clone() for p in critic.parameters()], []
    monkeypatch.setattr("dinar.neural.refine.r1", lambda real, x: seen.append(x.shape) or x.sum() * 0)
    monkeypatch.setattr("dinar.neural.encode.Refinement", lambda adversarial: Refinement(18, adversarial=adversarial))
    w = avatar.work
    photos, options = [(s.rgb, s.alpha) for s in w.subjects], NeuralOptions(refine=True, refine_adversarial=0.01)
    _, used = make_neural(avatar.body, rival, photos, w.fits, avatar.offsets, fine(avatar), options)
    assert used[1] == "refinement without LPIPS" and seen == [(1, 3, 64, 64)] * 2  # steps 0 and 16
    assert all(torch.equal(a, b) for a, b in zip(before, critic.parameters(), strict=True))


def test_restoration_behind_the_neural_renderer(avatar: Avatar, networks: Networks, tmp_path: Path) -> None:
    """--unseen restoration: the photo's texels stay, all others have the colours of the textured mesh."""
    w = avatar.work
    photos, whole = [(s.rgb, s.alpha) for s in w.subjects], fine(avatar, complete=True)
    options = NeuralOptions(unseen="restoration")
    told = Networks(networks.nets, 64, complete=True)
    neural, _ = make_neural(avatar.body, told, photos, w.fits, avatar.offsets, whole, options)
    assert bool((neural.texture[:, MASKS] == 1).all())  # as in training, where complete textures have both masks
    neural, used = make_neural(avatar.body, networks, photos, w.fits, avatar.offsets, whole, options)
    assert used == ["encoder", "renderer"] and not bool((neural.texture[:, MASKS] == 1).all())  # of older weights
    mixed = avatar.replace(neural=neural)
    back = mixed.render(azimuth=180, size=160)
    mesh = avatar.render(azimuth=180, size=160)
    both = (back[..., 3] > 0.9) & (mesh[..., 3] > 0.9)
    # an untrained gate lets .95 of the texture through
    assert np.abs(back - mesh)[both][:, :3].mean() < 0.1
    mixed.save(tmp_path / "a.avatar")  # whose colours are in the file once
    with safetensors.safe_open(str(tmp_path / "a.avatar"), "pt") as f:
        assert "neural.texture" in f.keys() and "neural.fine" not in f.keys()  # noqa: SIM118
    again = Avatar.load(tmp_path / "a.avatar")
    assert again.neural is not None and again.neural.fine is not None
    assert np.abs(again.render(azimuth=180, size=160) - back).mean() < 2e-3


def test_the_fine_layer_is_that_of_the_training(avatar: Avatar, networks: Networks, tmp_path: Path) -> None:
    w = avatar.work
    photos, options = [(s.rgb, s.alpha) for s in w.subjects], NeuralOptions(unseen="restoration", refine=False)
    sides = []
    for rgb_size in (None, 128, 0):
        nets = Networks(networks.nets, 64, rgb_size=rgb_size)
        neural, _ = make_neural(avatar.body, nets, photos, w.fits, avatar.offsets, fine(avatar, complete=True), options)
        sides.append(neural.coarse and neural.coarse.rgb.shape[-1])
    assert sides == [64, 128, None]  # as the pictures; as said; the paper's layout has T_rgb alone
    avatar.replace(neural=neural).save(tmp_path / "a.avatar")
    back = Avatar.load(tmp_path / "a.avatar").neural
    assert back is not None and back.rgb_size == 0 and back.coarse is None
    assert float(back.texture[:, SAMPLED].mean((0, 2, 3)).min()) > 0.1  # complete by itself


def test_what_cannot_be_used_is_refused(
    weights: Path, tmp_path: Path, demo_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_networks(weights, "mesh") is None
    assert open_networks(weights, "auto") is None  # nothing says that they are better
    with pytest.raises(DinarError, match="encoder, a generator and a renderer; renderer missing"):
        save_networks(tmp_path / "half", {n: build("nano", n, **SMALL[n]) for n in NAMES[:2]}, 64)
        open_networks(tmp_path / "half", "neural")
    save_networks(tmp_path / "other", {n: build("nano", n, **SMALL[n]) for n in NAMES[:3]}, 64, atlas="a", default=True)
    assert open_networks(tmp_path / "other", "auto") and open_networks(tmp_path / "other", "auto", "a")
    assert open_networks(tmp_path / "other", "auto", "b") is None
    with pytest.raises(DinarError, match="trained with another body"):
        open_networks(tmp_path / "other", "neural", "b")
    with pytest.raises(SystemExit) as stop:
        main(["create", str(demo_photo), "-o", str(tmp_path / "x.avatar"), "--weights", str(tmp_path / "none")])
    assert stop.value.code == 1 and "expected the weights folder" in capsys.readouterr().err
    assert not (tmp_path / "x.avatar").exists()


def test_avatars_outlive_the_weights_they_were_made_with(
    avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = shipped()
    assert home is not None
    neural = Neural(torch.rand(1, 21, 128, 128), None, load_networks(home, ["renderer"]).nets["renderer"], 256)
    avatar.replace(neural=neural).save(tmp_path / "a.avatar")
    assert Avatar.load(tmp_path / "a.avatar").neural is not None
    monkeypatch.setattr("dinar.neural.avatar.weights_hash", lambda net: "those of a later version")
    with pytest.warns(UserWarning, match="another version of dinar"):
        later = Avatar.load(tmp_path / "a.avatar")
    assert later.neural is None and np.array_equal(later.rgb, avatar.rgb)


def test_shipped_weights() -> None:
    """All weights in the package: within 44 MiB, each folder with a card, the neural renderer's complete."""
    root = Path(str(resources.files("dinar") / "weights"))
    assert sum(p.stat().st_size for p in root.rglob("*.safetensors")) <= 44 * 2**20
    assert all((p / "MODEL_CARD.md").is_file() for p in root.iterdir() if p.is_dir())
    home = shipped()
    assert home is not None
    networks = load_networks(home)
    assert set(networks.nets) == {"encoder", "generator", "renderer", "vqgan", "denoiser"}
    for name, net in networks.nets.items():
        assert all(bool(torch.isfinite(t).all()) for t in net.state_dict().values()), name


@pytest.mark.slow
def test_create_uses_the_shipped_weights_where_they_are_better(demo_photo: Path, pose_network: None, avatar: Avatar
                                                               ) -> None:  # fmt: skip
    home = shipped()
    assert home is not None
    networks = load_networks(home)
    assert (open_networks(None, "auto", avatar.body.atlas.hash) is not None) == networks.default  # what create asks
    neural = create(demo_photo, renderer="neural")
    assert neural.neural is not None and neural.meta["neural"]["unseen"] == "restoration"
    assert np.array_equal(neural.rgb, avatar.rgb)  # what is exported
    for side in (0, 150):
        ours, mesh = (a.render(azimuth=side, size=256) for a in (neural, avatar))
        assert iou(ours[..., 3] > 0.5, mesh[..., 3] > 0.5) > 0.93
        both = (ours[..., 3] > 0.9) & (mesh[..., 3] > 0.9)
        assert np.abs(ours - mesh)[both][:, :3].mean() < 0.06
        edge = ours[(ours[..., 3] > 0.2) & (ours[..., 3] < 0.8)]
        assert edge[:, :3].mean() < 0.85  # no white fringe


def test_animate_may_draw_the_mesh(neural_avatar: Avatar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    neural_avatar.save(tmp_path / "me.avatar")
    drawn: list[int] = []
    monkeypatch.setattr("dinar.avatar.render_neural", lambda *a: drawn.append(1) or np.zeros((48, 48, 4), np.float32))
    command = ["animate", str(tmp_path / "me.avatar"), "--motion", "wave", "--fps", "2", "--size", "48"]
    main([*command, "-o", str(tmp_path / "a.gif"), "--renderer", "mesh"])
    assert (tmp_path / "a.gif").is_file() and not drawn
    main([*command, "-o", str(tmp_path / "b.gif")])
    assert drawn


def test_networks_of_the_diffusion_are_read_where_it_is_asked_for() -> None:
    assert shipped() is not None
    assert open_networks(None, "neural").nets.keys() == {"encoder", "generator", "renderer"}  # type: ignore[union-attr]
    assert open_networks(None, "neural", unseen="diffusion").diffusion  # type: ignore[union-attr]
