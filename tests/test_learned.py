"""Learned avatars with networks that know nothing: every part runs, files hold them, pictures land in their place."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from dinar.avatar import Avatar
from dinar.cli import main
from dinar.create import fine_texture
from dinar.errors import DinarError
from dinar.evaluate import iou
from dinar.learned import Networks, Options, load_networks, make_neural, open_networks, save_networks, shipped
from dinar.nets.presets import build
from dinar.scene import orbit
from dinar.texture.neural import FILL, SAMPLED
from dinar.texture.refine import Refinement

NAMES = ("encoder", "generator", "renderer", "vqgan", "denoiser")
SMALL = {"encoder": dict(size=32, most=16, style=16), "generator": dict(size=32, most=16, style=16),
         "renderer": dict(widths=[16, 24]), "vqgan": dict(size=32), "denoiser": {}}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_networks(folder, {n: build("nano", n, **SMALL[n]) for n in NAMES}, 64)
    return folder


@pytest.fixture(scope="module")
def networks(weights: Path) -> Networks:
    return load_networks(weights)


def make(avatar: Avatar, networks: Networks, **switches) -> tuple[Avatar, list[str]]:
    w = avatar.work
    fine = fine_texture(avatar.body, w.subjects, w.fits, True, 128)
    options = Options(steps=2, refinement=Refinement(steps=2, adversarial=0.0), **switches)
    photos = [(s.rgb, s.alpha) for s in w.subjects]
    neural, used = make_neural(avatar.body, networks, photos, w.fits, fine, options)
    return avatar.replace(neural=neural), used


def test_a_learned_avatar_draws_saves_and_loads(avatar: Avatar, networks: Networks, tmp_path: Path) -> None:
    made, used = make(avatar, networks)
    assert used == ["encoder", "diffusion", "refinement without LPIPS", "renderer"]
    assert made.neural is not None and made.neural.texture.shape == (1, 21, 32, 32)
    camera = orbit(avatar.vertices(), 30, height=160, width=120)
    picture = made.render(camera=camera)
    # an untrained renderer starts with the body as its mask
    body = avatar.replace(offsets=torch.zeros_like(avatar.offsets)).render(camera=camera)
    assert picture.shape == (160, 120, 4) and iou(picture[..., 3] > 0.5, body[..., 3] > 0.5) > 0.8
    made.save(tmp_path / "a.avatar")
    back = Avatar.load(tmp_path / "a.avatar")
    assert np.abs(back.render(camera=camera) - picture).mean() < 2e-3
    back.save(tmp_path / "b.avatar")
    assert (tmp_path / "a.avatar").read_bytes() == (tmp_path / "b.avatar").read_bytes()
    again, _ = make(avatar, networks)
    assert again.neural is not None and torch.equal(again.neural.texture, made.neural.texture)
    other, _ = make(avatar, networks, seed=1)
    assert other.neural is not None and not torch.equal(other.neural.texture, made.neural.texture)


def test_switches_take_parts_out(avatar: Avatar, networks: Networks) -> None:
    made, used = make(avatar, networks, neural=False, inpaint=False, refine=False)
    assert used == ["encoder", "renderer"] and made.neural is not None
    assert made.neural.texture[:, :16].abs().max() == 0 and made.neural.texture[:, SAMPLED].max() > 0
    assert made.neural.texture[:, FILL].mean() < 0.9  # nothing is filled in
    made, _ = make(avatar, networks, rgb=False, inpaint=False)
    assert made.neural is not None and made.neural.fine is None and made.neural.texture[:, 16:].abs().max() == 0


def test_classical_restoration_behind_the_neural_renderer(avatar: Avatar, networks: Networks) -> None:
    """--unseen classical: the photo's texels stay, all others have the classical avatar's kind of colours."""
    w = avatar.work
    seen, whole = (fine_texture(avatar.body, w.subjects, w.fits, True, 128, complete=c) for c in (False, True))
    assert bool((whole.known == 1).all()) and 0 < float(seen.known.mean()) < 0.9
    sure = seen.known.expand(-1, 3, -1, -1) > 0.5
    assert float((whole.rgb - seen.rgb)[sure].abs().median()) < 0.02
    photos = [(s.rgb, s.alpha) for s in w.subjects]
    neural, used = make_neural(avatar.body, networks, photos, w.fits, whole, Options(inpaint=False, refine=False))
    assert used == ["encoder", "renderer"]
    back = avatar.replace(neural=neural).render(azimuth=180, size=160)
    classical = avatar.render(azimuth=180, size=160)
    both = (back[..., 3] > 0.9) & (classical[..., 3] > 0.9)
    # an untrained gate lets .95 of the texture through
    assert np.abs(back - classical)[both][:, :3].mean() < 0.1


def test_what_cannot_be_used_is_refused(
    weights: Path, tmp_path: Path, demo_photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert open_networks(weights, False) is None
    assert open_networks(weights, None) is None  # nothing says that they are better
    with pytest.raises(DinarError, match="encoder, a generator and a renderer; renderer missing"):
        save_networks(tmp_path / "half", {n: build("nano", n, **SMALL[n]) for n in NAMES[:2]}, 64)
        open_networks(tmp_path / "half", True)
    with pytest.raises(SystemExit) as stop:
        main(["create", str(demo_photo), "-o", str(tmp_path / "x.avatar"), "--weights", str(tmp_path / "none")])
    assert stop.value.code == 1 and "expected the weights folder" in capsys.readouterr().err
    assert not (tmp_path / "x.avatar").exists()


def test_shipped_weights() -> None:
    """All weights in the package: within 32 MiB, each folder with a card, the learned avatar's complete."""
    root = Path(str(resources.files("dinar") / "weights"))
    assert sum(p.stat().st_size for p in root.rglob("*.safetensors")) <= 32 * 2**20
    assert all((p / "MODEL_CARD.md").is_file() for p in root.iterdir() if p.is_dir())
    home = shipped()
    assert home is not None
    networks = load_networks(home)
    assert set(networks.nets) == {"encoder", "generator", "renderer", "vqgan", "denoiser"}
    for name, net in networks.nets.items():
        assert all(bool(torch.isfinite(t).all()) for t in net.state_dict().values()), name
