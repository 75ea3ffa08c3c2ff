"""Write rigged GLB, VRM and FBX files. Run: python examples/08_export.py [photo.jpg or me.avatar]"""

import sys

import dinar
from dinar.demo import PHOTO

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
avatar.export("me.glb", motions=["idle", "walk", "wave"])  # three.js and others
avatar.export("me.vrm", motions=[])  # VRM 1.0
avatar.export("me.fbx", program="unity", size="medium")  # a humanoid in T-pose
print("me.glb, me.vrm, me.fbx")
