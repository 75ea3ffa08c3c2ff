"""The classes of a human parse, by name and by number: one table for photos, generated people and the parser."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from .errors import DinarError
from .files import replacing

CLASSES = (
    "background", "skin", "face", "hair", "hat", "glasses", "upper", "outer", "lower", "skirt", "legwear", "shoes",
    "accessory", "bag",
)  # fmt: skip
"""Index = label. ``face`` is the face's and ears' skin, ``skin`` all other; ``skirt`` is skirts and dresses;
``accessory`` is scarves, belts, ties, gloves, jewellery, watches; ``bag`` is bags and whatever else is carried."""

LABEL = {name: i for i, name in enumerate(CLASSES)}
IGNORE = 255
"""Label of pixels that neither train nor count."""

# Foreign conventions: their labels in their order -> ours. Overalls that cover legs singly (jumpsuits, rompers,
# bodysuits) are ``upper``: no skirt, and one piece from the shoulders.
_LIP = (
    ("Background", "background"), ("Hat", "hat"), ("Hair", "hair"), ("Glove", "accessory"), ("Sunglasses", "glasses"),
    ("Upper-clothes", "upper"), ("Dress", "skirt"), ("Coat", "outer"), ("Socks", "legwear"), ("Pants", "lower"),
    ("Jumpsuits", "upper"), ("Scarf", "accessory"), ("Skirt", "skirt"), ("Face", "face"), ("Left-arm", "skin"),
    ("Right-arm", "skin"), ("Left-leg", "skin"), ("Right-leg", "skin"), ("Left-shoe", "shoes"),
    ("Right-shoe", "shoes"),
)  # fmt: skip
_ATR = (
    ("Background", "background"), ("Hat", "hat"), ("Hair", "hair"), ("Sunglasses", "glasses"),
    ("Upper-clothes", "upper"), ("Skirt", "skirt"), ("Pants", "lower"), ("Dress", "skirt"), ("Belt", "accessory"),
    ("Left-shoe", "shoes"), ("Right-shoe", "shoes"), ("Face", "face"), ("Left-leg", "skin"), ("Right-leg", "skin"),
    ("Left-arm", "skin"), ("Right-arm", "skin"), ("Bag", "bag"), ("Scarf", "accessory"),
)  # fmt: skip
# CIHP, which Graphonomy's published model predicts: LIP's list with the torso's skin for the jumpsuit.
_CIHP = tuple(("Torso-skin", "skin") if name == "Jumpsuits" else (name, ours) for name, ours in _LIP)
# Clothing Co-Parsing (Yang et al. 2014). Its ``skin`` includes faces, its ``accessories`` both jewellery and what hands
# hold: ``data.ccp`` tells these apart, with the keypoints. Most of them are held.
_CCP = (
    ("null", "background"), ("accessories", "bag"), ("bag", "bag"), ("belt", "accessory"), ("blazer", "outer"),
    ("blouse", "upper"), ("bodysuit", "upper"), ("boots", "shoes"), ("bra", "upper"), ("bracelet", "accessory"),
    ("cape", "outer"), ("cardigan", "outer"), ("clogs", "shoes"), ("coat", "outer"), ("dress", "skirt"),
    ("earrings", "accessory"), ("flats", "shoes"), ("glasses", "glasses"), ("gloves", "accessory"), ("hair", "hair"),
    ("hat", "hat"), ("heels", "shoes"), ("hoodie", "upper"), ("intimate", "upper"), ("jacket", "outer"),
    ("jeans", "lower"), ("jumper", "upper"), ("leggings", "legwear"), ("loafers", "shoes"), ("necklace", "accessory"),
    ("panties", "lower"), ("pants", "lower"), ("pumps", "shoes"), ("purse", "bag"), ("ring", "accessory"),
    ("romper", "upper"), ("sandals", "shoes"), ("scarf", "accessory"), ("shirt", "upper"), ("shoes", "shoes"),
    ("shorts", "lower"), ("skin", "skin"), ("skirt", "skirt"), ("sneakers", "shoes"), ("socks", "legwear"),
    ("stockings", "legwear"), ("suit", "outer"), ("sunglasses", "glasses"), ("sweater", "upper"),
    ("sweatshirt", "upper"), ("swimwear", "upper"), ("t-shirt", "upper"), ("tie", "accessory"), ("tights", "legwear"),
    ("top", "upper"), ("vest", "outer"), ("wallet", "bag"), ("watch", "accessory"), ("wedges", "shoes"),
)  # fmt: skip

Convention = Literal["graphonomy", "cihp", "lip", "atr", "ccp", "dinar"]
CONVENTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "dinar": tuple((name, name) for name in CLASSES),
    "lip": _LIP,
    "atr": _ATR,
    "cihp": _CIHP,
    "graphonomy": _CIHP,
    "ccp": _CCP,
}
"""For each convention its labels in order: (their name, ours)."""


def palette() -> np.ndarray:
    """[256, 3] uint8 RGB: a colour for every class, black for the background and for what is no class."""
    hue = np.arange(len(CLASSES)) * 0.618 % 1 * 6
    rgb = np.stack([np.clip(np.abs((hue + k) % 6 - 3) - 1, 0, 1) for k in (0, 4, 2)], 1)
    colours = np.zeros((256, 3), np.uint8)
    colours[1 : len(CLASSES)] = (55 + 200 * rgb[1:]).astype(np.uint8)
    return colours


def write_labels(path: Path, labels: np.ndarray) -> None:  # [H, W] uint8
    """A png of label numbers that viewers show in colours."""
    image = Image.fromarray(labels)
    image.putpalette(palette().tobytes())
    with replacing(path) as temp:
        image.save(temp)


def to_classes(
    label_map: np.ndarray,  # [...] integers in the convention; IGNORE stays
    convention: str,
) -> np.ndarray:
    """The same picture as [...] uint8 labels of :data:`CLASSES`."""
    if convention not in CONVENTIONS:
        raise DinarError(f"unknown labels {convention!r}: expected one of {', '.join(CONVENTIONS)}")
    names = CONVENTIONS[convention]
    table = np.full(256, 254, np.uint8)
    table[: len(names)] = [LABEL[ours] for _, ours in names]
    table[IGNORE] = IGNORE
    if label_map.dtype.kind not in "ui" or label_map.min(initial=0) < 0 or label_map.max(initial=0) > 255:
        raise DinarError(f"expected a label map of integers in 0 .. {len(names) - 1}, got {label_map.dtype} "
                         f"in {label_map.min()} .. {label_map.max()}")  # fmt: skip
    out = table[label_map]
    if (out == 254).any():
        wrong = sorted(set(np.unique(label_map[out == 254]).tolist()))
        raise DinarError(f"expected {convention} labels 0 .. {len(names) - 1}, got {wrong[:5]}: "
                         f"is it another convention ({', '.join(CONVENTIONS)})?")  # fmt: skip
    return out
