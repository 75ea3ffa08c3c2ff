"""Fabrics, backgrounds and photographs of synthetic people: what they promise, not how they look."""

from __future__ import annotations

import colorsys
import dataclasses

import cv2
import numpy as np
import pytest
import torch

from dinar.errors import DinarError
from dinar.scene import look_at
from dinar.synthetic.base.colours import sample_palette, to_srgb
from dinar.synthetic.garments.fabric import USES, Fabric, Points, sample_fabric, shade_fabric
from dinar.synthetic.garments.swatches import MAKERS
from dinar.synthetic.render.background import render_place, sample_place
from dinar.synthetic.render.photograph import photograph

SIZE = 96


def points(n: int = 1500, seed: int = 0, footprint: float = 0.004) -> Points:
    """Anywhere on a body, and at its edges."""
    g = torch.Generator().manual_seed(seed)
    u = lambda low, high: torch.rand(n, generator=g) * (high - low) + low  # noqa: E731
    p = torch.stack([u(-0.3, 0.3), u(-1, 0.65), u(-0.2, 0.2)], 1)
    limb = torch.randint(0, 5, (n,), generator=g)
    along = torch.where(limb == 0, p[:, 1], torch.where(limb < 3, u(0, 0.55), -0.015 - p[:, 1]))
    return Points(p, u(-0.5, 0.5), along, limb, u(-1, 1), u(0, 0.4), torch.zeros(n, 2), torch.full((n,), footprint))


def panel(front: bool, low: float = -0.15, high: float = 0.45) -> Points:
    """The middle of a torso, 8 mm apart, seen from the front or the back."""
    y, x = torch.meshgrid(torch.arange(high, low, -0.008), torch.arange(-0.14, 0.14, 0.008), indexing="ij")
    x, y, n = x.flatten(), y.flatten(), x.numel()
    s = 1.0 if front else -1.0
    p = torch.stack([x, y, torch.full((n,), 0.12 * s)], 1)
    around = x if front else torch.sign(x) * (0.5 - x.abs())
    far = torch.full((n,), 0.3)
    return Points(p, around, y, torch.zeros(n, dtype=torch.long), torch.full((n,), 0.95 * s), far,
                  torch.zeros(n, 2), torch.full((n,), 0.004))  # fmt: skip


def fabric(seed: int, use: str) -> Fabric:
    return sample_fabric(np.random.default_rng(seed), use)


@pytest.mark.parametrize("use", USES)
def test_shading_is_finite_and_within_bounds(use: str) -> None:
    for seed in range(3):
        albedo, slope = shade_fabric(fabric(seed, use), points(footprint=(0.0005, 0.004, 0.03)[seed]))
        assert albedo.shape == (1500, 3) and slope.shape == (1500, 2)
        assert albedo.dtype == slope.dtype == torch.float32
        assert albedo.isfinite().all() and slope.isfinite().all()
        assert albedo.min() >= 0.0099 and albedo.max() <= 0.951
        assert slope.abs().max() < 6


def test_same_seed_same_clothes() -> None:
    for use in ("tee", "jacket", "jeans", "dress"):
        a, b = fabric(7, use), fabric(7, use)
        for f in dataclasses.fields(Fabric):
            x, y = getattr(a, f.name), getattr(b, f.name)
            assert np.array_equal(x, y) if isinstance(x, np.ndarray) else x == y, f.name
        for x, y in zip(shade_fabric(a, points()), shade_fabric(b, points()), strict=True):
            assert torch.equal(x, y)
        assert not torch.equal(shade_fabric(a, points())[0], shade_fabric(fabric(8, use), points())[0])


def test_a_garment_takes_one_draw() -> None:
    """So that what a person wears does not change the pose or camera that are drawn after."""
    states = set()
    for use in ("tee", "bag", "coat"):
        rng = np.random.default_rng(3)
        palette = sample_palette(rng)
        sample_fabric(rng, use, palette)
        states.add(rng.random())
    assert len(states) == 1


@pytest.mark.parametrize("use", ["shirt", "jacket", "coat", "trousers", "jeans"])
def test_front_and_back_differ(use: str) -> None:
    """Openings, flies and pockets: the back is no mirrored front. Folds and grain are taken out first."""
    low, high = (-0.1, 0.09) if use in ("trousers", "jeans") else (-0.15, 0.45)
    for seed in range(4):
        f = dataclasses.replace(fabric(seed, use), kind="solid", swatch=None, swatch_height=None, folds=0.0, bunch=0.0,
                                melange=0.0, stains=0.0, fade=0.0, gradient=None, pleats=0.0)  # fmt: skip
        front, back = (shade_fabric(f, panel(s, low, high)) for s in (True, False))
        drawn = ((front[0] - back[0]).abs().amax(1) > 0.02 * front[0].mean()).float().mean()
        relief = ((front[1] - back[1]).abs().amax(1) > 0.05).float().mean()
        assert max(drawn, relief) > 0.02, (use, seed)


