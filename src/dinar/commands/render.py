"""`dinar render`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..files import PICTURES, check_output
from ..preview import write_image
from ..scene import orbit
from ..scene.textured import over, to_uint8
from .common import Common, Output, Path1, first_pose, given_files, open_avatar


@dataclass
class Render(Common):
    """Draw an avatar as png or jpg."""

    avatar: Path1 = Path()
    out: Output = Path("render.png")
    source: bool = False
    """From the photo's camera, at the photo's size."""
    azimuth: float = 0
    """Degrees around the person: 0 front, 90 their left, 180 back."""
    elevation: float = 0
    """Degrees; positive looks down."""
    pose: str | None = None
    """A static pose or the first frame of a motion: a name or a file."""
    size: int = 1024
    """Pixels a side."""
    background: Literal["white", "grey", "transparent"] = "transparent"


def run(c: Render) -> None:

    check_output(c.out, [c.avatar, *given_files(c.pose)], PICTURES)
    avatar = open_avatar(c, c.avatar)
    pose = first_pose(avatar, c.pose)
    camera = avatar.camera if c.source else orbit(avatar.vertices(pose), c.azimuth, c.elevation, c.size, c.size)
    picture = avatar.render(pose, camera)
    if c.background != "transparent" or c.out.suffix.lower() in (".jpg", ".jpeg"):
        picture = over(picture, 0.5 if c.background == "grey" else 1.0)
    write_image(c.out, to_uint8(picture))
