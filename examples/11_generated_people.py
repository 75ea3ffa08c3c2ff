"""Generate clothed people with ground truth. Run: python examples/11_generated_people.py"""

import numpy as np

from dinar.pictures import write_image
from dinar.synthetic.source import Synthetic

people = Synthetic(seed=1, size=256, views_per_person=4)  # endless: person i follows from the seed and i
v = people.views(0)  # rgb [N, H, W, 3], alpha [N, H, W], K, T_cam_world, params, labels, normals, depth
masks = v.alpha[..., None].expand(v.rgb.shape)
write_image("generated.png", np.vstack([np.hstack(list(x.numpy())) for x in (v.rgb, masks)]))
print(f"generated.png: {len(v)} views, betas {v.params.betas[:4].tolist()} ...")
