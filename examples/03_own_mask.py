"""Make an avatar with your own mask. Run: python examples/03_own_mask.py [photo.jpg mask.png]

A mask is a grey picture of the photo's size: white = the person. Without arguments, GrabCut makes one.
"""

import sys

import cv2
import imageio.v3 as iio
import numpy as np

import dinar
from dinar.demo import PHOTO

photo, mask = sys.argv[1:] or (PHOTO, "mask.png")
if len(sys.argv) == 1:
    picture = cv2.resize(iio.imread(photo), (480, 640))
    segments, background, person = np.zeros((640, 480), np.uint8), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, segments, (110, 30, 250, 590), background, person, 6, cv2.GC_INIT_WITH_RECT)
    cv2.imwrite(mask, cv2.resize(segments % 2 * 255, (960, 1280)))  # odd: (probably) the person
avatar = dinar.create(photo, masks=[mask])
avatar.work.fits[0].save("fit.npz")  # create(photo, fits=["fit.npz"]) uses this body fit again
avatar.save("own_mask.avatar")
print("own_mask.avatar, fit.npz")
