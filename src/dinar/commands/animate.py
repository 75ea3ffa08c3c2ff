"""`dinar animate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..body.readers import load_motion
from ..export.video import check_video
from .common import Common, MotionRate, Output, Path1, Track, given_files, open_avatar, write_frames


@dataclass
class Animate(Common):
    """A video of the avatar in motion."""

    avatar: Path1 = Path()
    out: Output = Path("animation.mp4")
    motion: str = "walk"
    """A shipped motion (walk, wave, turn, look_around, dance, idle) or a file: AMASS npz, SMPLify-X pkl, BVH, ..."""
    motion_fps: MotionRate = None
    track: Track = None
    fps: int = 30
    """Frames per second of the video."""
    size: int = 720
    azimuth: float = 25
    turn: float = 0
    """Degrees the camera goes round."""
    repeat: int = 2
    """How often a looping motion is shown."""


def run(c: Animate) -> None:

    check_video(c.out, [c.avatar, *given_files(c.motion)])
    avatar = open_avatar(c, c.avatar)
    motion = load_motion(c.motion, fps=c.motion_fps, track=c.track).resampled(c.fps)
    repeat = c.repeat if motion.loop else 1
    frames = avatar.animate(motion, c.size, azimuth=c.azimuth, turn=c.turn, repeat=repeat)
    write_frames(c.out, frames, c.fps, repeat * len(motion))
