"""A motion of one's own: frames by hand, retargeted and filmed. Run after 01: python examples/03_animate.py"""

import torch

import dinar
from dinar.body.motion import Motion
from dinar.body.rotation import axis_angle_to_matrix
from dinar.export import write_video
from dinar.scene.textured import over, to_uint8

avatar = dinar.load("me.avatar")
joints = ("pelvis", "left_shoulder", "right_shoulder", "head")
t = torch.linspace(0, 2 * torch.pi, 25)[:-1]
angles = torch.zeros(len(t), len(joints), 3)  # axis-angle, relative to the T-pose
angles[:, 1, 2] = -0.6 + 0.5 * t.sin()  # arms up and down
angles[:, 2, 2] = 0.6 - 0.5 * t.sin()
angles[:, 3, 1] = 0.4 * t.cos()  # head from side to side
turns, still = axis_angle_to_matrix(angles), torch.zeros(len(t), 3)
motion = Motion("flap", joints, turns, still, fps=12, hip_height=0.93, loop=True)
write_video("flap.mp4", (to_uint8(over(f)) for f in avatar.animate(motion, size=256)), fps=motion.fps)
print("flap.mp4")
