"""Play a motion file on an avatar. Run: python examples/05_own_motion.py [photo.jpg or me.avatar] [motion.bvh]

The file may be BVH, AMASS npz, SMPLify-X pkl, 4D-Humans pkl or DeepMimic txt.
"""

import sys
from pathlib import Path

import dinar
from dinar.body.readers import load_motion
from dinar.demo import PHOTO
from dinar.export import write_video
from dinar.scene.textured import over, to_uint8

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
motion = load_motion(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).with_name("star_jump.bvh"))
frames = avatar.animate(motion, size=256, azimuth=0)
write_video("motion.mp4", (to_uint8(over(f)) for f in frames), fps=motion.fps)
print("motion.mp4")
