"""Light, materials, backgrounds and rendering of generated people."""
