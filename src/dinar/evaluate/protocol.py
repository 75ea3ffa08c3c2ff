"""The protocol of an evaluation: crop, background, resolution, colour, erosion, poses, masks, extractors.

It is stored in ``results.json`` and printed above every table. A results folder belongs to one protocol; another one is
refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from ..arrays import read_json
from ..errors import DinarError
from ..files import replacing
from ..scene.crop import crop_box, warp_crop
from ..scene.textured import over, to_uint8
from ..version import __version__
from .metrics import METRICS

MARGIN = 0.06  # border around the person in `crop="person"`, as a share of the longer side
MIN_PIXELS = 16  # of a person in a true mask
MIN_FACE = 16  # pixels a side of a face box that is measured
BACKGROUNDS = {"white": 1.0, "grey": 0.5, "black": 0.0}
Box = tuple[float, float, float]  # x0, y0, scale: new pixel = (old pixel - (x0, y0)) * scale


@dataclass(frozen=True)
class Protocol:
    """How pictures are made and compared. All fields are json values."""

    task: str
    data: str  # which pictures, how many people
    size: int = 512  # pixels: side of the square crop, or longer side of the full picture
    crop: Literal["person", "full"] = "person"
    background: Literal["white", "grey", "black"] = "white"
    erode: int = 0  # pixels by which both masks are eroded before the pictures are put on the background
    colour: str = "sRGB, 8 bit, not linearised"
    input: str = "none"  # which picture the avatar is made from
    input_mask: str = "none"  # origin of its mask
    poses: str = "none"  # origin of the poses in the other pictures
    truth_mask: str = "none"  # origin of the true pictures' masks
    device: str = "cpu"  # of the metrics
    metrics: tuple[str, ...] = ()
    inception: str | None = None  # file of KID's standard extractor; None: the substitute
    reid: str | None = None  # file of ReID's standard extractor; None: the substitute
    systems: tuple[tuple[str, str], ...] = ()  # names, and the calls that make their avatars
    average: str = "over a person's pictures, then over people; [95 % bootstrap interval over people]"
    dinar: str = __version__

    def __post_init__(self) -> None:
        if not 64 <= self.size <= 2048:
            raise DinarError(f"expected --size between 64 and 2048, got {self.size}")
        if not 0 <= self.erode <= self.size // 16:
            raise DinarError(f"expected --erode between 0 and {self.size // 16} pixels, got {self.erode}")
        if self.background not in BACKGROUNDS or self.crop not in ("person", "full"):
            raise DinarError(f"expected --background {', '.join(BACKGROUNDS)} and --crop person or full, got "
                             f"{self.background} and {self.crop}")  # fmt: skip

    def record(self) -> dict[str, Any]:
        """The protocol as json values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def text(self) -> str:
        """The protocol as a Markdown list."""
        square = f"a square around the true mask, margin {MARGIN:.0%} of its longer side"
        crop = square if self.crop == "person" else "the whole picture"
        lines = [
            f"Data: {self.data}.",
            f"Crop: {crop}; {self.size} px. Background: {self.background}, behind both pictures. Masks eroded by "
            f"{self.erode} px. Colour: {self.colour}.",
            f"Input: {self.input}. Its mask: {self.input_mask}. Poses of the test pictures: {self.poses}. "
            f"Their masks: {self.truth_mask}.",
            f"Metrics: {', '.join(self.metrics)}"
            + "".join(f"; {m} by {f}" for m, f in (("KID", self.inception), ("ReID", self.reid)) if f) + ".",
            *(f"System {name}: {how}." for name, how in self.systems),
            f"Means: {self.average}. dinar {self.dinar}.",
        ]  # fmt: skip
        return "\n".join(f"- {line}" for line in lines)

    def begin(self, out: Path) -> None:
        """Create the results folder, or check that it has the same protocol.

        Raises:
            DinarError: the folder has another protocol, or cannot be written.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise DinarError(f"cannot write into {out}: {e.strerror}") from e
        path = out / "protocol.json"
        if path.is_file():
            old = read_json(path, what="the protocol of an evaluation")
            if not isinstance(old, dict):
                raise DinarError(f"{path}: expected the protocol of an evaluation, got something else; delete it and "
                                 "its folder to start again")  # fmt: skip
            if old != self.record():
                keys = sorted(k for k in {*old, *self.record()} if old.get(k) != self.record().get(k))
                raise DinarError(f"{out} holds another evaluation: {', '.join(keys)} differ; give another folder "
                                 "with -o, or the options of the first run to resume it")  # fmt: skip
            return
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(self.record(), indent=1, sort_keys=True))


def metric_names(asked: Sequence[str] = (), inception: str | None = None, reid: str | None = None) -> tuple[str, ...]:
    """The names of the computed metrics of pictures: KID and ReID if their files are given, else their substitutes."""
    if unknown := [m for m in asked if m not in METRICS]:
        raise DinarError(f"expected --metrics among {', '.join(METRICS)}; got {unknown[0]}")
    if moving := [m for m in asked if METRICS[m].scope == "animation"]:
        raise DinarError(f"expected metrics of pictures, got {moving[0]}, a metric of animations: it is computed by "
                         "dinar.evaluate.animation")  # fmt: skip
    files = {"KID": inception, "ReID": reid}

    def wanted(name: str) -> bool:
        kind, substitute = name.partition("-")[0], "(substitute)" in name
        if kind in files:
            return (not asked or name in asked or kind in asked) and substitute == (files[kind] is None)
        return name in asked if asked else METRICS[name].scope != "animation"

    return tuple(name for name in METRICS if wanted(name))


# ---- pictures, all [H, W, 4] uint8 sRGB with straight alpha ---------------------------------------------------------


def box_of(mask: np.ndarray, protocol: Protocol) -> tuple[Box, int, int]:  # [H, W] float or bool
    """The crop box of a true picture, and the crop's height and width in pixels."""
    if protocol.crop == "person":
        if (mask > 0.5).sum() < MIN_PIXELS:
            raise DinarError("the true mask is empty: expected a person in it, or --crop full")
        return crop_box(mask > 0.5, protocol.size, MARGIN), protocol.size, protocol.size
    h, w = mask.shape
    k = protocol.size / max(h, w)
    return (0.0, 0.0, k), round(h * k), round(w * k)


