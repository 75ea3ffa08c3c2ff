"""The data structure of training and evaluation: N views of one person, and the protocol of sources of people.

Metres; world y up; camera x right, y down, z forward (:mod:`dinar.scene.camera`). Body parameters are those of
:class:`dinar.body.Body`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .body import Body
from .body.body import Posed
from .body.shells import Shell, wear
from .errors import DinarError
from .scene import Camera, Fragments, coverage, interpolate, rasterize

DEPTH_UNIT = 1e-4  # metres; unit of depth in files
MIN_DEPTH = 1e-6  # metres; floor of camera z by which points are divided
SURFACE_CENTRE, SURFACE_UNIT = (0.0, -0.072, 0.0), 0.0075  # metres; bytes 1 to 255 span the default body at rest


@dataclass(eq=False)
class Params:
    """Body parameters in N views: one shape, clothes and offsets, a pose in each view."""

    betas: Tensor  # [num_betas] float32
    pose: Tensor  # [N, J, 3] float32 axis-angle, pose[:, 0] is the global orientation
    transl: Tensor  # [N, 3] float32 metres, world
    expression: Tensor | None = None  # [N, num_expression] float32; None: neutral
    offsets: Tensor | None = None  # [V, 3] float32 metres at rest, from the body to the clothes; None: no offsets
    shells: tuple[Shell, ...] = ()  # worn by the body that has the V vertices of the offsets

    def __len__(self) -> int:
        return len(self.pose)

    def select(self, i: Tensor) -> Params:
        e = None if self.expression is None else self.expression[i]
        return dataclasses.replace(self, pose=self.pose[i], transl=self.transl[i], expression=e)

    def to(self, device: torch.device | str) -> Params:
        e, D = (x if x is None else x.to(device) for x in (self.expression, self.offsets))
        return Params(self.betas.to(device), self.pose.to(device), self.transl.to(device), e, D, self.shells)

    def worn(self, body: Body) -> Body:
        """The body with the shells of these parameters."""
        return wear(body, self.shells) if self.shells else body

    def posed(self, body: Body) -> Posed:
        """The body with its shells in every view; ``body`` has to be on the device of the parameters."""
        worn, betas = self.worn(body), self.betas.expand(len(self), -1)
        return worn(betas, self.pose, self.transl, self.expression, offsets=self.offsets)


@dataclass
class Raster:
    """The rasterised body in N views: the UV render of §3.1, fragments and vertices."""

    uv: Tensor  # [N, H, W, 2] float32 in [0, 1], v down; 0 outside the body
    fragments: Fragments  # face, barycentrics, depth: [N, H, W, ...]
    vertices: Tensor  # [N, V, 3] world, metres
    cover: Tensor  # [N, H, W] float32 in [0, 1], the share of each pixel that the body covers

    @property
    def mask(self) -> Tensor:
        """[N, H, W] bool: pixels of the body."""
        return self.fragments.mask


@dataclass(eq=False)
class Views:
    """N pictures of one person in the same clothes with cameras and body parameters. Poses may differ between views."""

    rgb: Tensor  # [N, H, W, 3] uint8 sRGB, with the background
    alpha: Tensor  # [N, H, W] uint8, 255 = the person
    K: Tensor  # [N, 3, 3] float32 pixels
    T_cam_world: Tensor  # [N, 4, 4] float32
    params: Params  # true parameters of generated people; else the fit
    fitted: Params | None = None  # of generated people: true parameters with the errors of a fit; None: params is a fit
    labels: Tensor | None = None  # [N, H, W] uint8 index into labels.CLASSES
    normals: Tensor | None = None  # [N, H, W, 3] uint8: 128 + 127 n in the camera's frame; 128 outside the person
    depth: Tensor | None = None  # [N, H, W] float32 camera z in metres, 0 outside; files keep multiples of DEPTH_UNIT
    surface: Tensor | None = None  # [N, H, W, 3] uint8 encode_surface of the rest-pose body point that a pixel shows
    keypoints2d: Tensor | None = None  # [N, P, 3] float32 x, y pixels, visibility in [0, 1]; order of Body.keypoints
    keypoints3d: Tensor | None = None  # [N, P, 3] float32 metres, world; the same order
    body: str = "anny"  # name of the body model
    name: str = "person"  # name of the person; letters, digits, _ and -
    view_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.view_names:
            self.view_names = tuple(f"{i:02d}" for i in range(len(self.rgb)))

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.rgb.shape[1], self.rgb.shape[2]

    @property
    def fit(self) -> Params:
        """Parameters with the errors of a fit, as of a user's photo: ``fitted``, or ``params`` without it."""
        return self.fitted or self.params

    def camera(self, i: int) -> Camera:
        return Camera(self.K[i], self.T_cam_world[i], *self.size)

    def check(self) -> Views:
        """Returns itself.

        Raises:
            DinarError: a field has a wrong shape or dtype, or is not finite.
        """
        n, (h, w) = len(self.rgb), self.size
        P = self.keypoints2d if self.keypoints2d is not None else self.keypoints3d
        p = 0 if P is None else P.shape[1]
        pixels, numbers = torch.uint8, torch.float32
        want = {"rgb": ((n, h, w, 3), pixels), "alpha": ((n, h, w), pixels), "K": ((n, 3, 3), numbers),
                "T_cam_world": ((n, 4, 4), numbers), "labels": ((n, h, w), pixels),
                "normals": ((n, h, w, 3), pixels), "surface": ((n, h, w, 3), pixels), "depth": ((n, h, w), numbers),
                "keypoints2d": ((n, p, 3), numbers), "keypoints3d": ((n, p, 3), numbers)}  # fmt: skip
        found = {k: getattr(self, k) for k in want}
        for which in ("params", "fitted"):
            q: Params | None = getattr(self, which)
            if q is None:
                continue
            shapes = {
                "betas": (len(q.betas),),
                "pose": (n, q.pose.shape[1] if q.pose.ndim == 3 else 0, 3),
                "transl": (n, 3),
                "expression": (n, 0 if q.expression is None else q.expression.shape[-1]),
                "offsets": (0 if q.offsets is None else len(q.offsets), 3),
            }
            for k, shape in shapes.items():
                want[f"{which}.{k}"], found[f"{which}.{k}"] = (shape, numbers), getattr(q, k)
        for k, (shape, dtype) in want.items():
            x = found[k]
            if x is not None and (tuple(x.shape) != shape or x.dtype != dtype):
                raise DinarError(f"views of {self.name}: expected {k} {list(shape)} {dtype}, got {list(x.shape)} "
                                 f"{x.dtype}")  # fmt: skip
            if x is not None and dtype == numbers and not x.isfinite().all():
                raise DinarError(f"views of {self.name}: expected finite numbers in {k}, got NaN or infinity")
        if len(self.view_names) != n:
            raise DinarError(f"views of {self.name}: expected {n} view names, got {len(self.view_names)}")
        return self

    def _map(self, f, names: tuple[str, ...] | None = None) -> Views:
        """Apply ``f`` to all tensors [N, ...] and to the parameters."""
        moved = {}
        for field in dataclasses.fields(self):
            x = getattr(self, field.name)
            if isinstance(x, Tensor | Params):
                moved[field.name] = f(x)
        return dataclasses.replace(self, **moved, **({} if names is None else {"view_names": names}))

    def select(self, indices: Sequence[int] | Tensor) -> Views:
        """The views with these indices, in this order."""
        i = torch.as_tensor(indices, dtype=torch.long, device=self.rgb.device)
        names = tuple(self.view_names[k] for k in i.tolist())
        return self._map(lambda x: x.select(i) if isinstance(x, Params) else x[i], names)

    def to(self, device: torch.device | str) -> Views:
        return self._map(lambda x: x.to(device))

    def raster(self, body: Body, size: int | tuple[int, int] | None = None, fitted: bool = False) -> Raster:
        """The rasterised body, with ``params``; ``fitted``: with :attr:`fit`.

        ``size`` (one side, or height and width) is the resolution; None: that of the pictures.
        """
        H, W = self.size
        h, w = (H, W) if size is None else (size, size) if isinstance(size, int) else size
        params = self.fit if fitted else self.params
        body, vertices = params.worn(body), params.posed(body).vertices
        xy, z = project(vertices, self.K, self.T_cam_world)
        xy = xy * xy.new_tensor([w / W, h / H])
        f = rasterize(xy, z, body.faces, h, w)
        uv = interpolate(f, torch.from_numpy(body.atlas.uv).to(xy.device), body.atlas.faces)
        return Raster(uv, f, vertices, coverage(xy, z, body.faces, h, w))


