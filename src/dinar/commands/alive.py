"""`dinar alive`."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..alive.poses import moving_arms, with_free_arm
from ..alive.scene import frames, take_apart
from ..create import CreateOptions, create
from ..export import write_video
from ..export.video import check_video
from .common import Common, Flat, MotionRate, Output, Path1, Track, given_files, open_body, open_motion, say


@dataclass
class Alive(Common):
    """Write a video in which the person of a photo moves, in the photo. It begins and ends with the photo."""

    photo: Path1 = Path()
    """Photo of one whole person."""
    out: Output = Path("alive.mp4")
    """Video file (mp4, webm, gif), or a folder or a pattern such as x_%04d.png."""
    motion: str = "wave"
    """As for `dinar animate`. The feet stay where they are with wave, look_around and idle."""
    motion_fps: MotionRate = None
    track: Track = None
    fps: int = 24
    """Frames per second of the video."""
    options: Flat[CreateOptions] = field(default_factory=CreateOptions)


def run(c: Alive) -> None:
    o = c.options
    check_video(c.out, [c.photo, *given_files(c.motion, *o.masks, *o.keypoints, *o.fits, c.body_path)])
    motion = open_motion(c.motion, c.motion_fps, c.track).resampled(c.fps)
    start = time.perf_counter()
    avatar = create(c.photo, o, body=open_body(c), progress=lambda s: say(f"  {s}"))
    say("  taking the person out of the photo")
    subject, fit = avatar.work.subjects[0], avatar.work.fits[0]
    asked, motion = motion, with_free_arm(avatar, subject, fit, motion)
    if moving_arms(avatar, asked) and not moving_arms(avatar, motion):
        say("  neither hand is free (each holds something or is in a pocket): the arms stay as they are")
    scene = take_apart(avatar, subject, fit, motion)
    n = write_video(c.out, frames(scene, motion), c.fps, progress=sys.stderr.isatty())
    say(f"{c.out}: {n} frames in {time.perf_counter() - start:.1f} s")
