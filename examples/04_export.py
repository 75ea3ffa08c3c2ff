"""A rigged GLB for Blender, Unity, Unreal or the web. Run after 01: python examples/04_export.py"""

import dinar

avatar = dinar.load("me.avatar")
avatar.export("me.glb", motions=["idle", "walk", "wave"])
print("me.glb")
