"""The result of the body fit, and its file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array, read_npz
from ..body import Body
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..files import check_output, replacing
from ..scene import Camera
from ..scene.camera import check_cameras
from ..scene.crop import Whole
from ..scene.fragments import GUARD
from .view import View

# What the file of a fit must hold (metres, radians, pixels).
FIT = {
    "betas": Array(np.float32, ("B",), -100, 100),
    "pose": Array(np.float32, ("J", 3), -100, 100),
    "transl": Array(np.float32, (3,), -1e5, 1e5),
    "K": Array(np.float32, (3, 3)),
    "T_cam_world": Array(np.float32, (4, 4)),
    "size": Array(np.int64, (2,), 1, GUARD),
}


@dataclass
class Fit:
    """The body in one photo; float32."""

    betas: Tensor  # [num_betas]
    pose: Tensor  # [J, 3] axis-angle, pose[0] is the global orientation
    transl: Tensor  # [3] metres
    camera: Camera
    keypoint_error: float  # mean over the visible large joints, per cent of the person's height in the photo
    whole: Whole | None = None  # the whole photo, where ``camera`` is of a part of it

    @property
    def whole_camera(self) -> Camera:
        """The camera of the whole photo."""
        return self.camera if self.whole is None else self.camera.crop(*self.whole)

    def level(self, body: Body) -> Fit:
        """The same picture from a world in which the camera is level and at the origin, as tables of photos have it."""
        T = self.camera.T_cam_world
        A = torch.diag(torch.tensor([1.0, -1, -1, 1]))  # its inverse too
        G = (A @ T)[:3, :3]
        pelvis = body.rest_joints(body.coefficients(self.betas[None]))[0, 0]
        pose = self.pose.clone()
        pose[0] = matrix_to_axis_angle(G @ axis_angle_to_matrix(pose[0]))
        transl = G @ (self.transl + pelvis) + (A @ T)[:3, 3] - pelvis
        camera = dataclasses.replace(self.camera, T_cam_world=A)
        return dataclasses.replace(self, pose=pose, transl=transl, camera=camera)

    def save(self, path: str | Path, turn: int = 0) -> None:
        """Write an npz that ``--fit`` takes; its camera is of the whole photo as its file lies, before the photo was
        turned to the left by ``turn`` quarters."""
        check_output(path, suffixes=(".npz",))
        camera = self.whole_camera.turned(-turn)
        arrays = {"betas": self.betas, "pose": self.pose, "transl": self.transl, "K": camera.K,
                  "T_cam_world": camera.T_cam_world}  # fmt: skip
        with replacing(path) as temporary:
            size = np.array([camera.height, camera.width])
            np.savez(temporary, **{k: v.numpy() for k, v in arrays.items()}, size=size)  # type: ignore[arg-type]


def read_fit(path: str | Path, body: Body) -> dict[str, np.ndarray]:
    """The arrays of :data:`FIT`, checked."""
    a = read_npz(path, FIT, what=f"a fit of the {body.name} body (npz)",
                 sizes={"B": body.num_betas, "J": body.num_joints})  # fmt: skip
    check_cameras(torch.from_numpy(a["K"]), torch.from_numpy(a["T_cam_world"]), str(path))
    return a


def load_fit(path: str | Path, body: Body, view: View, turn: int = 0) -> Fit:
    """Read a file of :meth:`Fit.save` for the photo of ``view``, which was turned to the left by ``turn`` quarters; the
    camera is turned and scaled likewise.

    Raises:
        DinarError: the file is no fit, or its arrays do not have the shapes of this body.
    """
    a = read_fit(path, body)
    t = {k: torch.from_numpy(a[k]) for k in FIT}
    camera = Camera(t["K"], t["T_cam_world"], int(a["size"][0]), int(a["size"][1])).turned(turn)
    size = view.height, view.width
    camera = camera.resized(*size) if view.whole is None else view.whole.cut(camera, *size)
    return Fit(t["betas"], t["pose"], t["transl"], camera, float("nan"), view.whole)
