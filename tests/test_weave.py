"""Patterns carried to the unseen side: what a pattern is, what a wrinkle is, and how patches are laid."""

from __future__ import annotations

import numpy as np
import pytest

from dinar.body import Body
from dinar.body.shells import Shell, wear
from dinar.labels import CLASSES, LABEL
from dinar.texture import restore
from dinar.texture.fold import CONFIDENT, fold, shown_clearly
from dinar.texture.surface import Surface, of_kind, surface
from dinar.texture.weave import CELL, PATCH, detail_of, pattern_of, quilt, woven
from dinar.texture.wrinkles import MOST, wrinkles

SIZE = 256


def cloth(rows: int, columns: int, period: float) -> np.ndarray:  # [rows, columns, 3]
    """Diagonal stripes."""
    i, j = np.mgrid[:rows, :columns]
    return np.repeat(0.2 * np.sin(2 * np.pi * (i + j) / period)[..., None], 3, 2).astype(np.float32)


def test_stripes_go_on_across_the_patches() -> None:
    seen = cloth(80, 50, 10)
    made = quilt(seen, np.ones(seen.shape[:2], bool), np.ones((80, 130), bool))
    spectrum = np.abs(np.fft.rfft(made[..., 0] - made[..., 0].mean(), axis=1)).mean(0)
    assert spectrum.argmax() == 130 / 10 and made.std() == pytest.approx(seen.std(), rel=0.05)
    assert np.abs(np.diff(made[..., 0], axis=1)).max() < 2 * np.abs(np.diff(seen[..., 0], axis=1)).max()


def test_a_button_is_not_carried() -> None:
    seen = cloth(80, 80, 10)
    seen[5:9, 5:9] += 2
    made = quilt(seen, np.ones(seen.shape[:2], bool), np.ones((80, 130), bool))
    assert made.max() < 0.25 and np.abs(made).mean() > 0.1


def test_stripes_that_change_with_height_stay_at_their_height() -> None:
    seen = np.where(np.arange(160)[:, None, None] < 80, cloth(160, 50, 10), cloth(160, 50, 10)[::-1])
    seen[80:] *= [1, -1, 1]
    made = quilt(seen, np.ones(seen.shape[:2], bool), np.ones((160, 130), bool))
    opposed = made[..., 0] * made[..., 1]
    assert (opposed[: 80 - PATCH] >= 0).all() and (opposed[80 + PATCH :] <= 0).all()


@pytest.mark.parametrize("seen", [np.zeros((5, 50), bool), np.zeros((80, 50), bool), np.eye(80, 50, dtype=bool),
                                  np.pad(np.ones((PATCH + 4, PATCH + 4), bool), 9)])  # fmt: skip
def test_too_little_seen_gives_no_pattern(seen: np.ndarray) -> None:
    made = quilt(np.ones((*seen.shape, 3), np.float32), seen, np.ones((len(seen), 40), bool))
    assert made.shape == (len(seen), 40, 3) and not made.any()


