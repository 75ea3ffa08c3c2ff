"""Eyes: what lids cover of the eyeballs, in the colours of the person's white and iris; lids that close as skin.

The photo shows a part of the eyeball, and of an open eye's upper lid a strip a few texels high, dark with lashes. A
closing lid stretches this strip over the eye.
"""

from __future__ import annotations

import numpy as np

from ..body import Body
from .texels import Texels, texels

IRIS, PUPIL = 0.0059, 0.002  # metres from the axis of the eye
FEW = 6  # texels of iris and of white that the photo has to show
# The white against the skin above the eye, and how much darker the iris is: under dark glasses neither is so. One eye
# that is not so tells glasses.
OPEN, DARKER = 0.5, 0.04
BRIGHT = 0.7  # quantile of the luma of the eye's white: lashes and lids darken it
STRETCHED = (1.05, 2.8)  # growth of a lid's faces in a blink from which they are skin, in part and wholly
FOLD = (0.007, 0.02)  # metres above the eye's middle: skin between lid and brow, whose colour closed lids take
NEAR = 0.006  # metres: standard deviation of the weight of that skin by its distance across
AROUND = 0.05  # metres below the eyes down to where texels are looked at
BARE = 0.8  # brightness of that skin against the one below the eye; darker are brows and fringes
LID = 0.88  # brightness of closed lids against that skin, where they are brightest
COVER = 0.8  # share of that colour in theirs: the rest is the photo's, which an open eye shows
# How much darker they are at lashes and crease, and how far from there, as shares of the closed lid's height.
LASHES, CREASE = (0.35, 0.14), (0.16, 0.25)


