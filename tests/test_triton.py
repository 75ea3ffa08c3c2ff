"""The Triton rasteriser against torch's: on a GPU where there is one, else by Triton's interpreter."""

import os
import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="needs Triton: pip install triton")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined

from dinar.errors import DinarError
from dinar.scene import Fragments, raster, rasterize

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def both(xy: torch.Tensor, depth: torch.Tensor, faces: np.ndarray, *size: int, **options: Any) -> tuple[Fragments, ...]:
    moved = {k: v.to(DEVICE) if isinstance(v, torch.Tensor) else v for k, v in options.items()}
    return tuple(
        rasterize(xy.to(DEVICE), depth.to(DEVICE), faces, *size, backend=k, **moved) for k in ("torch", "triton")
    )


def soup(seed: int, batch: int = 2, faces: int = 6, size: int = 20) -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    g = torch.Generator().manual_seed(seed)
    xy = (torch.rand(batch, faces * 3, 2, generator=g) * 1.6 - 0.3) * size
    return xy, torch.rand(batch, faces * 3, generator=g) * 3 + 0.5, np.arange(faces * 3).reshape(-1, 3)


@pytest.mark.parametrize(("perspective", "cull"), [(True, "back"), (False, "none")])
def test_triton_draws_the_same_bits(perspective: bool, cull: Any) -> None:
    xy, depth, faces = soup(3)
    xy[:, :6] = (xy[:, :6] * 2).round() / 2 + 0.5 / 256  # halves of the grid, and edges through centres
    xy[0, 6, 0], depth[0, 9], depth[0, 12] = torch.nan, -1, 1e12  # dropped
    xy[1, 12:15] = torch.tensor([[-40000.0, 0], [0, 20], [20, 0]])
    xy[:, 15:18] = torch.tensor([[0.0, 1], [0, 11], [12, 7]])
    a, b = both(xy, depth, faces, 12, 13, perspective=perspective, cull=cull)
    assert 30 < int(a.mask.sum()) < a.mask.numel() - 30
    for name in ("face", "barycentrics", "depth"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
    a, b = both(xy, depth, faces, 12, 13, perspective=perspective, cull=cull, behind=a.depth)
    assert a.mask.any() and torch.equal(a.face, b.face) and torch.equal(a.depth, b.depth)


def test_triton_refuses_faces_without_vertices_and_draws_none() -> None:
    xy, depth, faces = soup(1, faces=1)
    with pytest.raises(DinarError, match="do not exist"):
        both(xy, depth, faces + 1, 4, 4)
    _, b = both(xy, depth, faces[:0], 4, 4)
    assert not b.mask.any() and b.depth.isinf().all() and not b.barycentrics.any()


def test_cuda_draws_with_triton_where_it_works_and_else_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    from dinar.scene import _triton_raster
    from dinar.scene._torch_raster import rasterize_torch

    device = torch.device(DEVICE)
    raster._for_cuda.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert raster._for_cuda(device) is _triton_raster.rasterize_triton
    raster._for_cuda.cache_clear()
    monkeypatch.setattr(_triton_raster, "_draw_kernel", SimpleNamespace())  # as without a compiler
    with pytest.warns(UserWarning, match="Triton fails here, so torch draws"):
        assert raster._for_cuda(device) is rasterize_torch
    raster._for_cuda.cache_clear()
