"""Networks: published sizes, layers against brute force, files, perceptual distance, exported graph."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinar.errors import DinarError
from dinar.export.graph import INPUTS, renderer_graph
from dinar.nets.costs import example
from dinar.nets.discriminator import discriminator_loss, r1
from dinar.nets.encoder import Encoder
from dinar.nets.generator import Generator
from dinar.nets.perceptual import LPIPS
from dinar.nets.presets import NAMES, PICTURE, TEXTURE, build, parameters
from dinar.nets.regressor import TextureRegressor
from dinar.nets.renderer import FastRenderer, PaperRenderer, folded, load_renderer, push_pull
from dinar.nets.stylegan import Conv, ModulatedConv

# ---- sizes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "millions"), [("renderer", 19.0), ("vqgan", 13.9), ("denoiser", 387.0)])
def test_published_sizes(name: str, millions: float) -> None:
    with torch.device("meta"):
        assert parameters(build("paper", name)) / 1e6 == pytest.approx(millions, rel=0.05)


def test_base_ships_within_its_budget() -> None:
    """32 MiB of fp16 with the parser's 8."""
    with torch.device("meta"):
        total = sum(2 * parameters(build("base", n)) for n in NAMES if n != "discriminator")
    assert total <= (32 - 8) * 2**20


@pytest.mark.parametrize("name", NAMES)
def test_nano_forward_backward_and_bf16(name: str) -> None:
    torch.manual_seed(0)
    net = build("nano", name)
    inputs = [t.expand(2, *t.shape[1:]).clone() for t in example(net, PICTURE["nano"], TEXTURE["nano"])]
    inputs = [torch.rand_like(t) if t.is_floating_point() else t for t in inputs]
    with torch.autocast("cpu", torch.bfloat16):
        out = net(*inputs)
    out = out if isinstance(out, tuple) else (out,)
    assert all(o.isfinite().all() for o in out)
    sum(o.float().square().mean() for o in out).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters() if p.requires_grad)