def with_eyes(body: Body, rgb: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The texture [S, S, 3] float32 in [0, 1] with unseen eyeballs and closing lids painted. A body without blinks
    (SMPL-X): as it is.

    Args:
        seen: [S, S] float32, 0 where the photos do not show a texel.
    """
    if not {"eyeBlinkLeft", "eyeBlinkRight"} <= set(body.expression_names):
        return rgb
    t = texels(body.atlas, rgb.shape[0])
    name = {n: body.segment_names.index(n) for n in ("eye_front", "skin")}
    rows = _around_eyes(body, t)
    colour, shown = rgb.reshape(-1, 3)[t.index[rows]].astype(np.float64), seen.reshape(-1)[t.index[rows]] > 0
    place = t.sample(body.v_template.numpy(), body.faces, rows)
    closed = t.sample(_closed(body), body.faces, rows)
    segment, growth = body.segment[t.face[rows]], lid_growth(body, t, rows)
    eyes, tones = [], []
    for side in (1, -1):
        ball = np.flatnonzero((segment == name["eye_front"]) & (side * place[:, 0] > 0))
        if not len(ball):
            continue
        pupil = place[ball[place[ball, 2].argmax()]]
        above = place[:, 1] - pupil[1]
        skin = (segment == name["skin"]) & (side * place[:, 0] > 0) & (place[:, 2] > pupil[2] - 0.03)
        fold = np.flatnonzero(skin & (above > FOLD[0]) & (above < FOLD[1]) & (growth < STRETCHED[0]))
        below = np.flatnonzero(skin & (above < -FOLD[0]) & (above > -FOLD[1]))
        light = (
            colour[fold].mean(1) > BARE * np.median(colour[below].mean(1)) if len(below) else np.ones(len(fold), bool)
        )
        fold = fold[light] if light.sum() >= FEW else below
        lid = np.flatnonzero(skin & (growth > STRETCHED[0]) & (np.abs(above) < FOLD[1]))
        off = np.linalg.norm((place[ball] - pupil)[:, :2], axis=1)
        if len(fold) and len(lid):
            eyes.append((ball, off, lid, fold))
            tones.append(_tones(colour[ball], shown[ball], off))
    known = [(tone, fold) for tone, (*_, fold) in zip(tones, eyes, strict=True) if tone is not None]
    if not known or not all(_open(white, iris, colour[fold].mean()) for (white, iris), fold in known):
        return rgb
    for tone, (ball, off, lid, fold) in zip(tones, eyes, strict=True):
        white, iris = tone or known[0][0]
        painted = np.where((off < IRIS)[:, None], np.where((off < PUPIL)[:, None], 0.3 * iris, iris), white)
        colour[ball] = np.where(shown[ball, None], colour[ball], painted)
        w = np.exp(-(((place[lid, None, 0] - place[None, fold, 0]) / NEAR) ** 2) / 2) + 1e-9
        share = np.clip((growth[lid] - STRETCHED[0]) / (STRETCHED[1] - STRETCHED[0]), 0, 1)[:, None]
        shade = LID * _shade(closed[lid, 1], growth[lid] > STRETCHED[1])[:, None]
        tone = shade * (w @ colour[fold]) / w.sum(1, keepdims=True)
        colour[lid] += COVER * share * (tone - colour[lid])
    out = rgb.copy().reshape(-1, 3)
    out[t.index[rows]] = colour
    return out.reshape(rgb.shape)


def _shade(y: np.ndarray, lid: np.ndarray) -> np.ndarray:
    """Brightness [N] of skin at these heights of a closed lid, whose own texels are ``lid``."""
    low, high = np.quantile(y[lid] if lid.any() else y, (0.02, 0.98))
    h = np.clip((y - low) / max(high - low, 1e-9), 0, 1)
    dark = lambda how, d: how[0] * np.exp(-((d / how[1]) ** 2))  # noqa: E731
    return np.asarray((1 - dark(LASHES, h)) * (1 - dark(CREASE, 1 - h)))


def _closed(body: Body) -> np.ndarray:
    """Vertices [V, 3] of the template with closed eyes."""
    moved = body.v_template.numpy().copy()
    for n in ("eyeBlinkLeft", "eyeBlinkRight"):
        moved += body.shapedirs[:, :, body.num_betas + body.expression_names.index(n)].numpy()
    return moved


def _around_eyes(body: Body, t: Texels) -> np.ndarray:
    """Rows of the texels at the eyes' height."""
    y = body.v_template[:, 1].numpy()[body.faces].max(1)
    eyes = body.of_segment("eye_front")
    return np.flatnonzero((y > y[eyes].min() - AROUND)[t.face]) if eyes.any() else np.zeros(0, int)


def _tones(colour: np.ndarray, shown: np.ndarray, off: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Colours [3] of white and iris of an eyeball's front; None: too little of them is seen. ``off``: [n] metres from
    the eye's axis."""
    inner, outer = colour[shown & (off < IRIS)], colour[shown & (off >= IRIS)]
    if min(len(inner), len(outer)) < FEW:
        return None
    luma = outer.mean(1)
    return np.median(outer[luma >= np.quantile(luma, BRIGHT)], 0), np.median(inner, 0)


def _open(white: np.ndarray, iris: np.ndarray, skin: float) -> bool:
    """Whether these are colours of an open eye without dark glasses. ``skin``: brightness of the skin above."""
    return white.mean() >= max(OPEN * skin, iris.mean() + DARKER)


def lid_growth(body: Body, t: Texels, rows: np.ndarray | None = None) -> np.ndarray:
    """[N] by how many times the area of the skin at each texel, or those in ``rows``, grows when both eyes close."""
    v = body.v_template.numpy()
    moved = _closed(body)
    area = lambda p: np.linalg.norm(  # noqa: E731
        np.cross(p[body.faces[:, 1]] - p[body.faces[:, 0]], p[body.faces[:, 2]] - p[body.faces[:, 0]]), axis=1
    )
    ratio = area(moved) / np.maximum(area(v), 1e-12)
    skin = body.of_segment("skin")
    total, count = np.zeros(len(v)), np.zeros(len(v))
    for k in range(3):  # smooth over the faces around a vertex
        np.add.at(total, body.faces[skin, k], ratio[skin])
        np.add.at(count, body.faces[skin, k], 1)
    return t.sample((total / np.maximum(count, 1))[:, None], body.faces, rows)[:, 0]
