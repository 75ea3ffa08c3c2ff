"""Tuned constants of the neural renderer and its pictures: each has a test that fails when it is changed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dinar.body import Body
from dinar.nets.renderer import FastRenderer
from dinar.neural.avatar import Neural
from dinar.neural.render import render
from dinar.neural.texture import Fine
from dinar.scene import Camera, coverage, orbit

SIZE = 128  # of the network's pictures


@pytest.fixture(scope="module")
def renderer() -> FastRenderer:
    torch.manual_seed(0)
    return FastRenderer((16, 24), 1, 2).eval()


def test_an_untrained_renderer_starts_from_the_photo_and_the_body(renderer: FastRenderer) -> None:
    texture = torch.rand(1, 21, 64, 64)
    texture[:, 19:] = 0
    texture[:, 19:, :, :32] = 1
    mask = torch.ones(1, 1, 64, 64)
    mask[:, :, 32:] = 0
    with torch.no_grad():
        _, alpha, gate, filled = renderer.layers(texture, torch.rand(1, 2, 64, 64), mask)
    known = gate[:, :, :32, :32]
    assert known.min() > 0.93 and torch.equal(filled[..., :32, :32], texture[:, 16:19, :32, :32])
    assert (gate[:, :, :32, 32:] - 0.5).abs().max() < 0.02  # what is not known it is to learn
    assert alpha[:, :, :32].min() > 0.85 and alpha[:, :, 32:].max() < 0.15


# ---- pictures: a renderer that answers as it is told ---------------------------------------------------------------


class Told(torch.nn.Module):
    """Grey, with an alpha made from the body's cover."""

    def __init__(self, alpha) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, texture, uv, mask):
        return torch.full_like(texture[:, :3], 0.5), self.alpha(mask)


class ToldFast(FastRenderer):
    """The same in the fast layout, which larger pictures are made with."""

    def __init__(self, alpha) -> None:
        super().__init__((16, 24), 1, 2)
        self.alpha = alpha

    def layers(self, texture, uv, mask):
        grey = torch.full_like(texture[:, :3], 0.5)
        return grey, self.alpha(mask), torch.zeros_like(mask), grey


def grown(mask: torch.Tensor) -> torch.Tensor:
    """The network adds three of its pixels all around: hair, a skirt."""
    return F.max_pool2d(mask, 7, 1, 3)


def drawn(body: Body, renderer, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Alpha [size, size] of the picture, and the body's own cover."""
    vertices = body(torch.zeros(1, 4)).vertices[0]
    camera = orbit(vertices, 0, height=size, width=size)
    neural = Neural(torch.zeros(1, 21, 32, 32), None, renderer, SIZE)
    neural.__dict__["ready"] = renderer
    return render(neural, body, vertices, camera)[..., 3], cover(body, vertices, camera)


def cover(body: Body, vertices: torch.Tensor, camera: Camera) -> np.ndarray:
    xy, depth = camera.project(vertices)
    return coverage(xy[None], depth[None], body.faces, camera.height, camera.width)[0].numpy()


def test_the_sigmoids_haze_is_cleared(body: Body) -> None:
    alpha, body_cover = drawn(body, Told(lambda mask: 0.015 + 0.97 * mask), 100)
    far = cv2.dilate(body_cover, np.ones((9, 9))) == 0
    inside = cv2.erode(body_cover, np.ones((9, 9))) == 1
    assert alpha[far].max() == 0 and alpha[inside].min() == 1


def test_pictures_reach_beyond_the_body(body: Body) -> None:
    """For hair and clothes: 9 % of the body's height above it."""
    alpha, body_cover = drawn(body, Told(torch.ones_like), 100)
    rows = np.flatnonzero(body_cover.any(1))
    above = int(0.09 * np.ptp(rows))
    assert alpha[rows[0] - above : rows[0], 50].min() > 0.9


def test_outlines_that_the_network_moves_are_the_networks(body: Body) -> None:
    alpha, body_cover = drawn(body, ToldFast(grown), 384)
    ring = (cv2.dilate(body_cover, np.ones((9, 9))) > 0.5) & (body_cover == 0)
    assert np.quantile(alpha[ring], 0.05) > 0.8


def test_outlines_that_the_network_leaves_are_the_meshs(body: Body) -> None:
    alpha, body_cover = drawn(body, ToldFast(lambda mask: 0.9 * mask + 0.05), 384)
    assert np.abs(alpha - body_cover)[cv2.dilate(body_cover, np.ones((5, 5))) > 0].mean() < 0.02


def test_a_renderer_of_windows_draws_the_pixels_that_are_asked_for(body: Body, renderer: FastRenderer) -> None:
    """Without windows a small picture is enlarged; with them it has the image's pixels around the person, up to the
    largest."""
    seen: list[tuple[int, ...]] = []

    class Watched(FastRenderer):
        def layers(self, texture: torch.Tensor, uv: torch.Tensor, mask: torch.Tensor):  # type: ignore[no-untyped-def]
            seen.append(tuple(uv.shape[2:]))
            return super().layers(texture, uv, mask)

    torch.manual_seed(0)
    net = Watched((16, 24), 1, 2).eval()
    vertices = body.v_template
    for largest, height, asked in (  # multiples of 64
        (0, 300, (128, 128)), (512, 300, (256, 192)), (192, 300, (256, 192)), (512, 90, (128, 128)),
    ):  # fmt: skip
        neural = Neural(torch.rand(1, 21, 64, 64), None, net, SIZE, largest=largest)
        picture = render(neural, body, vertices, orbit(vertices, 0, height=height, width=height // 2))
        assert seen.pop() == asked and picture[..., 3].max() > 0.5


def test_known_colours_keep_their_hue(body: Body) -> None:
    """A renderer of windows whose texture is complete: red stays red, whatever the network's own colours are."""
    torch.manual_seed(0)
    net = FastRenderer((16, 24), 1, 2).eval()
    red = torch.tensor([0.8, 0.2, 0.2])[None, :, None, None].expand(1, 3, 64, 64)
    camera = orbit(body.v_template, 0, height=300, width=150)
    hues = []
    for known in (1.0, 0.999):
        fine = Fine(red.contiguous(), torch.full((1, 1, 64, 64), known))
        picture = render(Neural(torch.rand(1, 21, 64, 64), fine, net, SIZE, largest=512), body, body.v_template, camera)
        solid = picture[picture[..., 3] > 0.3]
        hues.append(float(np.abs(solid[:, 1] - solid[:, 2]).max()))
    assert hues[0] < 1e-3 < 0.01 < hues[1]
