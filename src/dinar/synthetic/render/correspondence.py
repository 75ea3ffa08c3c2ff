"""Which point of the rest-pose body every pixel of a picture shows: through clothes, hair included, bags left out."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from ...labels import LABEL
from ...nets.surface import SURFACE_PARTS, vertex_surface_parts
from ...scene import Camera, interpolate, rasterize
from ..base.surfaces import Surfaces
from ..garments.figure import Figure

_ARMS = [i for i, n in enumerate(SURFACE_PARTS) if n.endswith(("arm", "hand"))]
NOT_BODY = (LABEL["background"], LABEL["bag"])


def rest_points(
    figure: Figure, s: Surfaces, betas: Tensor, expression: Tensor
) -> Tensor:  # [V, 3] metres, on the template
    """For every vertex of a dressed figure the point of the template body that it covers.

    Nearest in the shaped rest pose; of drapes, which have none, nearest on the standard body, whose arms hang: a skirt
    covers no hand.
    """
    own = s.body.rest(betas[None], expression[None])[0][0]
    layer = torch.zeros(len(figure.rest), dtype=torch.long, device=own.device)
    layer[figure.faces.reshape(-1)] = figure.face_layer.repeat_interleave(3)
    hung = torch.tensor([l.drape is not None for l in figure.layers], device=own.device)[layer].cpu().numpy()
    which = np.empty(len(hung), np.int64)
    every = np.arange(len(own))
    trunk = every[~np.isin(vertex_surface_parts(s.body), _ARMS)]
    for here, points, body, some in (
        (~hung, figure.rest, own, every),
        (hung, figure.attributes[:, :3], s.body_p, trunk),
    ):
        if here.any():
            which[here] = some[KDTree(body.cpu().numpy()[some]).query(points.cpu().numpy()[here])[1]]
    return s.body.v_template[torch.from_numpy(which).to(own.device)]


def surface_coordinates(
    figure: Figure,
    points: Tensor,  # [V, 3] of :func:`rest_points`
    vertices: Tensor,  # [B, V, 3] posed, world
    cameras: list[Camera],
    labels: Tensor,  # [B, H, W] uint8 classes of the picture
) -> tuple[Tensor, Tensor]:
    """Rest-pose points [B, H, W, 3] in metres, and where they are known [B, H, W] bool."""
    out, known = [], []
    for v, camera, label in zip(vertices, cameras, labels, strict=True):
        xy, z = camera.to(v.device).project(v)
        seen = []
        for faces in (figure.faces[: figure.opaque], figure.faces):  # without hair, with it
            f = faces.int().numpy() if faces.device.type == "cpu" else faces
            fragments = rasterize(xy[None], z[None], f, camera.height, camera.width, cull="none")
            seen.append((interpolate(fragments, points, faces)[0], fragments.mask[0]))
        hair = label == LABEL["hair"]
        out.append(torch.where(hair[..., None], seen[1][0], seen[0][0]))
        body = ~torch.isin(label, torch.tensor(NOT_BODY, dtype=label.dtype, device=label.device))
        known.append(torch.where(hair, seen[1][1], seen[0][1]) & body)
    return torch.stack(out), torch.stack(known)
