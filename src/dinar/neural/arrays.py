"""Views as network inputs: arrays of one size with the body rasterised over the pictures (§3.1)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body import Body
from ..body.regions import regions
from ..body.rotation import axis_angle_to_matrix
from ..labels import LABEL
from ..scene import interpolate, vertex_normals
from ..texture.occlusion import occlusion_outlines
from ..views import Views

FACE_MARGIN = 0.15  # added on each side of a face box, as a share of its longer side
MIN_FACE_PIXELS = 12  # a face with fewer visible pixels has no box


def view_arrays(
    v: Views,
    body: Body,
    size: int,
    bags: bool = True,  # bags are part of the person; False: they are cut out like the background, as in ``create``
    occlusion: bool = True,  # leave the outlines of limbs before the body out of sample_mask (§3.5)
) -> dict[str, np.ndarray]:
    """Network inputs of N views at ``size`` S, float32.

    Returns:
        rgb: [N, 3, S, S] in [0, 1], on white.
        mask: [N, 1, S, S] in [0, 1], the person.
        uv: [N, 2, S, S] in [0, 1], UV render of the fitted body; 0 outside it.
        body_mask: [N, 1, S, S] {0, 1}, pixels of the body.
        sample_mask: [N, 1, S, S] {0, 1}, the same without occlusion outlines.
        cover: [N, 1, S, S] in [0, 1], the share of each pixel that the body covers.
        facing: [N, 1, S, S] in [0, 1], λ of §3.2.
        face: [N, 4] x0, y0, x1, y1 of the face in [0, 1]; zeros where it is not seen.
        front: [N] in [-1, 1], see :func:`frontality`.
    """
    body, r = v.fit.worn(body), v.raster(body, size, fitted=True)
    rgb = v.rgb.permute(0, 3, 1, 2).float() / 255
    alpha = v.alpha[:, None].float() / 255
    if not bags and v.labels is not None:
        alpha = alpha * (v.labels != LABEL["bag"])[:, None]
    if v.size != (size, size):
        rgb, alpha = (F.interpolate(t, size=(size, size), mode="area") for t in (rgb, alpha))
    cosines = _facing(v, r.vertices, body)
    facing = interpolate(r.fragments, cosines[..., None], body.faces).permute(0, 3, 1, 2)
    body_mask = r.mask[:, None].float()
    sample_mask = body_mask.clone()
    for i in range(len(v) if occlusion else 0):
        one = type(r.fragments)(*(getattr(r.fragments, k)[i : i + 1] for k in ("face", "barycentrics", "depth")))
        sample_mask[i, 0] *= torch.from_numpy(~occlusion_outlines(body, one))
    tensors = {"rgb": rgb * alpha + 1 - alpha, "mask": alpha, "uv": r.uv.permute(0, 3, 1, 2), "body_mask": body_mask,
               "sample_mask": sample_mask, "cover": r.cover[:, None], "facing": facing,
               "face": face_boxes(r.fragments.face, body)}  # fmt: skip
    return {k: t.contiguous().numpy() for k, t in tensors.items()} | {"front": frontality(v)}


def mirror_arrays(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """:func:`view_arrays` of the mirrored pictures. The atlas is symmetric about u = 0.5."""
    out = {k: np.ascontiguousarray(a[..., ::-1]) if a.ndim == 4 else a for k, a in x.items()}
    out["uv"] = out["uv"].copy()
    out["uv"][:, :1] = np.where(out["body_mask"] > 0.5, 1 - out["uv"][:, :1], 0)
    seen = x["face"][:, 2:] > x["face"][:, :2]
    flipped = np.stack([1 - x["face"][:, 2], x["face"][:, 1], 1 - x["face"][:, 0], x["face"][:, 3]], 1)
    return out | {"face": np.where(seen.all(1, keepdims=True), flipped, 0).astype(np.float32)}


def _facing(v: Views, vertices: Tensor, body: Body) -> Tensor:
    """[N, V] in [0, 1]: cosine between normal and direction to the camera, λ of §3.2."""
    R, t = v.T_cam_world[:, :3, :3], v.T_cam_world[:, :3, 3]
    eye = -(R.mT @ t[..., None])[..., 0]
    to_camera = F.normalize(eye[:, None] - vertices, dim=-1)
    return (vertex_normals(vertices, body.faces) * to_camera).sum(-1).clamp(min=0)


def frontality(v: Views) -> np.ndarray:
    """[N] float32 in [-1, 1]: cosine between the direction of the hips and that to the camera, in the ground plane."""
    forward = axis_angle_to_matrix(v.fit.pose[:, 0])[:, :, 2]  # the body faces +z
    back = -v.T_cam_world[:, 2, :3]
    forward, back = (F.normalize(x[:, [0, 2]], dim=-1) for x in (forward, back))
    return np.asarray((forward * back).sum(-1).numpy(), np.float32)


def face_boxes(face: Tensor, body: Body) -> Tensor:  # [N, H, W] int32 face index -> [N, 4] x0, y0, x1, y1 in [0, 1]
    """Box of the visible part of the person's face, with a margin; zeros below MIN_FACE_PIXELS."""
    on = torch.from_numpy(_face_triangles(body))[face.clamp(min=0).long()] & (face >= 0)
    n, h, w = face.shape
    out = torch.zeros(n, 4)
    for i in range(n):
        ys, xs = on[i].nonzero(as_tuple=True)
        if len(ys) < MIN_FACE_PIXELS:
            continue
        x0, x1, y0, y1 = (float(q) for q in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1))
        m = FACE_MARGIN * max(x1 - x0, y1 - y0)
        out[i] = torch.tensor([(x0 - m) / w, (y0 - m) / h, (x1 + m) / w, (y1 + m) / h]).clamp(0, 1)
    return out


@lru_cache(maxsize=2)
def _face_triangles(body: Body) -> np.ndarray:  # [F] bool
    return np.asarray(regions(body).face[body.faces].any(1))
