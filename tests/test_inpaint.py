"""Textures in batches, conditioning, samplers, eq. 6 and 7, refinement: against brute force and against their twins."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dinar.errors import DinarError
from dinar.nets.channels import FILL, SAMPLED
from dinar.nets.presets import build
from dinar.nets.renderer import FastRenderer
from dinar.neural import texture as neural
from dinar.neural.blend import blend
from dinar.neural.condition import condition, fill_from_mirror, fill_with, resize
from dinar.neural.inpaint import inpaint
from dinar.neural.refine import Refinement, match_colours, refine
from dinar.neural.sampler import SAMPLERS, denoise, noise_schedule
from dinar.neural.texture import Fine, Partial, compose, mirror, rasterize_texture, sample
from dinar.texture import merge as numpy_merge
from dinar.texture import scatter as numpy_scatter

# ---- textures ------------------------------------------------------------------------------------------------------


def test_scatter_and_merge_equal_their_numpy_twins() -> None:
    rng = np.random.default_rng(0)
    uv, values = rng.random((2, 2, 40, 30), np.float32), rng.random((2, 4, 40, 30), np.float32)
    on = rng.random((2, 1, 40, 30)) > 0.3
    t, smp, fill = neural.scatter(*map(torch.from_numpy, (values, uv, on)), 24)
    for i in range(2):
        pick = lambda x: x[i].transpose(1, 2, 0)[on[i, 0]]  # noqa: B023, E731
        want, hit, filled = numpy_scatter(pick(uv), pick(values), 24)
        np.testing.assert_allclose(t[i].permute(1, 2, 0), want, atol=1e-6)
        assert (smp[i, 0].numpy() > 0).tolist() == hit.tolist() and (fill[i, 0].numpy() > 0).tolist() == filled.tolist()
    nothing = neural.scatter(*map(torch.from_numpy, (values, uv, on & False)), 8)
    assert all(float(x.abs().max()) == 0 for x in nothing)

    textures, lam = torch.rand(3, 21, 8, 8), (torch.rand(3, 1, 8, 8) - 0.4).clamp(min=0)
    merged, most = neural.merge(textures, lam)
    want, want_most = numpy_merge(textures.permute(0, 2, 3, 1).numpy(), lam[:, 0].numpy())
    seen = lam.amax(0)[0] > 0
    np.testing.assert_allclose(merged.permute(1, 2, 0)[seen], want[seen.numpy()], atol=1e-6)
    np.testing.assert_allclose(most[0], want_most)
    assert torch.allclose(merged[:, ~seen], textures.mean(0)[:, ~seen], atol=1e-6)


def test_sampled_and_rasterised_again_is_the_photo() -> None:
    """A flat card whose UV is the picture's own grid: eq. 2 and R undo each other where the mask is not eroded."""
    torch.manual_seed(0)
    n = 32
    y, x = torch.meshgrid(*[(torch.arange(n) + 0.5) / n] * 2, indexing="ij")
    uv, body = torch.stack([x, y])[None], torch.ones(1, 1, n, n)
    rgb = torch.rand(1, 3, n, n)
    mask = torch.zeros(1, 1, n, n)
    mask[..., 4:28, 4:28] = 1
    part = sample(rgb, mask, uv, body, body, n)
    assert torch.equal(part.smp[0, 0, 5:27, 5:27], torch.ones(22, 22)) and float(part.smp.sum()) == 22 * 22
    T = compose(torch.rand(1, 16, n, n), part)
    out = rasterize_texture(T, uv, body)
    assert torch.allclose(out[:, SAMPLED] * part.smp, rgb * part.smp, atol=1e-5)
    assert torch.allclose(out[:, :16], T[:, :16], atol=1e-5)
    assert float(rasterize_texture(T, uv, body * 0).abs().max()) == 0
    fine = Fine(torch.rand(1, 3, 2 * n, 2 * n), torch.ones(1, 1, 2 * n, 2 * n))
    out = rasterize_texture(T, uv, body, fine)
    assert torch.allclose(out[:, SAMPLED], F.avg_pool2d(fine.rgb, 2), atol=1e-5) and float(out[:, FILL].min()) == 1


