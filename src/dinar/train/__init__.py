"""Training (§4.1): the stages, the loop that they share, and the table of presets."""
