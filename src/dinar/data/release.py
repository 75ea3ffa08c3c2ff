"""Read the folder layout of the authors' released system: ``rgb/NAME.png``, ``segm/NAME.png``, ``smplx/NAME.pkl``.

The format, as in the public repository SamsungLabs/DINAR:

- the pickle is a result of SMPLify-X, possibly nested in ``result`` and ``smplx``: ``betas``, ``global_orient``,
  ``body_pose`` (63 numbers), ``expression``, ``jaw_pose``, hands as 6 or more PCA numbers or 45 angles;
- ``camera_translation`` is the body's ``transl`` in camera axes (x right, y down, z forward); ``camera_rotation`` is
  not used; focal length 5000 pixels, principal point at (width // 2, height // 2);
- ``ltrb``, where present, is the box of the original pictures that the fit refers to: they are cropped to it first;
- ``segm`` is a human parse in colours or as labels: whatever is not black is the person.

Eye poses are replaced there by constants and left neutral here. The default body has no PCA of the hands, so these
stay relaxed unless the arrays of the model file are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..arrays import Array, check_arrays, read_npz
from ..body import Body
from ..body.hands import relaxed_hands
from ..body.rotation import axis_angle_to_matrix, matrix_to_axis_angle
from ..body.skeleton import BODY, HANDS
from ..errors import DinarError
from ..fit.fit_file import Fit
from ..photo.image import read_image, read_photo
from ..pickles import read_pickle
from ..scene import Camera
from ..views import Views
from .photos import crop_view

PARTS = ("rgb", "segm", "smplx")  # folders of the layout
FOCAL = 5000.0  # pixels
_ANGLES, _WEIGHTS = Array(np.float32, None, -100, 100, required=False), Array(np.float32, None, -50, 50, required=False)
_PARAMETERS = {
    **dict.fromkeys(("body_pose", "global_orient", "jaw_pose", "left_hand_pose", "right_hand_pose"), _ANGLES),
    **dict.fromkeys(("betas", "expression"), _WEIGHTS),
    **dict.fromkeys(("camera_translation", "transl"), Array(np.float32, None, -1000, 1000, required=False)),  # metres
}
_HANDS = {
    f"hands_{what}{side}": Array(np.float64, shape, -100, 100)
    for side in "lr" for what, shape in (("mean", (45,)), ("components", ("PCA", 45)))
}  # fmt: skip
_TO_WORLD = torch.diag(torch.tensor([1.0, -1, -1]))  # camera axes -> y up
PARSE_LABELS = 20  # of Graphonomy: a grey picture of smaller numbers holds labels


class Released:
    """A folder of this layout as a source: every picture is a person with one view."""

    def __init__(
        self,
        folder: str | Path,
        body: Body,  # load_body("smplx", path)
        size: int = 512,  # pixels a side of the person-centred crop
        model: str | Path | None = None,  # SMPLX_*.npz, for hands given as PCA numbers
    ) -> None:
        self.folder, self.model, self.size = Path(folder), body, size
        if body.name != "smplx":
            raise DinarError(f"{folder} holds SMPL-X parameters: expected the smplx body, got {body.name}; "
                             "add --body smplx --body-path SMPLX_NEUTRAL.npz")  # fmt: skip
        self.body = body.name
        self.hands = {} if model is None else _hand_components(Path(model))
        for part in PARTS:
            if not (self.folder / part).is_dir():
                raise DinarError(f"{folder}: expected the folders rgb, segm and smplx, there is no {part}")
        self.pictures = sorted(p for p in (self.folder / "rgb").iterdir() if p.suffix.lower() in (".png", ".jpg"))
        if not self.pictures:
            raise DinarError(f"{self.folder / 'rgb'}: expected png or jpg pictures, found none")

    @property
    def num_people(self) -> int:
        return len(self.pictures)

    def num_views(self, i: int) -> int:
        return 1

    def views(self, i: int, indices: Sequence[int] | None = None) -> Views:
        path = self.pictures[i]
        pkl = self.folder / "smplx" / f"{path.stem}.pkl"
        if not pkl.is_file():
            raise DinarError(f"no body parameters at {pkl} for {path.name}")
        photo = read_photo(path)
        alpha = _person(self.folder / "segm" / f"{path.stem}.png")
        if alpha.shape != photo.original_size[::-1] or photo.scale != 1:
            raise DinarError(f"{self.folder / 'segm' / path.stem}.png: expected {list(photo.original_size[::-1])} "
                             f"pixels as its picture, of at most 2048 a side, got {list(alpha.shape)}")  # fmt: skip
        rgb = photo.rgb
        d = _parameters(pkl)
        if "ltrb" in d:
            box = check_arrays(str(pkl), d, {"ltrb": Array(np.float64, None, -8192, 8192)})["ltrb"].reshape(-1)
            if box.shape != (4,) or not (box[2:] - box[:2] >= 16).all():
                raise DinarError(f"{pkl}: expected a box left, top, right, bottom in ltrb, got {box[:4].tolist()}")
            rgb, alpha = (_cut(x, np.rint(box).astype(int), v) for x, v in ((rgb, 255), (alpha, 0)))
        fit, expression = self.fit(d, pkl, *rgb.shape[:2])
        vertices = self.model(fit.betas[None], fit.pose[None], fit.transl[None], expression).vertices[0]
        xy, depth = (x.numpy() for x in fit.camera.project(vertices))
        if not depth.min() > 0:
            raise DinarError(f"{pkl}: expected a body in front of the camera, got one that reaches behind it; check "
                             "camera_translation")  # fmt: skip
        on = np.argwhere(alpha > 0.5)[:, ::-1]
        if not len(on):
            raise DinarError(f"{self.folder / 'segm' / path.stem}.png: expected a person, the picture is black")
        box = np.r_[np.minimum(xy.min(0), on.min(0)), np.maximum(xy.max(0), on.max(0) + 1)]
        v = crop_view(rgb, alpha, None, fit, box, self.size, None, self.body, path.stem)
        v.params.expression = expression
        return v if indices is None else v.select(list(indices))

    def fit(self, d: dict[str, Any], where: Path, height: int, width: int) -> tuple[Fit, Tensor]:
        """The parameters in our world (y up, the camera at the origin looking along -z), and expression [1, E]."""
        body = self.model

        a = {k: x.reshape(-1) for k, x in check_arrays(str(where), d, _PARAMETERS).items()}

        def numbers(key: str, n: int) -> Tensor:
            x = a.get(key, np.zeros(n, np.float32))
            if x.size != n:
                raise DinarError(f"{where}: expected {n} finite numbers in {key}, got {x.size}" + (
                    ", a VPoser embedding; decode it first" if (key, x.size) == ("body_pose", 32) else ""))  # fmt: skip
            return torch.from_numpy(x.copy())

        pose = relaxed_hands(body)
        pose[[body.joint(n) for n in BODY[1:]]] = numbers("body_pose", 63).reshape(21, 3)
        pose[body.joint("jaw")] = numbers("jaw_pose", 3)
        for side in ("left", "right"):
            key = f"{side}_hand_pose"
            x = a.get(key, np.zeros(0, np.float32))
            joints = [body.joint(n) for n in HANDS[side]]
            if x.size == 45:
                pose[joints] = torch.from_numpy(x.copy()).reshape(15, 3)
            elif x.size and side in self.hands:
                mean, components = self.hands[side]
                x = x[:6] if x.size in (6, 12) else x
                if x.size > len(components):
                    raise DinarError(f"{where}: expected at most {len(components)} PCA numbers in {key}, got {x.size}")
                pose[joints] = torch.from_numpy(mean + x @ components[: x.size]).float().reshape(15, 3)
        shape, expression = torch.zeros(body.num_betas), torch.zeros(1, body.num_expression)
        for key, into in (("betas", shape), ("expression", expression[0])):
            x = a.get(key, np.zeros(0, np.float32))[: len(into)]
            into[: len(x)] = torch.from_numpy(x.copy())
        root = axis_angle_to_matrix(numbers("global_orient", 3))
        pose[0] = matrix_to_axis_angle(_TO_WORLD @ root)
        pelvis = body.rest(shape[None], expression)[1][0, 0]  # the body turns about it, not about the origin
        transl = _TO_WORLD @ (pelvis + numbers("camera_translation" if "camera_translation" in a else "transl", 3))
        K = torch.tensor([[FOCAL, 0, width // 2], [0, FOCAL, height // 2], [0, 0, 1.0]])
        T = torch.diag(torch.tensor([1.0, -1, -1, 1]))
        return Fit(shape, pose, transl - pelvis, Camera(K, T, height, width), float("nan")), expression


def _parameters(path: Path) -> dict[str, Any]:
    d = read_pickle(path)
    for inner in ("result", "smplx"):
        while isinstance(d, list) and d:
            d = d[0]
        d = d[inner] if isinstance(d, dict) and inner in d else d
    if not isinstance(d, dict) or "body_pose" not in d:
        raise DinarError(f"{path}: expected SMPL-X parameters with body_pose, as SMPLify-X writes them")
    return d


def _hand_components(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    a = read_npz(path, _HANDS, what="the hand components of an SMPL-X model (SMPLX_*.npz)")
    return {s: (a[f"hands_mean{s[0]}"], a[f"hands_components{s[0]}"]) for s in ("left", "right")}


def _person(path: Path) -> np.ndarray:
    """[H, W] float32 in [0, 1] of a parse (colours or labels) or of a soft mask."""
    if not path.is_file():
        raise DinarError(f"no segmentation at {path}")
    x = np.array(read_image(path).convert("RGB"))
    grey = (x == x[..., :1]).all()
    if grey and x.max() > PARSE_LABELS:
        return x[..., 0].astype(np.float32) / 255
    return (x.max(2) > 0).astype(np.float32)


def _cut(x: np.ndarray, box: np.ndarray, border: float) -> np.ndarray:
    """Pixels x0, y0, x1, y1 of an image; beyond it ``border``."""
    x0, y0, x1, y1 = box.tolist()
    out = np.full((y1 - y0, x1 - x0, *x.shape[2:]), border, x.dtype)
    h, w = x.shape[:2]
    ys, xs = slice(max(y0, 0), min(y1, h)), slice(max(x0, 0), min(x1, w))
    out[ys.start - y0 : ys.stop - y0, xs.start - x0 : xs.stop - x0] = x[ys, xs]
    return out
