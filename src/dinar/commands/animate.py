"""`dinar animate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..export.video import check_video
from ..speech.sound import read_sound
from ..speech.talk import talking
from .common import Common, MotionRate, Output, Path1, Track, given_files, open_avatar, open_motion, write_frames


@dataclass
class Animate(Common):
    """Write a video of the avatar in motion."""

    avatar: Path1 = Path()
    """Avatar file of `dinar create`."""
    out: Output = Path("animation.mp4")
    """Video file (mp4, gif); or for transparent pictures of all frames, a folder or a pattern such as x_%04d.png."""
    motion: str | None = None
    """walk, wave, turn, look_around, dance or idle; or a file (BVH, AMASS npz, SMPLify-X pkl, DeepMimic txt; of a face
    a csv or json of ARKit actions), or a video of a person or a face. None: walk; with --speech: idle."""
    speech: Path | None = None
    """Sound file (wav, mp3, ogg, m4a, flac, or a video) that the avatar says; mp4 and webm contain the sound."""
    renderer: Literal["auto", "mesh"] = "auto"
    """What draws the frames. auto: the renderer that the avatar was created for. mesh: its mesh, ten times faster."""
    close: bool = False
    """Show head and shoulders instead of the whole person."""
    motion_fps: MotionRate = None
    track: Track = None
    fps: int = 30
    """Frames per second of the video."""
    size: int = 720
    """Width and height of the video in pixels."""
    azimuth: float = 25
    """Camera angle around the person in degrees. 0: the front is seen, 90: the left side, 180: the back."""
    turn: float = 0
    """Angle in degrees by which the camera moves around the person during the video, starting at --azimuth."""
    repeat: int = 2
    """Number of times that a motion made to loop is played. Others are played once."""


def run(c: Animate) -> None:

    name = c.motion or ("walk" if c.speech is None else "idle")
    check_video(c.out, [c.avatar, *given_files(name, c.speech)])
    samples = None if c.speech is None else read_sound(c.speech)
    avatar = open_avatar(c, c.avatar)
    if c.renderer == "mesh":
        avatar = avatar.replace(neural=None)
    motion = open_motion(name, c.motion_fps, c.track).resampled(c.fps)
    if samples is not None:
        motion = talking(samples, avatar.body, motion)
    repeat = c.repeat if motion.loop else 1
    frames = avatar.animate(motion, c.size, azimuth=c.azimuth, turn=c.turn, repeat=repeat, close=c.close)
    write_frames(c.out, frames, c.fps, repeat * len(motion), sound=c.speech)
