"""Heights at which a cloth changes its colour, on texels of two limbs or of a trunk."""

from __future__ import annotations

import numpy as np

from dinar.texture.bands import bands, hem, on_print

ROWS, EACH = 100, 20
ROW = np.repeat(np.arange(ROWS), EACH)
LIMB = np.tile([0, 1], ROWS * EACH // 2)
RED, DARK_RED, WHITE, BLUE = (0.7, 0.3, 0.3), (0.25, 0.1, 0.1), (0.9, 0.9, 0.9), (0.2, 0.4, 0.7)
Colour = tuple[float, float, float]


def cloth(first: Colour, border: int, second: Colour) -> np.ndarray:
    """[M, 3] colours of ROW: the second from the border on."""
    noise = 0.01 * np.random.default_rng(0).standard_normal((len(ROW), 3))
    return np.where((border > ROW)[:, None], first, second) + noise


def borders(colour: np.ndarray, arms: bool = False) -> list[int]:
    """Heights of the borders, to the nearest five."""
    return (5 * np.round((np.flatnonzero(np.diff(bands(colour, ROW, LIMB, ROWS, arms))) + 1) / 5)).astype(int).tolist()


def test_a_cuff_is_a_band_and_the_shade_on_a_sleeve_is_none() -> None:
    assert borders(cloth(RED, 60, WHITE), arms=True) == borders(cloth(RED, 60, DARK_RED)) == [60]
    assert borders(cloth(RED, 60, DARK_RED), arms=True) == []


def test_the_shadow_below_a_hem_is_no_band() -> None:
    assert borders(cloth(DARK_RED, 10, RED)) == [] and borders(cloth(RED, 10, DARK_RED)) == [10]


def test_a_hem_changes_the_hue_and_shade_does_not() -> None:
    left = LIMB == 0
    found = lambda colour: np.flatnonzero(hem(colour, ROW, np.ones(len(ROW)), left, ROWS)).tolist()  # noqa: E731
    assert found(cloth(RED, 40, BLUE)) == list(range(40, ROWS))
    assert found(cloth((0.6, 0.6, 0.6), 40, (0.3, 0.3, 0.3))) == []


def test_a_print_ends_where_the_cloth_of_the_sleeves_begins() -> None:
    shirt = cloth(BLUE, 40, RED), ROW, np.ones(len(ROW)), LIMB == 0, ROWS
    assert (on_print(*shirt, np.array(BLUE)) == (ROW >= 40)).all()
    assert not on_print(*shirt, np.array(RED)).any() and not on_print(*shirt, np.array(WHITE)).any()
