"""Pinhole and orthographic cameras (the camera of §3.1), crops of their images, and turntables.

World: metres, right-handed, y up. Camera: x right, y down, z forward, metres. Image: pixels, y down; pixel (row i,
column j) has its centre at x = j + .5, y = i + .5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import DinarError

MAX_FOCAL, MAX_PLACE = 1e6, 1e5  # pixels, metres: no file's camera is beyond
RIGID = 1e-2  # how far R Rᵀ may be from the identity
MIN_DEPTH = 1e-6  # metres; `project` divides by no less, so that points behind the camera stay finite
FOCAL = 1.3  # default of orbit's focal length over the longer image side; that of fitted photos too (fit/view.py)


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole or orthographic camera; the latter has pixels per metre in ``K``'s diagonal, and no division by z."""

    K: Tensor  # [3, 3] pixels
    T_cam_world: Tensor  # [4, 4] takes homogeneous world points to the camera
    height: int  # pixels
    width: int  # pixels
    orthographic: bool = False

    @property
    def position(self) -> Tensor:
        """[3] centre of projection in the world, metres."""
        R, t = self.T_cam_world[:3, :3], self.T_cam_world[:3, 3]
        return -R.T @ t

    @property
    def forward(self) -> Tensor:
        """[3] unit viewing direction in the world."""
        return self.T_cam_world[2, :3]

    def to_camera(self, points: Tensor) -> Tensor:
        """World points [..., 3] to camera coordinates [..., 3], metres."""
        return points @ self.T_cam_world[:3, :3].T + self.T_cam_world[:3, 3]

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """World points [..., 3] to pixels [..., 2] and depth [...] (camera z, metres). Differentiable.

        Points behind a pinhole have a depth <= 0 and meaningless pixels; :func:`~dinar.scene.rasterize` drops them.
        """
        p = self.to_camera(points)
        z = p[..., 2]
        xy = p[..., :2] if self.orthographic else p[..., :2] / z.clamp(min=MIN_DEPTH)[..., None]
        return xy @ self.K[:2, :2].T + self.K[:2, 2], z

    def crop(self, x0: float, y0: float, scale: float, height: int, width: int) -> Camera:
        """The camera of a crop of this image: new pixel = (old pixel - (x0, y0)) * scale."""
        return self._affine(x0, y0, scale, scale, height, width)

    def resized(self, height: int, width: int) -> Camera:
        """The camera of the whole image at another size."""
        return self._affine(0, 0, width / self.width, height / self.height, height, width)

    def turned(self, turns: int) -> Camera:
        """The camera of the image turned to the left by quarters, as ``np.rot90`` does; for a ``K`` without skew."""
        camera = self
        for _ in range(turns % 4):  # new x = old y, new y = width - old x
            K = camera.K[[1, 0, 2]][:, [1, 0, 2]].clone()
            K[1, 2] = camera.width - K[1, 2]
            T = camera.T_cam_world[[1, 0, 2, 3]].clone()
            T[1] = -T[1]
            camera = replace(camera, K=K, T_cam_world=T, height=camera.width, width=camera.height)
        return camera

    def _affine(self, x0: float, y0: float, sx: float, sy: float, height: int, width: int) -> Camera:
        A = self.K.new_tensor([[sx, 0, -sx * x0], [0, sy, -sy * y0], [0, 0, 1]])
        return replace(self, K=A @ self.K, height=height, width=width)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Camera:
        """The same camera with its tensors on another device or in another dtype."""
        return replace(self, K=self.K.to(device, dtype), T_cam_world=self.T_cam_world.to(device, dtype))


def intrinsics(focal: float, height: int, width: int) -> Tensor:
    """[3, 3] float32, focal length in pixels, principal point at the centre of the image."""
    return torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]], dtype=torch.float32)


