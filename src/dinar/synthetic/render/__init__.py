"""Light, materials, backgrounds, pictures."""
