"""Data of a garment's cloth: colours, pictures of pattern and details, edges, folds. Made by :mod:`.fabric`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ..base.colours import Colour


@dataclass(frozen=True)
class Edge:
    """The edge of a garment: a rib, a band of another colour, a row of stitches."""

    width: float = 0.0  # metres of rib or band; 0: only a stitched hem
    colour: Colour | None = None  # None: the cloth's
    rib: bool = False
    stitch: float = 0.0  # metres from the edge to the stitches; 0: none


@dataclass(frozen=True, eq=False)
class Fabric:
    """One garment's cloth. Colours are linear RGB albedo, lengths metres, slopes dimensionless."""

    use: str
    kind: str  # name of the swatch's maker, or solid, melange, denim, leather
    cut: str  # name of the tailor
    colour: Colour
    accent: Colour
    swatch: np.ndarray | None = None  # [n, n, 3] uint8 sRGB
    swatch_height: np.ndarray | None = None  # [n, n] float32 metres
    swatch_size: float = 0.1
    swatch_angle: float = 0.0  # radians
    sheet: np.ndarray | None = None  # [2, H, W, 4] uint8 sRGB premultiplied with alpha: front, back
    sheet_relief: np.ndarray | None = None  # [2, H, W] uint8, 128 is level
    sheet_box: tuple[float, float, float] = (0.0, 0.0, 0.0)  # half width, lowest and highest y
    sleeves: Colour | None = None  # sleeves of another colour
    side: tuple[tuple[float, Colour], ...] = ()  # half width and colour of stripes along the side, widest first
    gradient: tuple[Colour, float, float] | None = None  # colour and the heights y between which it comes in
    neck: Edge = field(default_factory=Edge)
    cuff: Edge = field(default_factory=Edge)
    hem: Edge = field(default_factory=Edge)
    waist: Edge = field(default_factory=Edge)
    belt: tuple[Colour, Colour] | None = None  # strap and buckle, on trousers
    loops: bool = False
    trim: Colour = (0.6, 0.6, 0.6)  # laces
    laced: bool = False
    folds: float = 0.16  # slope of the wrinkles, root mean square
    drape: float = 1.0  # > 1: folds hang vertically
    fold_size: float = 0.5  # metres a tile
    bunch: float = 0.2  # slope of the wrinkles at joints and waist
    pleats: float = 0.0  # metres between pressed pleats
    melange: float = 0.02  # relative spread of albedo from thread to thread
    stains: float = 0.03  # the same over centimetres
    fade: float = 0.0  # washed-out thighs and seams of denim
    roughness: float = 0.85
    specular: float = 0.03
    sheen: float = 0.1  # light at grazing angles: wool, velvet
    seed: int = 0

    @property
    def gloss(self) -> float:
        """Blinn-Phong exponent of the roughness."""
        return max(1.0, 2 / self.roughness**4 - 2)
