"""Training: one loop, one short file a stage, one table of presets."""