def look_at(
    eye: Tensor,  # [3] world, metres
    target: Tensor,  # [3] world, metres
    height: int,
    width: int,
    focal: float,  # pixels
    up: tuple[float, float, float] = (0, 1, 0),
) -> Camera:
    """A pinhole at ``eye``, with ``target`` in the centre of the image and ``up`` upwards in it.

    Raises:
        DinarError: ``target`` is ``eye``, or lies along ``up`` from it.
    """
    e, t, u = (torch.as_tensor(a, dtype=torch.float64).cpu() for a in (eye, target, up))
    z = t - e
    x = torch.linalg.cross(z, u)
    if not (z.norm() > 0 and x.norm() > 1e-9 * z.norm() * u.norm()):
        raise DinarError(f"look_at needs a target apart from the eye and not along `up` from it; got eye {e.tolist()}, "
                         f"target {t.tolist()}, up {u.tolist()}")  # fmt: skip
    x, z = x / x.norm(), z / z.norm()
    R = torch.stack([x, torch.linalg.cross(z, x), z])
    T = torch.eye(4, dtype=torch.float64)
    T[:3, :3], T[:3, 3] = R, -R @ e
    return Camera(intrinsics(focal, height, width), T.float(), height, width)


def orbit(
    points: Tensor,  # [N, 3] world, metres: all are in the frame
    azimuth_deg: float,  # 0: camera on the +z side (a body's front), 90: on the +x side (its left)
    elevation_deg: float = 0,  # in [-90, 90]; positive looks down from above
    height: int = 512,
    width: int = 512,
    margin: float = 0.06,  # border on each side, a share of the image's shorter side
    focal: float | None = None,  # pixels; default: FOCAL of the longer side
) -> Camera:
    """A camera on a circle around the vertical axis through the centre of the points' bounding box.

    The bounding cylinder about that axis just fits into the frame, so the distance is the same for all azimuths.
    """
    p = torch.as_tensor(points).detach().reshape(-1, 3).double().cpu()
    if not len(p) or not p.isfinite().all():
        raise DinarError(f"orbit needs at least one point and only finite ones, got shape {list(points.shape)}")
    focal = FOCAL * max(height, width) if focal is None else focal
    low, high = p.amin(0), p.amax(0)
    centre, half = (low + high) / 2, float(high[1] - low[1]) / 2
    radius = float((p - centre)[:, [0, 2]].norm(dim=1).max())
    az, el = math.radians(azimuth_deg), math.radians(elevation_deg)

    # The two rims of the cylinder in a camera-aligned frame about the centre, for a camera at azimuth 0.
    phi = torch.linspace(0, 2 * math.pi, 181, dtype=torch.float64)
    x, z = radius * phi.cos(), radius * phi.sin()
    distance = 1e-3
    for y in (-half, half):
        towards = z * math.cos(el) + y * math.sin(el)
        across, along = x.abs(), (y * math.cos(el) - z * math.sin(el)).abs()
        room = margin * min(height, width)
        for extent, size in ((across, width), (along, height)):
            distance = max(distance, float((extent * focal / (size / 2 - room) + towards).max()))

    back = torch.tensor([math.sin(az) * math.cos(el), math.sin(el), math.cos(az) * math.cos(el)], dtype=torch.float64)
    up = (-math.sin(az) * math.sin(el), math.cos(el), -math.cos(az) * math.sin(el))
    return look_at(centre + distance * back, centre, height, width, focal, up)


def check_cameras(
    K: Tensor,  # [..., 3, 3] pixels
    T_cam_world: Tensor,  # [..., 4, 4]
    where: str,  # the file, for the message
) -> None:
    """Refuse cameras of a file that no photo has: a focal length that is not positive, a matrix that is not rigid."""
    focal = torch.stack([K[..., 0, 0], K[..., 1, 1]], -1)
    if not bool(((focal > 0) & (focal < MAX_FOCAL)).all()) or not bool((K.abs() < MAX_FOCAL).all()):
        raise DinarError(f"{where}: expected a focal length above 0 and below {MAX_FOCAL:g} pixels in K")
    R, t = T_cam_world[..., :3, :3], T_cam_world[..., :3, 3]
    turned = (R @ R.mT - torch.eye(3, dtype=R.dtype)).abs()
    last = (T_cam_world[..., 3, :] - R.new_tensor([0, 0, 0, 1])).abs()
    if not bool((turned < RIGID).all() and (last < RIGID).all() and (t.abs() < MAX_PLACE).all()):
        raise DinarError(f"{where}: expected a rotation and a place within {MAX_PLACE:g} m in T_cam_world")