def test_colours_do_not_fade_at_the_border_of_the_known() -> None:
    n = 16
    y, x = torch.meshgrid(*[(torch.arange(4 * n) + 0.5) / (4 * n)] * 2, indexing="ij")
    known = torch.zeros(1, 1, n, n)
    known[..., :8] = 1
    T = compose(torch.zeros(1, 16, n, n), Partial(0.7 * known.expand(1, 3, n, n), known, known, known))
    out = rasterize_texture(T, torch.stack([x, y])[None], torch.ones(1, 1, 4 * n, 4 * n))
    border = (out[:, FILL] > 0.1).expand(1, 3, -1, -1)
    assert torch.allclose(out[:, SAMPLED][border], torch.tensor(0.7), atol=1e-4)


# ---- conditioning and eq. 6 ----------------------------------------------------------------------------------------


def test_condition() -> None:
    torch.manual_seed(0)
    T, latents, other = torch.rand(2, 21, 32, 32), torch.rand(2, 6, 8, 8), torch.rand(2, 6, 8, 8)
    T[:, FILL] = (T[:, FILL] > 0.5).float()
    c = condition(T, latents)
    assert c.shape == (2, 7, 8, 8) and torch.equal(c[:, :6], latents)
    for y in range(8):  # bilinear without antialiasing: the middle of a 4×4 block is the mean of its 4 inner texels
        for x in range(8):
            block = T[:, 20, 4 * y + 1 : 4 * y + 3, 4 * x + 1 : 4 * x + 3].mean((1, 2))
            assert torch.allclose(c[:, 6, y, x], block, atol=1e-6)
    both = condition(T, latents, other)
    assert torch.equal(both[:, 7:13], other)
    assert torch.allclose(both[:, 13:], resize(T[:, FILL].flip(-1), 8))
    assert torch.equal(mirror(mirror(T)), T)


def test_filled_takes_the_other_half_then_what_is_around() -> None:
    torch.manual_seed(0)
    T = torch.rand(1, 21, 32, 32)
    T[:, 19:] = 0
    T[:, 19:, :16, :16] = 1
    T[:, SAMPLED] *= T[:, FILL]
    out = fill_from_mirror(T)
    assert torch.equal(out[:, :19, :16, :16], T[:, :19, :16, :16])
    assert torch.equal(out[:, SAMPLED, :16, 16:], mirror(T)[:, SAMPLED, :16, 16:])
    assert torch.equal(out[:, :16], T[:, :16]) and float(out[:, 19:].min()) == 1
    assert out[:, SAMPLED, 16:].min() > 0.2 and out[:, SAMPLED, 16:].max() < 0.8  # smooth


def test_a_denoiser_of_differences_starts_from_the_fill() -> None:
    """One that knows nothing makes of any noise what the VQGAN makes of the filled texture."""
    torch.manual_seed(0)
    vqgan, denoiser = (
        build("nano", "vqgan", size=32, linear=False).eval(),
        build("nano", "denoiser", residual=True).eval(),
    )
    denoiser.std.fill_(1e-6)
    T = torch.rand(1, 21, 32, 32)
    T[:, FILL] = (T[:, FILL] > 0.5).float()
    _, restored = inpaint(vqgan, denoiser, T, (0, 1), steps=2)  # type: ignore[arg-type]
    with torch.no_grad():
        want = vqgan.decode(vqgan.encode(fill_from_mirror(T)))  # type: ignore[operator]
    assert torch.allclose(restored, want.expand_as(restored), atol=1e-3)
    plain = build("nano", "denoiser", residual=False).eval()
    plain.std.fill_(1e-6)
    _, other = inpaint(vqgan, plain, T, (0, 1), steps=2)  # type: ignore[arg-type]
    assert (other - want).abs().max() > 1e-3


