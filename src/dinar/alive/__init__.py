"""The photo comes alive: the person of a photo moves in it, seen by its own camera (fig. 13)."""
