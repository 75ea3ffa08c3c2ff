"""The learned half of an avatar (§3.1, §3.3, §3.4): from fitted photos to a neural texture, and from that to pictures.

    encode and sample -> merge views (eq. 5) -> restore (§3.3, eq. 6) -> refine (app. B) -> Neural      making.py
    Neural, posed body, camera -> rasterise -> θ -> picture and mask                                    drawing.py
"""

from .drawing import draw
from .making import Options, encode, make_neural
from .networks import Networks, Unseen, load_networks, open_networks, save_networks, shipped
from .neural import Neural, fine_layer, from_tensors, to_tensors

__all__ = [
    "Networks",
    "Neural",
    "Options",
    "Unseen",
    "draw",
    "encode",
    "fine_layer",
    "from_tensors",
    "load_networks",
    "make_neural",
    "open_networks",
    "save_networks",
    "shipped",
    "to_tensors",
]