def encode_surface(
    points: Tensor,  # [..., 3] metres on the template of the default body
    known: Tensor,  # [...] bool
) -> Tensor:
    """[..., 3] uint8: 128 + (point - SURFACE_CENTRE) / SURFACE_UNIT; 0 where nothing is known."""
    steps = (points - points.new_tensor(SURFACE_CENTRE)) / SURFACE_UNIT + 128
    return torch.where(known[..., None], steps.round().clamp(1, 255), 0.0).to(torch.uint8)


def decode_surface(surface: Tensor) -> tuple[Tensor, Tensor]:  # [..., 3] uint8
    """Points [..., 3] in metres and where they are known [...] bool."""
    points = (surface.float() - 128) * SURFACE_UNIT
    return points + points.new_tensor(SURFACE_CENTRE), surface[..., 0] > 0


def project(
    points: Tensor,  # [N, P, 3] world, metres
    K: Tensor,  # [N, 3, 3] pixels
    T_cam_world: Tensor,  # [N, 4, 4]
) -> tuple[Tensor, Tensor]:
    """Pixels [N, P, 2] and camera z [N, P] in metres of points seen by a pinhole camera in each view."""
    p = points @ T_cam_world[:, :3, :3].mT + T_cam_world[:, None, :3, 3]
    xy = p[..., :2] / p[..., 2:].clamp(min=MIN_DEPTH)
    return xy @ K[:, :2, :2].mT + K[:, None, :2, 2], p[..., 2]


