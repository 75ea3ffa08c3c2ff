"""Compare an avatar with the truth of a generated person. Run: python examples/12_evaluate.py

`dinar evaluate views` does this for many people, with a stated protocol and more metrics.
"""

import numpy as np

import dinar
from dinar.evaluate import iou, psnr
from dinar.pictures import write_image
from dinar.scene.textured import over
from dinar.synthetic.source import Synthetic

v = Synthetic(seed=7, size=512, views_per_person=3).views(0)
write_image("person.png", v.rgb[0].numpy())
avatar = dinar.create("person.png")
for i in range(len(v)):
    ours = avatar.render(v.params.pose[i], v.camera(i), transl=v.params.transl[i])
    truth = np.concatenate([v.rgb[i].numpy(), v.alpha[i, ..., None].numpy()], -1) / 255
    quality = psnr(over(ours), over(truth)), iou(ours[..., 3] > 0.5, truth[..., 3] > 0.5)
    print(f"view {i}: PSNR {quality[0]:.1f} dB on white, silhouette IoU {quality[1]:.3f}")
