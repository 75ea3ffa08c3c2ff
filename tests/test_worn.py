"""What a texel surely shows: clear of other classes, and of an open coat, its own colour."""

from __future__ import annotations

import numpy as np
import pytest

from dinar.body import Body
from dinar.labels import LABEL
from dinar.texture.surface import Surface, of_kind, surface
from dinar.texture.worn import alone, not_the_coat

SIZE = 256
BLACK, BLUE = (0.05, 0.05, 0.05), (0.2, 0.3, 0.6)


@pytest.fixture(scope="module")
def s(body: Body) -> Surface:
    return surface(body, SIZE)


def test_texels_beside_another_class_are_not_alone(s: Surface) -> None:
    sock = of_kind(s, "leg") & (s.x[:, 1] < -0.75)
    worn = np.where(sock, LABEL["legwear"], LABEL["lower"]).astype(np.uint8)
    away = np.where(sock, s.texels.distance(~sock & (worn > 0)), s.texels.distance(sock))
    clear = alone(s, worn)
    assert not clear[away <= 2].any() and clear[away > 7].all() and (away <= 2).sum() > 50


@pytest.mark.parametrize("own", [False, True])
def test_of_an_open_coat_edges_in_the_colour_of_what_is_under_it_are_not_the_coat(s: Surface, own: bool) -> None:
    """Unless the coat has this colour elsewhere, too."""
    torso, x = of_kind(s, "torso"), np.abs(s.x[:, 0])
    worn = np.where(torso & (x < 0.05), LABEL["lower"], LABEL["outer"]).astype(np.uint8)
    edge = torso & (x >= 0.05) & (x < 0.07)
    blue = torso & (x < 0.07) | own & (np.sin(60 * s.x[:, 1]) > 0.5)
    colour = np.where(blue[:, None], BLUE, BLACK).astype(np.float32)
    left_out = not_the_coat(s, colour, worn, torso)
    assert left_out[edge].mean() < 0.01 if own else left_out[edge].mean() > 0.9
    assert not left_out[~edge].any()
