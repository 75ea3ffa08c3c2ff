"""Train the neural texture and renderer on your own video. Run: python examples/13_train.py [video.mp4 or frames/]

Without a video, an avatar is rendered. Networks and run are tiny; docs/training.md has real settings.
"""

import dataclasses
import sys
from pathlib import Path

import dinar
from dinar.data.frames import import_people
from dinar.demo import PHOTO
from dinar.export import write_video
from dinar.scene.textured import over, to_uint8
from dinar.train.presets import PRESETS
from dinar.train.stages import train

video = sys.argv[1] if len(sys.argv) > 1 else "turntable.mp4"
if len(sys.argv) == 1:
    write_video(video, (to_uint8(over(f)) for f in dinar.create(PHOTO).turntable(frames=12)), fps=12)
import_people(Path(video), Path("set"), frames=3, size=128)  # fits the body, one shape for all frames
nano = PRESETS["avatar"]["nano"]
options = dataclasses.replace(nano, loop=dataclasses.replace(nano.loop, steps=3).fitting(), holdout=0)
train("avatar", [Path("set")], Path("run"), options, cpu=True)
print("run/weights: dinar create photo.jpg --weights run/weights")
