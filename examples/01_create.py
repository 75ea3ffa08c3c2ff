"""Make an avatar and a preview from a photo. Run: python examples/01_create.py [photo.jpg]"""

import sys

import dinar
from dinar.demo import PHOTO
from dinar.pictures import write_image
from dinar.preview import preview

photo = sys.argv[1] if len(sys.argv) > 1 else PHOTO
avatar = dinar.create(photo, progress=print)
avatar.save("me.avatar")
write_image("me.preview.png", preview(avatar, avatar.work))
print("me.avatar, me.preview.png")
