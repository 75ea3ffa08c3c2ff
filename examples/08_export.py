"""Write rigged GLB and VRM files. Run: python examples/08_export.py [photo.jpg or me.avatar]"""

import sys

import dinar
from dinar.demo import PHOTO

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
avatar.export("me.glb", motions=["idle", "walk", "wave"])  # Blender, Unity, Unreal, three.js
avatar.export("me.vrm", motions=[])  # VRM 1.0
print("me.glb, me.vrm")
