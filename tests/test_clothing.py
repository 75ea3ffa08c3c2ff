"""What a parse says about the body: outlines, bags, vertices, stiffness."""

import numpy as np
import torch

from dinar.body import load_body
from dinar.body.regions import regions
from dinar.fit.clothing import (
    UNSEEN,
    class_stiffness,
    ears_under_hair,
    in_front,
    outline_trust,
    vertex_classes,
)
from dinar.fit.offsets import Silhouette, fit_offsets, flatten
from dinar.labels import LABEL
from dinar.scene import orbit, rasterize_mesh


def test_outlines_are_trusted_by_class():
    labels = np.zeros((40, 40), np.uint8)
    labels[5:20, 5:20], labels[20:35, 5:20] = LABEL["face"], LABEL["skirt"]
    trust = outline_trust(labels)
    assert trust[10, 10] == 1 and trust[30, 10] < 0.5 and trust[30, 21] < 0.5  # also just outside of the outline
    assert trust[38, 38] == 1


def test_only_bags_that_touch_the_person_hide_them():
    labels = np.zeros((60, 60), np.uint8)
    labels[10:50, 10:30], labels[20:30, 28:40], labels[50:58, 50:58] = LABEL["upper"], LABEL["bag"], LABEL["bag"]
    front = in_front(labels, labels == LABEL["upper"])
    assert front[25, 35] and not front[54, 54] and not front[40, 20]


def test_vertices_take_the_class_that_is_seen_and_lend_it_to_their_twins():
    body = load_body()
    v = body.v_template
    camera = orbit(v, 90, 0, 200, 200)  # the left side
    f = rasterize_mesh(v, body.faces, camera)
    labels = np.where(f.mask[0].numpy(), LABEL["upper"], 0).astype(np.uint8)
    labels[:40] = np.where(labels[:40] > 0, LABEL["face"], 0)
    classes = vertex_classes(body, v, camera, labels)
    assert set(np.unique(classes)) <= {LABEL["upper"], LABEL["face"], UNSEEN}
    seen = classes != UNSEEN
    assert seen.mean() > 0.5 and (classes[seen] == classes[body.mirror][seen]).mean() > 0.95
    k = class_stiffness(body, classes)
    assert k[classes == LABEL["face"]].mean() > 5 * k[classes == LABEL["upper"]].mean() and k.min() > 0.2
    assert torch.isfinite(torch.from_numpy(k)).all()


def test_ears_are_under_hair_where_most_of_them_is_seen_as_hair():
    body = load_body()
    ears, left = regions(body).ears, body.v_template[:, 0].numpy() > 0
    hair, face = LABEL["hair"], LABEL["face"]
    worn = lambda l, r: np.where(ears, np.where(left, l, r), LABEL["upper"]).astype(np.uint8)  # noqa: E731
    assert (ears_under_hair(body, [worn(hair, hair)]) == ears).all()
    assert (ears_under_hair(body, [worn(hair, hair), worn(UNSEEN, UNSEEN)]) == ears).all()
    assert not ears_under_hair(body, [worn(hair, hair), worn(face, face)]).any()  # a photo shows them
    assert not ears_under_hair(body, [worn(UNSEEN, UNSEEN)]).any()
    one = worn(hair, face)
    one[np.flatnonzero(ears & ~left)[:40]] = hair
    assert (ears_under_hair(body, [one]) == (ears & left)).all()
    flat = flatten(body.v_template.numpy(), body.faces, ears)
    assert (flat[~ears] == body.v_template.numpy()[~ears]).all()
    wide = lambda v: np.abs(v[ears, 0]).max()  # noqa: E731
    assert wide(flat) < wide(body.v_template.numpy()) - 0.008


def test_offsets_flatten_ears_under_hair():
    body = load_body()
    betas, pose = torch.zeros(body.num_betas), torch.zeros(body.num_joints, 3)
    v = body(betas[None]).vertices[0]
    camera = orbit(v, 0, 0, 400, 400)
    mask = rasterize_mesh(v, body.faces, camera).mask[0].numpy()
    at = lambda name: np.where(mask, LABEL[name], 0).astype(np.uint8)  # noqa: E731
    D = {n: fit_offsets(body, betas, [Silhouette(mask, pose, torch.zeros(3), camera, labels=at(n))])
         for n in ("hair", "face")}  # fmt: skip
    ears = regions(body).ears
    relief = lambda d: np.linalg.norm((v.numpy() + d)[ears] - flatten(v.numpy() + d, body.faces, ears)[ears], axis=1)  # noqa: E731
    assert relief(D["hair"]).mean() < 0.4 * relief(D["face"]).mean()
