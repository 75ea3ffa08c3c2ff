"""Weights on disk: a folder with ``model.safetensors`` (fp16) and ``config.json`` for each network."""

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

RENAMED = {"most": "max_channels", "codes": "num_embeddings", "head": "head_dim"}  # keys of older config.json files


def _cast(v: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """``v`` in ``dtype``; unchanged if it overflows, as variances of batch norms may in fp16."""
    small = v.to(dtype) if v.is_floating_point() else v
    return small if not v.is_floating_point() or small.isfinite().all() else v


class Network(nn.Module):
    """A module with the arguments that it was built with in ``config``, as json types."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config: dict[str, Any] = config

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype = torch.float16) -> None:
        """Write both files, floating-point tensors in ``dtype``. The same weights give the same bytes.

        Raises:
            DinarError: weights are not finite.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        found = {k: v.detach().cpu() for k, v in self.state_dict().items() if not k.endswith("num_batches_tracked")}
        if any(not v.isfinite().all() for v in found.values() if v.is_floating_point()):
            raise DinarError(f"{folder}: expected finite weights of {type(self).__name__}, got NaN or infinity: the "
                             "training diverged; start it again with lower learning rates")  # fmt: skip
        tensors = {k: _cast(v, dtype).contiguous() for k, v in found.items()}
        with replacing(folder / "model.safetensors") as temp:
            save_file(tensors, temp)
            temp.chmod(0o644)  # safetensors makes files that only their owner can read
        with replacing(folder / "config.json") as temp:
            temp.write_text(json.dumps({"network": type(self).__name__, **self.config}, indent=1, sort_keys=True))

    @classmethod
    def from_pretrained(cls: type[N], folder: str | Path) -> N:
        """The network of a folder: float32, eval mode, CPU.

        Raises:
            DinarError: files are missing, or are of another network or version.
        """
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
            net = cls(**{RENAMED.get(str(k), str(k)): v for k, v in config.items()})
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
