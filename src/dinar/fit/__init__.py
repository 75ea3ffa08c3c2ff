"""The body and its clothes fitted to a photo (§4.1)."""
