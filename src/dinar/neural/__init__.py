"""The neural texture: encoding (§3.1), merging (§3.2), inpainting (§3.3), refinement (app. B), rendering (eq. 3)."""
