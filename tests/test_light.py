"""The light of a photo: what of the sky a place sees, how strong light is in a photo, and restored texels in it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial import KDTree

from dinar.body import Body
from dinar.body.body import PARTS
from dinar.body.shells import Shell, wear
from dinar.labels import LABEL
from dinar.scene import vertex_normals
from dinar.texture import restore
from dinar.texture.light import MOST, USUAL, _sky, light, told
from dinar.texture.surface import of_kind, surface

SIZE = 256


def test_what_lies_open_is_bright_and_what_is_covered_dark(body: Body) -> None:
    sky, _ = _sky(body)
    v, normal = body.v_template.numpy(), vertex_normals(body.v_template, body.faces).numpy()
    crown = v[:, 1] > v[:, 1].max() - 0.01
    assert sky[crown].mean() == pytest.approx(1, abs=0.1)
    shoulder = (np.abs(v[:, 0]) > 0.08) & (np.abs(v[:, 0]) < 0.15) & (normal[:, 1] > 0.8) & (v[:, 1] > 0)
    down = normal[:, 1] < -0.8
    assert sky[shoulder].mean() > 0.8 > 0.5 > sky[down].mean()
    y = v[:, 1] - v[:, 1].min()
    thigh = (body.vertex_part == PARTS.index("left_leg")) & (y > 0.6) & (y < 0.75)
    inner, outer = thigh & (normal[:, 0] < -0.8), thigh & (normal[:, 0] > 0.8)
    assert sky[inner].mean() < 0.8 * sky[outer].mean()


@pytest.fixture(scope="module")
def front(body: Body) -> SimpleNamespace:
    """Trunk and legs seen from in front, of one cloth each."""
    s = surface(body, SIZE)
    seen = (of_kind(s, "torso") | of_kind(s, "leg")) & (np.abs(s.chart[:, 1]) < np.deg2rad(75))
    worn = np.where(of_kind(s, "torso"), LABEL["upper"], LABEL["lower"]).astype(np.uint8)
    return SimpleNamespace(s=s, lam=seen.astype(np.float32), worn=np.where(seen, worn, 0).astype(np.uint8), seen=seen)


def lit(body: Body, front: SimpleNamespace, exponents: tuple[float, float]) -> np.ndarray:
    colour = np.where(of_kind(front.s, "torso")[:, None], [0.6, 0.4, 0.3], [0.2, 0.3, 0.4])
    return (colour * np.exp(told(body, front.s) @ exponents)[:, None]).astype(np.float32)


@pytest.mark.parametrize("exponents", [(0.5, 0.1), (0.1, -0.15)])
def test_the_light_of_a_photo_is_found(body: Body, front: SimpleNamespace, exponents: tuple[float, float]) -> None:
    found = np.log(light(body, front.s, lit(body, front, exponents), front.lam, front.worn)[:, 0])
    truth = told(body, front.s) @ exponents
    truth -= np.median(truth[front.seen])
    near = np.abs(truth) < MOST / 2
    assert np.abs(found - truth)[near].max() < 0.05 and np.abs(found).max() < MOST


def test_the_scalp_under_a_hat_has_the_hats_light(body: Body) -> None:
    """Its texels border on the hat's, where it would show as dark dots."""
    worn = wear(body, (Shell("hat", 0.77),))
    s = surface(worn, SIZE)
    out = light(worn, s, np.full((len(s.x), 3), 0.5, np.float32), np.ones(len(s.x), np.float32), None)[:, 0]
    assert s.in_hat.sum() > 20 and out[s.in_hat].min() >= out[s.hat].min()
    outer = s.hat & (s.x[:, 1] > 0.8)
    flat = np.stack(np.divmod(s.texels.index, SIZE), 1)
    near = KDTree(flat[outer]).query(flat[s.in_hat])[0] < 1.5
    assert near.any() and out[s.in_hat][near].min() > 0.95 * out[outer].min()


def test_a_print_is_no_light_and_without_a_parse_it_is_the_usual_one(body: Body, front: SimpleNamespace) -> None:
    colour = lit(body, front, (0.3, 0.0))
    printed = of_kind(front.s, "torso") & (front.s.x[:, 0] > 0.09)
    odd = colour * np.where(printed[:, None], np.float32(0.1), np.float32(1))
    usual = told(body, front.s) @ USUAL
    usual -= np.median(usual[front.seen])
    for colours, worn in ((odd, front.worn), (odd, None)):
        found = np.log(light(body, front.s, colours, front.lam, worn)[:, 0])
        assert np.abs(found - MOST * np.tanh(usual / MOST)).max() < 0.14


def test_where_a_cloth_tells_little_the_light_is_between_its_own_and_the_usual_one(
    body: Body, front: SimpleNamespace
) -> None:
    noise = np.random.default_rng(0).standard_normal((len(front.s.x), 1))
    colour = (lit(body, front, (0.3, 0.3)) * np.exp(0.3 * noise)).astype(np.float32)
    at = front.seen & (np.abs(front.s.x[:, 0]) > 0.1)
    found = np.log(light(body, front.s, colour, front.lam, front.worn)[at, 0])
    side = np.polyfit(front.s.x[at, 0], found, 1)[0] / np.polyfit(front.s.x[at, 0], told(body, front.s)[at, 1], 1)[0]
    assert 0.05 < side < 0.2


def test_the_back_is_lit_as_its_own_form(body: Body, front: SimpleNamespace) -> None:
    """Under the seat it is darker than on the shoulders, by the light of the front."""
    s = front.s

    def put(x: np.ndarray) -> np.ndarray:
        out = np.zeros((SIZE * SIZE, *x.shape[1:]), x.dtype)
        out[s.texels.index] = x
        return out.reshape(SIZE, SIZE, *x.shape[1:])

    sky = told(body, s)[:, 0]
    leg = of_kind(s, "leg")
    back = leg & (np.abs(s.chart[:, 1]) > np.deg2rad(110)) & (s.x[:, 1] > np.median(s.x[leg, 1]))
    low, high = (back & on for on in (sky < np.quantile(sky[back], 0.2),
                                      sky > np.quantile(sky[back], 0.8)))  # fmt: skip
    for strength, least, most in ((0.6, 0.1, 1), (0.0, -0.03, 0.03)):
        out = restore(body, put(lit(body, front, (strength, 0)) * front.seen[:, None]), put(front.lam), put(front.worn))
        got = np.log(out.reshape(-1, 3)[s.texels.index])[:, 1]
        assert least < got[high].mean() - got[low].mean() < most
