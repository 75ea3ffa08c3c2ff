"""Export the renderer as an ONNX graph for ONNX Runtime, OpenVINO and browsers. Needs the ``onnx`` extra.

A graph has a fixed picture size, because of the pixel unshuffle.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..bounds import check_numbers
from ..errors import DinarError
from ..files import check_output, replacing
from ..nets.channels import CHANNELS
from ..nets.renderer import Renderer, folded

INPUTS, OUTPUTS = ("texture", "uv", "mask"), ("rgb", "alpha")
OPSET = 18

Run = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Rasterised texture [1, 21, H, W], UV render [1, 2, H, W] and mask [1, 1, H, W] -> rgb, alpha; all float32."""


def export_renderer(renderer: Renderer, path: str | Path, size: int | tuple[int, int] = 512) -> None:
    """Write θ for pictures of ``size`` (one side, or height and width; multiples of 32)."""
    check_output(path, suffixes=(".onnx",))
    check_numbers(size=size)
    h, w = (size, size) if isinstance(size, int) else size
    if h % 32 or w % 32:
        raise DinarError(f"expected a height and width that are multiples of 32, got {h} x {w}")
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as e:
        raise DinarError(f"writing ONNX needs its packages ({e.name} is missing): pip install 'dinar[onnx]'") from e
    device = next(renderer.parameters()).device
    example = tuple(torch.rand(1, c, h, w, device=device) for c in (CHANNELS, 2, 1))
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with replacing(path) as temp, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(folded(renderer), example, str(temp), input_names=list(INPUTS), output_names=list(OUTPUTS),
                          opset_version=OPSET, dynamo=True, external_data=False, verbose=False)  # fmt: skip


def load_renderer_graph(path: str | Path, threads: int = 0) -> Run:
    """The graph as a function, computed by ONNX Runtime on the CPU; ``threads`` 0: one for each core."""
    try:
        import onnxruntime as ort
    except ImportError as e:
        raise DinarError("running ONNX needs onnxruntime: pip install 'dinar[onnx]'") from e
    options: Any = ort.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # the library has an exception type of its own for every cause
        raise DinarError(f"{path}: expected a renderer exported by dinar ({' '.join(str(e).split())[:120]})") from e

    def run(texture: np.ndarray, uv: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rgb, alpha = session.run(list(OUTPUTS), dict(zip(INPUTS, (texture, uv, mask), strict=True)))
        return rgb, alpha

    return run
