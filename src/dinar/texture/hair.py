"""Restore hair: which seen texels are hair, smooth colours for the unseen ones, and strands on these."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.spatial import KDTree

from ..body.body import PARTS
from ..labels import LABEL
from .outliers import FACE_TEXELS, skin_colour
from .surface import Surface, least, searchers

HAIR = [LABEL["hair"], LABEL["hat"]]
HAIR_TEXELS = 64  # least seen texels of hair
HEIGHTS = 64  # levels that are tried for the border of a hat
HAIR_LIKE = 0.6  # hair is nearer to the crown's colour than this share of the distance to the skin's
BLEND_REACH, BLEND_SOURCES = 0.04, 500  # metres up to which sources count alike; about how many sources are used
CHUNK = 4096  # texels at a time
FRONTAL = 6  # power of λ with which seen hair and skin count: slanted texels have the rim's light and the background
TINTED = 0.04  # difference from the median hue (colours of sum 1) at which hair counts half: scarves and coats
# Strands, tufts and locks: length and width, in CELLs along the head and in half degrees around it; and how strong.
STRANDS = ((8.0, 0.8, 0.7), (10.0, 3.0, 0.6), (12.0, 8.0, 0.6))
CELL, CELLS, TURN = 0.005, 64, 720  # metres along the head of a cell of the noise; cells along and around the head
LONGER, WIDER = 3.0, 3.0  # strands of hair with a shape of its own, which has fewer texels
MOST_CONTRAST = 0.12  # of strands, as a share of their colour
# Metres below the crown at which short hair ends, and over which it fades; least seen texels at 512² there, or on the
# ears, that tell; share of hair among them up to which they are bare (bare ears: .15 to .22, covered ones .8).
SHORT, SHORT_FADE, BARE_TEXELS, BARE = 0.153, 0.012, 16, 0.5
LOOSE = (
    0.01  # share of hair on neck and torso up to which none hangs behind bare ears, where nothing is seen below them
)
UNDER_HAT = 0.1  # hair seen beside a hat, as a share of the hat, from which there is some under it
RIM = 0.05  # quantile of the heights of a hat's seen texels that is its rim
DARK = 0.05  # least lightness that contrast is measured against


def hair_texels(
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1]
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
) -> np.ndarray:
    """[N] bool: seen texels of the skull that are hair or hat; without a parse, those more like the crown than the
    face."""
    if worn is not None and (hair := seen & s.skull & np.isin(worn, HAIR)).sum() >= HAIR_TEXELS:
        return hair
    crown, skin = s.crown & seen, skin_colour(s, colour, seen, worn)
    if skin is None or crown.sum() < FACE_TEXELS:
        return seen & s.skull & ~s.face
    hair = np.median(colour[crown], 0)
    like = np.linalg.norm(colour - hair, axis=1) < HAIR_LIKE * np.linalg.norm(colour - skin, axis=1)
    return seen & s.skull & like & (~s.face_centre)


def hat_over_hair(
    s: Surface,
    hair: np.ndarray,  # [N] bool of :func:`hair_texels`
    worn: np.ndarray,  # [N] uint8 classes
) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Where a hat is worn over hair: ([N] bool seen texels, [N] bool texels at their heights) of the hat, and of the
    hair under it; else none."""
    hat = hair & (worn == LABEL["hat"])
    under = hair & ~hat & s.shell
    if min(hat.sum(), under.sum()) < HAIR_TEXELS:
        return ()
    y = s.x[:, 1]
    level = np.linspace(y[under].min(), y[hat].max(), HEIGHTS)
    wrong = (y[hat, None] < level).mean(0) + (y[under, None] > level).mean(0)
    above = y > level[wrong.argmin()]
    return (hat, above), (under, ~above)


