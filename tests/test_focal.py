"""The camera of a photo: focal length by its EXIF data, principal point in the middle of the whole photo."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from dinar.body import Body
from dinar.fit.smplify import fit_body
from dinar.fit.view import FOCAL, View, photo_camera
from dinar.photo.image import read_photo
from dinar.scene.crop import Whole
from known_body import H, W, subject

FILM = math.hypot(36, 24)
SENSOR = {"FocalLength": IFDRational(85), "FocalPlaneXResolution": IFDRational(4000, 36),
          "FocalPlaneResolutionUnit": 4, "ExifImageWidth": 4000, "ExifImageHeight": 3000}  # fmt: skip


@pytest.mark.parametrize(("tags", "focal"), [
    ({"FocalLengthIn35mmFilm": 50}, 50 * 500 / FILM),
    ({"FocalLengthIn35mmFilm": 26, "ExifImageWidth": 4000, "ExifImageHeight": 3000}, 26 * 500 / FILM),
    ({"FocalLengthIn35mmFilm": 26, "ExifImageWidth": 3000, "ExifImageHeight": 4000}, 26 * 500 / FILM),  # turned since
    ({"FocalLengthIn35mmFilm": 26, "ExifImageWidth": 4000, "ExifImageHeight": 2000}, None),  # cropped since
    (SENSOR, 85 * 4000 / 36 / 10), (SENSOR | {"FocalPlaneResolutionUnit": 9}, None),
    (SENSOR | {"FocalLength": IFDRational(0, 0)}, None),
    (SENSOR | {"FocalPlaneResolutionUnit": IFDRational(1, 0)}, None),
    ({"FocalLength": IFDRational(5)}, None),
    ({"FocalLengthIn35mmFilm": 1}, None), ({}, None),
])  # fmt: skip
def test_focal_length_of_a_file(tags: dict[str, object], focal: float | None, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update({getattr(ExifTags.Base, k): v for k, v in tags.items()})
    Image.fromarray(np.zeros((300, 400, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    for photo in (read_photo(tmp_path / "a.jpg"), read_photo(tmp_path / "a.jpg", turn=1, window=(0, 0, 200, 150))):
        assert photo.focal == (None if focal is None else pytest.approx(focal, rel=1e-6))


def test_the_camera_of_a_part_is_the_whole_photos() -> None:
    part = Whole(-300, -20, 0.5, 200, 400)
    view = View(np.zeros((33, 4)), None, None, 150, 100, whole=part, focal=700.0)
    whole = view.camera(pitch=0.2).crop(*part)
    assert torch.allclose(whole.K, photo_camera(200, 400, 350.0, pitch=0.2).K) and (whole.height, whole.width) == (
        200,
        400,
    )
    assert view.camera().K[:2, 2].tolist() == [100, 180]
    assert view.camera().K[0, 0] == 700 and view.camera(300.0).K[0, 0] == 300


def test_an_unknown_camera_does_not_depend_on_what_lies_around() -> None:
    view = View(np.zeros((33, 4)), None, None, 150, 100, whole=Whole(-300, -20, 0.5, 200, 400))
    assert view.camera().K[:2, 2].tolist() == [50, 75] and view.camera().K[0, 0] == FOCAL * 150
    assert view.camera(300.0).K[:2].tolist() == [[300, 0, 50], [0, 300, 75]]


def test_a_known_focal_length_tells_the_distance(body: Body) -> None:
    """The same body in the lower left part of a photo, taken with twice the focal length."""
    near, far = subject(body)[0], subject(body)[0]
    far.focal, far.whole = 2 * FOCAL * H, Whole(0, -H, 1, 2 * H, 2 * W)
    fits = [fit_body(body, [v])[0] for v in (near, far)]
    z = [float(f.camera.to_camera(body(f.betas[None], f.pose[None], f.transl[None]).joints[0, :1])[0, 2]) for f in fits]
    assert 1.7 < z[1] / z[0] < 2.2
    assert fits[1].camera.K[:2, 2].tolist() == [W, 0] and fits[1].keypoint_error < 1.5
