"""Sample outfits: kinds of garments, their measures and matching cloths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ...labels import LABEL
from ..base.colours import clamp, luminance
from .fabric import Fabric, sample_fabric, sample_palette
from .garments import Spec

KNEE, ANKLE, HIP, CROTCH, SOLE = -0.458, -0.907, -0.015, -0.09, -0.987  # heights on the standard body


def sample_outfit(rng: np.random.Generator, male: bool, suit: bool) -> tuple[list[Spec], list[str]]:
    """Garments from the skin outwards, and accessories; with a ``suit`` (an asset), only garments over it."""
    u, coin = rng.uniform, lambda p: bool(rng.random() < p)
    palette = sample_palette(rng)
    outfit: list[Spec] = []

    def add(kind: str, label: str, use: str, fabric: Fabric | None = None, /, **measures: float) -> None:
        cloth = fabric or sample_fabric(rng, use, palette)
        outfit.append(Spec(kind, LABEL[label], cloth, measures, int(rng.integers(1 << 30)), use))

    def neck(turtle: float = 0.0, v: float = 0.3) -> dict[str, float]:
        if coin(turtle):
            return {"collar": u(0.03, 0.06), "neck_width": 0.09}
        depth = u(0.0, 0.05) if male or coin(0.6) else u(0.03, 0.10)
        return {"neck_width": u(0.075, 0.115), "neck_depth": depth, "v_neck": float(coin(v)),
                "back_depth": u(0.0, 0.02)}  # fmt: skip

    kind = rng.choice(
        ["trousers", "shorts", "skirt", "dress"], p=[0.83, 0.17, 0, 0] if male else [0.48, 0.1, 0.2, 0.22]
    )
    fit = float(rng.choice([0.006, 0.012, 0.02, 0.03], p=[0.25, 0.35, 0.28, 0.12]))
    bare = kind in ("shorts", "skirt", "dress")
    if suit:  # has its own
        pass
    elif bare and not male and coin(0.4):  # tights under a skirt
        add("bottom", "legwear", "socks", hem=SOLE - 0.03, fit=0.0, rise=0.05, loose=0.0)
    elif coin(0.6):
        add("shoes", "legwear", "socks", height=u(0.06, 0.16) if coin(0.75) else u(0.2, 0.42), sole=0.0)
    boots = coin(0.14)
    if boots:  # of dark leather: light ones look like socks
        dark = clamp(np.array(palette.leather) * min(1.0, 0.08 / luminance(palette.leather)))
        palette = replace(palette, shoes=dark, leather=dark)
    shoes = {"height": u(0.22, 0.45) if boots else u(0.07, 0.12), "sole": u(0.012, 0.035)}
    tucked = (not male and coin(0.35)) or (male and coin(0.15))

    def bottom() -> None:
        if suit or kind == "dress":
            return
        if kind == "skirt":
            hem = float(rng.choice([u(-0.36, -0.22), u(-0.52, -0.4), u(-0.85, -0.6)], p=[0.4, 0.4, 0.2]))
            add("skirt", "skirt", "skirt", hem=hem, waist=u(0.03, 0.125), fit=u(0.0, 0.012), flare=u(0.0, 0.22))
            return
        jeans = coin(0.45)
        hem = u(KNEE - 0.04, CROTCH - 0.1) if kind == "shorts" else float(
            rng.choice([ANKLE - 0.035, ANKLE, ANKLE + 0.06], p=[0.3, 0.45, 0.25]))  # fmt: skip
        f = fit if male or coin(0.5) else u(0.002, 0.01)
        flare = 0.0 if coin(0.75) else u(0.01, 0.05)
        add("bottom", "lower", "shorts" if kind == "shorts" else "jeans" if jeans else "trousers", hem=hem, fit=f,
            flare=flare if kind == "trousers" else u(0.0, 0.3), taper=u(-0.5, 0.2), rise=u(0.06, 0.14))  # fmt: skip

    def top() -> None:
        if suit:
            return
        hem = u(HIP - 0.02, HIP + 0.05) if tucked else u(CROTCH - 0.06, HIP + 0.01)
        if kind == "dress":
            cloth = sample_fabric(rng, "dress", palette)
            sleeve = float(rng.choice([0.015, u(0.1, 0.25), u(0.4, 0.52)], p=[0.45, 0.35, 0.2]))
            add("top", "skirt", "dress", cloth, hem=0.03, sleeve=sleeve, fit=u(0.002, 0.008), **neck(v=0.4))
            long = float(rng.choice([u(-0.4, -0.25), u(-0.55, -0.42), u(-0.88, -0.65)], p=[0.4, 0.4, 0.2]))
            add("skirt", "skirt", "dress", cloth, hem=long, waist=0.06, fit=u(0.0, 0.01), flare=u(0.02, 0.25))
            return
        use = str(rng.choice(["tee", "shirt", "sweater"], p=[0.45, 0.3, 0.25]))
        sleeves = {"tee": [0.012, u(0.1, 0.26), u(0.46, 0.53)], "shirt": [u(0.15, 0.25), u(0.3, 0.4), u(0.48, 0.53)],
                   "sweater": [u(0.3, 0.4), u(0.47, 0.53), u(0.49, 0.54)]}[use]  # fmt: skip
        share = {"tee": [0.08 if male else 0.2, 0.62, 0.2], "shirt": [0.2, 0.25, 0.55], "sweater": [0.1, 0.5, 0.4]}[use]
        share = np.array(share) / sum(share)
        extra = neck(0.25 if use == "sweater" else 0.0) if use != "shirt" else {
            "collar": u(0.01, 0.03), "neck_width": 0.08, "neck_depth": u(0.0, 0.08), "v_neck": 1.0}  # fmt: skip
        cloth, loose = sample_fabric(rng, use, palette), u(0.005, 0.02)
        add("top", "upper", use, cloth, hem=hem if tucked else 0.03, sleeve=float(rng.choice(sleeves, p=share)),
            fit=loose, **extra)  # fmt: skip
        if not tucked:  # hangs over the hips
            add("skirt", "upper", use, cloth, hem=hem, waist=0.06, fit=loose * 0.8, flare=u(0.0, 0.08))

    low = boots and not bare
    if not low:
        add("shoes", "shoes", "shoes", **shoes)
    for garment in (top, bottom) if tucked else (bottom, top):
        garment()
    if low:
        add("shoes", "shoes", "shoes", **shoes)
    if coin(0.34 if kind != "dress" else 0.2):
        coat = coin(0.35)
        cloth = sample_fabric(rng, "coat" if coat else "jacket", palette)
        opening = u(0.015, 0.09) if coin(0.7) else 0.0
        over = {"sleeve": u(0.48, 0.55), "fit": u(0.010, 0.02), "extra": 0.006, "lapel": u(0.0, 0.05),
                "neck_width": 0.085, "collar": u(0.0, 0.04), "taper": u(-0.4, 0.5)}  # fmt: skip
        if opening:
            over |= {"open": opening}
        else:
            over |= {"neck_depth": u(0.0, 0.12), "v_neck": 1.0, "collar": u(0.0, 0.05)}
        if coat:
            add("top", "outer", "coat", cloth, hem=0.03, **over)
            skirt = {"hem": u(-0.75, -0.25), "fit": u(0.008, 0.02), "flare": u(0.02, 0.1), "waist": 0.06,
                     "taper": over["taper"]}  # fmt: skip
            add("skirt", "outer", "coat", cloth, **(skirt | ({"open": opening} if opening else {})))
        else:
            hem = u(CROTCH - 0.06, 0.08)
            if hem > 0.045:
                add("top", "outer", "jacket", cloth, hem=hem, **over)
            else:
                add("top", "outer", "jacket", cloth, hem=0.03, **over)
                skirt = {"hem": hem, "fit": over["fit"], "flare": u(0.0, 0.05), "waist": 0.06,
                         "taper": over["taper"]}  # fmt: skip
                add("skirt", "outer", "jacket", cloth, **(skirt | ({"open": opening} if opening else {})))
    extras = [name for name, p in (("glasses", 0.14), ("hat", 0.10), ("bag", 0.28), ("scarf", 0.08)) if coin(p)]
    return outfit, extras
