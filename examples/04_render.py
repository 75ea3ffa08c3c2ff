"""Render an avatar to numpy arrays. Run: python examples/04_render.py [photo.jpg or me.avatar]"""

import sys

import numpy as np

import dinar
from dinar.demo import PHOTO
from dinar.pictures import write_image
from dinar.scene.textured import over, to_uint8

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
views = [avatar.render(azimuth=a, size=384) for a in (0, 90, 180, 270)]  # [384, 384, 4] float in [0, 1]
write_image("views.png", to_uint8(over(np.hstack(views), background=0.9)))
print("views.png")
