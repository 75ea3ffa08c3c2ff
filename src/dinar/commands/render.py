"""`dinar render`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..files import PICTURES, check_output
from ..pictures import write_image
from ..scene import orbit
from ..scene.textured import over, to_uint8
from .common import Common, Output, Path1, Track, first_pose, given_files, open_avatar


@dataclass
class Render(Common):
    """Render a picture of an avatar."""

    avatar: Path1 = Path()
    """Avatar file of `dinar create`."""
    out: Output = Path("render.png")
    """Picture file: png or jpg."""
    source: bool = False
    """Use camera and size of the photo. --azimuth, --elevation and --size then have no effect."""
    azimuth: float = 0
    """Camera angle around the person in degrees. 0: the front is seen, 90: the left side, 180: the back."""
    elevation: float = 0
    """Camera angle above the horizon in degrees. If positive, the camera looks down at the person."""
    pose: str | None = None
    """Pose name (t_pose, a_pose, stand, ...), or motion whose first frame is taken. None: the photo's pose."""
    track: Track = None
    size: int = 1024
    """Width and height of the picture in pixels."""
    background: Literal["white", "grey", "transparent"] = "transparent"
    """Background. In a jpg, transparent becomes white."""


def run(c: Render) -> None:

    check_output(c.out, [c.avatar, *given_files(c.pose)], PICTURES)
    avatar = open_avatar(c, c.avatar)
    pose = first_pose(avatar, c.pose, c.track)
    camera = avatar.camera if c.source else orbit(avatar.vertices(pose), c.azimuth, c.elevation, c.size, c.size)
    picture = avatar.render(pose, camera)
    if c.background != "transparent" or c.out.suffix.lower() in (".jpg", ".jpeg"):
        picture = over(picture, 0.5 if c.background == "grey" else 1.0)
    write_image(c.out, to_uint8(picture))
