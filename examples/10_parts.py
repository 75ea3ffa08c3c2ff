"""Read the parts of an avatar. Run: python examples/10_parts.py [photo.jpg or me.avatar]"""

import sys

import numpy as np

import dinar
from dinar.demo import PHOTO
from dinar.pictures import write_image

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
write_image("texture.png", avatar.rgb)  # [S, S, 3] uint8
write_image("seen.png", np.repeat(avatar.lam[..., None], 3, 2))  # [S, S] uint8; 0: no photo shows the texel

vertices, faces = avatar.vertices(), avatar.body.faces  # [V, 3] metres in the photo's pose; [F, 3]
with open("mesh.obj", "w") as f:
    f.writelines(f"v {x:.4f} {y:.4f} {z:.4f}\n" for x, y, z in vertices.tolist())
    f.writelines(f"f {a} {b} {c}\n" for a, b, c in faces + 1)

for name, parent, angle in zip(avatar.body.joint_names, avatar.body.parents, avatar.pose.norm(dim=-1), strict=True):
    print(f"{name:20s} parent {parent:3d}  turned {float(angle.rad2deg()):5.1f}°")
print(f"shape {avatar.betas[:4].tolist()} ..., camera {avatar.camera.width}x{avatar.camera.height}, {avatar.meta}")
