"""Animate an avatar from joint angles. Run: python examples/06_motion_by_hand.py [photo.jpg or me.avatar]"""

import sys

import torch

import dinar
from dinar.body.motion import Motion
from dinar.body.rotation import axis_angle_to_matrix
from dinar.demo import PHOTO
from dinar.export import write_video

path = sys.argv[1] if len(sys.argv) > 1 else str(PHOTO)
avatar = dinar.load(path) if path.endswith(".avatar") else dinar.create(path)
joints = ("pelvis", "left_shoulder", "right_shoulder", "head")
t = torch.linspace(0, 2 * torch.pi, 17)[:-1]
angles = torch.zeros(len(t), len(joints), 3)  # axis-angle relative to the T-pose
angles[:, 1, 2] = -0.6 + 0.5 * t.sin()  # both arms up and down
angles[:, 2, 2] = 0.6 - 0.5 * t.sin()
angles[:, 3, 1] = 0.4 * t.cos()  # head left and right
transl = torch.zeros(len(t), 3)  # metres
motion = Motion("flap", joints, axis_angle_to_matrix(angles), transl, fps=12, hip_height=0.93, loop=True)
write_video("flap.gif", ((255 * f).astype("uint8") for f in avatar.animate(motion, size=256)), fps=motion.fps)
print("flap.gif")
