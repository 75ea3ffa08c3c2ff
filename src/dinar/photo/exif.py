"""The camera's focal length, where a photo's EXIF data tell it."""

from __future__ import annotations

import math

from PIL import ExifTags, Image

FILM = math.hypot(36.0, 24.0)  # millimetres: the diagonal of 35 mm film, which "35 mm equivalent" refers to (CIPA)
UNITS = {2: 25.4, 3: 10.0, 4: 1.0, 5: 1e-3}  # millimetres of FocalPlaneResolutionUnit
RANGE = (0.3, 15.0)  # focal lengths of photos over their diagonal: of fisheyes that are straightened, of telescopes
SAME = 0.02  # by which the aspects of the picture and of the sensor may differ, before the picture is cropped


def focal_length(image: Image.Image, size: tuple[int, int]) -> float | None:
    """Pixels of a file of ``size`` as it lies; None where it does not say, or was cropped by an editor since.

    An editor that crops to the same aspect and keeps the data is not noticed.
    """
    try:
        tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        told = {name: float(tags.get(getattr(ExifTags.Base, name)) or 0) for name in (
            "FocalLengthIn35mmFilm", "FocalLength", "FocalPlaneXResolution", "FocalPlaneResolutionUnit",
            "ExifImageWidth", "ExifImageHeight")}  # fmt: skip
    except Exception:  # damaged data: every one in its own way
        return None
    if not all(map(math.isfinite, told.values())):  # ratios whose denominator is 0
        return None
    width, height = told["ExifImageWidth"], told["ExifImageHeight"]
    if min(width, height) > 0:
        aspects = max(width, height) / min(width, height), max(size) / min(size)
        if abs(math.log(aspects[0] / aspects[1])) > SAME:
            return None
    diagonal = math.hypot(*size)
    focal = told["FocalLengthIn35mmFilm"] * diagonal / FILM
    if not focal and max(width, height) > 0:
        unit = UNITS.get(int(told["FocalPlaneResolutionUnit"] or 2), 0.0)
        if unit:
            pixels = told["FocalLength"] * told["FocalPlaneXResolution"] / unit  # of the sensor
            focal = pixels * max(size) / max(width, height)
    return focal if math.isfinite(focal) and RANGE[0] * diagonal < focal < RANGE[1] * diagonal else None


def equivalent(focal: float, size: tuple[int, int]) -> float:
    """Pixels of a picture of ``size``, from millimetres of 35 mm film."""
    return focal * math.hypot(*size) / FILM
