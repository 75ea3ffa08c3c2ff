"""The neural texture and its renderer (§3.1) as one file for the viewer, which draws with them in a worker of the page.

A safetensors file beside the viewer's GLB: the network's graph, the texture, and the mesh that the networks know:
with eight skin weights of each vertex where a GLB has four, and without the teeth and the closed lips of files. What
the page does with them is in page/picture.js, step by step as in neural/render.py.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import safetensors.numpy
import torch

from ..avatar import Avatar
from ..export.graph import renderer_graph
from ..export.model import build_model, top_weights
from ..nets import renderer
from ..nets.channels import FILL, GENERATED, SAMPLED, SMP
from ..neural import encode, render, texture
from ..neural.weights import shipped

INFLUENCES = 8  # joints that move a vertex; the body has no more
CONSTANTS = {
    "margin": encode.MARGIN, "haze": render.HAZE, "moved": render.MOVED, "blur": render.BLUR, "slope": render.SLOPE,
    "supersampling": render.SUPERSAMPLING, "side_multiple": render.SIDE_MULTIPLE, "min_alpha": render.MIN_ALPHA,
    "min_known": texture.MIN_KNOWN, "gate": renderer.GATE, "alpha": renderer.ALPHA,
}  # fmt: skip


def neural_file(avatar: Avatar, graph: bool = True) -> bytes | None:
    """The file; None for an avatar without networks, or with the paper's renderer, which is too slow for a page.

    Without ``graph`` the worker takes that of :func:`shipped_graph` from the server.
    """
    neural, avatar = avatar.neural, avatar.with_teeth()
    if neural is None or not isinstance(neural.renderer, renderer.FastRenderer):
        return None
    t = neural.texture.cpu()
    known = t[:, FILL].clamp(0, 1)
    base = torch.cat([t[:, GENERATED], t[:, SAMPLED] * known, t[:, SMP], known], 1)
    body = avatar.body
    joints, weights = top_weights((body.weights if body.rig is None else body.rig).cpu().numpy(), INFLUENCES)
    corner = body.atlas.vertex
    model = build_model(body, avatar.betas, avatar.offsets, avatar.rgb, expressions=False)
    arrays: dict[str, np.ndarray] = {
        "base": _rows(base), "positions": model.v[corner], "joints": joints[corner], "weights": weights[corner],
    }  # fmt: skip
    if graph:
        arrays["graph"] = np.frombuffer(renderer_graph(neural.renderer), np.uint8)
    if neural.coarse is not None:
        arrays["coarse"] = _rows(neural.coarse.weighted)
    if neural.fine is not None:
        arrays["fine"] = (_rows(neural.fine.weighted) * 255).round().astype(np.uint8)
    about: dict[str, Any] = CONSTANTS | {"size": neural.size, "channels": base.shape[1], "complete": neural.known,
                                         "influences": INFLUENCES, "unshuffle": neural.renderer.r}  # fmt: skip
    return safetensors.numpy.save(arrays, {"dinar": json.dumps(about, sort_keys=True)})


@cache
def shipped_graph() -> bytes | None:
    """The graph of the renderer in the package; None if there is none that pages can use."""
    home = shipped()
    net = None if home is None else renderer.load_renderer(home / "renderer")
    return renderer_graph(net) if isinstance(net, renderer.FastRenderer) else None


def _rows(t: torch.Tensor) -> np.ndarray:  # [1, C, n, n] -> [n, n, C] float32
    return np.ascontiguousarray(t[0].float().permute(1, 2, 0).cpu().numpy())