def places(columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    i, j = np.mgrid[:100, :columns]
    return i.ravel(), j.ravel(), np.stack([i.ravel() * CELL, j.ravel() * CELL, 0 * i.ravel()], 1)


def patterned(**likelihood: float) -> np.ndarray:
    """[2, classes]: these cloths are patterned so likely; those on arms are named sleeves_CLASS."""
    out = np.full((2, len(CLASSES)), np.nan, np.float32)
    for name, p in likelihood.items():
        out[int(name.startswith("sleeves_")), LABEL[name.removeprefix("sleeves_")]] = p
    return out


def test_a_likely_pattern_is_one_and_an_unlikely_one_is_none() -> None:
    told, upper = patterned(upper=0.9, lower=0.1, skirt=0.65), LABEL["upper"]
    found = [pattern_of(told, LABEL[c], False) for c in ("upper", "lower", "skirt", "outer", "skin")]
    assert found == pytest.approx([1, 0, 0.5, 0, 0])
    assert pattern_of(None, upper, False) == 0
    assert pattern_of(patterned(outer=0.9), upper, False) == 1, "outerwear that is seen on one half alone"
    assert pattern_of(patterned(outer=0.9, upper=0.1), upper, False) == 0
    sleeves = patterned(upper=0.1, sleeves_upper=0.9)
    assert pattern_of(sleeves, upper, True) > 0.7 and pattern_of(sleeves, upper, False) == 0
    assert pattern_of(patterned(upper=0.9), upper, True) == 1, "of sleeves too short to tell"
    assert pattern_of(patterned(upper=0.9, sleeves_upper=0.5), upper, True) == 1, "of sleeves that are not clear"
    jacket = patterned(outer=0.9, sleeves_outer=0.1), patterned(outer=0.1, sleeves_outer=0.9)
    assert [pattern_of(x, LABEL["outer"], False) for x in jacket] == [0, 0]
    assert [pattern_of(x, LABEL["outer"], True) for x in jacket] == pytest.approx([0, 0.8])


def test_the_colour_behind_is_not_that_of_glaring_light(body: Body) -> None:
    """Most of a red trunk is in the sun."""
    s = surface(body, SIZE)
    torso = of_kind(s, "torso")
    sun = torso & (np.abs(s.x[:, 0]) < 0.12)
    colour = np.where(sun[:, None], (1, 0.5, 0.5), (0.7, 0.05, 0.05)).astype(np.float32)
    lam = np.where(torso & (s.x[:, 2] > 0), 1, 0).astype(np.float32)
    out, behind, done = np.zeros_like(s.x), np.zeros(len(s.x), np.uint8), np.zeros(len(s.x), bool)
    worn = np.full(len(s.x), LABEL["upper"], np.uint8)
    fold(s, "torso", colour, lam, *shown_clearly(s, colour, worn, lam > CONFIDENT), out, behind, done)
    back = torso & (s.x[:, 2] < -0.08)
    assert np.quantile(np.abs(out[back] - (0.7, 0.05, 0.05)).max(1), 0.9) < 0.1


def test_wide_patterns_keep_their_strength_and_fine_ones_lose_single_lines() -> None:
    i, j, place = places(100)
    wide = 0.3 * np.sin(j * CELL * 2 * np.pi / 0.1)[:, None] * [1, -1, 0.5]
    inside = (np.abs(i - 50) < 25) & (np.abs(j - 50) < 25)
    assert np.abs(detail_of(0.5 + wide, place, 1)[inside]).max() > 0.9 * 0.3
    assert not detail_of(0.5 + wide, place, 0).any()
    tweed = 0.3 + 0.05 * np.sign(np.sin(i) * np.sin(j))[:, None] * [1, 1, 1]
    tweed[j == 50] += 0.5  # a zip
    detail = detail_of(tweed, place, 1)
    assert detail[j == 50].max() < 0.1 and np.abs(detail[inside & (j < 45)]).max() > 0.04


def test_a_skirt_is_a_cylinder_and_patterns_keep_their_size_on_it(body: Body) -> None:
    skirted = wear(body, (Shell("skirt", -0.5),))
    s = surface(skirted, SIZE)
    low = skirted.of_segment("skirt")[s.texels.face] & (s.x[:, 1] < -0.2)
    height = s.chart[low, 0] - s.x[low, 1]
    assert np.ptp(height) < 1e-3
    front = np.abs(s.chart[:, 1]) < np.deg2rad(70)
    shown, hidden = low & front, low & (np.abs(s.chart[:, 1]) > np.deg2rad(130))
    stripes = np.repeat(0.2 * np.sin(2 * np.pi * s.x[:, :1] / 0.06), 3, 1).astype(np.float32)
    made = woven(s, "torso", shown, stripes[shown], hidden)
    assert period(s, shown, stripes[shown, 0]) == pytest.approx(period(s, hidden, made[:, 0]), rel=0.3)


def period(s: Surface, at: np.ndarray, value: np.ndarray) -> float:
    """Metres between changes of sign along x at one height."""
    row = np.abs(s.x[at, 1] + 0.35) < 0.004
    order = np.argsort(s.x[at, 0][row])
    x, sign = s.x[at, 0][row][order], value[row][order] > 0
    return float(np.ptp(x) / max((sign[1:] != sign[:-1]).sum(), 1))


def test_a_pattern_is_taken_from_where_it_is_sharp(body: Body) -> None:
    """What is seen aslant is blurred: here it has other colours."""
    s = surface(body, SIZE)
    torso = of_kind(s, "torso")
    away = np.abs(s.chart[:, 1])
    lam = np.where(torso & (away < np.deg2rad(90)), np.where(away < np.deg2rad(45), 1, 0.5), 0)
    back = torso & (away > np.deg2rad(140))
    checks = np.sign(np.sin(s.x[:, 0] * 2 * np.pi / 0.05) * np.sin(s.x[:, 1] * 2 * np.pi / 0.05))[:, None]
    colours = 0.5 + 0.3 * checks * np.where(lam[:, None] == 1, [1, 1, 1], [1, -1, 1])
    out = restore(body, put(s, colours.astype(np.float32)), put(s, lam.astype(np.float32)),
                  put(s, np.where(lam > 0, LABEL["upper"], 0).astype(np.uint8)),
                  patterns=patterned(upper=1))  # fmt: skip
    red, green, _ = out.reshape(-1, 3)[s.texels.index[back]].T
    assert np.corrcoef(red, green)[0, 1] > 0.95 and red.std() > 0.15


def put(s: Surface, x: np.ndarray) -> np.ndarray:
    out = np.zeros((SIZE * SIZE, *x.shape[1:]), x.dtype)
    out[s.texels.index] = x
    return out.reshape(SIZE, SIZE, *x.shape[1:])


def test_a_back_is_chequered_where_the_cloth_is_told_to_be(body: Body) -> None:
    s = surface(body, SIZE)
    torso = of_kind(s, "torso")
    front = torso & (np.abs(s.chart[:, 1]) < np.deg2rad(75))
    back = torso & (np.abs(s.chart[:, 1]) > np.deg2rad(120))
    spread = []
    for told in (0.9, 0.1):
        rgb, lam, worn = (np.zeros((SIZE * SIZE, *shape), np.float32) for shape in ((3,), (), ()))
        checks = np.sign(np.sin(s.x[:, 0] * 2 * np.pi / 0.05) * np.sin(s.x[:, 1] * 2 * np.pi / 0.05))
        rgb[s.texels.index[front]] = 0.5 + 0.25 * checks[front, None]
        lam[s.texels.index[front]] = np.cos(s.chart[front, 1])
        worn[s.texels.index[front]] = LABEL["upper"]
        out = restore(body, rgb.reshape(SIZE, SIZE, 3), lam.reshape(SIZE, SIZE),
                      worn.reshape(SIZE, SIZE).astype(np.uint8), patterns=patterned(upper=told))  # fmt: skip
        spread.append(out.reshape(-1, 3)[s.texels.index[back], 0].std())
    assert spread[0] > 0.1 and spread[1] < 0.05


def test_wrinkles_go_on_behind_a_leg_but_no_thing_and_none_on_skin(body: Body) -> None:
    s = surface(body, SIZE)
    leg = of_kind(s, "leg")
    front, back = (leg & on for on in (np.abs(s.chart[:, 1]) < np.deg2rad(80), np.abs(s.chart[:, 1]) > np.deg2rad(130)))
    wrinkle = 0.1 * np.sin(2 * np.pi * s.chart[:, 0] / 0.06)
    spot = (np.abs(s.chart[:, 0] - 0.3) < 0.012) & (np.abs(s.chart[:, 1]) > np.deg2rad(50))

    def behind(kind: str, light: np.ndarray) -> np.ndarray:
        colour = np.float32([0.3, 0.3, 0.5]) * np.exp(light)[:, None]
        out = restore(body, put(s, (colour * front[:, None]).astype(np.float32)), put(s, front.astype(np.float32)),
                      put(s, (front * LABEL[kind]).astype(np.uint8)))  # fmt: skip
        return np.log(out.reshape(-1, 3)[s.texels.index]).mean(1)

    made = behind("lower", wrinkle)
    assert np.corrcoef(made[back], wrinkle[back])[0, 1] > 0.8 and 0.03 < made[back].std() < MOST
    assert behind("skin", wrinkle)[back].std() < 0.02
    strap = behind("lower", np.where(spot, -0.6, wrinkle / 2))
    assert strap[back & (np.abs(s.chart[:, 0] - 0.3) < 0.02)].min() - np.median(strap[back]) > -0.09


def test_wrinkles_are_not_taken_from_a_large_print() -> None:
    """White cloth with a green print that is folded like it."""
    y, x = (a.ravel() for a in np.meshgrid(np.arange(0, 0.6, 0.004), np.arange(0, 0.4, 0.004), indexing="ij"))
    print_ = (np.abs(x - 0.1) < 0.08) & (np.abs(y - 0.3) < 0.15)
    light = np.exp(0.1 * np.sin(2 * np.pi * y / 0.05))[:, None]
    colour = np.where(print_[:, None], (0.2, 0.5, 0.4), (0.8, 0.8, 0.8)) * light
    place = np.stack([y, x, 0 * x], 1)
    depth = wrinkles(colour, place, place, place, np.zeros(len(x)))
    inside = (np.abs(x - 0.1) < 0.04) & (np.abs(y - 0.3) < 0.1)
    assert depth[x > 0.25].std() > 0.03 and depth[inside].std() < 0.6 * depth[x > 0.25].std()


def test_stripes_go_on_behind_where_too_little_is_seen_for_patches(body: Body) -> None:
    s = surface(body, SIZE)
    torso = of_kind(s, "torso")
    front = torso & (np.abs(s.chart[:, 1]) < np.deg2rad(12))
    back = torso & (np.abs(s.chart[:, 1]) > np.deg2rad(140))
    stripes = np.sign(np.sin(s.x[:, 1] * 2 * np.pi / 0.05))
    rgb, lam, worn = (np.zeros((SIZE * SIZE, *shape), np.float32) for shape in ((3,), (), ()))
    rgb[s.texels.index[front]] = 0.5 + 0.35 * stripes[front, None]
    lam[s.texels.index[front]], worn[s.texels.index[front]] = 1, LABEL["upper"]
    out = restore(body, rgb.reshape(SIZE, SIZE, 3), lam.reshape(SIZE, SIZE),
                  worn.reshape(SIZE, SIZE).astype(np.uint8), patterns=patterned(upper=1))  # fmt: skip
    assert out.reshape(-1, 3)[s.texels.index[back], 0].std() > 0.15
