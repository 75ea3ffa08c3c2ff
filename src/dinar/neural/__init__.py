"""The neural texture (§3.1), its inpainting (§3.3), refinement (app. B) and rendering."""
