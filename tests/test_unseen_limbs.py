"""What is not seen of feet and legs: heels have the shoe's colour, and nothing of hands and bags stays on thighs."""

from __future__ import annotations

import numpy as np
import pytest

from dinar.body import Body
from dinar.labels import LABEL
from dinar.scene import vertex_normals
from dinar.texture import restore
from dinar.texture.fold import CONFIDENT, fold, shown_clearly
from dinar.texture.surface import Surface, of_kind, surface

SIZE = 256
BLACK, SKIN, RED, BLUE = (0.1, 0.1, 0.1), (0.8, 0.6, 0.5), (0.7, 0.1, 0.1), (0.2, 0.4, 0.7)


@pytest.fixture(scope="module")
def s(body: Body) -> Surface:
    return surface(body, SIZE)


@pytest.fixture(scope="module")
def frontal(body: Body, s: Surface) -> np.ndarray:
    """[N] λ of somebody who is seen from in front."""
    normal = s.texels.sample(vertex_normals(body.v_template[None], body.faces)[0].numpy(), body.faces)
    return np.clip(normal[:, 2] / np.linalg.norm(normal, axis=1), 0, 1).astype(np.float32)


def whole(body: Body, s: Surface, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray) -> np.ndarray:
    """[N, 3] restored colours of all texels."""
    grids = []
    for values, kind in ((colour, np.float32), (lam, np.float32), (worn, np.uint8)):
        grids.append(np.zeros((SIZE * SIZE, *values.shape[1:]), kind))
        grids[-1][s.texels.index] = values
    out = restore(body, *(g.reshape(SIZE, SIZE, *g.shape[1:]) for g in grids))
    return out.reshape(-1, 3)[s.texels.index]


