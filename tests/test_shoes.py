"""Feet in shoes: closed toes, a sole, no arch; bare feet and legs stay as they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from dinar.body import Body
from dinar.body.body import PARTS
from dinar.fit.clothing import UNSEEN
from dinar.fit.shoes import SOLE, shod
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh, vertex_normals


@pytest.fixture(scope="module")
def bare(body: Body) -> np.ndarray:
    return body.v_template.numpy().astype(np.float64)


@pytest.fixture(scope="module")
def shoes(body: Body, bare: np.ndarray) -> np.ndarray:
    return shod(body, bare, [np.full(len(bare), LABEL["shoes"], np.uint8)])


@pytest.fixture(scope="module")
def foot(body: Body) -> np.ndarray:
    return body.vertex_part == PARTS.index("left_foot")


def seen(body: Body, v: np.ndarray, part: np.ndarray, elevation: float) -> np.ndarray:
    """[300, 300] bool: the faces of the part [V] bool from in front."""
    p = torch.from_numpy(v).float()
    return (
        rasterize_mesh(p, body.faces[part[body.faces].all(1)], orbit(p[part], 0, elevation, 300, 300)).mask[0].numpy()
    )


def outline(mask: np.ndarray) -> np.ndarray:
    """[H, W] uint8: the convex outline, filled."""
    ys, xs = np.nonzero(mask)
    return cv2.fillConvexPoly(np.zeros(mask.shape, np.uint8), cv2.convexHull(np.stack([xs, ys], 1).astype(np.int32)), 1)


def filled(mask: np.ndarray) -> float:
    """Share of the convex outline that is filled."""
    return mask.sum() / outline(mask).sum()


def test_toes_in_shoes_are_closed(body: Body, bare: np.ndarray, shoes: np.ndarray) -> None:
    toes = body.weights[:, body.joint("left_foot")].numpy() > 0.3
    assert filled(seen(body, shoes, toes, 80)) > filled(seen(body, bare, toes, 80)) + 0.12


def test_the_tops_of_toes_are_one_surface(body: Body, bare: np.ndarray, shoes: np.ndarray) -> None:
    """From above, hardly anything of toes looks sideways."""
    toes = body.weights[:, body.joint("left_foot")].numpy() > 0.3

    def sideways(v: np.ndarray, least: float) -> float:
        p = torch.from_numpy(v).float()
        normal = vertex_normals(p[None], body.faces)[0].numpy()
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        f = rasterize_mesh(p, body.faces, orbit(p[toes], 0, 75, 600, 600))
        face, weights = f.face[0].numpy(), f.barycentrics[0].numpy()
        tops = (face >= 0) & toes[body.faces].all(1)[face]
        inner = tops & (cv2.erode(outline(tops), np.ones((31, 31))) > 0)
        return float(((normal[body.faces[face], 1] * weights).sum(-1)[inner] < least).mean())

    assert sideways(shoes, 0.3) < 0.005 and sideways(bare, 0.3) > 0.05
    assert sideways(shoes, 0.7) < 0.08 and sideways(bare, 0.7) > 0.2


def test_soles_are_flat_and_close_the_arch(body: Body, bare: np.ndarray, shoes: np.ndarray, foot: np.ndarray) -> None:
    ground = bare[foot, 1].min()
    assert shoes[foot, 1].min() == pytest.approx(ground - SOLE, abs=1e-6) and SOLE > 0.004
    low = foot & (bare[:, 1] < ground + 0.012)
    assert filled(seen(body, shoes, foot, -85)) > max(0.93, filled(seen(body, bare, foot, -85)) + 0.04)
    assert (shoes[low, 1] < ground + 1e-6).mean() > 0.95


def test_shoes_end_at_the_ankle_and_bare_feet_stay(body: Body, bare: np.ndarray, shoes: np.ndarray) -> None:
    feet = np.isin(body.vertex_part, [PARTS.index(f"{side}_foot") for side in ("left", "right")])
    assert np.abs(shoes - bare)[~feet].max() == 0 and np.abs(shoes - bare).max() < 0.04
    skin, shoe = (np.full(len(bare), LABEL[name], np.uint8) for name in ("skin", "shoes"))
    assert (shod(body, bare, [skin]) == bare).all() and (shod(body, bare, [skin, skin, shoe]) == bare).all()
    assert np.allclose(shoes[body.mirror] * [-1, 1, 1], shoes, atol=2e-3)


def test_pumps_cover_the_tips_of_toes_alone(body: Body, bare: np.ndarray, shoes: np.ndarray, foot: np.ndarray) -> None:
    """Sandals show the tips. What is not seen tells nothing."""
    toes = body.weights[:, body.joint("left_foot")].numpy() > 0.5
    tips = toes & (bare[:, 2] > np.quantile(bare[toes, 2], 0.66))
    pump, sandal = (
        np.where(tips == covered, LABEL["shoes"], LABEL["skin"]).astype(np.uint8) for covered in (True, False)
    )
    half = np.where(np.arange(len(bare)) % 3 == 0, pump, UNSEEN).astype(np.uint8)
    assert (shod(body, bare, [pump])[foot] == shoes[foot]).all() and (
        shod(body, bare, [half])[foot] == shoes[foot]
    ).all()
    assert (shod(body, bare, [sandal])[foot] == bare[foot]).all()
