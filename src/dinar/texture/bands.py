"""Heights at which the colour of a cloth changes: bands around limbs, and hems across a trunk."""

from __future__ import annotations

import numpy as np

# Bands of a plain cloth around legs and arms, as cuffs and striped socks (looked at on 12 street photos):
BAND = 0.12  # least difference of the colours below and above a border
BAND_CLEAR = 2.0  # and over the median deviation within a height
SHADOW = 15  # heights below a hem over which it may throw a shadow
BAND_ROWS, BAND_TEXELS = 3, 8  # heights below and above that are compared; least texels of one
SHADED, LARGE = 0.1, 0.2  # greatest difference of hue (sum 1) between a sleeve and its shade; share of a large band
# A hem of one class across a trunk, as of a jacket above a shirt (looked at on 41 street photos): least steps of the
# colour and of its hue (sum 1), most of the error that a steady change leaves, least rows above and below.
HEM_STEP, HEM_HUE, STEADY, HEM_ROWS = 0.15, 0.04, 0.7, 12
BOTH_HALVES, SAME_WAY = 0.3, 0.8  # least share of the step on either half, and least cosine
OF_SLEEVES = 0.5  # from the sleeves' colour to that below a hem: most of the way to that above, for a print


def bands(colour: np.ndarray, row: np.ndarray, limb: np.ndarray, rows: int, arms: bool) -> np.ndarray:
    """[rows] int: number of the band of a plain cloth that each height is in, by texels [M, ...] of its class. Their
    borders are on both limbs, where both are seen. What is darker on ``arms`` than the brightest large band, and of its
    hue, is in the shade of the trunk or of a sleeve that is rolled up, and no band."""
    steps = [_steps(colour[limb == k], row[limb == k], rows) for k in np.unique(limb)]
    step = np.nan_to_num(np.fmin.reduce(steps)) if steps else np.zeros(rows)
    first = int(row.min()) if len(row) else 0
    for r in np.flatnonzero(step[first : first + SHADOW]) + first:  # the shadow of what is worn above is no band
        step[r] *= colour[row < r].mean() > colour[(row >= r) & (row < r + SHADOW)].mean()
    border = np.zeros(rows, int)
    while step.max() > 0:  # the strongest of neighbours
        r = int(step.argmax())
        border[r] = 1
        step[max(0, r - BAND_ROWS + 1) : r + BAND_ROWS] = 0
    if arms and len(row):
        band, starts = border.cumsum()[row], np.flatnonzero(border)
        middle = {int(k): np.median(colour[band == k], 0) for k in np.unique(band)}
        large = [c for k, c in middle.items() if (band == k).mean() > LARGE]
        main = max(large, key=np.sum, default=np.zeros(3))
        for k, c in middle.items():
            if c.sum() < main.sum() and np.abs(c / max(c.sum(), 1e-6) - main / max(main.sum(), 1e-6)).max() < SHADED:
                border[starts[max(k - 1, 0) : k + 1]] = 0
    return border.cumsum()


def hem(colour: np.ndarray, row: np.ndarray, weight: np.ndarray, left: np.ndarray, rows: int) -> np.ndarray:
    """[rows] int: 1 from the height on where a trunk has another colour than below it, by texels [M, ...] of one
    class, as a jacket above a shirt; 0 everywhere if no height explains the colours better than a steady change, or if
    the ``left`` [M] bool and the right half differ."""
    shown = np.flatnonzero(np.bincount(row, weight, rows) > 0)
    level = np.array([weighted_median(colour[row == r], weight[row == r]) for r in shown])
    band = np.zeros(rows, int)
    if len(shown) < 2 * HEM_ROWS:
        return band
    line = np.stack([shown, np.ones(len(shown))], 1)
    steady = np.square(level - line @ np.linalg.lstsq(line, level, rcond=None)[0]).sum()
    apart = lambda x: np.square(x - x.mean(0)).sum()  # noqa: E731
    error = [apart(level[:k]) + apart(level[k:]) for k in range(HEM_ROWS, len(shown) - HEM_ROWS + 1)]
    k = HEM_ROWS + int(np.argmin(error))
    below, above = level[:k].mean(0), level[k:].mean(0)
    step, hue = np.linalg.norm(below - above), np.linalg.norm(below / below.sum() - above / above.sum())
    if step > HEM_STEP and hue > HEM_HUE and min(error) < STEADY * steady:
        upper = row >= shown[k]
        middle = lambda on: weighted_median(colour[on], weight[on])  # noqa: E731
        steps = [middle(half & upper) - middle(half & ~upper) for half in (left, ~left)
                 if (half & upper).any() and (half & ~upper).any()]  # fmt: skip
        change = (above - below) / step
        if len(steps) == 2 and all(x @ change > max(BOTH_HALVES * step, SAME_WAY * np.linalg.norm(x)) for x in steps):
            band[shown[k] :] = 1
    return band


def on_print(
    colour: np.ndarray, row: np.ndarray, weight: np.ndarray, left: np.ndarray, rows: int, sleeve: np.ndarray
) -> np.ndarray:
    """[M] bool: texels above a :func:`hem` of a trunk if it is the lower end of a print: the cloth of ``sleeve`` [3] is
    the one below."""
    upper = hem(colour, row, weight, left, rows)[row] > 0
    if not upper.any() or upper.all():
        return upper & False
    above, below = (np.linalg.norm(weighted_median(colour[x], weight[x]) - sleeve) for x in (upper, ~upper))
    return upper & bool(below < OF_SLEEVES * above)


def weighted_median(colour: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """[3] weighted medians of the channels of colours [M, 3]."""
    order = np.argsort(colour, axis=0)
    sums = weight[order].cumsum(0)
    k = (sums < sums[-1] / 2).sum(0)
    return np.take_along_axis(colour, np.take_along_axis(order, k[None], 0), 0)[0]


def _steps(colour: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray:
    """[rows]: by how much the colour changes between the heights below and those from each on; 0 where that is less
    than what differs around the limb, NaN where a height is not seen."""
    order = np.argsort(row, kind="stable")
    level, within = np.full((rows, 3), np.nan), np.full(rows, np.nan)
    for r, texels in enumerate(np.split(colour[order], np.searchsorted(row[order], np.arange(1, rows)))):
        if len(texels) >= BAND_TEXELS:
            level[r] = np.median(texels, 0)
            within[r] = np.median(np.linalg.norm(texels - level[r], axis=1))
    step = np.full(rows, np.nan)
    for r in range(BAND_ROWS, rows - BAND_ROWS + 1):
        below, above = np.median(level[r - BAND_ROWS : r], 0), np.median(level[r : r + BAND_ROWS], 0)
        d = np.linalg.norm(above - below)
        if np.isfinite(d):
            step[r] = d * (d > BAND and d > BAND_CLEAR * np.median(within[r - BAND_ROWS : r + BAND_ROWS]))
    return step