def cut(
    rgb: np.ndarray,  # [H, W, 3] uint8
    alpha: np.ndarray,  # [H, W] float32 in [0, 1]
    box: Box,
    height: int,
    width: int,
) -> np.ndarray:
    """A picture and its mask resampled to a crop: [height, width, 4] uint8."""
    side = max(height, width)
    picture = warp_crop(rgb.astype(np.float32) / 255, box, side, 1.0)[:height, :width]
    mask = warp_crop(alpha.astype(np.float32), box, side, 0.0)[:height, :width]
    return to_uint8(np.dstack([picture, mask]))


def on_background(rgba: np.ndarray, protocol: Protocol) -> np.ndarray:
    """The picture that is compared, [H, W, 3] float32 in [0, 1]: ``rgba`` [H, W, 4] uint8 over the background."""
    x = rgba.astype(np.float32) / 255
    if protocol.erode:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * protocol.erode + 1,) * 2)
        x[..., 3] = cv2.erode(x[..., 3], kernel)
    return over(x, BACKGROUNDS[protocol.background])


def face_in(box: np.ndarray, crop: Box, height: int, width: int) -> tuple[int, int, int, int] | None:
    """A face box x0, y0, x1, y1 in whole pixels of the crop; None if it is smaller than MIN_FACE there."""
    x0, y0, k = crop
    x = np.rint((box - [x0, y0, x0, y0]) * k).clip(0, [width, height, width, height]).astype(int).tolist()
    return (x[0], x[1], x[2], x[3]) if min(x[2] - x[0], x[3] - x[1]) >= MIN_FACE else None
