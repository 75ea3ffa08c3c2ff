"""Decide from a parse which shells a person wears, and fit them.

The fit gives the offsets from which :func:`.offsets.fit_offsets` starts. Heights are those of the body's template.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from ..body import Body
from ..body.shells import can_wear
from ..body.skirt import clear_legs, kind_around_legs, tuck_legs
from .coats import coat_share, fit_coat
from .hair import CHEST, LOWEST, add_hair, clear_body
from .hanging import hang_from_shoulders
from .hats import add_hat, clear_hat
from .offsets import Silhouette, fit_offsets
from .skirts import fit_skirt

HANGS = 0.5  # least share of outerwear in the cloth of a skirt or coat for it to hang from the shoulders


def fit_shells(
    body: Body,
    betas: Tensor,  # [num_betas]
    silhouettes: Sequence[Silhouette],
    hair: bool = True,
) -> tuple[Body, np.ndarray]:
    """The body with the shells that the parses show, and the offsets [V, 3] in metres that give them their form.

    Without a parse, or where it shows none, the body is returned as it is.
    """
    views = [s for s in silhouettes if s.labels is not None]
    if not can_wear(body) or not views:
        return body, np.zeros((body.num_vertices, 3), np.float32)
    skirt = fit_skirt(body, betas, views)
    worn = fit_coat(body, betas, views, skirt) or skirt
    dressed, form = worn or (body, np.zeros((body.num_vertices, 3), np.float32))
    if worn and coat_share(dressed, form, betas, views) > HANGS:
        form = hang_from_shoulders(dressed, betas, form)
    dressed, form = add_hat(body, dressed, form, betas, views)
    return add_hair(body, dressed, form, betas, views, LOWEST if hair else CHEST)


def fit_clothes(body: Body, betas: Tensor, silhouettes: Sequence[Silhouette]) -> tuple[Body, np.ndarray]:
    """The body with the shells that the parses show, and the offsets [V, 3] in metres to the outlines of clothes and
    hair, as ``create`` fits them, but without the head's own shape."""
    worn, form = fit_shells(body, betas, silhouettes)
    return worn, finish(worn, body, betas, form, fit_offsets(worn, betas, [*silhouettes], start=form))


def finish(body: Body, plain: Body, betas: Tensor, form: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The offsets [V, 3] of a dressed body, with its shells clear of what is under them.

    Args:
        plain: the body without shells.
        form: [V, 3] of :func:`fit_shells`.
    """
    if kind_around_legs(body):
        naked = body.rest(betas[None])[0][0].numpy()
        offsets = clear_legs(body, naked, tuck_legs(body, naked, offsets))
    if "hair" in body.segment_names:
        offsets = clear_body(body, plain, betas, form, offsets)
    if "hat" in body.segment_names:
        offsets = clear_hat(body, betas, form, offsets)
    return offsets