def test_colours_are_muted() -> None:
    """Mean HSV saturation of clothes; 332 garments of labelled street photos have .25 mean, .19 median."""
    saturation, light = [], []
    for seed in range(90):
        f = fabric(seed, ("tee", "shirt", "sweater", "jacket", "coat", "trousers", "jeans", "dress")[seed % 8])
        f = dataclasses.replace(f, sheet=None)
        mean = to_srgb(shade_fabric(f, points(300, seed))[0].mean(0).double().numpy())
        saturation.append(colorsys.rgb_to_hsv(*mean)[1])
        light.append(mean.mean())
    assert 0.1 < np.mean(saturation) < 0.36
    assert np.mean(np.array(saturation) > 0.75) < 0.06
    assert 0.2 < np.mean(light) < 0.6


def test_detail_fades_with_distance() -> None:
    """A pixel that covers many repeats sees their mean, not one of them."""
    f = next(f for f in (fabric(s, "shirt") for s in range(200)) if f.kind == "pinstripes")
    f = dataclasses.replace(f, folds=0.0, bunch=0.0, melange=0.0, stains=0.0, sheet=None)
    q = panel(True)
    near, far = (shade_fabric(f, dataclasses.replace(q, footprint=q.footprint * k))[0] for k in (0.1, 10.0))
    assert far.std(0).max() < 0.3 * near.std(0).max()
    assert torch.allclose(far.mean(0), near.mean(0), rtol=0.25)


@pytest.mark.parametrize("kind", MAKERS)
def test_swatches_are_squares_of_a_power_of_two(kind: str) -> None:
    s = MAKERS[kind](np.random.default_rng(1), ((0.02, 0.02, 0.03), (0.6, 0.6, 0.5), (0.3, 0.05, 0.04)))
    n = len(s.rgb)
    assert s.rgb.shape == (n, n, 3) and s.rgb.dtype == np.uint8 and n & (n - 1) == 0
    assert s.height is None or s.height.shape == (n, n)
    assert 0.002 < s.size < 1


def test_unknown_use_is_refused() -> None:
    with pytest.raises(DinarError, match="must be one of"):
        fabric(0, "cape")


def camera(azimuth: float = 0.4):
    eye = torch.tensor([3 * np.sin(azimuth), 1.3, 3 * np.cos(azimuth)])
    return look_at(eye, torch.tensor([0.0, 0.9, 0.0]), SIZE, SIZE, 1.3 * SIZE)


def test_backgrounds() -> None:
    kinds = set()
    for seed in range(16):
        place = sample_place(np.random.default_rng(seed))
        kinds.add(place.kind)
        image, mask, floor = render_place(place, camera(), 0.0, "cpu")
        assert image.shape == (SIZE, SIZE, 3) and mask.shape == (SIZE, SIZE) and floor.shape == (SIZE, SIZE, 3)
        assert image.isfinite().all() and image.min() >= 0 and image.max() <= 1
        assert 0.01 < image.mean() < 0.95
        assert floor.isfinite().all() and mask.any() and not mask[0].any()
        # floor points project to the pixels they belong to
        xy, depth = camera().project(floor[mask])
        i, j = torch.where(mask)
        assert (depth > 0).all() and torch.allclose(xy, torch.stack([j, i], 1) + 0.5, atol=0.02)
    assert len(kinds) >= 5
    once, again = (render_place(sample_place(np.random.default_rng(5)), camera(), 0.0, "cpu")[0] for _ in range(2))
    assert torch.equal(once, again)


def test_backgrounds_of_the_user(tmp_path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 90, 3), (0, 0, 255), np.uint8))
    found = [sample_place(np.random.default_rng(s), tmp_path) for s in range(8)]
    own = [p for p in found if p.kind == "picture"]
    assert 0 < len(own) < 8
    image, mask, _ = render_place(own[0], camera(), 0.0, "cpu")
    assert image.shape == (SIZE, SIZE, 3) and not mask.any()
    assert image[..., 0].mean() > 10 * image[..., 2].mean()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DinarError, match="got none"):
        [sample_place(np.random.default_rng(s), tmp_path / "empty") for s in range(8)]


def test_photographs() -> None:
    y = torch.linspace(0.02, 0.7, SIZE)
    scene = torch.stack([y, 0.9 * y, 0.8 * y], 1)[None].repeat(SIZE, 1, 1)
    plain = photograph(scene, np.random.default_rng(0), 0.0)
    assert plain.dtype == torch.uint8 and plain.shape == (SIZE, SIZE, 3)
    assert np.abs(plain.numpy() - to_srgb(scene.numpy()) * 255).max() <= 1
    shots = torch.stack([photograph(scene, np.random.default_rng(s)).float() for s in range(24)])
    assert torch.equal(shots[3], photograph(scene, np.random.default_rng(3)).float())
    assert shots.std(0).mean() > 3
    assert (shots.mean(0) - plain).abs().mean() < 35  # natural on average: exposure, not another picture
