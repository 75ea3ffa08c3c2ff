"""Bodies of a set as ``create`` would have them: widened to the clothes, by the outline of the most frontal picture."""

from __future__ import annotations

import dataclasses

import torch

from ..body import Body
from ..fit.clothing import hold, vertex_classes
from ..fit.offsets import Silhouette, fit_offsets
from .arrays import frontality
from .views import Views


def dressed(views: Views, body: Body) -> Views:
    """Views whose fit has offsets: its own, or those of one view, as if the person had a single photo. About 1 s."""
    fit = views.fit
    if fit.offsets is not None:
        return views
    k = int(frontality(views).argmax())
    camera, stiffness = views.camera(k), None
    if views.labels is not None:
        bare = fit.select(torch.tensor([k])).posed(body).vertices[0]
        stiffness = hold(body, vertex_classes(body, bare, camera, views.labels[k].numpy()))
    shape = Silhouette((views.alpha[k] > 127).numpy(), fit.pose[k], fit.transl[k], camera)
    D = fit_offsets(body, fit.betas, [shape], stiffness=stiffness)
    wider = dataclasses.replace(fit, offsets=torch.from_numpy(D))
    return dataclasses.replace(views, **{"params" if views.fitted is None else "fitted": wider})
