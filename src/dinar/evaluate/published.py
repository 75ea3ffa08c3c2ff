"""Tables 1 to 3 of the paper (arXiv 2303.09375). Reports print them as separate rows."""

from __future__ import annotations

FRONT = ("MS-SSIM", "PSNR", "LPIPS", "DISTS")  # of the front view, the input view; the network of LPIPS is not stated
BACK = ("DISTS", "ReID", "KID")  # of the back view; ReID: FlipReID's embeddings

SNAPSHOT_PEOPLE = {
    "PIFu": (0.9793, 26.28, 0.0404, 0.0706, 0.1839, 0.09769, 0.0907),
    "PHORHUM": (0.9603, 24.21, 0.0531, 0.0948, 0.1564, 0.09149, 0.0144),
    "ARCH": (0.9223, 20.65, 0.0732, 0.1432, 0.2039, 0.09575, 0.0974),
    "ARCH++": (0.9526, 22.57, 0.0540, 0.0842, 0.1750, 0.09098, 0.0589),
    "StylePeople": (0.9610, 23.06, 0.0848, 0.0852, 0.1698, 0.13090, 0.0530),
    "DINAR": (0.9687, 24.42, 0.0504, 0.0703, 0.1407, 0.07855, 0.0133),
}
"""Table 1: 24 videos of people turning in A-pose, one front and one back frame of each. Columns: FRONT, BACK."""

THUMAN2 = {
    "PIFu": (0.9893, 28.27, 0.0474, 0.0912, 0.2213, 0.11608, 0.0924),
    "PHORHUM": (0.9566, 23.89, 0.0521, 0.1249, 0.1835, 0.12516, 0.0389),
    "ARCH": (0.9372, 21.78, 0.0645, 0.1617, 0.2082, 0.12193, 0.1065),
    "ARCH++": (0.9577, 22.83, 0.0562, 0.1067, 0.1806, 0.10108, 0.0408),
    "S3F": (0.9706, 25.65, 0.0497, 0.1152, 0.1928, 0.11991, 0.1108),
    "StylePeople": (0.9765, 25.81, 0.0588, 0.0830, 0.1828, 0.14212, 0.0347),
    "DINAR": (0.9600, 22.87, 0.0568, 0.0975, 0.1607, 0.09999, 0.0250),
}
"""Table 3: 25 scans; the rendered front view is the input. Columns: FRONT, BACK."""

ABLATION = {
    "RGB texture": (0.8825, 22.80, 0.1204),
    "neural texture": (0.8632, 23.09, 0.1285),
    "RGB + neural": (0.9126, 24.10, 0.1005),
    "+ inpainting": (0.9199, 24.85, 0.0904),
    "+ occlusion detector": (0.9201, 24.86, 0.0905),
    "+ RGB tuning": (0.9203, 24.98, 0.0901),
}
"""Table 2: 15 people of AzurePeople, diverse poses and viewpoints. Columns: MS-SSIM, PSNR, LPIPS."""

DATA = {"SnapshotPeople": SNAPSHOT_PEOPLE, "THuman2.0": THUMAN2}