def feet_of(s: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[N] bool: feet, and their heels; metres [N] above the soles."""
    foot = of_kind(s, "foot")
    heel = foot & (s.x[:, 2] < np.quantile(s.x[foot, 2], 0.3))
    return foot, heel, s.x[:, 1] - s.x[foot, 1].min()


def test_heels_have_the_colour_of_frontal_texels_of_the_shoe(body: Body, s: Surface, frontal: np.ndarray) -> None:
    """A black shoe has the ground's light at its rim, and a sunny spot."""
    foot, heel, _ = feet_of(s)
    bright = (frontal < 0.1) | (s.x[:, 0] > np.quantile(s.x[foot & (s.x[:, 0] > 0), 0], 0.6))
    colour = np.where(bright[:, None], 0.9, BLACK)
    out = whole(body, s, colour, frontal, np.full(len(s.x), LABEL["shoes"], np.uint8))
    behind = heel & (frontal == 0)
    assert bright[foot & (frontal > 0)].mean() > 0.3 and behind.sum() > 100
    assert np.quantile(out[behind], 0.9) < 0.2


def test_shoes_end_at_one_height(body: Body, s: Surface, frontal: np.ndarray) -> None:
    """Boots below light trousers."""
    foot, heel, above = feet_of(s)
    top = 0.085
    shoe = foot & (above < top)
    colour = np.where(shoe[:, None], BLACK, 0.8)
    worn = np.where(shoe, LABEL["shoes"], LABEL["lower"]).astype(np.uint8)
    out = whole(body, s, colour, frontal, worn)[..., 0]
    behind = heel & (frontal == 0)
    assert np.median(out[behind & (above > 0.055) & (above < top - 0.01)]) < 0.2
    assert np.median(out[behind & (above > top + 0.01)]) > 0.6


def test_pumps_have_heels(body: Body, s: Surface, frontal: np.ndarray) -> None:
    """The instep's skin is as low as the heel of the shoe; so have shoes without toes. Bare feet with a strap have bare
    heels."""
    foot, heel, above = feet_of(s)
    toes = np.quantile(s.x[foot, 2], 0.85)
    pump, strap = foot & (s.x[:, 2] > toes), foot & (np.abs(s.x[:, 2] - toes) < 0.005)
    for shoe, red in ((pump, True), (strap, False), (foot & (s.x[:, 2] < toes - 0.04), True)):
        colour = np.where(shoe[:, None], RED, SKIN)
        worn = np.where(shoe, LABEL["shoes"], LABEL["skin"]).astype(np.uint8)
        out = whole(body, s, colour, frontal, worn)
        low = heel & (frontal == 0) & (above > 0.025) & (above < 0.045)
        assert low.sum() > 20 and (np.abs(out[low] - RED).max(1).mean() < 0.15) == red


def folded(s: Surface, colour: np.ndarray, lam: np.ndarray, worn: np.ndarray, kind: str = "leg") -> np.ndarray:
    """[N, 3] colours of legs, or another kind of part, as the rules restore them, without the light of the seen."""
    out, behind, done = np.zeros_like(s.x), np.zeros(len(s.x), np.uint8), np.zeros(len(s.x), bool)
    fold(s, kind, colour, lam, *shown_clearly(s, colour, worn, lam > CONFIDENT), out, behind, done)
    return out


def test_a_hand_before_a_leg_is_not_on_either(s: Surface, frontal: np.ndarray) -> None:
    """The right thigh shows a hand; at the same place the left one is hidden."""
    leg, lam = of_kind(s, "leg"), frontal.copy()
    along = (s.chart[:, 0] - s.chart[leg, 0].min()) / np.ptp(s.chart[leg, 0])
    place = leg & (np.abs(along - 0.3) < 0.07) & (s.chart[:, 1] > 0.3)
    hand, hidden = place & (s.x[:, 0] < 0), place & (s.x[:, 0] > 0)
    lam[hidden] = 0
    colour = np.where(hand[:, None], SKIN, BLUE).astype(np.float32)
    out = folded(s, colour, lam, np.where(hand, LABEL["skin"], LABEL["lower"]).astype(np.uint8))
    assert hidden.sum() > 50 and np.abs(out[hidden] - BLUE).max() < 0.1


def test_the_shade_of_a_hand_is_not_continued_on_a_plain_leg(s: Surface, frontal: np.ndarray) -> None:
    """A dark spot of the trousers is seen beside what is hidden."""
    leg, lam = of_kind(s, "leg"), frontal.copy()
    along = (s.chart[:, 0] - s.chart[leg, 0].min()) / np.ptp(s.chart[leg, 0])
    place = leg & (np.abs(along - 0.3) < 0.04) & (s.x[:, 0] > 0)
    spot, hidden = place & (np.abs(s.chart[:, 1] - 0.4) < 0.1), place & (s.chart[:, 1] > 0.5) & (s.chart[:, 1] < 1.2)
    lam[hidden] = 0
    colour = np.where(spot[:, None], 0.05, BLUE).astype(np.float32)
    out = folded(s, colour, lam, np.full(len(s.x), LABEL["lower"], np.uint8))
    assert hidden.sum() > 50 and np.abs(out[hidden] - BLUE).max(1).mean() < 0.15


def test_a_ragged_border_leaves_no_streaks_on_a_plain_leg(s: Surface, frontal: np.ndarray) -> None:
    """Single texels at the border of the seen are darker."""
    leg = of_kind(s, "leg")
    rim = leg & (frontal > 0) & (frontal < 0.5)
    dark = rim & (np.random.default_rng(0).random(len(s.x)) < 0.5)
    colour = (np.where(dark[:, None], 0.7, 1) * BLUE).astype(np.float32)
    out = folded(s, colour, frontal, np.full(len(s.x), LABEL["lower"], np.uint8))
    beside = leg & (frontal == 0) & (np.abs(s.chart[:, 1]) < 1.8)
    assert beside.sum() > 200 and out[beside, 2].std() < 0.03


def test_a_narrow_gap_is_closed_with_the_colours_beside_it(s: Surface, frontal: np.ndarray) -> None:
    """A dark stripe down a leg, cut by a line that is not seen."""
    leg, angle = of_kind(s, "leg"), s.chart[:, 1]
    stripe, line = leg & (np.abs(angle) < 0.3), leg & (np.abs(angle) < 0.04)
    colour = np.where(stripe[:, None], 0.5 * np.array(BLUE), BLUE).astype(np.float32)
    out = folded(s, colour, np.where(line, 0, frontal).astype(np.float32), np.full(len(s.x), LABEL["lower"], np.uint8))
    inside = line & (frontal > 0)
    assert inside.sum() > 20 and np.abs(out[inside] - 0.5 * np.array(BLUE)).max() < 0.15


def test_a_back_is_lit_between_the_half_in_the_sun_and_the_one_in_the_shade(s: Surface, frontal: np.ndarray) -> None:
    left = s.x[:, 0] > 0
    colour = np.where(left[:, None], np.array(BLUE), 0.4 * np.array(BLUE)).astype(np.float32)
    out = folded(s, colour, frontal, np.full(len(s.x), LABEL["upper"], np.uint8), "torso")
    back = of_kind(s, "torso") & (np.abs(s.chart[:, 1]) > 2.6)
    assert np.abs(np.median(out[back], 0) / BLUE - 0.4**0.5).max() < 0.05


def test_a_strap_on_one_arm_is_no_shade_of_both(s: Surface, frontal: np.ndarray) -> None:
    """All that is seen of one white sleeve is the black strap of a bag, which the parse takes for the sleeve."""
    arms, left = of_kind(s, "arm"), s.x[:, 0] > 0
    along = s.chart[:, 0]
    strap = arms & left & (along > np.quantile(along[arms], 0.4)) & (along < np.quantile(along[arms], 0.5))
    lam = np.where(arms & left & ~strap, 0, frontal).astype(np.float32)
    colour = np.where(strap[:, None], np.array((0.2, 0.2, 0.2)), np.array((0.9, 0.9, 0.9))).astype(np.float32)
    out = folded(s, colour, lam, np.full(len(s.x), LABEL["upper"], np.uint8), "arm")
    back = arms & ~left & (np.abs(s.chart[:, 1] - np.median(s.chart[arms & ~left & (lam > 0.6), 1])) > 2.6)
    assert np.median(out[back]) > 0.85


@pytest.mark.parametrize("sleeves", ["below", "above"])
def test_a_print_on_a_chest_is_not_behind_if_the_sleeves_are_without(
    s: Surface, frontal: np.ndarray, sleeves: str
) -> None:
    """What is red above a blue shirt is a print, unless the sleeves are red, too: then it is a jacket."""
    torso, arms = of_kind(s, "torso"), of_kind(s, "arm")
    high = torso & (s.x[:, 1] > np.median(s.x[torso, 1]))
    colour = np.where((high | arms & (sleeves == "above"))[:, None], RED, BLUE).astype(np.float32)
    out = folded(s, colour, frontal, np.full(len(s.x), LABEL["upper"], np.uint8), "torso")
    back = high & (np.abs(s.chart[:, 1]) > 2.6) & (s.x[:, 1] > np.quantile(s.x[torso, 1], 0.6))
    assert np.abs(np.median(out[back], 0) - (BLUE if sleeves == "below" else RED)).max() < 0.06


def test_what_is_seen_keeps_its_colour_up_to_its_border(body: Body, s: Surface, frontal: np.ndarray) -> None:
    """A red glove on one hand does not colour the other, where it ends at what is not seen."""
    hands = of_kind(s, "hand")
    glove = hands & (s.x[:, 0] > 0)
    colour = np.where(glove[:, None], RED, np.where(hands[:, None], SKIN, BLUE)).astype(np.float32)
    worn = np.where(hands, LABEL["skin"], LABEL["upper"]).astype(np.uint8)
    out = whole(body, s, colour, frontal, worn)
    edge = hands & ~glove & (frontal > 0) & (s.texels.distance(frontal == 0) < 2)
    assert edge.sum() > 50 and np.quantile(np.abs(out[edge] - SKIN).max(1), 0.95) < 0.05
