"""Views of an avatar as numpy pictures. Run after 01: python examples/02_render.py"""

import numpy as np

import dinar
from dinar.preview import write_image
from dinar.scene.textured import over, to_uint8

avatar = dinar.load("me.avatar")
views = [avatar.render(azimuth=a, size=384) for a in (0, 90, 180, 270)]  # [384, 384, 4] float in [0, 1]
write_image("views.png", to_uint8(over(np.hstack(views), background=0.9)))
print("views.png")
