"""A photo to an avatar file and a preview. Run: python examples/01_create.py [photo.jpg]"""

import sys
from importlib import resources

import dinar
from dinar.preview import preview, write_image

photo = sys.argv[1] if len(sys.argv) > 1 else str(resources.files("dinar") / "data" / "demo.jpg")
avatar = dinar.create(photo, progress=print)
avatar.save("me.avatar")
write_image("me.preview.png", preview(avatar, avatar.work))
print("me.avatar, me.preview.png")
