"""Merge the textures of several photos (§3.2): eq. 5, or Poisson blending, which the paper names as alternative."""

from __future__ import annotations

import numpy as np

from ..body import Body
from ..scene.edges import face_edges
from .membrane import membrane
from .texels import Texels

SHARPNESS = 10.0  # 1/τ of the released system
FADE = 0.15  # metres over which a seam's colour step is spread


def merge(
    textures: np.ndarray,  # [views, ..., C] float32
    lam: np.ndarray,  # [views, ...] in [0, 1]; 0 where a view does not see the texel
    sharpness: float = SHARPNESS,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 5: T = Σ Tⁱ wⁱ with w = softmax(λ/τ) over the views that see a texel. Returns T and the largest λ."""
    seen = lam > 0
    if len(lam) == 1:
        return textures[0] * seen[0][..., None], lam[0]
    e = np.where(seen, np.exp(sharpness * (lam - lam.max(0, keepdims=True))), 0)
    w = e / np.maximum(e.sum(0, keepdims=True), 1e-12)
    return (textures * w[..., None]).sum(0), lam.max(0)


def merge_poisson(
    body: Body,
    texels: Texels,
    textures: np.ndarray,  # [views, N, 3] colours at the texels
    lam: np.ndarray,  # [views, N]
) -> tuple[np.ndarray, np.ndarray]:
    """Each texel from the view with the largest λ, without averaging. Half the colour step where two views meet is
    spread over each side by a membrane on the mesh. Returns T [N, 3] in [0, 1] and the largest λ [N]."""
    best = lam.argmax(0)
    # a texel of each vertex: one in which it has the largest barycentric
    corner = texels.barycentrics.argmax(1)
    vertex_texel = np.zeros(body.num_vertices, np.int64)
    vertex_texel[body.faces[texels.face, corner]] = np.arange(len(corner))
    label, seen = best[vertex_texel], lam[:, vertex_texel] > 0
    colour = textures[:, vertex_texel]
    edges = face_edges(body.faces).swapaxes(0, 1).reshape(-1, 2)
    edges = np.concatenate([edges, edges[:, ::-1]])
    out = np.take_along_axis(textures, best[None, :, None], 0)[0]
    for i in range(len(textures)):
        border = edges[(label[edges[:, 0]] == i) & (label[edges[:, 1]] != i)]
        here, other = border[:, 0], label[border[:, 1]]
        both = seen[i, here] & seen[other, here]  # seen by both views: the difference of their colours is the step
        here, other = here[both], other[both]
        if not len(here):
            continue
        known, step = np.zeros(body.num_vertices, bool), np.zeros((body.num_vertices, 3))
        known[here] = True
        step[here] = 0.5 * (colour[other, here] - colour[i, here])
        mine = best == i
        out[mine] += texels.sample(membrane(body, known, step, FADE), body.faces)[mine].astype(out.dtype)
    return np.clip(out, 0, 1), lam.max(0)