# ---- layers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_modulated_weights(up: bool) -> None:
    """StyleGAN2's definition: weights scaled by the style and normalised, for each sample a convolution of its own."""
    torch.manual_seed(1)
    layer = ModulatedConv(5, 7, 3, 4, up)
    x, style = torch.randn(3, 5, 8, 8), torch.randn(3, 4)
    out = layer(x, style)
    for i in range(3):
        w = layer.weight * layer.scale * layer.style(style)[i][:, None, None]
        w = w / (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            y = F.conv_transpose2d(x[i : i + 1], w.transpose(0, 1), stride=2)
            k = torch.outer(*[torch.tensor([1.0, 3, 3, 1])] * 2) / 16
            y = F.conv2d(y, k.expand(7, 1, 4, 4), padding=1, groups=7)
        else:
            y = F.conv2d(x[i : i + 1], w, padding=1)
        assert torch.allclose(out[i : i + 1], y, atol=1e-4)


def test_halving_keeps_constants() -> None:
    layer = Conv(1, 1, 1, down=True, linear=True)
    x = torch.full((1, 1, 16, 16), 3.0)
    out = layer(x)
    assert out.shape[2:] == (8, 8)
    assert torch.allclose(out[..., 1:-1, 1:-1], 3 * layer.weight * layer.scale, atol=1e-5)
    assert Conv(3, 4, down=True)(torch.rand(1, 3, 16, 16)).shape == (1, 4, 8, 8)


def test_encoder_takes_noise_and_any_size() -> None:
    net = Encoder(32, 256, 16, 8).eval()
    rgb, mask = torch.rand(2, 3, 64, 64), torch.ones(2, 1, 64, 64)
    small = net(F.interpolate(rgb, size=32, mode="area"), mask[..., :32, :32])
    assert torch.allclose(net(rgb, mask), small, atol=1e-5)
    assert not torch.allclose(net(rgb, mask, torch.randn(2, 1, 32, 32)), small, atol=1e-3)
    assert Generator(32, 16, 256, 16, 8)(small).shape == (2, 16, 32, 32)


def test_r1_is_half_the_squared_gradient() -> None:
    x = torch.randn(3, 2, 4, 4, requires_grad=True)
    w = torch.randn(2, 4, 4)
    assert float(r1((x * w).sum((1, 2, 3)), x)) == pytest.approx(0.5 * float(w.square().sum()), rel=1e-5)
    assert float(discriminator_loss(torch.zeros(2, 1), torch.zeros(2, 1))) == pytest.approx(2 * np.log(2))


# ---- renderers -----------------------------------------------------------------------------------------------------


def test_push_pull_takes_windows_of_any_shape() -> None:
    """Drawing gives it the person's window, in steps of 64 pixels: halving may end at 8 by 9."""
    for h in range(64, 833, 64):
        for w in range(64, 833, 64):
            filled = push_pull(torch.full((1, 1, h, w), 0.5), torch.ones(1, 1, h, w))
            assert filled.shape == (1, 1, h, w) and torch.allclose(filled, torch.tensor(0.5))


def test_push_pull_keeps_the_known_and_fills_constants() -> None:
    torch.manual_seed(0)
    known = (torch.rand(2, 1, 32, 64) > 0.8).float()
    colour = torch.rand(2, 3, 32, 64)
    filled = push_pull(colour * known, known)
    assert torch.allclose(filled * known, colour * known, atol=1e-6)
    assert torch.allclose(push_pull(0.3 * known.expand(2, 3, -1, -1), known), torch.tensor(0.3), atol=2e-3)
    lo, hi = (f((colour * known + (1 - known) * b).amin() if b else (colour * known).amax()) for f, b in
              ((float, 1.0), (float, 0.0)))  # fmt: skip
    assert filled.min() > lo - 1e-3 and filled.max() < hi + 1e-3


def test_gated_skip_starts_as_the_photo() -> None:
    """At first the gate is .95 where colours are known: there they come through, and alpha is the body."""
    torch.manual_seed(0)
    net = FastRenderer((16, 24), 1, 2).eval()
    texture, uv = torch.rand(1, 21, 64, 64), torch.rand(1, 2, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 8:56] = 1
    texture = texture * mask
    texture[:, 20:] = mask
    rgb, alpha = net(texture, uv * mask, mask)
    assert ((rgb - texture[:, 16:19]).abs() * mask).max() <= 1 - 1 / (1 + np.exp(-3)) + 1e-4
    assert ((alpha > 0.5).float() == mask).all()


@pytest.mark.parametrize("net", [FastRenderer((16, 24), (1, 2), 2), PaperRenderer(8)])
def test_folded_draws_the_same_picture(net) -> None:
    torch.manual_seed(0)
    inputs = [torch.rand(2, c, 32, 64) for c in (21, 2, 1)]
    for _ in range(3):  # averages and variances that are not the initial ones
        net.train()(*inputs)
    net.eval()
    again = folded(net)
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in net.modules())
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in again.modules())
    for a, b in zip(net(*inputs), again(*inputs), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("kind", [FastRenderer, PaperRenderer])
def test_files_round_trip(kind: type, tmp_path) -> None:
    torch.manual_seed(0)
    net = (FastRenderer((16, 24), 1, 2) if kind is FastRenderer else PaperRenderer(8)).half().float().eval()
    net.save_pretrained(tmp_path / "a")
    again = load_renderer(tmp_path / "a")
    assert type(again) is kind and again.config == net.config
    inputs = example(net, 32, 32)
    assert torch.equal(net(*inputs)[0], again(*inputs)[0])
    again.save_pretrained(tmp_path / "b")
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(DinarError, match=r"config\.json: expected the options"):
        Encoder.from_pretrained(tmp_path)
    Generator(16, 4, 128, 16, 8).save_pretrained(tmp_path)
    with pytest.raises(DinarError, match="expected weights of a Encoder, got those of a Generator"):
        Encoder.from_pretrained(tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"style": 9}))
    with pytest.raises(DinarError, match="as its options say"):
        Generator.from_pretrained(tmp_path)
    broken = Generator(16, 4, 128, 16, 8)
    with torch.no_grad():
        broken.bias.fill_(torch.inf)
    with pytest.raises(DinarError, match="diverged"):
        broken.save_pretrained(tmp_path / "c")
    with torch.no_grad():
        broken.bias.fill_(1e5)  # too large for fp16: variances of batch norms can be
    broken.save_pretrained(tmp_path / "c")
    assert torch.equal(Generator.from_pretrained(tmp_path / "c").bias, broken.bias)


def test_options_of_another_type_are_refused() -> None:
    """They would be noticed by the first picture only."""
    net = TextureRegressor(widths=(8, 16), groups=4, size=32)
    kept = TextureRegressor.with_weights(net.config, net.state_dict(), "a")
    assert kept.config == net.config
    for change in ({"groups": 4.0}, {"groups": True}, {"size": "32"}, {"widths": [8.0, 16]}, {"atlas": 3}):
        with pytest.raises(DinarError, match=f"expected another type for {next(iter(change))}"):
            TextureRegressor.with_weights(net.config | change, net.state_dict(), "a")


