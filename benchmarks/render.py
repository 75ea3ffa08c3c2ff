"""Milliseconds for a posed, textured frame (skinning, raster, shading), median and best of the frames of a walk.

python benchmarks/render.py me.avatar [--size 512] [--threads 1]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import dinar
from dinar.body.motion import retarget
from dinar.body.readers import load_motion


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("avatar")
    p.add_argument("--size", type=int, default=512)
    p.add_argument("--threads", type=int, default=1)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    avatar = dinar.load(a.avatar)
    pose, transl = retarget(load_motion("walk"), avatar.body, betas=avatar.betas)
    times = []
    for i in range(len(pose)):
        start = time.perf_counter()
        avatar.render(pose[i], transl=transl[i], size=a.size)
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{a.size}², {a.threads} threads: median {np.median(times[3:]):.1f} ms, best {min(times):.1f} ms")


if __name__ == "__main__":
    main()
