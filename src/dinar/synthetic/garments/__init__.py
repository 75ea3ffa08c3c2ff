"""Outfits: patterns, fabrics, draping, the dressed mesh."""
