"""Fit shells and offsets from the body to the clothes for views of a source, as ``create`` does for a photo."""

from __future__ import annotations

import dataclasses

import torch

from ..body import Body
from ..fit.offsets import Silhouette
from ..fit.shells import fit_clothes
from ..neural.arrays import frontality
from ..views import Views


def dressed(views: Views, body: Body) -> Views:
    """The views with clothes in their fit: existing ones, or fitted to the most frontal view (about 2 s)."""
    fit = views.fit
    if fit.offsets is not None:
        return views
    k = int(frontality(views).argmax())
    labels = None if views.labels is None else views.labels[k].numpy()
    shape = Silhouette((views.alpha[k] > 127).numpy(), fit.pose[k], fit.transl[k], views.camera(k), labels=labels)
    worn, D = fit_clothes(body, fit.betas, [shape])
    wider = dataclasses.replace(fit, offsets=torch.from_numpy(D), shells=worn.shells)
    return dataclasses.replace(views, **{"params" if views.fitted is None else "fitted": wider})
