"""Outfits: patterns, fabrics, draping, and the mesh of a dressed person."""
