"""Seen texels that do not show the body: bags before hands, background beside slanted limbs."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import KDTree

from ..body.body import PARTS
from ..labels import LABEL
from .surface import Surface, of_kind, searchers, twins

SLANTED = 0.82  # λ under which a texel at the border of the seen may show the background
BORDER, STRAY = 0.03, 0.3  # of the texture's side: width of the border; colour difference from texels further in
INNER_TEXELS, NEIGHBOURS = 500, 8  # least texels further in on a part; those nearest are compared
NEAR = 0.08  # metres within which they have to be
FAMILIAR = 0.06  # colour distance to a texel of another part within which a texel is kept: sleeves of an open jacket
NEAR_HAIR = 0.08  # metres on the template from the hair within which hair on the body is not painted on it
FOREHEAD = 0.04  # metres around the top of the face within which a parting shows skin on a shell of hair
EVERY = 7  # every 7th texel of the other parts is compared
FAR, BETTER = 0.6, 0.25  # λ of a face's far half below which the near half may replace it, and by how much it is better
SKIN_CHROMA, SKIN_DARK = 18.0, 60.0  # Lab distances from the face beyond which a hand texel is not skin
FACE_TEXELS = 30  # a face with no more seen texels does not tell the colour of skin

_SKIN = [LABEL["skin"], LABEL["face"]]
_ON_LEGS = [LABEL[n] for n in ("skin", "lower", "legwear", "shoes")]


def not_skin(
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1]
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
) -> np.ndarray:
    """[N] bool: seen texels of the hands that show bags, pockets or sleeves, by their class or else their colour."""
    skin = skin_colour(s, colour, seen, worn)
    if worn is not None:
        return of_kind(s, "hand") & seen & ~np.isin(worn, _SKIN)
    return np.zeros(len(seen), bool) if skin is None else of_kind(s, "hand") & seen & unlike(colour, skin)


def beside_hair(
    s: Surface,
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
) -> np.ndarray:
    """[N] bool: where hair has a shape of its own, its seen texels that show something else, and those of neck
    and torso next to it that show hair."""
    if worn is None or not s.shell.any():
        return np.zeros(len(seen), bool)
    hair = np.isin(worn, [LABEL["hair"], LABEL["hat"]])
    out = seen & s.shell & ~hair
    high = np.flatnonzero(out & (s.x[:, 1] > s.x[s.face, 1].max() - FOREHEAD) & np.isin(worn, _SKIN))
    out[high] = KDTree(s.x[s.face][::EVERY]).query(s.x[high])[0] > FOREHEAD  # skin above the edge of the shell
    trunk = np.isin(s.part, [PARTS.index("head"), PARTS.index("torso")])
    below = np.flatnonzero(seen & hair & trunk & ~s.face & ~s.skull)
    out[below] = KDTree(s.x[s.shell][::EVERY]).query(s.x[below])[0] < NEAR_HAIR
    return out


def beside_hat(
    s: Surface,
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
) -> np.ndarray:
    """[N] bool: where a hat has a shape of its own, its seen texels that show something else, and those of the head
    that show the hat."""
    if worn is None or not s.hat.any():
        return np.zeros(len(seen), bool)
    return seen & (s.part == PARTS.index("head")) & (s.hat != (worn == LABEL["hat"]))


def beside_coat(
    s: Surface,
    seen: np.ndarray,  # [N] bool
    worn: np.ndarray | None,  # [N] uint8 classes; None: no parse
) -> np.ndarray:
    """[N] bool: where an open coat has a shape of its own, its seen texels that show the legs, and those of the legs
    that show outerwear."""
    if worn is None or not s.coat.any():
        return np.zeros(len(seen), bool)
    legs = np.isin(s.part, [i for i, p in enumerate(PARTS) if p.endswith("leg")]) & ~s.coat
    return seen & (s.coat & np.isin(worn, _ON_LEGS) | legs & (worn == LABEL["outer"]))


def turned_away(s: Surface, lam: np.ndarray) -> np.ndarray:
    """[N] bool: of a face that is not seen from in front, texels of the far half whose mirror images are seen much
    better, by λ [N]: what the photo has there is narrow, and often hair, background or the other side of a mouth."""
    twin = twins(s)
    other = np.where(twin >= 0, lam[twin], 0)
    return s.face & (lam > 0) & (lam < FAR) & (other > lam + BETTER)


def stray(
    s: Surface,
    colour: np.ndarray,  # [N, 3] float32 in [0, 1]
    seen: np.ndarray,  # [N] bool
    lam: np.ndarray,  # [N] λ
) -> np.ndarray:
    """[N] bool: slanted texels at the border of the seen whose colour differs from that of the part further in, as
    background between arm and torso or the edge of a bag does."""
    size = s.texels.size
    depth = s.texels.distance(~seen)  # of the islands: gutters are no border
    limbs = np.isin(s.part, [i for i, p in enumerate(PARTS) if p.endswith(("torso", "arm", "leg"))])
    edge = seen & limbs & (depth < BORDER * size) & (lam < SLANTED)
    inner = seen & limbs & (depth >= BORDER * size)
    out = np.zeros(len(seen), bool)
    for part in np.unique(s.part[edge]):
        e, i = edge & (s.part == part), inner & (s.part == part)
        if i.sum() > INNER_TEXELS:
            d, k = KDTree(s.x[i]).query(s.x[e], k=NEIGHBOURS, workers=searchers(e.sum()))
            reference = np.median(colour[i][k], 1)
            odd = (np.abs(colour[e] - reference).max(1) > STRAY) & (d[:, 0] < NEAR)
            other = colour[inner & (s.part != part)][::EVERY]
            if odd.any() and len(other):
                odd[odd] = KDTree(other).query(colour[e][odd], workers=searchers(odd.sum()))[0] > FAMILIAR
            out[e] = odd
    return out


def unlike(
    colour: np.ndarray,  # [N, 3] in [0, 1]
    skin: np.ndarray,  # [3] in [0, 1]
) -> np.ndarray:
    """[N] bool: colours that are not this skin in other light."""
    d = cv2.cvtColor(colour[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0] - _lab(skin)
    return (np.hypot(d[:, 1], d[:, 2]) > SKIN_CHROMA) | (d[:, 0] < -SKIN_DARK)


def skin_colour(s: Surface, colour: np.ndarray, seen: np.ndarray, worn: np.ndarray | None) -> np.ndarray | None:
    """[3] median of the lighter half of the seen face, without the shade of glasses, hats and hair; None: too little is
    seen of it. Arguments as of :func:`not_skin`."""
    face = s.face_centre & seen
    if worn is not None and (face & np.isin(worn, _SKIN)).sum() > FACE_TEXELS:
        face &= np.isin(worn, _SKIN)
    if face.sum() <= FACE_TEXELS:
        return None
    light = colour[face].sum(1)
    return np.median(colour[face][light >= np.median(light)], 0)


def _lab(c: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(c[None, None].astype(np.float32), cv2.COLOR_RGB2LAB)[0, 0]