def test_renderer_graph_draws_the_same_picture(tmp_path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    from dinar.export.onnx import export_renderer, load_renderer_graph

    torch.manual_seed(0)
    net = build("base", "renderer", widths=[16, 32, 48], blocks=1).eval()
    export_renderer(net, tmp_path / "r.onnx", (64, 96))
    inputs = (torch.rand(1, 21, 64, 96), torch.rand(1, 2, 64, 96), (torch.rand(1, 1, 64, 96) > 0.4).float())
    with torch.no_grad():
        rgb, alpha = net(*inputs)
    graph = load_renderer_graph(tmp_path / "r.onnx", 1)
    rgb2, alpha2 = graph(*(t.numpy() for t in inputs))
    assert np.abs(rgb2 - rgb.numpy()).max() < 2 / 255 and np.abs(alpha2 - alpha.numpy()).max() < 2 / 255
    with pytest.raises(DinarError, match="for each of 3 widths"):
        build("base", "renderer", widths=[16, 32, 48])
    with pytest.raises(DinarError, match="multiples of 32"):
        export_renderer(net, tmp_path / "s.onnx", 100)


# ---- LPIPS ---------------------------------------------------------------------------------------------------------


def pictures() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Waves, a cone and a chessboard as R, G, B; the same blurred; the same darker. [1, 3, 64, 64]."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32) / 64
    board = ((x * 8).astype(int) + (y * 8).astype(int)) % 2
    rgb = np.stack([0.5 + 0.5 * np.sin(9 * x + 4 * y), np.hypot(x - 0.5, y - 0.5), board], 0)
    sharp = torch.from_numpy(rgb.astype(np.float32).clip(0, 1))[None]
    return sharp, F.avg_pool2d(sharp, 5, 1, 2), sharp * 0.8


@pytest.fixture(scope="module", params=["vgg", "alex"])
def lpips(request) -> tuple[str, LPIPS]:
    try:
        return request.param, LPIPS(request.param)
    except DinarError as e:
        pytest.skip(f"the LPIPS weights cannot be fetched here: {e}")


# Distances to the blurred and the darker picture. They come from another implementation of the same definition, the
# one that gives .7219 / .1376 (AlexNet) and .5686 / .4217 (VGG16) on LPIPS' own example pictures, which do not ship.
LPIPS_REFERENCE = {"vgg": (0.399923, 0.004962), "alex": (0.178463, 0.003313)}
LPIPS_HEADS = {"vgg": "9153a2043dccf3b525d4f13db916e93ef040548ea923b6f2100de5ebac141a78",
               "alex": "718a8b40b0d22f96192d34ab93c0db5c7943558ff6c2407f44812dce2f29b5f4"}  # fmt: skip


def test_lpips_equals_stored_values(lpips) -> None:
    name, net = lpips
    sharp, soft, dark = pictures()
    assert [float(net(sharp, x)) for x in (soft, dark)] == pytest.approx(LPIPS_REFERENCE[name], abs=2e-6)
    assert float(net(sharp, sharp)) == 0
    heads = b"".join(h.weight.numpy().tobytes() for h in net.heads)
    assert hashlib.sha256(heads).hexdigest() == LPIPS_HEADS[name]


def test_lpips_weight_and_gradient(lpips) -> None:
    _, net = lpips
    sharp, _, _ = pictures()
    other = sharp.clone()
    other[..., :16, :16] = 0.5
    here, there = torch.zeros(2, 1, 1, 64, 64)
    here[..., :16, :16] = 1
    there[..., 48:, 48:] = 1
    assert float(net(sharp, other, here)) > float(net(sharp, other)) > 5 * float(net(sharp, other, there))
    assert float(net(sharp, other, torch.ones(1, 1, 64, 64))) == pytest.approx(float(net(sharp, other)), rel=1e-5)
    x = sharp.clone().requires_grad_()
    (net(x, sharp) + net(torch.zeros_like(x) * x, sharp)).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_the_graph_without_packages_is_the_renderer() -> None:
    """What the viewer runs: the convolutions, with weights of half precision, at two sizes of one graph."""
    ort = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    net = folded(FastRenderer((8, 12, 16, 16), (1, 1, 2, 1)))
    graph = renderer_graph(net)
    assert graph.count(b"dilations") == graph.count(b"kernel_shape") == graph.count(b"Conv")  # WebGPU wants them
    session = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
    for size in (32, 64):
        inputs = {name: torch.rand(1, c, size, size) for name, c in INPUTS.items()}
        with torch.no_grad():
            y, skips = F.relu(net.features(inputs["generated"]) + net.picture(inputs["picture"])), []
            for down in net.down:
                y = down(y)
                skips.append(y)
            skips.pop()
            for lift, up in zip(net.lift, net.up, strict=True):
                y = up(F.interpolate(lift(y), scale_factor=2, mode="nearest") + skips.pop())
            y = net.head(y) + net.detail(inputs["picture"])
        found = session.run(["y"], {name: x.numpy() for name, x in inputs.items()})[0]
        assert found.shape == y.shape == (1, 80, size // 4, size // 4)
        assert np.abs(found - y.numpy()).max() < 2e-3 * float(y.abs().max())
