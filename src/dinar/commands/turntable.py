"""`dinar turntable`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..export.video import check_video
from .common import Common, Output, Path1, first_pose, given_files, open_avatar, write_frames


@dataclass
class Turntable(Common):
    """A video of the avatar turning once."""

    avatar: Path1 = Path()
    out: Output = Path("turntable.mp4")
    seconds: float = 4
    fps: int = 30
    size: int = 720
    pose: str | None = None


def run(c: Turntable) -> None:
    check_video(c.out, [c.avatar, *given_files(c.pose)])
    avatar = open_avatar(c, c.avatar)
    n = max(2, round(c.seconds * c.fps))
    write_frames(c.out, avatar.turntable(n, c.size, first_pose(avatar, c.pose)), c.fps, n)
