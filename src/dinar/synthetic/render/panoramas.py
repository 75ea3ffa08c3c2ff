"""Paint panoramas of streets, parks and halls: houses, trees, cars, passers-by, sky, in sRGB bytes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..base.noise import SIZE
from .tiles import Material, Srgb, grey, noise, sign

WIDE, TALL = 2048, 512  # pixels once around, and from the ground up


def _ink(c: np.ndarray | Srgb, gain: float = 1.0) -> list[float]:
    return (np.clip(np.asarray(c) * gain, 0, 1) * 255).tolist()


def _rect(
    im: np.ndarray, x0: float, x1: float, low: float, high: float, colour: np.ndarray | Srgb, gain: float = 1.0
) -> None:
    """A rectangle from ``low`` to ``high`` pixels above the ground."""
    cv2.rectangle(im, (int(x0), TALL - int(high)), (int(x1), TALL - 1 - int(low)), _ink(colour, gain), -1)


def _house(im: np.ndarray, rng: np.random.Generator, x0: int, x1: int, top: int, metre: float) -> None:
    wall = np.array(
        [
            (0.62, 0.56, 0.5),
            (0.5, 0.32, 0.26),
            (0.75, 0.73, 0.7),
            (0.4, 0.4, 0.42),
            (0.68, 0.6, 0.48),
            (0.3, 0.3, 0.33),
        ][rng.choice(6)]
    )
    wall = wall * rng.uniform(0.6, 1.1)
    _rect(im, x0, x1, 0, top, wall)
    storey, pitch = metre * rng.uniform(2.8, 3.6), metre * rng.uniform(1.4, 2.8)
    glass, frame = grey(rng, 0.12, 0.55, 0.05), grey(rng, 0.2, 0.9)
    w, h = pitch * rng.uniform(0.35, 0.75), storey * rng.uniform(0.4, 0.7)
    for low in np.arange(storey * 1.25, top - h, storey):
        for x in np.arange(x0 + 0.3 * pitch, x1 - w, pitch):
            _rect(im, x - 2, x + w + 2, low - 2, low + h + 2, frame)
            _rect(im, x, x + w, low, low + h, glass, rng.uniform(0.5, 1.4))
    if rng.random() < 0.6:  # shop
        _rect(im, x0 + 4, x1 - 4, 0.4 * metre, 2.6 * metre, grey(rng, 0.1, 0.5), 1)
        for x in np.arange(x0 + 8, x1 - 20, 2.2 * metre):
            _rect(im, x, x + 1.9 * metre, 0.6 * metre, 2.4 * metre, grey(rng, 0.15, 0.8, 0.08))
        _rect(im, x0 + 4, x1 - 4, 2.6 * metre, 3.2 * metre, sign(rng))
    else:
        x = rng.uniform(x0, max(x0 + 1, x1 - metre))
        _rect(im, x, x + metre, 0, 2.2 * metre, grey(rng, 0.1, 0.5, 0.1))
    _rect(im, x1 - 3, x1, 0, top, wall, 0.6)


def _tree(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    tall, crown = metre * rng.uniform(3, 8), metre * rng.uniform(1.2, 3)
    _rect(im, x - 0.15 * metre, x + 0.15 * metre, 0, tall, (0.22, 0.18, 0.14), rng.uniform(0.6, 1.4))
    leaf = np.array((0.29, 0.35, 0.19)) * rng.uniform(0.5, 1.3) + (rng.uniform(0, 0.12), 0, 0)
    for _ in range(45):
        a, r = rng.uniform(0, 6.3), crown * np.sqrt(rng.random())
        at = int(x + r * np.cos(a)), int(TALL - tall - 0.7 * r * np.sin(a))
        ink = _ink(leaf, rng.uniform(0.55, 1.45) * (1 + 0.3 * np.sin(a)))
        cv2.circle(im, at, int(crown * rng.uniform(0.1, 0.35)) + 1, ink, -1)


def _car(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    paint = rng.choice(
        np.array(
            [
                (0.85, 0.85, 0.85),
                (0.1, 0.1, 0.11),
                (0.45, 0.46, 0.48),
                (0.55, 0.1, 0.1),
                (0.15, 0.22, 0.4),
                (0.3, 0.3, 0.3),
            ]
        )
    )
    m, sign = metre, rng.choice([-1, 1])
    roof = np.array([(0.9, 0.85), (1.5, 1.42), (2.9, 1.42), (3.7, 0.85)])
    body = np.array([(0.05, 0.3), (0.05, 0.75), (0.9, 0.9), (3.7, 0.9), (4.25, 0.75), (4.3, 0.3)])
    for shape, gain in ((roof, 0.35), (roof * (1, 1.02) + (0, 0.02), 0), (body, 1.0)):
        if gain:
            p = np.stack([x + sign * m * shape[:, 0], TALL - m * shape[:, 1]], -1)
            cv2.fillPoly(im, [p.astype(np.int32)], _ink(paint if gain == 1 else (0.2, 0.22, 0.25), 1), cv2.LINE_AA)
    for w in (0.9, 3.4):
        cv2.circle(
            im,
            (int(x + sign * m * w), int(TALL - 0.32 * m)),
            int(0.33 * m),
            _ink((0.06, 0.06, 0.06)),
            -1,
            cv2.LINE_AA,
        )


def _passer(im: np.ndarray, rng: np.random.Generator, x: float, metre: float) -> None:
    """A person far away."""
    m = metre * rng.uniform(0.9, 1.05)
    skin = np.array((0.82, 0.62, 0.5)) * rng.uniform(0.35, 1.05)
    top, legs = grey(rng, 0.08, 0.85, 0.1), grey(rng, 0.08, 0.5, 0.05)
    stride = rng.uniform(0.02, 0.2)
    for s in (-1, 1):
        p = np.array([(0.02 * s, 0.9), (0.17 * s, 0.9), (0.12 * s + stride * s, 0.03), (stride * s, 0.03)])
        cv2.fillPoly(im, [(np.array([x, TALL]) + p * (m, -m)).astype(np.int32)], _ink(legs), cv2.LINE_AA)
        arm = np.array([(0.17 * s, 1.42), (0.25 * s, 1.38), (0.29 * s, 0.85), (0.21 * s, 0.85)])
        cv2.fillPoly(im, [(np.array([x, TALL]) + arm * (m, -m)).astype(np.int32)], _ink(top, 0.85), cv2.LINE_AA)
    p = np.array([(-0.19, 1.44), (0.19, 1.44), (0.19, 0.8), (-0.19, 0.8)])
    cv2.fillPoly(im, [(np.array([x, TALL]) + p * (m, -m)).astype(np.int32)], _ink(top), cv2.LINE_AA)
    head = (int(x), int(TALL - 1.6 * m))
    cv2.ellipse(im, head, (int(0.1 * m), int(0.14 * m)), 0, 0, 360, _ink(grey(rng, 0.06, 0.3, 0.05)), -1, cv2.LINE_AA)
    cv2.ellipse(
        im,
        (head[0], head[1] + int(0.03 * m)),
        (int(0.08 * m), int(0.11 * m)),
        0,
        0,
        360,
        _ink(skin),
        -1,
        cv2.LINE_AA,
    )


def _sky(rng: np.random.Generator) -> np.ndarray:
    up = np.linspace(1, 0, TALL)[:, None, None]
    low, high = (
        np.array(grey(rng, 0.72, 0.95, 0.02)),
        np.array([(0.45, 0.6, 0.82), (0.7, 0.73, 0.77), (0.88, 0.88, 0.88)][rng.choice(3)]),
    )
    clouds = cv2.resize(np.ascontiguousarray(noise(rng, 1), np.float32), (WIDE, TALL))[..., None]
    return (np.clip(low * (1 - up) + high * up + 0.03 * clouds, 0, 1) * 255).astype(np.uint8)


def street(rng: np.random.Generator, radius: float) -> Material:
    """Houses, trees, cars and passers-by around a square or along a street."""
    metre = WIDE / (2 * np.pi * radius)
    im = _sky(rng)
    x, gaps = 0, rng.uniform(0, 0.35)
    while x < WIDE:
        w = int(metre * rng.uniform(4, 14))
        if rng.random() > gaps:
            _house(im, rng, x, min(WIDE, x + w), int(min(TALL, metre * rng.uniform(5, 18))), metre)
        x += w
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _tree(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 7)):
        _car(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 10)):
        _passer(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _rect(im, x, x + 0.12 * metre, 0, metre * rng.uniform(2.5, 6), grey(rng, 0.1, 0.5))
    return Material(im, 0)


def park(rng: np.random.Generator, radius: float) -> Material:
    metre = WIDE / (2 * np.pi * radius)
    im = _sky(rng)
    hedge = np.array((0.27, 0.32, 0.19)) * rng.uniform(0.5, 1.3)
    leaves = np.tile(noise(rng, 4), (TALL // SIZE, WIDE // SIZE))
    high = metre * (1.5 + rng.uniform(0, 3) * (1 + 0.5 * leaves[0]))
    cover = (TALL - np.arange(TALL)[:, None]) < high
    im[cover] = np.clip(hedge * (1 + 0.35 * leaves[cover, None]) * 255, 0, 255)
    for x in rng.uniform(0, WIDE, rng.integers(8, 30)):
        _tree(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, rng.integers(0, 7)):
        _passer(im, rng, x, metre)
    return Material(im, 0)


def hall(rng: np.random.Generator, radius: float) -> Material:
    """An interior far away: pillars, windows, lamps, furniture."""
    metre = WIDE / (2 * np.pi * radius)
    im = np.empty((TALL, WIDE, 3), np.uint8)
    im[:] = _ink(grey(rng, 0.25, 0.8, 0.04))
    pitch = metre * rng.uniform(2, 5)
    bright = rng.uniform(0.5, 1)
    for x in np.arange(0, WIDE, pitch):
        if rng.random() < 0.7:
            _rect(im, x, x + 0.6 * pitch, metre * 0.9, metre * rng.uniform(2.2, 3), (0.9, 0.92, 0.95), bright)
        _rect(im, x + 0.75 * pitch, x + 0.85 * pitch, 0, TALL, grey(rng, 0.2, 0.7))
    _rect(im, 0, WIDE, metre * 3.4, TALL, grey(rng, 0.5, 0.9))
    for x in rng.uniform(0, WIDE, 18):
        _rect(im, x, x + metre * rng.uniform(0.4, 2.5), 0, metre * rng.uniform(0.4, 1.8), grey(rng, 0.1, 0.7, 0.08))
    for x in rng.uniform(0, WIDE, rng.integers(0, 8)):
        _passer(im, rng, x, metre)
    for x in rng.uniform(0, WIDE, 25):
        cv2.circle(
            im,
            (int(x), int(TALL - metre * rng.uniform(2.6, 4))),
            int(metre * rng.uniform(0.06, 0.16)) + 1,
            _ink((1, 0.93, 0.78)),
            -1,
            cv2.LINE_AA,
        )
    return Material(im, 0)


PANORAMAS: dict[str, Callable[[np.random.Generator, float], Material]] = {"street": street, "park": park, "hall": hall}
