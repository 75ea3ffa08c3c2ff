"""Weights on disk, one way for every network: a folder with ``model.safetensors`` (fp16) and ``config.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..errors import DinarError
from ..files import replacing

N = TypeVar("N", bound="Network")


def _fitting(v: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """In ``dtype``, unless that is too small for it: variances of batch norms may be beyond fp16's 65,504."""
    small = v.to(dtype) if v.is_floating_point() else v
    return small if not v.is_floating_point() or small.isfinite().all() else v


class Network(nn.Module):
    """A module that knows the arguments it was built with: ``config`` holds them, json types only."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = config

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Both files; numbers in ``dtype``. The same weights give the same bytes."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        found = {k: v.detach().cpu() for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        if any(not v.isfinite().all() for v in found.values() if v.is_floating_point()):
            raise DinarError(f"{folder}: weights of {type(self).__name__} that are not finite: the training diverged, "
                             "start it again with lower rates")  # fmt: skip
        tensors = {k: _fitting(v, dtype).contiguous() for k, v in found.items()}
        with replacing(folder / "model.safetensors") as temp:
            save_file(tensors, temp)
            temp.chmod(0o644)  # safetensors keeps files to their owner
        with replacing(folder / "config.json") as temp:
            temp.write_text(json.dumps({"network": type(self).__name__, **self.config}, indent=1, sort_keys=True))

    @classmethod
    def from_pretrained(cls: type[N], folder: str | Path) -> N:
        """The network of a folder, float32, in eval mode, on the CPU."""
        folder = Path(folder)
        try:
            config = json.loads((folder / "config.json").read_text())
            weights = load_file(folder / "model.safetensors")
        except (OSError, ValueError, SafetensorError) as e:
            raise DinarError(f"{folder}: expected config.json and model.safetensors of a {cls.__name__} ({e})") from e
        kind = config.pop("network", cls.__name__)  # the shipped parser is older than this entry
        if kind != cls.__name__:
            raise DinarError(f"{folder}: expected weights of a {cls.__name__}, got those of a {kind}")
        try:
            net = cls(**config)
            missing, unknown = net.load_state_dict({k: v.float() if v.is_floating_point() else v
                                                    for k, v in weights.items()}, strict=False)  # fmt: skip
        except (TypeError, RuntimeError, DinarError) as e:
            raise DinarError(f"{folder}: weights of another version of {cls.__name__} "
                             f"({' '.join(str(e).split())[:120]}); train it again") from e  # fmt: skip
        missing = [k for k in missing if not k.endswith("num_batches_tracked")]
        if missing or unknown:
            raise DinarError(f"{folder}: expected the weights of {cls.__name__} and nothing else, "
                             f"{len(missing)} are missing, {len(unknown)} unknown; train it again")  # fmt: skip
        return net.eval()
