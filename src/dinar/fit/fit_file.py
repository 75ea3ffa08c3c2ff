"""The result of the body fit, and its file."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..body import Body
from ..errors import DinarError
from ..files import check_output, replacing
from ..scene import Camera
from .view import View


@dataclass
class Fit:
    """The body in one photo; float32."""

    betas: Tensor  # [num_betas]
    pose: Tensor  # [J, 3] axis-angle, pose[0] is the global orientation
    transl: Tensor  # [3] metres
    camera: Camera
    keypoint_error: float  # mean over the visible large joints, per cent of the person's height in the photo

    def save(self, path: str | Path) -> None:
        """Write an npz that ``--fit`` takes."""
        check_output(path, suffixes=(".npz",))
        arrays = {"betas": self.betas, "pose": self.pose, "transl": self.transl, "K": self.camera.K,
                  "T_cam_world": self.camera.T_cam_world}  # fmt: skip
        with replacing(path) as temporary:
            size = np.array([self.camera.height, self.camera.width])
            np.savez(temporary, **{k: v.numpy() for k, v in arrays.items()}, size=size)  # type: ignore[arg-type]


def load_fit(path: str | Path, body: Body, view: View) -> Fit:
    """Read a file of :meth:`Fit.save` for the photo of ``view``; the camera is scaled to the photo's size.

    Raises:
        DinarError: the file is no fit, or its arrays do not have the shapes of this body.
    """
    expected = {"betas": (body.num_betas,), "pose": (body.num_joints, 3), "transl": (3,), "K": (3, 3),
                "T_cam_world": (4, 4), "size": (2,)}  # fmt: skip
    try:
        with np.load(path, allow_pickle=False) as z:
            a = {k: z[k] for k in expected}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as e:
        raise DinarError(f"{path} is not a fit: expected an npz with {', '.join(expected)} ({e})") from e
    for k, shape in expected.items():
        if a[k].shape != shape or not np.isfinite(a[k].astype(float)).all():
            raise DinarError(f"{path}: expected {k} of shape {list(shape)} for the {body.name} body, got "
                             f"{list(a[k].shape)}")  # fmt: skip
    t = {k: torch.from_numpy(v.astype(np.float32)) for k, v in a.items()}
    camera = Camera(t["K"], t["T_cam_world"], int(a["size"][0]), int(a["size"][1])).resized(view.height, view.width)
    return Fit(t["betas"], t["pose"], t["transl"], camera, float("nan"))
