"""How far a fitted body can be trusted: keypoints, mask and surface map against the mesh."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch

from ..body import Body
from ..body.body import PARTS
from ..photo.surface import SURFACE_BODY
from ..scene import interpolate, rasterize_mesh
from ..scene.crop import crop_box, warp_crop
from .fit_file import Fit
from .objective import person_height
from .smplify import MAIN
from .view import LANDMARKS, View, of_person

FEET = (27, 28)  # landmarks
GRID = 192  # pixels a side of the crop in which mesh, mask and surface map are compared
LIMBS = tuple([(f"{s}_{a}", f"{s}_{b}") for s in ("left", "right") for a, b in (("arm", "hand"), ("leg", "foot"))])
LEAST = 0.02  # share of the mesh's pixels from which a limb is judged
RIM = 2  # pixels of GRID by which a limb may be beside the mask
SEEN = 0.5  # least visibility of a landmark that counts as seen


@dataclass(frozen=True)
class Judgement:
    """Of one photo. nan: not known, which raises no doubt."""

    missed: float  # mean distance of the large joints from their landmarks, per cent of the person's height
    overlap: float  # IoU of mesh and mask
    inside: float  # share of the mesh inside of the mask, or behind things in front of the person
    agreement: float  # mean likelihood that a pixel shows what the mesh has there
    limb: float  # the least of the shares of arms and legs that are inside as `inside` is
    face: bool  # the photo shows the face
    feet: bool  # the photo shows both feet
    alone: bool  # nobody else is in the photo

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why the body may be wrong; nothing: it is as good as fits of single photos are."""
        return self._beyond(DOUBTFUL)

    @property
    def nonsense(self) -> tuple[str, ...]:
        """Why the body is certainly wrong."""
        return self._beyond(NONSENSE)

    def _beyond(self, limits: Judgement) -> tuple[str, ...]:
        out = []
        if self.missed > limits.missed:
            out.append(f"joints lie {self.missed:.1f} % of the height beside the keypoints")
        if self.overlap < limits.overlap:
            out.append(f"body and mask have an IoU of {self.overlap:.2f}")
        if self.inside < limits.inside:
            out.append(f"{100 * (1 - self.inside):.0f} % of the body lie outside of the mask")
        if self.agreement < limits.agreement:
            out.append(f"only {100 * self.agreement:.0f} % of the pixels look like the part of the body that is there")
        if self.limb < limits.limb:
            out.append(f"{100 * (1 - self.limb):.0f} % of a limb lie outside of the mask")
        return tuple(out)

    def summary(self) -> dict[str, Any]:
        """For json: numbers rounded, None where not known."""
        numbers = {k: v if isinstance(v, bool) else None if math.isnan(v) else round(v, 3)
                   for k, v in dataclasses.asdict(self).items()}  # fmt: skip
        return numbers | {"doubts": list(self.doubts)}

    def __str__(self) -> str:
        """One line for the user."""
        known = [f"joints {self.missed:.1f} % off", f"mask IoU {self.overlap:.2f}", f"surface {self.agreement:.2f}"]
        line = ", ".join(k for k in known if "nan" not in k)
        unseen = [n for n, seen in (("face", self.face), ("feet", self.feet)) if not seen]
        line = f"{'doubtful' if self.doubts else 'good'} fit ({line})"
        line += "".join(f"; {d}" for d in self.doubts)
        line += f"; invented: {' and '.join(unseen)}" if unseen else ""
        return line if self.alone else f"{line}; other people are in the photo"


# Of generated people whose bodies are known, and of fits broken on purpose (benchmarks/judgement.py, docs/fit.md).
DOUBTFUL = Judgement(2.0, 0.5, 0.9, 0.6, 0.5, True, True, True)
NONSENSE = Judgement(8.0, 0.3, 0.6, 0.25, 0.0, True, True, True)


@torch.no_grad()
def judge(
    body: Body,
    fit: Fit,
    view: View,
    alone: bool = True,
) -> Judgement:
    """Compare the body, without clothes, with what was read from the photo."""
    posed = body(fit.betas[None], fit.pose[None], fit.transl[None])
    index = torch.tensor([body.keypoint_index(LANDMARKS[i][0]) for i in MAIN])
    xy = fit.camera.project(body.keypoints(posed)[0, index])[0].numpy()
    front = view.mask if view.mask is None or view.front is None else view.mask | view.front
    points = view.keypoints if front is None or not front.any() else of_person(view.keypoints, front)
    points = points[list(MAIN)]
    known = points[:, 3] > SEEN
    off = np.linalg.norm(xy - points[:, :2], axis=1)[known] / person_height(view) * 100
    missed = float(off.mean()) if known.any() else np.nan
    depth = {n: float(fit.camera.project(body.keypoints(posed)[0, body.keypoint_index(n)][None])[1])
             for n in ("nose", "left_ear", "right_ear")}  # fmt: skip
    face = depth["nose"] < (depth["left_ear"] + depth["right_ear"]) / 2
    feet = bool((view.keypoints[list(FEET), 3] > SEEN).all())
    if view.mask is None or not view.mask.any():
        return Judgement(missed, np.nan, np.nan, np.nan, np.nan, face, feet, alone)
    box = crop_box(view.mask, GRID)
    assert front is not None
    mask, allowed = (warp_crop(m.astype(np.float32), box, GRID, 0.0) > 0.5 for m in (view.mask, front))
    f = rasterize_mesh(posed.vertices[0], body.faces, fit.camera.crop(*box, GRID, GRID))
    mesh = f.mask[0].numpy()
    overlap = float((mesh & mask).sum() / max((mesh | mask).sum(), 1))
    inside = float((mesh & allowed).sum() / max(mesh.sum(), 1))
    agreement = np.nan
    if view.surface is not None and body.name == SURFACE_BODY:
        agreement = 0.0
        ys, xs = np.where(mesh & mask)
        if len(ys):
            rest = interpolate(f, body.v_template, body.faces)[0].numpy()[ys, xs]
            x0, y0, k = box
            at = np.stack([(xs + 0.5) / k + x0, (ys + 0.5) / k + y0], 1)
            agreement = float(view.surface.agreement(at, rest).mean())
    limb = _least_inside(body.vertex_part[body.faces[f.face[0].numpy(), 0]], mesh, allowed)
    return Judgement(missed, overlap, inside, agreement, limb, face, feet, alone)


def _least_inside(
    part: np.ndarray,  # [H, W] rows of PARTS, anything beside the mesh
    mesh: np.ndarray,  # [H, W] bool
    allowed: np.ndarray,  # [H, W] bool
) -> float:
    """The share of a limb that is inside of the mask, of the limb that is there least; nan if none is seen."""
    near = cv2.dilate(allowed.astype(np.uint8), np.ones((2 * RIM + 1, 2 * RIM + 1), np.uint8)) > 0
    shares = []
    for limb in LIMBS:
        on = mesh & np.isin(part, [PARTS.index(p) for p in limb])
        if on.sum() >= LEAST * mesh.sum():
            shares.append(float((on & near).sum() / on.sum()))
    return min(shares, default=math.nan)
