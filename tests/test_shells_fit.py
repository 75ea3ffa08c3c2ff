"""The form of shells where a parse misleads: sleeves, rounded hems, coats that are partly taken for skirts."""

from dataclasses import replace

import numpy as np
import torch

from dinar.body import Body, load_body
from dinar.body.shells import Shell, wear
from dinar.body.skirt import ROWS, grid_of
from dinar.fit.offsets import Silhouette, fit_offsets
from dinar.fit.shells import fit_shells
from dinar.fit.skirts import LOWEST, Skirt
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh

SHOULDERS = 0.7  # radians that they are lowered


def photo(worn: Body, cloth: str, flare: float = 0.0) -> Silhouette:
    """A parse of the template in a shell, standing with lowered arms in sleeves, from in front."""
    pose, D = torch.zeros(worn.num_joints, 3), torch.zeros(worn.num_vertices, 3)
    for side, sign in (("left", -1), ("right", 1)):
        pose[worn.joint(f"{side}_shoulder"), 2] = sign * SHOULDERS
    grid = grid_of(worn)[: ROWS + 1]
    way = worn.v_template[grid] * torch.tensor([1.0, 0, 1])
    D[grid] = way / way.norm(dim=2, keepdim=True) * torch.linspace(0, 1, ROWS + 1)[:, None, None] * flare
    v = worn(torch.zeros(1, 1), pose[None], offsets=D).vertices[0]
    camera = orbit(v, 0, height=400, width=400)
    face = rasterize_mesh(v, worn.faces, camera).face[0].numpy()
    legs = np.isin(worn.vertex_part, [6, 7, 8, 9])[worn.faces].any(1)
    label = np.where(legs, LABEL["lower"], LABEL["outer"])
    label[worn.segment == len(worn.segment_names) - 1] = LABEL[cloth]
    return Silhouette(face >= 0, pose, torch.zeros(3), camera,
                      labels=np.where(face >= 0, label[face.clip(0)], 0).astype(np.uint8))  # fmt: skip


def widths(s: Silhouette) -> np.ndarray:
    """[ROWS + 1] metres across of the skirt that is found."""
    worn, form = fit_shells(load_body(), torch.zeros(1), [s])
    assert [x.kind for x in worn.shells] == ["skirt"]
    return np.ptp((worn.v_template.numpy() + form)[grid_of(worn)[: ROWS + 1], 0], axis=1)