def test_a_denoiser_may_start_from_the_regressor() -> None:
    torch.manual_seed(0)
    vqgan = build("nano", "vqgan", size=32, linear=False).eval()
    denoiser = build("nano", "denoiser", start="regression").eval()
    denoiser.std.fill_(1e-6)
    T, answer = torch.rand(1, 21, 32, 32), torch.rand(1, 3, 32, 32)
    T[:, FILL] = (T[:, FILL] > 0.5).float()
    filled = fill_with(T, answer)
    seen = (T[:, FILL] > 0.5).expand(-1, 3, -1, -1)
    assert torch.equal(filled[:, SAMPLED], torch.where(seen, T[:, SAMPLED], answer))
    _, restored = inpaint(vqgan, denoiser, T, (3,), steps=2, start=answer)  # type: ignore[arg-type]
    with torch.no_grad():
        want = vqgan.decode(vqgan.encode(filled))  # type: ignore[operator]
    assert torch.allclose(restored, want, atol=1e-3)
    with pytest.raises(DinarError, match="starts from the regressor's answer"):
        inpaint(vqgan, denoiser, T, (3,), steps=2)  # type: ignore[arg-type]


def test_blend_is_equation_6() -> None:
    torch.manual_seed(0)
    restored, partial = torch.rand(2, 21, 16, 16), torch.rand(2, 21, 16, 16)
    B = (torch.rand(2, 1, 16, 16) > 0.5).float()
    partial[:, FILL] = B
    T = blend(restored, partial)
    for i in range(2):
        for y in range(16):
            for x in range(16):
                want = partial[i, :19, y, x] if B[i, 0, y, x] else restored[i, :19, y, x]
                assert torch.equal(T[i, :19, y, x], want)
    assert float(T[:, 19:].min()) == 1


def test_soft_borders_stay_within_islands() -> None:
    """Half known, in one island of two: the border inside the island is soft, its rim and the other island are not."""
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[2:10, 2:22] = inside[14:22, 2:22] = True
    partial, restored = torch.ones(1, 21, 24, 24), torch.zeros(1, 21, 24, 24)
    partial[:, 19:] = 0
    partial[:, FILL, 2:10, 2:12] = 1
    w = blend(restored, partial, inside)[0, 0]
    assert torch.equal(w[2:10, 2:10], torch.ones(8, 8))  # at the rim, too
    assert float(w[:, 12:].abs().max()) == 0 and float(w[14:].abs().max()) == 0
    row = w[5, 8:13]
    assert ((row[:-1] - row[1:]) >= 0).all() and 0 < float(row[3]) < 1


# ---- samplers ------------------------------------------------------------------------------------------------------


