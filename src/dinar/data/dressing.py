"""Bodies of a set as ``create`` would have them: widened to the clothes, by the outline of the most frontal picture."""

from __future__ import annotations

import dataclasses

import torch

from ..body import Body
from ..fit.offsets import Silhouette, fit_offsets
from ..neural.arrays import frontality
from ..views import Views


def dressed(views: Views, body: Body) -> Views:
    """Views whose fit has offsets: its own, or those of one view, as if the person had a single photo. About 1 s."""
    fit = views.fit
    if fit.offsets is not None:
        return views
    k = int(frontality(views).argmax())
    labels = None if views.labels is None else views.labels[k].numpy()
    shape = Silhouette((views.alpha[k] > 127).numpy(), fit.pose[k], fit.transl[k], views.camera(k), labels=labels)
    D = fit_offsets(body, fit.betas, [shape])
    wider = dataclasses.replace(fit, offsets=torch.from_numpy(D))
    return dataclasses.replace(views, **{"params" if views.fitted is None else "fitted": wider})