def test_sleeves_beside_a_skirt_do_not_widen_it():
    worn = wear(load_body(), (Shell("skirt", -0.45),))
    true = np.ptp(worn.v_template.numpy()[grid_of(worn)[: ROWS + 1], 0], axis=1)
    assert np.abs(widths(photo(worn, "outer")) - true)[: ROWS // 2].max() < 0.03


def test_a_hem_that_is_rounded_in_the_photo_is_as_wide_as_the_cloth_above():
    s = photo(wear(load_body(), (Shell("skirt", -0.45),)), "skirt", flare=0.1)
    labels = np.asarray(s.labels).copy()
    ys, xs = np.nonzero(labels == LABEL["skirt"])
    out = np.abs(xs - xs.mean()) > 0.35 * np.ptp(xs) + 0.5 * (ys.max() - ys)  # the lower corners
    labels[ys[out], xs[out]] = 0
    w = widths(replace(s, labels=labels))
    assert w[ROWS] > w[: ROWS - 2].max() - 0.04


def with_hands(s: Silhouette, low: float, high: float, wide: int) -> Silhouette:
    """The same with a hand on either side of the skirt, from ``low`` to ``high`` of its height, ``wide`` pixels over
    its edge and as many outside of it."""
    labels, mask = np.asarray(s.labels).copy(), s.mask.copy()
    ys, xs = np.nonzero(labels == LABEL["skirt"])
    for y in range(round(ys.min() + low * np.ptp(ys)), round(ys.min() + high * np.ptp(ys))):
        for edge in (xs[ys == y].min(), xs[ys == y].max()):
            labels[y, edge - wide : edge + wide + 1] = LABEL["skin"]
            mask[y, edge - wide - 2 : edge + wide + 3] = True  # the parse is wrong by a pixel or two
    return replace(s, labels=labels, mask=mask)


def test_hands_beside_a_skirt_do_not_widen_it():
    """Only its lower third is seen, where it flares."""
    worn = wear(load_body(), (Shell("skirt", -0.45),))
    s = photo(worn, "skirt", flare=0.1)
    plain, w = widths(s), widths(with_hands(s, 0.0, 0.65, 8))
    assert w[: ROWS // 2].max() < plain[: ROWS // 2].max() + 0.03
    assert abs(w[ROWS] - plain[ROWS]) < 0.04


def test_a_skirt_is_no_wider_than_the_person():
    """One side flares; the other one is behind a bag as wide as the skirt."""
    worn = wear(load_body(), (Shell("skirt", -0.45),))
    s = photo(worn, "skirt")
    labels = np.asarray(s.labels).copy()
    ys, xs = np.nonzero(labels == LABEL["skirt"])
    left = xs > xs.mean() + 0.2 * np.ptp(xs)
    labels[ys[left], xs[left]] = LABEL["bag"]
    wide = (ys > np.quantile(ys, 0.3)) & (ys < np.quantile(ys, 0.8))
    for y in np.unique(ys[wide]):
        labels[y, xs[ys == y].min() - 12 : xs[ys == y].min()] = LABEL["skirt"]
    worn, form = fit_shells(load_body(), torch.zeros(1), [replace(s, labels=labels, mask=labels > 0)])
    x = (worn.v_template.numpy() + form)[grid_of(worn)[: ROWS + 1], 0]
    plain = worn.v_template.numpy()[grid_of(worn)[: ROWS + 1], 0]
    assert (plain.min(1) - x.min(1)).max() > 0.04  # the right side
    assert np.abs(x.max(1) - plain.max(1)).max() < 0.03


def test_the_outline_of_a_hand_does_not_widen_a_skirt():
    body = load_body()
    plain = photo(wear(body, (Shell("skirt", -0.45),)), "skirt")
    hands = with_hands(plain, 0.3, 0.6, 10)
    worn, form = fit_shells(body, torch.zeros(1), [plain])
    grid = grid_of(worn)[: ROWS + 1]
    for labels, most in ((hands.labels, 0.02), (np.where(hands.mask, LABEL["skirt"], 0), None)):
        D = fit_offsets(worn, torch.zeros(1), [replace(hands, labels=labels)], start=form)
        wider = np.abs(D - form)[grid, 0].max()
        assert wider < most if most else wider > 0.03


def test_a_long_hem_does_not_go_around_the_toes():
    body = load_body()
    worn = wear(body, (Shell("skirt", LOWEST),))
    straight = Skirt(body, worn, torch.zeros(1), body.v_template.numpy(), LOWEST).straight
    around = np.linalg.norm(worn.v_template.numpy()[grid_of(worn)[ROWS]] - straight[ROWS], axis=1)
    assert around.max() > 0.03  # the template does


def test_a_coat_is_worn_on_both_sides_if_both_arms_are_in_its_sleeves():
    """A bag hides its right side; without sleeves of its own it is carried over an arm."""
    body = load_body()
    s = photo(wear(body, (Shell("coat", -0.6),)), "outer")
    labels, arms = np.asarray(s.labels).copy(), photo(wear(body, (Shell("coat", -0.6),)), "skirt")
    ys, xs = np.nonzero(np.asarray(arms.labels) == LABEL["skirt"])
    right = xs < xs.mean()
    labels[ys[right], xs[right]] = LABEL["bag"]
    worn, _ = fit_shells(body, torch.zeros(1), [replace(s, labels=labels)])
    assert [x.kind for x in worn.shells] == ["coat"] and abs(worn.shells[0].hem + 0.6) < 0.05
    above = (labels == LABEL["outer"]) & (np.arange(len(labels))[:, None] < ys.min())
    worn, _ = fit_shells(body, torch.zeros(1), [replace(s, labels=np.where(above, LABEL["upper"], labels))])
    assert not [x for x in worn.shells if x.kind == "coat"]


def test_a_coat_whose_lower_part_is_parsed_as_a_skirt_is_a_coat():
    body = load_body()
    s = photo(wear(body, (Shell("coat", -0.6),)), "outer")
    labels = np.asarray(s.labels)
    ys = np.nonzero(s.mask)[0]
    low = (labels == LABEL["outer"]) & (np.arange(len(labels))[:, None] > np.percentile(ys, 55))
    worn, _ = fit_shells(body, torch.zeros(1), [replace(s, labels=np.where(low, LABEL["skirt"], labels))])
    assert [x.kind for x in worn.shells] == ["coat"] and abs(worn.shells[0].hem + 0.6) < 0.05
