"""How far hair and cloth usually lie from the body, and in what they vary: learned from generated people.

For every class a mean and some modes over the body's vertices (``weights/thickness``, ``scripts/build_thickness.py``).
The outline of a person tells how much of each mode there is (:mod:`.offsets`), and by that what it does not show.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree

from ..body import Body, load_body
from ..body.body import PARTS
from ..body.regions import regions
from ..body.skirt import TOP, kind_around_legs
from ..labels import CLASSES, LABEL
from ..tensors import read_tensors
from .clothing import UNSEEN

WEIGHTS = Path(__file__).parent.parent / "weights" / "thickness"
BESIDE_EARS = (0.01, 0.06)  # metres from an ear from which hair is thicker than the template, and is as thick as usual
ABOVE = 0.05  # metres above the top of a skirt or a coat over which what is worn becomes as thick as usual


def thickness(body: Body, classes: np.ndarray) -> np.ndarray:
    """[V, 1 + M] metres along the normals: how much wider than the body a person usually is, and standard deviations
    in M ways. 0 under shells; no hair on faces and ears.

    Args:
        classes: [V] uint8 of :func:`.clothing.vertex_classes`.
    """
    worn, r, count = everywhere(body, classes), regions(body), load_body().num_vertices
    own, at = np.ones(len(worn)), count + body.vertex_part.astype(int)
    if body.name == "anny":
        own, at = (body.numbers < count).astype(float), np.minimum(body.numbers, count - 1)
    if kind := kind_around_legs(body):
        y, arm = body.v_template.numpy()[:, 1], np.array(["arm" in PARTS[p] for p in body.vertex_part])
        covered = (y > next(s.hem for s in body.shells if s.kind == kind)) & ~arm
        own = own * np.where(covered, ((y - TOP) / ABOVE).clip(0, 1), 1)
    columns = []
    for name, fields in load_thickness().items():
        on = own * (worn == LABEL[name])
        if name == "hair":
            on = on * (~r.face & (not body.of_segment("hair").any()))
            if r.auricles.any():
                x, (near, far) = body.v_template.numpy(), BESIDE_EARS
                on = on * ((KDTree(x[r.auricles]).query(x)[0] - near) / (far - near)).clip(0, 1)
        columns.append(fields[:, at] * on)
    return np.stack([sum(c[0] for c in columns), *(row for c in columns for row in c[1:])], 1)


@lru_cache(maxsize=1)
def load_thickness() -> dict[str, np.ndarray]:
    """For every class [1 + modes, V + P] metres at the vertices of the default body, and on average over the parts."""
    stored, body = read_tensors(WEIGHTS / "model.safetensors", "thickness of clothes")[0], load_body()
    half = np.minimum(np.arange(body.num_vertices), body.mirror)
    column, part = np.unique(half, return_inverse=True)[1], np.eye(len(PARTS))[body.vertex_part]
    out = {}
    for name in CLASSES:
        if name in stored:
            fields = (stored[name].float() * stored[f"{name}_scale"][:, None]).numpy()[:, column]
            out[name] = np.concatenate([fields, fields @ (part / part.sum(0))], 1)
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