def concatenate(parts: Sequence[Views]) -> Views:
    """Join views of one person. All parts have the same shape parameters, image size and optional fields."""
    first = parts[0]

    def joined(k: str):
        xs = [getattr(p, k) for p in parts]
        if isinstance(xs[0], Params):
            e = None if xs[0].expression is None else torch.cat([x.expression for x in xs])
            return Params(xs[0].betas, torch.cat([x.pose for x in xs]), torch.cat([x.transl for x in xs]), e,
                          xs[0].offsets, xs[0].shells)  # fmt: skip
        return torch.cat(xs)

    kinds = [f.name for f in dataclasses.fields(first) if isinstance(getattr(first, f.name), Tensor | Params)]
    if len({p.size for p in parts}) > 1 or any(getattr(p, k) is None for p in parts for k in kinds):
        raise DinarError(f"views of {first.name}: expected parts of one size with the same optional fields")
    names = tuple(n for p in parts for n in p.view_names)
    return dataclasses.replace(first, **{k: joined(k) for k in kinds}, view_names=names).check()


class Source(Protocol):
    """People by index.

    Views are read or generated on access, so that a source is small and can be sent to worker processes. The same call
    always returns the same views.
    """

    body: str  # name of the body model of all people

    @property
    def num_people(self) -> int | None:
        """Number of people; None: endless, every i >= 0 is a person."""
        ...

    def num_views(self, i: int) -> int: ...

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        """Views of person i (default: all), on the CPU unless the source generates them on another device."""
        ...
