"""`dinar turntable`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..export.video import check_video
from .common import Common, Output, Path1, Track, first_pose, given_files, open_avatar, write_frames


@dataclass
class Turntable(Common):
    """Write a video in which the camera goes once around the avatar."""

    avatar: Path1 = Path()
    """Avatar file of `dinar create`."""
    out: Output = Path("turntable.mp4")
    """Video file (mp4, gif); or for transparent pictures of all frames, a folder or a pattern such as x_%04d.png."""
    seconds: float = 4
    """Length of the video in seconds."""
    fps: int = 30
    """Frames per second of the video."""
    size: int = 720
    """Width and height of the video in pixels."""
    pose: str | None = None
    """Pose name (t_pose, a_pose, stand, ...), or motion whose first frame is taken. None: the photo's pose."""
    track: Track = None


def run(c: Turntable) -> None:
    check_video(c.out, [c.avatar, *given_files(c.pose)])
    avatar = open_avatar(c, c.avatar)
    n = max(2, round(c.seconds * c.fps))
    write_frames(c.out, avatar.turntable(n, c.size, first_pose(avatar, c.pose, c.track)), c.fps, n)
