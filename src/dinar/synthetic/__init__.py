"""Generated clothed people with ground truth, in place of the scans of §4.2. :class:`.source.Synthetic` is the source.

base/      colours, noise, surfaces for garments
garments/  outfits, fabrics, draping, the posed mesh
render/    light, materials, backgrounds, images
people/    shape, skin, hair, accessories, poses, cameras
"""
