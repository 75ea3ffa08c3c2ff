"""The human parser: which class of ``labels`` every pixel of a person-centred crop belongs to.

Keypoints enter as heat maps at stride 4: they say whose pixels are meant when several people stand together, and where
a covered limb goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from ..errors import DinarError
from ..labels import CLASSES
from .pyramid import Pyramid

HEATMAPS = 6  # channels of photo.parser_input.heatmaps


class Parser(Pyramid):
    """Crop and heat maps -> class logits at half the crop's size."""

    def __init__(
        self,
        widths: Sequence[int] = (24, 32, 64, 96, 128),  # channels of the pyramid at strides 2, 4, 8, 16, 32
        size: Sequence[int] = (448, 304),  # rows and columns of the crop it was trained for; or others, multiples of 16
        classes: Sequence[str] = CLASSES,  # of weights on disk: what their channels mean
        heatmaps: int = HEATMAPS,
    ) -> None:
        super().__init__(widths, heatmaps, size=list(size), classes=list(classes), heatmaps=heatmaps)
        if tuple(classes) != CLASSES or heatmaps != HEATMAPS:
            raise DinarError(f"expected the classes {', '.join(CLASSES)} and {HEATMAPS} heat maps, "
                             f"got {len(classes)} classes and {heatmaps} heat maps")  # fmt: skip
        self.head = nn.Conv2d(widths[0], len(CLASSES), 3, padding=1)

    def forward(
        self,
        rgb: Tensor,  # [B, 3, H, W] in [-1, 1], sRGB; H and W multiples of 16
        heat: Tensor,  # [B, HEATMAPS, H/4, W/4] in [0, 1]
    ) -> Tensor:  # [B, classes, H/2, W/2] logits
        return self.head(self.features(rgb, heat)[0])