def bald(s: Surface, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray:
    """[N] float32 share of skin on the skull: 1 on the ears and below short hair, where the photo shows skin there; on
    the jaw below bare ears; and below a hat under which no hair is seen. Where the photo shows nothing below bare ears,
    neck and torso tell."""
    out = np.zeros(len(seen), np.float32)
    if worn is None or s.shell.any():
        return out
    bare, hair = np.isin(worn, [LABEL["skin"], LABEL["face"]]), worn == LABEL["hair"]
    below = s.top - s.x[:, 1] - SHORT
    lower = s.skull & ~s.face & ~s.hat & (below > 0)
    trunk = np.isin(s.part, [PARTS.index("head"), PARTS.index("torso")])

    def is_bare(where: np.ndarray, most: float = BARE) -> bool | None:
        """None: too little is seen to tell."""
        told = seen & where & (bare | hair)
        return hair[told].mean() <= most if told.sum() >= least(s, BARE_TEXELS) else None

    ears, ends = is_bare(s.auricles), is_bare(lower)
    if ends is None and ears:  # hair that is put up, or cut
        ends = is_bare(trunk & ~s.skull & ~s.face & ~s.cavity, LOOSE)
    places = [(lower, below / SHORT_FADE, ends), (s.auricles, 1.0, ears)]
    if s.auricles.any():
        ear = s.x[s.auricles]
        jaw = np.minimum(np.median(ear[:, 1]) - s.x[:, 1], s.x[:, 2] - ear[:, 2].min())
        places.append((s.skull & ~s.face & ~s.hat, jaw / SHORT_FADE, ears))
        hat = seen & s.skull & (worn == LABEL["hat"])
        if hat.sum() >= HAIR_TEXELS and (seen & s.skull & hair).sum() < UNDER_HAT * hat.sum():
            rim = min(np.quantile(s.x[hat, 1], RIM), ear[:, 1].max())
            places.append((s.skull & ~s.face & ~s.hat, (rim - s.x[:, 1]) / SHORT_FADE, True))
    for where, share, told in places:
        if told:
            out = np.where(where, np.clip(share, out, 1), out)
    return out.astype(np.float32)


def blend(
    source: np.ndarray,  # [M, 3] metres
    colour: np.ndarray,  # [M, 3]
    query: np.ndarray,  # [Q, 3] metres
    weight: np.ndarray | None = None,  # [M]; None: all alike
) -> np.ndarray:
    """[Q, 3] float32: smooth weighted mean of all sources. The nearest source alone would enlarge single hairs."""
    step = max(1, len(source) // BLEND_SOURCES)
    count = np.ones(len(source)) if weight is None else weight
    middle = source.mean(0)  # single precision is enough near the origin
    source, query = (np.asarray(x - middle, np.float32) for x in (source[::step], query))
    colour = np.c_[colour * count[:, None], count][::step].astype(np.float32)
    near = np.square(source).sum(1) + np.float32(BLEND_REACH**2)
    out = np.empty((len(query), 3), np.float32)
    for i in range(0, len(query), CHUNK):
        q = query[i : i + CHUNK]
        w = near - 2 * (q @ source.T)
        w += np.square(q).sum(1, keepdims=True)
        w *= w
        np.reciprocal(w, out=w)
        total = w @ colour
        out[i : i + CHUNK] = total[:, :3] / total[:, 3:]
    return out


def usual(values: np.ndarray, scale: float) -> np.ndarray:
    """[M] weights in (0, 1] of values [M, C]: one half at this distance from the median."""
    return 1 / (1 + np.square(np.abs(values - np.median(values, 0)).max(1) / scale))


def strands(
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1]
    hair: np.ndarray,  # [N] bool, seen hair
) -> np.ndarray:
    """[N] float32 factor that draws strands from the crown down, with the local contrast of the seen hair."""
    light = colour[hair].mean(1)
    some = s.x[hair][::8]
    near = KDTree(s.x[hair]).query(some, k=9, workers=searchers(len(some)))[1]
    contrast = float(np.median(light[near].std(1) / np.maximum(light[near].mean(1), DARK)))
    along, angle, _ = s.chart.T
    along, angle = (np.where(s.shell, x / k, x) for x, k in ((along, LONGER), (angle, WIDER)))
    rng, noise = np.random.default_rng(0), np.zeros((CELLS, TURN))
    for length, width, strength in STRANDS:
        one = gaussian_filter1d(rng.standard_normal(noise.shape), length, 0)
        one = gaussian_filter1d(one, width, 1, mode="wrap")
        noise += strength * one / one.std()
    at = np.stack([np.clip(-along / CELL, 0, CELLS - 1), (angle / (2 * np.pi) % 1) * TURN])
    value = map_coordinates(noise, at, order=1, mode="grid-wrap")
    return (1 + min(contrast, MOST_CONTRAST) * value).astype(np.float32)