class Oracle(nn.Module):
    """Knows the answer x0, so it can tell the noise."""

    def __init__(self, x0: Tensor) -> None:
        super().__init__()
        self.x0, self.config = x0, {"latent": x0.shape[0], "mirror": False, "prediction": "epsilon"}
        self.abar = noise_schedule("ddpm").alphas_cumprod

    def forward(self, x: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        a = self.abar[t].view(-1, 1, 1, 1)
        return (x - a.sqrt() * self.x0) / (1 - a).sqrt()

    def denormalize(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize(("name", "steps"), [("ddpm", 50), ("ddim", 50), ("ddim0", 20), ("dpm++", 12)])
def test_samplers_find_what_the_noise_hides(name: str, steps: int) -> None:
    x0 = torch.randn(6, 8, 8, generator=torch.Generator().manual_seed(5))
    found = denoise(Oracle(x0), torch.zeros(2, 7, 8, 8), (1, 2), name, steps)  # type: ignore[arg-type]
    assert (found - x0).abs().max() < 0.02


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_seed_is_a_sample(name: str) -> None:
    torch.manual_seed(0)
    net = build("nano", "denoiser").eval()
    net.std.fill_(2.0)
    told = torch.randn(1, 14, 8, 8)
    two = denoise(net, told.expand(2, -1, -1, -1), (3, 4), name, 4)
    torch.randn(7)  # the global state does not matter
    again = denoise(net, told, (4,), name, 4)
    assert (two[1:] - again).abs().max() < 1e-4 * again.abs().max()
    assert (two[0] - again[0]).abs().max() > 1e-2


def test_wrong_sampler_and_seeds() -> None:
    with pytest.raises(DinarError, match=r"expected a sampler of ddpm"):
        noise_schedule("euler")
    with pytest.raises(DinarError, match="a seed for each of 1"):
        denoise(Oracle(torch.zeros(6, 4, 4)), torch.zeros(1, 7, 4, 4), (1, 2))  # type: ignore[arg-type]


def test_inpaint_keeps_the_photo() -> None:
    torch.manual_seed(0)
    vqgan, denoiser = build("nano", "vqgan", size=32).eval(), build("nano", "denoiser").eval()
    T = torch.rand(1, 21, 32, 32)
    T[:, FILL] = 0
    T[:, FILL, :, :16] = 1
    whole, restored = inpaint(vqgan, denoiser, T, (0, 1, 2), steps=2)  # type: ignore[arg-type]
    assert whole.shape == restored.shape == (3, 21, 32, 32)
    assert torch.equal(whole[:, :19, :, :16], T[:, :19, :, :16].expand(3, -1, -1, -1))
    assert torch.equal(whole[:, :19, :, 16:], restored[:, :19, :, 16:])
    assert float(whole[:, 19:].min()) == 1


# ---- eq. 7 and refinement ------------------------------------------------------------------------------------------


def test_colour_matching_is_equation_7() -> None:
    T = torch.rand(1, 21, 4, 4)
    a, b = torch.tensor([0.9, 1.1, 1.0]), torch.tensor([0.1, 0.0, -0.1])
    out = match_colours(T, a, b)
    for c in range(21):
        want = T[0, c] * a[c - 16] + b[c - 16] if 16 <= c < 19 else T[0, c]
        assert torch.equal(out[0, c], want)


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("rival", [False, True])
def test_refinement_nears_the_photo_and_leaves_the_unseen(fine: bool, rival: bool) -> None:
    torch.manual_seed(0)
    n = 64
    y, x = torch.meshgrid(*[(torch.arange(n) + 0.5) / n] * 2, indexing="ij")
    uv = torch.stack([0.5 * x, y])[None]  # the photo shows the left half of the texture
    body = torch.zeros(1, 1, n, n)
    body[..., 8:56, 16:48] = 1
    photo = (0.3 + 0.3 * torch.stack([x, y, 1 - x]))[None] * body + 1 - body
    known = torch.zeros(1, 1, 32, 32)
    known[..., :16] = 1
    partial = compose(torch.zeros(1, 16, 32, 32), Partial(0.5 * known.expand(1, 3, -1, -1), known, known, known))
    light, all_ = torch.full((1, 3, 32, 32), 0.8), torch.ones_like(known)
    restored = compose(torch.zeros(1, 16, 32, 32), Partial(light, all_, all_, all_))
    layer = Fine(torch.full((1, 3, 64, 64), 0.5), F.interpolate(known, scale_factor=2)) if fine else None
    net = FastRenderer((16, 24), 1, 2).eval()
    judge = build("nano", "discriminator", size=32) if rival else None
    told = [p.clone() for p in judge.parameters()] if judge else []
    lam = known.clone()
    lam[..., :4] = 0.3  # seen at a slant: stays
    T, finer, (alpha, _) = refine(net, partial, restored, blend, lam, uv * body, body, body, photo, body, None, judge,
                                  layer, Refinement(steps=15, lr=2e-2))  # fmt: skip

    def error(T: Tensor, layer: Fine | None) -> float:
        rgb, a = net(rasterize_texture(T, uv * body, body, layer), uv * body, body)
        return float((((rgb * a + 1 - a) - photo).square() * body).mean())

    with torch.no_grad():
        assert error(T, finer) < 0.6 * error(blend(restored, partial), layer)
    before, after = (partial[:, SAMPLED], T[:, SAMPLED]) if layer is None else (layer.rgb, finer.rgb)  # type: ignore[union-attr]
    k = before.shape[-1] // 32
    assert torch.equal(after[..., : 3 * k], before[..., : 3 * k]) and not torch.equal(after[..., :16], before[..., :16])
    assert all(p.requires_grad for p in net.parameters())
    assert T.requires_grad is False and alpha.shape == (3,)
    # eq. 7 is fitted to a picture of T_res alone: its light grey gets nearer to the photo, whose mean is .45
    off = lambda x: float((x.mean((0, 2, 3)) - torch.tensor([0.45, 0.45, 0.45])).abs().mean())  # noqa: E731
    assert off(T[..., 16:][:, SAMPLED]) < off(light) - 0.05
    if judge is not None:  # the next photo starts with the same discriminator
        assert all(torch.equal(a, b) for a, b in zip(judge.parameters(), told, strict=True))
