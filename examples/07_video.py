"""Write a turntable and a walk as video. Run: python examples/07_video.py [photo.jpg or me.avatar]"""

import sys

import dinar
from dinar.body.readers import load_motion
from dinar.demo import PHOTO
from dinar.export import write_video
from dinar.scene.textured import over, to_uint8

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
frames = avatar.turntable(frames=24, size=(384, 256))  # height, width
write_video("turntable.mp4", (to_uint8(over(f)) for f in frames), fps=12)
walk = load_motion("walk").resampled(12)
write_video("walk", (to_uint8(f) for f in avatar.animate(walk, size=256)), fps=walk.fps)  # a folder of transparent png
print("turntable.mp4, walk/0000.png ...")
