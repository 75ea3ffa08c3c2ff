"""Sample fabrics of garments; :func:`.shade.shade_fabric` shades them.

A fabric has a base colour, an optional tileable swatch (:mod:`.swatches`), an optional front and back sheet of details
(:mod:`.tailor`), edges (cuffs, hems, necklines, waistbands) and folds. The random generator determines all of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import DinarError
from ..base.colours import NEUTRAL, Colour, Palette, any_colour, contrasting, draw, luminance, sample_palette, to_srgb
from .cloth import Edge, Fabric
from .sewing import BRASS, STEEL
from .shade import Points, shade_fabric
from .swatches import MAKERS, Swatch
from .tailor import tailor

__all__ = ["USES", "Edge", "Fabric", "Palette", "Points", "sample_fabric", "sample_palette", "shade_fabric"]


def _shares(text: str) -> dict[str, float]:
    """ "solid 3, denim 1" as probabilities."""
    rows = [row.split() for row in text.split(",")]
    total = sum(float(w) for _, w in rows)
    return {name: float(w) / total for name, w in rows}


# Relative frequency of each kind of cloth by garment. Solid and melange dominate, as in the street.
KINDS: dict[str, dict[str, float]] = {
    "tee": _shares(
        "solid 50, melange 14, stripes 17, floral 3, shapes 2, dots 2, marble 2.5, camouflage 1, waffle 1.5, animal 1"
    ),
    "shirt": _shares("solid 42, pinstripes 14, check 24, denim 6, floral 6, dots 2.5, shapes 2, animal 1, corduroy 2"),
    "sweater": _shares("solid 30, melange 25, stripes 14, cable 12, waffle 8, rib 8, shapes 1, animal 1"),
    "jacket": _shares(
        "solid 38, melange 10, leather 14, puffer 9, quilt 4, check 6, herringbone 7, corduroy 4, "
        "camouflage 2, houndstooth 1.5, pinstripes 3"
    ),
    "coat": _shares("solid 52, melange 20, herringbone 10, check 8, houndstooth 3, puffer 4, leather 3, animal 1.5"),
    "trousers": _shares(
        "solid 64, melange 14, pinstripes 5, check 6, corduroy 4, camouflage 2, leather 3, herringbone 3, floral 1"
    ),
    "jeans": _shares("denim 100"),
    "shorts": _shares("solid 50, denim 26, melange 10, check 5, camouflage 3, floral 3, stripes 1"),
    "skirt": _shares(
        "solid 42, denim 8, leather 8, check 12, floral 12, dots 5, pinstripes 3, animal 3, lace 3, corduroy 3"
    ),
    "dress": _shares("solid 38, floral 24, dots 8, stripes 7, shapes 6, marble 4, lace 4, animal 3, rib 4, check 4"),
    "hat": _shares("solid 60, melange 15, rib 20, check 3, corduroy 3"),
    "bag": _shares("leather 70, solid 20, check 4, quilt 5, animal 1"),
    "scarf": _shares("solid 35, check 30, melange 15, rib 10, animal 4, floral 3, stripes 4"),
    "socks": _shares("solid 60, rib 25, stripes 15"),
    "shoes": _shares("leather 60, solid 40"),
}
USES = tuple(KINDS)

# Root-mean-square slopes of folds and of wrinkles at joints: (folds, bunch), by garment.
FOLDS: dict[str, tuple[float, float]] = {
    "tee": (0.11, 0.14), "shirt": (0.12, 0.18), "sweater": (0.09, 0.17), "jacket": (0.08, 0.17), "coat": (0.08, 0.15),
    "trousers": (0.11, 0.27), "jeans": (0.09, 0.30), "shorts": (0.14, 0.24), "skirt": (0.14, 0.08),
    "dress": (0.15, 0.12), "hat": (0.03, 0.02), "bag": (0.05, 0.05), "scarf": (0.25, 0.2), "socks": (0.04, 0.1),
    "shoes": (0.03, 0.04),
}  # fmt: skip

# roughness, specular, sheen by kind; others as cotton
SURFACE = {
    "leather": (0.42, 0.045, 0.0), "puffer": (0.5, 0.04, 0.0), "denim": (0.9, 0.02, 0.08),
    "melange": (0.95, 0.015, 0.2), "cable": (0.95, 0.01, 0.25), "waffle": (0.95, 0.01, 0.2),
    "rib": (0.92, 0.015, 0.15), "corduroy": (0.95, 0.01, 0.35), "herringbone": (0.95, 0.01, 0.2),
}  # fmt: skip


def _base(rng: np.random.Generator, use: str, kind: str, palette: Palette) -> Colour:
    if kind == "denim":
        return palette.denim
    if kind == "leather":
        return palette.shoes if use == "shoes" else palette.leather
    match use:
        case "tee" | "shirt" | "sweater" | "dress":
            return palette.top
        case "jacket" | "coat":
            return palette.outer
        case "trousers" | "skirt" | "shorts":
            return palette.bottom
        case "shoes":
            return palette.shoes
        case "socks":
            return draw(rng, NEUTRAL)
        case "bag":
            return palette.leather if rng.random() < 0.6 else palette.accent
        case _:
            return palette.accent if rng.random() < 0.7 else palette.outer


def _saturation(colour: Colour) -> float:
    srgb = to_srgb(np.array(colour))
    return float((srgb.max() - srgb.min()) / srgb.max())


def _edges(rng: np.random.Generator, use: str, kind: str, cut: str, trim: Colour | None) -> dict[str, Edge]:
    u = rng.uniform
    rib = Edge(u(0.035, 0.07), trim, True)
    match cut:
        case "tee":
            sleeve = Edge(u(0.015, 0.03), trim) if trim else Edge(stitch=0.022)
            return {"neck": Edge(u(0.015, 0.024), trim, True), "cuff": sleeve, "hem": Edge(stitch=0.022)}
        case "polo":
            return {"neck": Edge(0.02, trim), "cuff": Edge(0.022, trim, True), "hem": Edge(stitch=0.022)}
        case "shirt":
            return {"cuff": Edge(0.06), "hem": Edge(stitch=0.01), "neck": Edge(0.03)}
        case "sweater":
            return {"neck": Edge(u(0.02, 0.035), trim, True), "cuff": rib, "hem": Edge(rib.width, trim, True)}
        case "zipped":
            return {"neck": rib, "cuff": rib, "hem": rib} if rng.random() < 0.6 else {"cuff": Edge(stitch=0.02)}
        case "trucker":
            return {"cuff": Edge(0.04, None, False, 0.036), "hem": Edge(0.04, None, False, 0.036), "neck": Edge(0.02)}
        case "trousers" | "jeans":
            ends = (
                Edge(0.05, None, True) if kind in ("melange",) and rng.random() < 0.6 else Edge(stitch=u(0.012, 0.03))
            )
            if rng.random() < 0.12:
                ends = Edge(u(0.035, 0.05))  # turned up
            return {"waist": Edge(0.04, None, False), "hem": ends}
        case "skirt":
            return {"waist": Edge(u(0.025, 0.04)), "hem": Edge(stitch=0.03)}
        case "dress":
            return {"neck": Edge(0.012, trim), "cuff": Edge(u(0.01, 0.03), trim), "hem": Edge(stitch=0.025)}
        case "hat":
            return {"hem": Edge(u(0.03, 0.06), trim, kind in ("rib", "melange"))}
        case "socks":
            return {"hem": Edge(0.03, trim, True)}
        case "scarf":
            return {"hem": Edge(0.0)}
        case "bag":
            return {"hem": Edge(0.012, trim)}
        case _:
            return {"cuff": Edge(stitch=0.025), "hem": Edge(stitch=0.025)}


def sample_fabric(rng: np.random.Generator, use: str, palette: Palette | None = None) -> Fabric:
    """Cloth and details of one garment; the pieces of an outfit share ``palette``."""
    if use not in KINDS:
        raise DinarError(f"a fabric's use must be one of {', '.join(KINDS)}; got {use!r}: choose the nearest")
    rng = np.random.default_rng(rng.integers(2**63))  # a garment takes one draw, whatever it is
    palette = palette or sample_palette(rng)
    kind = str(rng.choice(list(KINDS[use]), p=list(KINDS[use].values())))
    colour = _base(rng, use, kind, palette)
    second = palette.second if rng.random() < 0.6 else contrasting(rng, colour)
    if abs(luminance(second) ** 0.45 - luminance(colour) ** 0.45) < 0.2:
        second = contrasting(rng, colour)
    if min(_saturation(colour), _saturation(second)) > 0.45:  # no wasps: one of the two colours is a neutral
        second = contrasting(rng, colour, 1.0)
    accent = palette.accent
    if abs(luminance(accent) ** 0.45 - luminance(colour) ** 0.45) < 0.2:
        accent = contrasting(rng, colour, 0.7)

    sheet, cut = tailor(use, rng, colour, accent)
    if cut == "trucker":
        kind = "denim" if rng.random() < 0.75 else "corduroy"
        colour = palette.denim if kind == "denim" else colour
    elif (cut == "blazer" and kind in ("puffer", "quilt", "leather", "camouflage")) or (
        cut in ("zipped", "parka") and kind in ("herringbone", "houndstooth", "pinstripes", "check")
    ):
        kind = "solid"
    swatch: Swatch | None = MAKERS[kind](rng, (colour, second, accent)) if kind in MAKERS else None

    folds, bunch = FOLDS[use]
    stiff = {"leather": 0.8, "puffer": 0.5, "cable": 0.6, "quilt": 0.5, "corduroy": 0.8}.get(kind, 1.0)
    flowing = use in ("skirt", "dress", "coat", "scarf")
    trim = accent if rng.random() < 0.18 else None
    roughness, specular, sheen = SURFACE.get(kind, (0.85, 0.03, 0.1))
    more: dict[str, Any] = _edges(rng, use, kind, cut, trim)
    if use in ("trousers", "jeans", "shorts"):
        more["loops"] = rng.random() < 0.7
        if rng.random() < 0.35:
            more["belt"] = (palette.leather, STEEL if rng.random() < 0.6 else BRASS)
    sporty = use in ("trousers", "shorts", "sweater") or cut == "zipped"
    if sporty and kind in ("solid", "melange") and rng.random() < 0.12:
        w = rng.uniform(0.008, 0.02)
        more["side"] = ((w, second),) if rng.random() < 0.6 else ((w, second), (w * 0.4, colour))
    if (cut in ("tee", "sweater", "zipped")) and kind in ("solid", "melange") and rng.random() < 0.1:
        more["sleeves"] = second
    if use in ("tee", "dress", "skirt", "scarf") and kind == "solid" and rng.random() < 0.06:
        low, high = (-0.8, 0.1) if use == "skirt" else (-0.15, 0.45)
        more["gradient"] = (any_colour(rng, 0.5), low, high)
    if use == "skirt" and kind in ("solid", "check") and rng.random() < 0.3:
        more["pleats"] = rng.uniform(0.035, 0.07)
    if use == "shoes":  # the accent is the sole
        accent = (0.7, 0.68, 0.64) if rng.random() < 0.45 else (0.02, 0.02, 0.02)
        more["laced"] = rng.random() < 0.6
        more["trim"] = (0.7, 0.7, 0.68) if rng.random() < 0.5 else (0.03, 0.03, 0.03)
    if kind == "denim":
        dark = luminance(colour) < 0.03
        more["fade"] = rng.uniform(0.0, 0.3) if dark else rng.uniform(0.2, 0.75)
    melange = rng.uniform(0.008, 0.025)
    if kind in ("melange", "denim"):
        melange = rng.uniform(0.05, 0.11) * (1 - 0.75 * luminance(colour))
    return Fabric(
        use=use,
        kind=kind,
        cut=cut,
        colour=colour,
        accent=accent,
        swatch=None if swatch is None else swatch.rgb,
        swatch_height=None if swatch is None else swatch.height,
        swatch_size=0.1 if swatch is None else swatch.size,
        swatch_angle=float(rng.normal(0, 0.02)) if kind != "check" or rng.random() > 0.05 else np.pi / 4,
        sheet=None if sheet is None else sheet.rgba,
        sheet_relief=None if sheet is None else sheet.relief,
        sheet_box=(0.0, 0.0, 0.0) if sheet is None else (sheet.half, sheet.low, sheet.high),
        folds=folds * stiff * rng.uniform(0.7, 1.35),
        bunch=bunch * stiff * rng.uniform(0.6, 1.3),
        drape=rng.uniform(1.8, 3.2) if flowing else rng.uniform(0.9, 1.4),
        fold_size=rng.uniform(0.42, 0.68) * (1.3 if use in ("coat", "sweater") else 1.0),
        melange=melange,
        stains=rng.uniform(0.01, 0.03) * (1.6 if kind in ("denim", "leather") else 1.0),
        roughness=roughness * rng.uniform(0.92, 1.05),
        specular=specular,
        sheen=sheen,
        seed=int(rng.integers(2**31)),
        **more,
    )
