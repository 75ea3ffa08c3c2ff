"""Generated clothed people (in place of the scans of §4.2); :class:`dinar.synthetic.source.Synthetic` is the source.

base/      colours, noise, the surfaces that garments are cut from
garments/  outfits, fabrics, draping, one posed mesh
render/    light, materials, backgrounds, pictures
people/    shape, skin, hair, accessories, poses, cameras
"""
