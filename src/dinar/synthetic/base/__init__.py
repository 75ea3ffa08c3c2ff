"""Colours, noise, and surfaces of the hm08 mesh, from which garments are made."""
