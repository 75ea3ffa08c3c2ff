"""A source of endless generated people: views generated on access, on a CPU or a GPU, from (seed, index)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..body.motion import Motion
from ..body.readers import load_motion
from ..bounds import check_numbers
from ..errors import DinarError
from ..scene import Camera
from ..views import Params, Views, encode_surface, project
from .base.surfaces import load_surfaces
from .garments.figure import Standing, stand
from .people.closet import open_closet
from .people.people import Person, make_person, perturbed, sample_camera, sample_poses
from .render.background import render_place, sample_place
from .render.correspondence import rest_points, surface_coordinates
from .render.light import sample_light
from .render.photograph import photograph
from .render.render import SPAN, Shot, render


@dataclass(eq=False)
class Synthetic:
    """Generated people; see :class:`dinar.views.Source`."""

    seed: int = 0
    size: int = 512  # pixels a side
    views_per_person: int = 8
    length: int | None = None  # people; None: endless
    assets: str | None = None  # MakeHuman's asset folder
    motions: str | None = None  # a folder of clips in any format that `dinar animate` takes
    backgrounds: str | None = None  # a folder of pictures
    background: bool = True  # False: black outside the person, no camera noise (stage 1 wants the colour alone)
    device: str = "cpu"
    body: str = "anny"
    varied: bool = False  # all postures, sides and heights of the camera; surface coordinates instead of a fit

    def __post_init__(self) -> None:
        check_numbers(size=self.size, views=self.views_per_person, seed=self.seed)
        for option, folder in (("assets", self.assets), ("motions", self.motions), ("backgrounds", self.backgrounds)):
            if folder is not None and not Path(folder).is_dir():
                raise DinarError(f"expected a folder in --{option}, found none at {folder}")
        self._clips: tuple[Motion, ...] | None = None

    @property
    def num_people(self) -> int | None:
        return self.length

    def num_views(self, i: int) -> int:
        return self.views_per_person

    @property
    def clips(self) -> tuple[Motion, ...]:
        if self._clips is None:
            found: list[Motion] = []
            for path in sorted(Path(self.motions).iterdir()) if self.motions else ():
                try:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")  # of missing rates: only poses are taken
                        found.append(load_motion(path))
                except DinarError:  # licences and truncated files lie among the clips
                    continue
            if self.motions and not found:
                raise DinarError(f"{self.motions}: expected motion clips (npz, bvh, pkl, DeepMimic txt), found none")
            self._clips = tuple(found)
        return self._clips

    def person(self, i: int) -> Person:
        """Person i with clothes, at rest."""
        s = load_surfaces(self.device)
        return make_person(np.random.default_rng([self.seed, i]), s, open_closet(self.assets, s))

    @torch.no_grad()
    def shots(
        self, i: int, indices: Sequence[int], azimuths: Sequence[float] | None = None
    ) -> tuple[list[Shot], list[Camera], Tensor, Tensor, Person]:
        """Pictures of person i without background, one camera each, poses [n, J, 3] and places [n, 3].

        ``azimuths`` (radians from the person's front) take the place of random ones.
        """
        s, person = load_surfaces(self.device), self.person(i)
        rng = np.random.default_rng([self.seed, i, 1])
        n, still = self.views_per_person, rng.random() < 0.35 and not self.varied
        pose, place = sample_poses(rng, s, person.betas, 1 if still else n, self.clips, self.varied)
        pick = [0 if still else k for k in indices]
        pose, place = pose[pick], place[pick]
        light = sample_light(rng)
        standing = stand(person.figure, s, person.betas, pose, place)
        shift = torch.zeros_like(place)
        shift[:, 1] = -standing.vertices[..., 1].amin(1)  # shoes stand on the floor
        v = standing.vertices = standing.vertices + shift[:, None]
        hips = person.figure.weights[:, 0].argmax()  # a vertex that turns with the pelvis
        front = torch.linalg.cross(standing.across[:, hips], standing.up[:, hips])
        facing = torch.atan2(front[:, 0], front[:, 2]).tolist()
        cameras = []
        for b, k in enumerate(indices):
            r = np.random.default_rng([self.seed, i, 2, k])
            azimuth = float(r.normal(0, 0.45)) if k == 0 or r.random() < 0.25 else float(r.uniform(-math.pi, math.pi))
            azimuth = float(r.uniform(-math.pi, math.pi)) if self.varied else azimuth
            azimuth = azimuth if azimuths is None else azimuths[b]
            cameras.append(sample_camera(r, v[b], azimuth, self.size, facing[b], self.varied))
        parts = [slice(b, b + 1) for b in range(len(v))] if self.device == "cpu" else [slice(None)]  # caches
        shots = [
            render(person.figure, Standing(*(a[part] for a in vars(standing).values())), cameras[part], light, 0.0)
            for part in parts
        ]
        if self.varied:
            points = rest_points(person.figure, s, person.betas, person.expression)
            for shot, part in zip(shots, parts, strict=True):
                known = surface_coordinates(person.figure, points, v[part], cameras[part], shot.label)
                shot.surface = encode_surface(*known)
        return shots, cameras, pose, place + shift, person

    def front_and_back(self, i: int) -> list[np.ndarray]:
        """Two pictures [size, size, 3] uint8 of person i in one pose, over grey paper: for contact sheets."""
        turn = float(np.random.default_rng([self.seed, i, 6]).normal(0, 0.4))
        shots, *_ = self.shots(i, [0, 0], [turn, turn + math.pi])
        out = []
        for shot in shots:
            for rgb, alpha in zip(shot.rgb, shot.alpha, strict=True):
                paper = torch.linspace(0.62, 0.48, self.size, device=rgb.device)[:, None, None]
                out.append(_encode(rgb + paper * (1 - alpha[..., None])).cpu().numpy())
        return out

    @torch.no_grad()
    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        """Views of person i (default: all) with all optional fields, on the source's device."""
        indices = list(range(self.views_per_person)) if indices is None else list(indices)
        s = load_surfaces(self.device)
        shots, cameras, pose, place, person = self.shots(i, indices)
        cat = lambda name: torch.cat([getattr(shot, name) for shot in shots])  # noqa: E731
        rgb, alpha, label, normal, depth, ground = (
            cat(k) for k in ("rgb", "alpha", "label", "normal", "depth", "ground")
        )
        rng = np.random.default_rng([self.seed, i, 3])
        shared = sample_place(rng, self.backgrounds) if rng.random() < 0.6 else None
        pictures = []
        for b, k in enumerate(indices):
            r = np.random.default_rng([self.seed, i, 4, k])
            if self.background:
                middle = place[b, [0, 2]].tolist()
                own = sample_place(r, self.backgrounds) if shared is None else shared
                scene, floor, points = render_place(own, cameras[b], 0.0, self.device, (middle[0], middle[1]))
                scene = _shadowed(scene, floor, points, ground[b], middle)
                pictures.append(photograph(rgb[b] + scene * (1 - alpha[b, ..., None]), r))
            else:
                pictures.append(_encode(_straight(rgb[b], alpha[b])))
        n = len(indices)
        e = person.expression.expand(n, -1)
        params, fitted = Params(person.betas, pose, place, e), None
        if not self.varied:  # what a fit would give, of all views so that a choice of views does not change it
            r = np.random.default_rng([self.seed, i, 5, *indices])
            betas, wrong_pose, wrong_place = perturbed(r, s, person.betas, pose, place, cameras)
            fitted = Params(betas, wrong_pose, wrong_place, torch.zeros_like(e))
        K = torch.stack([c.K for c in cameras]).to(self.device)
        T = torch.stack([c.T_cam_world for c in cameras]).to(self.device)
        keypoints = s.body.keypoints(params.posed(s.body))
        keypoints2d = _seen(keypoints, K, T, depth)
        return Views(
            torch.stack(pictures), (alpha * 255 + 0.5).to(torch.uint8), K, T, params, fitted, label,
            (128 + 127 * normal).round().clamp(0, 255).to(torch.uint8), depth, cat("surface") if self.varied else None,
            keypoints2d, keypoints, self.body, f"{self.seed}-{i:06d}", tuple(f"{k:02d}" for k in indices),
        )  # fmt: skip


def _shadowed(scene: Tensor, floor: Tensor, points: Tensor, ground: Tensor, middle: list[float]) -> Tensor:
    """The floor with the person's shadow; ``ground`` [G, G, 3] is the light around the person."""
    at = (points[..., [2, 0]] - points.new_tensor([middle[1], middle[0]])) / SPAN
    edge = at.abs().amax(-1)
    i = (floor & (edge < 1)).reshape(-1).nonzero()[:, 0]
    at, edge = at.reshape(1, 1, -1, 2)[:, :, i], edge.reshape(-1, 1)[i]
    light = torch.nn.functional.grid_sample(ground.permute(2, 0, 1)[None], at, align_corners=True)[0, :, 0].T
    light = torch.lerp(light, torch.ones_like(light), ((edge - 0.75) / 0.25).clamp(0, 1))
    out = scene.reshape(-1, 3).clone()
    out[i] *= light
    return out.view_as(scene)


def _straight(rgb: Tensor, alpha: Tensor) -> Tensor:  # [H, W, 3] premultiplied, [H, W]
    """Straight colours for compositing over another background, continued 4 pixels outwards because of JPEG."""
    x = torch.cat([rgb, alpha[..., None]], -1).permute(2, 0, 1)
    wide = F.avg_pool2d(x, 9, 1, 4)
    x = torch.where(x[3:] > 0.02, x, wide)
    return (x[:3] / x[3:].clamp(min=1e-4)).permute(1, 2, 0)


def _encode(rgb: Tensor) -> Tensor:
    """Linear light to sRGB uint8 with soft highlights."""
    x = torch.where(rgb > 0.75, 0.75 + 0.25 * (1 - (-(rgb - 0.75) / 0.25).exp()), rgb).clamp(0, 1)
    x = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp(min=0.0031308) ** (1 / 2.4) - 0.055)
    return (x * 255 + 0.5).to(torch.uint8)


def _seen(points: Tensor, K: Tensor, T: Tensor, depth: Tensor) -> Tensor:
    """[N, P, 3] pixels and visibility: 1 where nothing is 12 cm or more in front of a point inside the picture."""
    xy, z = project(points, K, T)
    n, h, w = depth.shape
    x, y = xy[..., 0].long(), xy[..., 1].long()
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    front = depth.reshape(n, -1).gather(1, y.clamp(0, h - 1) * w + x.clamp(0, w - 1))
    visible = inside & (front > 0) & (z < front + 0.12)
    return torch.cat([xy, visible[..., None].float()], -1)
