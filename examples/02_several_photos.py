"""Make one avatar from several photos. Run: python examples/02_several_photos.py [front.jpg back.jpg]

Without photos, a generated person is used.
"""

import sys

import dinar
from dinar.pictures import write_image
from dinar.synthetic.source import Synthetic

photos = sys.argv[1:]
if not photos:
    photos = ["front.png", "back.png"]
    for path, picture in zip(photos, Synthetic(seed=0, size=640).front_and_back(0), strict=True):
        write_image(path, picture)
avatar = dinar.create(photos)  # the front view first
avatar.save("both.avatar")
print(f"both.avatar: the photos show {(avatar.lam > 0).mean():.0%} of the texture")
