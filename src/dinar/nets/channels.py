"""The channels of the neural texture, T = T_gen ⊕ T_rgb ⊕ B_smp ⊕ B_fill (§3.1, eq. 2)."""

from __future__ import annotations

GENERATED = slice(0, 16)  # T_gen: features from the generator
SAMPLED = slice(16, 19)  # T_rgb: colours sampled from the photo, in [0, 1]
SMP = slice(19, 20)  # B_smp {0, 1}: texels that a pixel hits
FILL = slice(20, 21)  # B_fill {0, 1}: those and their neighbours; their colours are known
NUM_GENERATED = GENERATED.stop
CHANNELS = FILL.stop

COLOURS = slice(SAMPLED.start, CHANNELS)  # T_rgb ⊕ B_smp ⊕ B_fill: everything that comes from the photo
MASKS = slice(SMP.start, CHANNELS)  # B_smp ⊕ B_fill
SIZES = (3, 1, 1)  # channels of T_rgb, B_smp and B_fill, for split
