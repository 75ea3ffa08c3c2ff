"""How far hair and cloth usually lie from the body, where no outline tells: on backs, and on heads from the side."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from ..body import Body
from ..body.body import PARTS
from ..body.regions import regions
from ..labels import LABEL
from .clothing import UNSEEN

# Metres by which the outlines of 100 generated people in views from other sides lie outside of bodies that were widened
# to one view, on average: around the hair of heads, and behind torsos (docs/measurements.md).
HAIR, BACK = 0.014, 0.009
BESIDE_EARS = (0.01, 0.06)  # metres from an ear from which hair is thicker than the template, and is HAIR thick
CLOTH = tuple(LABEL[n] for n in ("upper", "outer", "lower", "skirt"))


def thickness(body: Body, classes: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """[V] metres along the normals by which a person is usually wider than the body.

    Heads under a shell of hair keep their shape, and so do faces and ears.

    Args:
        classes: [V] uint8 of :func:`.clothing.vertex_classes`.
        normals: [V, 3] unit normals of the rest pose, which faces along z.
    """
    worn, part = everywhere(body, classes), body.vertex_part
    out = BACK * (np.isin(worn, CLOTH) & (part == PARTS.index("torso"))) * (-normals[:, 2]).clip(0)
    r = regions(body)
    if r.auricles.any() and not body.of_segment("hair").any():
        x = body.v_template.numpy()
        near, far = BESIDE_EARS
        away = ((KDTree(x[r.auricles]).query(x)[0] - near) / (far - near)).clip(0, 1)
        out += HAIR * away * ((worn == LABEL["hair"]) & (part == PARTS.index("head")) & ~r.face)
    return out


def everywhere(body: Body, classes: np.ndarray) -> np.ndarray:
    """Classes [V] where vertices that are not seen have the class on the other side, front or back, of the same part,
    and on heads that of most of the crown."""
    out, at = classes.copy(), body.v_template.numpy()[:, :2]
    r = regions(body)
    for i, name in enumerate(PARTS):
        seen, hidden = (own := body.vertex_part == i) & (classes != UNSEEN), own & (classes == UNSEEN)
        if name == "head":
            seen &= r.crown
        if not seen.any():
            continue
        if name == "head":
            out[hidden] = np.bincount(classes[seen]).argmax()
        elif hidden.any():
            out[hidden] = classes[seen][KDTree(at[seen]).query(at[hidden])[1]]
    return out
